/* SPDX-License-Identifier: Apache-2.0 */
/* The solver on universes written as text: one line a version, "a 2: b>=2 c<3". Versions are
 * single digits, so keys are digits too. */
#include "base/map.h"
#include "base/mem.h"
#include "resolvers/solver/pubgrub.h"
#include "tests/test_main.h"

#define MAX_PACKAGES 16
#define MAX_VERSIONS 10
#define MAX_DEPENDS  8

struct release {
    bool exists;
    struct solver_dependency depends[MAX_DEPENDS];
    size_t depend_count;
};

struct universe {
    struct arena *arena;
    char names[MAX_PACKAGES]; /* [0] is the root */
    size_t count;
    struct release releases[MAX_PACKAGES][MAX_VERSIONS];
    int waits; /* answer WAIT so often before each first answer */
    int asked[MAX_PACKAGES][MAX_VERSIONS + 1];
};

static uint32_t package_of(struct universe *u, char name)
{
    for (uint32_t i = 1; i < u->count; i++)
        if (u->names[i] == name)
            return i;
    u->names[u->count] = name;
    return (uint32_t)u->count++;
}

static struct span digit_key(int v)
{
    static const char digits[] = "0123456789";
    return span_of(digits + v, 1);
}

/* "b", "b==2", "b>=2", "b<3". */
static struct solver_dependency depend_of(struct universe *u, struct span text)
{
    struct solver_dependency d = {.text = arena_str(u->arena, text), .set = version_set_all()};
    d.package = package_of(u, text.ptr[0]);
    if (text.len > 1) {
        struct span key = digit_key(text.ptr[text.len - 1] - '0');
        d.set = text.ptr[1] == '='   ? version_set_one(u->arena, key)
                : text.ptr[1] == '>' ? version_set_from(u->arena, key)
                                     : version_set_before(u->arena, key);
    }
    return d;
}

static void add_depends(struct universe *u, struct release *r, struct span text)
{
    struct span piece;
    while (span_next(&text, ' ', &piece))
        if (piece.len)
            r->depends[r->depend_count++] = depend_of(u, piece);
}

/* Lines "a 2: b c<3"; the line ": a" is what is asked for. */
static void universe_init(struct universe *u, const char *text)
{
    *u = (struct universe){.arena = arena_new(), .count = 1};
    struct span rest = span_str(text), line, head, tail;
    while (span_next_line(&rest, &line)) {
        if (!span_cut_char(line, ':', &head, &tail))
            continue;
        uint32_t p = head.len ? package_of(u, head.ptr[0]) : 0;
        struct release *r = &u->releases[p][head.len ? head.ptr[2] - '0' : 0];
        r->exists = true;
        add_depends(u, r, tail);
    }
}

static bool must_wait(struct universe *u, uint32_t package, int version)
{
    return u->asked[package][version]++ < u->waits;
}

static uint64_t priority(void *ctx, uint32_t package, const struct version_set *allowed)
{
    (void)ctx, (void)package;
    return version_set_single(allowed).ptr ? 0 : 1;
}

static enum solver_answer choose(void *ctx, uint32_t package, struct solver_choice *c)
{
    struct universe *u = ctx;
    if (must_wait(u, package, MAX_VERSIONS))
        return SOLVER_WAIT;
    for (int v = MAX_VERSIONS - 1; v >= 0; v--) {
        c->key = digit_key(v);
        if (u->releases[package][v].exists && version_set_has(c->allowed, c->key))
            return SOLVER_KNOWN;
    }
    c->why = arena_printf(u->arena, "no release of %c is allowed", u->names[package]);
    for (int v = 0; v < MAX_VERSIONS; v++)
        if (u->releases[package][v].exists && version_set_has(c->required, digit_key(v)))
            c->why = NULL;
    return SOLVER_NONE;
}

