/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   local header | data | (descriptor)     one after another, from byte 0
 *   ...
 *   central directory                      one header an entry
 *   (ZIP64 end record | ZIP64 locator)
 *   end record | comment                   to the last byte
 */
#include "resolvers/archive/zip.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "resolvers/archive/archive_priv.h"
#include "resolvers/archive/zip_priv.h"

enum {
    END_SIZE = 22,
    END64_SIZE = 56,
    LOCATOR_SIZE = 20,
    CENTRAL_SIZE = 46,
    LOCAL_SIZE = 30,

    SIG_LOCAL = 0x04034b50,
    SIG_CENTRAL = 0x02014b50,
    SIG_END = 0x06054b50,
    SIG_END64 = 0x06064b50,
    SIG_LOCATOR = 0x07064b50,
    SIG_DESCRIPTOR = 0x08074b50,

    FLAG_ENCRYPTED = 1 << 0,
    FLAG_DESCRIPTOR = 1 << 3,
    FLAG_PATCH = 1 << 5,
    FLAG_STRONG = 1 << 6,
    FLAG_UTF8 = 1 << 11,
    FLAG_MASKED = 1 << 13,

    EXTRA_ZIP64 = 1,
};

const struct zip_limits zip_default_limits = {
    .max_entries = 200000,
    .max_entry_bytes = 4ull << 30,
    .max_total_bytes = 8ull << 30,
    .max_ratio = 200,
};

/* Where the central directory is, from the end records. */
struct directory {
    uint64_t offset, size, count;
};

/* What one header, central or local, says of an entry. */
struct header {
    uint32_t flags, method, crc32;
    uint64_t packed, size, local;
    struct span name, extra;
};

/* An entry while it is checked. */
struct item {
    struct header h;
    uint64_t begin, data_end; /* of local header and data */
};

static uint32_t u16(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8;
}

static uint32_t u32(const char *p)
{
    return u16(p) | u16(p + 2) << 16;
}

static uint64_t u64(const char *p)
{
    return (uint64_t)u32(p) | (uint64_t)u32(p + 4) << 32;
}

static bool bad(struct err *err, const char *why)
{
    return err_set(err, ERR_BAD_ARCHIVE, "zip: %s", why);
}

static bool bad_entry(struct err *err, struct span name, const char *why)
{
    char shown[ARCHIVE_SHOW_SIZE];
    return err_set(err, ERR_BAD_ARCHIVE, "zip entry \"%s\": %s", archive_show(name, shown), why);
}

static bool refuse_entry(struct err *err, enum err_code code, struct span name, const char *why)
{
    err_set(err, code, "%s", why);
    char shown[ARCHIVE_SHOW_SIZE];
    return err_wrap(err, "zip entry \"%s\"", archive_show(name, shown));
}

/* The last end record whose comment reaches exactly to the end. */
static bool find_end(struct span z, size_t *at, struct err *err)
{
    if (z.len < END_SIZE)
        return bad(err, "shorter than an end record");
    size_t last = z.len - END_SIZE;
    size_t first = last > 0xffff ? last - 0xffff : 0;
    for (size_t p = last + 1; p-- > first;) {
        if (z.ptr[p] != 'P' || u32(z.ptr + p) != SIG_END)
            continue;
        if (p + END_SIZE + u16(z.ptr + p + 20) != z.len)
            return bad(err, "the end record's comment does not reach the end");
        *at = p;
        return true;
    }
    return bad(err, "no end record: not a zip, or cut off");
}

static bool read_end64(struct span z, size_t end, struct directory *d, size_t *limit,
                       struct err *err)
{
    size_t locator = end - LOCATOR_SIZE;
    uint64_t at = u64(z.ptr + locator + 8);
    if (u32(z.ptr + locator + 4) != 0 || u32(z.ptr + locator + 16) > 1)
        return err_set(err, ERR_UNSUPPORTED, "zip: split over several files");
    if (at > locator || locator - at < END64_SIZE || u32(z.ptr + at) != SIG_END64)
        return bad(err, "no ZIP64 end record where the locator says");
    const char *p = z.ptr + at;
    if (u64(p + 4) != locator - at - 12)
        return bad(err, "the ZIP64 end record does not reach the locator");
    if (u32(p + 16) != 0 || u32(p + 20) != 0 || u64(p + 24) != u64(p + 32))
        return err_set(err, ERR_UNSUPPORTED, "zip: split over several files");
    struct directory d64 = {.count = u64(p + 32), .size = u64(p + 40), .offset = u64(p + 48)};
    if ((d->count != 0xffff && d->count != d64.count) ||
        (d->size != 0xffffffff && d->size != d64.size) ||
        (d->offset != 0xffffffff && d->offset != d64.offset))
        return bad(err, "end record and ZIP64 end record differ");
    *d = d64;
    *limit = (size_t)at;
    return true;
}

