/* SPDX-License-Identifier: Apache-2.0 */
/* Documents: freshness, revalidation, mirrors. */
#include "tests/resolvers/registry_bench.h"

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
    return s;
}
