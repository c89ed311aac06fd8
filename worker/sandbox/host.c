/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/proc.h"
#include "worker/mount/overlay.h"
#include "worker/mount/user_ns.h"
#include "worker/sandbox/host_priv.h"

/* "name:start:count" or "id:start:count", the first line of ours (subuid(5)). */
static struct id_range find_range(const char *file, const char *name, unsigned id)
{
    AUTO_BUF struct buf b = BUF(1u << 20);
    struct span rest, line, who, start_text, count_text;
    char id_text[16];
    snprintf(id_text, sizeof(id_text), "%u", id);
    if (!io_read_file(AT_FDCWD, file, &b, NULL))
        return (struct id_range){0, 0};
    rest = buf_span(&b);
    while (span_next_line(&rest, &line)) {
        uint64_t start, count;
        if (!span_next(&line, ':', &who) || !span_next(&line, ':', &start_text) ||
            !span_next(&line, ':', &count_text) ||
            !(span_eq_str(who, id_text) || (name && span_eq_str(who, name))) ||
            !span_to_u64(start_text, &start) || !span_to_u64(span_trim(count_text), &count) ||
            count < 65535 || start + count > UINT32_MAX)
            continue;
        return (struct id_range){(uint32_t)start, count > 65535 ? 65535 : (uint32_t)count};
    }
    return (struct id_range){0, 0};
}

static void find_ids(struct sandbox_host *h)
{
    const struct passwd *pw = getpwuid(h->uid);
    const char *name = pw ? pw->pw_name : NULL;
    if (h->is_root) {
        h->range_ns_fd = id_map_namespace(h, ID_MAP_RANGE);
        return;
    }
    h->sub_uid = find_range("/etc/subuid", name, h->uid);
    h->sub_gid = find_range("/etc/subgid", name, h->uid);
    h->newuidmap = proc_find("newuidmap");
    h->newgidmap = proc_find("newgidmap");
    if (h->sub_uid.count && h->sub_gid.count && h->newuidmap && h->newgidmap) {
        AUTO_FD int fd = id_map_namespace(h, ID_MAP_SUB);
        h->sub_works = fd >= 0;
    }
}

enum probe_step { PROBE_USER = 1, PROBE_OTHERS, PROBE_TMPFS, PROBE_OVERLAY, PROBE_PROC, PROBE_OK };

static bool probe_overlay(void)
{
    if (mkdir("/tmp/a", 0755) < 0 || mkdir("/tmp/b", 0755) < 0 || mkdir("/tmp/c", 0755) < 0)
        return false;
    AUTO_FD int a = open("/tmp/a", O_PATH | O_CLOEXEC);
    AUTO_FD int b = open("/tmp/b", O_PATH | O_CLOEXEC);
    const int fds[2] = {a, b};
    struct overlay o = {fds, 2, -1, -1, true, false, false, 0};
    return overlay_mount(&o, "/tmp/c", NULL);
}

/* What a sandbox does, up to the first step that is refused. */
static enum probe_step probe_inside(void)
{
    if (unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET |
                CLONE_NEWCGROUP) < 0)
        return PROBE_OTHERS;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            !tmpfs_mount("/tmp", 0755, 1u << 20, NULL))
            _exit(PROBE_TMPFS);
        if (!probe_overlay())
            _exit(PROBE_OVERLAY);
        if (mkdir("/tmp/p", 0755) < 0 || mount("proc", "/tmp/p", "proc", MS_NOSUID, NULL) < 0)
            _exit(PROBE_PROC);
        _exit(PROBE_OK);
    }
    int raw = 0;
    if (pid < 0 || waitpid(pid, &raw, 0) != pid || !WIFEXITED(raw))
        return PROBE_OTHERS;
    return (enum probe_step)WEXITSTATUS(raw);
}

static int probe_main(void *ctx)
{
    (void)ctx;
    return (int)probe_inside();
}

static enum probe_step probe(const struct sandbox_host *h)
{
    int status = 0;
    enum id_map map = h->is_root ? ID_MAP_SAME : ID_MAP_SINGLE;
    if (!id_map_run(h, map, probe_main, NULL, &status, NULL) || status == 125)
        return PROBE_USER;
    return status > PROBE_OK ? PROBE_OTHERS : (enum probe_step)status;
}

static struct sandbox_check *add_check(struct sandbox_host *h, const char *name, bool ok,
                                       bool required)
{
    struct sandbox_check *c = &h->checks[h->check_count++];
    c->name = name;
    c->ok = ok;
    c->required = required;
    return c;
}

#define TEXT(field, ...) snprintf((field), sizeof(field), __VA_ARGS__)

