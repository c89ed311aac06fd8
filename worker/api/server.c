/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/api/server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "queue/queue.h"
#include "worker/rules/text.h"

/* How often slow and vanished clients are looked for. */
#define SWEEP_MS 100

/* A body that is too large is read on, so that the client gets its answer, but not for ever. */
#define DRAIN_FACTOR 4

struct connection {
    struct connection *next, *prev;
    struct MHD_Connection *handle;
    int64_t since_ms; /* when it began to owe us a request */
    bool serving;     /* a whole request is here and not answered yet */
    bool gone;        /* its client had closed when last looked at */
};

struct header {
    char *name, *value;
};

struct call_priv {
    struct call call;
    struct MHD_Connection *handle;
    struct connection *connection;
    char *uri;
    bool begun, dispatched, too_large, suspended, answered, queued;
    uint64_t received;
    int status;
    VEC(struct header) headers;
    char *body;
    size_t body_len;
    const char *type;
    struct call_stream *stream;
    bool stream_waits;
    struct call_priv *next, *prev; /* of the server's calls */
};

struct server {
    struct server_options o;
    struct MHD_Daemon *daemon;
    uv_poll_t poll;
    uv_timer_t run_timer, sweep_timer;
    struct connection connections; /* heads of rings */
    struct call_priv calls;
    unsigned connection_count;
    int open_handles;
    bool closing;
};

static struct server *server_of(const struct call_priv *c)
{
    return c->call.server;
}

/* ---- the loop ---- */

static void on_run_timer(uv_timer_t *t);

static void plan_run(struct server *s)
{
    MHD_UNSIGNED_LONG_LONG ms;
    if (MHD_get_timeout(s->daemon, &ms) == MHD_YES)
        uv_timer_start(&s->run_timer, on_run_timer, ms, 0);
    else
        uv_timer_stop(&s->run_timer);
}

static void run(struct server *s)
{
    MHD_run(s->daemon);
    plan_run(s);
}

static void on_run_timer(uv_timer_t *t)
{
    run(container_of(t, struct server, run_timer));
}

static void on_poll(uv_poll_t *h, int status, int events)
{
    (void)status, (void)events;
    run(container_of(h, struct server, poll));
}

/* Soon, but not from in here: we may be inside the daemon. */
static void run_soon(struct server *s)
{
    if (!s->closing)
        uv_timer_start(&s->run_timer, on_run_timer, 0, 0);
}

static void suspend(struct call_priv *c)
{
    c->suspended = true;
    MHD_suspend_connection(c->handle);
}

static void resume(struct call_priv *c)
{
    if (!c->suspended)
        return;
    c->suspended = false;
    MHD_resume_connection(c->handle);
    run_soon(server_of(c));
}

/* ---- connections ---- */

static void on_connection(void *cls, struct MHD_Connection *handle, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct server *s = cls;
    struct connection *c = *context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        c = MEM_NEW(struct connection);
        c->handle = handle;
        c->since_ms = io_monotonic_ms();
        c->next = s->connections.next;
        c->prev = &s->connections;
        c->next->prev = c->prev->next = c;
        s->connection_count++;
        *context = c;
    } else if (c) {
        c->next->prev = c->prev;
        c->prev->next = c->next;
        s->connection_count--;
        free(c);
        *context = NULL;
    }
}

static int fd_of(const struct connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c->handle, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

/* Two kinds of connections would stay: one whose client sends a byte now and then, so that it
 * is never idle; and one whose client has gone in the middle of a request, of which the daemon
 * hears nothing when the end came together with the last bytes. Shutting the socket down is an
 * event that it cannot miss. */
static void on_sweep(uv_timer_t *t)
{
    struct server *s = container_of(t, struct server, sweep_timer);
    int64_t now = io_monotonic_ms();
    VEC(struct pollfd) list = {0};
    for (struct connection *c = s->connections.next; c != &s->connections; c = c->next) {
        int fd = fd_of(c);
        if (c->serving || fd < 0)
            continue;
        if (now - c->since_ms >= s->o.receive_ms)
            shutdown(fd, SHUT_RDWR);
        else
            *VEC_PUSH(&list) = (struct pollfd){.fd = fd, .events = POLLRDHUP};
    }
    if (list.n)
        poll(list.v, list.n, 0);
    size_t i = 0;
    for (struct connection *c = s->connections.next; c != &s->connections; c = c->next) {
        if (i == list.n || list.v[i].fd != fd_of(c))
            continue;
        /* Seen twice: a whole request may have come just before the end. */
        if (list.v[i].revents && c->gone)
            shutdown(list.v[i].fd, SHUT_RDWR);
        c->gone = list.v[i++].revents != 0;
    }
    VEC_FREE(&list);
}

static bool is_loopback(struct MHD_Connection *handle)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(handle, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (!info || !info->client_addr)
        return false;
    if (info->client_addr->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, info->client_addr, sizeof(in));
        return ntohl(in.sin_addr.s_addr) >> 24 == 127;
    }
    struct sockaddr_in6 in6;
    if (info->client_addr->sa_family != AF_INET6)
        return false;
    memcpy(&in6, info->client_addr, sizeof(in6));
    return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr) ||
           (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr) && in6.sin6_addr.s6_addr[12] == 127);
}

