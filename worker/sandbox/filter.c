/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "worker/sandbox/host_priv.h"

/* Calls by which code could reach the machine below it: mounts and namespaces, modules and
 * other kernels, other processes' memory, keys, clocks, raw handles of files. None of them is
 * of use to a package's scripts. By name, so that a kernel's newer ones can be unknown here. */
static const char *const denied[] = {
    "mount",
    "umount",
    "umount2",
    "pivot_root",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "chroot",
    "setns",
    "unshare",
    "swapon",
    "swapoff",
    "reboot",
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "create_module",
    "query_module",
    "get_kernel_syms",
    "bpf",
    "perf_event_open",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "pidfd_getfd",
    "kcmp",
    "add_key",
    "keyctl",
    "request_key",
    "userfaultfd",
    "open_by_handle_at",
    "name_to_handle_at",
    "quotactl",
    "quotactl_fd",
    "acct",
    "settimeofday",
    "stime",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "syslog",
    "lookup_dcookie",
    "nfsservctl",
    "iopl",
    "ioperm",
    "vhangup",
    "vm86",
    "vm86old",
    "fanotify_init",
    "sethostname",
    "setdomainname",
};

/* Programs try these first and have something else to fall back on. */
static const char *const absent[] = {"io_uring_setup", "io_uring_enter", "io_uring_register",
                                     "clone3"};

/* With one id only, there is no other owner to change to. */
static const char *const pretended[] = {
    "chown",       "fchown",      "lchown",      "fchownat",   "chown32",
    "fchown32",    "lchown32",    "setuid",      "setgid",     "setreuid",
    "setregid",    "setresuid",   "setresgid",   "setgroups",  "setfsuid",
    "setfsgid",    "setuid32",    "setgid32",    "setreuid32", "setregid32",
    "setresuid32", "setresgid32", "setgroups32", "setfsuid32", "setfsgid32",
};

static int rule(scmp_filter_ctx ctx, uint32_t action, const char *name)
{
    int nr = seccomp_syscall_resolve_name(name);
    return nr == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(ctx, action, nr, 0);
}

static int deny_namespaces(scmp_filter_ctx ctx)
{
    static const uint64_t flags[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,   CLONE_NEWNET,
                                     CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};
    int bad = 0;
    for (size_t i = 0; i < COUNT(flags); i++)
        bad |= seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                                SCMP_A0(SCMP_CMP_MASKED_EQ, flags[i], flags[i]));
    return bad;
}

/* A namespace holds IP and UNIX sockets back, but not, say, those to a hypervisor. */
static int deny_families(scmp_filter_ctx ctx)
{
    int bad = 0;
    for (unsigned family = 3; family <= AF_NETLINK; family++)
        if (family != AF_INET6 && family != AF_NETLINK)
            bad |= seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                                    SCMP_A0(SCMP_CMP_EQ, family));
    return bad | seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
                                  SCMP_A0(SCMP_CMP_GT, AF_NETLINK));
}

static int add_rules(scmp_filter_ctx ctx, bool single_id)
{
    int bad = 0;
    for (size_t i = 0; i < COUNT(denied); i++)
        bad |= rule(ctx, SCMP_ACT_ERRNO(EPERM), denied[i]);
    for (size_t i = 0; i < COUNT(absent); i++)
        bad |= rule(ctx, SCMP_ACT_ERRNO(ENOSYS), absent[i]);
    for (size_t i = 0; single_id && i < COUNT(pretended); i++)
        bad |= rule(ctx, SCMP_ACT_ERRNO(0), pretended[i]);
    /* Typing into a terminal that is not its own. */
    bad |= seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
                            SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, TIOCSTI));
    bad |= seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
                            SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffffu, TIOCLINUX));
    return bad | deny_namespaces(ctx) | deny_families(ctx);
}

static bool read_program(int fd, struct sock_fprog *out, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(err, "system call filter");
    size_t n = (size_t)st.st_size / sizeof(struct sock_filter);
    struct sock_filter *code = mem_array(n, sizeof(*code));
    if (n == 0 || n > 4096 || pread(fd, code, (size_t)st.st_size, 0) != st.st_size) {
        free(code);
        return err_set(err, ERR_INTERNAL, "system call filter of %zu steps", n);
    }
    *out = (struct sock_fprog){(unsigned short)n, code};
    return true;
}

bool filter_compile(struct sock_fprog *out, bool single_id, struct err *err)
{
    AUTO_FD int fd = memfd_create("filter", MFD_CLOEXEC);
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    /* Another architecture's calls would pass by the rules. */
    int bad = fd < 0 || !ctx ||
              seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)) != 0 ||
              add_rules(ctx, single_id) != 0 || seccomp_export_bpf(ctx, fd) != 0;
    if (ctx)
        seccomp_release(ctx);
    if (bad)
        return err_set(err, ERR_INTERNAL, "system call filter cannot be compiled");
    return read_program(fd, out, err);
}