static void check_namespaces(struct sandbox_host *h)
{
    enum probe_step step = probe(h);
    struct sandbox_check *c = add_check(h, "user_namespaces", step > PROBE_OTHERS, true);
    TEXT(c->found, "%s",
         c->ok                ? "allowed"
         : step == PROBE_USER ? "refused"
                              : "other namespaces are refused");
    if (!c->ok)
        TEXT(c->fix, "%s", user_ns_hint());
    c = add_check(h, "overlay_mounts", step > PROBE_OVERLAY, true);
    TEXT(c->found, "%s", c->ok ? "allowed in user namespaces" : "refused");
    if (!c->ok)
        TEXT(c->fix, "Linux 5.11 or later with overlayfs: modprobe overlay");
    c = add_check(h, "proc_mount", step > PROBE_PROC, true);
    TEXT(c->found, "%s", c->ok ? "allowed" : "refused");
    if (!c->ok)
        TEXT(c->fix, "in a container, run it with --security-opt systempaths=unconfined");
}

/* Whether files below home can be shown with other owners. */
static bool home_maps_ids(const struct sandbox_host *h)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP,
                              .userns_fd = (uint64_t)(unsigned)h->range_ns_fd};
    AUTO_FD int fd = open_tree(AT_FDCWD, h->home, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    return fd >= 0 && h->range_ns_fd >= 0 &&
           mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0;
}

static void check_ids(struct sandbox_host *h)
{
    if (h->is_root) {
        struct sandbox_check *c = add_check(h, "id_mapped_mounts", home_maps_ids(h), false);
        TEXT(c->found, "%s",
             c->ok ? "ids of a range of their own, mapped back on disk"
                   : "not on this file system: ids are not changed");
        if (!c->ok)
            TEXT(c->fix, "put STRATA_HOME on ext4, xfs or btrfs (Linux 5.19 or later)");
        return;
    }
    struct sandbox_check *c = add_check(h, "id_ranges", host_user_map(h) == ID_MAP_SUB, false);
    if (c->ok)
        TEXT(c->found, "user ids %u-%u", h->sub_uid.start, h->sub_uid.start + h->sub_uid.count - 1);
    else
        TEXT(c->found, "one id only: packages that own files by several users install degraded");
    if (!h->newuidmap || !h->newgidmap)
        TEXT(c->fix, "apt-get install uidmap");
    else if (!c->ok)
        TEXT(c->fix, "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %u", h->uid);
}

static void check_limits(struct sandbox_host *h)
{
    struct sandbox_check *c = add_check(h, "memory_limit", h->cgroups.memory != NULL, false);
    if (c->ok)
        TEXT(c->found, "control group v%d", h->cgroups.version);
    else
        TEXT(c->found, "a limit for each process, and watched");
    if (!c->ok)
        TEXT(c->fix, "%s",
             h->is_root ? "mount a cgroup hierarchy with the memory controller"
                        : "systemd-run --user --scope -p Delegate=yes build-env ...");
    c = add_check(h, "process_limit", true, false);
    TEXT(c->found, h->cgroups.pids ? "control group v%d" : "resource limit%.0d",
         h->cgroups.version);
}

static void check_filter(struct sandbox_host *h)
{
    bool ok = prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
    struct sandbox_check *c = add_check(h, "system_call_filter", ok, true);
    TEXT(c->found, "%s", ok ? "seccomp" : "not in this kernel");
    if (!ok)
        TEXT(c->fix, "a kernel with CONFIG_SECCOMP_FILTER");
}

static bool may_mount(void)
{
    int raw = 1;
    pid_t pid = fork();
    if (pid == 0)
        _exit(unshare(CLONE_NEWNS) < 0);
    return pid > 0 && waitpid(pid, &raw, 0) == pid && raw == 0;
}

struct sandbox_host *sandbox_host_new(const char *home, struct err *err)
{
    struct sandbox_host *h = MEM_NEW(struct sandbox_host);
    AUTO_FREE char *real = realpath(home, NULL);
    h->home = mem_dup_str(real ? real : home);
    h->uid = geteuid();
    h->gid = getegid();
    h->range_ns_fd = -1;
    h->is_root = h->uid == 0 && may_mount();
    if (h->home[0] != '/' || !filter_compile(&h->filter, false, err) ||
        !filter_compile(&h->filter_single, true, err)) {
        if (h->home[0] != '/')
            err_set(err, ERR_INVALID, "%s: not an absolute path", home);
        sandbox_host_free(h);
        return NULL;
    }
    find_ids(h);
    cgroup_place_find(&h->cgroups);
    cgroup_sweep(&h->cgroups);
    check_namespaces(h);
    check_filter(h);
    check_ids(h);
    check_limits(h);
    return h;
}

void sandbox_host_free(struct sandbox_host *h)
{
    if (!h)
        return;
    mem_close_fd(&h->range_ns_fd);
    cgroup_place_release(&h->cgroups);
    free(h->filter.filter);
    free(h->filter_single.filter);
    free(h->newuidmap);
    free(h->newgidmap);
    free(h->home);
    free(h);
}

const struct sandbox_check *sandbox_host_checks(const struct sandbox_host *h, size_t *count)
{
    *count = h->check_count;
    return h->checks;
}

bool sandbox_host_usable(const struct sandbox_host *h, struct err *err)
{
    for (size_t i = 0; i < h->check_count; i++)
        if (h->checks[i].required && !h->checks[i].ok)
            return err_set(err, ERR_DENIED, "no sandbox on this machine: %s %s (%s)",
                           h->checks[i].name, h->checks[i].found, h->checks[i].fix);
    return true;
}
