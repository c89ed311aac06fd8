/* SPDX-License-Identifier: Apache-2.0 */
/* Spans, buffers, maps, digests, errors and JSON. */
#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/digest.h"
#include "base/jscan.h"
#include "base/json.h"
#include "base/map.h"
#include "base/plain.h"
#include "tests/test_main.h"

START_TEST(span_cuts_at_the_first_and_last_separator)
{
    struct span a, b;
    ck_assert(span_cut(SPAN("n==1==2"), SPAN("=="), &a, &b));
    ck_assert(span_eq(a, SPAN("n")) && span_eq(b, SPAN("1==2")));
    ck_assert(span_cut_last_char(SPAN("a/b/c"), '/', &a, &b));
    ck_assert(span_eq(a, SPAN("a/b")) && span_eq(b, SPAN("c")));
    ck_assert(!span_cut(SPAN("n"), SPAN("=="), &a, &b));
}
END_TEST

START_TEST(span_next_gives_empty_pieces_too)
{
    struct span rest = SPAN("a,,b"), piece;
    int n = 0;
    while (span_next(&rest, ',', &piece))
        n++;
    ck_assert_int_eq(n, 3);
}
END_TEST

START_TEST(span_numbers_must_fit)
{
    uint64_t n;
    ck_assert(span_to_u64(SPAN("18446744073709551615"), &n) && n == UINT64_MAX);
    ck_assert(!span_to_u64(SPAN("18446744073709551616"), &n));
    ck_assert(!span_to_u64(SPAN(""), &n) && !span_to_u64(SPAN("1x"), &n));
}
END_TEST

START_TEST(utf8_refuses_overlong_forms_and_surrogates)
{
    ck_assert(span_is_utf8(SPAN("gr\xc3\xbc\xc3\x9f \xf0\x9f\x8c\x8d")));
    ck_assert(!span_is_utf8(SPAN("\xc0\x80")) && !span_is_utf8(SPAN("\xed\xa0\x80")));
    ck_assert(!span_is_utf8(SPAN("\xf4\x90\x80\x80")) && !span_is_utf8(SPAN("\xe2\x82")));
}
END_TEST

START_TEST(buf_keeps_its_ceiling)
{
    AUTO_BUF struct buf b = BUF(8);
    ck_assert(buf_str(&b, "12345678") && !b.overflow);
    ck_assert(!buf_str(&b, "9") && b.overflow);
    ck_assert_str_eq(buf_cstr(&b), "12345678");
}
END_TEST

START_TEST(map_keeps_the_order_of_insertion)
{
    AUTO_MAP struct map m = {0};
    AUTO_ARENA struct arena *a = arena_new();
    for (int i = 0; i < 1000; i++)
        map_put(&m, span_str(arena_printf(a, "key%d", i)), arena_printf(a, "%d", i));
    ck_assert_uint_eq(m.n, 1000);
    ck_assert_str_eq(map_get(&m, SPAN("key77")), "77");
    ck_assert(span_eq(m.v[999].key, SPAN("key999")) && !map_has(&m, SPAN("key1000")));
    ck_assert(!map_put(&m, SPAN("key5"), NULL) && m.n == 1000);
}
END_TEST

START_TEST(err_wrap_puts_the_context_in_front)
{
    struct err err = {0};
    err_set(&err, ERR_LOCK_INVALID, "line %d: no hash", 3);
    ck_assert(!err_wrap(&err, "environment %s", "env_4f"));
    ck_assert_str_eq(err.text, "environment env_4f: line 3: no hash");
    ck_assert_str_eq(err_code_name(err.code), "lock_invalid");
    err_set(&err, ERR_IO, "again: %s", err.text);
    ck_assert_str_eq(err.text, "again: environment env_4f: line 3: no hash");
}
END_TEST

START_TEST(digests_print_and_parse)
{
    char text[DIGEST_TEXT_SIZE];
    struct digest d = digest_of(SPAN("abc")), again;
    ck_assert_str_eq(digest_text(&d, text),
                     "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ck_assert(digest_parse(span_str(text), &again) && digest_eq(&d, &again));
    ck_assert(!digest_parse(SPAN("sha256:ba78"), &again));
    struct hash h;
    ck_assert(hash_parse_sri(SPAN("sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0="), &h));
    struct hash sha1 = hash_of_bytes(HASH_SHA1, SPAN("abc"));
    ck_assert(hash_eq(&h, &sha1));
}
END_TEST

START_TEST(base64_takes_both_alphabets)
{
    char text[16];
    uint8_t bytes[16];
    ck_assert_uint_eq(base64_encode(SPAN("\xfb\xff"), false, text), 4);
    ck_assert_str_eq(text, "+/8=");
    base64_encode(SPAN("\xfb\xff"), true, text);
    ck_assert_str_eq(text, "-_8");
    ck_assert_uint_eq(base64_decode(SPAN("-_8"), bytes), 2);
    ck_assert_uint_eq(base64_decode(SPAN("+/8="), bytes), 2);
    ck_assert(base64_decode(SPAN("+/9="), bytes) == SIZE_MAX); /* stray bits */
}
END_TEST

START_TEST(canonical_json_sorts_and_refuses_reals)
{
    struct err err = {0};
    AUTO_JSON json_t *v = json_parse(SPAN("{\"b\": [1, true], \"a\": \"\\u00fc\"}"), &err);
    AUTO_BUF struct buf out = BUF(1000);
    ck_assert(v && json_canonical(v, &out, &err));
    ck_assert_str_eq(buf_cstr(&out), "{\"a\":\"\xc3\xbc\",\"b\":[1,true]}");
    AUTO_JSON json_t *real = json_parse(SPAN("[1.5]"), &err);
    ck_assert(real && !json_canonical(real, &out, &err));
    AUTO_JSON json_t *twice = json_parse(SPAN("{\"a\":1,\"a\":2}"), &err);
    ck_assert(!twice);
}
END_TEST

START_TEST(jscan_reads_members_and_skips_the_rest)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct jscan j = jscan_of(SPAN(" {\"x\":{\"deep\":[1,2,{}]},\"name\":\"a\\u00fc\\n\",\"n\":-12,"
                                   "\"t\":true,\"odd\":[]} "));
    struct span key, name = {0}, odd;
    int64_t n = 0;
    bool t = false;
    ck_assert(jscan_object(&j));
    while (jscan_key(&j, a, &key)) {
        if (span_eq(key, SPAN("name")))
            ck_assert(jscan_string(&j, a, &name));
        else if (span_eq(key, SPAN("n")))
            ck_assert(jscan_int(&j, &n));
        else if (span_eq(key, SPAN("t")))
            ck_assert(jscan_bool(&j, &t));
        else if (span_eq(key, SPAN("odd")))
            ck_assert(!jscan_string(&j, a, &odd));
        else
            ck_assert(jscan_skip(&j, NULL));
    }
    ck_assert(jscan_done(&j));
    ck_assert(span_eq(name, SPAN("a\xc3\xbc\n")) && n == -12 && t);
}
END_TEST

