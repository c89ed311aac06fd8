/* SPDX-License-Identifier: Apache-2.0 */
/* An sdist that opens lies below one plain folder; it opens again, to the same. The first byte
 * chooses between a zip and a tar, which is compressed here. */
#include <libdeflate.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "resolvers/pip/build_system.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void open_twice(struct span filename, struct span bytes)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct pip_sdist s, t;
    struct err err = {0};
    if (!pip_sdist_open(filename, bytes, a, &s, &err)) {
        check(err.code == ERR_BAD_ARCHIVE || err.code == ERR_TOO_LARGE ||
              err.code == ERR_UNSUPPORTED);
        return;
    }
    check(s.top.len > 0 && !span_has(s.top, '/') && !span_has(s.top, '\0'));
    check(!span_eq(s.top, SPAN(".")) && !span_eq(s.top, SPAN("..")));
    check(pip_sdist_open(filename, bytes, a, &t, &err) && span_eq(s.top, t.top));
    check(!s.pyproject.ptr == !t.pyproject.ptr && span_eq(s.pyproject, t.pyproject));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct span rest = span_of(data + 1, size - 1);
    if (data[0] == 'z') {
        open_twice(SPAN("a-1.zip"), rest);
        return 0;
    }
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(1);
    size_t room = libdeflate_gzip_compress_bound(c, rest.len);
    AUTO_FREE char *packed = mem_alloc(room);
    size_t n = libdeflate_gzip_compress(c, rest.ptr, rest.len, packed, room);
    libdeflate_free_compressor(c);
    open_twice(SPAN("a-1.tar.gz"), span_of(packed, n));
    return 0;
}
