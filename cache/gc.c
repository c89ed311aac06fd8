/* SPDX-License-Identifier: Apache-2.0 */
/* gc.c - mark and sweep beside running builds.
 *
 * What makes it safe: a use of a blob sets its mtime, and a sweep takes a blob away by renaming
 * it, looks at its mtime once more, and puts it back when it was used meanwhile. Whoever looks
 * for it in between finds it missing, which is always allowed. Rows of artifacts go by one
 * statement that looks at pins, tags and last use again. */
#include "cache/gc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/map.h"
#include "cache/artifact_priv.h"

#define MS_NS 1000000ll
/* Memos and metadata cost little and save requests. */
#define MEMO_KEEP_MS (30ll * 24 * 3600 * 1000)
/* No writing of one file takes that long. */
#define LEFTOVER_KEEP_MS (24ll * 3600 * 1000)

enum fate { FATE_FREE, FATE_MARKED, FATE_DOOMED };

struct gc_blob {
    struct digest digest;
    uint64_t size;
    int64_t mtime_ns;
    enum fate fate;
    char *meta; /* NULL: a blob; else registry metadata, its path below the store */
};

struct gc_artifact {
    struct digest digest;
    int64_t used_ms;
    bool root;
    bool pinned;          /* by a pin, a tag or the caller */
    struct digest *blobs; /* what it is made of */
    size_t blob_count;
};

struct gc {
    struct store *store;
    const struct gc_options *options;
    struct gc_report *report;
    int64_t idle_ns, idle_ms; /* last used before: may go */
    VEC(struct gc_blob) blobs, metadata;
    char folder[16]; /* that is listed */
    VEC(struct gc_artifact) artifacts;
    struct map by_digest; /* bytes -> struct gc_blob */
};

/* ---- what builds hold -------------------------------------------------------------------- */

