/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/solver/pubgrub_priv.h"

#include <assert.h>

#define MAX_CONFLICTS  200000
#define STEPS_PER_CALL 200
#define MANY_CONFLICTS 5

enum relation { SATISFIED, CONTRADICTED, OPEN };

static struct solver_package *package_at(struct solver *s, uint32_t package)
{
    while (s->packages.n <= package)
        VEC_PUSH(&s->packages)->last = -1;
    return &s->packages.v[package];
}

static const struct assignment *last_of(const struct solver *s, uint32_t package)
{
    if (package >= s->packages.n || s->packages.v[package].last < 0)
        return NULL;
    return &s->assignments.v[s->packages.v[package].last];
}

static struct term term_not(struct term t)
{
    t.positive = !t.positive;
    return t;
}

static struct term term_and(struct arena *a, struct term x, struct term y)
{
    struct term r = {x.package, x.positive || y.positive, NULL};
    if (x.positive && y.positive)
        r.set = version_set_intersect(a, x.set, y.set);
    else if (!x.positive && !y.positive)
        r.set = version_set_union(a, x.set, y.set);
    else
        r.set = x.positive ? version_set_intersect(a, x.set, version_set_complement(a, y.set))
                           : version_set_intersect(a, y.set, version_set_complement(a, x.set));
    return r;
}

/* Does x, being true, make t true, or impossible? */
static enum relation relate(struct term x, struct term t)
{
    if (x.positive && t.positive)
        return version_set_within(x.set, t.set)     ? SATISFIED
               : version_set_disjoint(x.set, t.set) ? CONTRADICTED
                                                    : OPEN;
    if (x.positive)
        return version_set_disjoint(x.set, t.set) ? SATISFIED
               : version_set_within(x.set, t.set) ? CONTRADICTED
                                                  : OPEN;
    if (t.positive)
        return version_set_within(t.set, x.set) ? CONTRADICTED : OPEN;
    return version_set_within(t.set, x.set) ? SATISFIED : OPEN;
}

static enum relation relate_now(const struct solver *s, struct term t)
{
    const struct assignment *a = last_of(s, t.package);
    return a ? relate(a->all, t) : OPEN;
}

static void enqueue(struct solver *s, uint32_t package)
{
    struct solver_package *p = package_at(s, package);
    if (!p->queued) {
        p->queued = true;
        *VEC_PUSH(&s->queue) = package;
    }
}

static struct assignment *assign(struct solver *s, struct term own, const struct incompat *why)
{
    struct solver_package *p = package_at(s, own.package);
    struct assignment a = {.package = own.package,
                           .level = s->level,
                           .own = own,
                           .all = own,
                           .before = p->last,
                           .why = why};
    if (p->last >= 0)
        a.all = term_and(s->arena, s->assignments.v[p->last].all, own);
    p->last = (int32_t)s->assignments.n;
    struct assignment *to = VEC_PUSH(&s->assignments);
    *to = a;
    enqueue(s, own.package);
    return to;
}

static void backtrack(struct solver *s, unsigned level)
{
    while (s->assignments.n && s->assignments.v[s->assignments.n - 1].level > level) {
        const struct assignment *a = &s->assignments.v[--s->assignments.n];
        s->packages.v[a->package].last = a->before;
    }
    s->level = level;
}

static struct incompat *incompat_new(struct solver *s, enum cause cause, const struct term *terms,
                                     size_t n)
{
    struct incompat *c = arena_alloc(s->arena, sizeof(*c) + n * sizeof(*terms));
    c->cause = cause;
    c->n = n;
    memcpy(c->terms, terms, n * sizeof(*terms));
    return c;
}

static void incompat_add(struct solver *s, struct incompat *c)
{
    for (size_t i = 0; i < c->n; i++) {
        struct solver_package *p = package_at(s, c->terms[i].package);
        *VEC_PUSH(&p->incompats) = c;
        enqueue(s, c->terms[i].package);
    }
}

