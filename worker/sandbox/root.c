/* SPDX-License-Identifier: Apache-2.0 */
/* The root of a sandbox, put together on a tmpfs over some folder of the machine:
 *
 *   AT/m0, m1 ...   the sources (layers, base, upper), attached to this namespace
 *   AT/shim         what the sandbox adds (shim_priv.h)
 *   AT/mask         what it hides of the base
 *   AT/up           upper and work, when nothing is to be kept
 *   AT/root         the overlay of all that; it becomes "/", and the rest is let go */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "worker/sandbox/root_priv.h"

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

static unsigned long long disk_bytes(const struct plan *p)
{
    /* Without a control group, what lies in memory has no other bound. */
    return p->watch_memory && p->limits.disk_bytes > p->limits.memory_bytes ? p->limits.memory_bytes
                                                                            : p->limits.disk_bytes;
}

static const char *path_at(const struct building *b, const char *name, char out[64])
{
    snprintf(out, 64, "%s/%s", b->at, name);
    return out;
}

static bool open_scratch(struct building *b, struct err *err)
{
    static const char *const folders[] = {"/tmp", "/mnt", "/media", "/run", "/var"};
    struct stat st;
    for (size_t i = 0; i < COUNT(folders) && !b->at; i++)
        if (lstat(folders[i], &st) == 0 && S_ISDIR(st.st_mode))
            b->at = folders[i];
    if (!b->at)
        return err_set(err, ERR_UNSUPPORTED, "this machine has no folder to mount on");
    if (!tmpfs_mount(b->at, 0755, 64u << 20, err))
        return false;
    b->at_fd = open(b->at, OPEN_DIR);
    if (b->at_fd < 0 || mkdirat(b->at_fd, "shim", 0755) < 0 || mkdirat(b->at_fd, "up", 0755) < 0 ||
        mkdirat(b->at_fd, "mask", 0755) < 0 || mkdirat(b->at_fd, "root", 0755) < 0)
        return err_sys(err, "%s", b->at);
    return true;
}

static bool attach(int tree_fd, const char *to, struct err *err)
{
    if (move_mount(tree_fd, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_sys(err, "attach %s", to);
    return true;
}

static bool attach_sources(struct building *b, struct err *err)
{
    struct sources *s = &b->plan->sources;
    for (size_t i = 0; i < s->n; i++) {
        if (s->v[i].kind > SOURCE_UPPER || s->v[i].tree_fd < 0)
            continue;
        char name[24];
        snprintf(name, sizeof(name), "m%zu", i);
        path_at(b, name, b->attached[i]);
        if (mkdirat(b->at_fd, name, 0755) < 0)
            return err_sys(err, "%s", b->attached[i]);
        if (!attach(s->v[i].tree_fd, b->attached[i], err))
            return err_wrap(err, "%s", s->v[i].path);
    }
    return true;
}

/* The attached place of a kind whose path is the given folder. */
static const char *place_of(const struct building *b, enum source_kind kind, struct span folder)
{
    const struct sources *s = &b->plan->sources;
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].kind == kind && b->attached[i][0] && span_eq_str(folder, s->v[i].path))
            return b->attached[i];
    return NULL;
}

static bool push_lower(struct building *b, int fd, const char *what, struct err *err)
{
    if (fd < 0)
        return err_sys(err, "%s", what);
    if (b->lower_count == MAX_LOWER) {
        close(fd);
        return err_set(err, ERR_UNSUPPORTED, "more than %d layers", MAX_LOWER);
    }
    b->lower[b->lower_count++] = fd;
    return true;
}

/* Layers in the manifest's order are pushed from the last, which is the topmost. */
static bool push_layers(struct building *b, enum source_kind kind, const char *const *dirs,
                        size_t n, struct err *err)
{
    for (size_t i = n; i > 0; i--) {
        struct span folder, name;
        span_cut_last_char(span_str(dirs[i - 1]), '/', &folder, &name);
        const char *place = place_of(b, kind, folder.len ? folder : SPAN("/"));
        AUTO_FREE char *path = mem_printf("%s/%.*s", place ? place : "", SPAN_ARG(name));
        if (!push_lower(b, open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), dirs[i - 1],
                        err))
            return false;
    }
    return true;
}

static bool push_own(struct building *b, const char *name, struct err *err)
{
    char path[64];
    return push_lower(b, open(path_at(b, name, path), O_PATH | O_DIRECTORY | O_CLOEXEC), name, err);
}

/* The base's topmost folder, to read. */
static int open_base(struct building *b, struct err *err)
{
    const struct sandbox_spec *spec = b->plan->spec;
    struct span folder = SPAN("/"), name = SPAN("");
    if (spec->base_count)
        span_cut_last_char(span_str(spec->base_dirs[spec->base_count - 1]), '/', &folder, &name);
    const char *place = place_of(b, SOURCE_BASE, folder.len ? folder : SPAN("/"));
    AUTO_FREE char *path = mem_printf("%s/%.*s", place ? place : "", SPAN_ARG(name));
    int fd = open(path, OPEN_DIR);
    if (fd < 0)
        err_sys(err, "the root below");
    return fd;
}

