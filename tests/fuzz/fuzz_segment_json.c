/* SPDX-License-Identifier: Apache-2.0 */
/* A segment read from JSON, written and read again is the same segment. */
#include <assert.h>

#include "cache/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_JSON json_t *json = json_parse(span_of(data, size), NULL);
    struct segment a, b;
    if (!json || !segment_from_json(json, &a))
        return 0;
    AUTO_JSON json_t *again = segment_json(&a);
    assert(segment_from_json(again, &b));
    AUTO_JSON json_t *third = segment_json(&b);
    assert(json_equal(again, third));
    return 0;
}
