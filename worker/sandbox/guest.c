/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/sandbox/guest_priv.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"

#define WATCH_MS 200

/* What a package's scripts need as root: to own files and to change to system accounts. */
static const int caps_install[] = {CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FOWNER,
                                   CAP_FSETID, CAP_KILL,         CAP_SETGID,
                                   CAP_SETUID, CAP_SETFCAP,      CAP_NET_BIND_SERVICE};
static const int caps_build[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID,
                                 CAP_KILL,  CAP_SETGID,       CAP_SETUID};

static bool become_root_inside(const struct plan *p, struct err *err)
{
    bool groups = p->map != ID_MAP_SINGLE; /* there they cannot be set */
    if (setresgid(0, 0, 0) < 0 || (groups && setgroups(0, NULL) < 0) || setresuid(0, 0, 0) < 0)
        return err_sys(err, "become root of the sandbox");
    return true;
}

static bool bring_lo_up(struct err *err)
{
    struct ifreq ifr = {.ifr_name = "lo"};
    AUTO_FD int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifr.ifr_flags = IFF_UP | IFF_RUNNING;
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
        return err_sys(err, "loopback network");
    return true;
}

static bool open_gateway(const struct plan *p, struct err *err)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(p->spec->gateway_port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (!p->spec->gateway_port)
        return true;
    AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 128) < 0)
        return err_sys(err, "gateway socket");
    struct wire w = {.kind = WIRE_GATEWAY};
    return wire_send(p->inner_fd, &w, &fd, 1) || err_sys(err, "gateway socket");
}

static bool limit(int what, rlim_t soft, rlim_t hard, struct err *err)
{
    struct rlimit old, r = {soft, hard};
    if (getrlimit(what, &old) == 0 && old.rlim_max != RLIM_INFINITY) {
        r.rlim_max = r.rlim_max > old.rlim_max ? old.rlim_max : r.rlim_max;
        r.rlim_cur = r.rlim_cur > r.rlim_max ? r.rlim_max : r.rlim_cur;
    }
    return setrlimit(what, &r) == 0 || err_sys(err, "resource limit");
}

static bool set_limits(const struct plan *p, struct err *err)
{
    const struct sandbox_limits *l = &p->limits;
    rlim_t cpu = (rlim_t)((l->cpu_ms + 999) / 1000);
    /* Data, not address space: runtimes reserve far more than they use. */
    if (p->watch_memory && !limit(RLIMIT_DATA, l->memory_bytes, l->memory_bytes, err))
        return false;
    return limit(RLIMIT_FSIZE, l->disk_bytes, l->disk_bytes, err) &&
           limit(RLIMIT_NOFILE, l->files < 1024 ? l->files : 1024, l->files, err) &&
           limit(RLIMIT_NPROC, l->processes, l->processes, err) &&
           limit(RLIMIT_CPU, cpu, cpu + 5, err) && limit(RLIMIT_CORE, 0, 0, err);
}

static bool drop_capabilities(const struct plan *p, struct err *err)
{
    bool install = p->spec->role == SANDBOX_INSTALL;
    const int *keep = install ? caps_install : caps_build;
    size_t n = install ? COUNT(caps_install) : COUNT(caps_build);
    uint64_t mask = 0;
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    for (size_t i = 0; i < n; i++)
        mask |= 1ull << keep[i];
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (int cap = 0; cap < 64; cap++)
        if (!(mask >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EINVAL)
            return err_sys(err, "drop capability %d", cap);
    for (int i = 0; i < 2; i++)
        data[i].effective = data[i].permitted = (uint32_t)(mask >> 32 * i);
    if (syscall(SYS_capset, &head, data) < 0)
        return err_sys(err, "drop capabilities");
    return true;
}

static bool lock_in(const struct plan *p, struct err *err)
{
    const struct sock_fprog *filter =
        p->map == ID_MAP_SINGLE ? &p->host->filter_single : &p->host->filter;
    if (!drop_capabilities(p, err))
        return false;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, filter) < 0)
        return err_sys(err, "system call filter");
    return true;
}

