/* SPDX-License-Identifier: Apache-2.0 */
/* Requirements, markers and names (PEP 508, 685, 503). */
#include "base/mem.h"
#include "resolvers/pip/name.h"
#include "resolvers/pip/requirement.h"
#include "tests/test_main.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct {
    const char *text, *canonical; /* NULL: malformed */
} forms[] = {
    {"requests", "requests"},
    {"  Foo.Bar_baz  ", "foo-bar-baz"},
    {"a[]", "a"},
    {"a [ X_y , b,b ]>=1", "a[b,x-y]>=1"},
    {"a (>=1 , <2)", "a>=1,<2"},
    {"a>=1,", "a>=1"},
    {"a==1.*;os_name=='posix'", "a==1.* ; os_name == \"posix\""},
    {"a_ ; extra == 'x'", "a_ ; extra == \"x\""},
    {"a @ https://example.com/a-1-py3-none-any.whl",
     "a @ https://example.com/a-1-py3-none-any.whl"},
    {"a[x]@https://example.com/a.whl#sha256=" HEX " ; python_version>'3'",
     "a[x] @ https://example.com/a.whl#sha256=" HEX " ; python_version > \"3\""},
    {"a; (os_name=='x' or os_name=='y') and extra=='z'",
     "a ; (os_name == \"x\" or os_name == \"y\") and extra == \"z\""},
    {"a; '3.8' <= python_version", "a ; \"3.8\" <= python_version"},
    {"", NULL},
    {"-a", NULL},
    {"--index-url=x", NULL},
    {"a-", NULL},
    {"a b", NULL},
    {"a = = 1", NULL},
    {"a==", NULL},
    {"a[x", NULL},
    {"a[x y]", NULL},
    {"a[x,]", NULL},
    {"a (>=1", NULL},
    {"a;", NULL},
    {"a; os_name", NULL},
    {"a; os_name == 'x", NULL},
    {"a; 'x' == 'y'", NULL},
    {"a; no_such == 'y'", NULL},
    {"a; os_name == 'x' and", NULL},
    {"a @", NULL},
    {"a @ https://example.com/a.whl; os_name=='x'", NULL},
    {"a @ https://example.com/a.whl#sha256=12", NULL},
    {"a\n==1", NULL},
};

START_TEST(requirements_parse_to_canonical_text)
{
    AUTO_ARENA struct arena *a = arena_new();
    AUTO_BUF struct buf text = BUF(4096), again = BUF(4096);
    struct pip_requirement r;
    struct err err = {0};
    bool ok = pip_requirement_parse(span_str(forms[_i].text), a, &r, &err);
    ck_assert_msg(ok == (forms[_i].canonical != NULL), "%s: %s", forms[_i].text, err.text);
    if (!ok) {
        ck_assert_int_eq(err.code, ERR_INVALID);
        ck_assert_ptr_nonnull(strstr(err.text, "offset"));
        return;
    }
    pip_requirement_text(&r, &text);
    ck_assert_str_eq(buf_cstr(&text), forms[_i].canonical);
    ck_assert(pip_requirement_parse(buf_span(&text), a, &r, &err));
    pip_requirement_text(&r, &again);
    ck_assert_str_eq(buf_cstr(&text), buf_cstr(&again));
}
END_TEST

START_TEST(the_file_of_an_url_is_decoded)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct pip_requirement r;
    ck_assert(pip_requirement_parse(
        SPAN("a @ https://example.com/x/a-1%2Bcpu-py3-none-any.whl?k=/v#sha256=" HEX), a, &r,
        NULL));
    ck_assert(span_eq(r.url_file, SPAN("a-1+cpu-py3-none-any.whl")));
    ck_assert(r.has_digest && r.digest.bytes[0] == 0x01);
}
END_TEST

