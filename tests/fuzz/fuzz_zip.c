/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the bytes are: the entries of a zip that opens have plain, different names, lie in it
 * one after another, and give as many bytes as they claim, or an error. */
#include <stdlib.h>

#include "resolvers/archive/zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_name(struct span name)
{
    struct span part;
    check(name.len > 0 && span_is_utf8(name) && !span_has(name, '\\') && !span_has(name, '\0'));
    while (span_next(&name, '/', &part))
        check(part.len > 0 && !span_eq(part, SPAN(".")) && !span_eq(part, SPAN("..")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct zip_limits limits = {.max_entries = 1000,
                                      .max_entry_bytes = 1 << 20,
                                      .max_total_bytes = 4 << 20,
                                      .max_ratio = 200};
    AUTO_ARENA struct arena *a = arena_new();
    AUTO_MAP struct map seen = {0};
    struct zip z;
    struct err err = {0};
    bool ok = zip_open(&z, span_of(data, size), &limits, a, &err);
    check(ok == (err.code == ERR_NONE));
    uint64_t total = 0;
    for (size_t i = 0; ok && i < z.count; i++) {
        const struct zip_entry *e = &z.entries[i];
        struct span content, head;
        check_name(e->name);
        check(map_put(&seen, e->name, &seen));
        check(e->data.len <= size && (const uint8_t *)e->data.ptr >= data &&
              (const uint8_t *)e->data.ptr + e->data.len <= data + size);
        total += e->data.len;
        bool peeked = zip_peek(e, 8, a, &head, &err);
        if (zip_read(e, a, &content, &err)) {
            check(content.len == e->size && peeked);
            check(span_eq(head, span_slice(content, 0, 8)));
        }
    }
    check(total <= size); /* so none overlap by much; the reader checks that none do at all */
    return 0;
}
