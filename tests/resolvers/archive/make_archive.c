/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/resolvers/archive/make_archive.h"

#include <libdeflate.h>
#include <stdio.h>

static void le16(struct buf *b, uint32_t n)
{
    const char bytes[2] = {(char)n, (char)(n >> 8)};
    buf_append(b, span_of(bytes, 2));
}

static void le32(struct buf *b, uint64_t n)
{
    le16(b, (uint32_t)n & 0xffff);
    le16(b, (uint32_t)(n >> 16) & 0xffff);
}

static void le64(struct buf *b, uint64_t n)
{
    le32(b, n & 0xffffffff);
    le32(b, n >> 32);
}

struct made_entry *made_zip_add(struct made_zip *z, const char *name, const char *content)
{
    struct made_entry *e = &z->entries[z->count++];
    *e = (struct made_entry){.name = name, .content = span_str(content)};
    return e;
}

static struct span packed(const struct made_entry *e, struct arena *a)
{
    if (e->stored)
        return e->content;
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
    size_t room = libdeflate_deflate_compress_bound(c, e->content.len);
    char *out = arena_alloc(a, room);
    size_t n = libdeflate_deflate_compress(c, e->content.ptr, e->content.len, out, room);
    libdeflate_free_compressor(c);
    return span_of(out, n);
}

struct placed {
    uint64_t offset, size;
    struct span data;
    uint32_t crc, flags, method;
};

static void local_header(struct buf *b, const struct made_entry *e, const struct placed *p)
{
    const char *name = e->local_name ? e->local_name : e->name;
    bool later = e->descriptor;
    le32(b, 0x04034b50);
    le16(b, e->zip64 ? 45 : 20);
    le16(b, p->flags);
    le16(b, p->method);
    le32(b, 0);
    le32(b, later ? 0 : p->crc);
    le32(b, e->zip64 ? 0xffffffff : later ? 0 : p->data.len);
    le32(b, e->zip64 ? 0xffffffff : later ? 0 : p->size ^ e->local_size_xor);
    le16(b, (uint32_t)strlen(name));
    le16(b, e->zip64 ? 20 : 0);
    buf_str(b, name);
    if (e->zip64) {
        le16(b, 1);
        le16(b, 16);
        le64(b, later ? 0 : p->size ^ e->local_size_xor);
        le64(b, later ? 0 : p->data.len);
    }
    buf_append(b, p->data);
    if (later) {
        le32(b, 0x08074b50);
        le32(b, p->crc);
        e->zip64 ? le64(b, p->data.len) : le32(b, p->data.len);
        e->zip64 ? le64(b, p->size) : le32(b, p->size);
    }
    if (e->gap)
        buf_str(b, e->gap);
}

static void central_header(struct buf *b, const struct made_entry *e, const struct placed *p)
{
    uint32_t mode = e->mode ? e->mode : 0100644;
    le32(b, 0x02014b50);
    le16(b, 3 << 8 | 20);
    le16(b, e->zip64 ? 45 : 20);
    le16(b, p->flags);
    le16(b, p->method);
    le32(b, 0);
    le32(b, p->crc);
    le32(b, e->zip64 ? 0xffffffff : p->data.len);
    le32(b, e->zip64 ? 0xffffffff : p->size);
    le16(b, (uint32_t)strlen(e->name));
    le16(b, e->zip64 ? 28 : 0);
    le16(b, 0);
    le16(b, 0);
    le16(b, 0);
    le32(b, mode << 16);
    le32(b, e->zip64 ? 0xffffffff : p->offset);
    buf_str(b, e->name);
    if (e->zip64) {
        le16(b, 1);
        le16(b, 24);
        le64(b, p->size);
        le64(b, p->data.len);
        le64(b, p->offset);
    }
}

static void end_records(const struct made_zip *z, struct buf *b, uint64_t count, uint64_t offset,
                        uint64_t size)
{
    uint64_t at = b->len;
    const char *comment = z->comment ? z->comment : "";
    if (z->zip64_end) {
        le32(b, 0x06064b50);
        le64(b, 44);
        le16(b, 45);
        le16(b, 45);
        le32(b, 0);
        le32(b, 0);
        le64(b, count);
        le64(b, count);
        le64(b, size);
        le64(b, offset);
        le32(b, 0x07064b50);
        le32(b, 0);
        le64(b, at);
        le32(b, 1);
    }
    le32(b, 0x06054b50);
    le32(b, 0);
    le16(b, z->zip64_end ? 0xffff : (uint32_t)count);
    le16(b, z->zip64_end ? 0xffff : (uint32_t)count);
    le32(b, z->zip64_end ? 0xffffffff : size);
    le32(b, z->zip64_end ? 0xffffffff : offset);
    le16(b, (uint32_t)strlen(comment));
    buf_str(b, comment);
}

