/* SPDX-License-Identifier: Apache-2.0 */
/* clash.c - what several packages bring under one path must be the same, but for a part that lies
 * on top of its manager's others (layer_part_is_top), which may change all they have.
 *
 * Folders merge (of different modes, the later layer's counts, as in any stack of layers).
 * Files are the same when type, mode, owner and bytes are; the index tells all but the bytes,
 * of which it has only a CRC-32, so those are read. */
#include "base/map.h"
#include "cache/layer_priv.h"
#include "cache/segment_index.h"
#include "cache/tar_priv.h"
#include "cache/unframe.h"

#define COMPARE_BYTES (64u << 10)

/* Where a path was seen first. */
struct owner {
    size_t part; /* in order */
    const struct index_entry *entry;
    uint32_t share; /* number of the path once a second part has it; 0: not yet */
};

struct checker {
    struct store *store;
    const struct artifact_part *const *parts;
    struct segment_index *indices; /* of each part */
    struct part_shares *shares;
    struct map paths; /* -> struct owner */
    struct arena *arena;
    uint32_t share_count;
};

/* One file's bytes out of a segment. */
struct file_reader {
    struct io_map map;
    struct unframe *frames;
    uint64_t skip;
};

static bool file_open(struct file_reader *f, struct store *s, const struct segment *segment,
                      const struct segment_index *index, const struct index_entry *e,
                      struct err *err)
{
    uint64_t at = e->offset + e->header_bytes, packed = 0;
    size_t i = 0;
    for (; i < index->pieces.n && at >= index->pieces.v[i].tar_bytes; i++) {
        at -= index->pieces.v[i].tar_bytes;
        packed += index->pieces.v[i].packed_bytes;
    }
    if (!store_map_blob(s, &segment->blob, &f->map, err))
        return false;
    if (f->map.bytes.len != segment->size)
        return err_set(err, ERR_CORRUPT, "a segment has %zu bytes instead of %llu",
                       f->map.bytes.len, (unsigned long long)segment->size);
    f->frames = unframe_new(segment->compression);
    unframe_feed(f->frames, span_skip(f->map.bytes, packed));
    f->skip = at;
    return true;
}

static void file_close(struct file_reader *f)
{
    unframe_free(f->frames);
    io_unmap(&f->map);
}

/* Exactly so many bytes of the file. */
static bool file_read(struct file_reader *f, char *out, size_t len, struct err *err)
{
    for (size_t done = 0, n; done < len;) {
        size_t want = f->skip ? (f->skip < len ? (size_t)f->skip : len) : len - done;
        if (!unframe_read(f->frames, out + (f->skip ? 0 : done), want, &n, err))
            return false;
        if (n == 0)
            return err_set(err, ERR_CORRUPT, "a segment is cut short");
        if (f->skip)
            f->skip -= n;
        else
            done += n;
    }
    return true;
}

/* False + err->code ERR_NONE: they differ. */
static bool same_bytes(const struct checker *c, const struct owner *a, size_t part_b,
                       const struct index_entry *b, struct err *err)
{
    struct file_reader fa = {0}, fb = {0};
    AUTO_FREE char *pa = mem_alloc(COMPARE_BYTES), *pb = mem_alloc(COMPARE_BYTES);
    uint64_t left = b->size;
    bool ok = left == 0 ||
              (file_open(&fa, c->store, &c->parts[a->part]->segment, &c->indices[a->part], a->entry,
                         err) &&
               file_open(&fb, c->store, &c->parts[part_b]->segment, &c->indices[part_b], b, err));
    while (ok && left) {
        size_t n = left < COMPARE_BYTES ? (size_t)left : COMPARE_BYTES;
        ok = file_read(&fa, pa, n, err) && file_read(&fb, pb, n, err) && memcmp(pa, pb, n) == 0;
        left -= n;
    }
    file_close(&fa);
    file_close(&fb);
    return ok;
}

/* Compiled from equal sources, two .pyc files may differ in marks that mean nothing; from unequal
 * ones, it is the sources that clash. Either will do. */
