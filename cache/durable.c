/* SPDX-License-Identifier: Apache-2.0 */
/* durable.c - which blobs survive a power cut.
 *
 * A blob's file is writable (0644) until it was fsynced, then read-only (0444). The file
 * "boot" holds the kernel's boot id under which the store was last opened: under another one
 * the page cache is gone, and whatever is still writable may be less than it was. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fault.h"
#include "cache/store_priv.h"

#define BOOT_ID_MAX 64u

static bool is_durable(const struct stat *st)
{
    return !(st->st_mode & S_IWUSR);
}

/* ---- waiting for the disk ---------------------------------------------------------------- */

/* The disk empties its cache once for all who wait at the same moment, so that sixteen waits
 * together take little longer than one. */
#define SYNC_THREADS 16u

struct sync_item {
    int fd;
    bool (*sync)(int fd, struct err *err);
};

struct sync_work {
    const struct sync_item *items;
    size_t count;
    atomic_size_t next;
    atomic_bool failed;
    uv_mutex_t mutex; /* around err */
    struct err err;
};

static void sync_some(void *ctx)
{
    struct sync_work *w = ctx;
    for (size_t i; (i = atomic_fetch_add(&w->next, 1)) < w->count && !atomic_load(&w->failed);) {
        struct err err = {0};
        if (w->items[i].sync(w->items[i].fd, &err))
            continue;
        uv_mutex_lock(&w->mutex);
        if (!atomic_exchange(&w->failed, true))
            w->err = err;
        uv_mutex_unlock(&w->mutex);
    }
}

static bool sync_all(const struct sync_item *items, size_t count, struct err *err)
{
    struct sync_work w = {.items = items, .count = count};
    uv_thread_t threads[SYNC_THREADS];
    size_t n = 0;
    if (uv_mutex_init(&w.mutex))
        abort();
    /* This thread is one of them; without any other it does all. */
    while (n + 1 < count && n < SYNC_THREADS - 1 &&
           uv_thread_create(&threads[n], sync_some, &w) == 0)
        n++;
    sync_some(&w);
    while (n > 0)
        uv_thread_join(&threads[--n]);
    uv_mutex_destroy(&w.mutex);
    if (w.failed && err)
        *err = w.err;
    return !w.failed;
}

static bool make_durable(int fd, struct err *err)
{
    if (!io_fsync(fd, err))
        return false;
    if (fchmod(fd, 0444) < 0 && errno != EPERM && errno != EROFS)
        return err_sys(err, "chmod");
    return true;
}

/* Opens those that are not durable yet and has the kernel begin to write them, so that one
 * wait for the disk serves them all. */
static bool start_writing(struct store *s, const struct digest *d, int *fd, struct err *err)
{
    struct stat st;
    *fd = store_open_blob(s, d, err);
    if (*fd < 0)
        return false;
    if (fstat(*fd, &st) < 0)
        return err_sys(err, "blob");
    /* However short ago it was used: a collector that chose it before must see this. */
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
    futimens(*fd, times);
    if (is_durable(&st)) {
        close(*fd);
        *fd = -1;
        return true;
    }
    sync_file_range(*fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* only a hint */
    return true;
}

static int open_folder(struct store *s, unsigned first_byte, struct err *err)
{
    char name[8];
    snprintf(name, sizeof(name), "%02x", first_byte & 0xff);
    int fd = openat(s->blobs_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        err_sys(err, "blobs/sha256/%s", name);
    return fd;
}

/* At most so many blobs at once, to bound descriptors. */
#define SYNC_BATCH 64u

/* The blobs, the folders that they were renamed into, and the folder of these. */
static bool sync_batch(struct store *s, const struct digest *blobs, size_t count, struct err *err)
{
    struct sync_item items[2 * SYNC_BATCH + 1];
    bool touched[256] = {0}, ok = true;
    size_t n = 0;
    for (size_t i = 0; ok && i < count; i++) {
        struct sync_item *item = &items[n];
        *item = (struct sync_item){-1, make_durable};
        ok = start_writing(s, &blobs[i], &item->fd, err);
        n += item->fd >= 0;
        touched[blobs[i].bytes[0]] |= item->fd >= 0;
    }
    for (unsigned i = 0; ok && i < 256; i++)
        if (touched[i]) {
            items[n] = (struct sync_item){open_folder(s, i, err), io_fsync};
            ok = items[n].fd >= 0;
            n += ok;
        }
    size_t opened = n;
    if (n > 0)
        items[n++] = (struct sync_item){s->blobs_fd, io_fsync};
    ok = ok && sync_all(items, n, err);
    for (size_t i = 0; i < opened; i++)
        close(items[i].fd);
    return ok;
}

bool store_sync_blobs(struct store *s, const struct digest *blobs, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i += SYNC_BATCH) {
        size_t n = count - i < SYNC_BATCH ? count - i : SYNC_BATCH;
        if (!sync_batch(s, blobs + i, n, err))
            return err_wrap(err, "%s", s->path);
    }
    return true;
}

static bool check_blob(struct store *s, int dir_fd, const char *hex, struct err *err)
{
    struct digest d;
    struct stat st;
    if (!digest_parse_hex(span_str(hex), &d) || fstatat(dir_fd, hex, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return true;
    if (is_durable(&st))
        return true;
    struct err why = {0};
    if (!store_verify_blob(s, &d, &why))
        return why.code == ERR_CORRUPT ? io_unlink(dir_fd, hex, err)
                                       : err_set(err, why.code, "%s", why.text);
    AUTO_FD int fd = openat(dir_fd, hex, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? err_sys(err, "blob %s", hex) : make_durable(fd, err);
}

static bool check_folder(struct store *s, const char *name, struct err *err)
{
    int fd = openat(s->blobs_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    bool ok = true;
    if (!dir) {
        mem_close_fd(&fd);
        return true;
    }
    for (struct dirent *e; ok && (e = readdir(dir));)
        ok = check_blob(s, fd, e->d_name, err);
    closedir(dir);
    return ok;
}

static bool check_blobs(struct store *s, struct err *err)
{
    char name[8];
    for (unsigned i = 0; i < 256; i++) {
        snprintf(name, sizeof(name), "%02x", i);
        if (!check_folder(s, name, err))
            return err_wrap(err, "check after a restart");
    }
    return true;
}

/* Shorter than BOOT_ID_MAX, or empty. */
static void read_small(int dir_fd, const char *path, struct buf *out)
{
    struct err none;
    if (!io_read_file(dir_fd, path, out, &none))
        buf_reset(out);
}

bool store_check_after_boot(struct store *s, struct err *err)
{
    AUTO_BUF struct buf now = BUF(BOOT_ID_MAX), before = BUF(BOOT_ID_MAX), again = BUF(BOOT_ID_MAX);
    read_small(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &now);
    read_small(s->dir_fd, "boot", &before);
    if (now.len && span_eq(buf_span(&now), buf_span(&before)))
        return true;
    AUTO_FD int fd = openat(s->dir_fd, "boot.mutex", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        return err_sys(err, "boot.mutex");
    read_small(s->dir_fd, "boot", &again); /* another process may have done it meanwhile */
    if (now.len && span_eq(buf_span(&now), buf_span(&again)))
        return true;
    return check_blobs(s, err) &&
           io_replace_file(s->dir_fd, "boot", buf_span(&now), 0644, true, err);
}
