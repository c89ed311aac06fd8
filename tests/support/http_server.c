/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/http_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/http_header.h"
#include "base/map.h"
#include "base/mem.h"

#define REQUEST_MAX_BYTES (64u << 10)

struct route {
    VEC(struct test_answer) answers;
    VEC(char *) requests; /* header blocks, each with its body */
};

struct connection {
    struct test_server *server;
    pthread_t thread;
    int fd;
    struct connection *next;
};

struct test_server {
    pthread_mutex_t mutex;
    struct arena *arena;
    struct map routes;
    struct buf order;
    int listener, wake[2]; /* a byte in wake ends everything */
    uint16_t port;
    pthread_t thread;
    struct connection *connections;
    int hits, connected, open, most;
};

/* False: the server is being freed. */
static bool wait_ms(struct test_server *s, int fd, short events, int ms)
{
    struct pollfd p[2] = {{s->wake[0], POLLIN, 0}, {fd, events, 0}};
    poll(p, fd >= 0 ? 2 : 1, ms);
    return !p[0].revents;
}

static bool send_all(struct connection *c, struct span bytes)
{
    while (bytes.len) {
        ssize_t n = send(c->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            if (!wait_ms(c->server, c->fd, POLLOUT, -1))
                return false;
            continue;
        }
        if (n < 0)
            return false;
        bytes = span_skip(bytes, (size_t)n);
    }
    return true;
}

static bool find_header(struct span block, const char *name, struct span *value)
{
    struct span line, n;
    while (span_next_line(&block, &line))
        if (http_header_split(line, &n, value) && span_eq_nocase(n, span_str(name)))
            return true;
    return false;
}

static bool read_more(struct connection *c, struct buf *in)
{
    char *to = buf_room(in, 4096);
    if (!to || !wait_ms(c->server, c->fd, POLLIN, -1))
        return false;
    ssize_t n = recv(c->fd, to, 4096, 0);
    in->len += n > 0 ? (size_t)n : 0;
    return n > 0;
}

/* One request's header block and body into `in`; what follows stays there for the next one. */
static bool read_request(struct connection *c, struct buf *in, size_t *len)
{
    struct span value;
    uint64_t body = 0;
    while ((*len = span_find(buf_span(in), SPAN("\r\n\r\n"))) == in->len)
        if (!read_more(c, in))
            return false;
    *len += 4;
    if (find_header(span_slice(buf_span(in), 0, *len), "Content-Length", &value))
        span_to_u64(value, &body);
    *len += body;
    while (in->len < *len)
        if (!read_more(c, in))
            return false;
    return true;
}

/* The answer for this request, copied; records the request. */
static struct test_answer take_answer(struct test_server *s, struct span block)
{
    struct span method, path = SPAN(""), rest;
    struct test_answer a = {.status = 404, .body = SPAN("no such path")};
    if (span_cut_char(block, ' ', &method, &rest))
        span_cut_char(rest, ' ', &path, &rest);
    pthread_mutex_lock(&s->mutex);
    s->hits++;
    if (s->order.len)
        buf_char(&s->order, ' ');
    buf_append(&s->order, path);
    struct route *r = map_get(&s->routes, path);
    if (r) {
        size_t n = r->requests.n < r->answers.n ? r->requests.n : r->answers.n - 1;
        *VEC_PUSH(&r->requests) = arena_str(s->arena, block);
        a = r->answers.v[n];
    }
    pthread_mutex_unlock(&s->mutex);
    return a;
}

struct slice {
    uint64_t first, end;
};

/* 200, 206, 304 or 416, and which part of the body to send. */
static int decide(const struct test_answer *a, struct span block, struct slice *part)
{
    struct span v, from, to;
    uint64_t n = 0;
    *part = (struct slice){0, a->body.len};
    if (a->etag && find_header(block, "If-None-Match", &v) && span_eq_str(v, a->etag)) {
        part->end = 0;
        return 304;
    }
    if (!a->ranges || (a->status && a->status != 200) || !find_header(block, "Range", &v) ||
        !span_starts(v, SPAN("bytes=")) || !span_cut_char(span_skip(v, 6), '-', &from, &to))
        return a->status ? a->status : 200;
    if (find_header(block, "If-Range", &v) && !(a->etag && span_eq_str(v, a->etag)))
        return 200;
    if (from.len == 0) {
        span_to_u64(to, &n);
        part->first = n > a->body.len ? 0 : a->body.len - n;
        return 206;
    }
    span_to_u64(from, &part->first);
    if (to.len && span_to_u64(to, &n) && n + 1 < part->end)
        part->end = n + 1;
    if (part->first >= part->end) {
        *part = (struct slice){0, 0};
        return 416;
    }
    return 206;
}