static bool push_all(struct building *b, struct err *err)
{
    const struct sandbox_spec *spec = b->plan->spec;
    AUTO_FD int shim = openat(b->at_fd, "shim", OPEN_DIR);
    AUTO_FD int mask = openat(b->at_fd, "mask", OPEN_DIR);
    AUTO_FD int base = open_base(b, err);
    if (shim < 0 || mask < 0)
        return err_sys(err, "shim");
    if (base < 0 || !shim_build(b->plan, shim, err) ||
        !mask_build(b->plan, mask, base, spec->base_count == 0, err) || !push_own(b, "shim", err) ||
        !push_layers(b, SOURCE_LAYERS, spec->lower_dirs, spec->lower_count, err) ||
        !push_own(b, "mask", err))
        return false;
    b->base_from = b->lower_count;
    if (spec->base_count)
        return push_layers(b, SOURCE_BASE, spec->base_dirs, spec->base_count, err);
    return b->parts || push_lower(b, fcntl(base, F_DUPFD_CLOEXEC, 3), "root", err);
}

/* upper and work, in memory or in the folder that the spec gives. */
static bool open_upper(struct building *b, struct err *err)
{
    const char *dir = b->plan->spec->upper_dir;
    char path[64];
    const char *place = dir ? place_of(b, SOURCE_UPPER, span_str(dir)) : path_at(b, "up", path);
    if (!dir && !tmpfs_mount(place, 0755, disk_bytes(b->plan), err))
        return false;
    AUTO_FD int fd = place ? open(place, OPEN_DIR) : -1;
    if (fd < 0)
        return err_sys(err, "upper folder");
    if (!dir && (mkdirat(fd, "upper", 0755) < 0 || mkdirat(fd, "work", 0755) < 0))
        return err_sys(err, "upper folder");
    b->upper_fd = openat(fd, "upper", OPEN_DIR);
    b->work_fd = openat(fd, "work", OPEN_DIR);
    if (b->upper_fd < 0 || b->work_fd < 0)
        return err_sys(err, "upper folder");
    return true;
}