/* The spec's variables, and defaults for those that programs expect. */
static char **build_env(const struct sandbox_spec *spec)
{
    static const char *const defaults[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/root",
        "USER=root",
        "LOGNAME=root",
        "TMPDIR=/tmp",
        "LANG=C.UTF-8"};
    VEC(char *) env = {0};
    for (const char *const *e = spec->env; e && *e; e++)
        *VEC_PUSH(&env) = mem_dup_str(*e);
    for (size_t i = 0; i < COUNT(defaults); i++) {
        bool given = false;
        size_t key = strcspn(defaults[i], "=") + 1;
        for (const char *const *e = spec->env; e && *e; e++)
            given |= strncmp(*e, defaults[i], key) == 0;
        if (!given)
            *VEC_PUSH(&env) = mem_dup_str(defaults[i]);
    }
    *VEC_PUSH(&env) = NULL;
    return env.v;
}

/* All that exec takes, made before the limits hold: RLIMIT_DATA also counts what this process
 * already has, a copy of the worker's memory, so nothing can be allocated under it. */
struct image {
    char *const *argv;
    char **env;
    char **files; /* where the program may be, in order; ends with NULL */
};

static struct image find_program(const struct sandbox_spec *spec)
{
    struct image image = {.argv = (char *const *)(uintptr_t)spec->argv, .env = build_env(spec)};
    struct span path = SPAN(""), folder;
    VEC(char *) files = {0};
    for (char **e = image.env; *e; e++)
        if (strncmp(*e, "PATH=", 5) == 0)
            path = span_str(*e + 5);
    if (strchr(spec->argv[0], '/'))
        *VEC_PUSH(&files) = mem_dup_str(spec->argv[0]);
    else
        while (span_next(&path, ':', &folder))
            *VEC_PUSH(&files) = mem_printf("%.*s/%s", SPAN_ARG(folder), spec->argv[0]);
    *VEC_PUSH(&files) = NULL;
    image.files = files.v;
    return image;
}

static void exec_image(const struct image *image, struct err *err)
{
    int why = ENOENT;
    for (char **file = image->files; *file; file++) {
        execve(*file, image->argv, image->env);
        why = errno == ENOENT || errno == ENOTDIR ? why : errno;
    }
    errno = why;
    if (why == ENOENT)
        err_set(err, ERR_NOT_FOUND, "%s: no such program in the sandbox", image->argv[0]);
    else
        err_sys(err, "start %s", image->argv[0]);
}

static bool take_streams(const struct plan *p, int report_fd, struct err *err)
{
    if (dup2(p->in_fd, 0) < 0 || dup2(p->out_fd, 1) < 0 || dup2(p->err_fd, 2) < 0 ||
        dup2(report_fd, 3) < 0 || fcntl(3, F_SETFD, FD_CLOEXEC) < 0 ||
        syscall(SYS_close_range, 4u, ~0u, 0u) < 0)
        return err_sys(err, "standard streams");
    return true;
}

/* The child that becomes the command; returns only when that failed. */
static void command_main(const struct plan *p, int report_fd, struct err *err)
{
    const char *cwd = p->spec->cwd ? p->spec->cwd : "/build";
    struct image image = find_program(p->spec);
    sigset_t none;
    sigemptyset(&none);
    setsid();
    umask(022);
    if (!take_streams(p, report_fd, err))
        return;
    if (chdir(cwd) < 0) {
        err_sys(err, "%s", cwd);
        return;
    }
    if (!set_limits(p, err) || !lock_in(p, err))
        return;
    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    exec_image(&image, err);
}

/* Starts it and waits until it is another program. */
static pid_t start_command(const struct plan *p, struct err *err)
{
    int report[2];
    struct err failure = {0};
    if (pipe2(report, O_CLOEXEC) < 0)
        return err_sys(err, "pipe"), -1;
    pid_t pid = fork();
    if (pid == 0) {
        command_main(p, report[1], &failure);
        /* Its streams are in place or not; the report is the one with the error. */
        int fd = fcntl(3, F_GETFD) >= 0 ? 3 : report[1];
        _exit(write(fd, &failure, sizeof(failure)) < 0 ? 126 : 127);
    }
    close(report[1]);
    ssize_t n = -1;
    if (pid > 0)
        while ((n = read(report[0], &failure, sizeof(failure))) < 0 && errno == EINTR)
            ;
    close(report[0]);
    if (pid < 0)
        return err_sys(err, "start a process"), -1;
    if (n == 0)
        return pid;
    *err = failure;
    if (n != sizeof(failure))
        err_set(err, ERR_INTERNAL, "command was not started");
    return -1;
}