/* The same dependency of another version of the package: widens it instead of keeping two, so
 * that a hundred releases with equal needs are refuted at once. */
static struct incompat *dependency_merged(struct solver *s, const struct incompat *c)
{
    uint32_t package = c->terms[0].package;
    struct solver_package *p = package_at(s, package);
    for (size_t i = p->incompats.n; i-- > 0;) {
        struct incompat *old = p->incompats.v[i];
        if (old->cause != CAUSE_DEPENDENCY || old->terms[0].package != package ||
            old->terms[1].package != c->terms[1].package ||
            !version_set_eq(old->terms[1].set, c->terms[1].set))
            continue;
        if (version_set_within(c->terms[0].set, old->terms[0].set))
            return old;
        struct incompat *wide = incompat_new(s, CAUSE_DEPENDENCY, c->terms, 2);
        wide->text = c->text;
        wide->terms[0].set = version_set_union(s->arena, old->terms[0].set, c->terms[0].set);
        p->incompats.v[i] = wide;
        struct solver_package *q = package_at(s, c->terms[1].package);
        for (size_t k = q->incompats.n; k-- > 0;)
            if (q->incompats.v[k] == old)
                q->incompats.v[k] = wide;
        enqueue(s, package);
        return wide;
    }
    return NULL;
}

static const struct incompat *none_add(struct solver *s, uint32_t package,
                                       const struct version_set *set, const char *why)
{
    struct term t = {package, true, set};
    struct incompat *c = incompat_new(s, CAUSE_NONE, &t, 1);
    c->text = why;
    incompat_add(s, c);
    return c;
}

static const struct incompat *dependency_add(struct solver *s, uint32_t package, struct span key,
                                             const struct version_set *at,
                                             const struct solver_dependency *d)
{
    struct term terms[] = {{package, true, at}, {d->package, false, d->set}};
    if (d->package == package) {
        if (version_set_has(d->set, key))
            return NULL;
        return none_add(s, package, at,
                        arena_printf(s->arena, "%s depends on another version of itself (%s)",
                                     s->provider.describe(s->provider.ctx, package, at, s->arena),
                                     d->text));
    }
    if (d->set->n == 0)
        return none_add(
            s, package, at,
            package == 0
                ? arena_printf(s->arena, "no version can satisfy %s", d->text)
                : arena_printf(s->arena, "%s depends on %s, which no version can satisfy",
                               s->provider.describe(s->provider.ctx, package, at, s->arena),
                               d->text));
    struct incompat *c = incompat_new(s, CAUSE_DEPENDENCY, terms, 2);
    c->text = d->text;
    struct incompat *merged = dependency_merged(s, c);
    if (merged)
        return merged;
    incompat_add(s, c);
    return c;
}

/* The first assignment from which on the term is true; -1: none. */
static int32_t satisfier(const struct solver *s, struct term t)
{
    int32_t found = -1;
    for (int32_t i = s->packages.v[t.package].last; i >= 0; i = s->assignments.v[i].before) {
        if (relate(s->assignments.v[i].all, t) != SATISFIED)
            break;
        found = i;
    }
    return found;
}

/* With `own` true as well, the first assignment on its package that makes t true together. */
static int32_t satisfier_with(const struct solver *s, struct term own, int32_t from, struct term t)
{
    int32_t found = -1;
    for (int32_t i = from; i >= 0; i = s->assignments.v[i].before) {
        if (relate(term_and(s->arena, s->assignments.v[i].all, own), t) != SATISFIED)
            break;
        found = i;
    }
    return found;
}

struct satisfied {
    size_t term;       /* whose satisfier is the latest */
    int32_t at;        /* that assignment */
    unsigned previous; /* level from which on the rest was true */
};

