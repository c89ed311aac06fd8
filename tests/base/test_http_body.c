/* SPDX-License-Identifier: Apache-2.0 */
#include <zlib.h>

#include "tests/base/http_bench.h"

/* What breaks a body, at which byte, with and without a validator: whole in the end. */
static const struct {
    enum test_fault fault;
    uint64_t at;
    bool validator, chunked, stream;
} break_cases[] = {
    {FAULT_CUT, 1000, true, false, false},        {FAULT_CUT, 1000, false, false, false},
    {FAULT_CUT, 0, true, false, false},           {FAULT_CUT, 1000, true, true, false},
    {FAULT_CUT, 70000, true, false, true},        {FAULT_CUT, 70000, false, true, true},
    {FAULT_RESET, 70000, true, false, true},      {FAULT_STALL, 0, true, false, false},
    {FAULT_STALL, 70000, true, false, true},      {FAULT_STALL, 70000, false, false, true},
    {FAULT_HALF_CLOSE, 70000, true, false, true}, {FAULT_HALF_CLOSE, 500, false, true, false},
};

START_TEST(a_broken_body_is_completed)
{
    struct bench b;
    bench_init(&b, &quick);
    struct test_answer a = {.body = pattern(200000), .ranges = true};
    a.etag = break_cases[_i].validator ? "\"v1\"" : NULL;
    a.chunked = break_cases[_i].chunked;
    struct test_answer broken = a;
    broken.fault = break_cases[_i].fault;
    broken.at = break_cases[_i].at;
    test_server_add(b.server, "/f", &broken);
    test_server_add(b.server, "/f", &broken);
    test_server_add(b.server, "/f", &a);
    struct got g = get_with(
        &b, "/f",
        (struct http_get){.raw = true, .on_data = break_cases[_i].stream ? on_data : NULL});
    ck_assert_msg(!g.err.code, "%s", g.err.text);
    ck_assert(span_eq(buf_span(&g.body), a.body));
    ck_assert(g.status == 200 && !g.content_range[0]);
    ck_assert_str_eq(g.etag, a.etag ? a.etag : "");
    if (!a.chunked)
        ck_assert_int_eq(g.total, a.body.len);
    const char *range = test_server_header(b.server, "/f", 1, "Range");
    if (a.etag && broken.at &&
        broken.fault != FAULT_RESET) { /* a reset drops what was on the way */
        char want[40];
        snprintf(want, sizeof(want), "bytes=%llu-", (unsigned long long)broken.at);
        ck_assert_msg(range && strcmp(range, want) == 0, "%s", range ? range : "no range");
        ck_assert_str_eq(test_server_header(b.server, "/f", 1, "If-Range"), "\"v1\"");
    }
    if (!a.etag)
        ck_assert_ptr_null(range);
    buf_release(&g.body);
    bench_release(&b);
}
END_TEST

START_TEST(a_file_that_changed_is_read_anew)
{
    struct bench b;
    bench_init(&b, &quick);
    struct test_answer old = {.body = pattern(90000), .ranges = true, .etag = "\"old\""};
    old.fault = FAULT_CUT;
    old.at = 80000;
    test_server_add(b.server, "/f", &old);
    test_server_add(
        b.server, "/f",
        &(struct test_answer){.body = SPAN("shorter now"), .ranges = true, .etag = "\"new\""});
    struct got g = get_with(&b, "/f", (struct http_get){.raw = true, .on_data = on_data});
    ck_assert_msg(!g.err.code, "%s", g.err.text);
    ck_assert_str_eq(buf_cstr(&g.body), "shorter now");
    ck_assert_int_eq(g.restarts, 1);
    buf_release(&g.body);
    bench_release(&b);
}
END_TEST