static bool send_head(struct connection *c, const struct test_answer *a, int status,
                      const struct slice *part)
{
    AUTO_BUF struct buf head = BUF(REQUEST_MAX_BYTES);
    uint64_t length = a->length ? (uint64_t)a->length : part->end - part->first;
    buf_printf(&head, "HTTP/1.1 %d Word\r\n%s", status, a->headers ? a->headers : "");
    if (a->etag)
        buf_printf(&head, "ETag: %s\r\n", a->etag);
    if (status == 206 && a->ranges)
        buf_printf(&head, "Content-Range: bytes %llu-%llu/%zu\r\n", (unsigned long long)part->first,
                   (unsigned long long)part->end - 1, a->body.len);
    if (a->chunked && status != 304)
        buf_str(&head, "Transfer-Encoding: chunked\r\n");
    else if (a->no_length)
        buf_str(&head, "Connection: close\r\n");
    else if (status != 304)
        buf_printf(&head, "Content-Length: %llu\r\n", (unsigned long long)length);
    buf_str(&head, "\r\n");
    return send_all(c, buf_span(&head));
}

static bool send_body(struct connection *c, const struct test_answer *a, struct span body)
{
    if (a->fault == FAULT_DRIP) {
        for (size_t i = 0; i < body.len; i++)
            if (!send_all(c, span_slice(body, i, i + 1)) || !wait_ms(c->server, -1, 0, a->delay_ms))
                return false;
        return true;
    }
    if (!a->chunked)
        return send_all(c, body);
    for (size_t n; body.len; body = span_skip(body, n)) {
        AUTO_BUF struct buf chunk = BUF(1u << 20);
        n = body.len > 1000 ? 1000 : body.len;
        buf_printf(&chunk, "%zx\r\n", n);
        buf_append(&chunk, span_slice(body, 0, n));
        buf_str(&chunk, "\r\n");
        if (!send_all(c, buf_span(&chunk)))
            return false;
    }
    return a->fault != FAULT_NONE || send_all(c, SPAN("0\r\n\r\n"));
}

/* What is left of the connection after a fault. True: it goes on. */
static bool apply_fault(struct connection *c, const struct test_answer *a)
{
    struct linger hard = {1, 0};
    char byte;
    switch (a->fault) {
    case FAULT_RESET: setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)); return false;
    case FAULT_STALL:
        while (wait_ms(c->server, c->fd, POLLIN, -1) && recv(c->fd, &byte, 1, 0) > 0)
            ;
        return false;
    case FAULT_HALF_CLOSE:
        shutdown(c->fd, SHUT_WR);
        while (wait_ms(c->server, c->fd, POLLIN, -1) && recv(c->fd, &byte, 1, 0) > 0)
            ;
        return false;
    case FAULT_CUT:
    case FAULT_NO_ANSWER:
    case FAULT_GARBAGE: return false;
    default: return !a->no_length;
    }
}

static bool serve_one(struct connection *c, struct span block)
{
    struct test_answer a = take_answer(c->server, block);
    struct slice part;
    if (a.fault != FAULT_DRIP && a.delay_ms && !wait_ms(c->server, -1, 0, a.delay_ms))
        return false;
    if (a.fault == FAULT_NO_ANSWER)
        return false;
    if (a.fault == FAULT_GARBAGE)
        return send_all(c, a.body) && false;
    int status = decide(&a, block, &part);
    if (!send_head(c, &a, status, &part))
        return false;
    struct span body = span_slice(a.body, part.first, part.end);
    if (a.fault != FAULT_NONE && a.fault != FAULT_DRIP)
        body = span_slice(body, 0, a.at);
    if (span_starts(block, SPAN("HEAD ")))
        body.len = 0;
    return send_body(c, &a, body) && apply_fault(c, &a);
}

static void *serve(void *arg)
{
    struct connection *c = arg;
    AUTO_BUF struct buf in = BUF(REQUEST_MAX_BYTES);
    for (size_t len; read_request(c, &in, &len);) {
        AUTO_FREE char *block = mem_dup(span_slice(buf_span(&in), 0, len));
        memmove(in.ptr, in.ptr + len, in.len - len);
        in.len -= len;
        if (!serve_one(c, span_str(block)))
            break;
    }
    close(c->fd);
    pthread_mutex_lock(&c->server->mutex);
    c->server->open--;
    pthread_mutex_unlock(&c->server->mutex);
    return NULL;
}