static struct satisfied find_satisfier(const struct solver *s, const struct incompat *c)
{
    struct satisfied r = {.at = -1};
    int32_t second = -1;
    for (size_t i = 0; i < c->n; i++) {
        int32_t at = satisfier(s, c->terms[i]);
        assert(at >= 0);
        if (at > r.at) {
            second = r.at;
            r.at = at;
            r.term = i;
        } else if (at > second) {
            second = at;
        }
    }
    const struct assignment *a = &s->assignments.v[r.at];
    if (relate(a->own, c->terms[r.term]) != SATISFIED) {
        int32_t at = satisfier_with(s, a->own, a->before, c->terms[r.term]);
        second = at > second ? at : second;
    }
    r.previous = second >= 0 ? s->assignments.v[second].level : 0;
    return r;
}

static size_t add_term(struct solver *s, struct term *terms, size_t n, struct term t)
{
    for (size_t i = 0; i < n; i++) {
        if (terms[i].package == t.package) {
            terms[i] = term_and(s->arena, terms[i], t);
            return n;
        }
    }
    terms[n] = t;
    return n + 1;
}

/* Resolution of the conflict with the reason of its satisfier. */
static struct incompat *merge(struct solver *s, const struct incompat *c,
                              const struct satisfied *sat)
{
    const struct assignment *a = &s->assignments.v[sat->at];
    struct term *terms = mem_array(c->n + a->why->n + 1, sizeof(*terms));
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        if (i != sat->term)
            n = add_term(s, terms, n, c->terms[i]);
    for (size_t i = 0; i < a->why->n; i++)
        if (a->why->terms[i].package != a->package)
            n = add_term(s, terms, n, a->why->terms[i]);
    if (relate(a->own, c->terms[sat->term]) != SATISFIED) {
        /* not (own and not term): what the earlier assignments had to bring. */
        struct term rest = term_and(s->arena, a->own, term_not(c->terms[sat->term]));
        n = add_term(s, terms, n, term_not(rest));
    }
    struct incompat *m = incompat_new(s, CAUSE_DERIVED, terms, n);
    m->left = c;
    m->right = a->why;
    free(terms);
    return m;
}

static bool is_failure(const struct incompat *c)
{
    return c->n == 0 || (c->n == 1 && c->terms[0].package == 0 && c->terms[0].positive);
}

static uint32_t project_of(const struct solver *s, uint32_t package)
{
    return s->provider.project && package ? s->provider.project(s->provider.ctx, package) : package;
}

static void set_bias(struct solver *s, uint32_t package, enum solver_bias bias)
{
    struct solver_package *p = package_at(s, package);
    if (package != 0 && p->bias < bias && (p->bias == SOLVER_NO_BIAS || bias == SOLVER_EARLY)) {
        p->bias = bias;
        *VEC_PUSH(&s->biased) = package;
    }
}

/* Counts who is refused because of whom. */
static void record(struct solver *s, uint32_t refused, const struct incompat *c)
{
    bool other = false;
    for (size_t i = 0; i < c->n; i++) {
        uint32_t package = c->terms[i].package;
        if (project_of(s, package) == project_of(s, refused))
            continue;
        other = true;
        if (++package_at(s, package)->refusing == MANY_CONFLICTS)
            set_bias(s, package, SOLVER_LATE);
    }
    if (other && ++package_at(s, refused)->refused == MANY_CONFLICTS)
        set_bias(s, refused, SOLVER_EARLY);
}

/* Back to before the decision on the package, so that it is made in its new turn. */
static void reconsider(struct solver *s, uint32_t package)
{
    for (size_t i = 0; i < s->assignments.n; i++) {
        const struct assignment *a = &s->assignments.v[i];
        if (a->package == package && a->decision) {
            backtrack(s, a->level - 1);
            return;
        }
    }
}

/* Learns from a conflict and goes back to where it can be avoided; false: it cannot. */
static bool resolve_conflict(struct solver *s, struct incompat *c)
{
    bool learned = false;
    s->conflicts++;
    while (!is_failure(c)) {
        struct satisfied sat = find_satisfier(s, c);
        const struct assignment *a = &s->assignments.v[sat.at];
        if (a->decision || sat.previous < a->level) {
            record(s, a->package, c);
            backtrack(s, sat.previous);
            if (learned)
                incompat_add(s, c);
            for (size_t i = 0; i < c->n; i++)
                enqueue(s, c->terms[i].package);
            return true;
        }
        c = merge(s, c, &sat);
        learned = true;
    }
    s->failure = c;
    return false;
}

