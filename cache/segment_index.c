/* SPDX-License-Identifier: Apache-2.0 */
/* segment_index.c - the bytes of an index:
 *
 *   "strata-index-1\n"
 *   compression (1 byte: 0 zstd, 1 gzip)
 *   count, then count x (tar_bytes, packed_bytes)           the pieces
 *   count, then for each entry
 *     type (1 byte; bit 7: implied)
 *     shared, length, bytes      the path: so many bytes of the last one's, then these
 *     mode, uid, gid, mtime, header_bytes / 512
 *     file: size, crc32 (4 bytes, little-endian); link: length, bytes of the target
 *
 * Numbers are LEB128 without needless bytes. */
#include "cache/segment_index.h"

#include "cache/tar_priv.h"

static const struct span magic = SPAN_INIT("strata-index-1\n");

#define MAX_PIECES       (1u << 20)
#define MAX_HEADER_BYTES (64u << 10)

static void put_number(struct buf *out, uint64_t n)
{
    for (; n >= 0x80; n >>= 7)
        buf_char(out, (char)(n | 0x80));
    buf_char(out, (char)n);
}

static void put_bytes(struct buf *out, struct span s)
{
    put_number(out, s.len);
    buf_append(out, s);
}

static void put_u32(struct buf *out, uint32_t n)
{
    for (int i = 0; i < 4; i++)
        buf_char(out, (char)(n >> (8 * i)));
}

static size_t shared_prefix(struct span a, struct span b)
{
    size_t n = 0;
    while (n < a.len && n < b.len && a.ptr[n] == b.ptr[n])
        n++;
    return n;
}

static void put_entry(struct buf *out, const struct index_entry *e, struct span last)
{
    size_t shared = shared_prefix(last, e->path);
    buf_char(out, (char)((unsigned)e->type | (e->implied ? 0x80u : 0)));
    put_number(out, shared);
    put_bytes(out, span_skip(e->path, shared));
    put_number(out, e->mode);
    put_number(out, e->uid);
    put_number(out, e->gid);
    put_number(out, (uint64_t)e->mtime);
    put_number(out, e->header_bytes / TAR_BLOCK);
    if (e->type == ENTRY_FILE) {
        put_number(out, e->size);
        put_u32(out, e->crc32);
    } else if (e->type == ENTRY_SYMLINK || e->type == ENTRY_HARDLINK) {
        put_bytes(out, e->target);
    }
}

void segment_index_encode(const struct segment_index *index, struct buf *out)
{
    struct span last = SPAN("");
    buf_append(out, magic);
    buf_char(out, (char)index->compression);
    put_number(out, index->pieces.n);
    for (size_t i = 0; i < index->pieces.n; i++) {
        put_number(out, index->pieces.v[i].tar_bytes);
        put_number(out, index->pieces.v[i].packed_bytes);
    }
    put_number(out, index->entries.n);
    for (size_t i = 0; i < index->entries.n; i++) {
        put_entry(out, &index->entries.v[i], last);
        last = index->entries.v[i].path;
    }
}

/* What is left to read; `bad` stays set after the first error. */
struct reader {
    struct span rest;
    bool bad;
};

static uint8_t get_byte(struct reader *r)
{
    if (r->bad || r->rest.len == 0) {
        r->bad = true;
        return 0;
    }
    uint8_t b = (uint8_t)r->rest.ptr[0];
    r->rest = span_skip(r->rest, 1);
    return b;
}

static uint64_t get_number(struct reader *r, uint64_t max)
{
    uint64_t n = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t b = get_byte(r);
        uint64_t bits = b & 0x7f;
        if (bits << shift >> shift != bits)
            break;
        n |= bits << shift;
        if (b & 0x80)
            continue;
        if (n > max || (b == 0 && shift > 0))
            break;
        return n;
    }
    r->bad = true;
    return 0;
}

static struct span get_bytes(struct reader *r, uint64_t max)
{
    uint64_t n = get_number(r, max);
    if (r->bad || n > r->rest.len) {
        r->bad = true;
        return SPAN("");
    }
    struct span s = span_slice(r->rest, 0, n);
    r->rest = span_skip(r->rest, n);
    return s;
}

static void get_path(struct reader *r, struct index_entry *e, struct span last, struct arena *a)
{
    uint64_t shared = get_number(r, SEGMENT_PATH_MAX);
    struct span rest = get_bytes(r, SEGMENT_PATH_MAX);
    if (r->bad || shared > last.len || shared + rest.len > SEGMENT_PATH_MAX ||
        (rest.len && shared < last.len && last.ptr[shared] == rest.ptr[0])) {
        r->bad = true;
        return;
    }
    char *path = arena_alloc(a, shared + rest.len + 1);
    memcpy(path, last.ptr, shared);
    memcpy(path + shared, rest.ptr, rest.len);
    e->path = span_of(path, shared + rest.len);
    r->bad = !tar_check_path(e->path, NULL);
}

