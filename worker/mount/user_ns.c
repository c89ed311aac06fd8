/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/mount/user_ns.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"

static bool file_starts_with(const char *path, char c)
{
    AUTO_BUF struct buf b = BUF(64);
    return io_read_file(AT_FDCWD, path, &b, NULL) && b.len && b.ptr[0] == c;
}

const char *user_ns_hint(void)
{
    if (file_starts_with("/proc/sys/kernel/unprivileged_userns_clone", '0'))
        return "user namespaces are off for users: sysctl -w kernel.unprivileged_userns_clone=1";
    if (file_starts_with("/proc/sys/user/max_user_namespaces", '0'))
        return "user namespaces are off: sysctl -w user.max_user_namespaces=65536";
    if (file_starts_with("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", '1'))
        return "AppArmor restricts user namespaces: "
               "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";
    return "namespaces are not allowed here: in a container, run it with --privileged, or with "
           "a seccomp profile that allows unshare and mount";
}

static bool write_file(const char *path, const char *text)
{
    AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && io_write_all(fd, span_str(text), NULL);
}

static bool map_own_ids(uid_t uid, gid_t gid)
{
    char line[64];
    /* Older kernels have no such file, and ask for nothing. */
    if (!write_file("/proc/self/setgroups", "deny") && errno != ENOENT)
        return false;
    snprintf(line, sizeof(line), "%u %u 1\n", uid, uid);
    if (!write_file("/proc/self/uid_map", line))
        return false;
    snprintf(line, sizeof(line), "%u %u 1\n", gid, gid);
    return write_file("/proc/self/gid_map", line);
}

/* A mount point below the root where something may be put without the machine seeing it. */
static bool find_private_place(char *out, size_t size)
{
    AUTO_BUF struct buf table = BUF(16u << 20);
    struct span rest, line;
    if (!io_read_file(AT_FDCWD, "/proc/self/mountinfo", &table, NULL))
        return false;
    rest = buf_span(&table);
    while (span_next_line(&rest, &line)) {
        struct span place = {0};
        for (int i = 0; i < 5; i++)
            span_next(&line, ' ', &place);
        if (place.len < 2 || place.len >= size || span_has(place, '\\'))
            continue;
        memcpy(out, place.ptr, place.len);
        out[place.len] = '\0';
        if (mount(NULL, out, NULL, MS_PRIVATE, NULL) == 0 && access(out, X_OK) == 0)
            return true;
    }
    return false;
}

/* After chroot into a plain folder, "/" is no mount point and has no propagation of its own to
 * change. A copy of the tree, attached where nothing gets out from, becomes the root. */
static bool make_root_a_mount(struct err *err)
{
    char place[PATH_MAX], cwd[PATH_MAX];
    bool back = getcwd(cwd, sizeof(cwd)) && cwd[0] == '/';
    if (!find_private_place(place, sizeof(place)))
        return err_set(err, ERR_DENIED,
                       "in a chroot without mount points: mount /proc in it, or bind its folder "
                       "onto itself before chroot");
    AUTO_FD int tree = open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0 || move_mount(tree, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
        fchdir(tree) < 0 || chroot(".") < 0 || chdir(back ? cwd : "/") < 0)
        return err_sys(err, "make a root of a chroot's folder");
    return true;
}

/* Slave: what is mounted on the machine later still shows, nothing of ours gets out. */
static bool make_slave(void)
{
    return mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) == 0;
}

bool mount_ns_enter(bool *user_ns, struct err *err)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    *user_ns = false;
    if (unshare(CLONE_NEWNS) < 0) {
        *user_ns = true;
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0 || !map_own_ids(uid, gid)) {
            err_sys(err, "make a user namespace");
            return err_wrap(err, "%s", user_ns_hint());
        }
    }
    if (make_slave())
        return true;
    if (errno != EINVAL)
        return err_sys(err, "make mounts private");
    if (!make_root_a_mount(err))
        return false;
    return make_slave() || err_sys(err, "make mounts private");
}