static bool read_end(struct span z, const struct zip_limits *limits, struct directory *d,
                     struct err *err)
{
    size_t end, limit;
    if (!find_end(z, &end, err))
        return false;
    const char *p = z.ptr + end;
    limit = end;
    *d = (struct directory){.count = u16(p + 10), .size = u32(p + 12), .offset = u32(p + 16)};
    uint32_t disk = u16(p + 4), start = u16(p + 6), here = u16(p + 8);
    if ((disk && disk != 0xffff) || (start && start != 0xffff) || here != d->count)
        return err_set(err, ERR_UNSUPPORTED, "zip: split over several files");
    bool has64 = end >= LOCATOR_SIZE && u32(p - LOCATOR_SIZE) == SIG_LOCATOR;
    if (has64 && !read_end64(z, end, d, &limit, err))
        return false;
    if (d->offset > limit || limit - d->offset != d->size)
        return bad(err, "the central directory does not reach the end record");
    if (d->count > limits->max_entries)
        return err_set(err, ERR_TOO_LARGE, "zip: %llu entries, at most %u are allowed",
                       (unsigned long long)d->count, limits->max_entries);
    if (d->count > d->size / CENTRAL_SIZE)
        return bad(err, "more entries than fit into the central directory");
    return true;
}

/* The extra field of that id; ptr NULL when there is none. */
static bool find_extra(struct span extra, uint32_t id, struct span *out)
{
    *out = (struct span){NULL, 0};
    while (extra.len >= 4) {
        size_t n = u16(extra.ptr + 2);
        if (n > extra.len - 4)
            return false;
        if (u16(extra.ptr) == id) {
            if (out->ptr)
                return false;
            *out = span_of(extra.ptr + 4, n);
        }
        extra = span_skip(extra, 4 + n);
    }
    return true; /* up to three stray bytes are padding that some writers leave */
}

static bool take64(struct span *field, uint64_t *value)
{
    if (*value != 0xffffffff)
        return true;
    if (field->len < 8)
        return false;
    *value = u64(field->ptr);
    *field = span_skip(*field, 8);
    return true;
}

/* Replaces the sizes and the offset by those of the ZIP64 field where they say so. */
static bool widen(struct header *h, bool central)
{
    struct span field;
    if (!find_extra(h->extra, EXTRA_ZIP64, &field))
        return false;
    if (!field.ptr) /* then 0xffffffff is a size like any other, and ends in a range check */
        return true;
    return take64(&field, &h->size) && take64(&field, &h->packed) &&
           (!central || take64(&field, &h->local));
}

static bool read_central(struct span *rest, struct header *h, uint32_t *mode, struct err *err)
{
    const char *p = rest->ptr;
    if (rest->len < CENTRAL_SIZE || u32(p) != SIG_CENTRAL)
        return bad(err, "the central directory is broken");
    size_t name = u16(p + 28), extra = u16(p + 30), comment = u16(p + 32);
    if (rest->len - CENTRAL_SIZE < name + extra + comment)
        return bad(err, "the central directory is cut off");
    *h = (struct header){
        .flags = u16(p + 8),
        .method = u16(p + 10),
        .crc32 = u32(p + 16),
        .packed = u32(p + 20),
        .size = u32(p + 24),
        .local = u32(p + 42),
        .name = span_of(p + CENTRAL_SIZE, name),
        .extra = span_of(p + CENTRAL_SIZE + name, extra),
    };
    *mode = u32(p + 38) >> 16;
    uint32_t disk = u16(p + 34);
    *rest = span_skip(*rest, CENTRAL_SIZE + name + extra + comment);
    if (disk != 0 && disk != 0xffff)
        return refuse_entry(err, ERR_UNSUPPORTED, h->name, "in another part of a split archive");
    if (!widen(h, true))
        return bad_entry(err, h->name, "its extra fields are broken");
    return true;
}

