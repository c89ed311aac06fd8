/* SPDX-License-Identifier: Apache-2.0 */
/* bench_api.c - many clients of the API on loopback: latencies by kind of call.
 *
 * Usage: bench_api PORT KEY [CLIENTS [SECONDS [THINK_MS]]]. Each client keeps one connection,
 * sends a call, waits for its answer, and thinks for THINK_MS on average, as platforms do. The
 * worker should be one of tests (api_server), whose builds take what their packages say. Ends
 * with 1 when an answer was none of those that the contract names. */
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"

enum kind { PIN, GET_PIN, UNPIN, CREATE, UPDATE, RETRIEVE, LIST, KINDS };
static const char *const kind_names[KINDS] = {"pin (ready)", "get pin",  "end session", "create",
                                              "update",      "retrieve", "list"};
static const unsigned weights[KINDS] = {22, 22, 8, 14, 8, 14, 12};

struct client {
    int fd;
    unsigned n;
    enum kind kind;
    bool waiting; /* for an answer */
    uint64_t due_us, sent_us;
    struct buf out, in;
    size_t out_at;
    unsigned sessions; /* this client has pinned so many; the last is live when `live` */
    bool live;
};

struct bench {
    int epoll;
    const char *key;
    uint16_t port;
    uint64_t random, think_us;
    VEC(char *) ready; /* environments that are built */
    VEC(uint32_t) times[KINDS];
    uint64_t refused, wrong; /* 429 and 529; anything else */
};

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static uint64_t next_random(struct bench *b)
{
    b->random ^= b->random << 13;
    b->random ^= b->random >> 7;
    b->random ^= b->random << 17;
    return b->random;
}

