/* SPDX-License-Identifier: Apache-2.0 */
/* blob.c - bytes under their SHA-256: reading, checking and writing them. */
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fault.h"
#include "cache/store_priv.h"

/* A use is noted in the blob's mtime, but not again within so long. */
#define USE_AGAIN_NS (600ll * 1000000000)

#define READ_PIECE_BYTES (256u << 10)

const char *blob_name(const struct digest *d, char out[BLOB_NAME_SIZE])
{
    char hex[DIGEST_HEX_SIZE];
    digest_hex(d, hex);
    memcpy(out, hex, 2);
    out[2] = '/';
    memcpy(out + 3, hex, DIGEST_HEX_SIZE);
    return out;
}

bool blob_use(struct store *s, const char *name, struct stat *st)
{
    if (fstatat(s->blobs_fd, name, st, AT_SYMLINK_NOFOLLOW) < 0)
        return false;
    if (!S_ISREG(st->st_mode)) {
        errno = ENOENT;
        return false;
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t mtime = stat_mtime_ns(st), hold = atomic_load(&s->hold_start_ns),
            since = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - USE_AGAIN_NS;
    if (mtime >= (hold > since ? hold : since))
        return true;
    /* It may be collected under our eyes: then it is not there. A store that others own can
     * still be read. */
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
    return utimensat(s->blobs_fd, name, times, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

bool blob_is_there(struct store *s, const struct digest *d)
{
    char name[BLOB_NAME_SIZE];
    struct stat st;
    return fstatat(s->blobs_fd, blob_name(d, name), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(st.st_mode);
}

bool store_has_blob(struct store *s, const struct digest *d, uint64_t *size)
{
    char name[BLOB_NAME_SIZE];
    struct stat st;
    if (!blob_use(s, blob_name(d, name), &st))
        return false;
    if (size)
        *size = (uint64_t)st.st_size;
    return true;
}

static int open_blob(struct store *s, const struct digest *d, bool quietly, struct err *err)
{
    char name[BLOB_NAME_SIZE], text[DIGEST_TEXT_SIZE];
    struct stat st;
    int fd = -1;
    blob_name(d, name);
    /* A collector takes a blob away, sees that it was used meanwhile, and puts it back: whoever
     * holds the store looks again. */
    int tries = atomic_load(&s->hold_start_ns) ? 6 : 1;
    for (; tries > 0 && fd < 0; tries--) {
        if (quietly || blob_use(s, name, &st))
            fd = openat(s->blobs_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 || errno != ENOENT || tries == 1)
            break;
        usleep(1000);
        errno = ENOENT;
    }
    if (fd < 0 && errno == ENOENT)
        err_set(err, ERR_NOT_FOUND, "blob %s is not in the store", digest_text(d, text));
    else if (fd < 0)
        err_sys(err, "blob %s", digest_text(d, text));
    return fd;
}

int store_open_blob(struct store *s, const struct digest *d, struct err *err)
{
    return open_blob(s, d, false, err);
}

static bool map_blob(struct store *s, const struct digest *d, bool quietly, struct io_map *out,
                     struct err *err)
{
    AUTO_FD int fd = open_blob(s, d, quietly, err);
    char text[DIGEST_TEXT_SIZE];
    *out = (struct io_map){0};
    if (fd < 0)
        return false;
    return io_map_fd(fd, out, err) || err_wrap(err, "blob %s", digest_text(d, text));
}

bool store_map_blob(struct store *s, const struct digest *d, struct io_map *out, struct err *err)
{
    return map_blob(s, d, false, out, err);
}

bool blob_map_quietly(struct store *s, const struct digest *d, struct io_map *out, struct err *err)
{
    return map_blob(s, d, true, out, err);
}

bool store_put_blob(struct store *s, struct span bytes, struct digest *out, struct err *err)
{
    struct blob_writer *w = blob_writer_new(s, err);
    if (!w)
        return false;
    if (!blob_writer_add(w, bytes, err)) {
        blob_writer_free(w);
        return false;
    }
    return blob_writer_commit(w, NULL, out, err);
}

bool store_verify_blob(struct store *s, const struct digest *d, struct err *err)
{
    char text[DIGEST_TEXT_SIZE], found[DIGEST_TEXT_SIZE];
    AUTO_FD int fd = store_open_blob(s, d, err);
    AUTO_FREE char *piece = mem_alloc(READ_PIECE_BYTES);
    struct hasher h;
    ssize_t n;
    if (fd < 0)
        return false;
    hasher_init(&h, HASH_SHA256);
    while ((n = read(fd, piece, READ_PIECE_BYTES)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            hasher_update(&h, span_of(piece, (size_t)n));
    int e = errno;
    struct digest now = hasher_digest(&h);
    errno = e;
    if (n < 0)
        return err_sys(err, "blob %s", digest_text(d, text));
    if (!digest_eq(&now, d))
        return err_set(err, ERR_CORRUPT, "blob %s holds bytes of %s: its disk may be failing",
                       digest_text(d, text), digest_text(&now, found));
    return true;
}

bool store_drop_blob(struct store *s, const struct digest *d, struct err *err)
{
    char name[BLOB_NAME_SIZE];
    return io_unlink(s->blobs_fd, blob_name(d, name), err);
}

struct blob_writer {
    struct store *store;
    struct staged *file;
    uint64_t size;
    struct hasher sha256, other; /* other: algo HASH_NONE unless expected */
};

struct blob_writer *blob_writer_new(struct store *s, struct err *err)
{
    struct staged *file = staged_new(s->staging_fd, 0644, err);
    if (!file) {
        err_wrap(err, "%s/staging", s->path);
        return NULL;
    }
    struct blob_writer *w = MEM_NEW(struct blob_writer);
    w->store = s;
    w->file = file;
    hasher_init(&w->sha256, HASH_SHA256);
    return w;
}

void blob_writer_expect(struct blob_writer *w, enum hash_algo algo)
{
    hasher_release(&w->other);
    w->other.algo = HASH_NONE;
    if (algo != HASH_NONE && algo != HASH_SHA256)
        hasher_init(&w->other, algo);
}

bool blob_writer_add(struct blob_writer *w, struct span bytes, struct err *err)
{
    if (!staged_write(w->file, bytes, err))
        return err_wrap(err, "%s/staging", w->store->path);
    hasher_update(&w->sha256, bytes);
    if (w->other.ctx)
        hasher_update(&w->other, bytes);
    w->size += bytes.len;
    return true;
}

bool blob_writer_addv(struct blob_writer *w, const struct span *bytes, size_t count,
                      struct err *err)
{
    const uint64_t from = w->size;
    for (size_t i = 0, n; i < count; i += n) {
        struct iovec iov[64];
        for (n = 0; n < COUNT(iov) && i + n < count; n++) {
            iov[n] = (struct iovec){(void *)(uintptr_t)bytes[i + n].ptr, bytes[i + n].len};
            hasher_update(&w->sha256, bytes[i + n]);
            w->size += bytes[i + n].len;
        }
        ssize_t written = fault_point() ? writev(staged_fd(w->file), iov, (int)n) : -1;
        if (written < 0 && errno != EINTR)
            return err_sys(err, "%s/staging: write", w->store->path);
        size_t done = written < 0 ? 0 : (size_t)written;
        for (size_t k = 0; k < n; k++) { /* what a full disk did not take fails here */
            size_t skip = done < iov[k].iov_len ? done : iov[k].iov_len;
            done -= skip;
            if (!staged_write(w->file, span_skip(bytes[i + k], skip), err))
                return err_wrap(err, "%s/staging", w->store->path);
        }
    }
    /* Only a hint: what will have to be durable is on its way to the disk when it is asked for. */
    sync_file_range(staged_fd(w->file), (off_t)from, (off_t)(w->size - from),
                    SYNC_FILE_RANGE_WRITE);
    return true;
}

struct digest blob_writer_digest_with(const struct blob_writer *w, struct span tail)
{
    struct hasher h;
    hasher_copy(&h, &w->sha256);
    hasher_update(&h, tail);
    return hasher_digest(&h);
}

bool blob_writer_restart(struct blob_writer *w, struct err *err)
{
    int fd = staged_fd(w->file);
    if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return err_sys(err, "%s/staging", w->store->path);
    hasher_release(&w->sha256);
    hasher_init(&w->sha256, HASH_SHA256);
    blob_writer_expect(w, w->other.algo);
    w->size = 0;
    return true;
}

uint64_t blob_writer_size(const struct blob_writer *w)
{
    return w->size;
}

void blob_writer_free(struct blob_writer *w)
{
    if (!w)
        return;
    staged_free(w->file);
    hasher_release(&w->sha256);
    hasher_release(&w->other);
    free(w);
}

/* Publishes the staged file as blob `d`; the same blob, if it is there already and has the
 * right size, stays. */
static bool publish(struct blob_writer *w, const struct digest *d, struct err *err)
{
    char name[BLOB_NAME_SIZE];
    struct store *s = w->store;
    struct stat st;
    if (blob_use(s, blob_name(d, name), &st) && (uint64_t)st.st_size == w->size) {
        staged_free(TAKE(w->file));
        return true;
    }
    name[2] = '\0';
    if (mkdirat(s->blobs_fd, name, s->dir_mode) < 0 && errno != EEXIST)
        return err_sys(err, "create folder blobs/sha256/%s", name);
    name[2] = '/';
    return staged_publish(TAKE(w->file), s->blobs_fd, name, false, err) ||
           err_wrap(err, "%s/blobs", s->path);
}

static void remember_hash(struct store *s, const struct hash *h, const struct digest *d,
                          uint64_t size)
{
    struct sql_stmt *q = store_sql(s, SQL_HASH_PUT);
    sql_bind_str(q, 1, hash_name(h->algo));
    sql_bind_blob(q, 2, span_of(h->bytes, hash_size(h->algo)));
    sql_bind_blob(q, 3, digest_span(d));
    sql_bind_int(q, 4, (int64_t)size);
    store_sql_run(s, q, NULL); /* lost: it is downloaded once more */
}

static bool matches(const struct hash *expect, const struct hash *found, struct err *err)
{
    char want[140], have[140];
    return hash_eq(expect, found) ||
           err_set(err, ERR_DIGEST_MISMATCH, "the bytes have %s, promised was %s",
                   hash_text(found, have), hash_text(expect, want));
}

bool blob_writer_commit(struct blob_writer *w, const struct hash *expect, struct digest *out,
                        struct err *err)
{
    struct digest d = hasher_digest(&w->sha256);
    struct hash found = {.algo = HASH_SHA256};
    memcpy(found.bytes, d.bytes, DIGEST_BYTES);
    bool ok = true, other = expect && expect->algo != HASH_NONE && expect->algo != HASH_SHA256;
    if (other && w->other.algo != expect->algo) {
        ok = err_set(err, ERR_INTERNAL, "%s was not expected when writing began",
                     hash_name(expect->algo));
    } else if (expect && expect->algo != HASH_NONE) {
        if (other)
            found = hasher_final(&w->other);
        ok = matches(expect, &found, err);
    }
    ok = ok && publish(w, &d, err);
    if (ok && other)
        remember_hash(w->store, &found, &d, w->size);
    if (ok)
        *out = d;
    blob_writer_free(w);
    return ok;
}

bool store_find_hash(struct store *s, const struct hash *h, struct digest *out)
{
    struct digest d;
    uint64_t size;
    if (h->algo == HASH_NONE)
        return false;
    if (h->algo == HASH_SHA256) {
        memcpy(d.bytes, h->bytes, DIGEST_BYTES);
        if (!store_has_blob(s, &d, NULL))
            return false;
        *out = d;
        return true;
    }
    struct sql_stmt *q = store_sql(s, SQL_HASH_GET);
    sql_bind_str(q, 1, hash_name(h->algo));
    sql_bind_blob(q, 2, span_of(h->bytes, hash_size(h->algo)));
    bool found = sql_next(q) && store_sql_digest(q, 0, &d);
    uint64_t promised = found ? (uint64_t)sql_int(q, 1) : 0;
    store_sql_end(s, q, NULL);
    if (!found || !store_has_blob(s, &d, &size) || size != promised)
        return false;
    *out = d;
    return true;
}