static bool check_header(const struct header *h, const struct zip_limits *limits, struct err *err)
{
    if (h->flags & (FLAG_ENCRYPTED | FLAG_STRONG | FLAG_MASKED))
        return refuse_entry(err, ERR_UNSUPPORTED, h->name, "is encrypted");
    if ((h->flags & FLAG_PATCH) || (h->method != 0 && h->method != 8))
        return refuse_entry(err, ERR_UNSUPPORTED, h->name,
                            "neither stored nor deflated, the two methods that are allowed");
    if (h->method == 0 && h->packed != h->size)
        return bad_entry(err, h->name, "stored, but its two sizes differ");
    if (h->size > limits->max_entry_bytes)
        return refuse_entry(err, ERR_TOO_LARGE, h->name, "is larger than allowed");
    /* Deflate never does better than 1032 to 1. */
    if (h->method == 8 && h->size / 1033 > h->packed)
        return bad_entry(err, h->name, "claims more bytes than deflate can hold");
    return true;
}

static bool same_as_local(const struct header *h, const struct header *local, struct err *err)
{
    const uint32_t mask = FLAG_ENCRYPTED | FLAG_DESCRIPTOR | FLAG_STRONG | FLAG_MASKED;
    bool later = h->flags & FLAG_DESCRIPTOR;
    if (!span_eq(h->name, local->name))
        return bad_entry(err, h->name, "its local header has another name");
    if (h->method != local->method || (h->flags & mask) != (local->flags & mask))
        return bad_entry(err, h->name, "its local header has another method");
    if ((h->crc32 != local->crc32 && !(later && local->crc32 == 0)) ||
        (h->size != local->size && !(later && local->size == 0)) ||
        (h->packed != local->packed && !(later && local->packed == 0)))
        return bad_entry(err, h->name, "its local header has another size or CRC");
    return true;
}

static bool read_local(struct span z, uint64_t limit, struct item *it, struct span *data,
                       struct err *err)
{
    const struct header *h = &it->h;
    if (h->local > limit || limit - h->local < LOCAL_SIZE || u32(z.ptr + h->local) != SIG_LOCAL)
        return bad_entry(err, h->name, "no local header where the directory says");
    const char *p = z.ptr + h->local;
    uint64_t name = u16(p + 26), extra = u16(p + 28), room = limit - h->local - LOCAL_SIZE;
    if (room < name + extra || room - name - extra < h->packed)
        return bad_entry(err, h->name, "its data reaches into the central directory");
    struct header local = {
        .flags = u16(p + 6),
        .method = u16(p + 8),
        .crc32 = u32(p + 14),
        .packed = u32(p + 18),
        .size = u32(p + 22),
        .name = span_of(p + LOCAL_SIZE, name),
        .extra = span_of(p + LOCAL_SIZE + name, extra),
    };
    if (!widen(&local, false))
        return bad_entry(err, h->name, "its extra fields are broken");
    *data = span_of(p + LOCAL_SIZE + name + extra, h->packed);
    it->begin = h->local;
    it->data_end = h->local + LOCAL_SIZE + name + extra + h->packed;
    return same_as_local(h, &local, err);
}

