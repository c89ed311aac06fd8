/* SPDX-License-Identifier: Apache-2.0 */
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

static void on_line(void *ctx, enum log_level level, const char *line)
{
    struct bench *b = ctx;
    (void)line;
    b->warnings += level == LOG_WARN;
}

static void open_client(struct bench *b, struct registry_options options)
{
    b->client =
        registry_client_new(&b->loop, b->http, b->store, b->pool, &b->registry, &options, &b->log);
}

/* As a later run of the program would. */
static void reopen_client(struct bench *b, struct registry_options options)
{
    registry_client_free(b->client);
    open_client(b, options);
}

static void bench_init(struct bench *b, int mirrors)
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

static void bench_release(struct bench *b)
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

static void bench_run(struct bench *b)
{
    while (b->open > 0)
        uv_run(&b->loop, UV_RUN_ONCE);
}

/* ---- Documents ---- */

struct doc {
    struct registry_get get;
    struct bench *bench;
    int calls;
    char text[4096], url[200], content_range[100];
    struct registry_body *kept;
};

static void on_doc(struct registry_get *get)
{
    struct doc *d = container_of(get, struct doc, get);
    d->calls++;
    d->bench->open--;
    if (!get->err.code && get->body.len < sizeof(d->text))
        snprintf(d->text, sizeof(d->text), "%.*s", SPAN_ARG(get->body));
    snprintf(d->url, sizeof(d->url), "%s", get->url ? get->url : "");
    snprintf(d->content_range, sizeof(d->content_range), "%s",
             get->content_range ? get->content_range : "");
}

static void start(struct bench *b, struct doc *d, struct registry_get get)
{
    *d = (struct doc){.get = get, .bench = b};
    d->get.done = on_doc;
    if (!d->get.max_bytes)
        d->get.max_bytes = 1u << 20;
    b->open++;
    registry_get(b->client, &d->get);
    ck_assert_int_eq(d->calls, 0);
}

static struct doc *get_with(struct bench *b, struct registry_get get)
{
    static struct doc d;
    start(b, &d, get);
    bench_run(b);
    ck_assert_int_eq(d.calls, 1);
    return &d;
}

static struct doc *get(struct bench *b, const char *path)
{
    return get_with(b, (struct registry_get){.path = path, .ttl_ms = 0});
}

#define OK_TEXT(doc_expr, want)                                                                    \
    do {                                                                                           \
        const struct doc *doc_ = doc_expr;                                                         \
        ck_assert_msg(doc_->get.err.code == ERR_NONE, "%s", doc_->get.err.text);                   \
        ck_assert_str_eq(doc_->text, want);                                                        \
    } while (0)

START_TEST(a_document_is_fetched_once_while_fresh_and_then_revalidated)
{
    struct bench b;
    bench_init(&b, 1);
    test_server_add(b.first, "/reg/a",
                    &(struct test_answer){
                        .body = SPAN("one"), .etag = "\"1\"", .headers = "Content-Type: x/y\r\n"});
    struct registry_get want = {.path = "a", .ttl_ms = 3600000};
    struct doc *d = get_with(&b, want);
    OK_TEXT(d, "one");
    ck_assert(!d->get.from_cache && d->get.status == 200);
    reopen_client(&b, (struct registry_options){0});
    d = get_with(&b, want);
    OK_TEXT(d, "one");
    ck_assert(d->get.from_cache && d->get.status == 200);
    ck_assert_int_eq(test_server_hits(b.first, "/reg/a"), 1);
    d = get(&b, "a"); /* no ttl: the server is asked, and confirms */
    OK_TEXT(d, "one");
    ck_assert(!d->get.from_cache && d->get.status == 200);
    ck_assert_str_eq(test_server_header(b.first, "/reg/a", 1, "If-None-Match"), "\"1\"");
    uv_sleep(5); /* so that the copy is older than the client */
    reopen_client(&b, (struct registry_options){.refresh = true});
    OK_TEXT(get_with(&b, want), "one");
    ck_assert_int_eq(test_server_hits(b.first, "/reg/a"), 3);
    OK_TEXT(get_with(&b, want), "one"); /* this run has asked already */
    ck_assert_int_eq(test_server_hits(b.first, "/reg/a"), 3);
    bench_release(&b);
}
END_TEST

