/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/apt/version.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void split(struct span v, struct span *epoch, struct span *upstream, struct span *revision)
{
    *epoch = SPAN("0");
    *upstream = v;
    span_cut_char(v, ':', epoch, upstream);
    *revision = SPAN("");
    span_cut_last_char(*upstream, '-', upstream, revision);
}

bool apt_version_valid(struct span v)
{
    struct span epoch, upstream, revision;
    uint64_t n;
    if (v.len == 0 || v.len > 255)
        return false;
    split(v, &epoch, &upstream, &revision);
    if (!span_to_u64(epoch, &n) || n > INT32_MAX || upstream.len == 0)
        return false;
    for (size_t i = 0; i < upstream.len; i++)
        if (!is_digit(upstream.ptr[i]) && !is_letter(upstream.ptr[i]) &&
            !memchr(".+-~:", upstream.ptr[i], 5))
            return false;
    for (size_t i = 0; i < revision.len; i++)
        if (!is_digit(revision.ptr[i]) && !is_letter(revision.ptr[i]) &&
            !memchr(".+~", revision.ptr[i], 3))
            return false;
    return true;
}

/* Where a character of a non-digit part stands; 0 is the end of the part. */
static int order(struct span s, size_t i)
{
    char c = i < s.len ? s.ptr[i] : '\0';
    if (c == '~')
        return -1;
    if (c == '\0' || is_digit(c))
        return 0;
    return is_letter(c) ? c : (unsigned char)c + 256;
}

static size_t skip_zeros(struct span s, size_t i)
{
    while (i < s.len && s.ptr[i] == '0')
        i++;
    return i;
}

static size_t digits_end(struct span s, size_t i)
{
    while (i < s.len && is_digit(s.ptr[i]))
        i++;
    return i;
}

static int compare_part(struct span a, struct span b)
{
    size_t i = 0, j = 0;
    while (i < a.len || j < b.len) {
        while ((i < a.len && !is_digit(a.ptr[i])) || (j < b.len && !is_digit(b.ptr[j]))) {
            int d = order(a, i) - order(b, j);
            if (d)
                return d;
            i += i < a.len;
            j += j < b.len;
        }
        i = skip_zeros(a, i);
        j = skip_zeros(b, j);
        size_t i_end = digits_end(a, i), j_end = digits_end(b, j);
        if (i_end - i != j_end - j)
            return i_end - i > j_end - j ? 1 : -1;
        int d = span_cmp(span_slice(a, i, i_end), span_slice(b, j, j_end));
        if (d)
            return d;
        i = i_end;
        j = j_end;
    }
    return 0;
}

int apt_version_cmp(struct span a, struct span b)
{
    struct span epoch_a, up_a, rev_a, epoch_b, up_b, rev_b;
    split(a, &epoch_a, &up_a, &rev_a);
    split(b, &epoch_b, &up_b, &rev_b);
    int d = compare_part(epoch_a, epoch_b);
    d = d ? d : compare_part(up_a, up_b);
    return d ? d : compare_part(rev_a, rev_b);
}

bool apt_version_satisfies(struct span version, enum apt_relation relation, struct span wanted)
{
    int d = relation == APT_ANY ? 0 : apt_version_cmp(version, wanted);
    switch (relation) {
    case APT_ANY: return true;
    case APT_LT: return d < 0;
    case APT_LE: return d <= 0;
    case APT_EQ: return d == 0;
    case APT_GE: return d >= 0;
    case APT_GT: return d > 0;
    }
    return false;
}