static void enter_level(struct solver *s)
{
    s->level_ids.n = ++s->level;
    *VEC_PUSH(&s->level_ids) = ++s->last_id;
}

static bool still_impossible(const struct solver *s, const struct incompat *c)
{
    return c->skip_id && c->skip_level <= s->level && s->level_ids.v[c->skip_level] == c->skip_id;
}

static void mark_impossible(const struct solver *s, struct incompat *c, uint32_t package)
{
    c->skip_level = last_of(s, package)->level;
    c->skip_id = s->level_ids.v[c->skip_level];
}

/* All but one term true: the last one must be false. Returns true on a conflict. */
static bool look_at(struct solver *s, struct incompat *c)
{
    size_t open = SIZE_MAX;
    if (still_impossible(s, c))
        return false;
    for (size_t i = 0; i < c->n; i++) {
        switch (relate_now(s, c->terms[i])) {
        case CONTRADICTED: mark_impossible(s, c, c->terms[i].package); return false;
        case SATISFIED: break;
        case OPEN:
            if (open != SIZE_MAX)
                return false;
            open = i;
            break;
        }
    }
    if (open == SIZE_MAX)
        return true;
    assign(s, term_not(c->terms[open]), c);
    return false;
}

static bool propagate(struct solver *s)
{
    while (s->queue.n) {
        uint32_t package = s->queue.v[--s->queue.n];
        s->packages.v[package].queued = false;
        for (size_t i = s->packages.v[package].incompats.n; i-- > 0;) {
            struct incompat *c = s->packages.v[package].incompats.v[i];
            if (!look_at(s, c))
                continue;
            if (!resolve_conflict(s, c))
                return false;
            break;
        }
    }
    return true;
}

static bool is_decided(const struct solver *s, uint32_t package)
{
    const struct assignment *a = last_of(s, package);
    return a && a->decision;
}

/* The undecided package with the lowest priority; UINT32_MAX: all are decided. */
static uint32_t pick(struct solver *s)
{
    uint32_t best = UINT32_MAX;
    uint64_t best_priority = UINT64_MAX;
    for (size_t i = 0; i < s->assignments.n; i++) {
        uint32_t package = s->assignments.v[i].package;
        if ((int32_t)i != s->packages.v[package].last || is_decided(s, package) ||
            !s->assignments.v[i].all.positive)
            continue;
        uint64_t priority = package == 0 ? 0
                                         : s->provider.priority(s->provider.ctx, package,
                                                                s->assignments.v[i].all.set);
        if (best == UINT32_MAX || priority < best_priority ||
            (priority == best_priority && package < best)) {
            best = package;
            best_priority = priority;
        }
    }
    return best;
}

static void gather(const struct solver *s, uint32_t package, struct solver_choice *c)
{
    c->required = version_set_all();
    for (size_t i = 0; i < s->assignments.n; i++) {
        const struct assignment *a = &s->assignments.v[i];
        for (size_t k = 0; a->decision && k < a->depend_count; k++) {
            if (a->depends[k].package == package) {
                c->flags |= a->depends[k].flags;
                c->required = version_set_intersect(s->arena, c->required, a->depends[k].set);
            }
        }
    }
}

/* Would the decision make one of its dependencies' incompatibilities true at once? Then it is
 * better not to make it: propagation finds the conflict from the dependency. */
static bool clashes(const struct solver *s, const struct incompat *c, uint32_t package)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->terms[i].package != package && relate_now(s, c->terms[i]) != SATISFIED)
            return false;
    return true;
}