START_TEST(a_changed_document_replaces_the_old_one)
{
    struct bench b;
    bench_init(&b, 1);
    test_server_add(b.first, "/reg/a", &(struct test_answer){.body = SPAN("one"), .etag = "\"1\""});
    test_server_add(b.first, "/reg/a", &(struct test_answer){.body = SPAN("two"), .etag = "\"2\""});
    OK_TEXT(get(&b, "a"), "one");
    OK_TEXT(get(&b, "a"), "two");
    reopen_client(&b, (struct registry_options){.offline = true});
    OK_TEXT(get(&b, "a"), "two");
    bench_release(&b);
}
END_TEST

START_TEST(the_servers_max_age_wins_over_our_ttl)
{
    struct bench b;
    bench_init(&b, 1);
    test_server_add(
        b.first, "/reg/long",
        &(struct test_answer){.body = SPAN("x"), .headers = "Cache-Control: max-age=600\r\n"});
    test_server_add(
        b.first, "/reg/never",
        &(struct test_answer){.body = SPAN("x"), .headers = "Cache-Control: no-cache\r\n"});
    for (int i = 0; i < 2; i++) {
        OK_TEXT(get_with(&b, (struct registry_get){.path = "long"}), "x");
        OK_TEXT(get_with(&b, (struct registry_get){.path = "never", .ttl_ms = 600000}), "x");
        reopen_client(&b, (struct registry_options){0});
    }
    ck_assert_int_eq(test_server_hits(b.first, "/reg/long"), 1);
    ck_assert_int_eq(test_server_hits(b.first, "/reg/never"), 2);
    bench_release(&b);
}
END_TEST

START_TEST(accept_and_range_name_different_documents)
{
    struct bench b;
    bench_init(&b, 1);
    test_server_add(b.first, "/reg/a",
                    &(struct test_answer){.body = SPAN("0123456789"), .ranges = true});
    struct registry_get whole = {.path = "a", .ttl_ms = 99999}, json = whole, part = whole;
    json.accept = "application/json";
    part.range = "-3";
    for (int i = 0; i < 2; i++) {
        OK_TEXT(get_with(&b, whole), "0123456789");
        OK_TEXT(get_with(&b, json), "0123456789");
        struct doc *d = get_with(&b, part);
        OK_TEXT(d, "789");
        ck_assert_int_eq(d->get.status, 206);
        ck_assert_str_eq(d->content_range, "bytes 7-9/10");
        ck_assert(d->get.from_cache == (i == 1));
    }
    ck_assert_int_eq(test_server_all_hits(b.first), 3);
    bench_release(&b);
}
END_TEST

START_TEST(immutable_and_uncached_documents)
{
    struct bench b;
    bench_init(&b, 1);
    test_server_add(b.first, "/reg/i", &(struct test_answer){.body = SPAN("x")});
    test_server_add(b.first, "/reg/u", &(struct test_answer){.body = SPAN("x")});
    for (int i = 0; i < 2; i++) {
        OK_TEXT(get_with(&b, (struct registry_get){.path = "i", .immutable = true}), "x");
        OK_TEXT(get_with(&b, (struct registry_get){.path = "u", .uncached = true, .ttl_ms = 99999}),
                "x");
        reopen_client(&b, (struct registry_options){.refresh = true});
    }
    ck_assert_int_eq(test_server_hits(b.first, "/reg/i"), 1);
    ck_assert_int_eq(test_server_hits(b.first, "/reg/u"), 2);
    bench_release(&b);
}
END_TEST

START_TEST(absence_is_an_answer_and_remembered_for_a_while)
{
    struct bench b;
    bench_init(&b, 2);
    test_server_add(b.first, "/reg/gone", &(struct test_answer){.status = 410});
    struct registry_get want = {.path = "gone", .ttl_ms = 99999999};
    struct doc *d = get_with(&b, want);
    ck_assert(!d->get.err.code && d->get.status == 404); /* the second mirror's word */
    d = get_with(&b, want);
    ck_assert(!d->get.err.code && d->get.status == 404 && d->get.from_cache);
    ck_assert_int_eq(test_server_all_hits(b.second), 1);
    bench_release(&b);
}
END_TEST

START_TEST(equal_requests_under_way_are_one)
{
    struct bench b;
    bench_init(&b, 1);
    test_server_add(b.first, "/reg/a", &(struct test_answer){.body = SPAN("x"), .delay_ms = 30});
    static struct doc d[50];
    for (int i = 0; i < 50; i++)
        start(&b, &d[i], (struct registry_get){.path = "a"});
    registry_get_cancel(&d[7].get);
    ck_assert_int_eq(d[7].calls, 0);
    bench_run(&b);
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(d[i].calls, 1);
        if (i == 7)
            ck_assert_int_eq(d[i].get.err.code, ERR_CANCELLED);
        else
            OK_TEXT(&d[i], "x");
    }
    ck_assert_int_eq(test_server_hits(b.first, "/reg/a"), 1);
    bench_release(&b);
}
END_TEST

