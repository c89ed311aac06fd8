/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "base/mem.h"
#include "tests/support/http_server.h"
#include "tests/test_main.h"
#include "worker/remote/remote.h"

#define ID     "bld_abc123"
#define BUILD  "/v1/builds/" ID
#define EVENTS BUILD "/events"
#define DIGEST "sha256:1111111111111111111111111111111111111111111111111111111111111111"

#define QUEUED  "{\"id\":\"" ID "\",\"status\":\"queued\",\"joined\":false}"
#define RUNNING "{\"id\":\"" ID "\",\"status\":\"running\"}"
#define DONE                                                                                       \
    "{\"id\":\"" ID "\",\"status\":\"succeeded\",\"artifact\":\"" DIGEST "\",\"cached\":true,"     \
    "\"warnings\":[\"w\\u001b[2J\"],\"new_member\":[1.5,{}],\"managers\":{\"pip\":{\"phase\":"     \
    "\"done\",\"units\":3,\"received\":-7},\"conda\":{\"phase\":\"x\"}}}"

static struct buf lines;

static void on_line(void *ctx, enum log_level level, const char *text)
{
    (void)ctx;
    if (level <= LOG_INFO)
        buf_printf(&lines, "%s: %s\n", log_level_name(level), text);
}

struct scene {
    uv_loop_t loop;
    struct test_server *server;
    struct remote *remote;
    struct log log;
    bool done;
    struct remote_build *build;
};

static void scene_init(struct scene *s)
{
    static const char *const proxies[] = {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"};
    struct err err = {0};
    for (size_t i = 0; i < COUNT(proxies); i++)
        unsetenv(proxies[i]);
    *s = (struct scene){.server = test_server_new(), .log = {LOG_DEBUG, on_line, NULL}};
    lines = BUF(1u << 20);
    uv_loop_init(&s->loop);
    s->remote = remote_new(&s->loop,
                           &(struct remote_options){.url = test_server_url(s->server, "/"),
                                                    .api_key = "sk-hush",
                                                    .log = &s->log,
                                                    .stall_ms = 300,
                                                    .patience_ms = 600,
                                                    .backoff_ms = 5},
                           &err);
    ck_assert_msg(s->remote != NULL, "%s", err.text);
}

static void on_done(struct remote_build *b, void *ctx)
{
    struct scene *s = ctx;
    (void)b;
    ck_assert(!s->done);
    s->done = true;
}

static void start(struct scene *s)
{
    AUTO_JSON json_t *config =
        json_pack("{s:s, s:{s:[s], s:[]}}", "type", "cloud", "packages", "pip", "six", "npm");
    s->build = remote_build_start(
        s->remote, &(struct remote_request){.config = config, .priority = "interactive"}, on_done,
        s);
    ck_assert(!s->done);
}

static const struct remote_result *finish(struct scene *s)
{
    while (!s->done)
        uv_run(&s->loop, UV_RUN_ONCE);
    return remote_build_result(s->build);
}

static void scene_release(struct scene *s)
{
    remote_build_free(s->build);
    remote_free(s->remote);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&s->loop), 0);
    test_server_free(s->server);
    buf_release(&lines);
}

static void answer(struct scene *s, const char *path, int status, const char *body)
{
    test_server_add(s->server, path,
                    &(struct test_answer){.status = status, .body = span_str(body)});
}