static void decide(struct solver *s, uint32_t package, struct span key,
                   const struct version_set *around, const struct solver_dependencies *d)
{
    const struct version_set *at = version_set_one(s->arena, key);
    bool clash = false;
    for (size_t i = 0; i < d->n; i++) {
        const struct incompat *c = dependency_add(s, package, key, around ? around : at, &d->v[i]);
        if (c && !clash && clashes(s, c, package)) {
            clash = true;
            record(s, package, c);
        }
    }
    if (clash) {
        enqueue(s, package);
        return;
    }
    enter_level(s);
    struct assignment *a = assign(s, (struct term){package, true, at}, NULL);
    a->decision = true;
    a->depends = d->v;
    a->depend_count = d->n;
}

static enum solver_status decide_next(struct solver *s)
{
    uint32_t package = pick(s);
    if (package == UINT32_MAX)
        return SOLVER_DONE;
    struct solver_dependencies d = {.v = s->root, .n = s->root_count};
    if (package == 0) {
        decide(s, 0, SPAN(""), NULL, &d);
        return SOLVER_MORE;
    }
    struct solver_choice c = {.allowed = last_of(s, package)->all.set};
    gather(s, package, &c);
    switch (s->provider.choose(s->provider.ctx, package, &c)) {
    case SOLVER_WAIT: return SOLVER_NEEDS;
    case SOLVER_NONE:
        none_add(s, package, c.none_of ? c.none_of : c.allowed, c.why);
        return SOLVER_MORE;
    case SOLVER_KNOWN: break;
    }
    assert(version_set_has(c.allowed, c.key));
    d = (struct solver_dependencies){0};
    switch (s->provider.depends(s->provider.ctx, package, c.key, &d)) {
    case SOLVER_WAIT: return SOLVER_NEEDS;
    case SOLVER_NONE:
        none_add(s, package, c.around ? c.around : version_set_one(s->arena, c.key), d.why);
        break;
    case SOLVER_KNOWN: decide(s, package, c.key, c.around, &d); break;
    }
    return SOLVER_MORE;
}

enum solver_status solver_step(struct solver *s)
{
    for (int i = 0; i < STEPS_PER_CALL; i++) {
        if (s->failure || !propagate(s))
            return SOLVER_FAILED;
        if (s->conflicts > MAX_CONFLICTS)
            return SOLVER_TOO_HARD;
        while (s->biased.n)
            reconsider(s, s->biased.v[--s->biased.n]);
        enum solver_status status = decide_next(s);
        if (status != SOLVER_MORE)
            return status;
    }
    return SOLVER_MORE;
}

struct solver *solver_new(const struct solver_provider *p, const struct solver_dependency *root,
                          size_t root_count)
{
    struct solver *s = MEM_NEW(struct solver);
    s->provider = *p;
    s->arena = arena_new();
    s->root = root;
    s->root_count = root_count;
    *VEC_PUSH(&s->level_ids) = ++s->last_id;
    struct term t = {0, false, version_set_one(s->arena, SPAN(""))};
    incompat_add(s, incompat_new(s, CAUSE_ROOT, &t, 1));
    return s;
}

void solver_discard(struct solver *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->packages.n; i++)
        VEC_FREE(&s->packages.v[i].incompats);
    VEC_FREE(&s->packages);
    VEC_FREE(&s->assignments);
    VEC_FREE(&s->queue);
    VEC_FREE(&s->biased);
    VEC_FREE(&s->level_ids);
    arena_free(s->arena);
    free(s);
}

bool solver_selected(const struct solver *s, uint32_t package, struct span *key)
{
    const struct assignment *a = last_of(s, package);
    if (!a || !a->decision)
        return false;
    *key = version_set_single(a->own.set);
    return true;
}

size_t solver_conflicts(const struct solver *s)
{
    return s->conflicts;
}

enum solver_bias solver_bias(const struct solver *s, uint32_t package)
{
    return package < s->packages.n ? s->packages.v[package].bias : SOLVER_NO_BIAS;
}
