/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/discover_files.h"

#include <string.h>

#include "base/buf.h"
#include "tests/test_main.h"

static void print_entries(const struct entries *e, struct buf *out)
{
    for (size_t i = 0; i < e->n; i++)
        buf_printf(out, "%.*s|%.*s|%.*s\n", SPAN_ARG(e->v[i].section), SPAN_ARG(e->v[i].key),
                   SPAN_ARG(e->v[i].value));
}

static const struct {
    bool (*parse)(struct span text, struct arena *a, struct entries *out, struct err *err);
    const char *text;
    const char *entries; /* NULL: refused */
} cases[] = {
    {entries_toml, "", ""},
    {entries_toml, "a = \"x\"\nb='y'\n", "|a|x\n|b|y\n"},
    {entries_toml, "[a.b]\nc = \"d\" # e\n[f]\ng = 1\n", "a.b|c|d\nf|g|1\n"},
    {entries_toml, "a.b.c = true\n", "a.b|c|true\n"},
    {entries_toml, "[a]\n\"b c\".'d' = 'e'\n", "a.b c|d|e\n"},
    {entries_toml, "a = { b = 'c', d = { e = \"f\" } }\n", "a|b|c\na.d|e|f\n"},
    {entries_toml, "a = [\n 'x', # y\n \"]\",\n]\nb = 1\n", "|a|[\n 'x', # y\n \"]\",\n]\n|b|1\n"},
    {entries_toml, "[[a]]\nb='1'\n[[a]]\nb='2'\n", "a|b|1\na|b|2\n"},
    {entries_toml, "a = \"\\t\\u00e4\\\"\\\\\"\n", "|a|\t\xc3\xa4\"\\\n"},
    {entries_toml, "a = '''x\ny'''\nb = \"\"\"\nz \\\n   w\"\"\"\n", "|a|x\ny\n|b|z w\n"},
    {entries_toml, "a = 'C:\\x'\r\nb = 2\r\n", "|a|C:\\x\n|b|2\n"},
    {entries_toml, "a = 2024-01-01T00:00:00Z\n", "|a|2024-01-01T00:00:00Z\n"},
    {entries_toml, "a = \"x\n", NULL},
    {entries_toml, "a = \"\\q\"\n", NULL},
    {entries_toml, "a = \"\\ud800\"\n", NULL},
    {entries_toml, "a\n", NULL},
    {entries_toml, "a =\n", NULL},
    {entries_toml, "= 1\n", NULL},
    {entries_toml, "[a\n", NULL},
    {entries_toml, "[]\n", NULL},
    {entries_toml, "a = [1\n", NULL},
    {entries_toml, "a = ]\n", NULL},
    {entries_toml, "a = 'b' c = 'd'\n", NULL},
    {entries_toml,
     "a = {b = {c = {d = {e = {f = {g = {h = {i = {j = {k = {l = {m = {n = {o = {p = {q = {r = 1\n",
     NULL},
    {entries_npm, "a=b\n c = \"d e\" \n;x\n#y\nf\n", "|a|b\n|c|d e\n|f|true\n"},
    {entries_npm, "a[]=1\na[]=2\n", "|a[]|1\n|a[]|2\n"},
    {entries_npm, "//h:1/p/:_authToken=x=y==\n", "|//h:1/p/:_authToken|x=y==\n"},
    {entries_npm, "a = b ; c\nd = e\\;f\n[s]\ng=h\n", "|a|b\n|d|e;f\n"},
    {entries_npm, "a = 'b;c'\n", "|a|b;c\n"},
    {entries_pip, "[g]\nA_b = 1\n  2\n\n  3\nc: d\n", "g|a-b|1\n2\n3\ng|c|d\n"},
    {entries_pip, "[g]\n--x = y = z\n", "g|x|y = z\n"},
    {entries_pip, "[g]\nx\n", NULL},
    {entries_pip, "x = 1\n", NULL},
    {entries_deb822, "A: b\n c\nD:e\n\n\nF: g\n#x\nH: i\n", "|A|b\nc\n|D|e\n|F|g\n|H|i\n"},
    {entries_deb822, " a\n", NULL},
    {entries_deb822, "a\n", NULL},
    {entries_deb822, ": a\n", NULL},
};

START_TEST(a_clients_file_is_taken_apart)
{
    AUTO_ARENA struct arena *a = arena_new();
    AUTO_BUF struct buf out = BUF(64u << 10);
    struct entries e = {0};
    struct err err = {0};
    bool ok = cases[_i].parse(span_str(cases[_i].text), a, &e, &err);
    ck_assert_msg(ok == (cases[_i].entries != NULL), "%s: %s", cases[_i].text, err.text);
    if (ok) {
        print_entries(&e, &out);
        ck_assert_str_eq(buf_cstr(&out), cases[_i].entries);
    } else {
        ck_assert_msg(strncmp(err.text, "line ", 5) == 0, "%s", err.text);
    }
    VEC_FREE(&e);
}
END_TEST

static const char *variable(void *ctx, const char *name)
{
    (void)ctx;
    return strcmp(name, "A") == 0 ? "1" : strcmp(name, "B_C") == 0 ? "two" : NULL;
}

static const struct {
    const char *text, *expanded;
} expansions[] = {
    {"x", "x"},         {"${A}", "1"},  {"a${A}b${B_C}c", "a1btwoc"},
    {"${NO}", "${NO}"}, {"${NO?}", ""}, {"${A?}", "1"},
    {"\\${A}", "${A}"}, {"${", "${"},   {"${}", "${}"},
    {"${A", "${A"},     {"$A", "$A"},   {"${${A}}", "${1}"},
};

START_TEST(variables_in_npmrc_are_put_in)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct span got = npm_expand(span_str(expansions[_i].text), a, variable, NULL);
    ck_assert_msg(span_eq_str(got, expansions[_i].expanded), "%s: %.*s", expansions[_i].text,
                  SPAN_ARG(got));
}
END_TEST

START_TEST(a_nul_makes_a_file_no_text)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct entries e = {0};
    struct err err = {0};
    ck_assert(!entries_toml(span_of("a=1\nb='\0'", 9), a, &e, &err));
    ck_assert_str_eq(err.text, "line 2: a NUL character");
    ck_assert(!entries_npm(span_of("a=\0", 3), a, &e, &err));
    ck_assert(!entries_pip(span_of("[a]\0", 4), a, &e, &err));
    ck_assert(!entries_deb822(span_of("a:\0", 3), a, &e, &err));
    VEC_FREE(&e);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("discover_files");
    TCase *t = tcase_create("discover_files");
    tcase_add_loop_test(t, a_clients_file_is_taken_apart, 0, COUNT(cases));
    tcase_add_loop_test(t, variables_in_npmrc_are_put_in, 0, COUNT(expansions));
    tcase_add_test(t, a_nul_makes_a_file_no_text);
    suite_add_tcase(s, t);
    return s;
}
