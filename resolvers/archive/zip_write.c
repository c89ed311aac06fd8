/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/archive/zip_write.h"

#include <libdeflate.h>
#include <sys/stat.h>
#include <time.h>

#define LEVEL          6
#define MAX_OFFSET     0xfffffffeu /* what would need ZIP64 begins here */
#define MAX_ENTRIES    0xfffeu
#define VERSION        20u
#define MADE_ON_UNIX   (3u << 8 | VERSION)
#define FLAG_UTF8      (1u << 11)
#define METHOD_STORED  0u
#define METHOD_DEFLATE 8u

static void put16(struct buf *b, uint32_t n)
{
    buf_char(b, (char)n);
    buf_char(b, (char)(n >> 8));
}

static void put32(struct buf *b, uint32_t n)
{
    put16(b, n & 0xffff);
    put16(b, n >> 16);
}

uint32_t zip_time(int64_t seconds)
{
    static const int64_t first = 315532800, last = 4354819198; /* 1980-01-01, 2107-12-31 */
    time_t t = (time_t)(seconds < first ? first : seconds > last ? last : seconds);
    struct tm tm;
    gmtime_r(&t, &tm);
    uint32_t date =
        (uint32_t)(tm.tm_year - 80) << 9 | (uint32_t)(tm.tm_mon + 1) << 5 | (uint32_t)tm.tm_mday;
    return date << 16 | (uint32_t)tm.tm_hour << 11 | (uint32_t)tm.tm_min << 5 |
           (uint32_t)tm.tm_sec / 2;
}

void zip_begin(struct zip_writer *w, struct buf *out, uint32_t time)
{
    *w = (struct zip_writer){.out = out, .time = time, .central = BUF(MAX_OFFSET)};
    w->deflater = libdeflate_alloc_compressor(LEVEL);
    if (!w->deflater)
        w->too_large = true;
}

/* Version, flags, method, time, CRC, sizes and the name's length, which both headers have. */
static void put_common(struct buf *b, const struct zip_writer *w, uint32_t method, uint32_t crc,
                       size_t packed, size_t size, size_t name)
{
    put16(b, VERSION);
    put16(b, FLAG_UTF8);
    put16(b, method);
    put32(b, w->time);
    put32(b, crc);
    put32(b, (uint32_t)packed);
    put32(b, (uint32_t)size);
    put16(b, (uint32_t)name);
    put16(b, 0); /* no extra field */
}

static void put_central(struct zip_writer *w, struct span name, uint32_t mode, uint32_t method,
                        uint32_t crc, size_t packed, size_t size, size_t at)
{
    struct buf *c = &w->central;
    buf_str(c, "PK\001\002");
    put16(c, MADE_ON_UNIX);
    put_common(c, w, method, crc, packed, size, name.len);
    put16(c, 0); /* comment */
    put16(c, 0); /* disk */
    put16(c, 0);
    put32(c, (S_IFREG | (mode & 0777)) << 16);
    put32(c, (uint32_t)at);
    buf_append(c, name);
}

void zip_put(struct zip_writer *w, struct span name, uint32_t mode, struct span bytes)
{
    size_t at = w->out->len;
    if (w->too_large || bytes.len > MAX_OFFSET || at > MAX_OFFSET || name.len > 0xffff ||
        w->count >= MAX_ENTRIES) {
        w->too_large = true;
        return;
    }
    AUTO_FREE char *packed = mem_alloc(bytes.len + 1);
    /* 0: it would not become smaller. */
    size_t n = bytes.len ? libdeflate_deflate_compress(w->deflater, bytes.ptr, bytes.len, packed,
                                                       bytes.len - 1)
                         : 0;
    uint32_t method = n ? METHOD_DEFLATE : METHOD_STORED;
    uint32_t crc = libdeflate_crc32(0, bytes.ptr, bytes.len);
    struct span data = n ? span_of(packed, n) : bytes;
    buf_str(w->out, "PK\003\004");
    put_common(w->out, w, method, crc, data.len, bytes.len, name.len);
    buf_append(w->out, name);
    buf_append(w->out, data);
    put_central(w, name, mode, method, crc, data.len, bytes.len, at);
    w->count++;
}

bool zip_end(struct zip_writer *w, struct err *err)
{
    struct buf *out = w->out;
    size_t at = out->len;
    buf_append(out, buf_span(&w->central));
    buf_append(out, span_of("PK\005\006\0\0\0\0", 8));
    put16(out, (uint32_t)w->count);
    put16(out, (uint32_t)w->count);
    put32(out, (uint32_t)w->central.len);
    put32(out, (uint32_t)at);
    put16(out, 0);
    bool ok = !w->too_large && !out->overflow && !w->central.overflow && out->len < MAX_OFFSET;
    buf_release(&w->central);
    libdeflate_free_compressor(w->deflater);
    return ok || err_set(err, ERR_TOO_LARGE, "zip: too large to be written");
}
