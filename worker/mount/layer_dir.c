/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/mount/layer_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/io.h"
#include "worker/mount/extract_priv.h"

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct layer_dirs {
    char *path; /* HOME/dirs/sha256, absolute */
    int done_fd, staging_fd;
};

struct layer_dirs *layer_dirs_open(const char *home, struct err *err)
{
    AUTO_FREE char *root = mem_printf("%s/dirs", home), *done = mem_printf("%s/sha256", root),
                   *staging = mem_printf("%s/staging", root);
    if (!io_mkdirs(AT_FDCWD, home, 0755, err) || !io_mkdirs(AT_FDCWD, root, 0700, err) ||
        !io_mkdirs(AT_FDCWD, done, 0755, err) || !io_mkdirs(AT_FDCWD, staging, 0700, err))
        return err_wrap(err, "layer directories"), NULL;
    struct layer_dirs *d = MEM_NEW(struct layer_dirs);
    d->path = realpath(done, NULL);
    d->done_fd = open(done, OPEN_DIR);
    d->staging_fd = open(staging, OPEN_DIR);
    /* Closed to others even when the folder was there before: it holds set-user-ID files. */
    if (!d->path || d->done_fd < 0 || d->staging_fd < 0 || chmod(root, 0700) < 0) {
        err_sys(err, "layer directories: %s", root);
        layer_dirs_free(d);
        return NULL;
    }
    return d;
}

void layer_dirs_free(struct layer_dirs *d)
{
    if (!d)
        return;
    mem_close_fd(&d->done_fd);
    mem_close_fd(&d->staging_fd);
    free(d->path);
    free(d);
}

char *layer_dirs_path(const struct layer_dirs *d, const struct digest *digest)
{
    char hex[DIGEST_HEX_SIZE];
    return mem_printf("%s/%s", d->path, digest_hex(digest, hex));
}

