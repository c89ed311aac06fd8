/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/base/http_bench.h"

START_TEST(gets_a_body_and_its_headers)
{
    struct bench b;
    bench_init(&b, &quick);
    test_server_add(b.server, "/a",
                    &(struct test_answer){.body = SPAN("hello"),
                                          .etag = "\"e1\"",
                                          .headers = "Content-Type: text/plain\r\n"});
    struct got g = get(&b, "/a");
    ck_assert_msg(!g.err.code, "%s", g.err.text);
    ck_assert_int_eq(g.status, 200);
    ck_assert_str_eq(buf_cstr(&g.body), "hello");
    ck_assert_str_eq(g.etag, "\"e1\"");
    ck_assert_int_eq(g.total, 5);
    ck_assert_str_eq(test_server_header(b.server, "/a", 0, "User-Agent"), "test/1");
    buf_release(&g.body);
    g = get_with(&b, "/a", (struct http_get){.if_none_match = "\"e1\"", .accept = "text/x"});
    ck_assert(!g.err.code && g.status == 304 && g.body.len == 0);
    ck_assert_str_eq(test_server_header(b.server, "/a", 1, "Accept"), "text/x");
    ck_assert_ptr_null(test_server_header(b.server, "/a", 1, "Authorization"));
    ck_assert_int_eq(test_server_connections(b.server), 1);
    bench_release(&b);
}
END_TEST

static const struct {
    int status;
    enum err_code code;
    int attempts;
} status_cases[] = {
    {200, ERR_NONE, 1},
    {404, ERR_NONE, 1},
    {410, ERR_NONE, 1},
    {451, ERR_NONE, 1},
    {400, ERR_REGISTRY_REFUSED, 1},
    {401, ERR_REGISTRY_REFUSED, 1},
    {403, ERR_REGISTRY_REFUSED, 1},
    {304, ERR_REGISTRY_REFUSED, 1}, /* nobody asked for it */
    {300, ERR_REGISTRY_REFUSED, 1},
    {302, ERR_REGISTRY_REFUSED, 1}, /* without Location */
    {501, ERR_REGISTRY_REFUSED, 1},
    {206, ERR_REGISTRY, 1}, /* nobody asked for a part */
    {408, ERR_REGISTRY, 5},
    {429, ERR_REGISTRY, 5},
    {500, ERR_REGISTRY, 5},
    {502, ERR_REGISTRY, 5},
    {503, ERR_REGISTRY, 5},
    {504, ERR_REGISTRY, 5},
};

START_TEST(a_status_is_an_answer_an_error_or_worth_a_retry)
{
    struct bench b;
    bench_init(&b, &quick);
    test_server_add(b.server, "/s?token=hush",
                    &(struct test_answer){.status = status_cases[_i].status, .body = SPAN("why")});
    struct got g = get(&b, "/s?token=hush");
    ck_assert_msg(g.err.code == status_cases[_i].code, "%d: %s", status_cases[_i].status,
                  g.err.text);
    ck_assert_int_eq(test_server_all_hits(b.server), status_cases[_i].attempts);
    ck_assert_int_eq(g.attempts, status_cases[_i].attempts);
    if (g.err.code) {
        ck_assert_msg(strstr(g.err.text, "/s: ") && !strstr(g.err.text, "hush"), "%s", g.err.text);
    }
    buf_release(&g.body);
    bench_release(&b);
}
END_TEST

START_TEST(recovers_from_errors_that_pass)
{
    struct bench b;
    bench_init(&b, &quick);
    test_server_add(b.server, "/a", &(struct test_answer){.status = 503});
    test_server_add(b.server, "/a", &(struct test_answer){.fault = FAULT_NO_ANSWER});
    test_server_add(b.server, "/a", &(struct test_answer){.body = SPAN("x"), .fault = FAULT_RESET});
    test_server_add(b.server, "/a", &(struct test_answer){.body = SPAN("at last")});
    struct got g = get(&b, "/a");
    ck_assert_msg(!g.err.code, "%s", g.err.text);
    ck_assert_str_eq(buf_cstr(&g.body), "at last");
    buf_release(&g.body);
    bench_release(&b);
}
END_TEST

