/* SPDX-License-Identifier: Apache-2.0 */
#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"

#define MAX_TREE_DEPTH 512

bool io_write_all(int fd, struct span bytes, struct err *err)
{
    while (bytes.len) {
        ssize_t n = fault_point() ? write(fd, bytes.ptr, bytes.len) : -1;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, "write");
        bytes = span_skip(bytes, (size_t)n);
    }
    return true;
}

bool io_fsync(int fd, struct err *err)
{
    if (!fault_point() || fsync(fd) < 0)
        return err_sys(err, "fsync");
    return true;
}

bool io_rename(int from_dir, const char *from, int to_dir, const char *to, struct err *err)
{
    if (!fault_point() || renameat(from_dir, from, to_dir, to) < 0)
        return err_sys(err, "rename %s to %s", from, to);
    return true;
}

bool io_unlink(int dir_fd, const char *name, struct err *err)
{
    if (!fault_point() || (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT))
        return err_sys(err, "unlink %s", name);
    return true;
}

static bool open_regular(int dir_fd, const char *path, int *fd, struct stat *st, struct err *err)
{
    *fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return err_set(err, ERR_NOT_FOUND, "%s: no such file", path);
    if (*fd < 0 || fstat(*fd, st) < 0)
        return err_sys(err, "%s", path);
    if (!S_ISREG(st->st_mode))
        return err_set(err, ERR_INVALID, "%s: not a regular file", path);
    return true;
}

bool io_read_file(int dir_fd, const char *path, struct buf *out, struct err *err)
{
    AUTO_FD int fd = -1;
    struct stat st;
    if (!open_regular(dir_fd, path, &fd, &st, err))
        return false;
    for (;;) {
        size_t want =
            st.st_size > 0 && (size_t)st.st_size + 1 > 4096 ? (size_t)st.st_size + 1 : 4096;
        size_t left = out->max - out->len;
        want = want > left ? left : want;
        char *to = want ? buf_room(out, want) : NULL;
        char probe;
        ssize_t n = read(fd, to ? to : &probe, to ? want : 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, "%s", path);
        if (n == 0)
            break;
        if (!to)
            return err_set(err, ERR_TOO_LARGE, "%s: larger than %zu bytes", path, out->max);
        out->len += (size_t)n;
        st.st_size = 0;
    }
    if (out->ptr)
        out->ptr[out->len] = '\0';
    return true;
}

bool io_mkdirs(int dir_fd, const char *path, mode_t mode, struct err *err)
{
    AUTO_FREE char *copy = mem_dup_str(path);
    for (char *p = copy + (copy[0] == '/');; p++) {
        if (*p && *p != '/')
            continue;
        char keep = *p;
        *p = '\0';
        if (copy[0] && mkdirat(dir_fd, copy, mode) < 0 && errno != EEXIST)
            return err_sys(err, "create folder %s", copy);
        *p = keep;
        if (!keep)
            return true;
    }
}

static bool remove_entries(int fd, int depth, struct err *err);

static bool remove_one(int dir_fd, const char *name, int depth, struct err *err)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return true;
    if (errno != EISDIR && errno != EPERM)
        return err_sys(err, "remove %s", name);
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES && fchmodat(dir_fd, name, 0700, 0) == 0)
        fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, "remove %s", name);
    if (!remove_entries(fd, depth + 1, err)) /* closes fd */
        return false;
    if (unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return err_sys(err, "remove folder %s", name);
    return true;
}

static bool remove_entries(int fd, int depth, struct err *err)
{
    DIR *dir = fdopendir(fd);
    bool ok = dir && depth < MAX_TREE_DEPTH;
    if (!dir)
        close(fd);
    if (!ok)
        err_set(err, ERR_IO, "folder cannot be removed: %s",
                dir ? "nested too deep" : "unreadable");
    fchmod(fd, 0700);
    for (struct dirent *e; ok && (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            ok = remove_one(fd, e->d_name, depth, err);
    if (dir)
        closedir(dir);
    return ok;
}

bool io_remove_tree(int dir_fd, const char *name, struct err *err)
{
    return remove_one(dir_fd, name, 0, err);
}

bool io_map_fd(int fd, struct io_map *out, struct err *err)
{
    struct stat st;
    *out = (struct io_map){SPAN(""), NULL};
    if (fstat(fd, &st) < 0)
        return err_sys(err, "stat");
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "not a regular file");
    if (st.st_size == 0)
        return true;
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return err_sys(err, "mmap");
    *out = (struct io_map){span_of(p, (size_t)st.st_size), p};
    return true;
}

void io_unmap(struct io_map *map)
{
    if (map->base)
        munmap(map->base, map->bytes.len);
    *map = (struct io_map){0};
}

struct staged {
    int dir_fd; /* the caller's */
    int fd;
    char name[40];
};

struct staged *staged_new(int dir_fd, mode_t mode, struct err *err)
{
    struct staged *s = MEM_NEW(struct staged);
    s->dir_fd = dir_fd;
    s->fd = -1;
    for (int tries = 0; s->fd < 0 && tries < 16; tries++) {
        uint64_t r[2] = {0};
        if (getrandom(r, sizeof(r), 0) != sizeof(r))
            break;
        snprintf(s->name, sizeof(s->name), ".staged-%016lx%08x", r[0], (uint32_t)r[1]);
        s->fd = fault_point() ? openat(dir_fd, s->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode)
                              : -1;
        if (s->fd < 0 && errno != EEXIST)
            break;
    }
    /* The mode is what was asked for, whatever the umask: stores are shared. */
    if (s->fd < 0 || fchmod(s->fd, mode) < 0) {
        err_sys(err, "staging file");
        staged_free(s);
        return NULL;
    }
    return s;
}

int staged_fd(const struct staged *s)
{
    return s->fd;
}

bool staged_write(struct staged *s, struct span bytes, struct err *err)
{
    return io_write_all(s->fd, bytes, err);
}

bool staged_publish(struct staged *s, int to_dir, const char *name, bool sync, struct err *err)
{
    bool ok = (!sync || io_fsync(s->fd, err)) && io_rename(s->dir_fd, s->name, to_dir, name, err);
    if (ok)
        s->name[0] = '\0';
    staged_free(s);
    return ok;
}

void staged_free(struct staged *s)
{
    if (!s)
        return;
    if (s->fd >= 0) {
        close(s->fd);
        if (s->name[0])
            unlinkat(s->dir_fd, s->name, 0);
    }
    free(s);
}

bool io_replace_file(int dir_fd, const char *path, struct span bytes, mode_t mode, bool sync,
                     struct err *err)
{
    struct span folder = span_str("."), name;
    AUTO_FD int parent = -1;
    if (span_cut_last_char(span_str(path), '/', &folder, &name) && folder.len == 0)
        folder = SPAN("/");
    AUTO_FREE char *folder_str = mem_dup(folder);
    parent = openat(dir_fd, folder_str, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return err_sys(err, "%s", folder_str);
    const char *slash = strrchr(path, '/');
    struct staged *s = staged_new(parent, mode, err);
    if (!s)
        return err_wrap(err, "%s", path);
    if (!staged_write(s, bytes, err)) {
        staged_free(s);
        return err_wrap(err, "%s", path);
    }
    if (!staged_publish(s, parent, slash ? slash + 1 : path, sync, err))
        return err_wrap(err, "%s", path);
    return !sync || io_fsync(parent, err);
}

static int64_t clock_ms(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t io_now_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

int64_t io_monotonic_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}