START_TEST(a_request_that_all_have_left_does_not_bother_the_next_one)
{
    struct bench b;
    bench_init(&b, 1);
    struct doc a, c;
    test_server_add(b.first, "/reg/a", &(struct test_answer){.body = SPAN("x"), .delay_ms = 20});
    start(&b, &a, (struct registry_get){.path = "a"});
    while (test_server_all_hits(b.first) == 0)
        uv_run(&b.loop, UV_RUN_NOWAIT);
    registry_get_cancel(&a.get);
    start(&b, &c, (struct registry_get){.path = "a"});
    bench_run(&b);
    ck_assert_int_eq(a.get.err.code, ERR_CANCELLED);
    OK_TEXT(&c, "x");
    registry_get_cancel(&c.get); /* too late, and harmless */
    bench_release(&b);
}
END_TEST

START_TEST(the_next_mirror_is_asked_when_one_fails)
{
    struct bench b;
    bench_init(&b, 2);
    test_server_add(b.first, "/reg/a", &(struct test_answer){.status = 500});
    test_server_add(b.first, "/reg/refused", &(struct test_answer){.status = 403});
    test_server_add(b.second, "/mirror/a", &(struct test_answer){.body = SPAN("from second")});
    test_server_add(b.second, "/mirror/refused",
                    &(struct test_answer){.body = SPAN("from second")});
    test_server_add(b.second, "/mirror/b", &(struct test_answer){.body = SPAN("b")});
    OK_TEXT(get(&b, "refused"), "from second");
    struct doc *d = get(&b, "a");
    OK_TEXT(d, "from second");
    ck_assert_str_eq(d->url, test_server_url(b.second, "/mirror/a"));
    int asked = test_server_all_hits(b.first);
    OK_TEXT(get(&b, "b"), "b"); /* the one that failed comes last now */
    ck_assert_int_eq(test_server_all_hits(b.first), asked);
    d = get(&b, "missing"); /* one says 404, the other fails? both say 404 here */
    ck_assert(!d->get.err.code && d->get.status == 404);
    bench_release(&b);
}
END_TEST

START_TEST(a_failure_is_not_taken_for_absence)
{
    struct bench b;
    bench_init(&b, 2);
    test_server_add(b.first, "/reg/a", &(struct test_answer){.status = 500});
    struct doc *d = get(&b, "a"); /* 404 at the second */
    ck_assert_int_eq(d->get.err.code, ERR_REGISTRY);
    ck_assert_msg(strstr(d->get.err.text, "/reg/a: status 500"), "%s", d->get.err.text);
    bench_release(&b);
}
END_TEST

START_TEST(stale_copies_serve_when_the_network_fails)
{
    struct bench b;
    bench_init(&b, 1);
    test_server_add(b.first, "/reg/a", &(struct test_answer){.body = SPAN("old"), .etag = "\"1\""});
    test_server_add(b.first, "/reg/a", &(struct test_answer){.status = 503});
    test_server_add(b.first, "/reg/b", &(struct test_answer){.body = SPAN("old")});
    test_server_add(b.first, "/reg/b", &(struct test_answer){.fault = FAULT_NO_ANSWER});
    OK_TEXT(get(&b, "a"), "old");
    OK_TEXT(get(&b, "b"), "old");
    struct doc *d = get(&b, "a");
    OK_TEXT(d, "old");
    ck_assert(d->get.from_cache);
    ck_assert_int_eq(b.warnings, 1);
    int hits = test_server_all_hits(b.first);
    OK_TEXT(get(&b, "b"), "old"); /* it failed a moment ago: not asked again at once */
    ck_assert_int_eq(test_server_all_hits(b.first), hits);
    ck_assert_int_eq(b.warnings, 1);
    d = get(&b, "c");
    ck_assert(!d->get.err.code && d->get.status == 404);
    /* Older than a day: no. */
    AUTO_FREE char *key = mem_printf("%sa\n\n", b.urls[0]);
    ck_assert(
        meta_touch(b.store, span_str(key), io_now_ms() - (int64_t)25 * 3600 * 1000, -1, NULL));
    reopen_client(&b, (struct registry_options){0});
    d = get(&b, "a");
    ck_assert_int_eq(d->get.err.code, ERR_REGISTRY);
    bench_release(&b);
}
END_TEST

