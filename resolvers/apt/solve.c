/* SPDX-License-Identifier: Apache-2.0 */
/* solve.c - the search behind the walk, by libsolv. */
#include <stdio.h>

#include "resolvers/apt/check.h"
#include "resolvers/apt/late_solv.h"

#define MAX_REACHED 50000

/* Every candidate that a version's dependencies could bring in, whichever alternative is taken. */
static void reach(struct apt_universe *u, struct apt_version *v, struct map *reached)
{
    struct span fields[] = {v->pre_depends, v->depends}, group;
    struct apt_relation_term t;
    if (reached->n >= MAX_REACHED || !map_put(reached, v->name->name, v))
        return;
    for (size_t i = 0; i < COUNT(fields); i++)
        while (control_group(&fields[i], &group))
            while (control_alternative(&group, &t)) {
                struct apt_name *n = apt_universe_name(u, t.name);
                if (n->candidate && !n->candidate->installed)
                    reach(u, n->candidate, reached);
                apt_universe_providers(u, n);
                for (size_t p = 0; p < n->provider_count; p++) {
                    struct apt_version *by = n->providers[p];
                    if (by->name->candidate == by && !by->installed)
                        reach(u, by, reached);
                }
            }
}

static struct span stanza_of(const struct apt_universe *u, const struct apt_version *v)
{
    for (size_t i = 0; i < u->list_count; i++) {
        const struct apt_index_row *row;
        size_t n = apt_index_find(&u->lists[i].index, v->name->name, &row);
        for (size_t k = 0; k < n; k++) {
            struct span stanza = apt_index_stanza(&u->lists[i].index, row + k);
            if (span_eq(control_get(stanza, SPAN("Version")), v->version))
                return stanza;
        }
    }
    return SPAN("");
}

static bool add_repo(Pool *pool, const char *name, struct span text, Repo **out, struct err *err)
{
    *out = repo_create(pool, name);
    if (text.len == 0)
        return true;
    FILE *f = fmemopen((void *)(uintptr_t)text.ptr, text.len, "r");
    bool ok = f && repo_add_debpackages(*out, f, 0) == 0;
    if (f)
        fclose(f);
    return ok || err_set(err, ERR_INTERNAL, "package list cannot be read: %s", pool_errstr(pool));
}

static Id solvable_of(Pool *pool, const Repo *repo, const struct apt_version *v)
{
    Id p;
    Solvable *s;
    FOR_REPO_SOLVABLES(repo, p, s)
    {
        if (span_eq_str(v->name->name, pool_id2str(pool, s->name)) &&
            span_eq_str(v->version, pool_id2str(pool, s->evr)))
            return p;
    }
    return 0;
}

static void explain(Solver *solver, struct err *err)
{
    AUTO_BUF struct buf text = BUF(900);
    size_t n = (size_t)solver_problem_count(solver);
    for (size_t i = 1; i <= n; i++) {
        Queue rules;
        queue_init(&rules);
        solver_findallproblemrules(solver, (Id)i, &rules);
        for (int r = 0; r < rules.count; r++) {
            Id source, target, dep;
            SolverRuleinfo type =
                solver_ruleinfo(solver, rules.elements[r], &source, &target, &dep);
            /* That a package was asked for is known; the packages' own reasons are what helps. */
            if (type == SOLVER_RULE_JOB)
                continue;
            buf_printf(&text, "%s%s", text.len ? "; " : "",
                       solver_problemruleinfo2str(solver, type, source, target, dep));
        }
        queue_free(&rules);
    }
    err_set(err, ERR_UNRESOLVABLE, "no set of packages satisfies the request: %s", buf_cstr(&text));
}

/* Takes libsolv's outcome into the universe. */
static void adopt(struct apt_universe *u, Solver *solver, const Repo *base)
{
    Pool *pool = solver->pool;
    Queue all;
    for (size_t i = 0; i < u->names.n; i++) {
        struct apt_name *n = u->names.v[i].value;
        n->removed = n->installed != NULL;
        n->chosen = NULL;
    }
    queue_init(&all);
    solver_get_decisionqueue(solver, &all);
    for (int i = 0; i < all.count; i++) {
        Id p = all.elements[i];
        if (p <= 1)
            continue;
        const Solvable *s = pool_id2solvable(pool, p);
        struct apt_name *n = apt_universe_name(u, span_str(pool_id2str(pool, s->name)));
        n->removed = false;
        for (size_t k = 0; k < n->version_count; k++)
            if (span_eq_str(n->versions[k]->version, pool_id2str(pool, s->evr)))
                n->chosen = n->versions[k];
        if (s->repo == base && n->installed)
            n->chosen = n->installed;
    }
    queue_free(&all);
}

static bool run(struct apt_universe *u, Pool *pool, const struct map *wishes,
                const struct apt_request *requests, size_t count, struct span text, struct err *err)
{
    Repo *base, *available;
    if (!add_repo(pool, "@System", u->status.text, &base, err) ||
        !add_repo(pool, "available", text, &available, err))
        return false;
    pool_set_installed(pool, base);
    pool_createwhatprovides(pool);
    Queue jobs;
    queue_init(&jobs);
    for (size_t i = 0; i < count; i++) {
        struct apt_version *root = apt_universe_name(u, requests[i].name)->candidate;
        Id p = root ? solvable_of(pool, root->installed ? base : available, root) : 0;
        if (p)
            queue_insert2(&jobs, jobs.count, SOLVER_SOLVABLE | SOLVER_INSTALL, p);
    }
    for (size_t i = 0; i < wishes->n; i++) {
        Id p = solvable_of(pool, available, wishes->v[i].value);
        if (p)
            queue_insert2(&jobs, jobs.count, SOLVER_SOLVABLE | SOLVER_INSTALL | SOLVER_WEAK, p);
    }
    Solver *solver = solver_create(pool);
    solver_set_flag(solver, SOLVER_FLAG_ALLOW_UNINSTALL, 1);
    solver_set_flag(solver, SOLVER_FLAG_IGNORE_RECOMMENDED, 1);
    bool ok = solver_solve(solver, &jobs) == 0;
    if (ok)
        adopt(u, solver, base);
    else
        explain(solver, err);
    solver_free(solver);
    queue_free(&jobs);
    return ok;
}

bool apt_solve(struct apt_universe *u, const struct apt_request *requests, size_t count,
               struct err *err)
{
    AUTO_MAP struct map reached = {0}, wishes = {0};
    AUTO_BUF struct buf text = BUF(256u << 20);
    if (!late_solv_load(err))
        return false;
    for (size_t i = 0; i < u->names.n; i++) {
        struct apt_name *n = u->names.v[i].value;
        if (n->chosen && n->chosen != n->installed)
            map_put(&wishes, n->name, n->chosen);
    }
    for (size_t i = 0; i < count; i++) {
        struct apt_name *n = apt_universe_name(u, requests[i].name);
        if (n->candidate && !n->candidate->installed)
            reach(u, n->candidate, &reached);
    }
    for (size_t i = 0; i < reached.n; i++) {
        buf_append(&text, stanza_of(u, reached.v[i].value));
        buf_str(&text, "\n\n");
    }
    if (text.overflow)
        return err_set(err, ERR_TOO_LARGE, "the request reaches too many packages");
    Pool *pool = pool_create();
    pool_setdisttype(pool, DISTTYPE_DEB);
    pool_setarch(pool, u->arch);
    bool ok = run(u, pool, &wishes, requests, count, buf_span(&text), err);
    pool_free(pool);
    return ok && apt_check(u, err);
}
