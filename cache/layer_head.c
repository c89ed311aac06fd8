/* SPDX-License-Identifier: Apache-2.0 */
/* layer_head.c - the folders of a layer of several segments. */
#include "base/map.h"
#include "cache/frames_priv.h"
#include "cache/layer_priv.h"
#include "cache/segment_index.h"
#include "cache/tar_priv.h"

#define HEAD_MAX_BYTES (512u << 20)

/* A folder that a package lists itself counts more than one that only lies on the way to its
 * files; of several lists, the last. */
static void take_folders(struct map *folders, const struct segment_index *index)
{
    for (size_t i = 0; i < index->entries.n; i++) {
        const struct index_entry *e = &index->entries.v[i];
        if (e->type != ENTRY_DIR)
            continue;
        void **at = map_at(folders, e->path);
        if (!*at || !e->implied)
            *at = (void *)(uintptr_t)e;
    }
}

static int by_path(const void *a, const void *b)
{
    const struct map_entry *x = a, *y = b;
    return span_cmp(x->key, y->key);
}

/* Reorders the map's own table, which is not looked into again. */
static void write_folders(struct buf *tar, struct map *folders)
{
    if (folders->n)
        qsort(folders->v, folders->n, sizeof(*folders->v), by_path);
    for (size_t i = 0; i < folders->n; i++) {
        const struct index_entry *e = folders->v[i].value;
        struct segment_entry x = {.path = e->path,
                                  .type = ENTRY_DIR,
                                  .mode = e->mode,
                                  .uid = e->uid,
                                  .gid = e->gid,
                                  .mtime = e->mtime};
        tar_header(tar, &x);
    }
}

bool layer_make_head(struct store *s, struct layer *l, struct err *err)
{
    struct segment_index *indices = mem_array(l->segment_count, sizeof(*indices));
    AUTO_MAP struct map folders = {0};
    AUTO_BUF struct buf tar = BUF(HEAD_MAX_BYTES), packed = BUF(HEAD_MAX_BYTES);
    bool ok = true;
    for (size_t i = 0; ok && i < l->segment_count; i++) {
        ok = segment_index_load(s, &l->segments[i], &indices[i], err);
        if (ok)
            take_folders(&folders, &indices[i]);
    }
    if (ok) {
        write_folders(&tar, &folders);
        frame_alone(l->compression, buf_span(&tar), &packed);
        ok = (!tar.overflow && !packed.overflow) ||
             err_set(err, ERR_TOO_LARGE, "a layer with too many folders");
    }
    for (size_t i = 0; i < l->segment_count; i++)
        segment_index_release(&indices[i]);
    free(indices);
    l->head_size = packed.len;
    return ok && store_put_blob(s, buf_span(&packed), &l->head, err);
}