START_TEST(retry_after_is_honoured_or_given_up_on)
{
    struct bench b;
    bench_init(&b, &quick);
    test_server_add(b.server, "/a",
                    &(struct test_answer){.status = 429, .headers = "Retry-After: 1\r\n"});
    test_server_add(b.server, "/a", &(struct test_answer){.body = SPAN("now")});
    test_server_add(b.server, "/long",
                    &(struct test_answer){.status = 503, .headers = "Retry-After: 3600\r\n"});
    uint64_t began = uv_hrtime();
    struct got g = get(&b, "/a");
    uint64_t took_ms = (uv_hrtime() - began) / 1000000;
    ck_assert(!g.err.code && took_ms >= 990);
    buf_release(&g.body);
    g = get(&b, "/long");
    ck_assert_int_eq(g.err.code, ERR_REGISTRY);
    ck_assert_msg(strstr(g.err.text, "3600 s"), "%s", g.err.text);
    ck_assert_int_eq(test_server_hits(b.server, "/long"), 1);
    bench_release(&b);
}
END_TEST

START_TEST(redirects_are_followed_within_limits)
{
    struct bench b;
    bench_init(&b, &quick);
    struct test_server *other = test_server_new();
    test_server_add(other, "/x", &(struct test_answer){.body = SPAN("there")});
    char location[200];
    snprintf(location, sizeof(location), "Location: %s\r\n", test_server_url(other, "/x#frag"));
    test_server_add(b.server, "/a/b", &(struct test_answer){.status = 302, .headers = location});
    test_server_add(b.server, "/rel",
                    &(struct test_answer){.status = 301, .headers = "Location: ../a/./b\r\n"});
    test_server_add(b.server, "/space",
                    &(struct test_answer){.status = 301, .headers = "Location: /with a space\r\n"});
    test_server_add(b.server, "/with%20a%20space", &(struct test_answer){.body = SPAN("spaced")});
    test_server_add(b.server, "/loop",
                    &(struct test_answer){.status = 307, .headers = "Location: /loop\r\n"});
    test_server_add(
        b.server, "/file",
        &(struct test_answer){.status = 302, .headers = "Location: file:///etc/passwd\r\n"});
    struct got g = get(&b, "/rel");
    ck_assert_msg(!g.err.code, "%s", g.err.text);
    ck_assert_str_eq(buf_cstr(&g.body), "there");
    ck_assert_str_eq(g.url, test_server_url(other, "/x"));
    ck_assert_int_eq(g.attempts, 1);
    buf_release(&g.body);
    g = get(&b, "/space");
    ck_assert_str_eq(buf_cstr(&g.body), "spaced");
    buf_release(&g.body);
    g = get(&b, "/loop");
    ck_assert_int_eq(g.err.code, ERR_REGISTRY_REFUSED);
    ck_assert_int_eq(test_server_hits(b.server, "/loop"), 11);
    g = get(&b, "/file");
    ck_assert_int_eq(g.err.code, ERR_REGISTRY_REFUSED);
    bench_release(&b);
    test_server_free(other);
}
END_TEST

static bool give_token(void *ctx, const char *url, struct buf *out)
{
    return url_same_origin(span_str(ctx), span_str(url)) && buf_str(out, "Bearer sesame");
}

