/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <uv.h>

#include "resolvers/apt/spec.h"
#include "resolvers/cargo/spec.h"
#include "resolvers/gem/spec.h"
#include "resolvers/go/spec.h"
#include "resolvers/resolver.h"
#include "tests/test_main.h"

static const struct {
    const char *manager, *spec;
    const char *error; /* NULL: well-formed */
} cases[] = {
    {"apt", "jq", NULL},
    {"apt", "g++", NULL},
    {"apt", "libc6:i386", NULL},
    {"apt", "libstdc++6", NULL},
    {"apt", "0ad", NULL},
    {"apt", "jq=1.6-2.1", NULL},
    {"apt", "vim=2:9.0.1378-2+deb12u2", NULL},
    {"apt", "a1=1.0~rc1", NULL},
    {"apt", "jq/bookworm-backports", NULL},
    {"apt", "libc6:amd64=2.36-9", NULL},
    {"apt", "libc6:amd64/stable", NULL},
    {"apt", "", "empty"},
    {"apt", "j", "two characters"},
    {"apt", "Jq", "offset 0: a package's name begins with a lower-case letter"},
    {"apt", "-jq", "offset 0"},
    {"apt", "+jq", "offset 0"},
    {"apt", "jq-", "remove"},
    {"apt", "jq=", "offset 3: expected a version"},
    {"apt", "jq=abc", "a version begins with a digit"},
    {"apt", "jq=1:", "a version begins with a digit"},
    {"apt", "jq=a:1", "epoch"},
    {"apt", "jq=1.6-", "revision"},
    {"apt", "jq=1.6 -y", "offset 6"},
    {"apt", "jq/", "expected a suite"},
    {"apt", "jq/-o", "expected a suite"},
    {"apt", "jq/stable=1", "offset 9"},
    {"apt", "jq:", "architecture"},
    {"apt", "jq curl", "offset 2"},
    {"apt", "lib*", "offset 3"},
    {"apt", "./x.deb", "offset 0"},
    {"apt", "task^", "offset 4"},

    {"cargo", "ripgrep", NULL},
    {"cargo", "ripgrep@14.1.1", NULL},
    {"cargo", "a_b-C9@0.0.0", NULL},
    {"cargo", "x@1.0.0-alpha.1+build.5", NULL},
    {"cargo", "x@^1.2", NULL},
    {"cargo", "x@~1.2.0", NULL},
    {"cargo", "x@1.*", NULL},
    {"cargo", "x@1.2.*", NULL},
    {"cargo", "x@*", NULL},
    {"cargo", "x@=1.2", NULL},
    {"cargo", "x@>=1.2, <1.5", NULL},
    {"cargo", "x@>= 1.2.3-rc.1,<2", NULL},
    {"cargo", "", "empty"},
    {"cargo", "9x", "begins with a letter"},
    {"cargo", "-x", "begins with a letter"},
    {"cargo", "x y", "offset 1"},
    {"cargo", "x@", "expected a version"},
    {"cargo", "x@1", "three numbers"},
    {"cargo", "x@1.2", "three numbers"},
    {"cargo", "x@latest", "tags do not exist"},
    {"cargo", "x@v1.2.0", "offset 2"},
    {"cargo", "x@01.2.3", "leading zeros"},
    {"cargo", "x@1.2.3-01", "leading zeros"},
    {"cargo", "x@1.2.3-", "expected letters"},
    {"cargo", "x@1.2.3.4", "expected the end"},
    {"cargo", "x@1.2.3 ", "expected the end"},
    {"cargo", "x@^", "expected a number"},
    {"cargo", "x@>=1,", "expected a number"},
    {"cargo", "x@>=1 <2", "expected \",\""},
    {"cargo", "x@1.*.3", "no number may follow"},
    {"cargo", "x@*, 1", "stands alone"},
    {"cargo", "x@99999999999999999999.0.0", "too large"},
    {"cargo", "serde::x", "offset 5"},

    {"gem", "rails", NULL},
    {"gem", "rails:7.1.0", NULL},
    {"gem", "rack:~> 3.0", NULL},
    {"gem", "rack:~>3.0", NULL},
    {"gem", "rack: >= 3.0.a1", NULL},
    {"gem", "a-b_c.d:1.0-1", NULL},
    {"gem", "x:!= 2", NULL},
    {"gem", "", "empty"},
    {"gem", "-x", "offset 0"},
    {"gem", ":1", "offset 0"},
    {"gem", "123", "at least one letter"},
    {"gem", "a b", "offset 1"},
    {"gem", "a@1.0", "offset 1"},
    {"gem", "a:", "expected a version"},
    {"gem", "a:v1", "expected a version"},
    {"gem", "a:~>", "expected a version"},
    {"gem", "a:1..2", "expected letters or digits"},
    {"gem", "a:>= 1, < 3", "only one requirement"},
    {"gem", "a:=> 1", "offset 3"},
    {"gem", "a:1:2", "expected the end"},

    {"go", "golang.example.com/x/tools/cmd/goimports@v0.24.0", NULL},
    {"go", "example.com/tool@latest", NULL},
    {"go", "example.com/tool@upgrade", NULL},
    {"go", "example.com/Tool/v2@v2", NULL},
    {"go", "example.com/tool@v1.2", NULL},
    {"go", "example.com/tool@>=v1.2.3", NULL},
    {"go", "example.com/tool@<v2", NULL},
    {"go", "example.com/tool@master", NULL},
    {"go", "example.com/tool@0123456789ab", NULL},
    {"go", "example.com/tool@1234567", NULL},
    {"go", "example.com/tool@v0.0.0-20240101000000-0123456789ab", NULL},
    {"go", "example.com/tool@v2.0.0+incompatible", NULL},
    {"go", "example.com/m/...@v1.0.0", NULL},
    {"go", "gopkg.example.com/yaml.v3@v3.0.1", NULL},
    {"go", "", "empty"},
    {"go", "example.com/tool", "version is missing"},
    {"go", "example.com/tool@", "expected a version"},
    {"go", "example.com/tool@patch", "\"patch\""},
    {"go", "example.com/tool@none", "\"none\""},
    {"go", "example.com/tool@1.2.3", "begins with \"v\""},
    {"go", "example.com/tool@>=1.2.3", "expected a version such as"},
    {"go", "example.com/tool@>=", "expected a version such as"},
    {"go", "example.com/tool@a/b", "a branch or commit has"},
    {"go", "example.com/tool@a@b", "a branch or commit has"},
    {"go", "example.com/tool@-x", "begins with"},
    {"go", "fmt@latest", "standard library"},
    {"go", "cmd/go@v1.20.0", "standard library"},
    {"go", "./tool@latest", "dots only"},
    {"go", "/example.com/x@latest", "empty path element"},
    {"go", "example.com//x@latest", "offset 12: an empty path element"},
    {"go", "example.com/x/@latest", "empty path element"},
    {"go", "example.com/../x@latest", "dots only"},
    {"go", "example.com/x.@latest", "ends in a dot"},
    {"go", "example.com/con@latest", "reserve"},
    {"go", "example.com/COM1.x@latest", "reserve"},
    {"go", "example.com/foo~1@latest", "\"~\" and digits"},
    {"go", "Example.com/x@latest", "lower-case"},
    {"go", "-x.example.com/x@latest", "begins with a letter or a digit"},
    {"go", "https://example.com/x@latest", "offset 5"},
    {"go", "example.com/a b@latest", "offset 13"},
    {"go", "example.com/\xc3\xa4@latest", "offset 12"},
};