bool layer_dirs_has(const struct layer_dirs *d, const struct digest *digest)
{
    char hex[DIGEST_HEX_SIZE];
    struct stat st;
    return fstatat(d->done_fd, digest_hex(digest, hex), &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A folder in staging; its lock, held while it is open, keeps sweepers away. */
struct stage {
    char name[24];
    int fd;
};

static bool stage_open(const struct layer_dirs *d, struct stage *s, struct err *err)
{
    for (int tries = 0; tries < 16; tries++) {
        uint64_t r = 0;
        struct stat st;
        if (getrandom(&r, sizeof(r), 0) != sizeof(r))
            break;
        snprintf(s->name, sizeof(s->name), "%016lx", (unsigned long)r);
        if (!fault_point() || mkdirat(d->staging_fd, s->name, 0700) < 0) {
            if (errno == EEXIST)
                continue;
            break;
        }
        s->fd = openat(d->staging_fd, s->name, OPEN_DIR);
        if (s->fd < 0 || flock(s->fd, LOCK_SH) < 0)
            break;
        /* A sweeper may have come between making it and locking it. */
        if (fstat(s->fd, &st) == 0 && st.st_nlink > 0)
            return true;
        mem_close_fd(&s->fd);
        s->fd = -1;
    }
    return err_sys(err, "staging folder");
}

static void stage_drop(const struct layer_dirs *d, struct stage *s)
{
    if (s->name[0])
        io_remove_tree(d->staging_fd, s->name, NULL);
    if (s->fd >= 0)
        close(s->fd);
    *s = (struct stage){.fd = -1};
}

static bool extract(int dir_fd, const struct layer_source *source,
                    const struct layer_limits *limits, struct err *err)
{
    struct decoder *decoder = decoder_new(source);
    struct tar_reader *reader = tar_reader_new(decoder);
    bool ok = extract_layer(dir_fd, reader, limits, err) && decoder_check(decoder, err);
    tar_reader_free(reader);
    decoder_free(decoder);
    return ok;
}

static bool stage_fill(const struct layer_dirs *d, const struct layer_source *source,
                       const struct layer_limits *limits, struct stage *s, struct err *err)
{
    return stage_open(d, s, err) && extract(s->fd, source, limits, err);
}

static bool sync_all(const struct layer_dirs *d, struct err *err)
{
    if (!fault_point() || syncfs(d->staging_fd) < 0)
        return err_sys(err, "sync layer directories");
    return true;
}

/* Whoever comes second finds the same content there, and drops his own. */
static bool stage_publish(const struct layer_dirs *d, struct stage *s, const struct digest *digest,
                          struct err *err)
{
    char hex[DIGEST_HEX_SIZE];
    digest_hex(digest, hex);
    if (layer_dirs_has(d, digest))
        return true;
    if (!fault_point() || renameat(d->staging_fd, s->name, d->done_fd, hex) < 0) {
        if (errno == EEXIST || errno == ENOTEMPTY)
            return true;
        return err_sys(err, "publish layer directory");
    }
    s->name[0] = '\0';
    return true;
}

static void close_source(const struct layer_source *source)
{
    if (source->close)
        source->close(source->ctx);
}

static bool wrap(const struct layer_source *source, struct err *err)
{
    char text[DIGEST_TEXT_SIZE];
    return err_wrap(err, "unpack layer %s", digest_text(&source->digest, text));
}

bool layer_dirs_unpack(struct layer_dirs *d, const struct layer_source *source,
                       const struct layer_limits *limits, struct err *err)
{
    struct stage s = {.fd = -1};
    bool ok = layer_dirs_has(d, &source->digest);
    if (!ok) {
        ok = (stage_fill(d, source, limits, &s, err) && sync_all(d, err) &&
              stage_publish(d, &s, &source->digest, err)) ||
             wrap(source, err);
        stage_drop(d, &s);
    }
    close_source(source);
    return ok;
}

bool layer_extract(int dir_fd, const struct layer_source *source, const struct layer_limits *limits,
                   struct err *err)
{
    bool ok = extract(dir_fd, source, limits, err) || wrap(source, err);
    close_source(source);
    return ok;
}

struct batch;

struct batch_layer {
    struct pool_task task;
    struct batch *batch;
    struct layer_source source;
    struct stage stage;
    bool there;
    struct err err;
};

struct batch {
    struct layer_dirs *dirs;
    struct pool *pool;
    struct pool_task publish;
    size_t n, left;
    struct err err;
    void (*done)(void *ctx, const struct err *err);
    void *ctx;
    struct batch_layer layers[];
};

static void fill_work(struct pool_task *t)
{
    struct batch_layer *l = container_of(t, struct batch_layer, task);
    l->there = layer_dirs_has(l->batch->dirs, &l->source.digest);
    if (!l->there && !stage_fill(l->batch->dirs, &l->source, NULL, &l->stage, &l->err))
        wrap(&l->source, &l->err);
    close_source(&l->source);
}

static void publish_work(struct pool_task *t)
{
    struct batch *b = container_of(t, struct batch, publish);
    bool staged = false;
    for (size_t i = 0; i < b->n; i++) {
        if (b->layers[i].err.code && !b->err.code)
            b->err = b->layers[i].err;
        staged |= !b->layers[i].there;
    }
    bool ok = !b->err.code && (!staged || sync_all(b->dirs, &b->err));
    for (size_t i = 0; i < b->n; i++) {
        struct batch_layer *l = &b->layers[i];
        if (ok && !l->there)
            ok = stage_publish(b->dirs, &l->stage, &l->source.digest, &b->err);
        stage_drop(b->dirs, &l->stage);
    }
}

static void publish_done(struct pool_task *t)
{
    struct batch *b = container_of(t, struct batch, publish);
    b->done(b->ctx, &b->err);
    free(b);
}

static void fill_done(struct pool_task *t)
{
    struct batch *b = container_of(t, struct batch_layer, task)->batch;
    if (--b->left == 0)
        pool_submit(b->pool, &b->publish, 0);
}

void layer_dirs_unpack_all(struct layer_dirs *d, struct pool *pool,
                           const struct layer_source *sources, size_t n,
                           void (*done)(void *ctx, const struct err *err), void *ctx)
{
    struct batch *b = mem_alloc(sizeof(*b) + n * sizeof(b->layers[0]));
    *b = (struct batch){.dirs = d, .pool = pool, .n = n, .left = n, .done = done, .ctx = ctx};
    b->publish = (struct pool_task){.work = publish_work, .done = publish_done};
    if (n == 0)
        pool_submit(pool, &b->publish, 0);
    for (size_t i = 0; i < n; i++) {
        struct batch_layer *l = &b->layers[i];
        *l = (struct batch_layer){.batch = b, .source = sources[i], .stage = {.fd = -1}};
        l->task = (struct pool_task){.work = fill_work, .done = fill_done};
        pool_submit(pool, &l->task, 0);
    }
}

static ssize_t fd_read(void *ctx, void *to, size_t room, struct err *err)
{
    for (;;) {
        ssize_t n = read((int)(intptr_t)ctx, to, room);
        if (n >= 0 || errno != EINTR)
            return n < 0 ? err_sys(err, "read layer"), n : n;
    }
}

static void fd_close(void *ctx)
{
    close((int)(intptr_t)ctx);
}

struct layer_source layer_source_fd(int fd, const struct digest *digest)
{
    return (struct layer_source){
        .digest = *digest, .read = fd_read, .close = fd_close, .ctx = (void *)(intptr_t)fd};
}

int layer_dirs_use(const struct layer_dirs *d, const struct digest *digest, struct err *err)
{
    char hex[DIGEST_HEX_SIZE], text[DIGEST_TEXT_SIZE];
    struct stat ours, there;
    int fd = openat(d->done_fd, digest_hex(digest, hex), OPEN_DIR);
    if (fd >= 0 && flock(fd, LOCK_SH) == 0 && fstat(fd, &ours) == 0 &&
        fstatat(d->done_fd, hex, &there, AT_SYMLINK_NOFOLLOW) == 0 && ours.st_ino == there.st_ino)
        return fd;
    mem_close_fd(&fd);
    err_set(err, ERR_NOT_FOUND, "layer %s is not unpacked here", digest_text(digest, text));
    return -1;
}

bool layer_dirs_remove(struct layer_dirs *d, const struct digest *digest, struct err *err)
{
    char hex[DIGEST_HEX_SIZE], name[DIGEST_HEX_SIZE + 16];
    uint32_t r = 0;
    AUTO_FD int fd = openat(d->done_fd, digest_hex(digest, hex), OPEN_DIR);
    if (fd < 0)
        return errno == ENOENT || err_sys(err, "layer directory %s", hex);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(err, ERR_BUSY, "layer directory %s is in use", hex);
    if (getrandom(&r, sizeof(r), 0) != sizeof(r))
        return err_sys(err, "random number");
    snprintf(name, sizeof(name), "%s-%08x", hex, r);
    return io_rename(d->done_fd, hex, d->staging_fd, name, err) &&
           io_remove_tree(d->staging_fd, name, err);
}

/* Calls each() with the names in a folder, whose descriptor stays the caller's. */
static bool each_name(int dir_fd, bool (*each)(void *ctx, const char *name), void *ctx,
                      struct err *err)
{
    int fd = openat(dir_fd, ".", OPEN_DIR);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        mem_close_fd(&fd);
        return err_sys(err, "list layer directories");
    }
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.' && !each(ctx, e->d_name))
            break;
    closedir(dir);
    return true;
}

struct digest_visit {
    bool (*each)(void *ctx, const struct digest *digest);
    void *ctx;
};

static bool visit_digest(void *ctx, const char *name)
{
    struct digest_visit *v = ctx;
    struct digest digest;
    return !digest_parse_hex(span_str(name), &digest) || v->each(v->ctx, &digest);
}

bool layer_dirs_each(const struct layer_dirs *d,
                     bool (*each)(void *ctx, const struct digest *digest), void *ctx,
                     struct err *err)
{
    struct digest_visit v = {each, ctx};
    return each_name(d->done_fd, visit_digest, &v, err);
}

static bool sweep_one(void *ctx, const char *name)
{
    struct layer_dirs *d = ctx;
    AUTO_FD int fd = openat(d->staging_fd, name, OPEN_DIR);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        io_remove_tree(d->staging_fd, name, NULL);
    return true;
}

bool layer_dirs_sweep(struct layer_dirs *d, struct err *err)
{
    return each_name(d->staging_fd, sweep_one, d, err);
}
