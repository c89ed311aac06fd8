/* SPDX-License-Identifier: Apache-2.0 */
/* Versions, control data and the index. Orders and validity were checked with dpkg
 * --compare-versions on thousands of random pairs; these are the telling ones. */
#include "base/mem.h"
#include "resolvers/apt/control.h"
#include "resolvers/apt/index.h"
#include "tests/test_main.h"

static const char *const ascending[] = {
    "0",      "1.0~~",  "1.0~~a", "1.0~",     "1.0~rc1-1", "1.0-1~bpo1", "1.0-1",   "1.0-1.1",
    "1.0-2",  "1.0-10", "1.0a",   "1.0+b1-1", "1.0.1-1",   "1.9",        "1.10",    "1.10+dfsg",
    "1.10.0", "2a",     "2ab",    "2b",       "10",        "1:0.5",      "1:0.5-1", "2:0",
};

START_TEST(versions_sort_as_dpkg_sorts_them)
{
    for (size_t i = 0; i < COUNT(ascending); i++)
        for (size_t j = 0; j < COUNT(ascending); j++) {
            int d = apt_version_cmp(span_str(ascending[i]), span_str(ascending[j]));
            ck_assert_msg((d > 0) - (d < 0) == (i > j) - (i < j), "%s %s", ascending[i],
                          ascending[j]);
        }
    ck_assert_int_eq(apt_version_cmp(SPAN("1.0"), SPAN("0:1.0-0")), 0);
    ck_assert_int_eq(apt_version_cmp(SPAN("1.007"), SPAN("1.7")), 0);
}
END_TEST

START_TEST(malformed_versions_are_refused)
{
    static const char *const bad[] = {
        "", "a:1", ":1", "1:", "1 2", "1_2", "1-2_3", "99999999999:1"};
    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert_msg(!apt_version_valid(span_str(bad[i])), "%s", bad[i]);
    ck_assert(apt_version_valid(SPAN("2:1.0~rc1+b2-3.1")));
}
END_TEST

START_TEST(dependency_fields_are_taken_apart)
{
    struct span rest = SPAN("libc6 (>= 2.14), a:any | b (<< 1:2) [amd64], , bad (>=, c(=1)"), group;
    struct apt_relation_term t;
    ck_assert(control_group(&rest, &group) && control_alternative(&group, &t));
    ck_assert(span_eq(t.name, SPAN("libc6")) && t.relation == APT_GE);
    ck_assert(span_eq(t.version, SPAN("2.14")) && !control_alternative(&group, &t));
    ck_assert(control_group(&rest, &group) && control_alternative(&group, &t));
    ck_assert(span_eq(t.name, SPAN("a")) && span_eq(t.arch, SPAN("any")));
    ck_assert(control_alternative(&group, &t) && t.relation == APT_LT);
    ck_assert(span_eq(t.version, SPAN("1:2")));
    ck_assert(control_group(&rest, &group) && !control_alternative(&group, &t));
    ck_assert(control_group(&rest, &group) && control_alternative(&group, &t));
    ck_assert(span_eq(t.name, SPAN("c")) && t.relation == APT_EQ);
    ck_assert(!control_group(&rest, &group));
}
END_TEST

#define LIST                                                                                       \
    "Package: b\nVersion: 1\nProvides: v (= 2), w\n\n"                                             \
    "Package: a\nVersion: 2\nDescription: x\n Package: no\n\n\n"                                   \
    "Version: 3\n\n"                                                                               \
    "Package: a\nVersion: 1\nProvides: v\n"

START_TEST(the_index_finds_names_and_providers)
{
    AUTO_BUF struct buf bytes = BUF(1 << 20);
    struct err err = {0};
    struct apt_index x;
    const struct apt_index_row *row;
    ck_assert(apt_index_build(SPAN(LIST), &bytes, &err));
    ck_assert_msg(apt_index_open(SPAN(LIST), buf_span(&bytes), &x, &err), "%s", err.text);
    ck_assert_uint_eq(apt_index_find(&x, SPAN("a"), &row), 2);
    ck_assert(span_eq(control_get(apt_index_stanza(&x, row), SPAN("Version")), SPAN("2")));
    ck_assert_uint_eq(apt_index_find(&x, SPAN("no"), &row), 0);
    ck_assert_uint_eq(apt_index_providers(&x, SPAN("v"), &row), 2);
    ck_assert_uint_eq(apt_index_providers(&x, SPAN("w"), &row), 1);
}
END_TEST

START_TEST(damaged_indexes_are_refused)
{
    AUTO_BUF struct buf bytes = BUF(1 << 20);
    struct err err = {0};
    struct apt_index x;
    ck_assert(apt_index_build(SPAN(LIST), &bytes, &err));
    struct span whole = buf_span(&bytes);
    for (size_t n = 0; n < whole.len; n++)
        ck_assert(!apt_index_open(SPAN(LIST), span_slice(whole, 0, n), &x, &err));
    ck_assert(!apt_index_open(SPAN("Package: b\n"), whole, &x, &err));
    memset(bytes.ptr + bytes.len - 16, 0xff, 4);
    ck_assert(!apt_index_open(SPAN(LIST), whole, &x, &err));
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("apt_version");
    TCase *tc = tcase_create("version");
    tcase_add_test(tc, versions_sort_as_dpkg_sorts_them);
    tcase_add_test(tc, malformed_versions_are_refused);
    tcase_add_test(tc, dependency_fields_are_taken_apart);
    tcase_add_test(tc, the_index_finds_names_and_providers);
    tcase_add_test(tc, damaged_indexes_are_refused);
    suite_add_tcase(s, tc);
    return s;
}
