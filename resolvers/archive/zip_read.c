/* SPDX-License-Identifier: Apache-2.0 */
#include <libdeflate.h>
#include <zlib.h>

#include "resolvers/archive/archive_priv.h"
#include "resolvers/archive/zip.h"
#include "resolvers/archive/zip_priv.h"

/* Code page 437, its upper half, in Unicode. */
static const uint16_t cp437[128] = {
    0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb, 0x00e8, 0x00ef,
    0x00ee, 0x00ec, 0x00c4, 0x00c5, 0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9,
    0x00ff, 0x00d6, 0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192, 0x00e1, 0x00ed, 0x00f3, 0x00fa,
    0x00f1, 0x00d1, 0x00aa, 0x00ba, 0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb,
    0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561, 0x2562, 0x2556, 0x2555, 0x2563, 0x2551, 0x2557,
    0x255d, 0x255c, 0x255b, 0x2510, 0x2514, 0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f,
    0x255a, 0x2554, 0x2569, 0x2566, 0x2560, 0x2550, 0x256c, 0x2567, 0x2568, 0x2564, 0x2565, 0x2559,
    0x2558, 0x2552, 0x2553, 0x256b, 0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580,
    0x03b1, 0x00df, 0x0393, 0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4, 0x03a6, 0x0398, 0x03a9, 0x03b4,
    0x221e, 0x03c6, 0x03b5, 0x2229, 0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248,
    0x00b0, 0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0, 0x00a0};

bool zip_name_from_cp437(struct span *name, struct arena *a)
{
    size_t high = 0;
    for (size_t i = 0; i < name->len; i++)
        high += (unsigned char)name->ptr[i] >= 0x80;
    if (high == 0)
        return true;
    char *out = arena_alloc(a, name->len + 2 * high + 1), *p = out;
    for (size_t i = 0; i < name->len; i++) {
        unsigned char c = (unsigned char)name->ptr[i];
        uint16_t u = c < 0x80 ? c : cp437[c - 0x80];
        if (u < 0x80) {
            *p++ = (char)u;
        } else if (u < 0x800) {
            *p++ = (char)(0xc0 | u >> 6);
            *p++ = (char)(0x80 | (u & 0x3f));
        } else {
            *p++ = (char)(0xe0 | u >> 12);
            *p++ = (char)(0x80 | (u >> 6 & 0x3f));
            *p++ = (char)(0x80 | (u & 0x3f));
        }
    }
    *name = span_of(out, (size_t)(p - out));
    return true;
}

static bool bad_entry(struct err *err, const struct zip_entry *e, const char *why)
{
    char shown[ARCHIVE_SHOW_SIZE];
    return err_set(err, ERR_BAD_ARCHIVE, "zip entry \"%s\": %s", archive_show(e->name, shown), why);
}

bool zip_read(const struct zip_entry *e, struct arena *a, struct span *out, struct err *err)
{
    if (e->deflated) {
        char *bytes = arena_alloc(a, e->size + 1);
        size_t used = 0;
        struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
        if (!d)
            return err_set(err, ERR_INTERNAL, "out of memory for inflating");
        enum libdeflate_result r = libdeflate_deflate_decompress_ex(d, e->data.ptr, e->data.len,
                                                                    bytes, e->size, &used, NULL);
        libdeflate_free_decompressor(d);
        /* Short and long content both fail: no room for the actual size is asked for. */
        if (r != LIBDEFLATE_SUCCESS || used != e->data.len)
            return bad_entry(err, e, "its deflate stream is broken");
        *out = span_of(bytes, e->size);
    } else {
        *out = e->data;
    }
    if (libdeflate_crc32(0, out->ptr, out->len) != e->crc32)
        return bad_entry(err, e, "its CRC-32 does not match");
    return true;
}

bool zip_peek(const struct zip_entry *e, size_t max, struct arena *a, struct span *out,
              struct err *err)
{
    max = max < e->size ? max : (size_t)e->size;
    if (!e->deflated) {
        *out = span_slice(e->data, 0, max);
        return true;
    }
    char *bytes = arena_alloc(a, max + 1);
    z_stream s = {0};
    if (inflateInit2(&s, -MAX_WBITS) != Z_OK)
        return err_set(err, ERR_INTERNAL, "out of memory for inflating");
    s.next_in = (Bytef *)(uintptr_t)e->data.ptr;
    s.avail_in = (uInt)(e->data.len < UINT32_MAX ? e->data.len : UINT32_MAX);
    s.next_out = (Bytef *)bytes;
    s.avail_out = (uInt)max;
    int r = inflate(&s, Z_SYNC_FLUSH);
    size_t got = max - s.avail_out;
    inflateEnd(&s);
    if (got != max || (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR))
        return bad_entry(err, e, "its deflate stream is broken");
    *out = span_of(bytes, max);
    return true;
}