struct span made_zip_bytes(const struct made_zip *z)
{
    AUTO_BUF struct buf b = BUF(1u << 30);
    struct placed placed[64];
    uint64_t listed = 0;
    buf_str(&b, z->prefix ? z->prefix : "");
    for (size_t i = 0; i < z->count; i++) {
        const struct made_entry *e = &z->entries[i];
        struct placed *p = &placed[i];
        *p = (struct placed){.offset = b.len, .data = packed(e, z->arena)};
        p->size = e->size ? e->size : e->content.len;
        p->crc = libdeflate_crc32(0, e->content.ptr, e->content.len) ^ e->crc_xor;
        p->flags = e->flags | (e->descriptor ? 8u : 0);
        p->method = e->method ? e->method : e->stored ? 0 : 8;
        if (e->shares_local)
            p->offset = placed[i - 1].offset;
        else
            local_header(&b, e, p);
    }
    uint64_t offset = b.len;
    for (size_t i = 0; i < z->count; i++)
        for (int n = 0; n <= z->entries[i].twice_central; n++, listed++)
            central_header(&b, &z->entries[i], &placed[i]);
    end_records(z, &b, listed + (uint64_t)z->count_off, offset,
                b.len - offset + (uint64_t)z->size_off);
    buf_str(&b, z->trailer ? z->trailer : "");
    return arena_span(z->arena, buf_span(&b));
}

void made_tar_init(struct made_tar *t, struct arena *a)
{
    *t = (struct made_tar){.arena = a, .bytes = BUF(1u << 30)};
}

static void put(char *block, size_t at, size_t room, const char *text)
{
    size_t n = strlen(text);
    memcpy(block + at, text, n < room ? n : room);
}

static void header(struct made_tar *t, char type, const char *name, const char *target,
                   uint32_t mode, size_t size)
{
    char block[512] = {0}, number[24];
    unsigned sum = 0;
    put(block, 0, 100, name);
    snprintf(number, sizeof(number), "%07o", mode);
    put(block, 100, 8, number);
    put(block, 108, 8, "0000000");
    put(block, 116, 8, "0000000");
    snprintf(number, sizeof(number), "%011zo", size);
    put(block, 124, 12, number);
    put(block, 136, 12, "00000000000");
    put(block, 148, 8, "        ");
    block[156] = type;
    put(block, 157, 100, target);
    memcpy(block + 257, "ustar\00000", 8);
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)block[i];
    snprintf(number, sizeof(number), "%06o", sum);
    memcpy(block + 148, number, 7);
    buf_append(&t->bytes, span_of(block, 512));
}

void made_tar_add(struct made_tar *t, char type, const char *name, uint32_t mode,
                  struct span content)
{
    static const char zeros[512];
    header(t, type, name, "", mode, content.len);
    buf_append(&t->bytes, content);
    buf_append(&t->bytes, span_of(zeros, (512 - content.len % 512) % 512));
}

void made_tar_link(struct made_tar *t, char type, const char *name, const char *target)
{
    header(t, type, name, target, 0777, 0);
}

void made_tar_pax(struct made_tar *t, char type, const char *key, const char *value)
{
    size_t body = strlen(key) + strlen(value) + 3, n = body + 1;
    char number[24];
    while ((size_t)snprintf(number, sizeof(number), "%zu", n) + body != n)
        n = (size_t)snprintf(number, sizeof(number), "%zu", n) + body;
    made_tar_add(t, type, "pax", 0644,
                 span_str(arena_printf(t->arena, "%zu %s=%s\n", n, key, value)));
}

void made_tar_end(struct made_tar *t)
{
    static const char zeros[1024];
    buf_append(&t->bytes, span_of(zeros, sizeof(zeros)));
}

void made_tar_release(struct made_tar *t)
{
    buf_release(&t->bytes);
}

struct span made_gzip(struct span content, struct arena *a)
{
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
    size_t room = libdeflate_gzip_compress_bound(c, content.len);
    char *out = arena_alloc(a, room);
    size_t n = libdeflate_gzip_compress(c, content.ptr, content.len, out, room);
    libdeflate_free_compressor(c);
    return span_of(out, n);
}
