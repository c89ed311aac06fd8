/* SPDX-License-Identifier: Apache-2.0 */
/* http_bench.h - a client with short times, a server, and what becomes of a request; for the
 * tests of the HTTP client. */
#ifndef STRATA_TESTS_BASE_HTTP_BENCH_H
#define STRATA_TESTS_BASE_HTTP_BENCH_H

#include <stdio.h>

#include "base/http.h"
#include "base/mem.h"
#include "tests/support/http_server.h"
#include "tests/test_main.h"

/* A client with short times, its loop, and a server. */
struct bench {
    uv_loop_t loop;
    struct http_client *client;
    struct test_server *server;
    int open;
};

static const struct http_options quick = {.user_agent = "test/1",
                                          .backoff_first_ms = 4,
                                          .stall_timeout_ms = 1000,
                                          .connect_timeout_ms = 2000};

/* Whatever the machine's proxies are, they are not for these tests. */
static __attribute__((unused)) void forget_proxies(void)
{
    static const char *const names[] = {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY",
                                        "all_proxy",  "ALL_PROXY",  "no_proxy",    "NO_PROXY"};
    for (size_t i = 0; i < COUNT(names); i++)
        unsetenv(names[i]);
}

static __attribute__((unused)) void bench_init(struct bench *b, const struct http_options *o)
{
    struct err err = {0};
    *b = (struct bench){.server = test_server_new()};
    uv_loop_init(&b->loop);
    b->client = http_client_new(&b->loop, o, &err);
    ck_assert_msg(b->client != NULL, "%s", err.text);
}

static __attribute__((unused)) void bench_release(struct bench *b)
{
    http_client_free(b->client);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&b->loop), 0);
    test_server_free(b->server);
}

/* One request and what became of it. */
struct got {
    struct bench *bench;
    struct http_request *request;
    int calls, status, attempts, restarts, pieces;
    struct err err;
    struct buf body; /* the reply's, or what on_data brought */
    uint64_t total;
    char url[300], etag[60], content_range[60];
    size_t cancel_after, fail_after, pause_every;
    uint64_t pause_ms;
    int pauses, max_pauses;
    uv_timer_t timer;
};

static __attribute__((unused)) void on_done(void *ctx, struct http_reply *reply)
{
    struct got *g = ctx;
    g->calls++;
    g->bench->open--;
    g->status = reply->status;
    g->attempts = reply->attempts;
    g->err = reply->err;
    if (reply->body.len) {
        ck_assert_int_eq(g->body.len, 0);
        buf_append(&g->body, reply->body);
    }
    snprintf(g->url, sizeof(g->url), "%s", reply->url);
    snprintf(g->etag, sizeof(g->etag), "%s", reply->etag ? reply->etag : "");
    snprintf(g->content_range, sizeof(g->content_range), "%s",
             reply->content_range ? reply->content_range : "");
}

static __attribute__((unused)) void on_timer_resume(uv_timer_t *timer)
{
    struct got *g = container_of(timer, struct got, timer);
    http_resume(g->request);
}

static __attribute__((unused)) bool on_data(void *ctx, struct span piece, struct err *err)
{
    struct got *g = ctx;
    g->pieces++;
    buf_append(&g->body, piece);
    if (g->cancel_after && g->body.len >= g->cancel_after)
        http_cancel(g->request);
    if (g->fail_after && g->body.len >= g->fail_after)
        return err_set(err, ERR_NO_SPACE, "the reader is full");
    if (g->pause_every && g->pieces % (int)g->pause_every == 0 && g->pauses++ < g->max_pauses) {
        http_pause(g->request);
        uv_timer_start(&g->timer, on_timer_resume, g->pause_ms, 0);
    }
    return true;
}

static __attribute__((unused)) void on_restart(void *ctx)
{
    struct got *g = ctx;
    g->restarts++;
    buf_reset(&g->body);
}

static __attribute__((unused)) void on_total(void *ctx, uint64_t total)
{
    ((struct got *)ctx)->total = total;
}

static __attribute__((unused)) void got_start(struct bench *b, struct got *g, struct http_get get,
                                              const char *path)
{
    g->bench = b;
    g->body = BUF(64u << 20);
    get.url = path[0] == '/' ? test_server_url(b->server, path) : path;
    get.max_bytes = get.max_bytes ? get.max_bytes : 32u << 20;
    get.done = on_done;
    get.ctx = g;
    if (get.on_data)
        get.on_restart = on_restart;
    get.on_total = on_total;
    b->open++;
    g->request = http_start(b->client, &get);
    ck_assert_int_eq(g->calls, 0);
}

static __attribute__((unused)) void bench_run(struct bench *b)
{
    while (b->open > 0)
        uv_run(&b->loop, UV_RUN_ONCE);
}

/* Starts it, runs to its end, and checks that done() came once. */
static __attribute__((unused)) struct got get_with(struct bench *b, const char *path,
                                                   struct http_get get)
{
    static struct got g;
    buf_release(&g.body);
    g = (struct got){0};
    got_start(b, &g, get, path);
    bench_run(b);
    ck_assert_int_eq(g.calls, 1);
    struct got out = g;
    g.body = BUF(0);
    return out;
}

static __attribute__((unused)) struct got get(struct bench *b, const char *path)
{
    return get_with(b, path, (struct http_get){0});
}

static __attribute__((unused)) struct span pattern(size_t len)
{
    static char bytes[4u << 20];
    ck_assert(len <= sizeof(bytes));
    for (size_t i = 0; !bytes[1] && i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    return span_of(bytes, len);
}

#endif
