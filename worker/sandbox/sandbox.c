/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "worker/sandbox/keeper_priv.h"

#define READ_BYTES 65536

/* One of the command's output streams. */
struct stream {
    struct sandbox *sandbox;
    uv_pipe_t pipe;
    bool is_stderr, ended;
    bool cut; /* the rest of this line is too much */
    struct buf line;
    char bytes[READ_BYTES];
};

struct sandbox {
    struct sandbox_spec spec;
    struct sandbox_limits limits;
    pid_t keeper;
    uv_poll_t control;
    int control_fd;
    bool control_ended;
    struct stream out, err;
    uint64_t passed_bytes;
    int open_handles;
    int64_t started_us;
    bool heard_done;
    struct sandbox_result result;
};

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void on_closed(uv_handle_t *handle)
{
    struct sandbox *s = handle->data;
    if (--s->open_handles)
        return;
    close(s->control_fd);
    s->result.wall_ms = (now_us() - s->started_us) / 1000;
    s->spec.on_done(s->spec.ctx, &s->result);
    buf_release(&s->out.line);
    buf_release(&s->err.line);
    free(s);
}

/* Both streams and the keeper are at their ends: nothing of the sandbox is left. */
static void finish_if_ended(struct sandbox *s)
{
    if (!s->control_ended || !s->out.ended || !s->err.ended)
        return;
    while (waitpid(s->keeper, NULL, 0) < 0 && errno == EINTR)
        ;
    if (!s->heard_done)
        err_set(&s->result.err, ERR_INTERNAL, "the sandbox's keeper was killed");
    uv_close((uv_handle_t *)&s->control, on_closed);
    uv_close((uv_handle_t *)&s->out.pipe, on_closed);
    uv_close((uv_handle_t *)&s->err.pipe, on_closed);
}

static void pass_line(struct stream *t)
{
    struct sandbox *s = t->sandbox;
    struct span line = buf_span(&t->line);
    if (span_ends(line, SPAN("\r")))
        line.len--;
    if (s->passed_bytes + line.len + 1 > s->limits.output_bytes) {
        s->result.output_cut = true;
    } else {
        s->passed_bytes += line.len + 1;
        if (s->spec.on_line)
            s->spec.on_line(s->spec.ctx, t->is_stderr, line);
    }
    buf_reset(&t->line);
    t->cut = false;
}

static void add_bytes(struct stream *t, struct span bytes)
{
    while (bytes.len) {
        size_t end = span_find_char(bytes, '\n');
        struct span part = span_slice(bytes, 0, end);
        size_t room = t->sandbox->limits.line_bytes - t->line.len;
        buf_append(&t->line, span_slice(part, 0, room));
        t->cut |= part.len > room;
        if (end < bytes.len)
            pass_line(t);
        bytes = span_skip(bytes, end + 1);
    }
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    struct stream *t = container_of((uv_pipe_t *)handle, struct stream, pipe);
    (void)size;
    *buf = uv_buf_init(t->bytes, sizeof(t->bytes));
}

static void on_output(uv_stream_t *pipe, ssize_t n, const uv_buf_t *buf)
{
    struct stream *t = container_of((uv_pipe_t *)pipe, struct stream, pipe);
    if (n > 0)
        add_bytes(t, span_of(buf->base, (size_t)n));
    if (n >= 0)
        return;
    uv_read_stop(pipe);
    if (t->line.len)
        pass_line(t);
    t->ended = true;
    finish_if_ended(t->sandbox);
}

static void take_result(struct sandbox *s, const struct wire *w)
{
    s->heard_done = true;
    s->result.err = w->err;
    s->result.status = w->status;
    s->result.ids = (enum sandbox_ids)w->ids;
    s->result.memory_peak_bytes = w->peak_bytes;
}

static void on_control(uv_poll_t *poll, int status, int events)
{
    struct sandbox *s = poll->data;
    struct wire w;
    int fds[WIRE_MAX_FDS];
    size_t n = 0;
    (void)events;
    if (!wire_recv(s->control_fd, &w, fds, &n)) {
        if (status == 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        w = (struct wire){.kind = WIRE_CLOSED};
    }
    size_t used = 0;
    switch (w.kind) {
    case WIRE_STARTED:
        s->result.setup_us = now_us() - s->started_us;
        s->result.setup_ms = s->result.setup_us / 1000;
        break;
    case WIRE_GATEWAY:
        if (n && s->spec.on_gateway) {
            used = 1;
            s->spec.on_gateway(s->spec.ctx, fds[0]);
        }
        break;
    case WIRE_DONE: take_result(s, &w); break;
    default:
        s->control_ended = true;
        uv_poll_stop(poll);
        finish_if_ended(s);
        break;
    }
    for (size_t i = used; i < n; i++)
        close(fds[i]);
}

static int open_input(struct span input, struct err *err)
{
    int fd =
        input.len ? memfd_create("input", MFD_CLOEXEC) : open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || (input.len && (!io_write_all(fd, input, err) || lseek(fd, 0, SEEK_SET) < 0))) {
        err_sys(err, "standard input of the sandbox");
        mem_close_fd(&fd);
        return -1;
    }
    return fd;
}