static int by_begin(const void *a, const void *b)
{
    const struct item *x = *(const struct item *const *)a, *y = *(const struct item *const *)b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* The bytes between an entry's data and the next header may only be its data descriptor. */
static bool descriptor_fits(struct span gap, const struct header *h)
{
    if (gap.len == 0)
        return !(h->flags & FLAG_DESCRIPTOR);
    if (!(h->flags & FLAG_DESCRIPTOR))
        return false;
    if (gap.len == 16 || gap.len == 24) {
        if (u32(gap.ptr) != SIG_DESCRIPTOR)
            return false;
        gap = span_skip(gap, 4);
    }
    if (gap.len == 12)
        return u32(gap.ptr) == h->crc32 && u32(gap.ptr + 4) == h->packed &&
               u32(gap.ptr + 8) == h->size;
    return gap.len == 20 && u32(gap.ptr) == h->crc32 && u64(gap.ptr + 4) == h->packed &&
           u64(gap.ptr + 12) == h->size;
}

static bool check_tiling(struct span z, struct item *items, size_t n, uint64_t limit,
                         struct err *err)
{
    AUTO_FREE struct item **order = mem_array(n + 1, sizeof(struct item *));
    for (size_t i = 0; i < n; i++)
        order[i] = &items[i];
    qsort(order, n, sizeof(*order), by_begin);
    if (n && order[0]->begin != 0)
        return bad(err, "bytes before the first entry");
    if (!n && limit != 0)
        return bad(err, "bytes before the central directory, which is empty");
    for (size_t i = 0; i < n; i++) {
        const struct item *it = order[i];
        uint64_t next = i + 1 < n ? order[i + 1]->begin : limit;
        if (next < it->data_end)
            return bad_entry(err, it->h.name, "overlaps another entry");
        struct span gap = span_of(z.ptr + it->data_end, next - it->data_end);
        if (!descriptor_fits(gap, &it->h))
            return bad_entry(err, it->h.name, "is followed by bytes of no entry");
    }
    return true;
}

static bool take_name(const struct header *h, struct zip_entry *e, struct map *seen,
                      struct arena *a, struct err *err)
{
    struct span name = h->name;
    if ((h->flags & FLAG_UTF8) ? !span_is_utf8(name) : !zip_name_from_cp437(&name, a))
        return bad_entry(err, name, "its name is not UTF-8, though marked so");
    e->dir = span_ends(name, SPAN("/"));
    e->name = e->dir ? span_slice(name, 0, name.len - 1) : name;
    if (span_has(name, '\\'))
        return bad_entry(err, name, "a backslash in its name");
    if (!archive_path_is_small(e->name))
        return refuse_entry(err, ERR_TOO_LARGE, name, "its name is too long or nested too deeply");
    if (!archive_path_is_plain(e->name))
        return bad_entry(err, name, "its name is no plain relative path");
    if (e->dir && h->size != 0)
        return bad_entry(err, name, "a folder with content");
    if (!map_put(seen, e->name, e))
        return bad_entry(err, name, "twice in the archive");
    return true;
}

static bool read_entries(struct zip *z, const struct directory *d, const struct zip_limits *limits,
                         struct item *items, struct map *seen, struct arena *a, struct err *err)
{
    struct span rest = span_of(z->bytes.ptr + d->offset, d->size);
    uint64_t total = 0, names = 0;
    for (size_t i = 0; i < z->count; i++) {
        struct zip_entry *e = &z->entries[i];
        struct header *h = &items[i].h;
        if (!read_central(&rest, h, &e->mode, err) || !check_header(h, limits, err) ||
            !take_name(h, e, seen, a, err) ||
            !read_local(z->bytes, d->offset, &items[i], &e->data, err))
            return false;
        e->deflated = h->method == 8;
        e->crc32 = h->crc32;
        e->size = h->size;
        total += h->size;
        names += h->name.len;
        if (names > ARCHIVE_MAX_NAMES_BYTES)
            return err_set(err, ERR_TOO_LARGE, "zip: more than %u bytes of names",
                           ARCHIVE_MAX_NAMES_BYTES);
        if (total > limits->max_total_bytes ||
            (total > 64u << 20 && total / limits->max_ratio > z->bytes.len))
            return err_set(err, ERR_TOO_LARGE, "zip: holds more bytes than allowed (zip bomb?)");
    }
    return rest.len == 0 || bad(err, "more in the central directory than the end record says");
}

bool zip_open(struct zip *z, struct span bytes, const struct zip_limits *limits, struct arena *a,
              struct err *err)
{
    struct directory d;
    if (!read_end(bytes, limits, &d, err))
        return false;
    *z = (struct zip){.bytes = bytes, .count = (size_t)d.count};
    z->entries = arena_array(a, z->count + 1, sizeof(*z->entries));
    AUTO_FREE struct item *items = mem_array(z->count + 1, sizeof(*items));
    AUTO_MAP struct map seen = {0};
    return read_entries(z, &d, limits, items, &seen, a, err) &&
           check_tiling(bytes, items, z->count, d.offset, err);
}

const struct zip_entry *zip_find(const struct zip *z, struct span name)
{
    for (size_t i = 0; i < z->count; i++)
        if (!z->entries[i].dir && span_eq(z->entries[i].name, name))
            return &z->entries[i];
    return NULL;
}
