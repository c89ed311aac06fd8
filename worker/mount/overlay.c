/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/mount/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

#define FD_PATH_SIZE 40

static const char *fd_path(int fd, char out[FD_PATH_SIZE])
{
    snprintf(out, FD_PATH_SIZE, "/proc/self/fd/%d", fd);
    return out;
}

/* The kernel says more through the descriptor of the file system than by errno. */
static bool failed(int fs_fd, const char *what, struct err *err)
{
    int e = errno;
    char text[256];
    ssize_t n = read(fs_fd, text, sizeof(text) - 1);
    for (; n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\0'); n--)
        ;
    errno = e;
    if (n > 2)
        return err_sys(err, "overlay: %s (%.*s)", what, (int)(n - 2), text + 2);
    return err_sys(err, "overlay: %s", what);
}

static bool set_fd(int fs_fd, const char *key, int fd)
{
    char path[FD_PATH_SIZE];
    return fsconfig(fs_fd, FSCONFIG_SET_STRING, key, fd_path(fd, path), 0) == 0;
}

static bool set_flag(int fs_fd, const char *key)
{
    return fsconfig(fs_fd, FSCONFIG_SET_FLAG, key, NULL, 0) == 0;
}

/* *too_old: this kernel does not know of the options. */
static bool configure(const struct overlay *o, int fs_fd, bool *too_old, struct err *err)
{
    for (size_t i = 0; i < o->lower_count; i++)
        if (!set_fd(fs_fd, "lowerdir+", o->lower_fds[i])) {
            *too_old = errno == EINVAL;
            return failed(fs_fd, "lower folder", err);
        }
    if (o->user_ns && !set_flag(fs_fd, "userxattr"))
        return failed(fs_fd, "userxattr", err);
    if (o->upper_fd >= 0 &&
        (!set_fd(fs_fd, "upperdir", o->upper_fd) || !set_fd(fs_fd, "workdir", o->work_fd) ||
         (o->is_volatile && !set_flag(fs_fd, "volatile"))))
        return failed(fs_fd, "upper folder", err);
    if (fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) {
        /* Before Linux 6.5, options are only collected, and looked at here. */
        *too_old = errno == EINVAL;
        return failed(fs_fd, "create", err);
    }
    return true;
}

bool overlay_possible(const struct overlay *o)
{
    AUTO_FD int fs_fd = fsopen("overlay", FSOPEN_CLOEXEC);
    struct overlay lower = *o;
    bool too_old;
    lower.upper_fd = lower.work_fd = -1;
    return !o->one_line && fs_fd >= 0 && configure(&lower, fs_fd, &too_old, NULL);
}

static bool mount_by_steps(const struct overlay *o, const char *target, bool *too_old,
                           struct err *err)
{
    AUTO_FD int fs_fd = fsopen("overlay", FSOPEN_CLOEXEC);
    *too_old = fs_fd < 0 && errno == ENOSYS;
    if (fs_fd < 0)
        return err_sys(err, "overlay");
    if (!configure(o, fs_fd, too_old, err))
        return false;
    unsigned attrs = o->attrs | (o->upper_fd < 0 ? MOUNT_ATTR_RDONLY : 0u);
    AUTO_FD int mount_fd = fsmount(fs_fd, FSMOUNT_CLOEXEC, attrs);
    if (mount_fd < 0)
        return failed(fs_fd, "mount", err);
    if (move_mount(mount_fd, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return err_sys(err, "overlay: mount at %s", target);
    return true;
}

/* The options of mount(2) are one page: descriptors' paths keep hundreds of folders within. */
static bool mount_in_one_line(const struct overlay *o, const char *target, struct err *err)
{
    AUTO_BUF struct buf line = BUF(4095);
    buf_str(&line, "lowerdir=");
    for (size_t i = 0; i < o->lower_count; i++)
        buf_printf(&line, "%s/proc/self/fd/%d", i ? ":" : "", o->lower_fds[i]);
    if (o->upper_fd >= 0)
        buf_printf(&line, ",upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d%s", o->upper_fd,
                   o->work_fd, o->is_volatile ? ",volatile" : "");
    if (o->user_ns)
        buf_str(&line, ",userxattr");
    if (line.overflow)
        return err_set(err, ERR_UNSUPPORTED, "overlay: %zu layers are too many for this kernel",
                       o->lower_count);
    unsigned long flags = o->upper_fd < 0 ? MS_RDONLY : 0;
    flags |= o->attrs & MOUNT_ATTR_NOSUID ? MS_NOSUID : 0ul;
    flags |= o->attrs & MOUNT_ATTR_NODEV ? MS_NODEV : 0ul;
    if (mount("overlay", target, "overlay", flags, line.ptr) < 0)
        return err_sys(err, "overlay: mount at %s", target);
    return true;
}

static bool mount_either_way(const struct overlay *o, const char *target, struct err *err)
{
    bool too_old = o->one_line;
    if (!o->one_line && mount_by_steps(o, target, &too_old, err))
        return true;
    /* Where the other way is no way either, the first error says more. */
    if (!too_old || !mount_in_one_line(o, target, o->one_line ? err : NULL))
        return false;
    err_clear(err);
    return true;
}

bool tmpfs_mount(const char *target, unsigned mode, unsigned long long size_bytes, struct err *err)
{
    char options[80];
    snprintf(options, sizeof(options), "mode=%04o", mode);
    if (size_bytes)
        snprintf(options, sizeof(options), "mode=%04o,size=%llu", mode, size_bytes);
    if (mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
        return err_sys(err, "mount tmpfs at %s", target);
    return true;
}

/* Read-only, the kernel wants two folders: an empty one goes over the only one. (Under it, the
 * kernel would look for marks in all folders of the other, and fail where it may not read.) */
static bool mount_single(const struct overlay *o, const char *target, struct err *err)
{
    struct overlay two = *o;
    struct stat st;
    AUTO_FD int empty = -1;
    if (fstat(o->lower_fds[0], &st) < 0)
        return err_sys(err, "overlay: lower folder");
    if (!tmpfs_mount(target, st.st_mode & 07777, 4096, err))
        return false;
    empty = open(target, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (empty < 0)
        return err_sys(err, "%s", target);
    const int fds[2] = {empty, o->lower_fds[0]};
    two.lower_fds = fds;
    two.lower_count = 2;
    return mount_either_way(&two, target, err);
}

bool overlay_mount(const struct overlay *o, const char *target, struct err *err)
{
    if (o->lower_count == 0 || o->lower_count > OVERLAY_MAX_LOWER)
        return err_set(err, ERR_UNSUPPORTED, "overlay: %zu folders, possible are 1 to %d",
                       o->lower_count, OVERLAY_MAX_LOWER);
    if (o->lower_count == 1 && o->upper_fd < 0)
        return mount_single(o, target, err);
    return mount_either_way(o, target, err);
}

static bool make_like(int dir_fd, const char *name, int like_fd, int *fd, struct err *err)
{
    struct stat st;
    if (fstat(like_fd, &st) < 0 || mkdirat(dir_fd, name, 0700) < 0)
        return err_sys(err, "overlay: upper folder");
    *fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return err_sys(err, "overlay: upper folder");
    /* An owner that our user namespace has no id for stays what it is. */
    if (fchown(*fd, st.st_uid, st.st_gid) < 0 && errno != EPERM && errno != EINVAL)
        return err_sys(err, "overlay: owner of upper folder");
    if (fchmod(*fd, st.st_mode & 07777) < 0)
        return err_sys(err, "overlay: mode of upper folder");
    return true;
}

bool overlay_mount_scratch(const struct overlay *o, const char *target, int like_fd,
                           unsigned long long size_bytes, struct err *err)
{
    AUTO_FD int base = -1;
    AUTO_FD int upper = -1;
    AUTO_FD int work = -1;
    struct overlay whole = *o;
    if (!tmpfs_mount(target, 0755, size_bytes, err))
        return false;
    base = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (base < 0)
        return err_sys(err, "%s", target);
    if (!make_like(base, "upper", like_fd, &upper, err) ||
        !make_like(base, "work", like_fd, &work, err))
        return false;
    whole.upper_fd = upper;
    whole.work_fd = work;
    return overlay_mount(&whole, target, err);
}
