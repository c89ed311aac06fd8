/* SPDX-License-Identifier: Apache-2.0 */
/* What the solver asks: which release next, what it depends on, how to call things. */
#include "resolvers/pip/resolve_priv.h"

uint32_t pip_number(struct pip_resolve *r, struct pip_project *p, struct span extra)
{
    AUTO_BUF struct buf b = BUF(1024);
    buf_printf(&b, "%.*s[%.*s", SPAN_ARG(p->name), SPAN_ARG(extra));
    uintptr_t known = (uintptr_t)map_get(&r->packages, buf_span(&b));
    if (known)
        return (uint32_t)known;
    uint32_t number = (uint32_t)r->numbers.n;
    struct pip_package *q = VEC_PUSH(&r->numbers);
    *q = (struct pip_package){.project = p, .base = number, .extra = extra};
    map_put(&r->packages, arena_span(r->arena, buf_span(&b)), (void *)(uintptr_t)number);
    if (extra.len) {
        uint32_t base = pip_number(r, p, SPAN(""));
        r->numbers.v[number].base = base;
    }
    return number;
}

/* Edges that only an extra brings in are the extra's, not the package's. */
bool pip_holds(const struct pip_resolve *r, const struct pip_requirement *q, struct span extra)
{
    if (!q->marker)
        return extra.len == 0;
    if (extra.len == 0)
        return pip_marker_eval(q->marker, &r->environment, SPAN(""));
    return pip_marker_eval(q->marker, &r->environment, extra) &&
           !pip_marker_eval(q->marker, &r->environment, SPAN(""));
}

static const char *edge_text(struct pip_resolve *r, const struct pip_requirement *q)
{
    AUTO_BUF struct buf b = BUF(16u << 10);
    pip_requirement_short(q, &b);
    return arena_str(r->arena, buf_span(&b));
}

static void add_edge(struct pip_resolve *r, const struct pip_requirement *q, struct span extra,
                     const char *text, struct solver_dependency *to)
{
    struct pip_project *p = pip_project(r, q->name);
    uint32_t number = pip_number(r, p, extra);
    bool single = q->specs.pinned || p->direct_url.len;
    r->numbers.v[number].singleton |= single;
    *to = (struct solver_dependency){.package = number,
                                     .set = q->specs.set,
                                     .flags = (q->specs.prerelease ? PIP_WANTS_PRERELEASE : 0) |
                                              (q->specs.pinned ? PIP_IS_PINNED : 0),
                                     .text = text};
}

size_t pip_edges(struct pip_resolve *r, const struct pip_requirement *list, size_t n,
                 struct span extra, struct solver_dependency **out)
{
    size_t room = 1, count = 0;
    for (size_t i = 0; i < n; i++)
        room += 1 + list[i].extra_count;
    *out = arena_array(r->arena, room, sizeof(**out));
    for (size_t i = 0; i < n; i++) {
        const struct pip_requirement *q = &list[i];
        if (!pip_holds(r, q, extra) || !pip_project(r, q->name))
            continue;
        const char *text = edge_text(r, q);
        add_edge(r, q, SPAN(""), text, &(*out)[count++]);
        for (size_t k = 0; k < q->extra_count; k++)
            add_edge(r, q, q->extras[k], text, &(*out)[count++]);
    }
    return count;
}

static uint64_t priority(void *ctx, uint32_t package, const struct version_set *allowed)
{
    const struct pip_resolve *r = ctx;
    const struct pip_package *q = &r->numbers.v[package];
    (void)allowed;
    if (q->project->direct_url.len)
        return 1;
    if (q->singleton)
        return 2;
    switch (solver_bias(r->solver, package)) {
    case SOLVER_EARLY: return 3;
    case SOLVER_LATE: return 4;
    case SOLVER_NO_BIAS: break;
    }
    return 5;
}

static uint32_t project(void *ctx, uint32_t package)
{
    const struct pip_resolve *r = ctx;
    return r->numbers.v[package].base;
}

/* True: the page is here. */
static enum solver_answer page_of(struct pip_project *p)
{
    pip_project_want(p);
    switch (p->state) {
    case PIP_READY: return SOLVER_KNOWN;
    case PIP_MISSING: return SOLVER_NONE;
    case PIP_FAILED: pip_fail(p->resolve, &p->err); return SOLVER_WAIT;
    case PIP_UNKNOWN:
    case PIP_FETCHING: break;
    }
    return SOLVER_WAIT;
}

