/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/proc.h"
#include "worker/sandbox/host_priv.h"

#define TOOL_MS 5000

enum id_map host_user_map(const struct sandbox_host *h)
{
    return h->sub_works ? ID_MAP_SUB : ID_MAP_SINGLE;
}

static bool write_map(pid_t pid, const char *file, const char *text, struct err *err)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        return err_sys(err, "%s of the sandbox", file);
    return true;
}

static bool write_both(pid_t pid, const char *text, struct err *err)
{
    return write_map(pid, "uid_map", text, err) && write_map(pid, "gid_map", text, err);
}

/* The set-user-ID helpers check that the range is the user's. */
static bool run_tool(const char *tool, pid_t pid, uint32_t own, struct id_range range,
                     struct err *err)
{
    char pid_text[16], own_text[16], start[16], count[16];
    AUTO_BUF struct buf said = BUF(4096);
    int status = -1;
    snprintf(pid_text, sizeof(pid_text), "%d", (int)pid);
    snprintf(own_text, sizeof(own_text), "%u", own);
    snprintf(start, sizeof(start), "%u", range.start);
    snprintf(count, sizeof(count), "%u", range.count);
    const char *argv[] = {tool, pid_text, "0", own_text, "1", "1", start, count, NULL};
    struct proc p = {.argv = argv, .errout = &said, .timeout_ms = TOOL_MS};
    if (!proc_run(&p, &status, err))
        return false;
    return status == 0 ||
           err_set(err, ERR_DENIED, "%s: %.*s", tool, SPAN_ARG(span_trim(buf_span(&said))));
}

bool id_map_write(const struct sandbox_host *h, enum id_map map, pid_t pid, struct err *err)
{
    char text[64];
    switch (map) {
    case ID_MAP_RANGE:
        snprintf(text, sizeof(text), "0 %u %u\n", RANGE_START, RANGE_COUNT);
        return write_both(pid, text, err);
    case ID_MAP_SAME: /* in a container, there may be fewer */
        return write_both(pid, "0 0 4294967295\n", NULL) || write_both(pid, "0 0 65536\n", err);
    case ID_MAP_SUB:
        return run_tool(h->newuidmap, pid, h->uid, h->sub_uid, err) &&
               run_tool(h->newgidmap, pid, h->gid, h->sub_gid, err);
    case ID_MAP_SINGLE: break;
    }
    if (!write_map(pid, "setgroups", "deny", err))
        return false;
    snprintf(text, sizeof(text), "0 %u 1\n", h->uid);
    if (!write_map(pid, "uid_map", text, err))
        return false;
    snprintf(text, sizeof(text), "0 %u 1\n", h->gid);
    return write_map(pid, "gid_map", text, err);
}

/* The child waits in its new namespace until it has ids. False: it was not started. */
static bool start_inside(int pair[2], pid_t *pid, int (*fn)(void *ctx), void *ctx, struct err *err)
{
    char c = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_sys(err, "socket");
    *pid = fork();
    if (*pid == 0) {
        close(pair[0]);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (unshare(CLONE_NEWUSER) < 0 || write(pair[1], &c, 1) != 1 || read(pair[1], &c, 1) != 1 ||
            (fn && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)))
            _exit(125);
        _exit(fn ? fn(ctx) : read(pair[1], &c, 1) != 0);
    }
    close(pair[1]);
    if (*pid > 0)
        return true;
    close(pair[0]);
    return err_sys(err, "start a process");
}

static int reap(pid_t pid)
{
    int raw = 0;
    while (waitpid(pid, &raw, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
}

bool id_map_run(const struct sandbox_host *h, enum id_map map, int (*fn)(void *ctx), void *ctx,
                int *status, struct err *err)
{
    int pair[2];
    pid_t pid;
    char c = 0;
    if (!start_inside(pair, &pid, fn, ctx, err))
        return false;
    bool ok = (read(pair[0], &c, 1) == 1 || err_sys(err, "make a user namespace")) &&
              id_map_write(h, map, pid, err) &&
              (write(pair[0], &c, 1) == 1 || err_sys(err, "user namespace"));
    close(pair[0]);
    *status = reap(pid);
    return ok;
}

int id_map_namespace(const struct sandbox_host *h, enum id_map map)
{
    int pair[2], fd = -1;
    pid_t pid;
    char c = 0, path[40];
    if (!start_inside(pair, &pid, NULL, NULL, NULL))
        return -1;
    if (read(pair[0], &c, 1) == 1 && id_map_write(h, map, pid, NULL)) {
        snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    kill(pid, SIGKILL);
    close(pair[0]);
    reap(pid);
    return fd;
}