/* Memory that the sandbox's processes have to themselves. */
static uint64_t memory_in_use(void)
{
    uint64_t pages = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *e; proc && (e = readdir(proc));) {
        AUTO_BUF struct buf b = BUF(512);
        AUTO_FREE char *path = mem_printf("/proc/%s/statm", e->d_name);
        struct span rest, size, resident, shared;
        uint64_t r, s;
        if (!span_is_digits(span_str(e->d_name)) || strcmp(e->d_name, "1") == 0 ||
            !io_read_file(AT_FDCWD, path, &b, NULL))
            continue;
        rest = buf_span(&b);
        if (span_next(&rest, ' ', &size) && span_next(&rest, ' ', &resident) &&
            span_next(&rest, ' ', &shared) && span_to_u64(resident, &r) && span_to_u64(shared, &s))
            pages += r > s ? r - s : 0;
    }
    if (proc)
        closedir(proc);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Reaps whatever ends, until the command does. *too_much: memory. */
static int wait_command(const struct plan *p, pid_t pid, bool *too_much)
{
    struct timespec pause = {WATCH_MS / 1000, WATCH_MS % 1000 * 1000000L};
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (;;) {
        int raw;
        pid_t got;
        while ((got = waitpid(-1, &raw, WNOHANG)) > 0)
            if (got == pid)
                return WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
        if (got < 0 && errno == ECHILD)
            return 255;
        if (!p->watch_memory) {
            siginfo_t info;
            sigwaitinfo(&child, &info);
        } else if (sigtimedwait(&child, NULL, &pause) < 0 &&
                   memory_in_use() > p->limits.memory_bytes) {
            *too_much = true;
            return 128 + SIGKILL;
        }
    }
}

static void end_all(void)
{
    kill(-1, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        ;
}

static void tell(const struct plan *p, enum wire_kind kind, int status, bool flag)
{
    struct wire w = {.kind = kind, .status = status, .flag = flag};
    wire_send(p->inner_fd, &w, NULL, 0);
}

static void fail(const struct plan *p, const struct err *err)
{
    struct wire w = {.kind = WIRE_FAILED, .status = -1, .err = *err};
    wire_send(p->inner_fd, &w, NULL, 0);
    _exit(1);
}

/* Until ids and limits are set. */
static void wait_for_keeper(const struct plan *p)
{
    struct wire w;
    if (!wire_recv(p->inner_fd, &w, NULL, NULL) || w.kind != WIRE_GO)
        _exit(1);
}

static void die_with_keeper(const struct plan *p)
{
    struct pollfd fd = {p->inner_fd, 0, 0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* It may have died before; then nobody would tell us. */
    if (poll(&fd, 1, 0) > 0 && (fd.revents & (POLLHUP | POLLERR)))
        _exit(1);
}

_Noreturn void guest_main(struct plan *p)
{
    struct err err = {0};
    int upper_fd = -1, harvested = 0;
    bool too_much = false;
    wait_for_keeper(p);
    if (!cgroup_enter(p->group, &err) || !become_root_inside(p, &err))
        fail(p, &err);
    die_with_keeper(p);
    /* Our memory is a copy of the worker's: nobody inside may look at it. */
    prctl(PR_SET_DUMPABLE, 0);
    if (sethostname("sandbox", 7) < 0)
        err_sys(&err, "host name");
    if (err.code || !bring_lo_up(&err) || !open_gateway(p, &err) || !root_build(p, &upper_fd, &err))
        fail(p, &err);
    pid_t pid = start_command(p, &err);
    if (pid < 0)
        fail(p, &err);
    close(p->in_fd);
    close(p->out_fd);
    close(p->err_fd);
    tell(p, WIRE_STARTED, 0, false);
    int status = wait_command(p, pid, &too_much);
    end_all();
    tell(p, WIRE_EXITED, status, too_much);
    if (p->spec->harvest && status == 0)
        harvested = p->spec->harvest(p->spec->ctx, upper_fd);
    tell(p, WIRE_DONE, harvested, p->spec->harvest && status == 0);
    _exit(0);
}