/* After some vain tries the next ones are fetched together, so that going back over hundreds
 * of releases costs few round trips. What is allowed at the moment says little about what will
 * be next: another package that goes back, too, may allow one release at a time. */
static void look_ahead(struct pip_release *rel)
{
    struct pip_project *p = rel->project;
    unsigned more = p->tries < 2 ? 0 : p->tries > 24 ? 48 : p->tries * 2;
    for (size_t i = (size_t)(rel - p->releases) + 1; i < p->release_count && more; i++) {
        struct pip_release *next = &p->releases[i];
        pip_release_judge(next);
        if (!next->file || next->yanked || next->version.prerelease ||
            !version_set_has(p->root_set, next->version.key))
            continue;
        pip_release_want(next, false);
        more--;
    }
}

/* Up to the next newer release there is nothing else. */
static const struct version_set *around(const struct pip_release *rel)
{
    const struct pip_project *p = rel->project;
    struct span hi = rel == p->releases ? (struct span){NULL, 0} : rel[-1].version.key;
    return version_set_range(p->resolve->arena, rel->version.key, hi);
}

static enum solver_answer take_choice(struct pip_release *rel, struct solver_choice *c)
{
    c->key = rel->version.key;
    c->around = around(rel);
    look_ahead(rel);
    pip_announce_likely(rel);
    return SOLVER_KNOWN;
}

static enum solver_answer choose(void *ctx, uint32_t package, struct solver_choice *c)
{
    struct pip_resolve *r = ctx;
    const struct pip_package *q = &r->numbers.v[package];
    struct pip_project *p = q->project;
    enum solver_answer page = page_of(p);
    if (page == SOLVER_NONE) {
        c->none_of = version_set_all();
        c->why = arena_printf(r->arena, "there is no project %.*s in the index", SPAN_ARG(p->name));
    }
    if (page != SOLVER_KNOWN)
        return page;
    /* An extra is a second name of the same release. */
    struct span key;
    if (q->extra.len && solver_selected(r->solver, q->base, &key) &&
        version_set_has(c->allowed, key))
        return take_choice(pip_release_at(p, key), c);
    struct pip_release *rel = pip_choose(p, c->allowed, c->required, c->flags);
    if (rel)
        return take_choice(rel, c);
    c->why = pip_choose_why(p, c->required, c->flags);
    return SOLVER_NONE;
}

static const char *direct_edge(struct pip_resolve *r, const struct pip_release *rel,
                               struct span extra)
{
    for (size_t i = 0; i < rel->metadata.require_count; i++) {
        const struct pip_requirement *q = &rel->metadata.requires[i];
        if (!q->url.len || !pip_holds(r, q, extra))
            continue;
        const struct pip_project *p = map_get(&r->projects, q->name);
        if (!p || !span_eq(p->direct_url, q->url))
            return arena_printf(
                r->arena, "%.*s %s depends on %s, a direct reference, which only you may make",
                SPAN_ARG(rel->project->name), rel->version.text.ptr, edge_text(r, q));
    }
    return NULL;
}

static enum solver_answer usable(struct pip_resolve *r, struct pip_release *rel, struct span extra,
                                 const char **why)
{
    struct pip_project *p = rel->project;
    if (!rel->asked) {
        rel->asked = true;
        p->tries++;
    }
    pip_release_want(rel, true);
    if (rel->state == PIP_FAILED && rel->fatal) {
        pip_fail(r, &rel->err);
        return SOLVER_WAIT;
    }
    if (rel->state == PIP_FAILED) {
        *why = arena_str(r->arena, span_str(rel->err.text));
        return SOLVER_NONE;
    }
    if (rel->state != PIP_READY)
        return SOLVER_WAIT;
    if (!pip_python_fits(r, rel->metadata.requires_python)) {
        *why = arena_printf(r->arena, "%.*s %s needs Python %.*s (this is %s)", SPAN_ARG(p->name),
                            rel->version.text.ptr, SPAN_ARG(rel->metadata.requires_python),
                            r->python.text.ptr);
        return SOLVER_NONE;
    }
    *why = direct_edge(r, rel, extra);
    return *why ? SOLVER_NONE : SOLVER_KNOWN;
}