static void *listen_main(void *arg)
{
    struct test_server *s = arg;
    while (wait_ms(s, s->listener, POLLIN, -1)) {
        int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        struct connection *c = MEM_NEW(struct connection);
        c->server = s;
        c->fd = fd;
        pthread_mutex_lock(&s->mutex);
        c->next = s->connections;
        s->connections = c;
        s->connected++;
        s->open++;
        s->most = s->open > s->most ? s->open : s->most;
        pthread_mutex_unlock(&s->mutex);
        if (pthread_create(&c->thread, NULL, serve, c))
            abort();
    }
    return NULL;
}

struct test_server *test_server_new(void)
{
    struct test_server *s = MEM_NEW(struct test_server);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    s->arena = arena_new();
    s->order = BUF(1u << 20);
    pthread_mutex_init(&s->mutex, NULL);
    if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&at, len) ||
        listen(s->listener, 128) || getsockname(s->listener, (struct sockaddr *)&at, &len) ||
        pipe(s->wake) || pthread_create(&s->thread, NULL, listen_main, s))
        abort();
    s->port = ntohs(at.sin_port);
    return s;
}

void test_server_free(struct test_server *s)
{
    if (write(s->wake[1], "x", 1) != 1)
        abort();
    pthread_join(s->thread, NULL);
    while (s->connections) {
        struct connection *c = s->connections;
        s->connections = c->next;
        pthread_join(c->thread, NULL);
        free(c);
    }
    for (size_t i = 0; i < s->routes.n; i++) {
        struct route *r = s->routes.v[i].value;
        VEC_FREE(&r->answers);
        VEC_FREE(&r->requests);
        free(r);
    }
    map_release(&s->routes);
    buf_release(&s->order);
    arena_free(s->arena);
    close(s->listener);
    close(s->wake[0]);
    close(s->wake[1]);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

const char *test_server_url(struct test_server *s, const char *path)
{
    pthread_mutex_lock(&s->mutex);
    const char *url = arena_printf(s->arena, "http://127.0.0.1:%u%s", s->port, path);
    pthread_mutex_unlock(&s->mutex);
    return url;
}

void test_server_add(struct test_server *s, const char *path, const struct test_answer *a)
{
    pthread_mutex_lock(&s->mutex);
    struct route *r = map_get(&s->routes, span_str(path));
    if (!r) {
        r = MEM_NEW(struct route);
        map_put(&s->routes, arena_span(s->arena, span_str(path)), r);
    }
    struct test_answer copy = *a;
    copy.headers = a->headers ? arena_str(s->arena, span_str(a->headers)) : NULL;
    copy.etag = a->etag ? arena_str(s->arena, span_str(a->etag)) : NULL;
    copy.body = arena_span(s->arena, a->body);
    *VEC_PUSH(&r->answers) = copy;
    pthread_mutex_unlock(&s->mutex);
}

int test_server_hits(struct test_server *s, const char *path)
{
    pthread_mutex_lock(&s->mutex);
    struct route *r = map_get(&s->routes, span_str(path));
    int n = r ? (int)r->requests.n : 0;
    pthread_mutex_unlock(&s->mutex);
    return n;
}

static int locked_int(struct test_server *s, const int *value)
{
    pthread_mutex_lock(&s->mutex);
    int n = *value;
    pthread_mutex_unlock(&s->mutex);
    return n;
}

int test_server_all_hits(struct test_server *s)
{
    return locked_int(s, &s->hits);
}

int test_server_connections(struct test_server *s)
{
    return locked_int(s, &s->connected);
}

int test_server_most_at_once(struct test_server *s)
{
    return locked_int(s, &s->most);
}

const char *test_server_header(struct test_server *s, const char *path, int nth, const char *name)
{
    struct span value;
    const char *found = NULL;
    pthread_mutex_lock(&s->mutex);
    struct route *r = map_get(&s->routes, span_str(path));
    if (r && (size_t)nth < r->requests.n && find_header(span_str(r->requests.v[nth]), name, &value))
        found = arena_str(s->arena, value);
    pthread_mutex_unlock(&s->mutex);
    return found;
}

const char *test_server_request(struct test_server *s, const char *path, int nth)
{
    const char *text = NULL;
    pthread_mutex_lock(&s->mutex);
    struct route *r = map_get(&s->routes, span_str(path));
    if (r && (size_t)nth < r->requests.n)
        text = r->requests.v[nth];
    pthread_mutex_unlock(&s->mutex);
    return text;
}

const char *test_server_order(struct test_server *s)
{
    pthread_mutex_lock(&s->mutex);
    const char *order = arena_str(s->arena, buf_span(&s->order));
    pthread_mutex_unlock(&s->mutex);
    return order;
}
