/* SPDX-License-Identifier: Apache-2.0 */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"

extern char **environ;

enum { IN, OUT, ERR_PIPE, PIPES };

struct running {
    pid_t pid;
    int ours[PIPES]; /* our ends, -1 when closed */
    struct span input;
    struct buf *keep[PIPES];
};

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

char *proc_find(const char *name)
{
    if (strchr(name, '/'))
        return is_program(name) ? mem_dup_str(name) : NULL;
    struct span path = span_str(getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin"), folder;
    while (span_next(&path, ':', &folder)) {
        if (folder.len == 0)
            continue;
        char *full = mem_printf("%.*s/%s", SPAN_ARG(folder), name);
        if (is_program(full))
            return full;
        free(full);
    }
    return NULL;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int spawn(const struct proc *p, const char *program, const int theirs[PIPES], pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    for (int i = 0; i < PIPES; i++)
        posix_spawn_file_actions_adddup2(&actions, theirs[i], i);
    if (p->cwd)
        posix_spawn_file_actions_addchdir_np(&actions, p->cwd);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                        POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    int e = posix_spawn(pid, program, &actions, &attr, (char *const *)(uintptr_t)p->argv,
                        p->env ? (char *const *)(uintptr_t)p->env : environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return e;
}

static void limit(pid_t pid, enum __rlimit_resource what, uint64_t most)
{
    struct rlimit old;
    if (prlimit(pid, what, NULL, &old) != 0)
        return;
    /* A hard limit that is lower already stays; an ordinary user cannot raise it. */
    rlim_t max = old.rlim_max < most ? old.rlim_max : most;
    prlimit(pid, what, &(struct rlimit){max, max}, NULL);
}

/* The parent sets them: posix_spawn has no attribute for limits. The child may have run for a
 * moment by then, which is too short to matter for limits of this kind. */
static void set_limits(const struct proc *p, pid_t pid)
{
    if (p->memory_bytes || p->cpu_s || p->no_files)
        limit(pid, RLIMIT_CORE, 0);
    if (p->memory_bytes)
        limit(pid, RLIMIT_AS, p->memory_bytes);
    if (p->cpu_s)
        limit(pid, RLIMIT_CPU, p->cpu_s);
    if (p->no_files)
        limit(pid, RLIMIT_FSIZE, 0);
}

static bool start(const struct proc *p, struct running *r, struct err *err)
{
    int pipes[PIPES][2] = {{-1, -1}, {-1, -1}, {-1, -1}}, theirs[PIPES];
    AUTO_FREE char *program = proc_find(p->argv[0]);
    if (!program)
        return err_set(err, ERR_NOT_FOUND, "%s: no such program in PATH", p->argv[0]);
    bool ok = true;
    for (int i = 0; i < PIPES && ok; i++)
        ok = pipe2(pipes[i], O_CLOEXEC) == 0;
    if (!ok)
        err_sys(err, "pipe");
    for (int i = 0; i < PIPES; i++) {
        theirs[i] = pipes[i][i == IN ? 0 : 1];
        r->ours[i] = pipes[i][i == IN ? 1 : 0];
    }
    int e = ok ? spawn(p, program, theirs, &r->pid) : 0;
    if (e) {
        errno = e;
        ok = err_sys(err, "start %s", program);
    } else if (ok) {
        set_limits(p, r->pid);
    }
    for (int i = 0; i < PIPES; i++)
        close_end(&theirs[i]);
    for (int i = 0; i < PIPES; i++)
        if (ok)
            fcntl(r->ours[i], F_SETFL, O_NONBLOCK);
        else
            close_end(&r->ours[i]);
    return ok;
}

static void feed(struct running *r)
{
    ssize_t n = r->input.len ? write(r->ours[IN], r->input.ptr, r->input.len) : 0;
    if (n > 0)
        r->input = span_skip(r->input, (size_t)n);
    if (r->input.len == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        close_end(&r->ours[IN]);
}

static void drain(struct running *r, int which)
{
    char bytes[65536];
    ssize_t n = read(r->ours[which], bytes, sizeof(bytes));
    if (n > 0 && r->keep[which])
        buf_append(r->keep[which], span_of(bytes, (size_t)n));
    else if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        close_end(&r->ours[which]);
}

/* True once the child has closed its ends; false at the deadline. */
static bool talk(struct running *r, int64_t deadline_ms)
{
    while (r->ours[OUT] >= 0 || r->ours[ERR_PIPE] >= 0) {
        struct pollfd fds[PIPES];
        for (int i = 0; i < PIPES; i++)
            fds[i] = (struct pollfd){r->ours[i], i == IN ? POLLOUT : POLLIN, 0};
        int64_t left = deadline_ms ? deadline_ms - io_monotonic_ms() : 60000;
        if (left <= 0)
            return false;
        if (poll(fds, PIPES, (int)(left > 60000 ? 60000 : left)) <= 0)
            continue;
        for (int i = 0; i < PIPES; i++)
            if (r->ours[i] >= 0 && fds[i].revents)
                i == IN ? feed(r) : drain(r, i);
    }
    return true;
}

static bool reap(pid_t pid, int64_t deadline_ms, int *raw)
{
    for (;;) {
        pid_t got = waitpid(pid, raw, deadline_ms ? WNOHANG : 0);
        if (got == pid)
            return true;
        if (got < 0 && errno != EINTR)
            return false;
        if (got == 0) {
            if (io_monotonic_ms() >= deadline_ms)
                return false;
            poll(NULL, 0, 1);
        }
    }
}

bool proc_run(const struct proc *p, int *status, struct err *err)
{
    struct running r = {.input = p->input, .keep = {NULL, p->out, p->errout}};
    int64_t deadline_ms = p->timeout_ms ? io_monotonic_ms() + p->timeout_ms : 0;
    int raw = 0;
    if (!start(p, &r, err))
        return false;
    bool in_time = talk(&r, deadline_ms) && reap(r.pid, deadline_ms, &raw);
    for (int i = 0; i < PIPES; i++)
        close_end(&r.ours[i]);
    if (!in_time) {
        kill(-r.pid, SIGKILL);
        reap(r.pid, 0, &raw);
        return err_set(err, ERR_TIMEOUT, "%s: still running after %lld ms", p->argv[0],
                       (long long)p->timeout_ms);
    }
    *status = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
    return true;
}
