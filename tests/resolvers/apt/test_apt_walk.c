/* SPDX-License-Identifier: Apache-2.0 */
/* What an install brings along. Each case is a small archive; the expectations are what apt-get -s
 * --no-install-recommends does with it. */
#include "resolvers/apt/check.h"
#include "tests/test_main.h"

struct scene {
    struct buf indexes[3];
    struct apt_list lists[2];
    struct apt_index status;
    struct apt_universe *u;
};

static void open_scene(struct scene *s, const char *main_list, const char *second,
                       const char *status)
{
    const char *texts[3] = {main_list, second ? second : "", status ? status : ""};
    struct err err = {0};
    memset(s, 0, sizeof(*s));
    for (int i = 0; i < 3; i++) {
        struct apt_index *x = i < 2 ? &s->lists[i].index : &s->status;
        s->indexes[i] = BUF(1 << 20);
        ck_assert(apt_index_build(span_str(texts[i]), &s->indexes[i], &err));
        ck_assert(apt_index_open(span_str(texts[i]), buf_span(&s->indexes[i]), x, &err));
    }
    s->lists[0].pin = 500;
    s->lists[0].codename = SPAN("stable");
    s->lists[1].pin = 100;
    s->lists[1].codename = SPAN("backports");
    s->u = apt_universe_new(s->lists, 2, &s->status, "amd64");
}