/* ---- calls ---- */

static void *on_uri(void *cls, const char *uri, struct MHD_Connection *handle)
{
    struct server *s = cls;
    struct call_priv *c = MEM_NEW(struct call_priv);
    c->uri = mem_dup_str(uri);
    c->handle = handle;
    c->call.server = s;
    c->call.priv = c;
    c->call.body = BUF(s->o.max_body);
    c->call.received_us = text_now_us();
    queue_new_id("req_", c->call.request_id, sizeof(c->call.request_id));
    c->next = s->calls.next;
    c->prev = &s->calls;
    c->next->prev = c->prev->next = c;
    return c;
}

static void free_headers(struct call_priv *c)
{
    for (size_t i = 0; i < c->headers.n; i++) {
        free(c->headers.v[i].name);
        free(c->headers.v[i].value);
    }
    VEC_FREE(&c->headers);
}

static void on_completed(void *cls, struct MHD_Connection *handle, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct server *s = cls;
    struct call_priv *c = *context;
    (void)handle, (void)code;
    if (!c)
        return;
    *context = NULL;
    if (s->o.ended && c->dispatched)
        s->o.ended(&c->call, c->status, s->o.ctx);
    if (c->connection) {
        c->connection->serving = false;
        c->connection->since_ms = io_monotonic_ms();
    }
    c->next->prev = c->prev;
    c->prev->next = c->next;
    free_headers(c);
    buf_release(&c->call.body);
    free(c->body);
    free(c->uri);
    free(c);
}

static enum call_method method_of(const char *name, bool *head)
{
    *head = strcmp(name, "HEAD") == 0;
    if (*head || strcmp(name, "GET") == 0)
        return CALL_GET;
    if (strcmp(name, "POST") == 0)
        return CALL_POST;
    if (strcmp(name, "PUT") == 0)
        return CALL_PUT;
    return strcmp(name, "DELETE") == 0 ? CALL_DELETE : CALL_OTHER;
}

static ssize_t stream_read(void *cls, uint64_t pos, char *out, size_t max)
{
    struct call_priv *c = cls;
    int64_t n = c->stream->read(c->stream, pos, out, max);
    if (n == -1)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (n < 0)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (n == 0) {
        c->stream_waits = true;
        suspend(c);
    }
    return (ssize_t)n;
}

static void stream_close(void *cls)
{
    struct call_stream *st = cls;
    st->close(st);
}

/* The callback's context is the call for reading, but the call may be gone when the answer is
 * freed; so freeing has the stream as its own. */
struct stream_context {
    struct call_priv *call;
    struct call_stream *stream;
};

static ssize_t context_read(void *cls, uint64_t pos, char *out, size_t max)
{
    struct stream_context *sc = cls;
    return stream_read(sc->call, pos, out, max);
}

static void context_free(void *cls)
{
    struct stream_context *sc = cls;
    stream_close(sc->stream);
    free(sc);
}

