/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/mount/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/io.h"
#include "worker/mount/merge_priv.h"
#include "worker/mount/user_ns.h"

extern char **environ;

/* Signals passed on; a handler has nothing else to find the command by. */
static atomic_int command_pid;

static const int passed_on[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM, SIGUSR1,
                                SIGUSR2, SIGTSTP, SIGCONT, SIGWINCH};

/* The kernel's own (from the terminal) have reached the command as well. */
static void pass_on(int sig, siginfo_t *info, void *context)
{
    (void)context;
    int e = errno, pid = atomic_load(&command_pid);
    if (pid > 0 && info->si_code != SI_KERNEL)
        kill(pid, sig);
    errno = e;
}

static void catch_signals(struct sigaction old[COUNT(passed_on)])
{
    struct sigaction sa = {.sa_sigaction = pass_on, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigfillset(&sa.sa_mask);
    for (size_t i = 0; i < COUNT(passed_on); i++)
        sigaction(passed_on[i], &sa, &old[i]);
}

static void release_signals(const struct sigaction old[COUNT(passed_on)])
{
    for (size_t i = 0; i < COUNT(passed_on); i++)
        sigaction(passed_on[i], &old[i], NULL);
}

/* PATH with the environment's folders in front, and the variables set. */
static char **build_env(const struct run_spec *s, struct arena *a)
{
    VEC(char *) env = {0};
    AUTO_BUF struct buf path = BUF(1u << 20);
    const char *old = getenv("PATH");
    for (const char *const *p = s->path_prepend; p && *p; p++)
        buf_printf(&path, "%s%s", path.len ? ":" : "", *p);
    buf_printf(&path, "%s%s", path.len ? ":" : "", old ? old : "/usr/local/bin:/usr/bin:/bin");
    for (char **e = environ; e && *e; e++) {
        bool replaced = strncmp(*e, "PATH=", 5) == 0;
        size_t key = strcspn(*e, "=") + 1;
        for (const char *const *set = s->env_set; !replaced && set && *set; set++)
            replaced = strncmp(*set, *e, key) == 0;
        if (!replaced)
            *VEC_PUSH(&env) = *e;
    }
    *VEC_PUSH(&env) = arena_printf(a, "PATH=%s", buf_cstr(&path));
    for (const char *const *set = s->env_set; set && *set; set++)
        if (strncmp(*set, "PATH=", 5) != 0)
            *VEC_PUSH(&env) = arena_str(a, span_str(*set));
    char **out = arena_array(a, env.n + 1, sizeof(char *));
    memcpy(out, env.v, env.n * sizeof(char *));
    VEC_FREE(&env);
    return out;
}

/* After execve: the file is there, and not only its folder closed to us. */
static bool is_denied(const char *file)
{
    int e = errno;
    bool there = e == EACCES && access(file, F_OK) == 0;
    errno = e;
    return there;
}

/* execve along PATH. Unlike execvp, a file that is no program is not given to a shell. */
static void exec_command(char *const *argv, char **env, struct err *err)
{
    const char *path = "";
    bool denied = false;
    for (char **e = env; *e; e++)
        if (strncmp(*e, "PATH=", 5) == 0)
            path = *e + 5;
    struct span rest = span_str(path), folder;
    if (strchr(argv[0], '/')) {
        execve(argv[0], argv, env);
        denied = is_denied(argv[0]);
    } else {
        while (span_next(&rest, ':', &folder)) {
            AUTO_FREE char *file = mem_printf("%.*s/%s", SPAN_ARG(folder), argv[0]);
            execve(folder.len ? file : argv[0], argv, env);
            denied |= is_denied(file);
            if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
                break;
        }
    }
    bool missing = errno == ENOENT || errno == ENOTDIR || errno == EACCES;
    if (denied)
        err_set(err, ERR_DENIED, "%s: not executable", argv[0]);
    else if (missing)
        err_set(err, ERR_NOT_FOUND, "%s: no such command in the environment or in PATH", argv[0]);
    else
        err_sys(err, "%s", argv[0]);
}

struct command {
    const struct run_spec *spec;
    char *const *argv;
    char **env;
    char *cwd;                  /* NULL: it has no name we could see */
    const char **lower, **base; /* the topmost first */
    sigset_t mask;
    pid_t parent;
};

static bool mount_layers(const struct command *c, struct err *err)
{
    const struct run_spec *s = c->spec;
    struct merge m = {c->lower, s->lower_count, s->writable, false, false};
    if (!mount_ns_enter(&m.user_ns, err))
        return false;
    if (s->base_count)
        return merge_own_root(&m, c->base, s->base_count, err);
    return merge_over_root(&m, err);
}

/* The child: returns only when it failed, what it is to end with: 0 is not the command's fault. */
static int become_command(const struct command *c, struct err *err)
{
    if (!mount_layers(c, err))
        return err_wrap(err, "mount the environment");
    /* By its name, so that it is the folder as the environment shows it. One that cannot be
     * reached by name any more is kept as it is. */
    if (c->cwd && chdir(c->cwd) < 0 && errno != EACCES) {
        err_sys(err, "%s", c->cwd);
        return RUN_NOT_STARTED;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != c->parent)
        _exit(1);
    signal(SIGPIPE, SIG_DFL); /* ours is ignored; the command expects it */
    sigprocmask(SIG_SETMASK, &c->mask, NULL);
    exec_command(c->argv, c->env, err);
    return err->code == ERR_NOT_FOUND ? RUN_NOT_FOUND : RUN_NOT_STARTED;
}

/* Waits; when the command stops (^Z), so do we, for the shell that waits for us. */
static int wait_for(pid_t pid)
{
    int raw;
    for (;;) {
        pid_t got = waitpid(pid, &raw, WUNTRACED);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return 1;
        if (!WIFSTOPPED(raw))
            return WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
        raise(SIGSTOP);
        kill(pid, SIGCONT);
    }
}

static bool spawn(struct command *c, int *status, struct err *err)
{
    struct sigaction old[COUNT(passed_on)];
    struct err failure = {0};
    sigset_t all;
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_sys(err, "pipe");
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &c->mask);
    c->parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int ended = become_command(c, &failure);
        _exit(write(pipe_fds[1], &failure, sizeof(failure)) > 0 ? ended : RUN_NOT_STARTED);
    }
    atomic_store(&command_pid, pid);
    catch_signals(old);
    pthread_sigmask(SIG_SETMASK, &c->mask, NULL);
    close(pipe_fds[1]);
    ssize_t n = 0;
    if (pid > 0)
        while ((n = read(pipe_fds[0], &failure, sizeof(failure))) < 0 && errno == EINTR)
            ;
    close(pipe_fds[0]);
    int ended = pid > 0 ? wait_for(pid) : 0;
    atomic_store(&command_pid, 0);
    release_signals(old);
    if (pid < 0)
        return err_sys(err, "start a process");
    *status = ended;
    if (n == sizeof(failure) && err)
        *err = failure;
    return n == 0;
}