static const char *const bad_json[] = {
    "",      "{",   "[1,]",  "{\"a\":1,}", "{\"a\" 1}", "[01]",        "[1.]",  "\"\\x\"",
    "[tru]", "nul", "[1 2]", "{1:2}",      "\"a\nb\"",  "[\"\\u12\"]", "{} {}",
};

START_TEST(jscan_refuses_what_is_no_json)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct jscan j = jscan_of(span_str(bad_json[_i]));
    struct span s;
    if (jscan_peek(&j) == JSCAN_STRING)
        jscan_string(&j, a, &s);
    else if (jscan_array(&j))
        while (jscan_item(&j))
            jscan_peek(&j) == JSCAN_STRING ? (void)jscan_string(&j, a, &s)
                                           : (void)jscan_skip(&j, NULL);
    else
        jscan_skip(&j, NULL);
    ck_assert_msg(!jscan_done(&j), "%s", bad_json[_i]);
}
END_TEST

static const struct {
    const char *in, *one_line, *lines;
} plain_cases[] = {
    {"gr\xc3\xbc\xc3\x9f \xf0\x9f\x8c\x8d", "gr\xc3\xbc\xc3\x9f \xf0\x9f\x8c\x8d",
     "gr\xc3\xbc\xc3\x9f \xf0\x9f\x8c\x8d"},
    {"\x1b]0;title\x07red\x7f", "?]0;title?red?", "?]0;title?red?"},
    {"a\tb\r\nc", "a b? c", "a b?\nc"},
    {"\xc2\x9b"
     "31m\xc2\xa0",
     "?31m\xc2\xa0", "?31m\xc2\xa0"}, /* CSI as one character */
    {"a\xe2\x80\xae"
     "b\xe2\x81\xa6"
     "c\xe2\x80\xa8"
     "d",
     "a?b?c?d", "a?b?c?d"},
    {"a\xff\xc0\x80"
     "b\xed\xa0\x80",
     "a???b???", "a???b???"},
    {"cut \xf0\x9f\x8c", "cut ", "cut "},
    {"\xe2\x80+", "??+", "??+"},
    {"", "", ""},
};

START_TEST(plain_text_leaves_nothing_that_moves_a_terminal)
{
    char text[64];
    snprintf(text, sizeof(text), "%s", plain_cases[_i].in);
    plain_str(text, PLAIN_ONE_LINE);
    ck_assert_str_eq(text, plain_cases[_i].one_line);
    snprintf(text, sizeof(text), "%s", plain_cases[_i].in);
    plain_str(text, PLAIN_LINES);
    ck_assert_str_eq(text, plain_cases[_i].lines);
}
END_TEST

START_TEST(errors_are_harmless_for_a_terminal)
{
    struct err err = {0};
    err_set(&err, ERR_INVALID, "%s", "a\x1b[2Jb\nc");
    err_wrap(&err, "%s",
             "d\x1b"
             "e");
    ck_assert_str_eq(err.text, "d?e: a?[2Jb\nc");
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("base_text");
    TCase *tc = tcase_create("text");
    tcase_add_test(tc, span_cuts_at_the_first_and_last_separator);
    tcase_add_test(tc, span_next_gives_empty_pieces_too);
    tcase_add_test(tc, span_numbers_must_fit);
    tcase_add_test(tc, utf8_refuses_overlong_forms_and_surrogates);
    tcase_add_test(tc, buf_keeps_its_ceiling);
    tcase_add_test(tc, map_keeps_the_order_of_insertion);
    tcase_add_test(tc, err_wrap_puts_the_context_in_front);
    tcase_add_test(tc, digests_print_and_parse);
    tcase_add_test(tc, base64_takes_both_alphabets);
    tcase_add_test(tc, canonical_json_sorts_and_refuses_reals);
    tcase_add_test(tc, jscan_reads_members_and_skips_the_rest);
    tcase_add_loop_test(tc, jscan_refuses_what_is_no_json, 0, COUNT(bad_json));
    tcase_add_loop_test(tc, plain_text_leaves_nothing_that_moves_a_terminal, 0, COUNT(plain_cases));
    tcase_add_test(tc, errors_are_harmless_for_a_terminal);
    suite_add_tcase(s, tc);
    return s;
}
