/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/npm/spec.h"
#include "tests/test_main.h"

static const struct {
    const char *arg;
    enum npm_spec_kind kind;
    const char *name, *package, *text;
} good[] = {
    {"express", NPM_SPEC_RANGE, "express", "express", "*"},
    {"express@", NPM_SPEC_RANGE, "express", "express", "*"},
    {"express@*", NPM_SPEC_RANGE, "express", "express", "*"},
    {"express@4.18.0", NPM_SPEC_VERSION, "express", "express", "4.18.0"},
    {"express@v4.18.0", NPM_SPEC_VERSION, "express", "express", "v4.18.0"},
    {"express@=4.18.0", NPM_SPEC_VERSION, "express", "express", "=4.18.0"},
    {"express@1.0.0beta", NPM_SPEC_VERSION, "express", "express", "1.0.0beta"},
    {"express@4", NPM_SPEC_RANGE, "express", "express", "4"},
    {"express@^4 || ^5", NPM_SPEC_RANGE, "express", "express", "^4 || ^5"},
    {"express@ >=1 <3 ", NPM_SPEC_RANGE, "express", "express", ">=1 <3"},
    {"express@next", NPM_SPEC_TAG, "express", "express", "next"},
    {"express@1.2.3.4", NPM_SPEC_TAG, "express", "express", "1.2.3.4"},
    {"@s/x", NPM_SPEC_RANGE, "@s/x", "@s/x", "*"},
    {"@s/x@1.0.0", NPM_SPEC_VERSION, "@s/x", "@s/x", "1.0.0"},
    {"@s/x@latest", NPM_SPEC_TAG, "@s/x", "@s/x", "latest"},
    {"JSONStream", NPM_SPEC_RANGE, "JSONStream", "JSONStream", "*"},
    {"a@npm:b", NPM_SPEC_RANGE, "a", "b", "*"},
    {"a@npm:b@^1", NPM_SPEC_RANGE, "a", "b", "^1"},
    {"@s/a@npm:@t/b@1.2.3", NPM_SPEC_VERSION, "@s/a", "@t/b", "1.2.3"},
    {"a@NPM:b@beta", NPM_SPEC_TAG, "a", "b", "beta"},
    {"npm:b@1.0.0", NPM_SPEC_VERSION, "b", "b", "1.0.0"},
    {"https://example.com/x-1.0.0.tgz", NPM_SPEC_URL, "", "", "https://example.com/x-1.0.0.tgz"},
    {"x@https://example.com/x.tgz", NPM_SPEC_URL, "x", "x", "https://example.com/x.tgz"},
    {"https://github.com/u/r/archive/v1.tar.gz", NPM_SPEC_URL, "", "",
     "https://github.com/u/r/archive/v1.tar.gz"},
    {"https://github.com/u/r", NPM_SPEC_GIT, "", "", "https://github.com/u/r"},
    {"https://github.com/u/r.git#v1", NPM_SPEC_GIT, "", "", "https://github.com/u/r.git#v1"},
    {"u/r", NPM_SPEC_GIT, "", "", "u/r"},
    {"u/r#semver:^1", NPM_SPEC_GIT, "", "", "u/r#semver:^1"},
    {"github:u/r", NPM_SPEC_GIT, "", "", "github:u/r"},
    {"x@github:u/r", NPM_SPEC_GIT, "x", "x", "github:u/r"},
    {"git+ssh://git@example.com/u/r.git", NPM_SPEC_GIT, "", "",
     "git+ssh://git@example.com/u/r.git"},
    {"git@example.com:u/r.git", NPM_SPEC_GIT, "", "", "git@example.com:u/r.git"},
    {"git://example.com/r", NPM_SPEC_GIT, "", "", "git://example.com/r"},
    {"./here", NPM_SPEC_DIRECTORY, "", "", "./here"},
    {"../x.tgz", NPM_SPEC_FILE, "", "", "../x.tgz"},
    {"/x/y", NPM_SPEC_DIRECTORY, "", "", "/x/y"},
    {"~/x", NPM_SPEC_DIRECTORY, "", "", "~/x"},
    {"x.tgz", NPM_SPEC_FILE, "", "", "x.tgz"},
    {"file:x", NPM_SPEC_DIRECTORY, "", "", "file:x"},
    {"x@file:../y.tar.gz", NPM_SPEC_FILE, "x", "x", "file:../y.tar.gz"},
    {"x@workspace:*", NPM_SPEC_WORKSPACE, "x", "x", "workspace:*"},
};

