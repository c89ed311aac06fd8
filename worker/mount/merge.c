/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/mount/merge_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/io.h"
#include "base/map.h"
#include "worker/mount/overlay.h"

#define OPEN_DIR  (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define MAX_DEPTH 32

/* A folder: what the layers have of it, and whether the machine's shows below. */
struct place {
    const char *path; /* "/opt" */
    VEC(int) stack;   /* the layers' folders, the topmost first */
    bool hidden;      /* a layer hides what is below it */
    bool has_host;    /* this machine has it as a folder */
};

/* Folders in which people work stay as they are, though one above them was covered. */
struct kept {
    char *path;
    int fd;
};

enum { KEPT = 3 };

struct merging {
    const struct merge *m;
    struct arena *arena;
    struct kept kept[KEPT];
    struct buf mounts;         /* mountinfo */
    VEC(const char *) covered; /* overlays that show the machine's files read-only */
};

enum kind { KIND_NONE, KIND_HIDDEN, KIND_LEAF, KIND_FOLDER };

/* What the layers make of a name in a folder, as an overlay would. */
struct child {
    const char *name;
    enum kind kind;
    struct place place; /* of a folder; hidden is right for all kinds */
    int leaf_fd;        /* the layer's folder that has the leaf */
    bool decided;       /* layers further down do not count */
};

struct children {
    struct map by_name; /* struct child *, in the arena */
};

static void place_release(struct place *p)
{
    for (size_t i = 0; i < p->stack.n; i++)
        close(p->stack.v[i]);
    VEC_FREE(&p->stack);
}

static void children_release(struct children *c)
{
    for (size_t i = 0; i < c->by_name.n; i++)
        place_release(&((struct child *)c->by_name.v[i].value)->place);
    map_release(&c->by_name);
}

static bool is_opaque(int fd)
{
    char names[256], y = 0;
    ssize_t n = flistxattr(fd, names, sizeof(names));
    if (n == 0)
        return false;
    return (fgetxattr(fd, "user.overlay.opaque", &y, 1) == 1 && y == 'y') ||
           (fgetxattr(fd, "trusted.overlay.opaque", &y, 1) == 1 && y == 'y');
}

