/* SPDX-License-Identifier: Apache-2.0 */
/* span.h - a pointer and a length into somebody else's bytes.
 *
 * Parsers take spans and return spans into the same memory, so nothing is
 * copied and nothing needs a terminating NUL.
 *
 * Ownership: a span owns nothing; it is valid as long as what it points into.
 * Errors:    functions return false or an empty span; none can fail otherwise.
 * Threads:   pure functions, any thread. */
#ifndef STRATA_BASE_SPAN_H
#define STRATA_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const char *ptr;
    size_t len;
};

/* For printf: "%.*s", SPAN_ARG(s). */
#define SPAN_ARG(s) (int)((s).len > 1u << 20 ? 1u << 20 : (s).len), (s).ptr

/* A span over a string literal, usable in initialisers. */
#define SPAN(lit) ((struct span){"" lit, sizeof(lit) - 1})
#define SPAN_INIT(lit)                                                                             \
    {                                                                                              \
        "" lit, sizeof(lit) - 1                                                                    \
    }

static inline struct span span_of(const void *ptr, size_t len)
{
    return (struct span){ptr, len};
}

static inline struct span span_str(const char *s) /* NULL gives an empty span */
{
    return (struct span){s ? s : "", s ? strlen(s) : 0};
}

static inline bool span_eq(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool span_eq_str(struct span a, const char *b)
{
    return span_eq(a, span_str(b));
}

/* Bytes [from, to), both clamped to the span. */
static inline struct span span_slice(struct span s, size_t from, size_t to)
{
    to = to > s.len ? s.len : to;
    from = from > to ? to : from;
    return (struct span){s.ptr + from, to - from};
}

static inline struct span span_skip(struct span s, size_t n)
{
    return span_slice(s, n, s.len);
}

int span_cmp(struct span a, struct span b);        /* by bytes, shorter first */
int span_cmp_ptr(const void *a, const void *b);    /* for qsort over struct span */
bool span_eq_nocase(struct span a, struct span b); /* ASCII only */
bool span_starts(struct span s, struct span prefix);
bool span_ends(struct span s, struct span suffix);
bool span_has(struct span s, char c);

/* Position of the first/last match, or s.len when there is none. */
size_t span_find(struct span s, struct span needle);
size_t span_find_char(struct span s, char c);
size_t span_find_last_char(struct span s, char c);

/* Splits at the first (_last: the last) separator; false leaves outputs alone. */
bool span_cut(struct span s, struct span sep, struct span *before, struct span *after);
bool span_cut_char(struct span s, char sep, struct span *before, struct span *after);
bool span_cut_last_char(struct span s, char sep, struct span *before, struct span *after);

/* Takes the next piece up to `sep` off the front of *rest; false once *rest is
 * used up (its ptr becomes NULL after the last piece). "a,,b" gives three. */
bool span_next(struct span *rest, char sep, struct span *piece);

/* The next line without its "\n" or "\r\n"; false at the end. */
bool span_next_line(struct span *rest, struct span *line);

struct span span_trim(struct span s); /* ASCII white space at both ends */

/* The whole span must be digits and fit. */
bool span_to_u64(struct span s, uint64_t *out);
bool span_is_digits(struct span s); /* and not empty */

/* Valid UTF-8 without overlong forms or surrogates (RFC 3629). */
bool span_is_utf8(struct span s);

#endif
