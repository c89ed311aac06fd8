/* SPDX-License-Identifier: Apache-2.0 */
#include "base/span.h"

#include <stdlib.h>

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

int span_cmp(struct span a, struct span b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int r = n ? memcmp(a.ptr, b.ptr, n) : 0;
    return r ? r : (a.len > b.len) - (a.len < b.len);
}

int span_cmp_ptr(const void *a, const void *b)
{
    return span_cmp(*(const struct span *)a, *(const struct span *)b);
}

bool span_eq_nocase(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return false;
    return true;
}

bool span_starts(struct span s, struct span prefix)
{
    return s.len >= prefix.len && span_eq(span_slice(s, 0, prefix.len), prefix);
}

bool span_ends(struct span s, struct span suffix)
{
    return s.len >= suffix.len && span_eq(span_skip(s, s.len - suffix.len), suffix);
}

size_t span_find_char(struct span s, char c)
{
    const char *p = s.len ? memchr(s.ptr, c, s.len) : NULL;
    return p ? (size_t)(p - s.ptr) : s.len;
}

size_t span_find_last_char(struct span s, char c)
{
    const char *p = s.len ? memrchr(s.ptr, c, s.len) : NULL;
    return p ? (size_t)(p - s.ptr) : s.len;
}

bool span_has(struct span s, char c)
{
    return span_find_char(s, c) < s.len;
}

size_t span_find(struct span s, struct span needle)
{
    if (needle.len == 0)
        return 0;
    const char *p = s.len ? memmem(s.ptr, s.len, needle.ptr, needle.len) : NULL;
    return p ? (size_t)(p - s.ptr) : s.len;
}

static bool cut_at(struct span s, size_t at, size_t sep_len, struct span *before,
                   struct span *after)
{
    if (at >= s.len)
        return false;
    *before = span_slice(s, 0, at);
    *after = span_skip(s, at + sep_len);
    return true;
}

bool span_cut(struct span s, struct span sep, struct span *before, struct span *after)
{
    return cut_at(s, span_find(s, sep), sep.len, before, after);
}

bool span_cut_char(struct span s, char sep, struct span *before, struct span *after)
{
    return cut_at(s, span_find_char(s, sep), 1, before, after);
}

bool span_cut_last_char(struct span s, char sep, struct span *before, struct span *after)
{
    return cut_at(s, span_find_last_char(s, sep), 1, before, after);
}

bool span_next(struct span *rest, char sep, struct span *piece)
{
    if (!rest->ptr)
        return false;
    struct span whole = *rest;
    if (!span_cut_char(whole, sep, piece, rest)) {
        *piece = whole;
        *rest = (struct span){NULL, 0};
    }
    return true;
}

bool span_next_line(struct span *rest, struct span *line)
{
    if (rest->len == 0)
        return false;
    size_t end = span_find_char(*rest, '\n');
    *line = span_slice(*rest, 0, end);
    *rest = span_skip(*rest, end + 1);
    if (line->len && line->ptr[line->len - 1] == '\r')
        line->len--;
    return true;
}

struct span span_trim(struct span s)
{
    while (s.len && is_space(s.ptr[0]))
        s = span_skip(s, 1);
    while (s.len && is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool span_is_digits(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return s.len > 0;
}

bool span_to_u64(struct span s, uint64_t *out)
{
    uint64_t n = 0;
    if (!span_is_digits(s))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (__builtin_mul_overflow(n, 10u, &n) ||
            __builtin_add_overflow(n, (uint64_t)(s.ptr[i] - '0'), &n))
            return false;
    *out = n;
    return true;
}

/* Length of the well-formed sequence at the front, or 0. */
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left < n)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xed && p[1] >= 0xa0;
    bool too_big = p[0] == 0xf4 && p[1] >= 0x90;
    return overlong || surrogate || too_big ? 0 : n;
}

bool span_is_utf8(struct span s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    for (size_t i = 0; i < s.len;) {
        size_t n = utf8_sequence(p + i, s.len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}