static enum solver_answer depends(void *ctx, uint32_t package, struct span key,
                                  struct solver_dependencies *d)
{
    struct universe *u = ctx;
    if (must_wait(u, package, key.ptr[0] - '0'))
        return SOLVER_WAIT;
    struct release *r = &u->releases[package][key.ptr[0] - '0'];
    d->v = r->depends;
    d->n = r->depend_count;
    return SOLVER_KNOWN;
}

static const char *describe(void *ctx, uint32_t package, const struct version_set *set,
                            struct arena *a)
{
    struct universe *u = ctx;
    char *text = arena_printf(a, "%c", u->names[package]);
    if (version_set_is_all(set))
        return text;
    for (int v = 0; v < MAX_VERSIONS; v++)
        if (u->releases[package][v].exists && version_set_has(set, digit_key(v)))
            text = arena_printf(a, "%s %d", text, v);
    return text;
}

static enum solver_status solve(struct universe *u, struct solver **out)
{
    struct solver_provider p = {priority, choose, depends, describe, NULL, u};
    *out = solver_new(&p, u->releases[0][0].depends, u->releases[0][0].depend_count);
    enum solver_status status;
    do
        status = solver_step(*out);
    while (status == SOLVER_NEEDS || status == SOLVER_MORE);
    return status;
}

/* "a2 b1", by name; or the explanation. */
static char *result_of(const char *text, int waits)
{
    struct universe u;
    struct solver *s;
    struct buf b = BUF(64u << 10);
    universe_init(&u, text);
    u.waits = waits;
    if (solve(&u, &s) == SOLVER_DONE) {
        for (char name = 'a'; name <= 'z'; name++) {
            struct span key;
            for (uint32_t i = 1; i < u.count; i++)
                if (u.names[i] == name && solver_selected(s, i, &key))
                    buf_printf(&b, "%s%c%c", b.len ? " " : "", name, key.ptr[0]);
        }
    } else {
        solver_explain(s, &b);
    }
    solver_discard(s);
    arena_free(u.arena);
    return buf_take(&b);
}

static const struct {
    const char *universe, *result;
} cases[] = {
    {"a 1:\na 2:\n: a", "a2"},
    {"a 1:\na 2:\n: a<2", "a1"},
    {":", ""},
    /* the newest of each that fits */
    {"a 1: b\nb 1:\nb 2:\n: a b<2", "a1 b1"},
    /* goes back: the newest a needs a b that c forbids */
    {"a 1: b<2\na 2: b>=2\nb 1:\nb 2:\nc 1: b<2\n: a c", "a1 b1 c1"},
    /* backtracks over a package that nothing in the end wants */
    {"a 1:\na 2: x\nx 1: y>=2\ny 1:\n: a", "a1"},
    /* circles are fine */
    {"a 1: b\nb 1: a\n: a", "a1 b1"},
    {"a 1: a\n: a", "a1"},
    {"a 1:\na 2: a<2\n: a", "a1"},
    /* a dependency on a package with no version at all */
    {"a 1:\na 2: z\n: a", "a1"},
    /* conflict far from its cause */
    {"a 1: b<2\na 2: b<2\na 3: b<2\nb 1: c<2\nc 1:\nc 2:\nd 1: c>=2\n: a d<2 c",
     "Because b 1 depends on c<2 and a depends on b<2, a needs c 1.\n"
     "And because d depends on c>=2 and"},
    {"a 1:\n: a>=2", "Because"},
    {": a", "Because"},
};

START_TEST(universes_resolve_as_told)
{
    for (int waits = 0; waits < 3; waits += 2) {
        AUTO_FREE char *got = result_of(cases[_i].universe, waits);
        if (strstr(cases[_i].result, "Because"))
            ck_assert_msg(strstr(got, "Because"), "%s", got);
        else
            ck_assert_str_eq(got, cases[_i].result);
    }
}
END_TEST

