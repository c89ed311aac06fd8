/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/worker/sandbox_run.h"

#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "tests/test_main.h"

static char folder[4200];

const char *box_folder(void)
{
    return folder;
}

void box_fresh(void)
{
    static int count;
    snprintf(folder, sizeof(folder), "%s/box-%d-%d", test_folder(), (int)getpid(), count++);
    ck_assert(mkdir(folder, 0755) == 0 && chmod(test_folder(), 0755) == 0);
}

static int give_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return lchown(path, BOX_USER_ID, BOX_USER_ID);
}

void box_give(const struct box *b)
{
    if (b->way != BOX_SELF && geteuid() == 0)
        ck_assert_int_eq(nftw(folder, give_one, 16, FTW_PHYS), 0);
}

struct collected {
    struct box *box;
    struct buf out, err;
    uv_loop_t *loop;
    struct sandbox *sandbox;
    uv_timer_t timer;
    uv_poll_t gateway;
    int gateway_fd;
    bool gateway_open;
};

static pid_t only_child(void)
{
    AUTO_BUF struct buf b = BUF(100);
    AUTO_FREE char *path = mem_printf("/proc/self/task/%d/children", (int)getpid());
    struct err err = {0};
    uint64_t pid = 0;
    if (!io_read_file(AT_FDCWD, path, &b, &err) || !span_to_u64(span_trim(buf_span(&b)), &pid))
        abort();
    return (pid_t)pid;
}

static void on_line(void *ctx, bool is_stderr, struct span line)
{
    struct collected *c = ctx;
    struct buf *to = is_stderr ? &c->err : &c->out;
    buf_append(to, line);
    buf_char(to, '\n');
    if (c->box->kill_keeper)
        kill(only_child(), SIGKILL);
    if (c->box->kill_worker)
        kill(getpid(), SIGKILL);
}

/* One visitor, one answer: it comes from outside of the namespace. */
static void on_gateway_ready(uv_poll_t *poll, int status, int events)
{
    struct collected *c = container_of(poll, struct collected, gateway);
    (void)status, (void)events;
    int fd = accept4(c->gateway_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    if (write(fd, c->box->gateway_says, strlen(c->box->gateway_says)) < 0)
        abort();
    close(fd);
}

static void on_gateway(void *ctx, int listen_fd)
{
    struct collected *c = ctx;
    c->gateway_fd = listen_fd;
    c->gateway_open = true;
    if (uv_poll_init(c->loop, &c->gateway, listen_fd) ||
        uv_poll_start(&c->gateway, UV_READABLE, on_gateway_ready))
        abort();
}

static void close_gateway(struct collected *c)
{
    uv_close((uv_handle_t *)&c->gateway, NULL);
    close(c->gateway_fd);
    c->gateway_open = false;
}

static void on_done(void *ctx, const struct sandbox_result *result)
{
    struct collected *c = ctx;
    c->box->result = *result;
    if (c->box->cancel_after_ms)
        uv_close((uv_handle_t *)&c->timer, NULL);
    if (c->gateway_open)
        close_gateway(c);
}

static void on_timer(uv_timer_t *timer)
{
    struct collected *c = container_of(timer, struct collected, timer);
    sandbox_cancel(c->sandbox);
}

static void run_here(struct box *b)
{
    uv_loop_t loop;
    struct collected c = {
        .box = b, .out = BUF(sizeof(b->out) - 1), .err = BUF(sizeof(b->errout) - 1), .loop = &loop};
    struct sandbox_host *host = sandbox_host_new(folder, &b->err);
    if (!host || uv_loop_init(&loop))
        return;
    b->spec.host = host;
    b->spec.loop = &loop;
    b->spec.on_line = on_line;
    b->spec.on_done = on_done;
    b->spec.on_gateway = on_gateway;
    b->spec.ctx = &c;
    c.sandbox = sandbox_start(&b->spec, &b->err);
    b->started = c.sandbox != NULL;
    if (b->started && b->cancel_after_ms) {
        uv_timer_init(&loop, &c.timer);
        uv_timer_start(&c.timer, on_timer, (uint64_t)b->cancel_after_ms, 0);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&loop))
        abort();
    if (b->remove_upper && !sandbox_remove_upper(host, b->spec.upper_dir, &b->result.err))
        b->result.status = 1;
    memcpy(b->out, buf_cstr(&c.out), c.out.len);
    memcpy(b->errout, buf_cstr(&c.err), c.err.len);
    buf_release(&c.out);
    buf_release(&c.err);
    sandbox_host_free(host);
}

/* A name and a range of ids for the test's user, in a mount namespace of ours only. */
static bool grant_range(void)
{
    AUTO_FREE char *accounts = mem_printf("%s/accounts", folder);
    AUTO_FREE char *account = mem_printf("root:x:0:0::/root:/bin/sh\nboxtest:x:%d:%d::/:/bin/sh\n",
                                         BOX_USER_ID, BOX_USER_ID);
    AUTO_FREE char *file = mem_printf("%s/ranges", folder);
    AUTO_FREE char *line = mem_printf("%d:300000:65536\n", BOX_USER_ID);
    struct err err = {0};
    return io_replace_file(AT_FDCWD, file, span_str(line), 0644, false, &err) &&
           io_replace_file(AT_FDCWD, accounts, span_str(account), 0644, false, &err) &&
           unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount(file, "/etc/subuid", NULL, MS_BIND, NULL) == 0 &&
           mount(file, "/etc/subgid", NULL, MS_BIND, NULL) == 0 &&
           mount(accounts, "/etc/passwd", NULL, MS_BIND, NULL) == 0;
}

static bool become(enum box_way way)
{
    if (way == BOX_SELF || geteuid() != 0)
        return true;
    if (way == BOX_USER && !grant_range())
        printf("without a range of ids: /etc/subuid is missing\n");
    bool ok = setgroups(0, NULL) == 0 && setresgid(BOX_USER_ID, BOX_USER_ID, BOX_USER_ID) == 0 &&
              setresuid(BOX_USER_ID, BOX_USER_ID, BOX_USER_ID) == 0;
    prctl(PR_SET_DUMPABLE, 1); /* as a user's own process is */
    if (way == BOX_SINGLE)
        setenv("PATH", "/nowhere", 1); /* newuidmap is not found */
    return ok;
}

bool box_run(struct box *b)
{
    int report[2], raw;
    size_t n = 0;
    fflush(stdout);
    ck_assert(pipe2(report, O_CLOEXEC) == 0);
    box_give(b);
    memset(b->out, 0, sizeof(b->out));
    memset(b->errout, 0, sizeof(b->errout));
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        if (!become(b->way))
            _exit(1);
        run_here(b);
        for (size_t at = 0; at < sizeof(*b);) {
            ssize_t w = write(report[1], (const char *)b + at, sizeof(*b) - at);
            if (w <= 0)
                _exit(1);
            at += (size_t)w;
        }
        _exit(0);
    }
    close(report[1]);
    struct sandbox_spec spec = b->spec;
    for (ssize_t r; (r = read(report[0], (char *)b + n, sizeof(*b) - n)) > 0;)
        n += (size_t)r;
    close(report[0]);
    b->spec = spec;
    ck_assert_int_eq(waitpid(pid, &raw, 0), pid);
    if (b->kill_worker)
        return WIFSIGNALED(raw);
    ck_assert_uint_eq(n, sizeof(*b));
    if (b->started)
        return true;
    ck_assert_msg(b->err.code == ERR_DENIED, "%s", b->err.text);
    printf("skipped: %s\n", b->err.text);
    return false;
}