START_TEST(follows_a_build_to_its_end)
{
    struct scene s;
    const struct build_progress *list;
    scene_init(&s);
    answer(&s, "/v1/builds", 202, QUEUED);
    answer(&s, EVENTS, 200,
           "retry: 1000\n\nid: 1\nevent: log\ndata: "
           "{\"level\":\"warning\",\"line\":\"hello\\u009b\"}\n\n"
           "event: progress\ndata: {\"pip\":{\"phase\":\"fetch\",\"units\":9}}\n\n"
           "id: 2\nevent: of_the_future\ndata: what\n\nid: 3\nevent: phase\ndata: []\n\n"
           "id: 4\nevent: result\ndata: {\"status\":\"succeeded\"}\n\n");
    answer(&s, BUILD, 200, DONE);
    start(&s);
    ck_assert_uint_eq(remote_build_progress(s.build, &list), 1);
    const struct remote_result *r = finish(&s);
    ck_assert_msg(!r->err.code, "%s", r->err.text);
    char text[DIGEST_TEXT_SIZE];
    ck_assert_str_eq(digest_text(&r->artifact, text), DIGEST);
    ck_assert(r->cached && json_array_size(r->warnings) == 1);
    ck_assert_str_eq(json_string_value(json_array_get(r->warnings, 0)), "w?[2J");
    ck_assert_int_eq(list[0].phase, PHASE_DONE);
    ck_assert_uint_eq(list[0].units, 3);
    ck_assert_uint_eq(list[0].received, 0); /* nonsense is nothing */
    ck_assert_msg(strstr(buf_cstr(&lines), ": hello??\n") != NULL, "%s", buf_cstr(&lines));
    ck_assert_str_eq(test_server_header(s.server, "/v1/builds", 0, "Authorization"),
                     "Bearer sk-hush");
    const char *sent = test_server_request(s.server, "/v1/builds", 0);
    ck_assert_ptr_nonnull(strstr(sent, "\"priority\":\"interactive\""));
    ck_assert_int_eq(strlen(test_server_header(s.server, "/v1/builds", 0, "idempotency-key")), 36);
    ck_assert_ptr_null(test_server_header(s.server, EVENTS, 0, "last-event-id"));
    scene_release(&s);
}
END_TEST

static const struct {
    const char *what;
    enum test_fault fault;
    bool chunked;
} breaks[] = {
    {"cut", FAULT_CUT, true},

    {"stalled", FAULT_STALL, true},
    {"ended", FAULT_NONE, true},
};

START_TEST(a_broken_stream_goes_on_after_the_last_event)
{
    static const char first[] =
        "id: 1\nevent: log\ndata: {\"line\":\"one\"}\n\n"
        "id: 2\nevent: log\ndata: {\"line\":\"two\"}\n\nid: 3\nevent: log\n";
    struct scene s;
    scene_init(&s);
    answer(&s, "/v1/builds", 202, QUEUED);
    test_server_add(s.server, EVENTS,
                    &(struct test_answer){.body = span_str(first),
                                          .chunked = breaks[_i].chunked,
                                          .fault = breaks[_i].fault,
                                          .at = sizeof(first) - 1});
    answer(&s, EVENTS, 200,
           "id: 2\nevent: log\ndata: {\"line\":\"two\"}\n\n"
           "id: 3\nevent: log\ndata: {\"line\":\"three\"}\n\n");
    answer(&s, BUILD, 200, RUNNING);
    answer(&s, BUILD, 200, DONE);
    start(&s);
    const struct remote_result *r = finish(&s);
    ck_assert_msg(!r->err.code, "%s: %s", breaks[_i].what, r->err.text);
    ck_assert_str_eq(test_server_header(s.server, EVENTS, 1, "last-event-id"), "2");
    const char *at = strstr(buf_cstr(&lines), "info: one\ninfo: two\n");
    ck_assert_msg(at && strstr(at, "info: three\n"), "%s", buf_cstr(&lines));
    ck_assert_ptr_null(strstr(strstr(at, "two") + 1, "info: two"));
    scene_release(&s);
}
END_TEST

static const struct {
    int status;
    const char *headers, *body, *says;
    enum err_code code;
    int exit_status;
} refusals[] = {
    {401, NULL,
     "{\"error\":{\"message\":\"no\\u0007\",\"details\":{\"error_code\":\"invalid_api_key\"}}}",
     "no? [invalid_api_key]", ERR_DENIED, 1},
    {400, NULL, "{\"error\":{\"message\":\"config.packages.pip[0]: bad\"}}", "pip[0]: bad",
     ERR_INVALID, 2},
    {404, NULL, "<html>nothing here</html>", "build-worker", ERR_NOT_FOUND, 1},
    {405, NULL, "", "build-worker", ERR_NOT_FOUND, 1},
    {429, "Retry-After: 3600\r\n", "{\"error\":{\"message\":\"too many queued\"}}",
     "too many queued", ERR_QUOTA, 1},
    {429, NULL, "{\"error\":{\"message\":\"too many queued\"}}", "too many queued", ERR_QUOTA, 1},
    {529, NULL, "{\"error\":{\"message\":\"full\"}}", "full", ERR_BUSY, 1},
    {500, NULL, "{\"error\":{\"message\":\"broken\"}}", "broken", ERR_NETWORK, 4},
    {502, NULL, "<html>a proxy</html>", "502", ERR_NETWORK, 4},
    {200, NULL, "<html>welcome</html>", "build-worker", ERR_NETWORK, 4},
    {200, NULL, "", "build-worker", ERR_NETWORK, 4},
    {200, NULL, "{\"id\":\"../../../etc\",\"status\":\"queued\"}", "build-worker", ERR_NETWORK, 4},
    {200, NULL, "{\"id\":7,\"status\":[]}", "build-worker", ERR_NETWORK, 4},
    {200, NULL, "{\"id\":\"bld_a\",\"status\":\"succeeded\"}", "no artifact", ERR_NETWORK, 4},
    {200, NULL, "{\"id\":\"bld_a\",\"status\":\"failed\",\"failure\":{\"code\":\"of_the_future\"}}",
     "does not say", ERR_INTERNAL, 1},
    {200, NULL,
     "{\"id\":\"bld_a\",\"status\":\"failed\",\"failure\":{\"code\":\"build_script_failed\","
     "\"message\":\"m\"}}",
     "m", ERR_SCRIPT, 5},
    {302, "Location: /elsewhere\r\n", "", "302", ERR_REGISTRY_REFUSED, 4},
};

