/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/mount/extract_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/io.h"
#include "base/map.h"

#define MAX_PATH          4095u
#define MAX_NAME          255u
#define MAX_DEPTH         256u
#define MAX_XATTR_BYTES   (64u << 10)
#define DEFAULT_MAX_BYTES (64ull << 30)
#define DEFAULT_ENTRIES   2000000u
#define OPEN_FOLDER       (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* What a folder gets at the end: until then it must be ours to write to. */
struct folder {
    struct span path;
    uint32_t mode;
    uint64_t uid, gid;
    struct timespec mtime;
    bool named; /* by an entry of its own */
};

struct extract {
    int root_fd;
    int parent_fd; /* of the last entry; root_fd or ours */
    struct buf parent, path;
    struct arena *arena;
    struct map folders; /* path -> struct folder */
    bool is_root;
    uint64_t bytes_left, entries_left;
};

static bool refuse(struct err *err, const char *why)
{
    return err_set(err, ERR_BAD_ARCHIVE, "%s", why);
}

/* "./a//b/" -> "a/b" into out; the root gives "". */
static bool normalize(struct span raw, struct buf *out, struct err *err)
{
    struct span name;
    unsigned depth = 0;
    buf_reset(out);
    if (raw.len > MAX_PATH)
        return refuse(err, "path is too long");
    if (raw.len && raw.ptr[0] == '/')
        return refuse(err, "path is absolute");
    while (span_next(&raw, '/', &name)) {
        if (name.len == 0 || span_eq_str(name, "."))
            continue;
        if (span_eq_str(name, ".."))
            return refuse(err, "path has a \"..\"");
        if (name.len > MAX_NAME || ++depth > MAX_DEPTH)
            return refuse(err, "path is too deep or has too long a name");
        if (out->len)
            buf_char(out, '/');
        buf_append(out, name);
    }
    return true;
}

static void split(struct span path, struct span *parent, struct span *name)
{
    *parent = SPAN("");
    *name = path;
    span_cut_last_char(path, '/', parent, name);
}

