/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/sandbox/keeper_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"

#define DISK_WATCH_MS 500
#define NAMESPACES                                                                                 \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET |     \
     CLONE_NEWCGROUP)

struct keeper {
    struct plan plan;
    int control_fd, inner_fd; /* our ends */
    pid_t init;
    struct cgroup group;
    struct wire done; /* to be sent at the end */
    bool exited, cancelled, late, full, worker_gone, init_gone, mapped;
    int64_t deadline_ms;
    uint64_t free_at_start;
};

struct sandbox_limits limits_with_defaults(const struct sandbox_limits *l)
{
    return (struct sandbox_limits){
        .memory_bytes = l->memory_bytes ? l->memory_bytes : 4ull << 30,
        .disk_bytes = l->disk_bytes ? l->disk_bytes : 8ull << 30,
        .processes = l->processes ? l->processes : 512,
        .files = l->files ? l->files : 4096,
        .cpu_ms = l->cpu_ms ? l->cpu_ms : 3600 * 1000,
        .wall_ms = l->wall_ms ? l->wall_ms : 1800 * 1000,
        .output_bytes = l->output_bytes ? l->output_bytes : 16u << 20,
        .line_bytes = l->line_bytes ? l->line_bytes : 8192,
    };
}

static int by_value(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* Nothing of the worker's stays open here: not the pipes of other sandboxes, whose end would
 * not be seen, and not its data base. */
static void close_others(const struct keeper_start *s)
{
    const struct sandbox_spec *spec = s->spec;
    size_t n = 0;
    int *keep = mem_array(spec->keep_fd_count + 5, sizeof(int));
    keep[n++] = s->control_fd;
    keep[n++] = s->in_fd;
    keep[n++] = s->out_fd;
    keep[n++] = s->err_fd;
    if (spec->host->range_ns_fd >= 0)
        keep[n++] = spec->host->range_ns_fd;
    for (size_t i = 0; i < spec->keep_fd_count; i++)
        keep[n++] = spec->keep_fds[i];
    qsort(keep, n, sizeof(int), by_value);
    unsigned from = 3;
    for (size_t i = 0; i < n; i++) {
        if (keep[i] > (int)from)
            syscall(SYS_close_range, from, (unsigned)keep[i] - 1, 0u);
        if (keep[i] >= (int)from)
            from = (unsigned)keep[i] + 1;
    }
    syscall(SYS_close_range, from, ~0u, 0u);
    free(keep);
}

static void settle(const struct keeper_start *s)
{
    sigset_t all;
    setsid(); /* the terminal's signals are the worker's to act on */
    close_others(s);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd < 3; fd++)
        if (fd != s->in_fd && fd != s->out_fd && fd != s->err_fd && fd != s->control_fd)
            dup2(null, fd);
    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
}

static bool all_mapped(const struct sources *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].kind <= SOURCE_UPPER && !s->v[i].id_mapped)
            return false;
    return true;
}

/* Which ids it gets, and, as root, the sources with their ids mapped to fit. */
static bool open_sources(struct keeper *k, struct err *err)
{
    struct plan *p = &k->plan;
    const struct sandbox_host *h = p->host;
    if (!sources_list(p->spec, &p->sources, err))
        return false;
    if (!h->is_root) {
        p->map = host_user_map(h);
        if (p->spec->role == SANDBOX_INSTALL && p->spec->base_count == 0)
            return err_set(err, ERR_UNSUPPORTED,
                           "packages can be installed over this machine's root only as root; "
                           "choose a base, as base: debian:bookworm");
        return true;
    }
    p->map = h->range_ns_fd >= 0 ? ID_MAP_RANGE : ID_MAP_SAME;
    if (!sources_open(&p->sources, p->spec, h->range_ns_fd, false, err))
        return false;
    k->mapped = all_mapped(&p->sources);
    if (p->spec->role != SANDBOX_INSTALL || k->mapped || p->map == ID_MAP_SAME)
        return true;
    /* Some file system cannot map ids: the namespace keeps them as they are instead. */
    for (size_t i = 0; i < p->sources.n; i++)
        mem_close_fd(&p->sources.v[i].tree_fd);
    p->map = ID_MAP_SAME;
    return sources_open(&p->sources, p->spec, -1, false, err);
}

static bool upper_is_mapped(const struct plan *p)
{
    for (size_t i = 0; i < p->sources.n; i++)
        if (p->sources.v[i].kind == SOURCE_UPPER)
            return p->sources.v[i].id_mapped;
    return true;
}

