/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the bytes are: no entry of a tar escapes, and its content lies in the archive. */
#include <stdlib.h>

#include "resolvers/archive/tar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_path(struct span path, bool plain)
{
    struct span part;
    check(path.len <= 4096 && !span_starts(path, SPAN("/")) && !span_has(path, '\0'));
    while (path.len && span_next(&path, '/', &part)) {
        check(!span_eq(part, SPAN("..")));
        check(!plain || (part.len > 0 && !span_eq(part, SPAN("."))));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct tar t = tar_of(span_of(data, size), a);
    struct tar_entry e;
    struct err err = {0};
    const uint8_t *last = data;
    while (tar_next(&t, &e, &err)) {
        const uint8_t *p = (const uint8_t *)e.data.ptr;
        check(e.path.len > 0 && e.mode <= 07777);
        check_path(e.path, false);
        check_path(tar_strip(e.path, 1, a), true);
        check(p >= last && e.data.len <= size && p + e.data.len <= data + size);
        check(e.data.len == 0 || e.type == TAR_FILE || e.type == TAR_OTHER);
        last = p + e.data.len;
    }
    check(err.code == ERR_NONE || err.code == ERR_BAD_ARCHIVE || err.code == ERR_TOO_LARGE);
    return 0;
}
