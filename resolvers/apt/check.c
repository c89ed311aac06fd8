/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/apt/check.h"

static bool term_holds(struct apt_universe *u, const struct apt_relation_term *t,
                       const struct apt_name *except, const struct apt_version **who)
{
    struct apt_name *n = apt_universe_name(u, t->name);
    if ((!except || n != except) && n->chosen && apt_version_matches(n->chosen, t)) {
        *who = n->chosen;
        return true;
    }
    apt_universe_providers(u, n);
    for (size_t i = 0; i < n->provider_count; i++) {
        struct apt_version *p = n->providers[i];
        if (p->name != except && p->name->chosen == p && apt_version_matches(p, t)) {
            *who = p;
            return true;
        }
    }
    return false;
}

static bool check_depends(struct apt_universe *u, const struct apt_version *v, struct span field,
                          struct err *err)
{
    struct span group;
    const struct apt_version *who;
    while (control_group(&field, &group)) {
        struct span rest = group;
        struct apt_relation_term t;
        bool holds = false;
        while (!holds && control_alternative(&rest, &t))
            holds = term_holds(u, &t, NULL, &who);
        if (!holds)
            return err_set(err, ERR_UNRESOLVABLE,
                           "%.*s %.*s depends on %.*s, which would not be there",
                           SPAN_ARG(v->name->name), SPAN_ARG(v->version), SPAN_ARG(group));
    }
    return true;
}

static bool check_conflicts(struct apt_universe *u, const struct apt_version *v, struct span field,
                            struct err *err)
{
    struct span group;
    const struct apt_version *who;
    struct apt_relation_term t;
    while (control_group(&field, &group))
        if (control_alternative(&group, &t) && term_holds(u, &t, v->name, &who))
            return err_set(err, ERR_UNRESOLVABLE,
                           "%.*s %.*s and %.*s %.*s exclude each other (%.*s)",
                           SPAN_ARG(v->name->name), SPAN_ARG(v->version), SPAN_ARG(who->name->name),
                           SPAN_ARG(who->version), SPAN_ARG(group));
    return true;
}

static bool check_version(struct apt_universe *u, const struct apt_version *v, struct err *err)
{
    return check_depends(u, v, v->pre_depends, err) && check_depends(u, v, v->depends, err) &&
           check_conflicts(u, v, v->conflicts, err) && check_conflicts(u, v, v->breaks, err);
}

/* What was broken before stays the base's affair: only what the request touches is judged, and
 * what is installed and would lose something. */
static bool concerns(struct apt_universe *u, const struct apt_version *v)
{
    struct span fields[] = {v->pre_depends, v->depends, v->conflicts, v->breaks}, group;
    struct apt_relation_term t;
    for (size_t i = 0; i < COUNT(fields); i++)
        while (control_group(&fields[i], &group))
            while (control_alternative(&group, &t)) {
                const struct apt_name *n = map_get(&u->names, t.name);
                if (n && (n->removed || n->chosen != n->installed))
                    return true;
            }
    return false;
}

bool apt_check(struct apt_universe *u, struct err *err)
{
    /* All installed names take part; the status is small. */
    struct span rest = u->status.text, stanza;
    while (control_stanza(&rest, &stanza))
        apt_universe_name(u, control_get(stanza, SPAN("Package")));
    for (size_t i = 0; i < u->names.n; i++) {
        const struct apt_name *n = u->names.v[i].value;
        if (n->chosen && (n->chosen != n->installed || concerns(u, n->chosen)) &&
            !check_version(u, n->chosen, err))
            return false;
    }
    return true;
}

bool apt_choose(struct apt_universe *u, const struct apt_request *requests, size_t count,
                struct err *err)
{
    if (apt_walk(u, requests, count, err) && apt_check(u, err))
        return true;
    if (err->code != ERR_UNRESOLVABLE)
        return false;
    struct err first = *err;
    err_clear(err);
    if (apt_solve(u, requests, count, err))
        return true;
    /* The walk's own words name the chain that led there, when libsolv has none. */
    if (err->code == ERR_INTERNAL)
        *err = first;
    return false;
}