static void close_scene(struct scene *s)
{
    apt_universe_free(s->u);
    for (int i = 0; i < 3; i++)
        buf_release(&s->indexes[i]);
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "name=version" of what is new, "-name" of what goes, sorted, with spaces between. */
static const char *outcome(struct scene *s)
{
    const char *parts[64];
    size_t n = 0;
    for (size_t i = 0; i < s->u->names.n; i++) {
        const struct apt_name *m = s->u->names.v[i].value;
        if (m->chosen && m->chosen != m->installed)
            parts[n++] = arena_printf(s->u->arena, "%.*s=%.*s", SPAN_ARG(m->name),
                                      SPAN_ARG(m->chosen->version));
        else if (m->removed)
            parts[n++] = arena_printf(s->u->arena, "-%.*s", SPAN_ARG(m->name));
    }
    qsort(parts, n, sizeof(parts[0]), compare_text);
    const char *all = "";
    for (size_t i = 0; i < n; i++)
        all = arena_printf(s->u->arena, "%s%s%s", all, i ? " " : "", parts[i]);
    return all;
}

#define P(name, version, rest)                                                                     \
    "Package: " name "\nVersion: " version "\nArchitecture: amd64\n" rest "\n"
#define S(name, version, rest)                                                                     \
    "Package: " name "\nStatus: install ok installed\nVersion: " version                           \
    "\nArchitecture: amd64\n" rest "\n"

static const struct {
    const char *list, *second, *status, *ask, *version, *suite, *want;
} cases[] = {
    /* The first alternative, not the shortest way. */
    {P("a", "1", "Depends: b | c\n") P("b", "1", "Depends: d\n") P("c", "1", "") P("d", "1", ""),
     NULL, NULL, "a", "", "", "a=1 b=1 d=1"},
    /* The second one when the first cannot be had. */
    {P("a", "1", "Depends: b | c\n") P("b", "1", "Depends: nothing\n") P("c", "1", ""), NULL, NULL,
     "a", "", "", "a=1 c=1"},
    /* What is installed satisfies, also through Provides. */
    {P("a", "1", "Depends: b | mta\n") P("b", "1", ""), NULL, S("x", "1", "Provides: mta\n"), "a",
     "", "", "a=1"},
    /* A real package of the name goes before providers; important providers before others. */
    {P("a", "1", "Depends: v\n") P("p", "1", "Provides: v\n") P("v", "1", ""), NULL, NULL, "a", "",
     "", "a=1 v=1"},
    {P("a", "1", "Depends: v\n") P("p", "1", "Priority: optional\nProvides: v\n")
         P("q", "1", "Priority: important\nProvides: v\n"),
     NULL, NULL, "a", "", "", "a=1 q=1"},
    /* A versioned relation needs a versioned Provides. */
    {P("a", "1", "Depends: v (>= 2)\n") P("p", "1", "Provides: v\n")
         P("q", "1", "Provides: v (= 2)\n"),
     NULL, NULL, "a", "", "", "a=1 q=1"},
    /* An upgrade only where it is needed, and then of its whole source. */
    {P("a", "1", "Depends: l (>= 2)\n") P("l", "2", "Source: s\n") P("m", "2", "Source: s\n"), NULL,
     S("l", "1", "Source: s\n") S("m", "1", "Source: s\n"), "a", "", "", "a=1 l=2 m=2"},
    {P("a", "1", "Depends: l\n") P("l", "2", ""), NULL, S("l", "1", ""), "a", "", "", "a=1"},
    /* A package in the way goes, unless it is essential. */
    {P("a", "1", "Conflicts: o\n"), NULL, S("o", "1", ""), "a", "", "", "-o a=1"},
    {P("a", "1", "Breaks: o (<< 2)\n") P("o", "2", ""), NULL, S("o", "1", ""), "a", "", "",
     "a=1 o=2"},
    /* Pins: a backport is taken only when it is asked for. */
    {P("a", "1", ""), P("a", "2", ""), NULL, "a", "", "", "a=1"},
    {P("a", "1", ""), P("a", "2", ""), NULL, "a", "", "backports", "a=2"},
    {P("a", "1", "") P("a", "0", ""), NULL, NULL, "a", "0", "", "a=0"},
    /* One that a single package provides stands for it. */
    {P("p", "1", "Provides: v\n"), NULL, NULL, "v", "", "", "p=1"},
    /* Already there: nothing to do. No downgrade. */
    {P("a", "1", ""), NULL, S("a", "2", ""), "a", "", "", ""},
    /* Circles end. */
    {P("a", "1", "Depends: b\n") P("b", "1", "Depends: a\n"), NULL, NULL, "a", "", "", "a=1 b=1"},
    /* Only unpacked configuration left: not installed. */
    {P("a", "1", "Depends: b\n") P("b", "1", ""), NULL,
     "Package: b\nStatus: deinstall ok config-files\nVersion: 1\nArchitecture: amd64\n\n", "a", "",
     "", "a=1 b=1"},
};

START_TEST(the_walk_chooses_as_apt_does)
{
    struct scene s;
    struct err err = {0};
    open_scene(&s, cases[_i].list, cases[_i].second, cases[_i].status);
    struct apt_request r = {span_str(cases[_i].ask), span_str(cases[_i].version),
                            span_str(cases[_i].suite)};
    bool ok = apt_walk(s.u, &r, 1, &err) && apt_check(s.u, &err);
    ck_assert_msg(ok, "%d: %s", _i, err.text);
    ck_assert_str_eq(outcome(&s), cases[_i].want);
    close_scene(&s);
}
END_TEST

static const struct {
    const char *list, *status, *ask, *version, *words;
    enum err_code code;
} failures[] = {
    {P("a", "1", ""), NULL, "b", "", "no list has a package of this name", ERR_NO_PACKAGE},
    {P("a", "1", ""), NULL, "a", "2", "there are: 1", ERR_NO_PACKAGE},
    {P("a", "1", "Provides: v\n") P("b", "1", "Provides: v\n"), NULL, "v", "", "a, b",
     ERR_NO_PACKAGE},
    {P("a", "1", "Depends: gone (>= 3)\n"), NULL, "a", "",
     "a 1 depends on gone (>= 3), which cannot be installed", ERR_UNRESOLVABLE},
    {P("a", "1", "Depends: b\n") P("b", "1", "Depends: gone\n"), NULL, "a", "",
     "b 1 depends on gone", ERR_UNRESOLVABLE},
    {P("a", "1", "Conflicts: e\n"), S("e", "1", "Essential: yes\n"), "a", "", "conflicts with e",
     ERR_UNRESOLVABLE},
};

START_TEST(failures_name_the_package_and_the_cause)
{
    struct scene s;
    struct err err = {0};
    open_scene(&s, failures[_i].list, NULL, failures[_i].status);
    struct apt_request r = {span_str(failures[_i].ask), span_str(failures[_i].version), SPAN("")};
    ck_assert(!apt_walk(s.u, &r, 1, &err));
    ck_assert_msg(strstr(err.text, failures[_i].words), "%s", err.text);
    ck_assert_int_eq(err.code, failures[_i].code);
    close_scene(&s);
}
END_TEST

static const struct {
    const char *list, *status, *ask, *want; /* want NULL: unsolvable */
    const char *words;
} corners[] = {
    /* The first alternative excludes what comes later: another way is found. */
    {P("a", "1", "Depends: b | c, d\n") P("b", "1", "Conflicts: d\n") P("c", "1", "")
         P("d", "1", ""),
     NULL, "a", "a=1 c=1 d=1", NULL},
    /* Something installed would lose its dependency: it goes too. */
    {P("a", "1", "Conflicts: l\n"), S("l", "1", "") S("user", "1", "Depends: l\n"), "a",
     "-l -user a=1", NULL},
    {P("a", "1", "Depends: b, c\n") P("b", "1", "Conflicts: c\n") P("c", "1", ""), NULL, "a", NULL,
     "conflicts with c"},
    {P("a", "1", "Depends: b (>= 2)\n") P("b", "1", ""), NULL, "a", NULL, "b >= 2"},
};

START_TEST(corners_are_searched_and_conflicts_told_in_words)
{
    struct scene s;
    struct err err = {0};
    open_scene(&s, corners[_i].list, NULL, corners[_i].status);
    struct apt_request r = {span_str(corners[_i].ask), SPAN(""), SPAN("")};
    bool ok = apt_choose(s.u, &r, 1, &err);
    if (corners[_i].want) {
        ck_assert_msg(ok && err.code == ERR_NONE, "%s", err.text);
        ck_assert_str_eq(outcome(&s), corners[_i].want);
    } else {
        ck_assert(!ok && err.code == ERR_UNRESOLVABLE);
        ck_assert_msg(strstr(err.text, corners[_i].words), "%s", err.text);
    }
    close_scene(&s);
}
END_TEST

static const struct {
    const char *list, *first, *second, *want;
} pairs[] = {
    /* What was asked for satisfies what it can, wherever it stands in the request. */
    {P("n", "1", "Depends: mb | m\n") P("ma", "1", "Provides: m\nConflicts: m\n")
         P("mb", "1", "Provides: m\nConflicts: m\n"),
     "n", "ma", "ma=1 n=1"},
    {P("x", "1", "Depends: a | b\n") P("a", "1", "") P("b", "1", "") P("c", "1", "Conflicts: a\n"),
     "x", "c", "b=1 c=1 x=1"},
};

START_TEST(requests_are_looked_at_together)
{
    struct scene s;
    for (int turn = 0; turn < 2; turn++) {
        struct err err = {0};
        open_scene(&s, pairs[_i].list, NULL, NULL);
        struct apt_request r[2] = {{span_str(pairs[_i].first), SPAN(""), SPAN("")},
                                   {span_str(pairs[_i].second), SPAN(""), SPAN("")}};
        struct apt_request turned[2] = {r[1], r[0]};
        bool ok = apt_choose(s.u, turn ? turned : r, 2, &err);
        ck_assert_msg(ok && err.code == ERR_NONE, "%s", err.text);
        ck_assert_str_eq(outcome(&s), pairs[_i].want);
        close_scene(&s);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("apt_walk");
    TCase *tc = tcase_create("walk");
    tcase_add_loop_test(tc, the_walk_chooses_as_apt_does, 0, COUNT(cases));
    tcase_add_loop_test(tc, failures_name_the_package_and_the_cause, 0, COUNT(failures));
    tcase_add_loop_test(tc, corners_are_searched_and_conflicts_told_in_words, 0, COUNT(corners));
    tcase_add_loop_test(tc, requests_are_looked_at_together, 0, COUNT(pairs));
    suite_add_tcase(s, tc);
    return s;
}
