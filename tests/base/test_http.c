/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <zlib.h>

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
static void forget_proxies(void)
{
    static const char *const names[] = {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY",
                                        "all_proxy",  "ALL_PROXY",  "no_proxy",    "NO_PROXY"};
    for (size_t i = 0; i < COUNT(names); i++)
        unsetenv(names[i]);
}

static void bench_init(struct bench *b, const struct http_options *o)
{
    struct err err = {0};
    *b = (struct bench){.server = test_server_new()};
    uv_loop_init(&b->loop);
    b->client = http_client_new(&b->loop, o, &err);
    ck_assert_msg(b->client != NULL, "%s", err.text);
}

static void bench_release(struct bench *b)
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

static void on_done(void *ctx, struct http_reply *reply)
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

static void on_timer_resume(uv_timer_t *timer)
{
    struct got *g = container_of(timer, struct got, timer);
    http_resume(g->request);
}

static bool on_data(void *ctx, struct span piece, struct err *err)
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

static void on_restart(void *ctx)
{
    struct got *g = ctx;
    g->restarts++;
    buf_reset(&g->body);
}

static void on_total(void *ctx, uint64_t total)
{
    ((struct got *)ctx)->total = total;
}

static void got_start(struct bench *b, struct got *g, struct http_get get, const char *path)
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

static void bench_run(struct bench *b)
{
    while (b->open > 0)
        uv_run(&b->loop, UV_RUN_ONCE);
}

/* Starts it, runs to its end, and checks that done() came once. */
static struct got get_with(struct bench *b, const char *path, struct http_get get)
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

static struct got get(struct bench *b, const char *path)
{
    return get_with(b, path, (struct http_get){0});
}

static struct span pattern(size_t len)
{
    static char bytes[4u << 20];
    ck_assert(len <= sizeof(bytes));
    for (size_t i = 0; !bytes[1] && i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    return span_of(bytes, len);
}

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
    tcase_add_loop_test(tc, a_broken_body_is_completed, 0, COUNT(break_cases));
    tcase_add_test(tc, a_file_that_changed_is_read_anew);
    tcase_add_test(tc, a_server_that_sends_another_part_does_not_fool_us);
    tcase_add_test(tc, a_claimed_length_that_is_wrong_is_an_error);
    tcase_add_test(tc, garbage_is_a_network_error);
    tcase_add_test(tc, a_ceiling_holds_told_or_not);
    tcase_add_test(tc, coded_bodies_are_decoded_under_the_ceiling_and_raw_ones_left_alone);
    tcase_add_test(tc, ranges_are_asked_for_and_checked);
    tcase_add_test(tc, a_part_that_broke_off_is_completed);
    tcase_add_test(tc, redirects_are_followed_within_limits);
    tcase_add_test(tc, credentials_go_to_their_origin_only);
    tcase_add_test(tc, few_connections_serve_many_requests_by_priority);
    tcase_add_test(tc, connections_to_a_host_are_bounded);
    tcase_add_test(tc, a_deadline_ends_it_whatever_happens);
    tcase_add_test(tc, a_slow_drip_is_no_stall);
    tcase_add_test(tc, cancelling_works_in_every_state);
    tcase_add_test(tc, a_readers_error_ends_the_request);
    tcase_add_loop_test(tc, a_pause_holds_the_pieces_back_and_is_no_stall, 0, 2);
    tcase_add_test(tc, unreachable_hosts_and_bad_urls_are_told_apart);
    tcase_add_test(tc, proxies_come_from_the_environment);
    tcase_add_test(tc, an_idle_client_keeps_no_loop_alive);
    tcase_add_test(tc, headers_of_ours_cannot_be_smuggled_in);
    tcase_add_test(tc, a_connection_is_opened_ahead);
    suite_add_tcase(s, tc);
    return s;
}