START_TEST(offline_and_forbidden_use_the_cache_alone)
{
    struct bench b;
    bench_init(&b, 1);
    test_server_add(b.first, "/reg/a", &(struct test_answer){.body = SPAN("x")});
    OK_TEXT(get(&b, "a"), "x");
    for (int i = 0; i < 2; i++) {
        reopen_client(&b, (struct registry_options){.offline = i == 0, .forbidden = i == 1});
        OK_TEXT(get(&b, "a"), "x");
        struct doc *d = get(&b, "b");
        ck_assert_int_eq(d->get.err.code, i == 0 ? ERR_OFFLINE : ERR_POLICY);
        ck_assert_msg(strstr(d->get.err.text, "/reg/b"), "%s", d->get.err.text);
        ck_assert_msg(i == 0 || strstr(d->get.err.text, "allow_package_managers"), "%s",
                      d->get.err.text);
    }
    ck_assert_int_eq(test_server_all_hits(b.first), 1);
    bench_release(&b);
}
END_TEST

START_TEST(absolute_urls_and_paths_out_of_bounds)
{
    struct bench b;
    bench_init(&b, 2);
    test_server_add(b.first, "/other/x", &(struct test_answer){.body = SPAN("other")});
    test_server_add(b.first, "/reg/deep/y", &(struct test_answer){.status = 500});
    test_server_add(b.second, "/mirror/deep/y", &(struct test_answer){.body = SPAN("y")});
    OK_TEXT(get(&b, test_server_url(b.first, "/other/x#frag")), "other");
    OK_TEXT(get(&b, test_server_url(b.first, "/reg/deep/y")),
            "y"); /* mirrors apply below the base */
    ck_assert(span_eq(registry_path_of(b.client, span_str(test_server_url(b.second, "/mirror/q"))),
                      SPAN("q")));
    ck_assert(registry_path_of(b.client, span_str(test_server_url(b.first, "/other/x"))).len == 0);
    static const char *const bad[] = {"../x", "a/../b", "./a",
                                      "a b",  "a\r\nb", "file:///etc/passwd"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct doc *d = get(&b, bad[i]);
        ck_assert_msg(d->get.err.code == ERR_INVALID, "%s: %d", bad[i], d->get.err.code);
    }
    bench_release(&b);
}
END_TEST

START_TEST(a_scope_has_its_own_registry)
{
    struct bench b;
    bench_init(&b, 1);
    AUTO_FREE char *corp = mem_dup_str(test_server_url(b.second, "/corp/"));
    struct registry_extra extra[] = {{.scope = "@corp", .url = corp}};
    b.registry.extra = extra;
    b.registry.extra_count = 1;
    test_server_add(b.second, "/corp/@corp/x", &(struct test_answer){.body = SPAN("corp")});
    test_server_add(b.first, "/reg/@corporate/x", &(struct test_answer){.body = SPAN("main")});
    test_server_add(b.first, "/reg/@corp/x", &(struct test_answer){.body = SPAN("as written")});
    reopen_client(&b, (struct registry_options){0});
    OK_TEXT(get(&b, "@corp/x"), "corp");
    OK_TEXT(get(&b, "@corporate/x"), "main");
    const char *elsewhere = test_server_url(b.first, "/reg/@corp/x");
    ck_assert(registry_path_of(b.client, span_str(elsewhere)).len == 0);
    OK_TEXT(get(&b, elsewhere), "as written");
    AUTO_FREE char *tarball = mem_printf("%s@corp/x/-/x.tgz", corp);
    ck_assert(span_eq(registry_path_of(b.client, span_str(tarball)), SPAN("@corp/x/-/x.tgz")));
    bench_release(&b);
}
END_TEST