static bool child_add(struct child *c, int layer_fd, unsigned char type, struct err *err)
{
    struct stat st = {0};
    if (type == DT_UNKNOWN || type == DT_CHR) {
        if (fstatat(layer_fd, c->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return err_sys(err, "%s", c->name);
        type = S_ISDIR(st.st_mode) ? DT_DIR : DT_REG;
    }
    c->decided = true;
    if (type == DT_DIR) {
        int fd = openat(layer_fd, c->name, OPEN_DIR);
        if (fd < 0)
            return err_sys(err, "%s", c->name);
        *VEC_PUSH(&c->place.stack) = fd;
        c->kind = KIND_FOLDER;
        c->decided = is_opaque(fd);
    } else if (c->kind == KIND_NONE) {
        c->kind = S_ISCHR(st.st_mode) && st.st_rdev == 0 ? KIND_HIDDEN : KIND_LEAF;
        c->leaf_fd = layer_fd;
    }
    c->place.hidden |= c->decided;
    return true;
}

struct dirent_raw { /* getdents64(2) */
    uint64_t ino;
    int64_t off;
    uint16_t len;
    uint8_t type;
    char name[];
};

static struct child *child_named(struct merging *g, struct children *c, const struct place *p,
                                 const char *name)
{
    struct child *known = map_get(&c->by_name, span_str(name));
    if (known)
        return known;
    struct child *n = ARENA_NEW(g->arena, struct child);
    n->name = arena_str(g->arena, span_str(name));
    n->leaf_fd = -1;
    n->place.hidden = p->hidden;
    map_put(&c->by_name, span_str(n->name), n);
    return n;
}

/* Layers are many and small: they are read through the descriptors that are open anyway. */
static bool children_read(struct merging *g, const struct place *p, struct children *c,
                          struct err *err)
{
    _Alignas(8) char bytes[16384];
    for (size_t i = 0; i < p->stack.n; i++) {
        int fd = p->stack.v[i];
        ssize_t n;
        if (lseek(fd, 0, SEEK_SET) < 0)
            return err_sys(err, "list layer");
        while ((n = syscall(SYS_getdents64, fd, bytes, sizeof(bytes))) > 0)
            for (ssize_t at = 0; at < n;) {
                const struct dirent_raw *e = (const void *)(bytes + at);
                at += e->len;
                if (strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0)
                    continue;
                struct child *child = child_named(g, c, p, e->name);
                if (!child->decided && !child_add(child, fd, e->type, err))
                    return false;
            }
        if (n < 0)
            return err_sys(err, "list layer");
    }
    return true;
}

static bool bind(const char *from, const char *to, struct err *err)
{
    if (mount(from, to, NULL, MS_BIND | MS_REC, NULL) < 0)
        return err_sys(err, "bind %s", to);
    return true;
}

/* Shows dir_fd/name as to_fd/name (whose path is to_path/name). */
static bool copy_entry(struct merging *g, int dir_fd, const char *name, int to_fd,
                       const char *to_path, struct err *err)
{
    char target[4096];
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT || errno == EACCES || err_sys(err, "%s/%s", to_path, name);
    if (S_ISLNK(st.st_mode)) {
        ssize_t n = readlinkat(dir_fd, name, target, sizeof(target) - 1);
        target[n < 0 ? 0 : n] = '\0';
        if (n < 0 || symlinkat(target, to_fd, name) < 0)
            return err_sys(err, "link %s/%s", to_path, name);
        return true;
    }
    if (S_ISDIR(st.st_mode) ? mkdirat(to_fd, name, 0755) < 0
                            : mknodat(to_fd, name, S_IFREG | 0644, 0) < 0)
        return err_sys(err, "create %s/%s", to_path, name);
    const char *from = arena_printf(g->arena, "/proc/self/fd/%d/%s", dir_fd, name);
    return bind(from, arena_printf(g->arena, "%s/%s", to_path, name), err);
}

static bool enter_new_root(const char *path, struct err *err)
{
    if (chdir(path) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
        chdir("/") < 0)
        return err_sys(err, "enter the new root");
    return true;
}

static bool read_only(const char *path, struct err *err)
{
    if (mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
        return err_sys(err, "make %s read-only", path);
    return true;
}

/* An existing folder to mount on while a new root is put together. *covered_fd: what was
 * there, to be attached again; a bind of it would show the new mount instead. */
static const char *scratch_place(int *covered_fd, struct err *err)
{
    static const char *const folders[] = {"/tmp", "/mnt", "/media", "/run", "/var"};
    struct stat st;
    for (size_t i = 0; i < COUNT(folders); i++) {
        if (lstat(folders[i], &st) < 0 || !S_ISDIR(st.st_mode))
            continue;
        *covered_fd =
            open_tree(AT_FDCWD, folders[i], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
        if (*covered_fd >= 0)
            return folders[i];
    }
    err_set(err, ERR_UNSUPPORTED,
            "this machine has none of /tmp, /mnt, /media, /run, /var to mount on");
    return NULL;
}

static bool attach(int tree_fd, const char *to, struct err *err)
{
    if (move_mount(tree_fd, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_sys(err, "attach %s", to);
    return true;
}

/* Shows what the machine has and no layer replaces; folders of both are merged later. */
static bool rebuild_host(struct merging *g, const struct children *c, int host_fd, int to_fd,
                         const char *at, int covered_fd, struct err *err)
{
    int fd = openat(host_fd, ".", OPEN_DIR);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    bool ok = dir != NULL;
    if (!dir) {
        mem_close_fd(&fd);
        return err_sys(err, "list folder");
    }
    for (struct dirent *e; ok && (e = readdir(dir));) {
        const struct child *child = map_get(&c->by_name, span_str(e->d_name));
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            (child && child->place.hidden))
            continue;
        if (covered_fd < 0 || strcmp(e->d_name, at + 1) != 0)
            ok = copy_entry(g, host_fd, e->d_name, to_fd, at, err);
        else if (mkdirat(to_fd, e->d_name, 0755) < 0)
            ok = err_sys(err, "create %s/%s", at, e->d_name);
        else
            ok = attach(covered_fd, arena_printf(g->arena, "%s/%s", at, e->d_name), err);
    }
    closedir(dir);
    return ok;
}

/* Fills `at`, which is an empty tmpfs. covered_fd: the folder that it hides, or -1. */
static bool rebuild(struct merging *g, const struct place *p, const struct children *c, int host_fd,
                    const char *at, int covered_fd, struct err *err)
{
    AUTO_FD int to_fd = open(at, OPEN_DIR);
    if (to_fd < 0)
        return err_sys(err, "%s", at);
    if (!p->hidden && !rebuild_host(g, c, host_fd, to_fd, at, covered_fd, err))
        return err_wrap(err, "%s", p->path);
    for (size_t i = 0; i < c->by_name.n; i++) {
        const struct child *child = c->by_name.v[i].value;
        if (child->kind == KIND_LEAF && !copy_entry(g, child->leaf_fd, child->name, to_fd, at, err))
            return false;
        if (child->kind == KIND_FOLDER && mkdirat(to_fd, child->name, 0755) < 0 && errno != EEXIST)
            return err_sys(err, "create %s/%s", at, child->name);
    }
    return read_only(at, err);
}

static bool open_layers(const char *const *dirs, size_t n, struct place *root, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        int fd = open(dirs[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return err_sys(err, "layer %s", dirs[i]);
        *VEC_PUSH(&root->stack) = fd;
    }
    return true;
}

static void keep_name(struct kept kept[KEPT])
{
    const char *home = getenv("HOME");
    char *paths[KEPT] = {getcwd(NULL, 0), mem_dup_str(home && home[0] == '/' ? home : NULL),
                         mem_dup_str("/var/tmp")};
    for (int i = 0; i < KEPT; i++)
        kept[i] = (struct kept){paths[i], -1};
}

static void keep_open(struct kept kept[KEPT])
{
    for (int i = 0; i < KEPT; i++) {
        mem_close_fd(&kept[i].fd);
        kept[i].fd = kept[i].path ? open(kept[i].path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    }
}

static void keep_close(struct kept kept[KEPT])
{
    for (int i = 0; i < KEPT; i++) {
        mem_close_fd(&kept[i].fd);
        free(kept[i].path);
    }
}

/* What was opened below the old root is of no use for mounts below the new one. */
static bool open_again(struct merging *g, struct place *root, struct children *c, struct err *err)
{
    place_release(root);
    children_release(c);
    keep_open(g->kept);
    return open_layers(g->m->lower_dirs, g->m->lower_count, root, err) &&
           children_read(g, root, c, err);
}

static bool split(struct merging *g, struct place *p, struct children *c, int host_fd,
                  struct err *err)
{
    struct stat st;
    if (fstat(host_fd, &st) < 0)
        return err_sys(err, "%s", p->path);
    if (strcmp(p->path, "/") != 0)
        return tmpfs_mount(p->path, st.st_mode & 07777, 0, err) &&
               rebuild(g, p, c, host_fd, p->path, -1, err);
    AUTO_FD int covered_fd = -1;
    const char *at = scratch_place(&covered_fd, err);
    return at && tmpfs_mount(at, 0755, 0, err) && rebuild(g, p, c, host_fd, at, covered_fd, err) &&
           enter_new_root(at, err) && open_again(g, p, c, err);
}

static bool has_mounts_below(const struct merging *g, const char *path)
{
    struct span rest = buf_span(&g->mounts), line, field;
    size_t len = strlen(path);
    while (span_next_line(&rest, &line)) {
        for (int i = 0; i < 5; i++)
            if (!span_next(&line, ' ', &field))
                field = SPAN("");
        /* Spaces are written as \040: such a mount is below the same folders. */
        if (field.len > len && field.ptr[len] == '/' && memcmp(field.ptr, path, len) == 0)
            return true;
    }
    return false;
}

static bool mount_overlay(const struct merging *g, const int *fds, size_t n, int like_fd,
                          const char *path, struct err *err)
{
    const struct overlay o = {.lower_fds = fds,
                              .lower_count = n,
                              .upper_fd = -1,
                              .work_fd = -1,
                              .user_ns = g->m->user_ns,
                              .is_volatile = true,
                              .one_line = g->m->one_line};
    return g->m->writable ? overlay_mount_scratch(&o, path, like_fd, 0, err)
                          : overlay_mount(&o, path, err);
}

/* The layers' folders lie inside the machine's, which in an overlay of its own is no longer the
 * one they are in. (The layers in one would lose their whiteouts.) */
static bool mount_stacked(const struct merging *g, const struct place *p, int host_fd,
                          struct err *err)
{
    const struct overlay host = {.lower_fds = &host_fd,
                                 .lower_count = 1,
                                 .upper_fd = -1,
                                 .work_fd = -1,
                                 .user_ns = g->m->user_ns,
                                 .one_line = g->m->one_line};
    AUTO_FREE int *fds = mem_array(p->stack.n + 1, sizeof(int));
    AUTO_FD int apart = -1;
    if (!overlay_mount(&host, p->path, err))
        return false;
    apart = open(p->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (apart < 0)
        return err_sys(err, "%s", p->path);
    memcpy(fds, p->stack.v, p->stack.n * sizeof(int));
    fds[p->stack.n] = apart;
    if (mount_overlay(g, fds, p->stack.n + 1, fds[0], p->path, err))
        return true;
    return err_wrap(err, "this machine's root is an overlay itself? put STRATA_HOME on another "
                         "file system");
}

static bool merge_folder(struct merging *g, const struct place *p, int host_fd, struct err *err)
{
    AUTO_FREE int *fds = mem_array(p->stack.n + 1, sizeof(int));
    size_t n = p->stack.n;
    for (size_t i = 0; i < n; i++)
        fds[i] = p->stack.v[i];
    if (p->hidden || host_fd < 0)
        return mount_overlay(g, fds, n, fds[0], p->path, err);
    *VEC_PUSH(&g->covered) = p->path;
    fds[n] = host_fd;
    if (mount_overlay(g, fds, n + 1, fds[0], p->path, err))
        return true;
    if (!err || err->sys_errno != ELOOP)
        return false;
    err_clear(err);
    return mount_stacked(g, p, host_fd, err);
}

static bool merge_place(struct merging *g, struct place *p, int depth, struct err *err);

/* Whether the machine lacks a place for a child, or has what must be hidden. */
static bool needs_split(const struct child *c, int host_fd, bool *refused)
{
    struct stat st;
    bool host = fstatat(host_fd, c->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    *refused = c->kind == KIND_FOLDER && host && S_ISLNK(st.st_mode) && !c->place.hidden;
    return c->kind == KIND_LEAF || (c->kind == KIND_HIDDEN && host) ||
           (c->kind == KIND_FOLDER && !(host && S_ISDIR(st.st_mode)));
}

static bool descend_into(struct merging *g, struct place *p, struct children *c, int host_fd,
                         int depth, struct err *err)
{
    const char *prefix = p->path[1] ? p->path : "";
    bool must_split = p->hidden, refused = false;
    if (!children_read(g, p, c, err))
        return false;
    for (size_t i = 0; i < c->by_name.n; i++) {
        const struct child *child = c->by_name.v[i].value;
        must_split |= needs_split(child, host_fd, &refused);
        if (refused)
            return err_set(err, ERR_UNSUPPORTED,
                           "a layer has the folder %s/%s, which is a symbolic link here", prefix,
                           child->name);
    }
    if (must_split && !split(g, p, c, host_fd, err))
        return false;
    for (size_t i = 0; i < c->by_name.n; i++) {
        struct child *child = c->by_name.v[i].value;
        struct stat st;
        if (child->kind != KIND_FOLDER)
            continue;
        child->place.path = arena_printf(g->arena, "%s/%s", prefix, child->name);
        child->place.has_host = !child->place.hidden &&
                                fstatat(host_fd, child->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                                S_ISDIR(st.st_mode);
        if (!merge_place(g, &child->place, depth + 1, err))
            return false;
    }
    return true;
}

static bool descend(struct merging *g, struct place *p, int host_fd, int depth, struct err *err)
{
    struct children c = {0};
    bool ok = descend_into(g, p, &c, host_fd, depth, err);
    children_release(&c);
    return ok;
}

static bool merge_place(struct merging *g, struct place *p, int depth, struct err *err)
{
    AUTO_FD int host_fd = -1;
    if (p->has_host && (host_fd = open(p->path, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
        return err_sys(err, "%s", p->path);
    bool by_entry =
        strcmp(p->path, "/") == 0 || strcmp(p->path, "/opt") == 0 || has_mounts_below(g, p->path);
    if (host_fd >= 0 && by_entry && depth < MAX_DEPTH)
        return descend(g, p, host_fd, depth, err);
    return merge_folder(g, p, host_fd, err);
}

static bool is_below(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && path[n] == '/';
}

static bool layers_have(const struct place *root, const char *path)
{
    struct stat st;
    for (size_t i = 0; i < root->stack.n; i++)
        if (fstatat(root->stack.v[i], path + 1, &st, AT_SYMLINK_NOFOLLOW) == 0)
            return true;
    return false;
}

static bool keep_bind(const struct merging *g, const struct place *root, struct err *err)
{
    const struct kept *kept = g->kept;
    for (size_t i = 0; i < KEPT; i++) {
        bool covered = false;
        for (size_t c = 0; kept[i].fd >= 0 && c < g->covered.n; c++)
            covered |= is_below(kept[i].path, g->covered.v[c]);
        if (covered && !layers_have(root, kept[i].path) &&
            !bind(arena_printf(g->arena, "/proc/self/fd/%d", kept[i].fd), kept[i].path, err))
            return false;
    }
    return true;
}

bool merge_over_root(const struct merge *m, struct err *err)
{
    struct merging g = {.m = m, .arena = arena_new(), .mounts = BUF(16u << 20)};
    struct place root = {.path = "/", .has_host = true};
    keep_name(g.kept);
    keep_open(g.kept);
    bool ok = open_layers(m->lower_dirs, m->lower_count, &root, err) &&
              io_read_file(AT_FDCWD, "/proc/self/mountinfo", &g.mounts, err) &&
              merge_place(&g, &root, 0, err) && keep_bind(&g, &root, err);
    keep_close(g.kept);
    place_release(&root);
    VEC_FREE(&g.covered);
    buf_release(&g.mounts);
    arena_free(g.arena);
    return ok;
}

/* What of this machine shows in a root that is not its own. */
struct own_bind {
    const char *path;
    int fd;
    bool folder;
};

enum { OWN_BINDS = 8 };

static void own_open(struct own_bind binds[OWN_BINDS], char *cwd)
{
    const char *home = getenv("HOME");
    const char *paths[OWN_BINDS] = {
        "/proc", "/sys", "/dev", "/tmp", "/etc/resolv.conf", "/etc/hosts", home ? home : "/", cwd};
    for (int i = 0; i < OWN_BINDS; i++) {
        struct stat st = {0};
        const char *p = paths[i] && paths[i][0] == '/' && paths[i][1] ? paths[i] : NULL;
        binds[i] = (struct own_bind){p, p ? open(p, O_PATH | O_CLOEXEC) : -1, false};
        if (binds[i].fd >= 0 && fstat(binds[i].fd, &st) == 0)
            binds[i].folder = S_ISDIR(st.st_mode);
    }
}

/* The topmost layer: places for the binds, so that a root without them will do. */
static bool own_places(const struct own_bind *binds, int shim_fd, struct err *err)
{
    for (int i = 0; i < OWN_BINDS; i++) {
        if (binds[i].fd < 0)
            continue;
        AUTO_FREE char *folder = mem_dup_str(binds[i].path + 1);
        char *slash = strrchr(folder, '/');
        if (!binds[i].folder && slash)
            *slash = '\0';
        if (!io_mkdirs(shim_fd, folder, 0755, err))
            return false;
        if (!binds[i].folder && mknodat(shim_fd, binds[i].path + 1, S_IFREG | 0644, 0) < 0 &&
            errno != EEXIST)
            return err_sys(err, "place for %s", binds[i].path);
    }
    return true;
}

static bool own_binds(const struct own_bind *binds, const char *root, const char *covered,
                      int covered_fd, struct err *err)
{
    for (int i = 0; i < OWN_BINDS; i++) {
        bool shows = binds[i].fd < 0; /* with a folder above it */
        for (int above = 0; !shows && above < i; above++)
            shows = binds[above].fd >= 0 && is_below(binds[i].path, binds[above].path);
        if (shows)
            continue;
        AUTO_FREE char *from = mem_printf("/proc/self/fd/%d", binds[i].fd);
        AUTO_FREE char *to = mem_printf("%s%s", root, binds[i].path);
        if (strcmp(binds[i].path, covered) == 0 ? !attach(covered_fd, to, err)
                                                : !bind(from, to, err))
            return false;
    }
    return true;
}

static bool own_mount(struct merging *g, struct place *root, const struct own_bind *binds,
                      struct err *err)
{
    AUTO_FD int covered_fd = -1;
    AUTO_FD int shim_fd = -1;
    const char *at = scratch_place(&covered_fd, err);
    if (!at || !tmpfs_mount(at, 0755, 0, err))
        return false;
    const char *shim = arena_printf(g->arena, "%s/shim", at);
    const char *root_path = arena_printf(g->arena, "%s/root", at);
    if (mkdir(shim, 0755) < 0 || mkdir(root_path, 0755) < 0)
        return err_sys(err, "%s", at);
    shim_fd = open(shim, OPEN_DIR);
    if (shim_fd < 0)
        return err_sys(err, "%s", shim);
    if (!own_places(binds, shim_fd, err))
        return false;
    AUTO_FREE int *fds = mem_array(root->stack.n + 1, sizeof(int));
    fds[0] = shim_fd;
    for (size_t i = 0; i < root->stack.n; i++)
        fds[i + 1] = root->stack.v[i];
    return mount_overlay(g, fds, root->stack.n + 1, shim_fd, root_path, err) &&
           own_binds(binds, root_path, at, covered_fd, err) && enter_new_root(root_path, err);
}

bool merge_own_root(const struct merge *m, const char *const *own, size_t own_count,
                    struct err *err)
{
    struct merging g = {.m = m, .arena = arena_new()};
    struct place root = {.path = "/"};
    struct own_bind binds[OWN_BINDS];
    char *cwd = getcwd(NULL, 0);
    own_open(binds, cwd);
    bool ok = open_layers(m->lower_dirs, m->lower_count, &root, err) &&
              open_layers(own, own_count, &root, err) && own_mount(&g, &root, binds, err);
    for (int i = 0; i < OWN_BINDS; i++)
        mem_close_fd(&binds[i].fd);
    place_release(&root);
    free(cwd);
    arena_free(g.arena);
    return ok;
}