START_TEST(refusals_are_told_with_their_exit_status)
{
    struct scene s;
    scene_init(&s);
    test_server_add(s.server, "/v1/builds",
                    &(struct test_answer){.status = refusals[_i].status,
                                          .headers = refusals[_i].headers,
                                          .body = span_str(refusals[_i].body)});
    start(&s);
    const struct remote_result *r = finish(&s);
    ck_assert_msg(r->err.code == refusals[_i].code, "%d: %s", r->err.code, r->err.text);
    ck_assert_int_eq(err_exit_status(r->err.code), refusals[_i].exit_status);
    ck_assert_msg(strstr(r->err.text, refusals[_i].says) && !strstr(r->err.text, "sk-hush"), "%s",
                  r->err.text);
    ck_assert_int_eq(test_server_hits(s.server, "/elsewhere"), 0);
    scene_release(&s);
}
END_TEST

START_TEST(a_server_that_is_gone_is_given_up_on_in_time)
{
    struct scene s;
    scene_init(&s);
    answer(&s, "/v1/builds", 202, QUEUED);
    test_server_add(s.server, EVENTS, &(struct test_answer){.fault = FAULT_NO_ANSWER});
    test_server_add(s.server, BUILD, &(struct test_answer){.fault = FAULT_NO_ANSWER});
    start(&s);
    const struct remote_result *r = finish(&s);
    ck_assert_int_eq(r->err.code, ERR_NETWORK);
    ck_assert_msg(strstr(r->err.text, "build " ID " goes on there"), "%s", r->err.text);
    ck_assert_int_gt(test_server_hits(s.server, EVENTS), 2);
    scene_release(&s);
}
END_TEST

START_TEST(a_build_that_vanishes_ends_it)
{
    struct scene s;
    scene_init(&s);
    answer(&s, "/v1/builds", 202, QUEUED);
    answer(&s, BUILD, 404, "{\"error\":{\"message\":\"does not exist\"}}");
    start(&s);
    const struct remote_result *r = finish(&s);
    ck_assert_msg(r->err.code == ERR_NOT_FOUND && strstr(r->err.text, "does not exist"), "%s",
                  r->err.text);
    scene_release(&s);
}
END_TEST

static void on_soon(uv_timer_t *t)
{
    struct scene *s = t->data;
    remote_build_cancel(s->build);
    remote_build_cancel(s->build);
}

static const struct {
    const char *made;
    int cancel_status;
    const char *says;
    int cancels;
} interrupts[] = {
    {QUEUED, 200, "is cancelled", 1},
    {QUEUED, 409, "is cancelled", 1}, /* it has just ended */
    {QUEUED, 500, "goes on", 2},
    {"{\"id\":\"" ID "\",\"status\":\"running\",\"joined\":true}", 200, "under way before", 0},
};