/* Pairs of descriptors: [0] ours, [1] the keeper's. */
struct ends {
    int control[2], out[2], err[2], in;
};

static void ends_close(struct ends *e)
{
    int *all[] = {&e->control[0], &e->control[1], &e->out[0], &e->out[1],
                  &e->err[0],     &e->err[1],     &e->in};
    for (size_t i = 0; i < COUNT(all); i++)
        mem_close_fd(all[i]);
}

static bool ends_open(struct ends *e, struct span input, struct err *err)
{
    *e = (struct ends){{-1, -1}, {-1, -1}, {-1, -1}, -1};
    e->in = open_input(input, err);
    if (e->in < 0)
        return false;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, e->control) < 0 ||
        pipe2(e->out, O_CLOEXEC) < 0 || pipe2(e->err, O_CLOEXEC) < 0 ||
        fcntl(e->control[0], F_SETFL, O_NONBLOCK) < 0)
        return err_sys(err, "descriptors of the sandbox");
    return true;
}

static void listen_to(struct sandbox *s, struct stream *t, int fd)
{
    t->sandbox = s;
    t->line = BUF(s->limits.line_bytes + 1u);
    uv_pipe_init(s->spec.loop, &t->pipe, 0);
    t->pipe.data = s;
    if (uv_pipe_open(&t->pipe, fd) || uv_read_start((uv_stream_t *)&t->pipe, on_alloc, on_output))
        abort();
    s->open_handles++;
}

struct sandbox *sandbox_start(const struct sandbox_spec *spec, struct err *err)
{
    struct ends e;
    int64_t started_us = now_us();
    if (!sandbox_host_usable(spec->host, err))
        return NULL;
    if (!spec->argv || !spec->argv[0])
        return err_set(err, ERR_INTERNAL, "sandbox without a command"), NULL;
    if (!ends_open(&e, spec->input, err)) {
        ends_close(&e);
        return NULL;
    }
    pid_t pid = fork();
    if (pid == 0)
        keeper_main(&(struct keeper_start){spec, e.control[1], e.in, e.out[1], e.err[1]});
    if (pid < 0) {
        err_sys(err, "start a process");
        ends_close(&e);
        return NULL;
    }
    mem_close_fd(&e.control[1]);
    mem_close_fd(&e.out[1]);
    mem_close_fd(&e.err[1]);
    mem_close_fd(&e.in);
    struct sandbox *s = MEM_NEW(struct sandbox);
    s->spec = *spec;
    s->limits = limits_with_defaults(&spec->limits);
    s->keeper = pid;
    s->started_us = started_us;
    s->result.status = -1;
    s->err.is_stderr = true;
    s->control_fd = e.control[0];
    if (uv_poll_init(spec->loop, &s->control, s->control_fd) ||
        uv_poll_start(&s->control, UV_READABLE | UV_DISCONNECT, on_control))
        abort();
    s->control.data = s;
    s->open_handles++;
    listen_to(s, &s->out, e.out[0]);
    listen_to(s, &s->err, e.err[0]);
    return s;
}

void sandbox_cancel(struct sandbox *s)
{
    struct wire w = {.kind = WIRE_CANCEL};
    wire_send(s->control_fd, &w, NULL, 0);
}

struct removal {
    int dir_fd;
};

static int remove_both(void *ctx)
{
    const struct removal *r = ctx;
    return !io_remove_tree(r->dir_fd, "upper", NULL) || !io_remove_tree(r->dir_fd, "work", NULL);
}

bool sandbox_remove_upper(const struct sandbox_host *host, const char *upper_dir, struct err *err)
{
    AUTO_FD int fd = open(upper_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct removal r = {fd};
    int status = 0;
    if (fd < 0)
        return errno == ENOENT || err_sys(err, "%s", upper_dir);
    /* What others than its root made inside is not ours to remove out here. */
    if (!host->is_root && host_user_map(host) == ID_MAP_SUB)
        return id_map_run(host, ID_MAP_SUB, remove_both, &r, &status, err) &&
               (status == 0 || err_set(err, ERR_IO, "%s: cannot be removed", upper_dir));
    return io_remove_tree(fd, "upper", err) && io_remove_tree(fd, "work", err);
}