/* Held while the command runs, so that nobody removes the layers under it. */
static bool mark_in_use(const struct run_spec *s, int *fds, struct err *err)
{
    for (size_t i = 0; i < s->lower_count + s->base_count; i++) {
        const char *dir = i < s->lower_count ? s->lower_dirs[i] : s->base_dirs[i - s->lower_count];
        struct stat ours, there;
        fds[i] = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fds[i] < 0 || flock(fds[i], LOCK_SH | LOCK_NB) < 0 || fstat(fds[i], &ours) < 0 ||
            stat(dir, &there) < 0)
            return err_sys(err, "layer %s", dir);
        if (ours.st_ino != there.st_ino)
            return err_set(err, ERR_NOT_FOUND, "layer %s was just removed", dir);
    }
    return true;
}

static const char **topmost_first(struct arena *a, const char *cwd, const char *const *dirs,
                                  size_t n)
{
    const char **out = arena_array(a, n + 1, sizeof(char *));
    for (size_t i = 0; i < n; i++)
        /* The working folder changes on the way to the mounts. */
        out[i] = dirs[n - 1 - i][0] == '/' ? dirs[n - 1 - i]
                                           : arena_printf(a, "%s/%s", cwd, dirs[n - 1 - i]);
    return out;
}

bool run_command(const struct run_spec *spec, int *status, struct err *err)
{
    struct arena *a = arena_new();
    const char *shell = getenv("SHELL");
    char *default_argv[] = {mem_dup_str(shell && shell[0] ? shell : "/bin/sh"), NULL};
    size_t n = spec->lower_count + spec->base_count;
    int *fds = arena_array(a, n + 1, sizeof(int));
    struct command c = {.spec = spec,
                        .argv = spec->argv && spec->argv[0] ? (char *const *)(uintptr_t)spec->argv
                                                            : default_argv,
                        .env = build_env(spec, a),
                        .cwd = getcwd(NULL, 0)};
    c.lower = topmost_first(a, c.cwd ? c.cwd : "", spec->lower_dirs, spec->lower_count);
    c.base = topmost_first(a, c.cwd ? c.cwd : "", spec->base_dirs, spec->base_count);
    for (size_t i = 0; i < n; i++)
        fds[i] = -1;
    bool ok = mark_in_use(spec, fds, err) && spawn(&c, status, err);
    for (size_t i = 0; i < n; i++)
        mem_close_fd(&fds[i]);
    free(c.cwd);
    free(default_argv[0]);
    arena_free(a);
    return ok;
}