static int open_below(int root_fd, const char *path)
{
    struct open_how how = {.flags = OPEN_FOLDER, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    return (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
}

static struct folder *remember_folder(struct extract *x, struct span path)
{
    struct folder *f = map_get(&x->folders, path);
    if (f)
        return f;
    f = ARENA_NEW(x->arena, struct folder);
    f->path = arena_span(x->arena, path);
    f->mode = 0755;
    map_put(&x->folders, f->path, f);
    return f;
}

/* Opens root/path a name at a time; makes what is missing when asked to. -1: errno. */
static int walk(struct extract *x, struct span path, bool make)
{
    struct span rest = path, name;
    int at = fcntl(x->root_fd, F_DUPFD_CLOEXEC, 0);
    while (at >= 0 && path.len && span_next(&rest, '/', &name)) {
        AUTO_FREE char *n = mem_dup(name);
        int next = openat(at, n, OPEN_FOLDER);
        if (next < 0 && errno == ENOENT && make && mkdirat(at, n, 0700) == 0) {
            remember_folder(x, span_of(path.ptr, (size_t)(name.ptr + name.len - path.ptr)));
            next = openat(at, n, OPEN_FOLDER);
        }
        int e = errno;
        close(at);
        errno = e;
        at = next;
    }
    return at;
}

static int open_folder(struct extract *x, struct span path, bool make, struct err *err)
{
    AUTO_FREE char *p = mem_dup(path.len ? path : SPAN("."));
    int fd = open_below(x->root_fd, p);
    if (fd < 0)
        fd = walk(x, path, make);
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        refuse(err, "a folder above it is a symbolic link or a file");
    else if (fd < 0 && errno == ENOENT)
        refuse(err, "a folder above it is missing");
    else if (fd < 0)
        err_sys(err, "open folder");
    return fd;
}

static void close_parent(struct extract *x)
{
    if (x->parent_fd >= 0)
        close(x->parent_fd);
    x->parent_fd = -1;
}

/* Entries come sorted, so the folder is mostly the one of the entry before. */
static bool enter_parent(struct extract *x, struct span parent, struct err *err)
{
    if (x->parent_fd >= 0 && span_eq(buf_span(&x->parent), parent))
        return true;
    close_parent(x);
    buf_reset(&x->parent);
    buf_append(&x->parent, parent);
    x->parent_fd = open_folder(x, parent, true, err);
    return x->parent_fd >= 0;
}

static struct timespec time_of(const struct tar_entry *e)
{
    return (struct timespec){e->mtime, e->mtime_ns};
}

/* Overlay's own attributes and security labels would change what the mount shows. */
static bool xattr_is_allowed(struct span name)
{
    if (span_starts(name, SPAN("user.")))
        return !span_starts(name, SPAN("user.overlay."));
    return span_eq_str(name, "security.capability") ||
           span_eq_str(name, "system.posix_acl_access") ||
           span_eq_str(name, "system.posix_acl_default");
}

static bool set_xattrs(const struct extract *x, int fd, const struct tar_entry *e, struct err *err)
{
    for (size_t i = 0; i < e->xattrs.n; i++) {
        const struct tar_xattr *a = &e->xattrs.v[i];
        if (!xattr_is_allowed(a->name))
            continue;
        if (a->value.len > MAX_XATTR_BYTES)
            return refuse(err, "extended attribute is too large");
        /* Capabilities are root's to give; without them the file is still right. */
        if (fsetxattr(fd, a->name.ptr, a->value.ptr, a->value.len, 0) < 0 && x->is_root)
            return err_sys(err, "set attribute %s", a->name.ptr);
    }
    return true;
}

static bool owner(uint64_t id, uint32_t *out, struct err *err)
{
    *out = (uint32_t)id;
    return id < UINT32_MAX || refuse(err, "owner is out of range");
}

static bool finish_fd(const struct extract *x, int fd, const struct tar_entry *e, struct err *err)
{
    struct timespec times[2] = {time_of(e), time_of(e)};
    uint32_t uid, gid;
    if (!owner(e->uid, &uid, err) || !owner(e->gid, &gid, err))
        return false;
    if (x->is_root && fchown(fd, uid, gid) < 0)
        return err_sys(err, "set owner");
    /* After the owner: changing it drops capabilities and set-user-ID bits. */
    if (fchmod(fd, e->mode) < 0 || !set_xattrs(x, fd, e, err) || futimens(fd, times) < 0)
        return err && err->code ? false : err_sys(err, "set mode and time");
    return true;
}

static bool is_whiteout(int dir_fd, const char *name)
{
    struct stat st;
    return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode) &&
           st.st_rdev == 0;
}

/* A whiteout hides what lower layers have; an entry of the same layer takes its place. */
static bool clear_whiteout(struct extract *x, const char *name)
{
    return errno == EEXIST && is_whiteout(x->parent_fd, name) &&
           unlinkat(x->parent_fd, name, 0) == 0;
}

static bool twice(struct err *err, const char *what)
{
    return errno == EEXIST ? refuse(err, "is there twice") : err_sys(err, "%s", what);
}

static bool put_file(struct extract *x, const char *name, const struct tar_entry *e,
                     struct tar_reader *reader, struct err *err)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    AUTO_FD int fd = -1;
    struct span piece;
    if (e->size > x->bytes_left)
        return err_set(err, ERR_TOO_LARGE, "layer unpacks to more than is allowed");
    x->bytes_left -= e->size;
    fd = openat(x->parent_fd, name, flags, 0600);
    if (fd < 0 && clear_whiteout(x, name))
        fd = openat(x->parent_fd, name, flags, 0600);
    if (fd < 0)
        return twice(err, "create file");
    for (;;) {
        if (!tar_content(reader, &piece, err))
            return false;
        if (piece.len == 0)
            break;
        if (!io_write_all(fd, piece, err))
            return false;
    }
    return finish_fd(x, fd, e, err);
}

