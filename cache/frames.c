/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/frames_priv.h"

#include <assert.h>
#include <libdeflate.h>
#include <zstd.h>

size_t frame_zstd(struct kit *k, size_t raw_len)
{
    size_t n = ZSTD_compress2(k->zstd, k->packed, PACKED_BYTES, k->raw, raw_len);
    assert(!ZSTD_isError(n)); /* there is room for the worst case */
    return n;
}

size_t member_gzip(struct kit *k, struct span plain, char *out, size_t room)
{
    assert(room > GZIP_HEADER_BYTES + GZIP_TRAILER_BYTES);
    gzip_header(out);
    size_t n =
        libdeflate_deflate_compress(k->deflater, plain.ptr, plain.len, out + GZIP_HEADER_BYTES,
                                    room - GZIP_HEADER_BYTES - GZIP_TRAILER_BYTES);
    assert(n > 0);
    gzip_trailer(out + GZIP_HEADER_BYTES + n, libdeflate_crc32(0, plain.ptr, plain.len), plain.len);
    return GZIP_HEADER_BYTES + n + GZIP_TRAILER_BYTES;
}

/* RFC 1952: no name, no time, unknown system. */
void gzip_header(char out[GZIP_HEADER_BYTES])
{
    static const char header[GZIP_HEADER_BYTES] = {'\x1f', '\x8b', 8, 0, 0, 0, 0, 0, 0, '\xff'};
    memcpy(out, header, sizeof(header));
}

void gzip_trailer(char out[GZIP_TRAILER_BYTES], uint32_t crc32, uint64_t size)
{
    for (int i = 0; i < 4; i++) {
        out[i] = (char)(crc32 >> (8 * i));
        out[4 + i] = (char)(size >> (8 * i)); /* modulo 2^32 */
    }
}

struct span end_frame(enum compression c)
{
    /* Written out, so that they do not depend on a library's version: one zstd frame with a
     * run of 1024 zeros (RFC 8878), one gzip member with the same. */
    static const struct span zstd = SPAN_INIT("\x28\xb5\x2f\xfd\x60\x00\x03\x03\x20\x00\x00");
    static const struct span gzip =
        SPAN_INIT("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x63\x18\x05\xa3\x60\x14\x8c\x58\x00"
                  "\x00\x2e\xaf\xb5\xef\x00\x04\x00\x00");
    return c == COMPRESS_GZIP ? gzip : zstd;
}