START_TEST(credentials_go_to_their_origin_only)
{
    struct bench b;
    struct test_server *other = test_server_new(), *owner = test_server_new();
    char location[200], url[200];
    struct http_options o = quick;
    o.credentials = give_token;
    o.credentials_ctx = (void *)test_server_url(owner, "/");
    bench_init(&b, &o);
    test_server_add(other, "/x", &(struct test_answer){.status = 403});
    snprintf(location, sizeof(location), "Location: %s\r\n", test_server_url(other, "/x"));
    test_server_add(owner, "/to", &(struct test_answer){.status = 302, .headers = location});
    struct got g = get(&b, test_server_url(owner, "/to"));
    ck_assert_int_eq(g.err.code, ERR_REGISTRY_REFUSED);
    ck_assert_str_eq(test_server_header(owner, "/to", 0, "Authorization"), "Bearer sesame");
    ck_assert_ptr_null(test_server_header(other, "/x", 0, "Authorization"));
    /* A URL's own. */
    test_server_add(b.server, "/me", &(struct test_answer){.status = 302, .headers = location});
    snprintf(url, sizeof(url), "http://us%%40er:p%%3Ass@%s", test_server_url(b.server, "/me") + 7);
    g = get(&b, url);
    ck_assert_str_eq(test_server_header(b.server, "/me", 0, "Authorization"),
                     "Basic dXNAZXI6cDpzcw==");
    ck_assert_ptr_null(test_server_header(other, "/x", 1, "Authorization"));
    ck_assert_int_eq(g.err.code, ERR_REGISTRY_REFUSED);
    ck_assert(!strstr(g.err.text, "us@er") && !strstr(g.url, "ss@"));
    bench_release(&b);
    test_server_free(other);
    test_server_free(owner);
}
END_TEST

START_TEST(few_connections_serve_many_requests_by_priority)
{
    struct bench b;
    struct http_options o = quick;
    o.max_http1_per_host = 1;
    bench_init(&b, &o);
    static const int priority[] = {0, 5, 1, 9, 5, 1};
    struct got g[6] = {0};
    for (int i = 0; i < 6; i++) {
        char path[8];
        snprintf(path, sizeof(path), "/%d", i);
        test_server_add(b.server, path, &(struct test_answer){.body = SPAN("x")});
        got_start(&b, &g[i], (struct http_get){.priority = priority[i]}, path);
    }
    bench_run(&b);
    ck_assert_str_eq(test_server_order(b.server), "/3 /1 /4 /2 /5 /0");
    ck_assert_int_eq(test_server_connections(b.server), 1);
    for (int i = 0; i < 6; i++)
        buf_release(&g[i].body);
    bench_release(&b);
}
END_TEST

START_TEST(connections_to_a_host_are_bounded)
{
    struct bench b;
    bench_init(&b, &quick);
    enum { N = 60 };
    static struct got g[N];
    test_server_add(b.server, "/a", &(struct test_answer){.body = pattern(2000), .delay_ms = 2});
    for (int i = 0; i < N; i++)
        got_start(&b, &g[i], (struct http_get){0}, "/a");
    bench_run(&b);
    for (int i = 0; i < N; i++) {
        ck_assert(!g[i].err.code && g[i].body.len == 2000 && g[i].calls == 1);
        buf_release(&g[i].body);
    }
    ck_assert(test_server_most_at_once(b.server) <= 6);
    bench_release(&b);
}
END_TEST

START_TEST(a_deadline_ends_it_whatever_happens)
{
    struct bench b;
    struct http_options o = quick;
    o.stall_timeout_ms = 10000;
    bench_init(&b, &o);
    test_server_add(b.server, "/stall",
                    &(struct test_answer){.body = pattern(100), .fault = FAULT_STALL, .at = 10});
    test_server_add(
        b.server, "/drip",
        &(struct test_answer){.body = pattern(100000), .fault = FAULT_DRIP, .delay_ms = 5});
    test_server_add(b.server, "/busy", &(struct test_answer){.status = 503});
    static const char *const paths[] = {"/stall", "/drip", "/busy"};
    for (size_t i = 0; i < COUNT(paths); i++) {
        uint64_t began = uv_hrtime();
        struct got g = get_with(&b, paths[i], (struct http_get){.deadline_ms = 100});
        ck_assert(g.err.code == ERR_TIMEOUT || g.err.code == ERR_REGISTRY);
        ck_assert((uv_hrtime() - began) / 1000000 < 5000);
        buf_release(&g.body);
    }
    bench_release(&b);
}
END_TEST

