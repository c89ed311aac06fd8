/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/apt_layer/harvest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/io.h"
#include "base/map.h"
#include "cache/segment.h"

#define MAGIC          0x48525631u
#define MAX_DEPTH      200
#define MAX_LINK_BYTES 4096
#define MAX_CAPABILITY 64

struct writer {
    FILE *out;
    const char *const *leave_out;
    struct arena *arena;
    struct map links; /* "dev:ino" of files with several names -> the first one's path */
    struct err *err;
};

static bool put(struct writer *w, const void *bytes, size_t n)
{
    return fwrite(bytes, 1, n, w->out) == n || err_sys(w->err, "harvest");
}

static size_t padding(uint64_t n)
{
    return (size_t)(-n & 7);
}

static bool put_record(struct writer *w, struct harvest_record *r, struct span path,
                       struct span target, struct span capability)
{
    static const char zeros[8];
    r->magic = MAGIC;
    r->path_bytes = (uint32_t)path.len;
    r->target_bytes = (uint32_t)target.len;
    r->xattr_bytes = (uint32_t)capability.len;
    size_t n = path.len + target.len + capability.len;
    return put(w, r, sizeof(*r)) && put(w, path.ptr, path.len) && put(w, target.ptr, target.len) &&
           put(w, capability.ptr, capability.len) && put(w, zeros, padding(n));
}

static bool left_out(const struct writer *w, struct span path)
{
    for (const char *const *p = w->leave_out; *p; p++) {
        struct span s = span_str(*p);
        if (span_eq(path, s) || (span_ends(s, SPAN("/")) && span_starts(path, s)))
            return true;
    }
    return false;
}

static bool put_content(struct writer *w, int fd, uint64_t size)
{
    static const char zeros[8];
    char bytes[65536];
    for (uint64_t left = size; left;) {
        ssize_t n = read(fd, bytes, left < sizeof(bytes) ? (size_t)left : sizeof(bytes));
        if (n < 0)
            return err_sys(w->err, "harvest");
        if (n == 0)
            return err_set(w->err, ERR_IO, "a file shrank while it was harvested");
        if (!put(w, bytes, (size_t)n))
            return false;
        left -= (uint64_t)n;
    }
    return put(w, zeros, padding(size));
}

static bool put_file(struct writer *w, int dir_fd, const char *name, const struct stat *st,
                     struct span path, struct harvest_record *r)
{
    char capability[MAX_CAPABILITY];
    if (st->st_nlink > 1) {
        const char *id = arena_printf(w->arena, "%llx:%llx", (unsigned long long)st->st_dev,
                                      (unsigned long long)st->st_ino);
        const char *first = map_get(&w->links, span_str(id));
        if (first) {
            r->type = ENTRY_HARDLINK;
            return put_record(w, r, path, span_str(first), SPAN(""));
        }
        map_put(&w->links, span_str(id), arena_str(w->arena, path));
    }
    AUTO_FD int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_sys(w->err, "harvest %.*s", SPAN_ARG(path));
    ssize_t n = fgetxattr(fd, "security.capability", capability, sizeof(capability));
    r->type = ENTRY_FILE;
    r->content_bytes = (uint64_t)st->st_size;
    return put_record(w, r, path, SPAN(""), span_of(capability, n > 0 ? (size_t)n : 0)) &&
           put_content(w, fd, r->content_bytes);
}

static bool walk(struct writer *w, int dir_fd, struct span folder, int depth);

static bool put_folder(struct writer *w, int dir_fd, const char *name, struct span path,
                       struct harvest_record *r, int depth)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_sys(w->err, "harvest %.*s", SPAN_ARG(path));
    char opaque = 0;
    bool is_opaque = fgetxattr(fd, "user.overlay.opaque", &opaque, 1) == 1 && opaque == 'y';
    r->type = ENTRY_DIR;
    bool ok = put_record(w, r, path, SPAN(""), is_opaque ? SPAN("y") : SPAN("")) &&
              walk(w, fd, path, depth + 1);
    close(fd);
    return ok;
}

