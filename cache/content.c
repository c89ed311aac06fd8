/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/content_priv.h"

#include <libdeflate.h>
#include <zlib.h>

#include "cache/tar_priv.h"

static bool bad(const struct segment_entry *e, const char *why, struct err *err)
{
    char shown[200];
    return err_set(err, ERR_BAD_ARCHIVE, "%s: %s", tar_show(e->path, shown), why);
}

static bool check_crc(const struct segment_entry *e, uint32_t crc, struct err *err)
{
    return !e->deflated.ptr || crc == e->crc32 ||
           bad(e, "the content does not match its CRC-32", err);
}

static bool inflate_whole(struct kit *k, const struct segment_entry *e, char *out, struct err *err)
{
    size_t used = 0, made = 0;
    enum libdeflate_result r = libdeflate_deflate_decompress_ex(
        k->inflater, e->deflated.ptr, e->deflated.len, out, e->size, &used, &made);
    if (r == LIBDEFLATE_INSUFFICIENT_SPACE)
        return bad(e, "there is more content than the archive says", err);
    if (r != LIBDEFLATE_SUCCESS)
        return bad(e, "the compressed content is damaged", err);
    if (used != e->deflated.len || made != e->size)
        return bad(e, "the content does not have the length that the archive says", err);
    return true;
}

bool content_whole(struct kit *k, const struct segment_entry *e, char *out, uint32_t *crc32,
                   struct err *err)
{
    if (!e->deflated.ptr && e->size)
        memcpy(out, e->bytes.ptr, e->size);
    else if (e->deflated.ptr && !inflate_whole(k, e, out, err))
        return false;
    *crc32 = libdeflate_crc32(0, out, e->size);
    return check_crc(e, *crc32, err);
}

void content_begin(struct content *c, struct packer *p, const struct segment_entry *e)
{
    *c = (struct content){.packer = p, .e = e};
    if (!e->deflated.ptr)
        c->whole = e->bytes;
}

static bool stream_start(struct content *c)
{
    z_stream *z = MEM_NEW(z_stream);
    if (inflateInit2(z, -15) != Z_OK)
        abort();
    z->next_in = (Bytef *)(uintptr_t)c->e->deflated.ptr;
    c->stream = z;
    return true;
}

/* A whole inflation is twice as fast, and needs the room. */
static bool start(struct content *c, struct kit *k, struct err *err)
{
    char *room = packer_take_room(c->packer, c->e->size);
    if (!room)
        return stream_start(c);
    c->has_room = true;
    c->whole = span_of(room, c->e->size);
    return inflate_whole(k, c->e, room, err);
}

static bool stream_fill(struct content *c, char *out, size_t len, struct err *err)
{
    z_stream *z = c->stream;
    bool last = c->done + len == c->e->size;
    z->next_out = (Bytef *)out;
    z->avail_out = (uInt)len;
    for (int rc = Z_OK; z->avail_out || last;) {
        size_t left = c->e->deflated.len - ((const char *)z->next_in - c->e->deflated.ptr);
        if (!z->avail_in)
            z->avail_in = left > 1u << 30 ? 1u << 30 : (uInt)left;
        rc = inflate(z, Z_NO_FLUSH);
        if (rc == Z_STREAM_END)
            return (last && !z->avail_out &&
                    z->next_in == (const Bytef *)c->e->deflated.ptr + c->e->deflated.len) ||
                   bad(c->e, "the content does not have the length that the archive says", err);
        if (rc == Z_BUF_ERROR && !z->avail_out)
            return bad(c->e, "there is more content than the archive says", err);
        if (rc != Z_OK)
            return bad(c->e, "the compressed content is damaged", err);
    }
    return true;
}

bool content_fill(struct content *c, struct kit *k, char *out, size_t len, struct err *err)
{
    if (!c->whole.ptr && !c->stream && !start(c, k, err))
        return false;
    if (c->stream && !stream_fill(c, out, len, err))
        return false;
    if (!c->stream)
        memcpy(out, c->whole.ptr + c->done, len);
    c->crc32 = libdeflate_crc32(c->crc32, out, len);
    c->done += len;
    return c->done < c->e->size || check_crc(c->e, c->crc32, err);
}

void content_end(struct content *c)
{
    if (c->has_room)
        packer_give_room(c->packer);
    if (c->stream) {
        inflateEnd(c->stream);
        free(c->stream);
    }
    *c = (struct content){0};
}