bool root_overlay(const int *lower, size_t n, int host_fd, int upper_fd, int work_fd,
                  const char *to, struct err *err)
{
    AUTO_FREE int *fds = mem_array(n + 1, sizeof(int));
    AUTO_FD int apart = -1;
    struct overlay o = {.lower_fds = fds,
                        .lower_count = n + (host_fd >= 0),
                        .upper_fd = -1,
                        .work_fd = -1,
                        .user_ns = true,
                        .is_volatile = true,
                        .attrs = MOUNT_ATTR_NODEV};
    memcpy(fds, lower, n * sizeof(int));
    fds[n] = host_fd;
    /* Layers may lie inside this machine's root, and folders of an overlay not in each other. In
     * an overlay of its own, the machine's root is no longer the one they are in. It is not the
     * layers that are put apart, for in an overlay their whiteouts would be lost. */
    if (host_fd >= 0 && n > 0 && !overlay_possible(&o)) {
        struct overlay host = o;
        host.lower_fds = &host_fd;
        host.lower_count = 1;
        if (!overlay_mount(&host, to, err))
            return false;
        apart = open(to, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (apart < 0)
            return err_sys(err, "%s", to);
        fds[n] = apart;
    }
    o.upper_fd = upper_fd;
    o.work_fd = work_fd;
    return overlay_mount(&o, to, err);
}

static bool mount_whole(const struct building *b, const char *root, struct err *err)
{
    bool host = b->plan->spec->base_count == 0;
    return root_overlay(b->lower, host ? b->base_from : b->lower_count,
                        host ? b->lower[b->base_from] : -1, b->upper_fd, b->work_fd, root, err);
}

static bool mount_kernel(const struct building *b, struct err *err)
{
    char path[64];
    AUTO_FREE char *proc = mem_printf("%s/proc", path_at(b, "root", path));
    if (mount("proc", proc, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) {
        err_sys(err, "mount /proc");
        return err_wrap(err, "this machine's own /proc is covered in part (a container?)");
    }
    return true;
}

static bool enter(const struct building *b, struct err *err)
{
    char path[64];
    if (chdir(path_at(b, "root", path)) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return err_sys(err, "enter the root");
    return true;
}

/* --- inside the new root --- */

static bool make_dev(const struct plan *p, struct err *err)
{
    static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
                                           {"/proc/self/fd/0", "/dev/stdin"},
                                           {"/proc/self/fd/1", "/dev/stdout"},
                                           {"/proc/self/fd/2", "/dev/stderr"},
                                           {"pts/ptmx", "/dev/ptmx"}};
    if (!tmpfs_mount("/dev", 0755, 1u << 20, err))
        return false;
    for (size_t i = 0; i < p->sources.n; i++) {
        const struct source *s = &p->sources.v[i];
        if (s->kind != SOURCE_DEVICE || s->tree_fd < 0)
            continue;
        if (mknod(s->path, S_IFREG | 0666, 0) < 0)
            return err_sys(err, "%s", s->path);
        if (!attach(s->tree_fd, s->path, err))
            return false;
    }
    for (size_t i = 0; i < COUNT(links); i++)
        if (symlink(links[i][0], links[i][1]) < 0)
            return err_sys(err, "%s", links[i][1]);
    if (mkdir("/dev/shm", 01777) < 0 || mkdir("/dev/pts", 0755) < 0)
        return err_sys(err, "/dev");
    if (mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
              "newinstance,ptmxmode=0666,mode=0620") < 0)
        return err_sys(err, "mount /dev/pts");
    return tmpfs_mount("/dev/shm", 01777, disk_bytes(p), err);
}

static bool make_private(const struct plan *p, struct err *err)
{
    unsigned long long most = disk_bytes(p);
    if (!make_dev(p, err) || !tmpfs_mount("/sys", 0555, 4096, err) ||
        !tmpfs_mount("/tmp", 01777, most, err) || !tmpfs_mount("/var/tmp", 01777, most, err) ||
        !tmpfs_mount("/run", 0755, most, err) || !tmpfs_mount("/root", 0700, most, err) ||
        !tmpfs_mount("/home", 0755, 1u << 20, err) || !tmpfs_mount("/build", 0755, most, err))
        return false;
    if (mkdir("/run/lock", 01777) < 0 || chmod("/run/lock", 01777) < 0)
        return err_sys(err, "/run/lock");
    if (mount(NULL, "/sys", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) <
        0)
        return err_sys(err, "/sys");
    return true;
}

/* What of /proc is the whole machine's. */
static bool cover_proc(struct err *err)
{
    static const char *const read_only[] = {"/proc/sys", "/proc/sysrq-trigger", "/proc/irq",
                                            "/proc/bus", "/proc/fs"};
    static const char *const hidden[] = {"/proc/kcore",       "/proc/keys",   "/proc/key-users",
                                         "/proc/timer_list",  "/proc/kmsg",   "/proc/kallsyms",
                                         "/proc/vmallocinfo", "/proc/modules"};
    for (size_t i = 0; i < COUNT(read_only); i++) {
        if (mount(read_only[i], read_only[i], NULL, MS_BIND | MS_REC, NULL) < 0 && errno == ENOENT)
            continue;
        if (mount(NULL, read_only[i], NULL,
                  MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
            return err_sys(err, "%s", read_only[i]);
    }
    for (size_t i = 0; i < COUNT(hidden); i++)
        if (mount("/dev/null", hidden[i], NULL, MS_BIND, NULL) < 0 && errno != ENOENT)
            return err_sys(err, "%s", hidden[i]);
    return true;
}

static bool make_binds(const struct plan *p, struct err *err)
{
    AUTO_FD int root = open("/", OPEN_DIR);
    if (root < 0)
        return err_sys(err, "/");
    for (size_t i = 0; i < p->sources.n; i++) {
        const struct source *s = &p->sources.v[i];
        if (s->kind != SOURCE_BIND)
            continue;
        const struct sandbox_bind *bind = &p->spec->binds[s->index];
        if (path_is_private(bind->to) &&
            !shim_put_place(root, bind->to, bind_is_folder(p, s->index), err))
            return false;
        if (!attach(s->tree_fd, bind->to, err))
            return false;
        struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                                              (bind->writable ? 0u : MOUNT_ATTR_RDONLY)};
        if (mount_setattr(AT_FDCWD, bind->to, AT_RECURSIVE, &attr, sizeof(attr)) < 0)
            return err_sys(err, "%s", bind->to);
    }
    for (size_t i = 0; i < p->spec->file_count; i++)
        if (path_is_private(p->spec->files[i].path) &&
            !shim_put_file(root, &p->spec->files[i], err))
            return false;
    return true;
}

static bool build(struct building *b, struct err *err)
{
    struct plan *p = b->plan;
    char root[64];
    bool user = p->map == ID_MAP_SUB || p->map == ID_MAP_SINGLE;
    b->parts = user && p->spec->base_count == 0;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return err_sys(err, "make mounts private");
    if (user && !sources_open(&p->sources, p->spec, -1, true, err))
        return false;
    if (b->parts && !parts_hold(b, err))
        return false;
    if (!open_scratch(b, err) || !attach_sources(b, err) || !push_all(b, err) ||
        !open_upper(b, err))
        return false;
    path_at(b, "root", root);
    if (!(b->parts ? parts_mount(b, root, err) : mount_whole(b, root, err)))
        return false;
    return mount_kernel(b, err) && enter(b, err) && make_private(p, err) && cover_proc(err) &&
           make_binds(p, err);
}

bool root_build(struct plan *p, int *upper_fd, struct err *err)
{
    struct building b = {.plan = p, .at_fd = -1, .upper_fd = -1, .work_fd = -1};
    bool ok = build(&b, err) || err_wrap(err, "root of the sandbox");
    for (size_t i = 0; i < b.lower_count; i++)
        close(b.lower[i]);
    parts_release(&b);
    mem_close_fd(&b.at_fd);
    mem_close_fd(&b.work_fd);
    *upper_fd = b.upper_fd;
    return ok;
}
