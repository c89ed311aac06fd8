/* SPDX-License-Identifier: Apache-2.0 */
/* Versions and specifiers (PEP 440). */
#include "base/mem.h"
#include "resolvers/pip/version.h"
#include "tests/test_main.h"

static const struct {
    const char *text, *normal; /* NULL: no version */
} forms[] = {
    {"1.0", "1.0"},
    {"v1.0", "1.0"},
    {" 1.0 ", "1.0"},
    {"01.002", "1.2"},
    {"1.0alpha1", "1.0a1"},
    {"1.0.beta-2", "1.0b2"},
    {"1.0-c3", "1.0rc3"},
    {"1.0_pre", "1.0rc0"},
    {"1.0PREVIEW.4", "1.0rc4"},
    {"1.0-1", "1.0.post1"},
    {"1.0.rev5", "1.0.post5"},
    {"1.0r", "1.0.post0"},
    {"1.0.dev", "1.0.dev0"},
    {"1.0a1.post2.dev3", "1.0a1.post2.dev3"},
    {"2!1.0", "2!1.0"},
    {"1.0+Ubuntu-1_2.03", "1.0+ubuntu.1.2.3"},
    {"1.0a-.dev1", "1.0a0.dev1"},
    {"20240101123456789012345", "20240101123456789012345"},
    {"", NULL},
    {"a", NULL},
    {"1.", NULL},
    {"1..0", NULL},
    {"1.0+", NULL},
    {"1.0+a..b", NULL},
    {"1.0-x", NULL},
    {"1.0 1", NULL},
    {"1!", NULL},
    {"==1.0", NULL},
    {"99999999999999999999999999999999999999999999", NULL},
};

START_TEST(versions_are_normalised)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct pip_version v;
    bool ok = pip_version_parse(span_str(forms[_i].text), a, &v);
    ck_assert_msg(ok == (forms[_i].normal != NULL), "%s", forms[_i].text);
    if (ok)
        ck_assert_str_eq(v.text.ptr, forms[_i].normal);
}
END_TEST

START_TEST(versions_are_ordered)
{
    static const char *const order[] = {"1.0.dev1",       "1.0a1.dev1", "1.0a1",      "1.0a1.post1",
                                        "1.0b2",          "1.0rc1",     "1.0",        "1.0+abc",
                                        "1.0+abc.5",      "1.0+abc.10", "1.0+1.0",    "1.0+5",
                                        "1.0.post1.dev1", "1.0.post1",  "1.0.1.dev0", "1.1.dev1",
                                        "1.10",           "256",        "70000",      "1!0.1"};
    AUTO_ARENA struct arena *a = arena_new();
    struct pip_version v[COUNT(order)];
    for (size_t i = 0; i < COUNT(order); i++) {
        ck_assert(pip_version_parse(span_str(order[i]), a, &v[i]));
        for (size_t k = 0; k < i; k++)
            ck_assert_msg(pip_version_cmp(&v[k], &v[i]) < 0, "%s < %s", order[k], order[i]);
    }
}
END_TEST

START_TEST(trailing_zeros_do_not_count_but_are_kept)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct pip_version v, w;
    ck_assert(pip_version_parse(SPAN("1.0"), a, &v) && pip_version_parse(SPAN("1.0.0"), a, &w));
    ck_assert_int_eq(pip_version_cmp(&v, &w), 0);
    ck_assert(!span_eq(v.key, w.key));
    ck_assert_str_eq(pip_key_text(w.key, a), "1.0.0");
    ck_assert(pip_version_parse(SPAN("2!1.0rc2.post3.dev4+x.5"), a, &v));
    ck_assert_str_eq(pip_key_text(v.key, a), "2!1.0rc2.post3.dev4+x.5");
}
END_TEST