static const struct {
    const char *marker, *extra;
    bool value;
} markers[] = {
    {"python_version > '3.9.1'", "", true},
    {"python_version >= '3.10'", "", true},
    {"python_version < '3.9'", "", false},
    {"'3.8' < python_version", "", true},
    {"python_version in '3.9, 3.11'", "", true},
    {"python_version not in '3.9, 3.10'", "", true},
    {"python_version == '3.*'", "", true},
    {"python_version ~= '3.8'", "", true},
    {"python_full_version === '3.11.2'", "", true},
    {"platform_release >= '20'", "", false},
    {"sys_platform == 'linux'", "", true},
    {"sys_platform < 'zzz'", "", false},
    {"'linux' in sys_platform", "", true},
    {"os.name != 'nt'", "", true},
    {"python_implementation == 'CPython'", "", true},
    {"extra == 'Te_St'", "te-st", true},
    {"extra == 'test'", "", false},
    {"os_name == 'nt' or os_name == 'posix' and python_version > '3'", "", true},
    {"(os_name == 'nt' or os_name == 'posix') and python_version < '3'", "", false},
};

START_TEST(markers_evaluate_as_pip_does)
{
    AUTO_ARENA struct arena *a = arena_new();
    AUTO_JSON json_t *json = json_parse(
        SPAN(
            "{\"implementation_name\":\"cpython\",\"implementation_version\":\"3.11.2\","
            "\"os_name\":\"posix\",\"platform_machine\":\"x86_64\","
            "\"platform_python_implementation\":\"CPython\",\"platform_release\":\"6.1.0-1-amd64\","
            "\"platform_system\":\"Linux\",\"platform_version\":\"#1\",\"python_full_version\":"
            "\"3.11.2\",\"python_version\":\"3.11\",\"sys_platform\":\"linux\"}"),
        NULL);
    struct pip_environment e;
    const struct pip_marker *m;
    ck_assert(pip_environment_init(&e, json, a, NULL));
    ck_assert(pip_marker_parse(span_str(markers[_i].marker), 0, a, &m, NULL));
    ck_assert_msg(pip_marker_eval(m, &e, span_str(markers[_i].extra)) == markers[_i].value, "%s",
                  markers[_i].marker);
}
END_TEST

START_TEST(parentheses_have_a_bound)
{
    AUTO_ARENA struct arena *a = arena_new();
    AUTO_BUF struct buf b = BUF(1u << 20);
    const struct pip_marker *m;
    struct err err = {0};
    for (int i = 0; i < 100000; i++)
        buf_char(&b, '(');
    ck_assert(!pip_marker_parse(buf_span(&b), 0, a, &m, &err));
    ck_assert_int_eq(err.code, ERR_INVALID);
}
END_TEST

START_TEST(names_are_normalised)
{
    AUTO_ARENA struct arena *a = arena_new();
    ck_assert(span_eq(pip_name_normalise(SPAN("A.-_b__C"), a), SPAN("a-b-c")));
    ck_assert(pip_name_is(SPAN("A.-_b__C"), SPAN("a-b-c")));
    ck_assert(!pip_name_is(SPAN("ab"), SPAN("a-b")) && !pip_name_is(SPAN("a-b-"), SPAN("a-b")));
    ck_assert(pip_name_valid(SPAN("a")) && !pip_name_valid(SPAN("")));
    ck_assert(!pip_name_valid(SPAN("../a")) && !pip_name_valid(SPAN("a/b")));
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("pip_requirement");
    TCase *tc = tcase_create("pip_requirement");
    tcase_add_loop_test(tc, requirements_parse_to_canonical_text, 0, (int)COUNT(forms));
    tcase_add_test(tc, the_file_of_an_url_is_decoded);
    tcase_add_loop_test(tc, markers_evaluate_as_pip_does, 0, (int)COUNT(markers));
    tcase_add_test(tc, parentheses_have_a_bound);
    tcase_add_test(tc, names_are_normalised);
    suite_add_tcase(s, tc);
    return s;
}
