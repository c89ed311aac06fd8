/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_http_header.c - one header's value, read as each of those that are acted on. Times are
 * within bounds, ranges are ranges, and what has no odd bytes does not gain any. */
#include <assert.h>

#include "base/http_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_time(int64_t ms)
{
    assert(ms >= -1 && ms <= HTTP_MAX_AGE_MS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span value = span_of(data, size), name, rest;
    uint64_t first = 0, last = 0, total = 0;
    const int64_t now = 1700000000000;
    check_time(http_retry_after_ms(value, now));
    check_time(http_max_age_ms(value));
    assert(http_date_ms(value) >= -1);
    if (http_content_range(value, &first, &last, &total))
        assert(first <= last && last < total);
    if (http_range_valid(value))
        for (size_t i = 0; i < size; i++)
            assert(value.ptr[i] == '-' || (value.ptr[i] >= '0' && value.ptr[i] <= '9'));
    if (http_etag_strong(value))
        assert(size >= 2 && value.ptr[0] == '"');
    if (http_header_split(value, &name, &rest)) {
        assert(name.len > 0 && !span_has(name, ':'));
        assert(span_eq(span_trim(rest), rest));
        check_time(http_max_age_ms(rest));
    }
    return 0;
}