static const struct {
    const char *specs, *yes, *no; /* versions, separated by spaces */
} matches[] = {
    {"==1.0", "1.0 1.0.0 1.0+x", "1.0.1 1.0a1 1.0.post1 1!1.0"},
    {"==1.0+x", "1.0+x 1+X", "1.0 1.0+y 1.0+x.1"},
    {"!=1.0", "1.1 1.0.post1", "1.0 1.0+x"},
    {"==1.1.*", "1.1 1.1.dev1 1.1.post1+l 1.1.9", "1.2 1.2.dev1 1.0"},
    {"!=1.1.*", "1.0 1.2.dev1", "1.1a1 1.1.3"},
    {">1.0", "1.1 1.0.1 1.1.dev0", "1.0 1.0+x 1.0.post1"},
    {">1.0.post1", "1.0.post2 1.1", "1.0 1.0.post1 1.0.post1+x"},
    {">=1.0", "1.0 1.0+x 1.0.post1 2", "1.0rc1 0.9"},
    {"<1.0", "0.9 0.9.post3", "1.0 1.0a1 1.0.dev1"},
    {"<1.0rc1", "1.0a1 1.0b9", "1.0rc1 1.0"},
    {"<=1.0", "1.0 1.0+x 1.0a1", "1.0.post1 1.1"},
    {"~=2.2", "2.2 2.9 2.2.post1", "3.0 2.1 3.0.dev1"},
    {"~=2.2.post3", "2.2.post3 2.9", "2.2.post2 3.0"},
    {"~=1.4.5a4", "1.4.5a4 1.4.9", "1.4.5a3 1.5"},
    {"===1.0", "1.0", "1.0.0 1.0+x"},
    {"===1.0-1", "", "1.0.post1"},
    {">=1,<2,!=1.5", "1 1.4", "1.5 2 2.0.dev1"},
    {">1,<1", "", "1 1.0.post1"},
    {"", "1 2!3 0.1.dev0", ""},
};

START_TEST(specifiers_match)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct pip_specs s;
    ck_assert(pip_specs_parse(span_str(matches[_i].specs), a, &s, NULL));
    for (int want = 0; want < 2; want++) {
        struct span rest = span_str(want ? matches[_i].yes : matches[_i].no), piece;
        while (span_next(&rest, ' ', &piece)) {
            struct pip_version v;
            if (!piece.len)
                continue;
            ck_assert(pip_version_parse(piece, a, &v));
            ck_assert_msg(pip_specs_match(&s, &v) == want, "%s %.*s", matches[_i].specs,
                          SPAN_ARG(piece));
        }
    }
}
END_TEST

START_TEST(malformed_specifiers_say_why)
{
    static const char *const bad[] = {"1.0",       "=1.0",    "==",     "~=2",   ">=1.0.*",
                                      "==1.0a1.*", ">=1.0+x", "==1.0+", "= =1",  "==1 2",
                                      "~=1.*",     "!1",      "==*",    "===1 2"};
    AUTO_ARENA struct arena *a = arena_new();
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct pip_specs s;
        struct err err = {0};
        ck_assert_msg(!pip_specs_parse(span_str(bad[i]), a, &s, &err), "%s", bad[i]);
        ck_assert(err.code == ERR_INVALID && strlen(err.text) > 20);
    }
}
END_TEST

START_TEST(naming_a_prerelease_is_noticed)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct pip_specs s;
    ck_assert(pip_specs_parse(SPAN(">=1.0a1"), a, &s, NULL) && s.prerelease && !s.pinned);
    ck_assert(pip_specs_parse(SPAN("<2.dev0,>1"), a, &s, NULL) && s.prerelease);
    ck_assert(pip_specs_parse(SPAN("!=1.0a1"), a, &s, NULL) && !s.prerelease);
    ck_assert(pip_specs_parse(SPAN("==1.*"), a, &s, NULL) && !s.prerelease && !s.pinned);
    ck_assert(pip_specs_parse(SPAN("==1"), a, &s, NULL) && !s.prerelease && s.pinned);
    ck_assert(pip_specs_parse(SPAN("===x"), a, &s, NULL) && !s.prerelease && s.pinned);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("pip_version");
    TCase *tc = tcase_create("pip_version");
    tcase_add_loop_test(tc, versions_are_normalised, 0, (int)COUNT(forms));
    tcase_add_test(tc, versions_are_ordered);
    tcase_add_test(tc, trailing_zeros_do_not_count_but_are_kept);
    tcase_add_loop_test(tc, specifiers_match, 0, (int)COUNT(matches));
    tcase_add_test(tc, malformed_specifiers_say_why);
    tcase_add_test(tc, naming_a_prerelease_is_noticed);
    suite_add_tcase(s, tc);
    return s;
}