static enum solver_answer depends(void *ctx, uint32_t package, struct span key,
                                  struct solver_dependencies *d)
{
    struct pip_resolve *r = ctx;
    struct pip_package q = r->numbers.v[package]; /* a copy: numbers may move */
    struct pip_release *rel = pip_release_at(q.project, key);
    enum solver_answer answer = usable(r, rel, q.extra, &d->why);
    if (answer != SOLVER_KNOWN)
        return answer;
    struct solver_dependency *edges;
    size_t n = pip_edges(r, rel->metadata.requires, rel->metadata.require_count, q.extra, &edges);
    for (size_t i = 0; i < rel->metadata.require_count; i++)
        if (pip_holds(r, &rel->metadata.requires[i], q.extra))
            pip_scout(r, &rel->metadata.requires[i]);
    if (q.extra.len) {
        struct solver_dependency *all = arena_array(r->arena, n + 1, sizeof(*all));
        all[0] = (struct solver_dependency){.package = q.base,
                                            .set = version_set_one(r->arena, key),
                                            .text = arena_printf(r->arena, "%.*s==%s",
                                                                 SPAN_ARG(q.project->name),
                                                                 rel->version.text.ptr)};
        for (size_t i = 0; i < n; i++)
            all[i + 1] = edges[i];
        edges = all;
        n++;
    }
    d->v = edges;
    d->n = n;
    return SOLVER_KNOWN;
}

/* A bound as text: ">=1.2" and the like. Bounds that are no versions read as the nearest. */
static void bound_text(struct buf *b, struct span lo, struct span hi, struct arena *a)
{
    if (lo.len) {
        bool after = lo.ptr[lo.len - 1] == (char)0xff;
        buf_printf(b, "%s%s", after ? ">" : ">=", pip_key_text(lo, a));
    }
    if (hi.ptr) {
        bool whole = hi.ptr[hi.len - 1] == (char)0xff;
        buf_printf(b, "%s%s%s", lo.len ? "," : "", whole ? "<=" : "<", pip_key_text(hi, a));
    }
}

static const char *set_text(const struct version_set *set, struct arena *a)
{
    AUTO_BUF struct buf b = BUF(4096);
    for (size_t i = 0; i < set->n && i < 4; i++) {
        if (i)
            buf_str(&b, " or ");
        bound_text(&b, set->r[i].lo, set->r[i].hi, a);
    }
    if (set->n > 4)
        buf_str(&b, " or ...");
    return arena_str(a, buf_span(&b));
}

/* Runs of releases: "1.0, 1.2 to 1.9". */
static const char *runs_text(const struct pip_project *p, const struct version_set *set,
                             struct arena *a)
{
    AUTO_BUF struct buf b = BUF(4096);
    size_t inside = 0, runs = 0;
    for (size_t i = 0; i < p->release_count; i++)
        inside += version_set_has(set, p->releases[i].version.key);
    if (inside == 0)
        return NULL;
    if (inside == p->release_count && inside > 1)
        return "";
    for (size_t i = p->release_count; i-- > 0;) {
        if (!version_set_has(set, p->releases[i].version.key))
            continue;
        size_t last = i;
        while (last > 0 && version_set_has(set, p->releases[last - 1].version.key))
            last--;
        if (runs++ == 4) {
            buf_str(&b, ", ...");
            break;
        }
        buf_printf(&b, "%s%s", runs > 1 ? ", " : " ", p->releases[i].version.text.ptr);
        if (last != i)
            buf_printf(&b, "%s%s", i - last > 1 ? " to " : ", ",
                       p->releases[last].version.text.ptr);
        i = last;
    }
    return arena_str(a, buf_span(&b));
}

static const char *describe(void *ctx, uint32_t package, const struct version_set *set,
                            struct arena *a)
{
    struct pip_resolve *r = ctx;
    const struct pip_package *q = &r->numbers.v[package];
    const struct pip_project *p = q->project;
    char *name = q->extra.len ? arena_printf(a, "%.*s[%.*s]", SPAN_ARG(p->name), SPAN_ARG(q->extra))
                              : arena_str(a, p->name);
    if (version_set_is_all(set))
        return name;
    const char *runs = p->state == PIP_READY ? runs_text(p, set, a) : NULL;
    return arena_printf(a, "%s%s", name, runs ? runs : set_text(set, a));
}

struct solver_provider pip_provider(struct pip_resolve *r)
{
    return (struct solver_provider){priority, choose, depends, describe, project, r};
}
