/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/npm/tarball.h"

#include "resolvers/archive/gzip.h"
#include "resolvers/archive/paths.h"
#include "resolvers/archive/tar.h"

#define SMALL_BYTES (64ull << 20) /* up to here any ratio is fine */
#define RATIO_MAX   200u

static bool inflate(struct npm_tarball *t, struct span blob, struct span *tar, struct err *err)
{
    uint64_t max =
        blob.len > NPM_TARBALL_MAX_BYTES / RATIO_MAX ? NPM_TARBALL_MAX_BYTES : blob.len * RATIO_MAX;
    size_t n;
    if (!gzip_is(blob)) { /* npm takes plain ones too */
        *tar = blob;
        return true;
    }
    if (!gzip_inflate(blob, max < SMALL_BYTES ? SMALL_BYTES : max, &t->bytes, &n, err))
        return false;
    *tar = span_of(t->bytes, n);
    return true;
}

/* umask 022, readable by all, writable by the owner; no setuid and the like. */
static uint32_t file_mode(uint32_t mode)
{
    return ((mode | 0666) & 0755) | 0600;
}

static bool add_file(struct npm_tarball *t, struct span path, const struct tar_entry *e,
                     struct arena *a, struct err *err)
{
    struct npm_file *old = npm_tarball_find(t, path);
    if (old && !span_eq(old->data, e->data))
        return err_set(err, ERR_BAD_ARCHIVE, "tarball: %.*s twice, with different content",
                       SPAN_ARG(path));
    struct npm_file *f = old ? old : ARENA_NEW(a, struct npm_file);
    *f = (struct npm_file){.path = path, .mode = file_mode(e->mode), .data = e->data};
    if (!old) {
        *VEC_PUSH(&t->files) = f;
        map_put(&t->by_path, path, f);
    }
    return true;
}

static bool is_gitignore(struct span path)
{
    return span_eq(path, SPAN(".gitignore")) || span_ends(path, SPAN("/.gitignore"));
}

/* After all files are known: the .npmignore beside it may come later in the tarball. */
static void rename_gitignores(struct npm_tarball *t, struct arena *a)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->files.n; i++) {
        struct npm_file *f = t->files.v[i];
        if (is_gitignore(f->path)) {
            map_put(&t->by_path, f->path, NULL);
            f->path = span_str(arena_printf(
                a, "%.*s.npmignore", (int)(f->path.len - strlen(".gitignore")), f->path.ptr));
            if (map_get(&t->by_path, f->path))
                continue;
            map_put(&t->by_path, f->path, f);
        }
        t->files.v[kept++] = f;
    }
    t->files.n = kept;
}

bool npm_tarball_open(struct npm_tarball *t, struct span blob, struct arena *a, struct err *err)
{
    struct span bytes;
    struct tar_entry e;
    *t = (struct npm_tarball){0};
    if (!inflate(t, blob, &bytes, err))
        return false;
    struct tar tar = tar_of(bytes, a);
    while (tar_next(&tar, &e, err)) {
        struct span path = tar_strip(e.path, 1, a);
        if (e.type != TAR_FILE || path.len == 0)
            continue;
        if (!span_is_utf8(path))
            return err_set(err, ERR_BAD_ARCHIVE, "tarball: a file name that is not UTF-8");
        if (!add_file(t, path, &e, a, err))
            return false;
    }
    if (err->code)
        return false;
    if (t->files.n == 0)
        return err_set(err, ERR_BAD_ARCHIVE, "tarball: no files in it");
    rename_gitignores(t, a);
    struct span file;
    return !paths_find_file_as_folder(&t->by_path, &file) ||
           err_set(err, ERR_BAD_ARCHIVE, "tarball: %.*s is a file and a folder", SPAN_ARG(file));
}

void npm_tarball_release(struct npm_tarball *t)
{
    VEC_FREE(&t->files);
    map_release(&t->by_path);
    free(t->bytes);
    t->bytes = NULL;
}

struct npm_file *npm_tarball_find(const struct npm_tarball *t, struct span path)
{
    return map_get(&t->by_path, path);
}

bool npm_tarball_has_folder(const struct npm_tarball *t, struct span path)
{
    for (size_t i = 0; i < t->files.n; i++) {
        struct span p = t->files.v[i]->path;
        if (p.len > path.len && p.ptr[path.len] == '/' && span_starts(p, path))
            return true;
    }
    return false;
}