START_TEST(a_server_that_sends_another_part_does_not_fool_us)
{
    struct bench b;
    bench_init(&b, &quick);
    struct test_answer a = {
        .body = pattern(90000), .etag = "\"v\"", .fault = FAULT_CUT, .at = 80000};
    test_server_add(b.server, "/f", &a);
    test_server_add(b.server, "/f",
                    &(struct test_answer){.status = 206,
                                          .body = pattern(9999),
                                          .headers = "Content-Range: bytes 80001-89999/90000\r\n"});
    struct got g = get_with(&b, "/f", (struct http_get){.raw = true, .on_data = on_data});
    ck_assert_int_eq(g.err.code, ERR_REGISTRY);
    buf_release(&g.body);
    bench_release(&b);
}
END_TEST

START_TEST(a_claimed_length_that_is_wrong_is_an_error)
{
    struct bench b;
    bench_init(&b, &quick);
    test_server_add(
        b.server, "/long",
        &(struct test_answer){.body = SPAN("abc"), .length = 10, .fault = FAULT_CUT, .at = 3});
    struct got g = get(&b, "/long");
    ck_assert_int_eq(g.err.code, ERR_NETWORK);
    ck_assert_msg(strstr(g.err.text, "broke off"), "%s", g.err.text);
    buf_release(&g.body);
    /* Too short a claim: the rest is no body of ours, and the connection is not used again. */
    test_server_add(b.server, "/short", &(struct test_answer){.body = SPAN("abcdef"), .length = 3});
    g = get(&b, "/short");
    ck_assert_str_eq(buf_cstr(&g.body), "abc");
    buf_release(&g.body);
    test_server_add(b.server, "/next", &(struct test_answer){.body = SPAN("next")});
    g = get(&b, "/next");
    ck_assert_msg(!g.err.code, "%s", g.err.text);
    ck_assert_str_eq(buf_cstr(&g.body), "next");
    buf_release(&g.body);
    bench_release(&b);
}
END_TEST

START_TEST(garbage_is_a_network_error)
{
    struct bench b;
    bench_init(&b, &quick);
    test_server_add(
        b.server, "/g",
        &(struct test_answer){.body = SPAN("SSH-2.0-x\r\n\r\n"), .fault = FAULT_GARBAGE});
    struct got g = get(&b, "/g");
    ck_assert_int_eq(g.err.code, ERR_NETWORK);
    bench_release(&b);
}
END_TEST

START_TEST(a_ceiling_holds_told_or_not)
{
    struct bench b;
    bench_init(&b, &quick);
    test_server_add(b.server, "/told", &(struct test_answer){.body = pattern(5001)});
    test_server_add(b.server, "/untold",
                    &(struct test_answer){.body = pattern(5001), .chunked = true});
    test_server_add(b.server, "/end",
                    &(struct test_answer){.body = pattern(5000), .no_length = true});
    static const char *const paths[] = {"/told", "/untold"};
    for (int i = 0; i < 4; i++) {
        struct got g =
            get_with(&b, paths[i % 2],
                     (struct http_get){.max_bytes = 5000, .on_data = i < 2 ? on_data : NULL});
        ck_assert_int_eq(g.err.code, ERR_TOO_LARGE);
        ck_assert(g.body.len <= 5000);
        buf_release(&g.body);
    }
    struct got g = get_with(&b, "/end", (struct http_get){.max_bytes = 5000});
    ck_assert(!g.err.code && g.body.len == 5000);
    buf_release(&g.body);
    ck_assert_int_eq(test_server_all_hits(b.server), 5);
    bench_release(&b);
}
END_TEST

static struct span gzipped(struct span bytes, struct buf *out)
{
    z_stream z = {0};
    ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    *out = BUF(8u << 20);
    char *to = buf_room(out, 1u << 20);
    z.next_in = (Bytef *)bytes.ptr;
    z.avail_in = (uInt)bytes.len;
    z.next_out = (Bytef *)to;
    z.avail_out = 1u << 20;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->len = z.total_out;
    deflateEnd(&z);
    return buf_span(out);
}