START_TEST(splits_what_npm_takes)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct npm_spec s;
    struct err err = {0};
    ck_assert_msg(npm_spec_parse(a, span_str(good[_i].arg), &s, &err), "%s: %s", good[_i].arg,
                  err.text);
    ck_assert_msg(s.kind == good[_i].kind, "%s: kind %d", good[_i].arg, (int)s.kind);
    ck_assert_msg(span_eq_str(s.name, good[_i].name), "%s: %.*s", good[_i].arg, SPAN_ARG(s.name));
    ck_assert_msg(span_eq_str(s.package, good[_i].package), "%s", good[_i].arg);
    ck_assert_msg(span_eq_str(s.text, good[_i].text), "%s: %.*s", good[_i].arg, SPAN_ARG(s.text));
    ck_assert_int_eq(s.kind == NPM_SPEC_RANGE, s.range != NULL);
    ck_assert_int_eq(npm_spec_supported(&s, &err), s.kind < NPM_SPEC_GIT);
}
END_TEST

static const char *const bad[] = {
    "",
    "-g",
    "--prefix=x",
    "-",
    "@",
    "@s",
    "@s/",
    "@/x",
    ".x@1",
    "_x",
    "x y",
    "x\ty",
    "x\n",
    "a/b/c",
    "@s/x/y",
    "@s/.x",
    "x@a b",
    "x@$(id)",
    "x@1;2",
    "x@foo:bar",
    "x@npm:",
    "x@npm:-y",
    "x@npm:y@npm:z@1",
    "x@npm:./y",
    "node_modules",
    "favicon.ico",
    "x@npm:git://y",
    "x\x01y",
    "x%20",
    "x@ftp://example.com/x.tgz",
    "x@>=1,<2",
    "é",
    "x@latest!\"",
};

START_TEST(refuses_what_is_malformed)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct npm_spec s;
    struct err err = {0};
    bool ok = npm_spec_parse(a, span_str(bad[_i]), &s, &err);
    if (ok) /* npm tells a folder from a name only by its look */
        ok = npm_spec_supported(&s, &err);
    ck_assert_msg(!ok, "\"%s\" is taken as %d", bad[_i], (int)s.kind);
    ck_assert_int_gt(strlen(err.text), 10);
}
END_TEST

START_TEST(reads_dependency_entries)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct npm_spec s;
    ck_assert(npm_spec_of_dependency(a, SPAN("x"), SPAN(""), &s, NULL));
    ck_assert(s.kind == NPM_SPEC_RANGE && s.any);
    ck_assert(npm_spec_of_dependency(a, SPAN("x"), SPAN(" ^1.0.0 "), &s, NULL));
    ck_assert(s.kind == NPM_SPEC_RANGE && !s.any && span_eq(s.text, SPAN("^1.0.0")));
    ck_assert(npm_spec_of_dependency(a, SPAN("x"), SPAN("npm:@t/y@1.0.0"), &s, NULL));
    ck_assert(s.alias && span_eq(s.name, SPAN("x")) && span_eq(s.package, SPAN("@t/y")));
    ck_assert(npm_spec_of_dependency(a, SPAN("x"), SPAN("u/r#v1"), &s, NULL));
    ck_assert_int_eq(s.kind, NPM_SPEC_GIT);
    ck_assert(!npm_spec_of_dependency(a, SPAN("../x"), SPAN("1"), &s, NULL));
    ck_assert(!npm_spec_of_dependency(a, SPAN("x"), SPAN("not a version"), &s, NULL));
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("npm_spec");
    TCase *tc = tcase_create("spec");
    tcase_add_loop_test(tc, splits_what_npm_takes, 0, COUNT(good));
    tcase_add_loop_test(tc, refuses_what_is_malformed, 0, COUNT(bad));
    tcase_add_test(tc, reads_dependency_entries);
    suite_add_tcase(s, tc);
    return s;
}
