/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/yaml.h"

#include <string.h>

#include "tests/test_main.h"

static const struct {
    const char *yaml, *json;
} good[] = {
    {"", "null"},
    {"# only a comment\n", "null"},
    {"a: 1\nb: -2\nc: +3\n", "{\"a\":1,\"b\":-2,\"c\":3}"},
    {"a: 3.11\n", "{\"a\":3.11}"},
    {"a: '3.11'\nb: \"3.11\"\n", "{\"a\":\"3.11\",\"b\":\"3.11\"}"},
    {"a: yes\nb: on\nc: No\n", "{\"a\":\"yes\",\"b\":\"on\",\"c\":\"No\"}"},
    {"a: true\nb: FALSE\nc: ~\nd: null\ne:\n",
     "{\"a\":true,\"b\":false,\"c\":null,\"d\":null,\"e\":null}"},
    {"a: 2024-01-31\n", "{\"a\":\"2024-01-31\"}"},
    {"a: 1.2.3\nb: 0x10\nc: 1_000\nd: .inf\n",
     "{\"a\":\"1.2.3\",\"b\":\"0x10\",\"c\":\"1_000\",\"d\":\".inf\"}"},
    {"- a\n- [b, c]\n- {d: e}\n", "[\"a\",[\"b\",\"c\"],{\"d\":\"e\"}]"},
    {"a: |\n  x\n  y\n", "{\"a\":\"x\\ny\\n\"}"},
    {"a: >-\n  x\n  y\n", "{\"a\":\"x y\"}"},
    {"---\na: b\n...\n", "{\"a\":\"b\"}"},
    {"1: a\ntrue: b\n", "{\"1\":\"a\",\"true\":\"b\"}"},
    {"pip: [\"requests[socks]>=2 ; python_version > '3'\"]\n",
     "{\"pip\":[\"requests[socks]>=2 ; python_version > '3'\"]}"},
    {"{\"a\": [1, \"b\", null]}", "{\"a\":[1,\"b\",null]}"},
    {"a: 99999999999999999999\n", "{\"a\":1e20}"},
    {"\xef\xbb\xbf"
     "a: b\n",
     "{\"a\":\"b\"}"},
};

START_TEST(reads_what_people_write)
{
    struct err err = {0};
    AUTO_YAML struct yaml y = {0};
    ck_assert_msg(yaml_parse(span_str(good[_i].yaml), "f", &y, &err), "%s: %s", good[_i].yaml,
                  err.text);
    AUTO_JSON json_t *expect = json_loads(good[_i].json, JSON_DECODE_ANY, NULL);
    AUTO_FREE char *got = json_dumps(y.value, JSON_ENCODE_ANY);
    ck_assert_msg(json_equal(y.value, expect), "%s: %s", good[_i].yaml, got);
}
END_TEST

static const struct {
    const char *yaml, *says;
} bad[] = {
    {"a: &x 1\n", "f:1:4: anchors"},
    {"a: *x\n", "f:1:4"},
    {"? *x\n: 1\n", "f:1:3"},
    {"a: !!str 1\n", "f:1:4: tags"},
    {"!x a: 1\n", "f:1:1"},
    {"a: 1\na: 2\n", "f:2:1: \"a\" is given twice"},
    {"a: 1\n--- \nb: 2\n", "a second document"},
    {"[a, b]: 1\n", "a key is not a string"},
    {"? {a: b}\n: 1\n", "a key is not a string"},
    {"'': 1\n", "a key is empty"},
    {"a: \"\\0\"\n", "NUL"},
    {"a: [1, 2\n", "f:2:1"},
    {"a:\n\t- b\n", "f:2:1"},
    {"a: b: c\n", "f:1:5"},
    {"\"a\n", "f:2:1"},
    {"a: \x01\n", "f: at byte 3"},
    {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "deeper than 32"},
    {"%YAML 9.9\n---\na\n", "f:1:1"},
};

START_TEST(refuses_with_line_and_column)
{
    struct err err = {0};
    AUTO_YAML struct yaml y = {0};
    ck_assert_msg(!yaml_parse(span_str(bad[_i].yaml), "f", &y, &err), "%s", bad[_i].yaml);
    ck_assert_msg(strstr(err.text, bad[_i].says) != NULL, "%s: %s", bad[_i].yaml, err.text);
}
END_TEST

START_TEST(knows_where_each_value_stands)
{
    struct err err;
    AUTO_YAML struct yaml y = {0};
    ck_assert(yaml_parse(SPAN("a:\n  b:\n    - x\n    - y\n  c: {d: 1}\n"), "f", &y, &err));
    const struct yaml_place *p = yaml_place_of(&y, SPAN("a.b[1]"));
    ck_assert_uint_eq(p->line, 4);
    ck_assert_uint_eq(p->column, 7);
    p = yaml_place_of(&y, SPAN("a.c.d"));
    ck_assert_uint_eq(p->line, 5);
    ck_assert_uint_eq(p->column, 10);
    p = yaml_place_of(&y, SPAN("a.c.missing[3]"));
    ck_assert_uint_eq(p->column, 6);
    ck_assert_uint_eq(yaml_place_of(&y, SPAN("zzz"))->line, 1);
}
END_TEST

START_TEST(bounds_the_number_of_values)
{
    struct err err = {0};
    AUTO_YAML struct yaml y = {0};
    AUTO_BUF struct buf text = BUF(1u << 20);
    buf_char(&text, '[');
    for (int i = 0; i < 100001; i++)
        buf_str(&text, "a,");
    buf_char(&text, ']');
    ck_assert(!yaml_parse(buf_span(&text), "f", &y, &err));
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("yaml");
    TCase *t = tcase_create("yaml");
    tcase_add_loop_test(t, reads_what_people_write, 0, COUNT(good));
    tcase_add_loop_test(t, refuses_with_line_and_column, 0, COUNT(bad));
    tcase_add_test(t, knows_where_each_value_stands);
    tcase_add_test(t, bounds_the_number_of_values);
    suite_add_tcase(s, t);
    return s;
}