START_TEST(a_connection_ahead_is_one_request_and_none_when_forbidden)
{
    struct bench b;
    bench_init(&b, 1);
    test_server_add(b.first, "/reg/a", &(struct test_answer){.body = SPAN("x")});
    reopen_client(&b, (struct registry_options){.forbidden = true});
    registry_preconnect(b.client, NULL);
    reopen_client(&b, (struct registry_options){.offline = true});
    registry_preconnect(b.client, NULL);
    uv_run(&b.loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(test_server_all_hits(b.first), 0);
    reopen_client(&b, (struct registry_options){0});
    registry_preconnect(b.client, NULL);
    registry_preconnect(b.client, NULL);
    registry_preconnect(b.client, "nonsense");
    uv_run(&b.loop, UV_RUN_DEFAULT);
    registry_preconnect(b.client, NULL);
    OK_TEXT(get(&b, "a"), "x");
    ck_assert_int_eq(test_server_all_hits(b.first), 2);
    ck_assert_int_eq(test_server_connections(b.first), 1);
    bench_release(&b);
}
END_TEST

static void on_keep(struct registry_get *get)
{
    struct doc *d = container_of(get, struct doc, get);
    d->kept = registry_keep(get);
    on_doc(get);
}

START_TEST(a_kept_body_outlives_its_client)
{
    struct bench b;
    bench_init(&b, 1);
    static struct doc d[2];
    struct span bodies[2];
    test_server_add(b.first, "/reg/a", &(struct test_answer){.body = SPAN("kept")});
    for (int i = 0; i < 2; i++) {
        start(&b, &d[i], (struct registry_get){.path = "a", .ttl_ms = 99999});
        d[i].get.done = on_keep;
        bench_run(&b);
        bodies[i] = d[i].get.body;
    }
    ck_assert(!d[0].get.from_cache && d[1].get.from_cache);
    bench_release(&b);
    for (int i = 0; i < 2; i++) {
        ck_assert(span_eq(bodies[i], SPAN("kept")));
        registry_drop(d[i].kept);
    }
}
END_TEST

START_TEST(a_ceiling_holds_for_cached_documents_too)
{
    struct bench b;
    bench_init(&b, 1);
    test_server_add(b.first, "/reg/a", &(struct test_answer){.body = SPAN("0123456789")});
    struct registry_get want = {.path = "a", .ttl_ms = 99999, .max_bytes = 9};
    ck_assert_int_eq(get_with(&b, want)->get.err.code, ERR_TOO_LARGE);
    want.max_bytes = 10;
    OK_TEXT(get_with(&b, want), "0123456789");
    want.max_bytes = 9;
    ck_assert_int_eq(get_with(&b, want)->get.err.code, ERR_TOO_LARGE);
    bench_release(&b);
}
END_TEST

/* ---- Package bytes ---- */

struct file {
    struct registry_fetch fetch;
    struct bench *bench;
    int calls, progress;
    uint64_t cancel_at;
};

static void on_file(struct registry_fetch *fetch)
{
    struct file *f = container_of(fetch, struct file, fetch);
    f->calls++;
    f->bench->open--;
}

static void on_progress(struct registry_fetch *fetch)
{
    struct file *f = container_of(fetch, struct file, fetch);
    f->progress++;
    if (f->cancel_at && fetch->received >= f->cancel_at)
        registry_fetch_cancel(fetch);
}

static void start_fetch(struct bench *b, struct file *f, struct registry_fetch fetch)
{
    f->fetch = fetch;
    f->bench = b;
    f->calls = f->progress = 0;
    f->fetch.done = on_file;
    f->fetch.progress = on_progress;
    if (!f->fetch.max_bytes)
        f->fetch.max_bytes = 64u << 20;
    b->open++;
    registry_fetch(b->client, &f->fetch);
    ck_assert_int_eq(f->calls, 0);
}

static struct file *fetch_with(struct bench *b, struct registry_fetch fetch)
{
    static struct file f;
    start_fetch(b, &f, fetch);
    bench_run(b);
    ck_assert_int_eq(f.calls, 1);
    return &f;
}

static struct span pattern(size_t len)
{
    static char bytes[12u << 20];
    ck_assert(len <= sizeof(bytes));
    for (size_t i = 0; !bytes[1] && i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    return span_of(bytes, len);
}

static void check_blob(struct bench *b, const struct file *f, struct span want)
{
    struct io_map map;
    struct err err = {0};
    struct digest d = digest_of(want);
    ck_assert_msg(!f->fetch.err.code, "%s", f->fetch.err.text);
    ck_assert(digest_eq(&f->fetch.blob, &d) && f->fetch.size == want.len);
    ck_assert_msg(store_map_blob(b->store, &d, &map, &err), "%s", err.text);
    ck_assert(span_eq(map.bytes, want));
    io_unmap(&map);
}

static int staged_count(struct bench *b)
{
    AUTO_FREE char *path = mem_printf("%s/staging", store_path(b->store));
    struct stat st;
    int n = 0;
    uv_fs_t req;
    uv_fs_scandir(NULL, &req, path, 0, NULL);
    for (uv_dirent_t e; uv_fs_scandir_next(&req, &e) != UV_EOF;)
        n++;
    uv_fs_req_cleanup(&req);
    (void)st;
    return n;
}

START_TEST(a_file_becomes_a_blob_and_is_not_fetched_again)
{
    static const enum hash_algo algos[] = {HASH_SHA256, HASH_SHA512, HASH_SHA1};
    struct bench b;
    bench_init(&b, 1);
    struct span body = pattern(3000000 + (size_t)_i);
    test_server_add(b.first, "/reg/f.tgz", &(struct test_answer){.body = body});
    struct registry_fetch want = {
        .url = "f.tgz", .expect = hash_of_bytes(algos[_i], body), .expect_size = body.len};
    struct file *f = fetch_with(&b, want);
    check_blob(&b, f, body);
    ck_assert(!f->fetch.from_cache && f->progress > 5);
    ck_assert(f->fetch.received == body.len && f->fetch.total == body.len);
    reopen_client(&b, (struct registry_options){.offline = true});
    want.url = "elsewhere";
    f = fetch_with(&b, want);
    check_blob(&b, f, body);
    ck_assert(f->fetch.from_cache);
    ck_assert_int_eq(test_server_all_hits(b.first), 1);
    want.expect.bytes[0] ^= 1;
    ck_assert_int_eq(fetch_with(&b, want)->fetch.err.code, ERR_OFFLINE);
    bench_release(&b);
}
END_TEST

START_TEST(small_and_empty_files_and_files_without_a_promise)
{
    struct bench b;
    bench_init(&b, 1);
    test_server_add(b.first, "/reg/empty", &(struct test_answer){.body = SPAN("")});
    test_server_add(b.first, "/reg/small",
                    &(struct test_answer){.body = SPAN("s"), .chunked = true});
    test_server_add(b.first, "/reg/zip", &(struct test_answer){.body = SPAN("zip")});
    check_blob(&b, fetch_with(&b, (struct registry_fetch){.url = "empty"}), SPAN(""));
    struct hash h = hash_of_bytes(HASH_SHA256, SPAN("s"));
    check_blob(&b, fetch_with(&b, (struct registry_fetch){.url = "small", .expect = h}), SPAN("s"));
    for (int i = 0; i < 2; i++)
        check_blob(&b, fetch_with(&b, (struct registry_fetch){.url = "zip", .immutable = true}),
                   SPAN("zip"));
    ck_assert_int_eq(test_server_hits(b.first, "/reg/zip"), 1);
    for (int i = 0; i < 2; i++)
        check_blob(&b, fetch_with(&b, (struct registry_fetch){.url = "zip"}), SPAN("zip"));
    ck_assert_int_eq(test_server_hits(b.first, "/reg/zip"), 3);
    bench_release(&b);
}
END_TEST

/* A broken transfer, a wrong file, an absent one: the second mirror's is taken. */
static const struct {
    struct test_answer answer;
    enum err_code alone; /* with one mirror */
} bad_files[] = {
    {{.status = 500}, ERR_REGISTRY},
    {{.status = 404}, ERR_REGISTRY},
    {{.status = 403}, ERR_REGISTRY_REFUSED},
    {{.body = SPAN_INIT("something else")}, ERR_DIGEST_MISMATCH},
    {{.body = SPAN_INIT("")}, ERR_DIGEST_MISMATCH},
    {{.body = SPAN_INIT("0123456789"), .fault = FAULT_CUT, .at = 4}, ERR_NETWORK},
    {{.body = SPAN_INIT("0123456789"), .fault = FAULT_STALL, .at = 4}, ERR_TIMEOUT},
};

START_TEST(a_bad_mirror_is_passed_over)
{
    struct bench b;
    bench_init(&b, 2);
    struct span body = pattern(500000);
    struct test_answer bad = bad_files[_i].answer;
    bad.body.ptr = bad.body.ptr ? bad.body.ptr : "";
    test_server_add(b.first, "/reg/f", &bad);
    test_server_add(b.second, "/mirror/f", &(struct test_answer){.body = body});
    struct registry_fetch want = {.url = "f", .expect = hash_of_bytes(HASH_SHA256, body)};
    check_blob(&b, fetch_with(&b, want), body);
    b.registry.url_count = 1;
    reopen_client(&b, (struct registry_options){0});
    want.expect.bytes[3] ^= 1;
    struct file *f = fetch_with(&b, want);
    ck_assert_msg(f->fetch.err.code == bad_files[_i].alone, "%s", f->fetch.err.text);
    ck_assert_msg(strstr(f->fetch.err.text, "/reg/f"), "%s", f->fetch.err.text);
    ck_assert_int_eq(staged_count(&b), 0);
    bench_release(&b);
}
END_TEST

START_TEST(a_mismatch_names_the_path_and_both_hashes)
{
    struct bench b;
    bench_init(&b, 2);
    struct hash want = hash_of_bytes(HASH_SHA512, SPAN("right")),
                have = hash_of_bytes(HASH_SHA512, SPAN("wrong"));
    char want_text[140], have_text[140];
    test_server_add(b.first, "/reg/f", &(struct test_answer){.body = SPAN("wrong")});
    test_server_add(b.second, "/mirror/f", &(struct test_answer){.body = SPAN("wrong")});
    struct file *f = fetch_with(&b, (struct registry_fetch){.url = "f?token=hush", .expect = want});
    ck_assert_int_eq(f->fetch.err.code, ERR_REGISTRY); /* no such path: with its query */
    ck_assert(!strstr(f->fetch.err.text, "hush"));
    f = fetch_with(&b, (struct registry_fetch){.url = "f", .expect = want});
    ck_assert_int_eq(f->fetch.err.code, ERR_DIGEST_MISMATCH);
    ck_assert(strstr(f->fetch.err.text, "/reg/f"));
    ck_assert(strstr(f->fetch.err.text, hash_text(&want, want_text)));
    ck_assert(strstr(f->fetch.err.text, hash_text(&have, have_text)));
    ck_assert_int_eq(test_server_hits(b.second, "/mirror/f"), 1);
    /* Sizes are promises too. */
    struct hash wrong = hash_of_bytes(HASH_SHA256, SPAN("wrong"));
    f = fetch_with(&b, (struct registry_fetch){.url = "f", .expect = wrong, .expect_size = 4});
    ck_assert_int_eq(f->fetch.err.code, ERR_DIGEST_MISMATCH);
    f = fetch_with(&b, (struct registry_fetch){.url = "f", .expect = wrong, .expect_size = 6});
    ck_assert_int_eq(f->fetch.err.code, ERR_DIGEST_MISMATCH);
    f = fetch_with(
        &b, (struct registry_fetch){.url = "f", .expect = wrong, .expect_size = 5, .max_bytes = 4});
    ck_assert_int_eq(f->fetch.err.code, ERR_TOO_LARGE);
    ck_assert_int_eq(staged_count(&b), 0);
    bench_release(&b);
}
END_TEST

START_TEST(a_broken_transfer_is_resumed_into_the_same_blob)
{
    struct bench b;
    bench_init(&b, 1);
    struct test_answer a = {.body = pattern(9u << 20), .ranges = true};
    a.etag = _i ? "\"v\"" : NULL; /* without one it begins again */
    struct test_answer broken = a;
    broken.fault = FAULT_CUT;
    broken.at = (5u << 20) + 77;
    test_server_add(b.first, "/reg/big", &broken);
    test_server_add(b.first, "/reg/big", &a);
    struct registry_fetch want = {.url = "big", .expect = hash_of_bytes(HASH_SHA256, a.body)};
    check_blob(&b, fetch_with(&b, want), a.body);
    ck_assert_int_eq(test_server_hits(b.first, "/reg/big"), 2);
    bench_release(&b);
}
END_TEST

START_TEST(fetches_of_the_same_bytes_are_one_and_can_be_left)
{
    struct bench b;
    bench_init(&b, 1);
    struct span body = pattern(8u << 20);
    test_server_add(b.first, "/reg/f", &(struct test_answer){.body = body, .delay_ms = 10});
    struct registry_fetch want = {.url = "f", .expect = hash_of_bytes(HASH_SHA256, body)};
    static struct file f[8];
    for (int i = 0; i < 8; i++) {
        f[i].cancel_at = i == 2 ? 1u << 20 : 0;
        start_fetch(&b, &f[i], want);
    }
    registry_fetch_cancel(&f[5].fetch);
    bench_run(&b);
    for (int i = 0; i < 8; i++) {
        ck_assert_int_eq(f[i].calls, 1);
        if (i == 2 || i == 5)
            ck_assert_int_eq(f[i].fetch.err.code, ERR_CANCELLED);
        else
            check_blob(&b, &f[i], body);
    }
    ck_assert_int_eq(test_server_all_hits(b.first), 1);
    bench_release(&b);
}
END_TEST

START_TEST(a_cancelled_fetch_leaves_nothing)
{
    struct bench b;
    bench_init(&b, 1);
    struct span body = pattern(10u << 20);
    test_server_add(b.first, "/reg/f", &(struct test_answer){.body = body});
    struct registry_fetch want = {.url = "f", .expect = hash_of_bytes(HASH_SHA256, body)};
    for (uint64_t at = 0; at <= 10u << 20; at += 2u << 20) {
        static struct file f;
        f.cancel_at = at;
        start_fetch(&b, &f, want);
        if (!at)
            registry_fetch_cancel(&f.fetch);
        bench_run(&b);
        ck_assert_int_eq(f.fetch.err.code, ERR_CANCELLED);
        registry_client_free(b.client);
        b.client = NULL;
        uv_run(&b.loop, UV_RUN_DEFAULT); /* what is under way ends */
        open_client(&b, (struct registry_options){0});
        ck_assert_int_eq(staged_count(&b), 0);
    }
    bench_release(&b);
}
END_TEST

START_TEST(many_files_at_once)
{
    struct bench b;
    bench_init(&b, 1);
    enum { N = 40 };
    static struct file f[N];
    for (int i = 0; i < N; i++) {
        char path[20];
        snprintf(path, sizeof(path), "/reg/%d", i);
        struct span body = span_skip(pattern(2u << 20), (size_t)i * 40000);
        test_server_add(b.first, path, &(struct test_answer){.body = body, .chunked = i % 3 == 0});
        AUTO_FREE char *name = mem_dup_str(path + 5);
        f[i].cancel_at = 0;
        start_fetch(
            &b, &f[i],
            (struct registry_fetch){.url = name, .expect = hash_of_bytes(HASH_SHA512, body)});
    }
    bench_run(&b);
    for (int i = 0; i < N; i++)
        check_blob(&b, &f[i], span_skip(pattern(2u << 20), (size_t)i * 40000));
    ck_assert_int_eq(staged_count(&b), 0);
    bench_release(&b);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("registry");
    TCase *tc = tcase_create("documents");
    setenv("no_proxy", "127.0.0.1", 1); /* whatever the machine's proxies are */
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_document_is_fetched_once_while_fresh_and_then_revalidated);
    tcase_add_test(tc, a_changed_document_replaces_the_old_one);
    tcase_add_test(tc, the_servers_max_age_wins_over_our_ttl);
    tcase_add_test(tc, accept_and_range_name_different_documents);
    tcase_add_test(tc, immutable_and_uncached_documents);
    tcase_add_test(tc, absence_is_an_answer_and_remembered_for_a_while);
    tcase_add_test(tc, equal_requests_under_way_are_one);
    tcase_add_test(tc, a_request_that_all_have_left_does_not_bother_the_next_one);
    tcase_add_test(tc, the_next_mirror_is_asked_when_one_fails);
    tcase_add_test(tc, a_failure_is_not_taken_for_absence);
    tcase_add_test(tc, stale_copies_serve_when_the_network_fails);
    tcase_add_test(tc, offline_and_forbidden_use_the_cache_alone);
    tcase_add_test(tc, absolute_urls_and_paths_out_of_bounds);
    tcase_add_test(tc, a_scope_has_its_own_registry);
    tcase_add_test(tc, a_connection_ahead_is_one_request_and_none_when_forbidden);
    tcase_add_test(tc, a_kept_body_outlives_its_client);
    tcase_add_test(tc, a_ceiling_holds_for_cached_documents_too);
    suite_add_tcase(s, tc);
    tc = tcase_create("files");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, a_file_becomes_a_blob_and_is_not_fetched_again, 0, 3);
    tcase_add_test(tc, small_and_empty_files_and_files_without_a_promise);
    tcase_add_loop_test(tc, a_bad_mirror_is_passed_over, 0, COUNT(bad_files));
    tcase_add_test(tc, a_mismatch_names_the_path_and_both_hashes);
    tcase_add_loop_test(tc, a_broken_transfer_is_resumed_into_the_same_blob, 0, 2);
    tcase_add_test(tc, fetches_of_the_same_bytes_are_one_and_can_be_left);
    tcase_add_test(tc, a_cancelled_fetch_leaves_nothing);
    tcase_add_test(tc, many_files_at_once);
    suite_add_tcase(s, tc);
    return s;
}