/* A work folder is good for one mount only. */
static bool make_upper(const struct keeper *k, struct err *err)
{
    const char *dir = k->plan.spec->upper_dir;
    AUTO_FD int fd = -1;
    if (!dir)
        return true;
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, "%s", dir);
    if (!io_remove_tree(fd, "work", err))
        return false;
    if (mkdirat(fd, "work", 0700) < 0 || (mkdirat(fd, "upper", 0755) < 0 && errno != EEXIST))
        return err_sys(err, "%s", dir);
    bool give = k->plan.map == ID_MAP_RANGE && !upper_is_mapped(&k->plan);
    if (give && (fchownat(fd, "work", RANGE_START, RANGE_START, AT_SYMLINK_NOFOLLOW) < 0 ||
                 fchownat(fd, "upper", RANGE_START, RANGE_START, AT_SYMLINK_NOFOLLOW) < 0))
        return err_sys(err, "%s", dir);
    return true;
}

static bool start_init(struct keeper *k, struct err *err)
{
    struct plan *p = &k->plan;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_sys(err, "socket");
    k->inner_fd = pair[0];
    p->inner_fd = pair[1];
    /* We have one thread, so a bare clone is as good as fork. */
    k->init = cgroup_clone(&k->group, NAMESPACES);
    if (k->init == 0) {
        close(k->inner_fd);
        close(k->control_fd);
        guest_main(p);
    }
    int e = errno;
    close(p->inner_fd);
    close(p->in_fd);
    close(p->out_fd);
    close(p->err_fd);
    errno = e;
    return k->init > 0 || err_sys(err, "make namespaces");
}

static bool release_init(struct keeper *k, struct err *err)
{
    struct wire go = {.kind = WIRE_GO};
    return id_map_write(k->plan.host, k->plan.map, k->init, err) &&
           cgroup_add(&k->group, k->init, err) &&
           (wire_send(k->inner_fd, &go, NULL, 0) || err_sys(err, "start init"));
}

static void end_init(struct keeper *k)
{
    if (k->init > 0 && !k->init_gone)
        kill(k->init, SIGKILL);
}

static void pass_on(struct keeper *k, const struct wire *w, const int *fds, size_t n)
{
    wire_send(k->control_fd, w, fds, n);
}

static void hear_init(struct keeper *k)
{
    struct wire w;
    int fds[WIRE_MAX_FDS];
    size_t n = 0;
    if (!wire_recv(k->inner_fd, &w, fds, &n))
        w = (struct wire){.kind = WIRE_CLOSED};
    switch (w.kind) {
    case WIRE_GATEWAY:
    case WIRE_STARTED: pass_on(k, &w, fds, n); break;
    case WIRE_FAILED: k->done.err = w.err; break;
    case WIRE_EXITED:
        k->exited = true;
        k->done.status = w.status;
        if (w.flag)
            err_set(&k->done.err, ERR_TOO_LARGE, "more memory than the limit of %llu MiB",
                    (unsigned long long)(k->plan.limits.memory_bytes >> 20));
        break;
    case WIRE_DONE:
        if (w.flag && w.status)
            err_set(&k->done.err, ERR_IO, "collecting the result failed (%d)", w.status);
        k->done.flag = true;
        break;
    default: k->init_gone = true; break;
    }
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
}

static void hear_worker(struct keeper *k)
{
    struct wire w;
    if (!wire_recv(k->control_fd, &w, NULL, NULL) || w.kind == WIRE_CLOSED)
        k->worker_gone = true;
    else if (w.kind == WIRE_CANCEL)
        k->cancelled = true;
    if (k->worker_gone || k->cancelled)
        end_init(k);
}

static uint64_t free_bytes(const struct keeper *k)
{
    struct statvfs st;
    if (!k->plan.spec->upper_dir || statvfs(k->plan.spec->upper_dir, &st) < 0)
        return 0;
    return (uint64_t)st.f_bavail * st.f_frsize;
}

static _Thread_local uint64_t blocks_seen; /* nftw takes no context */

static int count_blocks(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)path, (void)at;
    if (type == FTW_F && st->st_nlink > 0)
        blocks_seen += (uint64_t)st->st_blocks * 512 / st->st_nlink;
    return 0;
}

/* Others write to the disk too: that it filled up is only the reason to count. */
static void watch_disk(struct keeper *k)
{
    uint64_t now = free_bytes(k);
    if (!k->plan.spec->upper_dir || now + k->plan.limits.disk_bytes >= k->free_at_start)
        return;
    AUTO_FREE char *upper = mem_printf("%s/upper", k->plan.spec->upper_dir);
    blocks_seen = 0;
    nftw(upper, count_blocks, 16, FTW_PHYS);
    if (blocks_seen > k->plan.limits.disk_bytes) {
        k->full = true;
        end_init(k);
    }
}