static void get_entry(struct reader *r, struct index_entry *e, struct span last, struct arena *a)
{
    uint8_t type = get_byte(r);
    e->type = type & 0x7f;
    e->implied = type & 0x80;
    if (e->type > ENTRY_WHITEOUT || (e->implied && e->type != ENTRY_DIR))
        r->bad = true;
    get_path(r, e, last, a);
    e->mode = (uint32_t)get_number(r, 07777);
    e->uid = (uint32_t)get_number(r, UINT32_MAX);
    e->gid = (uint32_t)get_number(r, UINT32_MAX);
    e->mtime = (int64_t)get_number(r, INT64_MAX);
    e->header_bytes = (uint32_t)get_number(r, MAX_HEADER_BYTES / TAR_BLOCK) * TAR_BLOCK;
    if (e->header_bytes == 0)
        r->bad = true;
    if (e->type == ENTRY_FILE) {
        e->size = get_number(r, SEGMENT_MAX_BYTES);
        for (int i = 0; i < 4; i++)
            e->crc32 |= (uint32_t)get_byte(r) << (8 * i);
    } else if (e->type == ENTRY_SYMLINK || e->type == ENTRY_HARDLINK) {
        e->target = arena_span(a, get_bytes(r, SEGMENT_PATH_MAX));
        if (e->target.len == 0 || span_has(e->target, '\0') ||
            (e->type == ENTRY_HARDLINK && !r->bad && !tar_check_path(e->target, NULL)))
            r->bad = true;
    }
}

static void get_pieces(struct reader *r, struct segment_index *index)
{
    uint64_t n = get_number(r, MAX_PIECES);
    for (uint64_t i = 0; i < n && !r->bad; i++) {
        struct index_piece *p = VEC_PUSH(&index->pieces);
        p->tar_bytes = get_number(r, SEGMENT_MAX_BYTES);
        p->packed_bytes = get_number(r, SEGMENT_MAX_BYTES);
        index->tar_size += p->tar_bytes;
        index->packed_size += p->packed_bytes;
        if (p->tar_bytes == 0 || index->tar_size > 2 * SEGMENT_MAX_BYTES ||
            index->packed_size > 2 * SEGMENT_MAX_BYTES)
            r->bad = true;
    }
}

static void get_entries(struct reader *r, struct segment_index *index)
{
    uint64_t n = get_number(r, SEGMENT_MAX_ENTRIES), at = 0;
    struct span last = SPAN("");
    for (uint64_t i = 0; i < n && !r->bad; i++) {
        struct index_entry *e = VEC_PUSH(&index->entries);
        get_entry(r, e, last, index->arena);
        last = e->path;
        e->offset = at;
        at += e->header_bytes + tar_padded(e->size);
    }
    if (at != index->tar_size)
        r->bad = true;
}

bool segment_index_parse(struct span bytes, struct segment_index *out, struct err *err)
{
    struct reader r = {.rest = span_skip(bytes, magic.len)};
    *out = (struct segment_index){.arena = arena_new()};
    r.bad = !span_starts(bytes, magic);
    out->compression = get_byte(&r);
    if (out->compression > COMPRESS_GZIP)
        r.bad = true;
    get_pieces(&r, out);
    get_entries(&r, out);
    if (!r.bad && r.rest.len == 0)
        return true;
    segment_index_release(out);
    return err_set(err, ERR_CORRUPT, "segment index: damaged at byte %zu of %zu",
                   bytes.len - r.rest.len, bytes.len);
}

/* Do the folders, and pieces of their own, take what the segment says? */
static bool has_head(const struct segment_index *index, const struct segment *segment)
{
    uint64_t tar = 0, packed = 0, folders = 0;
    for (size_t i = 0; i < index->pieces.n && tar < segment->head_tar_size; i++) {
        tar += index->pieces.v[i].tar_bytes;
        packed += index->pieces.v[i].packed_bytes;
    }
    for (size_t i = 0; i < index->entries.n && index->entries.v[i].type == ENTRY_DIR; i++)
        folders += index->entries.v[i].header_bytes;
    return tar == segment->head_tar_size && packed == segment->head_size && folders == tar;
}

bool segment_index_load(struct store *s, const struct segment *segment, struct segment_index *out,
                        struct err *err)
{
    AUTO_MAPPED struct io_map map = {0};
    char text[DIGEST_TEXT_SIZE];
    *out = (struct segment_index){0};
    if (!store_map_blob(s, &segment->index, &map, err) || !segment_index_parse(map.bytes, out, err))
        return err_wrap(err, "segment %s", digest_text(&segment->blob, text));
    if (has_head(out, segment) && out->compression == segment->compression &&
        out->tar_size == segment->tar_size && out->packed_size == segment->size &&
        out->entries.n == segment->entry_count)
        return true;
    segment_index_release(out);
    return err_set(err, ERR_CORRUPT, "segment %s: its index is of another one",
                   digest_text(&segment->blob, text));
}

void segment_index_release(struct segment_index *index)
{
    arena_free(index->arena);
    VEC_FREE(&index->entries);
    VEC_FREE(&index->pieces);
    *index = (struct segment_index){0};
}

const struct index_entry *segment_index_find(const struct segment_index *index, struct span path)
{
    for (size_t i = 0; i < index->entries.n; i++)
        if (span_eq(index->entries.v[i].path, path))
            return &index->entries.v[i];
    return NULL;
}