START_TEST(cancelling_works_in_every_state)
{
    struct bench b;
    struct http_options o = quick;
    o.max_http1_per_host = 1;
    bench_init(&b, &o);
    test_server_add(b.server, "/stall",
                    &(struct test_answer){.body = pattern(1000), .fault = FAULT_STALL, .at = 500});
    test_server_add(b.server, "/big", &(struct test_answer){.body = pattern(1u << 20)});
    struct got active = {0}, waiting = {0}, inside = {.cancel_after = 1000};
    got_start(&b, &active, (struct http_get){0}, "/stall");
    got_start(&b, &waiting, (struct http_get){0}, "/stall");
    while (test_server_all_hits(b.server) == 0)
        uv_run(&b.loop, UV_RUN_NOWAIT);
    http_cancel(active.request);
    http_cancel(waiting.request);
    ck_assert(active.calls == 0 && waiting.calls == 0);
    bench_run(&b);
    ck_assert(active.err.code == ERR_CANCELLED && waiting.err.code == ERR_CANCELLED);
    got_start(&b, &inside, (struct http_get){.on_data = on_data}, "/big");
    bench_run(&b);
    ck_assert_int_eq(inside.err.code, ERR_CANCELLED);
    ck_assert(inside.body.len < 1u << 20);
    /* At once, and with a client that closes. */
    struct got fresh = {0}, closing = {0};
    got_start(&b, &fresh, (struct http_get){0}, "/big");
    http_cancel(fresh.request);
    bench_run(&b);
    ck_assert_int_eq(fresh.err.code, ERR_CANCELLED);
    got_start(&b, &closing, (struct http_get){0}, "/big");
    struct got *all[] = {&active, &waiting, &inside, &fresh, &closing};
    bench_release(&b);
    for (size_t i = 0; i < COUNT(all); i++) {
        ck_assert_int_eq(all[i]->calls, 1);
        buf_release(&all[i]->body);
    }
    ck_assert_int_eq(closing.err.code, ERR_CANCELLED);
}
END_TEST

START_TEST(unreachable_hosts_and_bad_urls_are_told_apart)
{
    struct bench b;
    bench_init(&b, &quick);
    struct test_server *gone = test_server_new();
    char url[100];
    snprintf(url, sizeof(url), "%s", test_server_url(gone, "/x?secret=1"));
    test_server_free(gone);
    struct got g = get(&b, url);
    ck_assert_int_eq(g.err.code, ERR_NETWORK);
    ck_assert_msg(strstr(g.err.text, "127.0.0.1") && !strstr(g.err.text, "secret"), "%s",
                  g.err.text);
    static const char *const bad[] = {"file:///etc/passwd", "http://", "nonsense", "http://a b/"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        g = get(&b, bad[i]);
        ck_assert_int_eq(g.err.code, ERR_INVALID);
    }
    bench_release(&b);
    struct http_options o = quick;
    o.offline = true;
    bench_init(&b, &o);
    g = get(&b, "/a");
    ck_assert_int_eq(g.err.code, ERR_OFFLINE);
    ck_assert_int_eq(test_server_connections(b.server), 0);
    bench_release(&b);
}
END_TEST