START_TEST(coded_bodies_are_decoded_under_the_ceiling_and_raw_ones_left_alone)
{
    struct bench b;
    bench_init(&b, &quick);
    AUTO_FREE char *zeros = mem_alloc(4u << 20);
    AUTO_BUF struct buf bomb = {0}, small = {0};
    struct span text = SPAN("a text that was coded on the way");
    test_server_add(b.server, "/z",
                    &(struct test_answer){.body = gzipped(text, &small),
                                          .headers = "Content-Encoding: gzip\r\n"});
    test_server_add(b.server, "/bomb",
                    &(struct test_answer){.body = gzipped(span_of(zeros, 4u << 20), &bomb),
                                          .headers = "Content-Encoding: gzip\r\n"});
    struct got g = get(&b, "/z");
    ck_assert(!g.err.code && span_eq(buf_span(&g.body), text));
    ck_assert(strstr(test_server_header(b.server, "/z", 0, "Accept-Encoding"), "gzip"));
    buf_release(&g.body);
    g = get_with(&b, "/z", (struct http_get){.raw = true});
    ck_assert(!g.err.code && span_eq(buf_span(&g.body), buf_span(&small)));
    ck_assert_ptr_null(test_server_header(b.server, "/z", 1, "Accept-Encoding"));
    buf_release(&g.body);
    g = get_with(&b, "/bomb", (struct http_get){.max_bytes = 1u << 20});
    ck_assert_int_eq(g.err.code, ERR_TOO_LARGE);
    buf_release(&g.body);
    g = get_with(&b, "/bomb", (struct http_get){.max_bytes = 1u << 20, .on_data = on_data});
    ck_assert_int_eq(g.err.code, ERR_TOO_LARGE);
    ck_assert(g.body.len <= 1u << 20);
    buf_release(&g.body);
    bench_release(&b);
}
END_TEST

START_TEST(ranges_are_asked_for_and_checked)
{
    struct bench b;
    bench_init(&b, &quick);
    struct test_answer a = {.body = pattern(1000), .ranges = true};
    test_server_add(b.server, "/r", &a);
    static const struct {
        const char *range;
        size_t from, to;
    } cases[] = {
        {"0-99", 0, 100}, {"-100", 900, 1000}, {"990-", 990, 1000}, {"990-2000", 990, 1000}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct got g = get_with(&b, "/r", (struct http_get){.range = cases[i].range});
        ck_assert_msg(!g.err.code && g.status == 206, "%s: %s", cases[i].range, g.err.text);
        ck_assert(span_eq(buf_span(&g.body), span_slice(a.body, cases[i].from, cases[i].to)));
        ck_assert(g.content_range[0]);
        buf_release(&g.body);
    }
    struct got g = get_with(&b, "/r", (struct http_get){.range = "5000-"});
    ck_assert(!g.err.code && g.status == 416);
    buf_release(&g.body);
    g = get_with(&b, "/r", (struct http_get){.range = "0-1,3-4"});
    ck_assert_int_eq(g.err.code, ERR_INVALID);
    test_server_add(b.server, "/whole", &(struct test_answer){.body = pattern(1000)});
    g = get_with(&b, "/whole", (struct http_get){.range = "-10"});
    ck_assert(!g.err.code && g.status == 200 && g.body.len == 1000);
    buf_release(&g.body);
    test_server_add(b.server, "/other",
                    &(struct test_answer){.status = 206,
                                          .body = pattern(10),
                                          .headers = "Content-Range: bytes 5-14/1000\r\n"});
    g = get_with(&b, "/other", (struct http_get){.range = "0-9"});
    ck_assert_int_eq(g.err.code, ERR_REGISTRY);
    bench_release(&b);
}
END_TEST

