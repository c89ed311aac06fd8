/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/unframe.h"

#include <zlib.h>
#include <zstd.h>

struct unframe {
    enum compression compression;
    struct span rest;
    bool inside; /* a frame has begun and not ended */
    ZSTD_DCtx *zstd;
    z_stream gzip;
};

struct unframe *unframe_new(enum compression c)
{
    struct unframe *u = MEM_NEW(struct unframe);
    u->compression = c;
    u->zstd = c == COMPRESS_ZSTD ? ZSTD_createDCtx() : NULL;
    if (c == COMPRESS_ZSTD ? !u->zstd : inflateInit2(&u->gzip, 15 + 16) != Z_OK)
        abort();
    return u;
}

void unframe_free(struct unframe *u)
{
    if (!u)
        return;
    if (u->compression == COMPRESS_ZSTD)
        ZSTD_freeDCtx(u->zstd);
    else
        inflateEnd(&u->gzip);
    free(u);
}

void unframe_feed(struct unframe *u, struct span packed)
{
    u->rest = packed;
}

static bool read_zstd(struct unframe *u, void *out, size_t room, size_t *n, struct err *err)
{
    ZSTD_outBuffer to = {out, room, 0};
    ZSTD_inBuffer from = {u->rest.ptr, u->rest.len, 0};
    *n = 0;
    if (u->rest.len == 0 && !u->inside)
        return true;
    /* Once more with nothing left: the decoder may still hold what it could not hand out. */
    do {
        size_t rc = ZSTD_decompressStream(u->zstd, &to, &from);
        if (ZSTD_isError(rc))
            return err_set(err, ERR_CORRUPT, "zstd: %s", ZSTD_getErrorName(rc));
        u->inside = rc != 0;
    } while (to.pos < room && from.pos < from.size);
    u->rest = span_skip(u->rest, from.pos);
    *n = to.pos;
    return true;
}

static bool read_gzip(struct unframe *u, void *out, size_t room, size_t *n, struct err *err)
{
    z_stream *z = &u->gzip;
    z->next_out = out;
    z->avail_out = (uInt)room;
    while (z->avail_out && (u->rest.len || u->inside)) {
        size_t fed = u->rest.len > 1u << 30 ? 1u << 30 : u->rest.len;
        z->next_in = (Bytef *)(uintptr_t)u->rest.ptr;
        z->avail_in = (uInt)fed;
        u->inside = true;
        int rc = inflate(z, Z_NO_FLUSH);
        u->rest = span_skip(u->rest, fed - z->avail_in);
        if (rc == Z_STREAM_END) {
            u->inside = false;
            inflateReset(z);
        } else if (rc == Z_BUF_ERROR) {
            break; /* wants more, or has no more room */
        } else if (rc != Z_OK) {
            return err_set(err, ERR_CORRUPT, "gzip: %s", z->msg ? z->msg : "damaged");
        }
    }
    *n = room - z->avail_out;
    return true;
}

bool unframe_read(struct unframe *u, void *out, size_t room, size_t *n, struct err *err)
{
    room = room > 1u << 30 ? 1u << 30 : room;
    return u->compression == COMPRESS_ZSTD ? read_zstd(u, out, room, n, err)
                                           : read_gzip(u, out, room, n, err);
}

bool unframe_end(const struct unframe *u, struct err *err)
{
    return !u->inside || err_set(err, ERR_CORRUPT, "the compressed bytes are cut short");
}