static bool put_symlink(struct extract *x, const char *name, const struct tar_entry *e,
                        struct err *err)
{
    struct timespec times[2] = {time_of(e), time_of(e)};
    uint32_t uid, gid;
    if (e->link.len > MAX_PATH)
        return refuse(err, "link target is too long");
    if (!owner(e->uid, &uid, err) || !owner(e->gid, &gid, err))
        return false;
    if (symlinkat(e->link.ptr, x->parent_fd, name) < 0 &&
        !(clear_whiteout(x, name) && symlinkat(e->link.ptr, x->parent_fd, name) == 0))
        return twice(err, "create symbolic link");
    if ((x->is_root && fchownat(x->parent_fd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0) ||
        utimensat(x->parent_fd, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(err, "set owner and time");
    return true;
}

static bool put_hardlink(struct extract *x, const char *name, const struct tar_entry *e,
                         struct err *err)
{
    AUTO_BUF struct buf target = BUF(MAX_PATH + 1);
    AUTO_FD int from = -1;
    struct span parent, base;
    struct stat st;
    if (!normalize(e->link, &target, err))
        return err_wrap(err, "hard link target");
    split(buf_span(&target), &parent, &base);
    from = open_folder(x, parent, false, err);
    if (from < 0)
        return err_wrap(err, "hard link target");
    AUTO_FREE char *b = mem_dup(base);
    if (fstatat(from, b, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode)))
        return refuse(err, "hard link to something that is no file before it in the layer");
    if (linkat(from, b, x->parent_fd, name, 0) < 0 &&
        !(clear_whiteout(x, name) && linkat(from, b, x->parent_fd, name, 0) == 0))
        return twice(err, "create hard link");
    return true;
}

/* Under both names: a mount by root reads trusted, one in a user namespace reads user. */
static bool set_opaque(const struct extract *x, int fd, struct err *err)
{
    bool ok = fsetxattr(fd, "user.overlay.opaque", "y", 1, 0) == 0;
    int e = errno;
    if (x->is_root && fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) == 0)
        ok = true;
    errno = e;
    return ok || err_sys(err, "mark folder as opaque");
}

static bool put_folder(struct extract *x, const char *name, const struct tar_entry *e,
                       struct err *err)
{
    AUTO_FD int fd = -1;
    bool hides = false;
    if (mkdirat(x->parent_fd, name, 0700) < 0) {
        hides = clear_whiteout(x, name);
        if (hides ? mkdirat(x->parent_fd, name, 0700) < 0 : errno != EEXIST)
            return err_sys(err, "create folder");
    }
    fd = openat(x->parent_fd, name, OPEN_FOLDER);
    if (fd < 0)
        return errno == ENOTDIR || errno == ELOOP ? refuse(err, "is there twice")
                                                  : err_sys(err, "open folder");
    struct folder *f = remember_folder(x, buf_span(&x->path));
    uint32_t uid, gid;
    if (!owner(e->uid, &uid, err) || !owner(e->gid, &gid, err))
        return false;
    f->mode = e->mode;
    f->uid = uid;
    f->gid = gid;
    f->mtime = time_of(e);
    f->named = true;
    return set_xattrs(x, fd, e, err) && (!hides || set_opaque(x, fd, err));
}

/* ".wh.NAME" hides NAME, ".wh..wh..opq" all that lower layers have in the folder. */
static bool put_whiteout(struct extract *x, const char *hidden, const struct tar_entry *e,
                         struct err *err)
{
    if (e->type != TAR_FILE || e->size)
        return refuse(err, "whiteout is not an empty file");
    if (strcmp(hidden, ".wh..opq") == 0)
        return set_opaque(x, x->parent_fd, err);
    if (strncmp(hidden, ".wh.", 4) == 0)
        return true; /* notes that old union file systems kept for themselves */
    if (!hidden[0] || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
        return refuse(err, "whiteout of nothing");
    if (mknodat(x->parent_fd, hidden, S_IFCHR | 0600, makedev(0, 0)) == 0)
        return true;
    if (errno != EEXIST)
        return err_sys(err, "create whiteout");
    /* This layer has something of that name: a folder hides what is below, a file does so
     * anyway. */
    AUTO_FD int fd = openat(x->parent_fd, hidden, OPEN_FOLDER);
    return fd < 0 || set_opaque(x, fd, err);
}

static bool put_root(struct extract *x, const struct tar_entry *e, struct err *err)
{
    if (e->type != TAR_DIR)
        return refuse(err, "the root is not a folder");
    struct folder *f = remember_folder(x, SPAN(""));
    /* It must stay ours to be renamed into place. */
    f->mode = e->mode | 0700;
    f->mtime = time_of(e);
    f->named = true;
    return true;
}

static bool put_entry(struct extract *x, const struct tar_entry *e, struct tar_reader *reader,
                      struct err *err)
{
    struct span parent, base;
    if (x->entries_left-- == 0)
        return err_set(err, ERR_TOO_LARGE, "layer has more entries than are allowed");
    if (!normalize(e->path, &x->path, err))
        return false;
    if (x->path.len == 0)
        return put_root(x, e, err);
    split(buf_span(&x->path), &parent, &base);
    if (span_starts(parent, SPAN(".wh.")) || span_find(parent, SPAN("/.wh.")) < parent.len)
        return refuse(err, "below a whiteout");
    if (!enter_parent(x, parent, err))
        return false;
    const char *name = base.ptr; /* the path's end, so NUL-terminated */
    if (strncmp(name, ".wh.", 4) == 0)
        return put_whiteout(x, name + 4, e, err);
    switch (e->type) {
    case TAR_FILE: return put_file(x, name, e, reader, err);
    case TAR_DIR: return put_folder(x, name, e, err);
    case TAR_SYMLINK: return put_symlink(x, name, e, err);
    case TAR_HARDLINK: return put_hardlink(x, name, e, err);
    }
    return refuse(err, "unknown type");
}

/* Last come owners, modes and times of folders, the deepest first. */
static bool finish_folders(struct extract *x, struct err *err)
{
    close_parent(x);
    for (size_t i = x->folders.n; i > 0; i--) {
        const struct folder *f = x->folders.v[i - 1].value;
        struct timespec times[2] = {f->mtime, f->mtime};
        AUTO_FD int fd = open_folder(x, f->path, false, err);
        if (fd < 0)
            return err_wrap(err, "%s", f->path.ptr);
        if ((x->is_root && fchown(fd, (uid_t)f->uid, (gid_t)f->gid) < 0) ||
            fchmod(fd, f->mode) < 0 || futimens(fd, times) < 0)
            return err_sys(err, "%s: set owner, mode and time", f->path.ptr);
    }
    return true;
}

static bool extract_all(struct extract *x, struct tar_reader *reader, struct err *err)
{
    const struct tar_entry *e;
    err_clear(err);
    while (tar_reader_next(reader, &e, err))
        if (!put_entry(x, e, reader, err))
            return err_wrap(err, "%.*s", (int)(e->path.len > 200 ? 200 : e->path.len), e->path.ptr);
    return err->code == ERR_NONE && finish_folders(x, err);
}

bool extract_layer(int root_fd, struct tar_reader *reader, const struct layer_limits *limits,
                   struct err *err)
{
    struct err local = {0};
    struct extract x = {
        .root_fd = root_fd,
        .parent_fd = -1,
        .parent = BUF(MAX_PATH + 1),
        .path = BUF(MAX_PATH + 1),
        .arena = arena_new(),
        .is_root = geteuid() == 0,
        .bytes_left = limits && limits->max_bytes ? limits->max_bytes : DEFAULT_MAX_BYTES,
        .entries_left = limits && limits->max_entries ? limits->max_entries : DEFAULT_ENTRIES,
    };
    remember_folder(&x, SPAN(""));
    bool ok = extract_all(&x, reader, &local);
    close_parent(&x);
    buf_release(&x.parent);
    buf_release(&x.path);
    map_release(&x.folders);
    arena_free(x.arena);
    if (!ok && err)
        *err = local;
    return ok;
}