START_TEST(a_spec_is_taken_or_refused_with_its_offset)
{
    struct err err = {0};
    const struct resolver_ops *ops = resolver_find(span_str(cases[_i].manager));
    ck_assert_ptr_nonnull(ops);
    bool ok = ops->parse(span_str(cases[_i].spec), &err);
    ck_assert_msg(ok == !cases[_i].error, "%s %s: %s", cases[_i].manager, cases[_i].spec, err.text);
    if (ok)
        return;
    ck_assert_int_eq(err.code, ERR_INVALID);
    ck_assert_msg(strstr(err.text, cases[_i].error) != NULL, "%s: %s", cases[_i].spec, err.text);
    ck_assert_msg(err.text[0] == '"', "%s", err.text);
}
END_TEST

START_TEST(the_parts_of_a_spec_are_told_apart)
{
    struct err err;
    struct apt_spec a;
    struct cargo_spec c;
    struct gem_spec m;
    struct go_spec g;
    ck_assert(apt_spec_parse(SPAN("libc6:i386=2:2.36-9"), &a, &err));
    ck_assert(span_eq(a.name, SPAN("libc6")) && span_eq(a.arch, SPAN("i386")));
    ck_assert(span_eq(a.version, SPAN("2:2.36-9")) && a.suite.len == 0);
    ck_assert(cargo_spec_parse(SPAN("rg@1.2.3"), &c, &err));
    ck_assert(c.exact && span_eq(c.version, SPAN("1.2.3")));
    ck_assert(cargo_spec_parse(SPAN("rg@1.*"), &c, &err) && !c.exact);
    ck_assert(gem_spec_parse(SPAN("rack: ~> 3.0 "), &m, &err));
    ck_assert(span_eq(m.op, SPAN("~>")) && span_eq(m.version, SPAN("3.0")));
    ck_assert(go_spec_parse(SPAN("x.com/y/...@>=v1"), &g, &err));
    ck_assert(g.all_below && g.query == GO_COMPARE && span_eq(g.op, SPAN(">=")));
    ck_assert(go_spec_parse(SPAN("x.com/y@v1"), &g, &err) && g.query == GO_PREFIX);
    ck_assert(go_spec_parse(SPAN("x.com/y@v1.0.0"), &g, &err) && g.query == GO_EXACT);
    ck_assert(go_spec_parse(SPAN("x.com/y@main"), &g, &err) && g.query == GO_REVISION);
}
END_TEST

