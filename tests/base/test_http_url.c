/* SPDX-License-Identifier: Apache-2.0 */
#include "base/http_header.h"
#include "base/url.h"
#include "tests/test_main.h"

/* RFC 3986, 5.4; "!" stands for a result that is not http(s). */
static const struct {
    const char *reference, *target;
} join_cases[] = {
    {"g:h", "!"},
    {"g", "http://a/b/c/g"},
    {"./g", "http://a/b/c/g"},
    {"g/", "http://a/b/c/g/"},
    {"/g", "http://a/g"},
    {"//g", "http://g"},
    {"?y", "http://a/b/c/d;p?y"},
    {"g?y", "http://a/b/c/g?y"},
    {"#s", "http://a/b/c/d;p?q#s"},
    {"g#s", "http://a/b/c/g#s"},
    {"g?y#s", "http://a/b/c/g?y#s"},
    {";x", "http://a/b/c/;x"},
    {"g;x", "http://a/b/c/g;x"},
    {"g;x?y#s", "http://a/b/c/g;x?y#s"},
    {"", "http://a/b/c/d;p?q"},
    {".", "http://a/b/c/"},
    {"./", "http://a/b/c/"},
    {"..", "http://a/b/"},
    {"../", "http://a/b/"},
    {"../g", "http://a/b/g"},
    {"../..", "http://a/"},
    {"../../", "http://a/"},
    {"../../g", "http://a/g"},
    {"../../../g", "http://a/g"},
    {"../../../../g", "http://a/g"},
    {"/./g", "http://a/g"},
    {"/../g", "http://a/g"},
    {"g.", "http://a/b/c/g."},
    {".g", "http://a/b/c/.g"},
    {"g..", "http://a/b/c/g.."},
    {"..g", "http://a/b/c/..g"},
    {"./../g", "http://a/b/g"},
    {"./g/.", "http://a/b/c/g/"},
    {"g/./h", "http://a/b/c/g/h"},
    {"g/../h", "http://a/b/c/h"},
    {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
    {"g;x=1/../y", "http://a/b/c/y"},
    {"g?y/./x", "http://a/b/c/g?y/./x"},
    {"g?y/../x", "http://a/b/c/g?y/../x"},
    {"g#s/./x", "http://a/b/c/g#s/./x"},
    {"g#s/../x", "http://a/b/c/g#s/../x"},
    {"http:g", "!"},
    /* Not from the RFC: */
    {"https://b/x/../y?z#f", "https://b/y?z#f"},
    {"//b:8080/../x", "http://b:8080/x"},
    {"file:///etc/passwd", "!"},
    {"a b", "!"},
    {"a\tb", "!"},
    {"//", "!"},
    {"//a b/", "!"},
    {"/a//b/../c", "http://a/a//c"},
    {"javascript:x", "!"},
    {"1:2", "http://a/b/c/1:2"},
};

START_TEST(joins_references_as_rfc_3986_shows)
{
    AUTO_BUF struct buf out = BUF(1000);
    bool ok = url_join(SPAN("http://a/b/c/d;p?q"), span_str(join_cases[_i].reference), true, &out);
    const char *want = join_cases[_i].target;
    ck_assert_msg(ok == (want[0] != '!'), "%s: %d", join_cases[_i].reference, ok);
    ck_assert_msg(!ok || strcmp(buf_cstr(&out), want) == 0, "%s: %s, not %s",
                  join_cases[_i].reference, buf_cstr(&out), want);
}
END_TEST

START_TEST(drops_the_fragment_when_asked_and_fills_empty_bases)
{
    static const char *const cases[][3] = {
        {"http://h", "x", "http://h/x"},
        {"http://h?q", "x", "http://h/x"},
        {"http://h", "?q", "http://h?q"},
        {"http://h/a/", "b#f", "http://h/a/b"},
        {"https://u:p@h:1/a", "/b", "https://u:p@h:1/b"},
        {"https://u:p@h:1/a", "//o/b", "https://o/b"},
        {"https://h/a", "http://h/b", "http://h/b"},
        {"https://h/a?x=/../y", "b", "https://h/b"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF struct buf out = BUF(1000);
        ck_assert(url_join(span_str(cases[i][0]), span_str(cases[i][1]), false, &out));
        ck_assert_str_eq(buf_cstr(&out), cases[i][2]);
    }
}
END_TEST

static const struct {
    const char *url; /* of the others NULL: refused */
    const char *scheme, *userinfo, *host, *port, *path, *fragment;
} split_cases[] = {
    {"http://h", "http", "", "h", "", "", ""},
    {"HTTPS://H:443/p?q#f", "HTTPS", "", "H", "443", "/p?q", "f"},
    {"https://u:p%40@h/", "https", "u:p%40", "h", "", "/", ""},
    {"https://a@b@h/", "https", "a@b", "h", "", "/", ""},
    {"http://[::1]:8080/x", "http", "", "[::1]", "8080", "/x", ""},
    {"http://h?q", "http", "", "h", "", "?q", ""},
    {"http://h:/p", "http", "", "h", "", "/p", ""},
    {"http://h/a#b#c", "http", "", "h", "", "/a", "b#c"},
    {"http://h#x/y@z", "http", "", "h", "", "", "x/y@z"},
    {.url = ""},
    {.url = "http:"},
    {.url = "http:///x"},
    {.url = "ftp://h/"},
    {.url = "://h/"},
    {.url = "http://h:0/"},
    {.url = "http://h:65536/"},
    {.url = "http://h:8o/"},
    {.url = "http://h /"},
    {.url = "http://h/\r\nX: y"},
    {.url = "http://[::1/"},
    {.url = "http://[::1]x/"},
    {.url = "http://[]/"},
    {.url = "http://-h/"},
    {.url = "http://h%2f/"},
    {.url = "http://a,b/"},
    {.url = " http://h/"},
    {.url = "http://h\\@evil/"},
};

START_TEST(splits_urls_and_refuses_what_is_none)
{
    struct url_parts p;
    bool ok = url_split(span_str(split_cases[_i].url), &p);
    ck_assert_msg(ok == !!split_cases[_i].scheme, "%s", split_cases[_i].url);
    if (!ok)
        return;
    ck_assert(span_eq_str(p.scheme, split_cases[_i].scheme));
    ck_assert(span_eq_str(p.userinfo, split_cases[_i].userinfo));
    ck_assert(span_eq_str(p.host, split_cases[_i].host));
    ck_assert(span_eq_str(p.port, split_cases[_i].port));
    ck_assert(span_eq_str(p.path, split_cases[_i].path));
    ck_assert(span_eq_str(p.fragment, split_cases[_i].fragment));
}
END_TEST

START_TEST(refuses_urls_over_8_kib)
{
    AUTO_BUF struct buf url = BUF(10000);
    struct url_parts p;
    buf_str(&url, "http://h/");
    while (url.len < URL_MAX_BYTES)
        buf_char(&url, 'a');
    ck_assert(url_split(buf_span(&url), &p));
    buf_char(&url, 'a');
    ck_assert(!url_split(buf_span(&url), &p));
}
END_TEST

START_TEST(an_origin_is_scheme_host_and_port)
{
    ck_assert(url_same_origin(SPAN("https://h/a"), SPAN("HTTPS://H:443/b")));
    ck_assert(url_same_origin(SPAN("http://u@h:80/a"), SPAN("http://h")));
    ck_assert(!url_same_origin(SPAN("http://h/"), SPAN("https://h/")));
    ck_assert(!url_same_origin(SPAN("http://h/"), SPAN("http://h:8080/")));
    ck_assert(!url_same_origin(SPAN("http://h/"), SPAN("http://h.example.com/")));
    ck_assert(!url_same_origin(SPAN("nonsense"), SPAN("nonsense")));
}
END_TEST

START_TEST(messages_show_neither_credentials_nor_queries)
{
    AUTO_BUF struct buf out = BUF(200);
    url_show(SPAN("https://user:secret@h.example.com:8443/a/b?token=secret#frag"), &out);
    ck_assert_str_eq(buf_cstr(&out), "h.example.com:8443/a/b");
}
END_TEST

START_TEST(percent_coding_round_trips_every_byte)
{
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    AUTO_BUF struct buf coded = BUF(1000), back = BUF(1000), odd = BUF(100);
    url_percent_encode(span_of(all, 256), "/@", &coded);
    ck_assert(span_find(buf_span(&coded), SPAN("%00")) == 0);
    ck_assert(span_has(buf_span(&coded), '/') && span_has(buf_span(&coded), '@'));
    url_percent_decode(buf_span(&coded), &back);
    ck_assert(span_eq(buf_span(&back), span_of(all, 256)));
    AUTO_ARENA struct arena *a = arena_new();
    ck_assert(span_eq(url_percent_decoded(buf_span(&coded), a), span_of(all, 256)));
    url_percent_decode(SPAN("%zz%4%41%"), &odd);
    ck_assert_str_eq(buf_cstr(&odd), "%zz%4A%");
    buf_reset(&odd);
    url_percent_encode(SPAN("@s/n~1"), "@", &odd);
    ck_assert_str_eq(buf_cstr(&odd), "@s%2Fn~1");
}
END_TEST

#define NOW 784111777000 /* Sun, 06 Nov 1994 08:49:37 GMT */

static const struct {
    const char *value;
    int64_t ms;
} retry_cases[] = {
    {"120", 120000},
    {" 0 ", 0},
    {"Sun, 06 Nov 1994 08:49:47 GMT", 10000},
    {"Sunday, 06-Nov-94 08:49:38 GMT", 1000},
    {"Sun Nov  6 08:49:38 1994", 1000},
    {"Sun, 06 Nov 1994 08:49:00 GMT", 0},
    {"99999999999999999999999", HTTP_MAX_AGE_MS},
    {"-1", -1},
    {"", -1},
    {"soon", -1},
    {"1.5", -1},
    {"12 monkeys", -1},
};

START_TEST(understands_retry_after)
{
    int64_t ms = http_retry_after_ms(span_str(retry_cases[_i].value), NOW);
    ck_assert_msg(ms == retry_cases[_i].ms, "%s: %lld", retry_cases[_i].value, (long long)ms);
}
END_TEST

static const struct {
    const char *value;
    int64_t ms;
} age_cases[] = {
    {"", -1},
    {"max-age=600", 600000},
    {"public, MAX-AGE=\"5\" , s-maxage=9", 5000},
    {"max-age=600, no-cache", 0},
    {"no-store", 0},
    {"private", -1},
    {"must-revalidate", 0},
    {"must-revalidate, max-age=7", 7000},
    {"max-age=-1", -1},
    {"max-age=99999999999999999999", HTTP_MAX_AGE_MS},
    {"max-age", -1},
    {"max-age=1, max-age=2", 1000},
    {",,=,", -1},
};

START_TEST(understands_cache_control)
{
    int64_t ms = http_max_age_ms(span_str(age_cases[_i].value));
    ck_assert_msg(ms == age_cases[_i].ms, "%s: %lld", age_cases[_i].value, (long long)ms);
}
END_TEST

START_TEST(understands_content_ranges)
{
    uint64_t first, last, total;
    ck_assert(http_content_range(SPAN("bytes 0-99/200"), &first, &last, &total));
    ck_assert(first == 0 && last == 99 && total == 200);
    ck_assert(http_content_range(SPAN("bytes 5-5/*"), &first, &last, &total));
    ck_assert(first == 5 && last == 5 && total == UINT64_MAX);
    static const char *const bad[] = {"",
                                      "bytes */200",
                                      "bytes 9-5/200",
                                      "bytes 0-200/200",
                                      "items 0-1/2",
                                      "bytes 0-1",
                                      "bytes 0-99999999999999999999/*",
                                      "bytes -1-2/3"};
    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert_msg(!http_content_range(span_str(bad[i]), &first, &last, &total), "%s", bad[i]);
    ck_assert(http_range_valid(SPAN("0-99")) && http_range_valid(SPAN("5-")));
    ck_assert(http_range_valid(SPAN("-65536")));
    ck_assert(!http_range_valid(SPAN("-")) && !http_range_valid(SPAN("9-5")));
    ck_assert(!http_range_valid(SPAN("0-1,5-6")) && !http_range_valid(SPAN("0-9\r\nX: y")));
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("http_url");
    TCase *tc = tcase_create("url");
    tcase_add_loop_test(tc, joins_references_as_rfc_3986_shows, 0, COUNT(join_cases));
    tcase_add_test(tc, drops_the_fragment_when_asked_and_fills_empty_bases);
    tcase_add_loop_test(tc, splits_urls_and_refuses_what_is_none, 0, COUNT(split_cases));
    tcase_add_test(tc, refuses_urls_over_8_kib);
    tcase_add_test(tc, an_origin_is_scheme_host_and_port);
    tcase_add_test(tc, messages_show_neither_credentials_nor_queries);
    tcase_add_test(tc, percent_coding_round_trips_every_byte);
    tcase_add_loop_test(tc, understands_retry_after, 0, COUNT(retry_cases));
    tcase_add_loop_test(tc, understands_cache_control, 0, COUNT(age_cases));
    tcase_add_test(tc, understands_content_ranges);
    suite_add_tcase(s, tc);
    return s;
}