START_TEST(an_interrupt_cancels_what_is_ours)
{
    struct scene s;
    uv_timer_t soon;
    scene_init(&s);
    answer(&s, "/v1/builds", 202, interrupts[_i].made);
    test_server_add(
        s.server, EVENTS,
        &(struct test_answer){
            .body = SPAN(": hello\n\n"), .chunked = true, .fault = FAULT_STALL, .at = 9});
    answer(&s, BUILD "/cancel", interrupts[_i].cancel_status, RUNNING);
    start(&s);
    uv_timer_init(&s.loop, &soon);
    soon.data = &s;
    uv_timer_start(&soon, on_soon, 100, 0);
    const struct remote_result *r = finish(&s);
    ck_assert_int_eq(r->err.code, ERR_CANCELLED);
    ck_assert_msg(strstr(r->err.text, interrupts[_i].says), "%s", r->err.text);
    ck_assert_int_eq(test_server_hits(s.server, BUILD "/cancel"), interrupts[_i].cancels);
    uv_close((uv_handle_t *)&soon, NULL);
    scene_release(&s);
}
END_TEST

START_TEST(an_interrupt_before_the_answer_cancels_what_it_brings)
{
    struct scene s;
    scene_init(&s);
    test_server_add(s.server, "/v1/builds",
                    &(struct test_answer){.status = 202, .body = SPAN(QUEUED), .delay_ms = 100});
    answer(&s, BUILD "/cancel", 200, RUNNING);
    start(&s);
    remote_build_cancel(s.build);
    ck_assert(!s.done);
    const struct remote_result *r = finish(&s);
    ck_assert_int_eq(r->err.code, ERR_CANCELLED);
    ck_assert_int_eq(test_server_hits(s.server, BUILD "/cancel"), 1);
    scene_release(&s);
}
END_TEST

START_TEST(the_key_does_not_follow_a_redirect_to_another_host)
{
    struct scene s;
    struct test_server *other = test_server_new();
    char location[200];
    snprintf(location, sizeof(location), "Location: %s\r\n", test_server_url(other, "/x"));
    test_server_add(other, "/x", &(struct test_answer){.body = SPAN(DONE)});
    scene_init(&s);
    answer(&s, "/v1/builds", 202, QUEUED);
    test_server_add(s.server, BUILD, &(struct test_answer){.status = 302, .headers = location});
    start(&s);
    finish(&s);
    ck_assert_int_eq(test_server_hits(other, "/x"), 1);
    ck_assert_ptr_null(test_server_header(other, "/x", 0, "Authorization"));
    scene_release(&s);
    test_server_free(other);
}
END_TEST

START_TEST(what_is_no_server_and_no_key_is_refused)
{
    static const struct {
        const char *url, *key, *says;
    } bad[] = {
        {"", NULL, "http://"},
        {"example.com:8470", NULL, "http://"},
        {"ftp://example.com", NULL, "not an http"},
        {"http://u:p@example.com", NULL, "STRATA_API_KEY"},
        {"http://example.com/?a", NULL, "no query"},
        {"http://example.com/#a", NULL, "fragment"},
        {"http://exa mple.com", NULL, "not an http"},
        {"http://example.com", "", "empty"},
        {"http://example.com", "a\nb", "characters"},
        {"http://example.com", "caf\xc3\xa9", "characters"},
    };
    uv_loop_t loop;
    uv_loop_init(&loop);
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct err err = {0};
        struct remote_options o = {.url = bad[i].url, .api_key = bad[i].key};
        ck_assert_ptr_null(remote_new(&loop, &o, &err));
        ck_assert_msg(err.code == ERR_USAGE && strstr(err.text, bad[i].says), "%s: %s", bad[i].url,
                      err.text);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("remote");
    TCase *tc = tcase_create("remote");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, follows_a_build_to_its_end);
    tcase_add_loop_test(tc, a_broken_stream_goes_on_after_the_last_event, 0, COUNT(breaks));
    tcase_add_loop_test(tc, refusals_are_told_with_their_exit_status, 0, COUNT(refusals));
    tcase_add_test(tc, a_server_that_is_gone_is_given_up_on_in_time);
    tcase_add_test(tc, a_build_that_vanishes_ends_it);
    tcase_add_loop_test(tc, an_interrupt_cancels_what_is_ours, 0, COUNT(interrupts));
    tcase_add_test(tc, an_interrupt_before_the_answer_cancels_what_it_brings);
    tcase_add_test(tc, the_key_does_not_follow_a_redirect_to_another_host);
    tcase_add_test(tc, what_is_no_server_and_no_key_is_refused);
    suite_add_tcase(s, tc);
    return s;
}