static bool put_one(struct writer *w, int dir_fd, const char *name, struct span path, int depth)
{
    struct stat st;
    char target[MAX_LINK_BYTES];
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(w->err, "harvest %.*s", SPAN_ARG(path));
    struct harvest_record r = {
        .mode = st.st_mode & 07777,
        .uid = st.st_uid,
        .gid = st.st_gid,
        .mtime = st.st_mtim.tv_sec,
    };
    if (S_ISDIR(st.st_mode))
        return put_folder(w, dir_fd, name, path, &r, depth);
    if (S_ISREG(st.st_mode))
        return put_file(w, dir_fd, name, &st, path, &r);
    if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0)) {
        r.type = ENTRY_WHITEOUT;
        return put_record(w, &r, path, SPAN(""), SPAN(""));
    }
    if (!S_ISLNK(st.st_mode)) /* sockets and pipes are somebody's at run time */
        return true;
    ssize_t n = readlinkat(dir_fd, name, target, sizeof(target));
    if (n <= 0 || n == sizeof(target))
        return err_set(w->err, ERR_BAD_ARCHIVE, "%.*s: link too long", SPAN_ARG(path));
    r.type = ENTRY_SYMLINK;
    return put_record(w, &r, path, span_of(target, (size_t)n), SPAN(""));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In order of names, so that which of several hard links comes first does not depend on the disk.
 */
static bool walk(struct writer *w, int dir_fd, struct span folder, int depth)
{
    if (depth > MAX_DEPTH)
        return err_set(w->err, ERR_TOO_LARGE, "%.*s: nested too deep", SPAN_ARG(folder));
    VEC(char *) names = {0};
    int copy = dup(dir_fd);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (!dir)
        return err_sys(w->err, "harvest %.*s", SPAN_ARG(folder));
    for (struct dirent *e; (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            *VEC_PUSH(&names) = arena_str(w->arena, span_str(e->d_name));
    closedir(dir);
    if (names.n)
        qsort(names.v, names.n, sizeof(*names.v), by_name);
    bool ok = true;
    for (size_t i = 0; ok && i < names.n; i++) {
        struct span path =
            span_str(folder.len ? arena_printf(w->arena, "%.*s/%s", SPAN_ARG(folder), names.v[i])
                                : names.v[i]);
        ok = left_out(w, path) || put_one(w, dir_fd, names.v[i], path, depth);
    }
    VEC_FREE(&names);
    return ok;
}

bool harvest_write(int upper_fd, const char *const *leave_out, int out_fd, struct err *err)
{
    int copy = dup(out_fd);
    struct writer w = {.leave_out = leave_out, .err = err, .arena = arena_new()};
    w.out = copy < 0 ? NULL : fdopen(copy, "w");
    bool ok = w.out != NULL || err_sys(err, "harvest");
    if (ok) {
        setvbuf(w.out, NULL, _IOFBF, 1 << 20);
        ok = walk(&w, upper_fd, SPAN(""), 0);
        if (fclose(w.out) != 0 && ok)
            ok = err_sys(err, "harvest");
    }
    map_release(&w.links);
    arena_free(w.arena);
    return ok;
}

/* ---- reading it back ------------------------------------------------------------------------- */

static bool take(struct span *stream, uint64_t n, struct span *out)
{
    if (n > stream->len)
        return false;
    *out = span_slice(*stream, 0, (size_t)n);
    *stream = span_skip(*stream, (size_t)n);
    return true;
}

bool harvest_next(struct span *stream, struct harvest_entry *out, struct err *err)
{
    struct span head, pad;
    if (stream->len == 0)
        return false;
    if (!take(stream, sizeof(out->head), &head))
        return err_set(err, ERR_CORRUPT, "the harvest is cut short");
    memcpy(&out->head, head.ptr, sizeof(out->head));
    const struct harvest_record *r = &out->head;
    uint64_t names = (uint64_t)r->path_bytes + r->target_bytes + r->xattr_bytes;
    if (r->magic != MAGIC || r->type > ENTRY_WHITEOUT || r->path_bytes == 0)
        return err_set(err, ERR_CORRUPT, "the harvest holds something else");
    if (!take(stream, r->path_bytes, &out->path) || !take(stream, r->target_bytes, &out->target) ||
        !take(stream, r->xattr_bytes, &out->capability) || !take(stream, padding(names), &pad) ||
        !take(stream, r->content_bytes, &out->content) ||
        !take(stream, padding(r->content_bytes), &pad))
        return err_set(err, ERR_CORRUPT, "the harvest is cut short");
    return true;
}
