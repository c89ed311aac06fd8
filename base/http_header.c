/* SPDX-License-Identifier: Apache-2.0 */
#include "base/http_header.h"

#include "base/late_curl.h"

bool http_header_split(struct span line, struct span *name, struct span *value)
{
    if (!span_cut_char(line, ':', name, value) || name->len == 0)
        return false;
    *value = span_trim(*value);
    return true;
}

int64_t http_date_ms(struct span value)
{
    char text[64];
    value = span_trim(value);
    if (value.len < 8 || value.len >= sizeof(text) || span_is_digits(value))
        return -1;
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] < ' ' || value.ptr[i] > '~')
            return -1;
    memcpy(text, value.ptr, value.len);
    text[value.len] = '\0';
    time_t t = curl_getdate(text, NULL);
    return t < 0 || t > INT64_MAX / 1000 ? -1 : (int64_t)t * 1000;
}

static int64_t seconds_to_ms(struct span digits)
{
    uint64_t s;
    if (!span_is_digits(digits))
        return -1;
    /* More digits than fit is simply very long. */
    if (!span_to_u64(digits, &s) || s > (uint64_t)HTTP_MAX_AGE_MS / 1000)
        return HTTP_MAX_AGE_MS;
    return (int64_t)s * 1000;
}

int64_t http_retry_after_ms(struct span value, int64_t now_ms)
{
    value = span_trim(value);
    if (span_is_digits(value))
        return seconds_to_ms(value);
    int64_t at = http_date_ms(value);
    if (at < 0)
        return -1;
    int64_t wait = at > now_ms ? at - now_ms : 0;
    return wait > HTTP_MAX_AGE_MS ? HTTP_MAX_AGE_MS : wait;
}

static struct span unquoted(struct span s)
{
    s = span_trim(s);
    bool quoted = s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"';
    return quoted ? span_slice(s, 1, s.len - 1) : s;
}

int64_t http_max_age_ms(struct span cache_control)
{
    struct span piece, name, value;
    int64_t age = -1;
    bool never = false, revalidate = false;
    while (span_next(&cache_control, ',', &piece)) {
        if (!span_cut_char(piece, '=', &name, &value))
            name = piece, value = SPAN("");
        name = span_trim(name);
        if (span_eq_nocase(name, SPAN("no-store")) || span_eq_nocase(name, SPAN("no-cache")))
            never = true;
        else if (span_eq_nocase(name, SPAN("must-revalidate")))
            revalidate = true;
        else if (span_eq_nocase(name, SPAN("max-age")) && age < 0)
            age = seconds_to_ms(unquoted(value));
    }
    return never || (revalidate && age < 0) ? 0 : age;
}

bool http_content_range(struct span value, uint64_t *first, uint64_t *last, uint64_t *total_bytes)
{
    struct span unit, range, total, from, to;
    if (!span_cut_char(span_trim(value), ' ', &unit, &range) ||
        !span_eq_nocase(unit, SPAN("bytes")) || !span_cut_char(range, '/', &range, &total) ||
        !span_cut_char(range, '-', &from, &to))
        return false;
    *total_bytes = UINT64_MAX;
    if (!span_to_u64(span_trim(from), first) || !span_to_u64(span_trim(to), last) || *last < *first)
        return false;
    total = span_trim(total);
    return span_eq(total, SPAN("*")) || (span_to_u64(total, total_bytes) && *last < *total_bytes);
}

bool http_range_valid(struct span range)
{
    struct span from, to;
    uint64_t a = 0, b = 0;
    if (range.len > 40 || !span_cut_char(range, '-', &from, &to) || (!from.len && !to.len))
        return false;
    if ((from.len && !span_to_u64(from, &a)) || (to.len && !span_to_u64(to, &b)))
        return false;
    return !from.len || !to.len || a <= b;
}

bool http_etag_strong(struct span etag)
{
    return etag.len >= 2 && etag.ptr[0] == '"' && etag.ptr[etag.len - 1] == '"';
}