START_TEST(a_part_that_broke_off_is_completed)
{
    struct bench b;
    bench_init(&b, &quick);
    struct test_answer a = {.body = pattern(90000), .ranges = true, .etag = "\"p\""};
    struct test_answer broken = a;
    broken.fault = FAULT_CUT;
    broken.at = 300;
    test_server_add(b.server, "/r", &broken);
    test_server_add(b.server, "/r", &a);
    struct got g = get_with(&b, "/r", (struct http_get){.range = "-1000"});
    ck_assert_msg(!g.err.code && g.status == 206, "%s", g.err.text);
    ck_assert(span_eq(buf_span(&g.body), span_slice(a.body, 89000, 90000)));
    ck_assert_str_eq(test_server_header(b.server, "/r", 1, "Range"), "bytes=89300-89999");
    ck_assert_str_eq(g.content_range, "bytes 89000-89999/90000");
    buf_release(&g.body);
    bench_release(&b);
}
END_TEST

START_TEST(a_slow_drip_is_no_stall)
{
    struct bench b;
    bench_init(&b, &quick);
    test_server_add(
        b.server, "/drip",
        &(struct test_answer){.body = pattern(150), .fault = FAULT_DRIP, .delay_ms = 10});
    struct got g = get(&b, "/drip");
    ck_assert(!g.err.code && g.body.len == 150 && g.attempts == 1);
    buf_release(&g.body);
    bench_release(&b);
}
END_TEST

START_TEST(a_readers_error_ends_the_request)
{
    struct bench b;
    bench_init(&b, &quick);
    test_server_add(b.server, "/big", &(struct test_answer){.body = pattern(1u << 20)});
    struct got g = {.fail_after = 20000};
    got_start(&b, &g, (struct http_get){.on_data = on_data}, "/big");
    bench_run(&b);
    ck_assert_int_eq(g.err.code, ERR_NO_SPACE);
    ck_assert_str_eq(g.err.text, "the reader is full");
    buf_release(&g.body);
    bench_release(&b);
}
END_TEST

START_TEST(a_pause_holds_the_pieces_back_and_is_no_stall)
{
    struct bench b;
    bench_init(&b, &quick);
    test_server_add(b.server, "/big", &(struct test_answer){.body = pattern(1u << 20)});
    /* Many short pauses, or one that is longer than what would be a stall. */
    struct got g = {.pause_every = 2, .pause_ms = _i ? 2 : 1300, .max_pauses = _i ? 1000 : 1};
    uv_timer_init(&b.loop, &g.timer);
    got_start(&b, &g, (struct http_get){.on_data = on_data}, "/big");
    bench_run(&b);
    ck_assert_msg(!g.err.code && g.attempts == 1, "%s", g.err.text);
    ck_assert(span_eq(buf_span(&g.body), pattern(1u << 20)));
    uv_close((uv_handle_t *)&g.timer, NULL);
    buf_release(&g.body);
    bench_release(&b);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("http_body");
    TCase *tc = tcase_create("http_body");
    forget_proxies();
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_broken_body_is_completed, 0, COUNT(break_cases));
    tcase_add_test(tc, a_file_that_changed_is_read_anew);
    tcase_add_test(tc, a_server_that_sends_another_part_does_not_fool_us);
    tcase_add_test(tc, a_claimed_length_that_is_wrong_is_an_error);
    tcase_add_test(tc, garbage_is_a_network_error);
    tcase_add_test(tc, a_ceiling_holds_told_or_not);
    tcase_add_test(tc, coded_bodies_are_decoded_under_the_ceiling_and_raw_ones_left_alone);
    tcase_add_test(tc, ranges_are_asked_for_and_checked);
    tcase_add_test(tc, a_part_that_broke_off_is_completed);
    tcase_add_test(tc, a_slow_drip_is_no_stall);
    tcase_add_test(tc, a_readers_error_ends_the_request);
    tcase_add_loop_test(tc, a_pause_holds_the_pieces_back_and_is_no_stall, 0, 2);
    suite_add_tcase(s, tc);
    return s;
}
