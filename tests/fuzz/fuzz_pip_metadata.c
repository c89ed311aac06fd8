/* SPDX-License-Identifier: Apache-2.0 */
/* Core metadata: what parses, written anew from what was understood, parses to the same. */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "resolvers/pip/metadata.h"

static void check_again(const struct pip_metadata *m, struct arena *a)
{
    AUTO_BUF struct buf b = BUF(4u << 20);
    struct pip_metadata n;
    buf_str(&b, "Name: ");
    buf_append(&b, m->name);
    buf_str(&b, "\nVersion: ");
    buf_append(&b, m->version);
    buf_char(&b, '\n');
    for (size_t i = 0; i < m->require_count; i++) {
        buf_str(&b, "Requires-Dist: ");
        pip_requirement_text(&m->requires[i], &b);
        buf_char(&b, '\n');
    }
    for (size_t i = 0; i < m->extra_count; i++) {
        buf_str(&b, "Provides-Extra: ");
        buf_append(&b, m->extras[i]);
        buf_char(&b, '\n');
    }
    if (b.overflow)
        return;
    if (!pip_metadata_parse(buf_span(&b), a, &n, NULL) || n.require_count != m->require_count ||
        n.extra_count != m->extra_count)
        abort();
    for (size_t i = 0; i < m->require_count; i++)
        if (!span_eq(m->requires[i].name, n.requires[i].name) ||
            !version_set_eq(m->requires[i].specs.set, n.requires[i].specs.set))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct pip_metadata m;
    struct err err = {0};
    if (pip_metadata_parse(span_of(data, size), a, &m, &err)) {
        pip_metadata_static(&m);
        check_again(&m, a);
    } else if (err.code != ERR_BAD_ARCHIVE && err.code != ERR_TOO_LARGE) {
        abort();
    }
    return 0;
}