START_TEST(no_spec_may_hold_a_nul_or_be_huge)
{
    for (size_t i = 0; i < RESOLVER_COUNT; i++) {
        struct err err = {0};
        char huge[5000];
        memset(huge, 'a', sizeof(huge));
        if (strcmp(resolvers[i]->manager, "npm") != 0)
            ck_assert(!resolvers[i]->parse(span_of(huge, 2500), &err));
        ck_assert(!resolvers[i]->parse(span_of("-aa", 3), &err));
        if (!resolvers[i]->unsupported)
            continue;
        ck_assert(!resolvers[i]->parse(span_of("aa\0b", 4), &err) ||
                  strcmp(resolvers[i]->manager, "npm") == 0 ||
                  strcmp(resolvers[i]->manager, "pip") == 0);
        ck_assert(!resolvers[i]->parse(span_of("a.b/c@v1.0.0-\0", 14), &err) ||
                  strcmp(resolvers[i]->manager, "npm") == 0 ||
                  strcmp(resolvers[i]->manager, "pip") == 0);
    }
}
END_TEST

static void resolve_done(struct resolve_job *job)
{
    ++*(int *)job->ctx;
}

static void locate_done(struct locate_job *job)
{
    ++*(int *)job->ctx;
}

START_TEST(an_unsupported_manager_answers_once_from_the_loop)
{
    uv_loop_t loop;
    int calls = 0;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    struct resolve_job r = {.loop = &loop, .done = resolve_done, .ctx = &calls};
    struct locate_job l = {.loop = &loop, .done = locate_done, .ctx = &calls};
    resolver_cannot_resolve(&r);
    resolver_cannot_locate(&l);
    ck_assert_int_eq(calls, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(calls, 2);
    ck_assert_int_eq(r.err.code, ERR_UNSUPPORTED);
    ck_assert_int_eq(l.err.code, ERR_UNSUPPORTED);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

START_TEST(the_table_is_sorted_and_has_no_empty_members)
{
    for (size_t i = 0; i < RESOLVER_COUNT; i++) {
        const struct resolver_ops *o = resolvers[i];
        ck_assert(i == 0 || strcmp(resolvers[i - 1]->manager, o->manager) < 0);
        ck_assert(o->parse && o->resolve && o->cancel && o->locate && o->units && o->fill &&
                  o->environment);
        ck_assert_ptr_eq(resolver_find(span_str(o->manager)), o);
    }
    ck_assert_ptr_null(resolver_find(SPAN("yum")));
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("specs");
    TCase *t = tcase_create("specs");
    tcase_add_loop_test(t, a_spec_is_taken_or_refused_with_its_offset, 0, COUNT(cases));
    tcase_add_test(t, the_parts_of_a_spec_are_told_apart);
    tcase_add_test(t, no_spec_may_hold_a_nul_or_be_huge);
    tcase_add_test(t, an_unsupported_manager_answers_once_from_the_loop);
    tcase_add_test(t, the_table_is_sorted_and_has_no_empty_members);
    suite_add_tcase(s, t);
    return s;
}
