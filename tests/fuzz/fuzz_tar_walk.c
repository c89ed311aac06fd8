/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile tar: whatever is read of it lies within it, record after record. */
#include <assert.h>

#include "cache/tar_walk_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool read_span(void *ctx, char *out, size_t len, size_t *got, struct err *err)
{
    struct span *rest = ctx;
    (void)err;
    *got = len < rest->len ? len : rest->len;
    memcpy(out, rest->ptr, *got);
    *rest = span_skip(*rest, *got);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span rest = span_of(data, size);
    struct tar_walk w = {.read = read_span, .ctx = &rest};
    struct tar_record r;
    bool more = true;
    tar_walk_init(&w);
    while (more) {
        const char *at = rest.ptr;
        uint64_t skipped = w.left;
        if (!tar_walk_next(&w, &r, &more, NULL) || !more)
            break;
        assert(r.header.len >= 512 && r.header.len % 512 == 0);
        assert(memcmp(r.header.ptr, at + skipped, r.header.len) == 0);
        assert(rest.ptr == at + skipped + r.header.len);
        assert(w.left >= r.size && w.left < r.size + 512);
    }
    tar_walk_release(&w);
    return 0;
}
