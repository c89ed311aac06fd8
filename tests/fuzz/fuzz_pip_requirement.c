/* SPDX-License-Identifier: Apache-2.0 */
/* Dependency specifiers: what parses prints to a text that parses to the same text again. */
#include <stdint.h>
#include <stdlib.h>

#include "resolvers/pip/requirement.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA struct arena *a = arena_new();
    AUTO_BUF struct buf text = BUF(1u << 20), again = BUF(1u << 20);
    struct pip_requirement r, s;
    struct err err = {0};
    if (size > 4096)
        return 0;
    if (!pip_requirement_parse(span_of(data, size), a, &r, &err)) {
        if (err.code == ERR_NONE || !err.text[0])
            abort();
        return 0;
    }
    pip_requirement_text(&r, &text);
    if (!pip_requirement_parse(buf_span(&text), a, &s, &err))
        abort();
    pip_requirement_text(&s, &again);
    if (!span_eq(buf_span(&text), buf_span(&again)) || !version_set_eq(r.specs.set, s.specs.set) ||
        r.extra_count != s.extra_count || r.has_digest != s.has_digest)
        abort();
    return 0;
}
