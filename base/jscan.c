/* SPDX-License-Identifier: Apache-2.0 */
#include "base/jscan.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static bool fail(struct jscan *j)
{
    j->failed = true;
    return false;
}

static void white(struct jscan *j)
{
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\r' || *j->p == '\t'))
        j->p++;
}

struct jscan jscan_of(struct span text)
{
    const char *p = text.ptr ? text.ptr : "";
    return (struct jscan){p, p, p + text.len, 0, false, true};
}

enum jscan_type jscan_peek(struct jscan *j)
{
    if (j->failed)
        return JSCAN_END;
    white(j);
    if (j->p == j->end)
        return JSCAN_END;
    switch (*j->p) {
    case '{': return JSCAN_OBJECT;
    case '[': return JSCAN_ARRAY;
    case '"': return JSCAN_STRING;
    case 't': return JSCAN_TRUE;
    case 'f': return JSCAN_FALSE;
    case 'n': return JSCAN_NULL;
    default: return *j->p == '-' || (*j->p >= '0' && *j->p <= '9') ? JSCAN_NUMBER : JSCAN_END;
    }
}

static bool enter(struct jscan *j, enum jscan_type type)
{
    if (jscan_peek(j) != type)
        return false;
    if (++j->depth > JSCAN_MAX_DEPTH)
        return fail(j);
    j->p++;
    j->first = true;
    return true;
}

bool jscan_object(struct jscan *j)
{
    return enter(j, JSCAN_OBJECT);
}

bool jscan_array(struct jscan *j)
{
    return enter(j, JSCAN_ARRAY);
}

/* True: at the next element; false: the container was left, or an error. */
static bool next_element(struct jscan *j, char close)
{
    if (j->failed)
        return false;
    white(j);
    if (j->p == j->end)
        return fail(j);
    if (*j->p == close) {
        j->p++;
        j->depth--;
        j->first = false; /* in the container around it */
        return false;
    }
    if (!j->first) {
        if (*j->p != ',')
            return fail(j);
        j->p++;
        white(j);
        if (j->p == j->end || *j->p == close)
            return fail(j);
    }
    j->first = false;
    return true;
}

bool jscan_item(struct jscan *j)
{
    return next_element(j, ']');
}

/* The first byte that ends a run of ordinary characters in a string. */
static const char *plain_end(const char *p, const char *end)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"'), escape = _mm_set1_epi8('\\');
    const __m128i control = _mm_set1_epi8(0x1f);
    for (; end - p >= 16; p += 16) {
        __m128i c = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i special = _mm_or_si128(_mm_cmpeq_epi8(c, quote), _mm_cmpeq_epi8(c, escape));
        special = _mm_or_si128(special, _mm_cmpeq_epi8(_mm_min_epu8(c, control), c));
        int mask = _mm_movemask_epi8(special);
        if (mask)
            return p + __builtin_ctz((unsigned)mask);
    }
#endif
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
        p++;
    return p;
}

/* Moves past a string; *raw is what stands between the quotes. Escapes are only looked at
 * here, control characters are refused. */
static bool raw_string(struct jscan *j, struct span *raw, bool *escaped)
{
    const char *p = j->p + 1;
    *escaped = false;
    for (;;) {
        p = plain_end(p, j->end);
        if (p == j->end || (unsigned char)*p < 0x20)
            return fail(j);
        if (*p == '"')
            break;
        *escaped = true;
        p += 2;
        if (p > j->end)
            return fail(j);
    }
    *raw = span_of(j->p + 1, (size_t)(p - j->p - 1));
    j->p = p + 1;
    return true;
}

static int hex4(const char *p)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        int c = p[i] | 32;
        int d = p[i] >= '0' && p[i] <= '9' ? p[i] - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (d < 0)
            return -1;
        v = v * 16 + d;
    }
    return v;
}

static char *put_utf8(char *o, uint32_t c)
{
    if (c < 0x80) {
        *o++ = (char)c;
    } else if (c < 0x800) {
        *o++ = (char)(0xc0 | c >> 6);
        *o++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *o++ = (char)(0xe0 | c >> 12);
        *o++ = (char)(0x80 | (c >> 6 & 63));
        *o++ = (char)(0x80 | (c & 63));
    } else {
        *o++ = (char)(0xf0 | c >> 18);
        *o++ = (char)(0x80 | (c >> 12 & 63));
        *o++ = (char)(0x80 | (c >> 6 & 63));
        *o++ = (char)(0x80 | (c & 63));
    }
    return o;
}

/* "\uXXXX", with its second half for a surrogate pair; lone surrogates become U+FFFD. */
static const char *unescape_unicode(const char *p, const char *end, char **o)
{
    int c = end - p >= 4 ? hex4(p) : -1;
    if (c < 0)
        return NULL;
    p += 4;
    if (c >= 0xd800 && c < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
        int low = hex4(p + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            *o = put_utf8(*o, 0x10000u + (((uint32_t)c - 0xd800) << 10) + ((uint32_t)low - 0xdc00));
            return p + 6;
        }
    }
    *o = put_utf8(*o, c >= 0xd800 && c < 0xe000 ? 0xfffd : (uint32_t)c);
    return p;
}

