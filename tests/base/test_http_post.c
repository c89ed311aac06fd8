/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/base/http_bench.h"

static const struct http_field fields[] = {{"X-One", "1"}, {"X-Two", "two\r\nX-Three: 3"}};

static struct http_get post_of(struct span content)
{
    return (struct http_get){
        .post = true, .content = content, .fields = fields, .field_count = COUNT(fields)};
}

START_TEST(posts_a_body_with_its_headers)
{
    struct bench b;
    bench_init(&b, &quick);
    test_server_add(b.server, "/p", &(struct test_answer){.status = 202, .body = SPAN("made")});
    struct got g = get_with(&b, "/p", post_of(SPAN("{\"a\":1}")));
    ck_assert_msg(!g.err.code && g.status == 202, "%s", g.err.text);
    ck_assert_str_eq(buf_cstr(&g.body), "made");
    const char *sent = test_server_request(b.server, "/p", 0);
    ck_assert_msg(strncmp(sent, "POST /p HTTP/1.1\r\n", 18) == 0, "%s", sent);
    ck_assert_msg(strstr(sent, "\r\n\r\n{\"a\":1}") != NULL, "%s", sent);
    ck_assert_str_eq(test_server_header(b.server, "/p", 0, "Content-Type"), "application/json");
    ck_assert_str_eq(test_server_header(b.server, "/p", 0, "X-One"), "1");
    ck_assert_msg(!strstr(sent, "X-Three") && !strstr(sent, "Expect"), "%s", sent);
    buf_release(&g.body);
    /* The handle that posted is used again for what gets. */
    g = get(&b, "/p");
    ck_assert_int_eq(strncmp(test_server_request(b.server, "/p", 1), "GET /p ", 7), 0);
    ck_assert_ptr_null(strstr(test_server_request(b.server, "/p", 1), "Content-"));
    buf_release(&g.body);
    bench_release(&b);
}
END_TEST

START_TEST(an_empty_post_has_a_length)
{
    struct bench b;
    bench_init(&b, &quick);
    test_server_add(b.server, "/p", &(struct test_answer){.status = 200});
    struct got g = get_with(&b, "/p", post_of(SPAN("")));
    ck_assert_msg(!g.err.code, "%s", g.err.text);
    ck_assert_str_eq(test_server_header(b.server, "/p", 0, "Content-Length"), "0");
    bench_release(&b);
}
END_TEST

START_TEST(a_post_is_sent_again_whole)
{
    struct bench b;
    bench_init(&b, &quick);
    char big[40000];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    test_server_add(b.server, "/p", &(struct test_answer){.status = 503});
    test_server_add(b.server, "/p", &(struct test_answer){.fault = FAULT_NO_ANSWER});
    test_server_add(b.server, "/p", &(struct test_answer){.body = SPAN("ok")});
    struct got g = get_with(&b, "/p", post_of(span_str(big)));
    ck_assert_msg(!g.err.code, "%s", g.err.text);
    for (int i = 0; i < 3; i++)
        ck_assert_ptr_nonnull(strstr(test_server_request(b.server, "/p", i), big));
    buf_release(&g.body);
    bench_release(&b);
}
END_TEST

START_TEST(a_post_follows_no_redirect)
{
    struct bench b;
    bench_init(&b, &quick);
    test_server_add(b.server, "/p",
                    &(struct test_answer){.status = 307, .headers = "Location: /q\r\n"});
    test_server_add(b.server, "/q", &(struct test_answer){.status = 200});
    struct got g = get_with(&b, "/p", post_of(SPAN("{}")));
    ck_assert_int_eq(g.err.code, ERR_REGISTRY_REFUSED);
    ck_assert_int_eq(test_server_hits(b.server, "/q"), 0);
    bench_release(&b);
}
END_TEST

START_TEST(fields_stay_with_their_origin)
{
    struct bench b;
    bench_init(&b, &quick);
    struct test_server *other = test_server_new();
    char location[200];
    snprintf(location, sizeof(location), "Location: %s\r\n", test_server_url(other, "/x"));
    test_server_add(other, "/x", &(struct test_answer){.body = SPAN("there")});
    test_server_add(b.server, "/a", &(struct test_answer){.status = 302, .headers = location});
    struct got g = get_with(&b, "/a", (struct http_get){.fields = fields, .field_count = 1});
    ck_assert_msg(!g.err.code, "%s", g.err.text);
    ck_assert_str_eq(test_server_header(b.server, "/a", 0, "X-One"), "1");
    ck_assert_ptr_null(test_server_header(other, "/x", 0, "X-One"));
    buf_release(&g.body);
    bench_release(&b);
    test_server_free(other);
}
END_TEST

START_TEST(any_status_makes_refusals_answers)
{
    struct bench b;
    bench_init(&b, &quick);
    test_server_add(b.server, "/p", &(struct test_answer){.status = 409, .body = SPAN("why")});
    test_server_add(b.server, "/s", &(struct test_answer){.status = 500, .body = SPAN("why")});
    struct got g = get_with(&b, "/p", (struct http_get){.any_status = true});
    ck_assert_msg(!g.err.code && g.status == 409, "%s", g.err.text);
    ck_assert_str_eq(buf_cstr(&g.body), "why");
    buf_release(&g.body);
    g = get_with(&b, "/s", (struct http_get){.any_status = true, .attempts = 2});
    ck_assert_int_eq(g.err.code, ERR_REGISTRY);
    ck_assert_int_eq(g.attempts, 2);
    ck_assert_str_eq(buf_cstr(&g.body), "why");
    buf_release(&g.body);
    bench_release(&b);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("http_post");
    TCase *tc = tcase_create("post");
    forget_proxies();
    tcase_add_test(tc, posts_a_body_with_its_headers);
    tcase_add_test(tc, an_empty_post_has_a_length);
    tcase_add_test(tc, a_post_is_sent_again_whole);
    tcase_add_test(tc, a_post_follows_no_redirect);
    tcase_add_test(tc, fields_stay_with_their_origin);
    tcase_add_test(tc, any_status_makes_refusals_answers);
    suite_add_tcase(s, tc);
    return s;
}
