/* SPDX-License-Identifier: Apache-2.0 */
/* What zlib can inflate, the reader inflates to the same bytes. */
#include <stdlib.h>
#include <zlib.h>

#include "base/buf.h"
#include "resolvers/archive/gzip.h"

#define MAX_BYTES (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All members by zlib; false when it fails or there is too much. */
static bool by_zlib(struct span bytes, struct buf *out)
{
    bool ok = gzip_is(bytes);
    while (ok && gzip_is(bytes)) {
        z_stream s = {0};
        if (inflateInit2(&s, 16 + MAX_WBITS) != Z_OK)
            abort();
        int r = Z_OK;
        s.next_in = (Bytef *)(uintptr_t)bytes.ptr;
        s.avail_in = (uInt)bytes.len;
        while (ok && r == Z_OK) {
            char *room = buf_room(out, 4096);
            ok = room != NULL;
            if (!ok)
                break;
            s.next_out = (Bytef *)room;
            s.avail_out = 4096;
            r = inflate(&s, Z_NO_FLUSH);
            out->len += 4096 - s.avail_out;
        }
        ok = ok && r == Z_STREAM_END;
        bytes = span_skip(bytes, bytes.len - s.avail_in);
        inflateEnd(&s);
    }
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUF struct buf want = BUF(MAX_BYTES + 4096);
    struct err err = {0};
    char *got = NULL;
    size_t n = 0;
    struct span bytes = span_of(data, size);
    bool ok = gzip_inflate(bytes, MAX_BYTES, &got, &n, &err);
    if (ok != (err.code == ERR_NONE) || n > MAX_BYTES)
        abort();
    if (by_zlib(bytes, &want) && want.len <= MAX_BYTES &&
        !(ok && span_eq(span_of(got, n), buf_span(&want))))
        abort();
    free(got);
    return 0;
}
