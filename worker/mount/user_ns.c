/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/mount/user_ns.h"

#include <errno.h>
#include <fcntl.h>
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
    /* Slave: what is mounted on the machine later still shows, nothing of ours gets out. */
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return err_sys(err, "make mounts private");
    return true;
}