static void look_after(struct keeper *k)
{
    while (!k->init_gone) {
        struct pollfd fds[2] = {{k->inner_fd, POLLIN, 0},
                                {k->worker_gone ? -1 : k->control_fd, POLLIN, 0}};
        int64_t left = k->deadline_ms - io_monotonic_ms();
        if (left <= 0 && !k->late) {
            k->late = true;
            end_init(k);
        }
        left = k->late ? 60000 : left;
        if (k->plan.spec->upper_dir && left > DISK_WATCH_MS)
            left = DISK_WATCH_MS;
        int n = poll(fds, 2, left > 60000 ? 60000 : (int)left);
        if (n > 0 && fds[1].revents)
            hear_worker(k);
        if (n > 0 && fds[0].revents)
            hear_init(k);
        watch_disk(k);
    }
}

static void judge(struct keeper *k, struct err *err)
{
    const struct sandbox_limits *l = &k->plan.limits;
    int status = k->done.status;
    if (k->cancelled || k->worker_gone)
        err_set(err, ERR_CANCELLED, "cancelled");
    else if (k->late)
        err_set(err, ERR_TIMEOUT, "still running after the limit of %lld s",
                (long long)(l->wall_ms / 1000));
    else if (k->full)
        err_set(err, ERR_TOO_LARGE, "more on disk than the limit of %llu MiB",
                (unsigned long long)(l->disk_bytes >> 20));
    else if ((!k->exited || status) && cgroup_had_oom(&k->group))
        err_set(err, ERR_TOO_LARGE, "more memory than the limit of %llu MiB",
                (unsigned long long)(l->memory_bytes >> 20));
    else if (err->code)
        return;
    else if (!k->exited || !k->done.flag)
        err_set(err, ERR_INTERNAL, "the sandbox ended by itself");
    else if (status == 128 + SIGXCPU)
        err_set(err, ERR_TOO_LARGE, "more CPU time than the limit of %lld s",
                (long long)(l->cpu_ms / 1000));
    else if (status == 128 + SIGXFSZ)
        err_set(err, ERR_TOO_LARGE, "a file larger than the limit of %llu MiB",
                (unsigned long long)(l->disk_bytes >> 20));
    else if (status > 128)
        err_set(err, ERR_SCRIPT, "%s was ended by signal %d", k->plan.spec->argv[0], status - 128);
    else if (status)
        err_set(err, ERR_SCRIPT, "%s exited with status %d", k->plan.spec->argv[0], status);
}

static enum sandbox_ids ids_of(const struct plan *p)
{
    if (p->map == ID_MAP_SINGLE)
        return SANDBOX_IDS_SINGLE;
    bool elsewhere = p->map == ID_MAP_SUB || (p->map == ID_MAP_RANGE && !upper_is_mapped(p));
    return elsewhere ? SANDBOX_IDS_SUBUID : SANDBOX_IDS_MAPPED;
}

static bool prepare(struct keeper *k, struct err *err)
{
    struct plan *p = &k->plan;
    return open_sources(k, err) && make_upper(k, err) &&
           cgroup_make(&p->host->cgroups, p->limits.memory_bytes, p->limits.processes, &k->group,
                       err) &&
           start_init(k, err) && release_init(k, err);
}

_Noreturn void keeper_main(const struct keeper_start *start)
{
    const struct sandbox_spec *spec = start->spec;
    struct keeper k = {
        .plan = {.spec = spec,
                 .host = spec->host,
                 .limits = limits_with_defaults(&spec->limits),
                 .in_fd = start->in_fd,
                 .out_fd = start->out_fd,
                 .err_fd = start->err_fd,
                 .watch_memory = !spec->host->cgroups.memory},
        .control_fd = start->control_fd,
        .inner_fd = -1,
        .done = {.kind = WIRE_DONE, .status = -1},
    };
    k.plan.group = &k.group;
    settle(start);
    k.deadline_ms = io_monotonic_ms() + k.plan.limits.wall_ms;
    k.free_at_start = free_bytes(&k);
    if (prepare(&k, &k.done.err))
        look_after(&k);
    end_init(&k);
    while (k.init > 0 && waitpid(k.init, NULL, 0) < 0 && errno == EINTR)
        ;
    judge(&k, &k.done.err);
    k.done.ids = (int)ids_of(&k.plan);
    k.done.peak_bytes = cgroup_peak_bytes(&k.group);
    cgroup_remove(&k.group);
    pass_on(&k, &k.done, NULL, 0);
    _exit(0);
}