static struct MHD_Response *make_response(struct call_priv *c)
{
    if (c->stream) {
        struct stream_context *sc = MEM_NEW(struct stream_context);
        *sc = (struct stream_context){c, c->stream};
        return MHD_create_response_from_callback(c->stream->size < 0 ? MHD_SIZE_UNKNOWN
                                                                     : (uint64_t)c->stream->size,
                                                 64 << 10, context_read, sc, context_free);
    }
    return MHD_create_response_from_buffer(c->body_len, TAKE(c->body), MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result send_answer(struct call_priv *c)
{
    struct MHD_Response *r = make_response(c);
    c->queued = true;
    MHD_add_response_header(r, "request-id", c->call.request_id);
    MHD_add_response_header(r, "content-type", c->type);
    MHD_add_response_header(r, "x-content-type-options", "nosniff");
    for (size_t i = 0; i < c->headers.n; i++)
        MHD_add_response_header(r, c->headers.v[i].name, c->headers.v[i].value);
    enum MHD_Result ok = MHD_queue_response(c->handle, (unsigned)c->status, r);
    MHD_destroy_response(r);
    return ok;
}

static enum MHD_Result refuse_size(struct call_priv *c, const char *what, size_t limit)
{
    struct problem p = {0};
    problem_set(&p, ERR_TOO_LARGE, "request_too_large", "the %s more than %zu bytes", what, limit);
    c->dispatched = true;
    call_put_header(&c->call, "connection", "close");
    call_problem(&c->call, &p);
    return send_answer(c);
}

static enum MHD_Result begin(struct call_priv *c, const char *method)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c->handle, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    c->begun = true;
    c->connection = info ? info->socket_context : NULL;
    struct span uri = span_str(c->uri);
    c->call.path = uri;
    span_cut_char(uri, '?', &c->call.path, &c->call.query);
    c->call.method = method_of(method, &c->call.head);
    c->call.method_name = method;
    c->call.loopback = is_loopback(c->handle);
    uint64_t length = 0;
    const char *text = call_header(&c->call, "content-length");
    if (text &&
        (!span_to_u64(span_str(text), &length) || length > DRAIN_FACTOR * server_of(c)->o.max_body))
        return refuse_size(c, "body has", server_of(c)->o.max_body);
    info = MHD_get_connection_info(c->handle, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    if (info && info->header_size > server_of(c)->o.max_header)
        return refuse_size(c, "request line and headers have", server_of(c)->o.max_header);
    return MHD_YES;
}

static enum MHD_Result take_body(struct call_priv *c, const char *data, size_t *size)
{
    c->received += *size;
    if (!c->too_large && !buf_append(&c->call.body, span_of(data, *size)))
        c->too_large = true;
    *size = 0;
    return c->received > DRAIN_FACTOR * server_of(c)->o.max_body ? MHD_NO : MHD_YES;
}

static enum MHD_Result on_access(void *cls, struct MHD_Connection *handle, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *size, void **context)
{
    struct server *s = cls;
    struct call_priv *c = *context;
    (void)handle, (void)url, (void)version;
    if (!c)
        return MHD_NO;
    if (!c->begun)
        return begin(c, method);
    if (*size)
        return take_body(c, data, size);
    if (c->queued)
        return MHD_YES;
    if (c->dispatched)
        return c->answered ? send_answer(c) : MHD_NO;
    if (c->too_large)
        return refuse_size(c, "body has", s->o.max_body);
    c->dispatched = true;
    if (c->connection)
        c->connection->serving = true;
    s->o.handle(&c->call, s->o.ctx);
    if (c->answered)
        return send_answer(c);
    suspend(c);
    return MHD_YES;
}

/* ---- answers ---- */

const char *call_header(const struct call *call, const char *name)
{
    return MHD_lookup_connection_value(call->priv->handle, MHD_HEADER_KIND, name);
}

bool call_query(const struct call *call, const char *name, struct buf *out)
{
    struct span rest = call->query, pair;
    while (span_next(&rest, '&', &pair)) {
        struct span key = pair, value = {"", 0};
        span_cut_char(pair, '=', &key, &value);
        if (!span_eq_str(key, name))
            continue;
        buf_reset(out);
        if (!text_percent_decode(value, true, out))
            out->overflow = true;
        return true;
    }
    return false;
}

void call_put_header(struct call *call, const char *name, const char *value)
{
    struct header *h = VEC_PUSH(&call->priv->headers);
    h->name = mem_dup_str(name);
    h->value = mem_dup_str(value);
}

static void answer(struct call_priv *c, int status, const char *type)
{
    assert(!c->answered);
    c->answered = true;
    c->status = status;
    c->type = type;
    resume(c);
}

void call_text(struct call *call, int status, const char *type, struct span text)
{
    struct call_priv *c = call->priv;
    c->body = mem_dup(text);
    c->body_len = text.len;
    answer(c, status, type);
}

void call_json(struct call *call, int status, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    call_json_text(call, status, text ? text : mem_dup_str("{}"));
}

void call_json_text(struct call *call, int status, char *body)
{
    struct call_priv *c = call->priv;
    c->body = body;
    c->body_len = strlen(body);
    call_put_header(call, "cache-control", "no-store");
    answer(c, status, "application/json");
}

void call_problem(struct call *call, const struct problem *p)
{
    int status = problem_status(p);
    if (status == 429 || status == 529) {
        char seconds[24];
        snprintf(seconds, sizeof(seconds), "%lld", (long long)(p->retry_after_ms + 999) / 1000);
        call_put_header(call, "retry-after", p->retry_after_ms > 0 ? seconds : "1");
    }
    /* A conflict here is no race that a second try could win. */
    if (status == 409)
        call_put_header(call, "x-should-retry", "false");
    call_json(call, status, problem_json(p, call->request_id));
}

void call_stream(struct call *call, int status, const char *type, struct call_stream *st)
{
    struct call_priv *c = call->priv;
    st->call = call;
    c->stream = st;
    answer(c, status, type);
}

void server_stream_wake(struct call_stream *st)
{
    struct call_priv *c = st->call->priv;
    if (c->stream_waits) {
        c->stream_waits = false;
        resume(c);
    }
}

bool server_closing(const struct server *s)
{
    return s->closing;
}

/* ---- the server ---- */

static size_t keep_escapes(void *cls, struct MHD_Connection *handle, char *text)
{
    (void)cls, (void)handle;
    return strlen(text);
}

static void on_error(void *cls, const char *fmt, va_list ap)
{
    (void)cls, (void)fmt, (void)ap; /* what clients do wrong is their own affair */
}

static bool parse_address(const struct server_options *o, struct sockaddr_storage *out, bool *v6,
                          struct err *err)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(o->port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(o->port)};
    *v6 = inet_pton(AF_INET6, o->address, &in6.sin6_addr) == 1;
    memset(out, 0, sizeof(*out));
    if (*v6)
        memcpy(out, &in6, sizeof(in6));
    else if (inet_pton(AF_INET, o->address, &in.sin_addr) == 1)
        memcpy(out, &in, sizeof(in));
    else
        return err_set(err, ERR_USAGE, "listen address \"%s\" is no IPv4 or IPv6 address",
                       o->address);
    return true;
}

static void set_defaults(struct server_options *o)
{
    o->max_body = o->max_body ? o->max_body : 1 << 20;
    o->max_header = o->max_header ? o->max_header : 16 << 10;
    o->idle_s = o->idle_s ? o->idle_s : 60;
    o->receive_ms = o->receive_ms ? o->receive_ms : 60000;
    o->max_connections = o->max_connections ? o->max_connections : 4096;
    o->max_connections_address = o->max_connections_address ? o->max_connections_address : 1024;
}

static struct MHD_Daemon *start_daemon(struct server *s, struct err *err)
{
    struct sockaddr_storage address;
    bool v6;
    if (!parse_address(&s->o, &address, &v6, err))
        return NULL;
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG |
                     (v6 ? MHD_USE_IPv6 : 0u);
    struct MHD_Daemon *d = MHD_start_daemon(
        flags, s->o.port, NULL, NULL, on_access, s, MHD_OPTION_EXTERNAL_LOGGER, on_error, NULL,
        MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address, MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u,
        MHD_OPTION_URI_LOG_CALLBACK, on_uri, s, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
        s, MHD_OPTION_CONNECTION_TIMEOUT, s->o.idle_s, MHD_OPTION_CONNECTION_LIMIT,
        s->o.max_connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT, s->o.max_connections_address,
        /* Twice: the daemon keeps its own tables of headers in the same memory. */
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, 2 * s->o.max_header, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_LISTEN_BACKLOG_SIZE, 4096u, MHD_OPTION_END);
    if (!d)
        err_sys(err, "cannot listen on %s port %u", s->o.address, s->o.port);
    return d;
}

struct server *server_new(uv_loop_t *loop, const struct server_options *options, struct err *err)
{
    struct server *s = MEM_NEW(struct server);
    s->o = *options;
    set_defaults(&s->o);
    s->connections.next = s->connections.prev = &s->connections;
    s->calls.next = s->calls.prev = &s->calls;
    s->daemon = start_daemon(s, err);
    if (!s->daemon) {
        free(s);
        return NULL;
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    uv_poll_init(loop, &s->poll, info->epoll_fd);
    uv_timer_init(loop, &s->run_timer);
    uv_timer_init(loop, &s->sweep_timer);
    s->open_handles = 3;
    uv_poll_start(&s->poll, UV_READABLE, on_poll);
    uv_timer_start(&s->sweep_timer, on_sweep, SWEEP_MS, SWEEP_MS);
    plan_run(s);
    return s;
}

uint16_t server_port(const struct server *s)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info ? info->port : 0;
}

unsigned server_connections(const struct server *s)
{
    return s->connection_count;
}

void server_stop_listening(struct server *s)
{
    int fd = MHD_quiesce_daemon(s->daemon);
    if (fd >= 0)
        close(fd);
}

static void on_closed(uv_handle_t *h)
{
    struct server *s = h->data;
    if (--s->open_handles == 0)
        free(s);
}

/* The daemon must not be stopped while connections are suspended; each is woken, finds that it
 * has no answer, and is closed. */
void server_free(struct server *s)
{
    if (!s)
        return;
    s->closing = true;
    for (struct call_priv *c = s->calls.next; c != &s->calls; c = c->next)
        resume(c);
    MHD_run(s->daemon);
    uv_poll_stop(&s->poll);
    MHD_stop_daemon(s->daemon);
    uv_handle_t *handles[] = {(uv_handle_t *)&s->poll, (uv_handle_t *)&s->run_timer,
                              (uv_handle_t *)&s->sweep_timer};
    for (size_t i = 0; i < COUNT(handles); i++) {
        handles[i]->data = s;
        uv_close(handles[i], on_closed);
    }
}
