/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/worker/tar_build.h"

#include <zlib.h>
#include <zstd.h>

static void put(char *header, size_t at, const char *text, size_t max)
{
    memcpy(header + at, text, strnlen(text, max));
}

static void put_octal(char *header, size_t at, int digits, unsigned long v)
{
    char text[32];
    snprintf(text, sizeof(text), "%0*lo", digits, v);
    memcpy(header + at, text, (size_t)digits + 1);
}

static void pad(struct buf *tar)
{
    static const char zeros[512];
    buf_append(tar, span_of(zeros, (512 - tar->len % 512) % 512));
}

static void add(struct buf *tar, const struct tar_line *l, struct span content)
{
    char h[512] = {0};
    unsigned sum = 0;
    put(h, 0, l->path, 100);
    put_octal(h, 100, 7, l->mode ? l->mode : 0644);
    put_octal(h, 108, 7, l->uid);
    put_octal(h, 116, 7, l->uid);
    put_octal(h, 124, 11, content.len);
    put_octal(h, 136, 11, (unsigned long)l->mtime);
    memset(h + 148, ' ', 8);
    h[156] = l->type;
    put(h, 157, l->link ? l->link : "", 100);
    memcpy(h + 257, "ustar\00000", 8);
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)h[i];
    put_octal(h, 148, 6, sum);
    buf_append(tar, span_of(h, 512));
    buf_append(tar, content);
    pad(tar);
}

void tar_add(struct buf *tar, const struct tar_line *line)
{
    add(tar, line, span_str(line->content));
}

void tar_add_pax(struct buf *tar, const char *const *kv)
{
    AUTO_BUF struct buf records = BUF(2u << 20);
    for (; kv[0]; kv += 2) {
        size_t rest = strlen(kv[0]) + strlen(kv[1]) + 3, total = rest + 1;
        for (int i = 0; i < 3; i++) {
            char digits[24];
            total = rest + (size_t)snprintf(digits, sizeof(digits), "%zu", total);
        }
        buf_printf(&records, "%zu %s=%s\n", total, kv[0], kv[1]);
    }
    add(tar, &(struct tar_line){.type = 'x', .path = "pax"}, buf_span(&records));
}

void tar_end(struct buf *tar)
{
    static const char zeros[1024];
    buf_append(tar, span_of(zeros, sizeof(zeros)));
}

static void gzip_member(struct span in, struct buf *out)
{
    z_stream z = {0};
    if (deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    size_t room = deflateBound(&z, in.len) + 64;
    z.next_in = (Bytef *)(uintptr_t)in.ptr;
    z.avail_in = (uInt)in.len;
    z.next_out = (Bytef *)buf_room(out, room);
    z.avail_out = (uInt)room;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END)
        abort();
    out->len += room - z.avail_out;
    deflateEnd(&z);
}

static void zstd_frame(struct span in, struct buf *out)
{
    size_t room = ZSTD_compressBound(in.len);
    size_t n = ZSTD_compress(buf_room(out, room), room, in.ptr, in.len, 3);
    if (ZSTD_isError(n))
        abort();
    out->len += n;
}

static void pieces(const struct buf *tar, size_t size, struct buf *out,
                   void (*piece)(struct span in, struct buf *out))
{
    struct span rest = buf_span(tar);
    do {
        piece(span_slice(rest, 0, size), out);
        rest = span_skip(rest, size);
    } while (rest.len);
}

void tar_gzip(const struct buf *tar, size_t member_bytes, struct buf *out)
{
    pieces(tar, member_bytes, out, gzip_member);
}

void tar_zstd(const struct buf *tar, size_t frame_bytes, struct buf *out)
{
    pieces(tar, frame_bytes, out, zstd_frame);
}

static ssize_t read_bytes(void *ctx, void *to, size_t room, struct err *err)
{
    struct tar_bytes *b = ctx;
    (void)err;
    size_t n = b->bytes.len < room ? b->bytes.len : room;
    if (b->chunk && n > b->chunk)
        n = b->chunk;
    memcpy(to, b->bytes.ptr, n);
    b->bytes = span_skip(b->bytes, n);
    return (ssize_t)n;
}

static void close_bytes(void *ctx)
{
    ((struct tar_bytes *)ctx)->closed++;
}

struct layer_source tar_source(struct tar_bytes *b)
{
    return (struct layer_source){
        .digest = digest_of(b->bytes), .read = read_bytes, .close = close_bytes, .ctx = b};
}