START_TEST(proxies_come_from_the_environment)
{
    static const char *const names[] = {"http_proxy", "HTTP_PROXY", "ALL_PROXY"};
    for (size_t i = 0; i < COUNT(names); i++) {
        struct bench b;
        struct test_server *proxy = test_server_new();
        test_server_add(proxy, "http://registry.example.com/x?q",
                        &(struct test_answer){.body = SPAN("through the proxy")});
        setenv(names[i], test_server_url(proxy, ""), 1);
        setenv("NO_PROXY", "127.0.0.1,other.example.com", 1);
        bench_init(&b, &quick);
        test_server_add(b.server, "/a", &(struct test_answer){.body = SPAN("direct")});
        struct got g = get(&b, "http://registry.example.com/x?q");
        ck_assert_msg(!g.err.code, "%s: %s", names[i], g.err.text);
        ck_assert_str_eq(buf_cstr(&g.body), "through the proxy");
        buf_release(&g.body);
        g = get(&b, "/a");
        ck_assert_str_eq(buf_cstr(&g.body), "direct");
        buf_release(&g.body);
        bench_release(&b);
        test_server_free(proxy);
        forget_proxies();
    }
}
END_TEST

START_TEST(an_idle_client_keeps_no_loop_alive)
{
    struct bench b;
    struct http_options o = quick;
    o.stall_timeout_ms = 60000;
    bench_init(&b, &o);
    test_server_add(b.server, "/a", &(struct test_answer){.body = SPAN("x")});
    uv_run(&b.loop, UV_RUN_DEFAULT);
    struct got g = get(&b, "/a");
    uint64_t began = uv_hrtime();
    uv_run(&b.loop, UV_RUN_DEFAULT);
    ck_assert((uv_hrtime() - began) / 1000000 < 5000);
    buf_release(&g.body);
    bench_release(&b);
}
END_TEST

START_TEST(headers_of_ours_cannot_be_smuggled_in)
{
    struct bench b;
    bench_init(&b, &quick);
    test_server_add(b.server, "/a", &(struct test_answer){.body = SPAN("x")});
    struct got g = get_with(&b, "/a",
                            (struct http_get){.if_none_match = "\"a\"\r\nX-Evil: 1",
                                              .accept = "text/plain\nX-Evil: 2"});
    ck_assert(!g.err.code);
    ck_assert_ptr_null(test_server_header(b.server, "/a", 0, "X-Evil"));
    buf_release(&g.body);
    bench_release(&b);
}
END_TEST

START_TEST(a_connection_is_opened_ahead)
{
    struct bench b;
    bench_init(&b, &quick);
    test_server_add(b.server, "/a", &(struct test_answer){.body = SPAN("x")});
    http_preconnect(b.client, test_server_url(b.server, "/"));
    while (test_server_all_hits(b.server) == 0)
        uv_run(&b.loop, UV_RUN_NOWAIT);
    for (int i = 0; i < 20; i++) {
        uv_run(&b.loop, UV_RUN_NOWAIT);
        uv_sleep(1);
    }
    struct got g = get(&b, "/a");
    ck_assert(!g.err.code);
    ck_assert_int_eq(test_server_connections(b.server), 1);
    buf_release(&g.body);
    bench_release(&b);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("http");
    TCase *tc = tcase_create("http");
    forget_proxies();
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, gets_a_body_and_its_headers);
    tcase_add_loop_test(tc, a_status_is_an_answer_an_error_or_worth_a_retry, 0,
                        COUNT(status_cases));
    tcase_add_test(tc, recovers_from_errors_that_pass);
    tcase_add_test(tc, retry_after_is_honoured_or_given_up_on);
    tcase_add_test(tc, redirects_are_followed_within_limits);
    tcase_add_test(tc, credentials_go_to_their_origin_only);
    tcase_add_test(tc, few_connections_serve_many_requests_by_priority);
    tcase_add_test(tc, connections_to_a_host_are_bounded);
    tcase_add_test(tc, a_deadline_ends_it_whatever_happens);
    tcase_add_test(tc, cancelling_works_in_every_state);
    tcase_add_test(tc, unreachable_hosts_and_bad_urls_are_told_apart);
    tcase_add_test(tc, proxies_come_from_the_environment);
    tcase_add_test(tc, an_idle_client_keeps_no_loop_alive);
    tcase_add_test(tc, headers_of_ours_cannot_be_smuggled_in);
    tcase_add_test(tc, a_connection_is_opened_ahead);
    suite_add_tcase(s, tc);
    return s;
}
