/* SPDX-License-Identifier: Apache-2.0 */
/* A RECORD that parses is the same after it was printed and parsed again. */
#include <stdlib.h>

#include "resolvers/pip/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct pip_record first = {0}, second = {0};
    struct err err = {0};
    if (pip_record_parse(span_of(data, size), a, &first, &err)) {
        struct span text = pip_record_print(&first, a);
        if (!pip_record_parse(text, a, &second, &err) || first.rows.n != second.rows.n)
            abort();
        if (!span_eq(pip_record_print(&second, a), text))
            abort();
        for (size_t i = 0; i < first.rows.n; i++) {
            const struct pip_record_row *x = &first.rows.v[i], *y = &second.rows.v[i];
            if (!span_eq(x->path, y->path) || !span_eq(x->hash, y->hash) ||
                !span_eq(x->size, y->size))
                abort();
            pip_record_row_tells(x, 1);
        }
    }
    pip_record_release(&first);
    pip_record_release(&second);
    return 0;
}