static bool both_compiled(const struct checker *c, const struct owner *o, size_t part)
{
    return strcmp(c->parts[o->part]->kind, "bytecode") == 0 &&
           strcmp(c->parts[part]->kind, "bytecode") == 0;
}

static bool same(const struct checker *c, const struct owner *o, size_t part,
                 const struct index_entry *b, struct err *err)
{
    const struct index_entry *a = o->entry;
    if (a->type != b->type)
        return false;
    if (both_compiled(c, o, part))
        return true;
    switch (a->type) {
    case ENTRY_DIR:
    case ENTRY_WHITEOUT: return true;
    case ENTRY_SYMLINK:
    case ENTRY_HARDLINK: return span_eq(a->target, b->target);
    case ENTRY_FILE:
        return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid && a->size == b->size &&
               a->crc32 == b->crc32 && same_bytes(c, o, part, b, err);
    }
    return false;
}

static const char *kind_name(const struct index_entry *e)
{
    static const char *const names[] = {"a file", "a folder", "a link", "a hard link", "a removal"};
    return names[e->type];
}

static bool clash(const struct checker *c, const struct owner *o, size_t part,
                  const struct index_entry *e, struct err *err)
{
    const struct artifact_part *a = c->parts[o->part], *b = c->parts[part];
    char shown[200];
    tar_show(e->path, shown);
    if (o->entry->type != e->type)
        return err_set(err, ERR_FILE_CLASH,
                       "%s: %s in %s package %s, but %s in %s package %s; leave one of them out",
                       shown, kind_name(o->entry), a->manager, a->name, kind_name(e), b->manager,
                       b->name);
    return err_set(err, ERR_FILE_CLASH,
                   "%s: %s package %s and %s package %s bring different content for it; leave one "
                   "of them out or choose other versions",
                   shown, a->manager, a->name, b->manager, b->name);
}

static void note_share(struct checker *c, struct owner *o, size_t part)
{
    if (!o->share) {
        o->share = ++c->share_count;
        *VEC_PUSH(&c->shares[o->part].v) = o->share;
    }
    *VEC_PUSH(&c->shares[part].v) = o->share;
}

static bool is_change(const struct checker *c, const struct owner *o, size_t part)
{
    const struct artifact_part *below = c->parts[o->part], *p = c->parts[part];
    return layer_part_is_top(p) && strcmp(below->manager, p->manager) == 0;
}

static bool check_part(struct checker *c, size_t part, struct err *err)
{
    const struct segment_index *index = &c->indices[part];
    for (size_t i = 0; i < index->entries.n; i++) {
        const struct index_entry *e = &index->entries.v[i];
        void **at = map_at(&c->paths, e->path);
        struct owner *o = *at;
        struct err why = {0};
        if (!o) {
            *at = o = ARENA_NEW(c->arena, struct owner);
            *o = (struct owner){part, e, 0};
            continue;
        }
        if (is_change(c, o, part)) {
            *o = (struct owner){part, e, 0};
            continue;
        }
        if (!same(c, o, part, e, &why)) {
            if (why.code)
                return err_set(err, why.code, "%s", why.text);
            return clash(c, o, part, e, err);
        }
        if (e->type != ENTRY_DIR)
            note_share(c, o, part);
    }
    return true;
}

bool layer_check_clashes(struct store *s, const struct artifact_part *const *parts, size_t count,
                         struct part_shares *shares, struct err *err)
{
    struct checker c = {.store = s, .parts = parts, .shares = shares, .arena = arena_new()};
    c.indices = mem_array(count, sizeof(*c.indices));
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++)
        ok =
            segment_index_load(s, &parts[i]->segment, &c.indices[i], err) && check_part(&c, i, err);
    for (size_t i = 0; i < count; i++)
        segment_index_release(&c.indices[i]);
    free(c.indices);
    map_release(&c.paths);
    arena_free(c.arena);
    return ok;
}
