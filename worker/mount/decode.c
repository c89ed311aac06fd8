/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/mount/decode_priv.h"

#include <zlib.h>
#include <zstd.h>

#include "base/mem.h"

#define IN_BYTES       (128u << 10)
#define OUT_BYTES      (256u << 10)
#define MAX_WINDOW_LOG 27 /* 128 MiB: what zstd itself accepts without being told */

enum form { UNKNOWN, PLAIN, GZIP, ZSTD };

struct decoder {
    struct layer_source source;
    enum form form;
    struct hasher blob, tar;
    struct span in; /* read and not yet decoded, in in_bytes */
    bool in_end;    /* the source has no more */
    bool open;      /* inside a gzip member or a zstd frame */
    z_stream z;
    ZSTD_DCtx *zstd;
    char in_bytes[IN_BYTES], out_bytes[OUT_BYTES];
};

struct decoder *decoder_new(const struct layer_source *source)
{
    struct decoder *d = MEM_NEW(struct decoder);
    d->source = *source;
    hasher_init(&d->blob, HASH_SHA256);
    hasher_init(&d->tar, HASH_SHA256);
    return d;
}

void decoder_free(struct decoder *d)
{
    if (!d)
        return;
    if (d->form == GZIP)
        inflateEnd(&d->z);
    ZSTD_freeDCtx(d->zstd);
    hasher_release(&d->blob);
    hasher_release(&d->tar);
    free(d);
}

/* Appends to d->in, whose bytes move to the front. */
static bool fill(struct decoder *d, struct err *err)
{
    memmove(d->in_bytes, d->in.ptr ? d->in.ptr : d->in_bytes, d->in.len);
    size_t room = IN_BYTES - d->in.len;
    ssize_t n = d->source.read(d->source.ctx, d->in_bytes + d->in.len, room, err);
    if (n < 0)
        return false;
    if ((size_t)n > room)
        return err_set(err, ERR_INTERNAL, "layer source gave more than was asked for");
    hasher_update(&d->blob, span_of(d->in_bytes + d->in.len, (size_t)n));
    d->in = span_of(d->in_bytes, d->in.len + (size_t)n);
    d->in_end = n == 0;
    return true;
}

static bool choose_form(struct decoder *d, struct err *err)
{
    while (d->in.len < 4 && !d->in_end)
        if (!fill(d, err))
            return false;
    const uint8_t *b = (const uint8_t *)d->in.ptr;
    bool skippable =
        d->in.len >= 4 && (b[0] & 0xf0) == 0x50 && b[1] == 0x2a && b[2] == 0x4d && b[3] == 0x18;
    if (d->in.len >= 2 && b[0] == 0x1f && b[1] == 0x8b)
        d->form = GZIP;
    else if (skippable || (d->in.len >= 4 && memcmp(b, "\x28\xb5\x2f\xfd", 4) == 0))
        d->form = ZSTD;
    else
        d->form = PLAIN;
    if (d->form == GZIP && inflateInit2(&d->z, 15 + 16) != Z_OK)
        abort();
    if (d->form == ZSTD) {
        d->zstd = ZSTD_createDCtx();
        if (!d->zstd)
            abort();
        ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, MAX_WINDOW_LOG);
    }
    return true;
}

static bool gzip_step(struct decoder *d, size_t *made, struct err *err)
{
    if (!d->open)
        inflateReset(&d->z);
    d->z.next_in = (Bytef *)(uintptr_t)d->in.ptr;
    d->z.avail_in = (uInt)d->in.len;
    d->z.next_out = (Bytef *)d->out_bytes;
    d->z.avail_out = OUT_BYTES;
    int r = inflate(&d->z, Z_NO_FLUSH);
    if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
        return err_set(err, ERR_BAD_ARCHIVE, "gzip: %s", d->z.msg ? d->z.msg : "damaged");
    d->open = r != Z_STREAM_END;
    d->in = span_skip(d->in, d->in.len - d->z.avail_in);
    *made = OUT_BYTES - d->z.avail_out;
    return true;
}

static bool zstd_step(struct decoder *d, size_t *made, struct err *err)
{
    ZSTD_inBuffer in = {d->in.ptr, d->in.len, 0};
    ZSTD_outBuffer out = {d->out_bytes, OUT_BYTES, 0};
    size_t r = ZSTD_decompressStream(d->zstd, &out, &in);
    if (ZSTD_isError(r))
        return err_set(err, ERR_BAD_ARCHIVE, "zstd: %s", ZSTD_getErrorName(r));
    d->open = r != 0;
    d->in = span_skip(d->in, in.pos);
    *made = out.pos;
    return true;
}

bool decoder_next(struct decoder *d, struct span *piece, struct err *err)
{
    *piece = SPAN("");
    if (d->form == UNKNOWN && !choose_form(d, err))
        return false;
    for (size_t made = 0, had; !made;) {
        if (d->in.len == 0 && !d->in_end && !fill(d, err))
            return false;
        if (d->in.len == 0 && !d->open)
            return true;
        if (d->form == PLAIN) {
            *piece = d->in;
            d->in = SPAN("");
            break;
        }
        had = d->in.len;
        if (!(d->form == GZIP ? gzip_step : zstd_step)(d, &made, err))
            return false;
        /* Nothing went in or out: what is there is the front of something cut off. */
        if (!made && had == d->in.len && (d->in_end || d->in.len == IN_BYTES))
            return err_set(err, ERR_BAD_ARCHIVE, "compressed data ends early");
        if (!made && had == d->in.len && !fill(d, err))
            return false;
        if (made)
            *piece = span_of(d->out_bytes, made);
    }
    if (!digest_is_zero(&d->source.diff_id))
        hasher_update(&d->tar, *piece);
    return true;
}

static bool compare(const char *what, const struct digest *want, const struct digest *got,
                    struct err *err)
{
    char a[DIGEST_TEXT_SIZE], b[DIGEST_TEXT_SIZE];
    if (digest_eq(want, got))
        return true;
    return err_set(err, ERR_DIGEST_MISMATCH, "%s is %s, expected %s", what, digest_text(got, a),
                   digest_text(want, b));
}

bool decoder_check(struct decoder *d, struct err *err)
{
    struct digest blob = hasher_digest(&d->blob), tar = hasher_digest(&d->tar);
    return compare("layer", &d->source.digest, &blob, err) &&
           (digest_is_zero(&d->source.diff_id) ||
            compare("unpacked layer", &d->source.diff_id, &tar, err));
}
