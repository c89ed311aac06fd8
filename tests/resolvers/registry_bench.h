/* SPDX-License-Identifier: Apache-2.0 */
/* registry_bench.h - two mirrors of one registry, and a client with its store; for the tests of the
 * registry client. */
#ifndef STRATA_TESTS_RESOLVERS_REGISTRY_BENCH_H
#define STRATA_TESTS_RESOLVERS_REGISTRY_BENCH_H

#include "resolvers/registry.h"

#include <stdio.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/mem.h"
#include "cache/meta.h"
#include "tests/support/http_server.h"
#include "tests/test_main.h"

/* Two mirrors of one registry, and a client with its store. */
struct bench {
    uv_loop_t loop;
    struct test_server *first, *second;
    struct http_client *http;
    struct pool *pool;
    struct store *store;
    struct registry_client *client;
    const char *urls[2];
    struct registry registry;
    struct log log;
    int warnings, open;
};

static __attribute__((unused)) void on_line(void *ctx, enum log_level level, const char *line)
{
    struct bench *b = ctx;
    (void)line;
    b->warnings += level == LOG_WARN;
}

static __attribute__((unused)) void open_client(struct bench *b, struct registry_options options)
{
    b->client =
        registry_client_new(&b->loop, b->http, b->store, b->pool, &b->registry, &options, &b->log);
}

/* As a later run of the program would. */
static __attribute__((unused)) void reopen_client(struct bench *b, struct registry_options options)
{
    registry_client_free(b->client);
    open_client(b, options);
}

static __attribute__((unused)) void bench_init(struct bench *b, int mirrors)
{
    struct err err = {0};
    static int stores; /* tests may share a process */
    AUTO_FREE char *path = mem_printf("%s/store%d", test_folder(), stores++);
    *b = (struct bench){.first = test_server_new(), .second = test_server_new()};
    uv_loop_init(&b->loop);
    b->http = http_client_new(
        &b->loop,
        &(struct http_options){.backoff_first_ms = 2, .attempts = 2, .stall_timeout_ms = 1000},
        &err);
    b->pool = pool_new(&b->loop, 2);
    ck_assert_msg(store_open(&b->store, path, &err), "%s", err.text);
    b->urls[0] = test_server_url(b->first, "/reg/");
    b->urls[1] = test_server_url(b->second, "/mirror/");
    b->registry = (struct registry){
        .manager = "npm", .urls = b->urls, .url_count = (size_t)mirrors, .from = "the test"};
    b->log = (struct log){LOG_WARN, on_line, b};
    open_client(b, (struct registry_options){0});
}

static __attribute__((unused)) void bench_release(struct bench *b)
{
    registry_client_free(b->client);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    pool_close(b->pool);
    http_client_free(b->http);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&b->loop), 0);
    store_close(b->store);
    test_server_free(b->first);
    test_server_free(b->second);
}

static __attribute__((unused)) void bench_run(struct bench *b)
{
    while (b->open > 0)
        uv_run(&b->loop, UV_RUN_ONCE);
}

#endif
