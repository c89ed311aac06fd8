/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/npm/semver_priv.h"

#include <ctype.h>
#include <inttypes.h>

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool word(char c) /* what identifiers are made of */
{
    return digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

static size_t digits_at(struct span s, size_t at)
{
    size_t n = 0;
    while (at + n < s.len && digit(s.ptr[at + n]))
        n++;
    return n;
}

uint64_t semver_number(struct span s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        n = n * 10 + (uint64_t)(s.ptr[i] - '0');
        if (n > SEMVER_MAX_NUMBER)
            return SEMVER_MAX_NUMBER + 1;
    }
    return n;
}

static bool plain_number(struct span s) /* no leading zeros */
{
    return s.len == 1 || s.ptr[0] != '0';
}

/* Dot-separated identifiers; strict ones that are numbers have no leading zeros. */
static bool identifiers(struct span s, bool strict_numbers)
{
    struct span piece;
    if (!s.len || s.ptr[s.len - 1] == '.')
        return false;
    while (span_next(&s, '.', &piece)) {
        if (!piece.len)
            return false;
        for (size_t i = 0; i < piece.len; i++)
            if (!word(piece.ptr[i]))
                return false;
        if (strict_numbers && span_is_digits(piece) && !plain_number(piece))
            return false;
    }
    return true;
}

/* What follows x.y.z: pre-release and build, up to the end. */
bool semver_tail(struct span s, bool loose, struct span *pre, struct span *build)
{
    size_t plus = span_find_char(s, '+');
    struct span p = span_slice(s, 0, plus);
    *pre = *build = span_of("", 0);
    if (plus < s.len) {
        *build = span_skip(s, plus + 1);
        if (!identifiers(*build, false))
            return false;
    }
    if (!p.len)
        return true;
    *pre = span_skip(p, 1);
    if (p.ptr[0] == '-' && identifiers(*pre, !loose))
        return true;
    *pre = p;
    return loose && identifiers(p, false);
}

/* "z-pre+build". A loose pre-release may follow the number without a hyphen, so the number
 * gives digits back while the rest does not fit: "34.5" is 3 with the pre-release 4.5. */
bool semver_patch_and_tail(struct span s, bool loose, struct span *patch, struct span *pre,
                           struct span *build)
{
    size_t n = digits_at(s, 0);
    if (!n || (!loose && !plain_number(span_slice(s, 0, n))))
        return false;
    for (size_t take = n; take; take--) {
        *patch = span_slice(s, 0, take);
        if (semver_tail(span_skip(s, take), loose, pre, build))
            return true;
        if (!loose)
            break;
    }
    return false;
}

bool semver_parse(struct span text, unsigned flags, struct semver *out)
{
    bool loose = flags & SEMVER_LOOSE;
    if (text.len > SEMVER_MAX_LENGTH)
        return false;
    struct span s = span_trim(text), patch;
    uint64_t numbers[2];
    if (loose)
        while (s.len && (s.ptr[0] == 'v' || s.ptr[0] == '=' || isspace((unsigned char)s.ptr[0])))
            s = span_skip(s, 1);
    else if (s.len && s.ptr[0] == 'v')
        s = span_skip(s, 1);
    for (int i = 0; i < 2; i++) {
        size_t n = digits_at(s, 0);
        if (!n || n == s.len || s.ptr[n] != '.' || (!loose && !plain_number(span_slice(s, 0, n))))
            return false;
        numbers[i] = semver_number(span_slice(s, 0, n));
        s = span_skip(s, n + 1);
    }
    if (!semver_patch_and_tail(s, loose, &patch, &out->pre, &out->build))
        return false;
    out->major = numbers[0];
    out->minor = numbers[1];
    out->patch = semver_number(patch);
    return out->major <= SEMVER_MAX_NUMBER && out->minor <= SEMVER_MAX_NUMBER &&
           out->patch <= SEMVER_MAX_NUMBER;
}

static int cmp_u64(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static struct span without_zeros(struct span s)
{
    while (s.len > 1 && s.ptr[0] == '0')
        s = span_skip(s, 1);
    return s;
}

static int cmp_identifier(struct span a, struct span b)
{
    bool a_number = span_is_digits(a), b_number = span_is_digits(b);
    if (a_number != b_number)
        return a_number ? -1 : 1;
    if (!a_number)
        return span_cmp(a, b);
    a = without_zeros(a);
    b = without_zeros(b);
    return a.len != b.len ? (a.len < b.len ? -1 : 1) : span_cmp(a, b);
}

static int cmp_pre(struct span a, struct span b)
{
    if (!a.len || !b.len)
        return (int)!a.len - (int)!b.len;
    struct span x, y;
    for (;;) {
        bool more_a = span_next(&a, '.', &x), more_b = span_next(&b, '.', &y);
        if (!more_a || !more_b)
            return (int)more_a - (int)more_b;
        int c = cmp_identifier(x, y);
        if (c)
            return c < 0 ? -1 : 1;
    }
}

int semver_cmp(const struct semver *a, const struct semver *b)
{
    int c = cmp_u64(a->major, b->major);
    if (!c)
        c = cmp_u64(a->minor, b->minor);
    if (!c)
        c = cmp_u64(a->patch, b->patch);
    return c ? c : cmp_pre(a->pre, b->pre);
}

void semver_format(const struct semver *v, struct buf *out)
{
    buf_printf(out, "%" PRIu64 ".%" PRIu64 ".%" PRIu64, v->major, v->minor, v->patch);
    struct span rest = v->pre, piece;
    char before = '-';
    while (v->pre.len && span_next(&rest, '.', &piece)) {
        bool small = span_is_digits(piece) && semver_number(piece) < SEMVER_MAX_NUMBER;
        buf_char(out, before);
        buf_append(out, small ? without_zeros(piece) : piece);
        before = '.';
    }
}
