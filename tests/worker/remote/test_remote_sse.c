/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "tests/test_main.h"
#include "worker/remote/sse.h"

static bool show(void *ctx, const struct sse_event *e, struct err *err)
{
    struct buf *out = ctx;
    (void)err;
    return buf_printf(out, "[%.*s|%.*s|%.*s]", SPAN_ARG(e->kind), SPAN_ARG(e->id),
                      SPAN_ARG(e->data));
}

static const struct {
    const char *stream, *events;
} cases[] = {
    {"data: a\n\n", "[message||a]"},
    {"data:a\r\n\r\n", "[message||a]"},
    {"data:a\r\rdata: b\r\r", "[message||a][message||b]"},
    {"\xef\xbb\xbf"
     "data: a\n\n",
     "[message||a]"},
    {": still here\n\n", ""},
    {"event: log\nid: 7\ndata: {}\n\n", "[log|7|{}]"},
    {"id: 7\ndata: x\n\ndata: y\n\n", "[message|7|x][message|7|y]"}, /* the id stays */
    {"event: log\n\ndata: y\n\n", "[message||y]"},                   /* the kind does not */
    {"data: a\ndata:  b\ndata\n\n", "[message||a\n b\n]"},
    {"data\n\n", "[message||]"},
    {"retry: 10\nsomething: else\nnothing\ndata: a\n\n", "[message||a]"},
    {"data: cut off\n", ""},
    {"data: cut", ""},
};

START_TEST(understands_streams_however_they_are_cut)
{
    struct err err = {0};
    struct span all = span_str(cases[_i].stream);
    for (size_t piece = 1; piece <= all.len; piece++) {
        struct sse s = SSE_INIT;
        AUTO_BUF struct buf out = BUF(1000);
        for (size_t at = 0; at < all.len; at += piece)
            ck_assert(sse_feed(&s, span_slice(all, at, at + piece), show, &out, &err));
        ck_assert_msg(strcmp(buf_cstr(&out), cases[_i].events) == 0, "%zu: %s", piece,
                      buf_cstr(&out));
        sse_release(&s);
    }
}
END_TEST

START_TEST(a_new_connection_drops_what_the_old_one_cut_off)
{
    struct err err = {0};
    struct sse s = SSE_INIT;
    AUTO_BUF struct buf out = BUF(1000);
    ck_assert(sse_feed(&s, SPAN("id: 1\ndata: a\n\nevent: x\ndata: b\nda"), show, &out, &err));
    sse_reset(&s);
    ck_assert(sse_feed(&s, SPAN("data: c\n\n"), show, &out, &err));
    ck_assert_str_eq(buf_cstr(&out), "[message|1|a][message|1|c]");
    sse_release(&s);
}
END_TEST

START_TEST(endless_lines_and_events_are_refused)
{
    static char many[1u << 16];
    struct sse s = SSE_INIT;
    struct err err = {0};
    AUTO_BUF struct buf out = BUF(1000);
    memset(many, 'x', sizeof(many));
    bool ok = sse_feed(&s, SPAN("data: "), show, &out, &err);
    size_t n = 0;
    for (; ok && n < 2 * SSE_MAX_BYTES; n += sizeof(many))
        ok = sse_feed(&s, span_of(many, sizeof(many)), show, &out, &err);
    ck_assert(!ok && err.code == ERR_TOO_LARGE && n <= SSE_MAX_BYTES + sizeof(many));
    sse_release(&s);
    s = SSE_INIT;
    many[sizeof(many) - 1] = '\n';
    memcpy(many, "data: ", 6);
    for (n = 0, ok = true; ok && n < 2 * SSE_MAX_BYTES; n += sizeof(many))
        ok = sse_feed(&s, span_of(many, sizeof(many)), show, &out, &err);
    ck_assert(!ok && err.code == ERR_TOO_LARGE);
    sse_release(&s);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("remote_sse");
    TCase *tc = tcase_create("sse");
    tcase_add_loop_test(tc, understands_streams_however_they_are_cut, 0, COUNT(cases));
    tcase_add_test(tc, a_new_connection_drops_what_the_old_one_cut_off);
    tcase_add_test(tc, endless_lines_and_events_are_refused);
    suite_add_tcase(s, tc);
    return s;
}
