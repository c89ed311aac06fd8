/* SPDX-License-Identifier: Apache-2.0 */
/* This machine's root for an ordinary user, who may not uncover what lies below its mounts:
 * "/" cannot be a lower folder then, nor any other in which something is mounted. Those are
 * gone through name by name; the rest are overlays. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/io.h"
#include "worker/sandbox/root_priv.h"

#define OPEN_DIR  (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define MAX_DEPTH 8

/* What shim and layers have of a name. */
struct found {
    int fds[MAX_LOWER]; /* folders, the topmost first */
    size_t n;
    bool hidden;  /* nothing below shows */
    int leaf_dir; /* the folder that has it as something else; -1 */
};

/* A folder of the new root: what is to show in it. */
struct folder {
    const int *lower;
    size_t n;
    int host_fd;           /* -1: the machine has none */
    const char *to;        /* an empty folder */
    int upper_fd, work_fd; /* -1: read-only */
    int depth;
};

bool parts_hold(struct building *b, struct err *err)
{
    int root = open("/", OPEN_DIR);
    DIR *dir = root >= 0 ? fdopendir(root) : NULL;
    if (!dir)
        return err_sys(err, "list the root");
    for (struct dirent *e; (e = readdir(dir)) && b->host_count < HOST_NAMES;) {
        struct host_part *h = &b->host[b->host_count];
        struct stat st;
        if (!host_name_shows(e->d_name) ||
            fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        *h = (struct host_part){.fd = -1};
        snprintf(h->name, sizeof(h->name), "%.31s", e->d_name);
        if (S_ISLNK(st.st_mode)) {
            ssize_t n = readlinkat(dirfd(dir), e->d_name, h->target, sizeof(h->target) - 1);
            b->host_count += n > 0;
        } else if (S_ISDIR(st.st_mode)) {
            h->fd = openat(dirfd(dir), e->d_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            b->host_count += h->fd >= 0;
        }
    }
    closedir(dir);
    return true;
}

void parts_release(struct building *b)
{
    for (size_t i = 0; i < b->host_count; i++)
        mem_close_fd(&b->host[i].fd);
}

static void found_release(struct found *f)
{
    for (size_t i = 0; i < f->n; i++)
        close(f->fds[i]);
}

static bool is_opaque(int fd)
{
    char y = 0;
    return fgetxattr(fd, "user.overlay.opaque", &y, 1) == 1 && y == 'y';
}

static void look(const int *lower, size_t n, const char *name, struct found *out)
{
    out->n = 0;
    out->hidden = false;
    out->leaf_dir = -1;
    for (size_t i = 0; i < n && !out->hidden; i++) {
        struct stat st;
        if (fstatat(lower[i], name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        out->hidden = !S_ISDIR(st.st_mode);
        if (S_ISDIR(st.st_mode)) {
            int fd = openat(lower[i], name, OPEN_DIR);
            if (fd < 0)
                continue;
            out->hidden = is_opaque(fd);
            out->fds[out->n++] = fd;
        } else if (out->n == 0 && !(S_ISCHR(st.st_mode) && st.st_rdev == 0)) {
            out->leaf_dir = lower[i];
        }
    }
}

/* Shows dir_fd/name, which is no folder or one that nobody changes, as `to`. */
static bool show_as_it_is(int dir_fd, const char *name, const char *to, struct err *err)
{
    struct stat st;
    char target[4096], from[320];
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT || errno == EACCES || err_sys(err, "%s", name);
    if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlinkat(dir_fd, name, target, sizeof(target) - 1);
        target[n < 0 ? 0 : n] = '\0';
        return (n > 0 && symlink(target, to) == 0) || err_sys(err, "link %s", name);
    }
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return true;
    if (S_ISDIR(st.st_mode) ? mkdir(to, 0755) < 0 : mknod(to, S_IFREG | 0644, 0) < 0)
        return err_sys(err, "place for %s", name);
    snprintf(from, sizeof(from), "/proc/self/fd/%d/%s", dir_fd, name);
    if (mount(from, to, NULL, MS_BIND | MS_REC, NULL) < 0)
        return err_sys(err, "bind %s", name);
    return true;
}

static bool show_folder(const struct folder *f, struct err *err);

/* A name of the machine's folder, of the layers', or of both. */
static bool show_name(const struct folder *f, const char *name, bool on_host, struct err *err)
{
    AUTO_FREE struct found *found = MEM_NEW(struct found);
    AUTO_FREE char *to = mem_printf("%s/%s", f->to, name);
    AUTO_FD int host_fd = -1;
    bool ok;
    look(f->lower, f->n, name, found);
    if (on_host && !found->hidden && found->n)
        host_fd = openat(f->host_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (found->leaf_dir >= 0) {
        ok = show_as_it_is(found->leaf_dir, name, to, err);
    } else if (found->n) {
        struct folder child = {found->fds, found->n, host_fd, to, -1, -1, f->depth + 1};
        ok = (mkdir(to, 0755) == 0 || err_sys(err, "place for %s", name)) &&
             show_folder(&child, err);
    } else {
        ok = !on_host || found->hidden || show_as_it_is(f->host_fd, name, to, err);
    }
    found_release(found);
    return ok;
}

static bool each_name(const struct folder *f, int dir_fd, bool on_host, struct err *err)
{
    int fd = openat(dir_fd, ".", OPEN_DIR);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    bool ok = true;
    if (!dir) {
        mem_close_fd(&fd);
        return err_sys(err, "list %s", f->to);
    }
    for (struct dirent *e; ok && (e = readdir(dir));) {
        AUTO_FREE char *to = mem_printf("%s/%s", f->to, e->d_name);
        struct stat st;
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && lstat(to, &st) < 0)
            ok = show_name(f, e->d_name, on_host, err);
    }
    closedir(dir);
    return ok;
}

static bool show_by_name(const struct folder *f, struct err *err)
{
    if (!tmpfs_mount(f->to, 0755, 4u << 20, err) || !each_name(f, f->host_fd, true, err))
        return false;
    for (size_t i = 0; i < f->n; i++)
        if (!each_name(f, f->lower[i], false, err))
            return false;
    if (mount(NULL, f->to, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
        return err_sys(err, "%s", f->to);
    return true;
}

static bool show_folder(const struct folder *f, struct err *err)
{
    if (root_overlay(f->lower, f->n, f->host_fd, f->upper_fd, f->work_fd, f->to, err))
        return true;
    if (f->host_fd < 0 || f->depth >= MAX_DEPTH)
        return false;
    err_clear(err);
    return show_by_name(f, err);
}

static bool sub_folder(int fd, const char *name, int *out, struct err *err)
{
    if (mkdirat(fd, name, 0755) < 0 && errno != EEXIST)
        return err_sys(err, "upper folder %s", name);
    *out = openat(fd, name, OPEN_DIR);
    return *out >= 0 || err_sys(err, "upper folder %s", name);
}

/* One of the root's folders, writable. host_fd -1: only layers have it. */
static bool top_folder(struct building *b, const char *root, const char *name, int host_fd,
                       struct err *err)
{
    AUTO_FREE struct found *found = MEM_NEW(struct found);
    AUTO_FREE char *to = mem_printf("%s/%s", root, name);
    AUTO_FD int upper = -1;
    AUTO_FD int work = -1;
    bool ok = true;
    look(b->lower, b->base_from, name, found);
    if (found->n == 0 && host_fd < 0)
        return true;
    if (mkdir(to, 0755) < 0)
        return err_sys(err, "%s", to);
    if (!path_is_private(to + strlen(root))) {
        struct folder f = {found->fds, found->n, found->hidden ? -1 : host_fd, to, -1, -1, 0};
        ok = sub_folder(b->upper_fd, name, &upper, err) && sub_folder(b->work_fd, name, &work, err);
        f.upper_fd = upper;
        f.work_fd = work;
        ok = ok && show_folder(&f, err);
    }
    found_release(found);
    return ok || err_wrap(err, "/%s", name);
}

/* Names that only the shim or layers have. */
static bool new_names(struct building *b, const char *root, int layer_fd, struct err *err)
{
    int fd = openat(layer_fd, ".", OPEN_DIR);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    bool ok = true;
    if (!dir) {
        mem_close_fd(&fd);
        return err_sys(err, "list layers");
    }
    for (struct dirent *e; ok && (e = readdir(dir));) {
        AUTO_FREE char *to = mem_printf("%s/%s", root, e->d_name);
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || lstat(to, &st) == 0 ||
            fstatat(layer_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        ok = S_ISDIR(st.st_mode) ? top_folder(b, root, e->d_name, -1, err)
                                 : show_as_it_is(layer_fd, e->d_name, to, err);
    }
    closedir(dir);
    return ok;
}

bool parts_mount(struct building *b, const char *root, struct err *err)
{
    if (!tmpfs_mount(root, 0755, 1u << 20, err))
        return false;
    for (size_t i = 0; i < b->host_count; i++) {
        struct host_part *h = &b->host[i];
        AUTO_FREE char *to = mem_printf("%s/%s", root, h->name);
        if (h->fd < 0 && symlink(h->target, to) < 0)
            return err_sys(err, "%s", to);
        if (h->fd >= 0 && !top_folder(b, root, h->name, h->fd, err))
            return false;
    }
    for (size_t i = 0; i < b->base_from; i++)
        if (!new_names(b, root, b->lower[i], err))
            return false;
    return true;
}