static int dial(const struct bench *b)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(b->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        perror("connect");
        exit(1);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static void put_call(const struct bench *b, struct buf *out, const char *method, const char *path,
                     const char *body)
{
    buf_reset(out);
    buf_printf(out, "%s %s HTTP/1.1\r\nHost: localhost\r\nx-api-key: %s\r\n", method, path, b->key);
    if (body)
        buf_printf(out, "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
    else
        buf_str(out, "\r\n");
}

/* The answer's status and body once it is whole; 0: not yet. */
static int whole(const struct buf *in, struct span *body)
{
    struct span text = buf_span(in), head, rest;
    uint64_t length = 0;
    if (!span_cut(text, SPAN("\r\n\r\n"), &head, &rest))
        return 0;
    size_t at = span_find(head, SPAN("Content-Length: "));
    if (at < head.len) {
        struct span line;
        struct span tail = span_skip(head, at + 16);
        span_next_line(&tail, &line);
        span_to_u64(line, &length);
    }
    if (rest.len < length)
        return 0;
    *body = span_slice(rest, 0, length);
    return atoi(head.ptr + 9);
}

/* One call, waited for: setting up. */
static json_t *call(const struct bench *b, int fd, const char *method, const char *path,
                    const char *body)
{
    AUTO_BUF struct buf out = BUF(1 << 20), in = BUF(8 << 20);
    struct span text = {0};
    struct err err = {0};
    put_call(b, &out, method, path, body);
    if (send(fd, out.ptr, out.len, MSG_NOSIGNAL) != (ssize_t)out.len)
        return NULL;
    while (!whole(&in, &text)) {
        char *room = buf_room(&in, 65536);
        ssize_t n = recv(fd, room, 65536, 0);
        if (n <= 0)
            return NULL;
        in.len += (size_t)n;
    }
    return json_parse(text, &err);
}

static void make_ready(struct bench *b)
{
    AUTO_FD int fd = dial(b);
    for (int i = 0; i < 40; i++) {
        char body[256], path[128];
        snprintf(body, sizeof(body),
                 "{\"name\":\"ready %d\",\"config\":{\"packages\":{\"pip\":[\"r%d\",\"x==1\"]}}}",
                 i, i);
        AUTO_JSON json_t *e = call(b, fd, "POST", "/v1/environments", body);
        const char *id = json_get_str(e, "id");
        if (!id) {
            fprintf(stderr, "cannot create an environment\n");
            exit(1);
        }
        snprintf(path, sizeof(path), "/v1/environments/%s", id);
        for (;;) {
            AUTO_JSON json_t *now = call(b, fd, "GET", path, NULL);
            const char *status = json_get_str(json_object_get(now, "build"), "status");
            if (status && strcmp(status, "succeeded") == 0)
                break;
            usleep(5000);
        }
        *VEC_PUSH(&b->ready) = mem_dup_str(id);
    }
}

static enum kind choose(struct bench *b)
{
    unsigned r = (unsigned)(next_random(b) % 100);
    for (unsigned k = 0; k < KINDS; k++) {
        if (r < weights[k])
            return (enum kind)k;
        r -= weights[k];
    }
    return LIST;
}

static void begin(struct bench *b, struct client *c)
{
    char path[200], body[400];
    const char *env = b->ready.v[next_random(b) % b->ready.n];
    c->kind = choose(b);
    if (!c->live && (c->kind == GET_PIN || c->kind == UNPIN))
        c->kind = PIN;
    bool make = c->kind == PIN;
    snprintf(path, sizeof(path), "/v1/sessions/c%u-%u/environment", c->n, c->sessions + make);
    switch (c->kind) {
    case PIN:
        snprintf(body, sizeof(body), "{\"environment_id\":\"%s\"}", env);
        put_call(b, &c->out, "PUT", path, body);
        break;
    case GET_PIN: put_call(b, &c->out, "GET", path, NULL); break;
    case UNPIN: put_call(b, &c->out, "DELETE", path, NULL); break;
    case CREATE:
        snprintf(body, sizeof(body),
                 "{\"name\":\"bench\",\"config\":{\"packages\":{\"pip\":[\"slow-30\",\"p%llu\"]}}}",
                 (unsigned long long)(next_random(b) % 100000));
        put_call(b, &c->out, "POST", "/v1/environments", body);
        break;
    case UPDATE:
        snprintf(path, sizeof(path), "/v1/environments/%s", env);
        snprintf(body, sizeof(body), "{\"metadata\":{\"m%u\":\"%llu\"}}", c->n % 12,
                 (unsigned long long)next_random(b));
        put_call(b, &c->out, "POST", path, body);
        break;
    case RETRIEVE:
        snprintf(path, sizeof(path), "/v1/environments/%s", env);
        put_call(b, &c->out, "GET", path, NULL);
        break;
    default: put_call(b, &c->out, "GET", "/v1/environments?limit=20", NULL);
    }
    c->sent_us = now_us();
    c->waiting = true;
    c->out_at = 0;
    buf_reset(&c->in);
    ssize_t n = send(c->fd, c->out.ptr, c->out.len, MSG_NOSIGNAL);
    if (n != (ssize_t)c->out.len) {
        fprintf(stderr, "send: %s\n", strerror(errno));
        exit(1);
    }
}

static bool expected(enum kind kind, int status)
{
    if (kind == PIN)
        return status == 201;
    return status == 200;
}

static void think(struct bench *b, struct client *c)
{
    double u = (double)(next_random(b) % 1000000 + 1) / 1000001.0;
    c->waiting = false;
    c->due_us = now_us() + (uint64_t)(-log(u) * (double)b->think_us);
}

static void on_readable(struct bench *b, struct client *c)
{
    struct span body;
    char *room = buf_room(&c->in, 65536);
    ssize_t n = recv(c->fd, room, 65536, MSG_DONTWAIT);
    if (n <= 0) {
        fprintf(stderr, "client %u: the connection was closed\n", c->n);
        exit(1);
    }
    c->in.len += (size_t)n;
    int status = whole(&c->in, &body);
    if (!status)
        return;
    uint64_t took = now_us() - c->sent_us;
    if (expected(c->kind, status)) {
        *VEC_PUSH(&b->times[c->kind]) = (uint32_t)took;
        c->sessions += c->kind == PIN;
        c->live = c->kind == PIN || (c->live && c->kind != UNPIN);
    } else if (status == 429 || status == 529) {
        b->refused++;
    } else {
        if (b->wrong++ < 5)
            fprintf(stderr, "%s: %d %.*s\n", kind_names[c->kind], status, SPAN_ARG(body));
    }
    think(b, c);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x < y ? -1 : x > y;
}

static void report(struct bench *b, double seconds)
{
    uint64_t all = 0;
    printf("%-12s %8s %8s %8s %8s %8s  (ms)\n", "call", "n", "p50", "p90", "p99", "max");
    for (int k = 0; k < KINDS; k++) {
        size_t n = b->times[k].n;
        uint32_t *t = b->times[k].v;
        all += n;
        if (!n)
            continue;
        qsort(t, n, sizeof(*t), by_size);
        printf("%-12s %8zu %8.2f %8.2f %8.2f %8.2f\n", kind_names[k], n, t[n / 2] / 1e3,
               t[n * 9 / 10] / 1e3, t[n * 99 / 100] / 1e3, t[n - 1] / 1e3);
    }
    printf("%.0f calls/s, %llu refused (429, 529), %llu wrong\n", (double)all / seconds,
           (unsigned long long)b->refused, (unsigned long long)b->wrong);
}

static void run(struct bench *b, struct client *clients, unsigned count, double seconds)
{
    uint64_t end = now_us() + (uint64_t)(seconds * 1e6);
    while (now_us() < end) {
        struct epoll_event events[64];
        uint64_t now = now_us();
        for (unsigned i = 0; i < count; i++)
            if (!clients[i].waiting && clients[i].due_us <= now)
                begin(b, &clients[i]);
        int n = epoll_wait(b->epoll, events, 64, 1);
        for (int i = 0; i < n; i++)
            on_readable(b, events[i].data.ptr);
    }
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: bench_api PORT KEY [CLIENTS [SECONDS [THINK_MS]]]\n");
        return 2;
    }
    struct bench b = {
        .key = argv[2], .port = (uint16_t)atoi(argv[1]), .random = 88172645463325252u};
    unsigned count = argc > 3 ? (unsigned)atoi(argv[3]) : 200;
    double seconds = argc > 4 ? atof(argv[4]) : 15;
    b.think_us = (uint64_t)(argc > 5 ? atoi(argv[5]) : 250) * 1000u;
    b.epoll = epoll_create1(EPOLL_CLOEXEC);
    make_ready(&b);
    struct client *clients = mem_array(count, sizeof(*clients));
    for (unsigned i = 0; i < count; i++) {
        clients[i] =
            (struct client){.fd = dial(&b), .n = i, .out = BUF(1 << 16), .in = BUF(8 << 20)};
        think(&b, &clients[i]);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &clients[i]};
        epoll_ctl(b.epoll, EPOLL_CTL_ADD, clients[i].fd, &e);
    }
    run(&b, clients, count, seconds);
    report(&b, seconds);
    for (unsigned i = 0; i < count; i++) {
        close(clients[i].fd);
        buf_release(&clients[i].out);
        buf_release(&clients[i].in);
    }
    free(clients);
    for (int k = 0; k < KINDS; k++)
        VEC_FREE(&b.times[k]);
    for (size_t i = 0; i < b.ready.n; i++)
        free(b.ready.v[i]);
    VEC_FREE(&b.ready);
    return b.wrong ? 1 : 0;
}