static bool unescape(struct span raw, struct arena *a, struct span *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char *bytes = arena_alloc(a, raw.len + 1), *o = bytes;
    for (const char *p = raw.ptr, *end = raw.ptr + raw.len; p < end;) {
        if (*p != '\\') {
            *o++ = *p++;
            continue;
        }
        p++;
        const char *known = *p ? strchr(from, *p) : NULL;
        if (known) {
            *o++ = to[known - from];
            p++;
        } else if (*p != 'u' || !(p = unescape_unicode(p + 1, end, &o))) {
            return false;
        }
    }
    *out = span_of(bytes, (size_t)(o - bytes));
    return true;
}

static bool take_string(struct jscan *j, struct arena *a, struct span *out)
{
    struct span raw;
    bool escaped;
    if (!raw_string(j, &raw, &escaped))
        return false;
    if (!escaped)
        *out = raw;
    else if (!unescape(raw, a, out))
        return fail(j);
    return true;
}

bool jscan_key(struct jscan *j, struct arena *a, struct span *key)
{
    if (!next_element(j, '}'))
        return false;
    if (*j->p != '"' || !take_string(j, a, key))
        return fail(j);
    white(j);
    if (j->p == j->end || *j->p != ':')
        return fail(j);
    j->p++;
    return true;
}

bool jscan_string(struct jscan *j, struct arena *a, struct span *out)
{
    if (jscan_peek(j) != JSCAN_STRING) {
        jscan_skip(j, NULL);
        return false;
    }
    return take_string(j, a, out);
}

static bool literal(struct jscan *j, struct span word)
{
    if (!span_starts(span_of(j->p, (size_t)(j->end - j->p)), word))
        return fail(j);
    j->p += word.len;
    return true;
}

bool jscan_bool(struct jscan *j, bool *out)
{
    enum jscan_type type = jscan_peek(j);
    if (type != JSCAN_TRUE && type != JSCAN_FALSE) {
        jscan_skip(j, NULL);
        return false;
    }
    *out = type == JSCAN_TRUE;
    return literal(j, *out ? SPAN("true") : SPAN("false"));
}

static bool digits(struct jscan *j)
{
    const char *from = j->p;
    while (j->p < j->end && *j->p >= '0' && *j->p <= '9')
        j->p++;
    return j->p > from;
}

static bool number(struct jscan *j)
{
    if (*j->p == '-')
        j->p++;
    const char *from = j->p;
    if (!digits(j) || (*from == '0' && j->p - from > 1))
        return fail(j);
    if (j->p < j->end && *j->p == '.') {
        j->p++;
        if (!digits(j))
            return fail(j);
    }
    if (j->p < j->end && (*j->p | 32) == 'e') {
        j->p++;
        if (j->p < j->end && (*j->p == '+' || *j->p == '-'))
            j->p++;
        if (!digits(j))
            return fail(j);
    }
    return true;
}

bool jscan_int(struct jscan *j, int64_t *out)
{
    struct span raw;
    bool is_number = jscan_peek(j) == JSCAN_NUMBER;
    if (!jscan_skip(j, &raw) || !is_number)
        return false;
    bool negative = raw.ptr[0] == '-';
    uint64_t n;
    if (!span_to_u64(span_skip(raw, negative), &n) || n > INT64_MAX)
        return false;
    *out = negative ? -(int64_t)n : (int64_t)n;
    return true;
}

static bool skip_value(struct jscan *j);

static bool skip_members(struct jscan *j, char close)
{
    while (next_element(j, close)) {
        struct span raw;
        bool escaped;
        if (close == '}') {
            if (*j->p != '"' || !raw_string(j, &raw, &escaped))
                return fail(j);
            white(j);
            if (j->p == j->end || *j->p != ':')
                return fail(j);
            j->p++;
        }
        if (!skip_value(j))
            return false;
    }
    return !j->failed;
}

static bool skip_value(struct jscan *j)
{
    struct span raw;
    bool escaped;
    switch (jscan_peek(j)) {
    case JSCAN_OBJECT: return enter(j, JSCAN_OBJECT) && skip_members(j, '}');
    case JSCAN_ARRAY: return enter(j, JSCAN_ARRAY) && skip_members(j, ']');
    case JSCAN_STRING: return raw_string(j, &raw, &escaped);
    case JSCAN_NUMBER: return number(j);
    case JSCAN_TRUE: return literal(j, SPAN("true"));
    case JSCAN_FALSE: return literal(j, SPAN("false"));
    case JSCAN_NULL: return literal(j, SPAN("null"));
    case JSCAN_END: break;
    }
    return fail(j);
}

bool jscan_skip(struct jscan *j, struct span *raw)
{
    if (j->failed)
        return false;
    white(j);
    const char *from = j->p;
    if (!skip_value(j))
        return false;
    if (raw)
        *raw = span_of(from, (size_t)(j->p - from));
    return true;
}

bool jscan_done(struct jscan *j)
{
    white(j);
    return !j->failed && j->depth == 0 && j->p == j->end && j->p > j->begin;
}

bool jscan_failed(const struct jscan *j)
{
    return j->failed;
}

size_t jscan_error_at(const struct jscan *j)
{
    return (size_t)(j->p - j->begin);
}