static void take_hold(struct gc *g, const char *name)
{
    struct stat st;
    AUTO_FD int fd = openat(g->store->holds_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (name[0] == '.' || fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return;
    if (flock(fd, LOCK_SH | LOCK_NB) == 0) {
        unlinkat(g->store->holds_fd, name, 0); /* its process is gone */
        return;
    }
    int64_t since = stat_mtime_ns(&st);
    if (since < g->idle_ns)
        g->idle_ns = since;
}

static bool each_file(int dir_fd, const char *folder, void (*each)(struct gc *g, const char *name),
                      struct gc *g, struct err *err)
{
    int fd = openat(dir_fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || err_sys(err, "open %s", folder);
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return err_sys(err, "open %s", folder);
    }
    errno = 0;
    for (struct dirent *e; (e = readdir(dir)); errno = 0)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            each(g, e->d_name);
    bool ok = errno == 0 || err_sys(err, "read %s", folder);
    closedir(dir);
    return ok;
}

/* ---- mark -------------------------------------------------------------------------------- */

static void take_blob(struct gc *g, const char *hex)
{
    struct gc_blob b = {.fate = FATE_FREE};
    char name[BLOB_NAME_SIZE];
    struct stat st;
    if (!digest_parse_hex(span_str(hex), &b.digest) ||
        fstatat(g->store->blobs_fd, blob_name(&b.digest, name), &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(st.st_mode))
        return;
    b.size = (uint64_t)st.st_size;
    b.mtime_ns = stat_mtime_ns(&st);
    g->report->blobs++;
    g->report->bytes += b.size;
    *VEC_PUSH(&g->blobs) = b;
}

static bool list_blobs(struct gc *g, struct err *err)
{
    char folder[8];
    for (unsigned i = 0; i < 256; i++) {
        snprintf(folder, sizeof(folder), "%02x", i);
        if (!each_file(g->store->blobs_fd, folder, take_blob, g, err))
            return false;
    }
    for (size_t i = 0; i < g->blobs.n; i++)
        map_put(&g->by_digest, digest_span(&g->blobs.v[i].digest), &g->blobs.v[i]);
    return true;
}

/* A document, or what a writer that died left beside it. */
static void take_meta(struct gc *g, const char *name)
{
    struct stat st;
    char path[96];
    int64_t now_ms = io_now_ms();
    snprintf(path, sizeof(path), "%s/%.70s", g->folder, name);
    if (fstatat(g->store->dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return;
    struct gc_blob b = {.size = (uint64_t)st.st_size, .mtime_ns = stat_mtime_ns(&st)};
    int64_t keep_ms = name[0] == '.' ? LEFTOVER_KEEP_MS : MEMO_KEEP_MS;
    b.fate = b.mtime_ns < (now_ms - keep_ms) * MS_NS ? FATE_DOOMED : FATE_FREE;
    b.meta = mem_dup_str(path);
    g->report->metadata++;
    g->report->metadata_bytes += b.size;
    *VEC_PUSH(&g->metadata) = b;
}

static bool list_metadata(struct gc *g, struct err *err)
{
    for (unsigned i = 0; i < 256; i++) {
        snprintf(g->folder, sizeof(g->folder), "meta/%02x", i);
        if (!each_file(g->store->dir_fd, g->folder, take_meta, g, err))
            return false;
    }
    return true;
}

static bool list_artifacts(struct gc *g, struct err *err)
{
    struct sql_stmt *q = store_sql(g->store, SQL_ARTIFACT_LIST);
    struct digest d;
    while (sql_next(q))
        if (store_sql_digest(q, 0, &d))
            *VEC_PUSH(&g->artifacts) = (struct gc_artifact){
                .digest = d, .used_ms = sql_int(q, 3), .root = sql_int(q, 3) >= g->idle_ms};
    g->report->artifacts = g->artifacts.n;
    return store_sql_end(g->store, q, err);
}

static void root(struct gc *g, const struct digest *d)
{
    for (size_t i = 0; i < g->artifacts.n; i++)
        if (digest_eq(&g->artifacts.v[i].digest, d)) {
            g->artifacts.v[i].root = g->artifacts.v[i].pinned = true;
            return;
        }
    *VEC_PUSH(&g->artifacts) = (struct gc_artifact){.digest = *d, .root = true, .pinned = true};
}

static bool root_rows(struct gc *g, enum cache_sql id, struct err *err)
{
    VEC(struct digest) found = {0};
    struct sql_stmt *q = store_sql(g->store, id);
    struct digest d;
    while (sql_next(q))
        if (store_sql_digest(q, 1, &d))
            *VEC_PUSH(&found) = d;
    bool ok = store_sql_end(g->store, q, err);
    for (size_t i = 0; i < found.n; i++)
        root(g, &found.v[i]);
    VEC_FREE(&found);
    return ok;
}

static void mark(struct gc *g, const struct gc_artifact *a)
{
    for (size_t i = 0; i < a->blob_count; i++) {
        struct gc_blob *b = map_get(&g->by_digest, digest_span(&a->blobs[i]));
        if (!b || b->fate == FATE_MARKED)
            continue;
        b->fate = FATE_MARKED;
        g->report->marked_blobs++;
        g->report->marked_bytes += b->size;
    }
}

static void keep_layers(struct gc *g, const struct artifact *a)
{
    for (size_t i = 0; g->options->keep_layer && i < a->layer_count; i++)
        g->options->keep_layer(g->options->ctx, &a->layers[i].blob);
}

/* A root that cannot be read stops all: what it needs is not known. One that nothing but its
 * age protects is no loss. */
static bool read_artifact(struct gc *g, struct gc_artifact *ga, struct err *err)
{
    struct artifact *a;
    struct err why = {0};
    if (!artifact_read(g->store, &ga->digest, &a, &why)) {
        if (ga->pinned)
            return err_set(err, why.code, "%s; unpin it or build it again, nothing was removed",
                           why.text);
        ga->root = false;
        return true;
    }
    ga->blob_count = artifact_blobs(a, &ga->blobs);
    if (ga->root)
        keep_layers(g, a);
    artifact_free(a);
    if (ga->root)
        mark(g, ga);
    return true;
}

static bool mark_all(struct gc *g, struct err *err)
{
    if (!list_blobs(g, err) || !list_artifacts(g, err) || !root_rows(g, SQL_PIN_LIST, err) ||
        !root_rows(g, SQL_TAG_LIST, err))
        return false;
    for (size_t i = 0; i < g->options->root_count; i++)
        root(g, &g->options->roots[i]);
    for (size_t i = 0; i < g->artifacts.n; i++)
        if (!read_artifact(g, &g->artifacts.v[i], err))
            return false;
    return true;
}

/* ---- choose ------------------------------------------------------------------------------ */

static int oldest_first(const void *a, const void *b)
{
    const struct gc_blob *x = *(struct gc_blob *const *)a, *y = *(struct gc_blob *const *)b;
    return x->mtime_ns != y->mtime_ns ? (x->mtime_ns < y->mtime_ns ? -1 : 1)
           : x->meta && y->meta       ? strcmp(x->meta, y->meta)
                                      : digest_cmp(&x->digest, &y->digest);
}

static void choose(struct gc *g)
{
    VEC(struct gc_blob *) may = {0};
    uint64_t left = g->report->bytes + g->report->metadata_bytes;
    for (size_t i = 0; i < g->blobs.n; i++)
        if (g->blobs.v[i].fate == FATE_FREE && g->blobs.v[i].mtime_ns < g->idle_ns)
            *VEC_PUSH(&may) = &g->blobs.v[i];
    for (size_t i = 0; i < g->metadata.n; i++)
        if (g->metadata.v[i].fate == FATE_DOOMED)
            left -= g->metadata.v[i].size;
        else if (g->options->keep_bytes && g->metadata.v[i].mtime_ns < g->idle_ns)
            *VEC_PUSH(&may) = &g->metadata.v[i];
    if (may.n)
        qsort(may.v, may.n, sizeof(*may.v), oldest_first);
    for (size_t i = 0; i < may.n; i++) {
        if (g->options->keep_bytes && left <= g->options->keep_bytes)
            break;
        may.v[i]->fate = FATE_DOOMED;
        left -= may.v[i]->size;
    }
    VEC_FREE(&may);
}

/* With keep_bytes an idle artifact may stay as long as it is whole. */
static bool must_go(const struct gc *g, const struct gc_artifact *a)
{
    if (a->root)
        return false;
    if (!g->options->keep_bytes || a->blob_count == 0)
        return true;
    for (size_t i = 0; i < a->blob_count; i++) {
        const struct gc_blob *b = map_get(&g->by_digest, digest_span(&a->blobs[i]));
        if (!b || b->fate == FATE_DOOMED)
            return true;
    }
    return false;
}

/* ---- sweep ------------------------------------------------------------------------------- */

static void count_artifact(struct gc *g, const struct gc_artifact *a)
{
    char text[DIGEST_TEXT_SIZE];
    g->report->removed_artifacts++;
    json_array_append_new(g->report->removed, json_string(digest_text(&a->digest, text)));
}

/* *gone false: it was used or pinned meanwhile. */
static bool remove_row(struct gc *g, const struct gc_artifact *a, bool *gone, struct err *err)
{
    struct store *s = g->store;
    struct sql_stmt *q = store_sql(s, SQL_ARTIFACT_COLLECT);
    sql_bind_blob(q, 1, digest_span(&a->digest));
    sql_bind_int(q, 2, a->blob_count ? g->idle_ms : INT64_MAX); /* unreadable: no use to anyone */
    bool ok = sql_run(q, err);
    *gone = ok && sql_changes(s->db) > 0;
    uv_mutex_unlock(&s->mutex);
    return ok;
}

/* It was pinned or used since it was listed. Where it could not be read then, it is read now: what
 * it needs must be known before anything goes. */
static bool keep_after_all(struct gc *g, struct gc_artifact *a, struct err *err)
{
    a->root = a->pinned = true;
    if (a->blob_count == 0)
        return read_artifact(g, a, err);
    mark(g, a);
    return true;
}

static bool sweep_artifacts(struct gc *g, struct err *err)
{
    for (size_t i = 0; i < g->artifacts.n; i++) {
        struct gc_artifact *a = &g->artifacts.v[i];
        bool gone = true;
        if (!must_go(g, a))
            continue;
        if (!g->options->dry_run && !remove_row(g, a, &gone, err))
            return false;
        if (gone)
            count_artifact(g, a);
        else if (!keep_after_all(g, a, err))
            return false;
    }
    return true;
}

/* *gone false: it was used meanwhile, or is gone already. */
static bool remove_blob(struct gc *g, const struct gc_blob *b, bool *gone, struct err *err)
{
    struct store *s = g->store;
    char name[BLOB_NAME_SIZE], trash[40];
    struct stat st;
    blob_name(&b->digest, name);
    store_random_name("trash", trash);
    *gone = false;
    if (!fault_point() || renameat(s->blobs_fd, name, s->staging_fd, trash) < 0)
        return errno == ENOENT || err_sys(err, "remove blob %s", name);
    if (fstatat(s->staging_fd, trash, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        stat_mtime_ns(&st) >= g->idle_ns)
        return io_rename(s->staging_fd, trash, s->blobs_fd, name, err);
    *gone = true;
    return io_unlink(s->staging_fd, trash, err);
}

static bool sweep_blobs(struct gc *g, struct err *err)
{
    for (size_t i = 0; i < g->blobs.n; i++) {
        const struct gc_blob *b = &g->blobs.v[i];
        bool gone = true;
        if (b->fate != FATE_DOOMED)
            continue;
        if (!g->options->dry_run && !remove_blob(g, b, &gone, err))
            return false;
        g->report->removed_blobs += gone;
        g->report->removed_bytes += gone ? b->size : 0;
    }
    return true;
}

/* What was confirmed meanwhile stays; if it is written just now, it can be fetched again. */
static bool sweep_metadata(struct gc *g, struct err *err)
{
    struct stat st;
    for (size_t i = 0; i < g->metadata.n; i++) {
        const struct gc_blob *m = &g->metadata.v[i];
        if (m->fate != FATE_DOOMED)
            continue;
        if (!g->options->dry_run) {
            if (fstatat(g->store->dir_fd, m->meta, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
                stat_mtime_ns(&st) != m->mtime_ns)
                continue;
            if (!io_unlink(g->store->dir_fd, m->meta, err))
                return err_wrap(err, "metadata");
        }
        g->report->removed_metadata++;
        g->report->removed_metadata_bytes += m->size;
    }
    return true;
}

struct dead_hash {
    char algo[16];
    uint8_t bytes[HASH_MAX_BYTES];
    size_t len;
};

/* Hashes of blobs that are no more, and memos that nobody renewed. */
static bool sweep_rows(struct gc *g, struct err *err)
{
    struct store *s = g->store;
    VEC(struct dead_hash) dead = {0};
    struct digest d;
    struct sql_stmt *q = store_sql(s, SQL_HASH_LIST);
    while (sql_next(q)) {
        struct span algo = sql_text(q, 0), bytes = sql_blob(q, 1);
        if (!store_sql_digest(q, 2, &d))
            continue;
        const struct gc_blob *b = map_get(&g->by_digest, digest_span(&d));
        if ((b ? b->fate != FATE_DOOMED : blob_is_there(s, &d)) || algo.len >= 16 ||
            bytes.len > HASH_MAX_BYTES)
            continue;
        struct dead_hash *x = VEC_PUSH(&dead);
        memcpy(x->algo, algo.ptr, algo.len);
        memcpy(x->bytes, bytes.ptr, bytes.len);
        x->len = bytes.len;
    }
    bool ok = store_sql_end(s, q, err);
    for (size_t i = 0; ok && i < dead.n; i++) {
        q = store_sql(s, SQL_HASH_DROP);
        sql_bind_str(q, 1, dead.v[i].algo);
        sql_bind_blob(q, 2, span_of(dead.v[i].bytes, dead.v[i].len));
        ok = store_sql_run(s, q, err);
    }
    VEC_FREE(&dead);
    if (!ok)
        return false;
    q = store_sql(s, SQL_MEMO_EXPIRE);
    sql_bind_int(q, 1, io_now_ms() - MEMO_KEEP_MS);
    ok = sql_run(q, err);
    g->report->removed_memos = ok ? (uint64_t)sql_changes(s->db) : 0;
    uv_mutex_unlock(&s->mutex);
    return ok;
}

static void gc_release(struct gc *g)
{
    for (size_t i = 0; i < g->artifacts.n; i++)
        free(g->artifacts.v[i].blobs);
    VEC_FREE(&g->artifacts);
    VEC_FREE(&g->blobs);
    for (size_t i = 0; i < g->metadata.n; i++)
        free(g->metadata.v[i].meta);
    VEC_FREE(&g->metadata);
    map_release(&g->by_digest);
}

bool store_gc(struct store *s, const struct gc_options *options, struct gc_report *report,
              struct err *err)
{
    struct gc g = {.store = s, .options = options, .report = report};
    /* One at a time: another's half-moved blobs would look like missing ones. */
    AUTO_FD int turn = openat(s->dir_fd, "gc.turn", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (turn < 0 || flock(turn, LOCK_EX) < 0)
        return err_sys(err, "collecting garbage in %s", s->path);
    *report = (struct gc_report){.removed = json_array()};
    g.idle_ns = (io_now_ms() - options->grace_ms) * MS_NS;
    bool ok = each_file(s->holds_fd, ".", take_hold, &g, err);
    g.idle_ms = g.idle_ns / MS_NS;
    ok = ok && mark_all(&g, err) && list_metadata(&g, err);
    if (ok) {
        choose(&g);
        ok = sweep_artifacts(&g, err) && sweep_blobs(&g, err) && sweep_metadata(&g, err) &&
             (options->dry_run || sweep_rows(&g, err));
    }
    gc_release(&g);
    if (ok)
        return true;
    json_decref(report->removed);
    report->removed = NULL;
    return err_wrap(err, "collecting garbage in %s", s->path);
}