START_TEST(a_conflict_is_explained_in_sentences)
{
    AUTO_FREE char *got = result_of("a 1: c>=2\nb 1: c<2\nc 1:\nc 2:\n: a b", 0);
    ck_assert_str_eq(got,
                     "Because a 1 depends on c>=2 and b 1 depends on c<2, a and b 1 cannot be used "
                     "together.\nAnd because you require a and you require b, what you "
                     "require cannot be satisfied.");
}
END_TEST

/* Random universes against exhaustive search. */
static unsigned random_below(unsigned *seed, unsigned n)
{
    *seed = *seed * 1103515245u + 12345u;
    return (*seed >> 16) % n;
}

static void random_universe(struct universe *u, unsigned seed, unsigned packages, unsigned versions)
{
    static const char *const bounds[] = {"", "", ">=", "<", "=="};
    struct buf b = BUF(64u << 10);
    for (unsigned p = 0; p < packages; p++) {
        for (unsigned v = 1; v <= versions; v++) {
            buf_printf(&b, "%c %u:", 'a' + p, v);
            for (unsigned n = random_below(&seed, 4); n > 0; n--) {
                unsigned bound = random_below(&seed, 5), to = random_below(&seed, packages);
                if (bound < 2)
                    buf_printf(&b, " %c", 'a' + to);
                else
                    buf_printf(&b, " %c%s%u", 'a' + to, bounds[bound],
                               1 + random_below(&seed, versions + 1));
            }
            buf_char(&b, '\n');
        }
    }
    buf_str(&b, ": a b\n");
    universe_init(u, buf_cstr(&b));
    buf_release(&b);
}

/* chosen[p]: version, or -1. */
static bool fits(const struct universe *u, const int *chosen)
{
    for (uint32_t p = 0; p < u->count; p++) {
        if (chosen[p] < 0)
            continue;
        const struct release *r = &u->releases[p][chosen[p]];
        if (!r->exists)
            return false;
        for (size_t i = 0; i < r->depend_count; i++) {
            int v = chosen[r->depends[i].package];
            if (v < 0 || !version_set_has(r->depends[i].set, digit_key(v)))
                return false;
        }
    }
    return true;
}

static bool search(const struct universe *u, int *chosen, uint32_t at)
{
    if (at == u->count)
        return fits(u, chosen);
    for (int v = -1; v < MAX_VERSIONS; v++) {
        chosen[at] = v;
        if ((v < 0 || u->releases[at][v].exists) && search(u, chosen, at + 1))
            return true;
    }
    return false;
}

START_TEST(random_universes_agree_with_exhaustive_search)
{
    int solved = 0, failed = 0;
    for (unsigned seed = 1; seed <= 400; seed++) {
        struct universe u;
        struct solver *s;
        int chosen[MAX_PACKAGES] = {0};
        random_universe(&u, seed, 3 + seed % 3, 2 + seed % 2);
        u.waits = seed % 2;
        if (solve(&u, &s) == SOLVER_DONE) {
            for (uint32_t p = 1; p < u.count; p++) {
                struct span key;
                chosen[p] = solver_selected(s, p, &key) ? key.ptr[0] - '0' : -1;
            }
            ck_assert_msg(fits(&u, chosen), "seed %u: not a solution", seed);
            solved++;
        } else {
            AUTO_BUF struct buf why = BUF(1u << 20);
            ck_assert_msg(!search(&u, chosen, 1), "seed %u: there is a solution", seed);
            solver_explain(s, &why);
            ck_assert(why.len > 0);
            failed++;
        }
        solver_discard(s);
        arena_free(u.arena);
    }
    ck_assert_int_gt(solved, 50);
    ck_assert_int_gt(failed, 50);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("pubgrub");
    TCase *tc = tcase_create("pubgrub");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, universes_resolve_as_told, 0, (int)COUNT(cases));
    tcase_add_test(tc, a_conflict_is_explained_in_sentences);
    tcase_add_test(tc, random_universes_agree_with_exhaustive_search);
    suite_add_tcase(s, tc);
    return s;
}
