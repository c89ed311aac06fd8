/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/apt/walk.h"

#define MAX_DEPTH 1000
#define MAX_MARKS 20000

struct undo {
    struct apt_name *name;
    struct apt_version *chosen;
    bool removed;
};

struct walk {
    struct apt_universe *u;
    VEC(struct undo) trail; /* what to put back when an alternative fails */
    int depth;
    struct err *why; /* the deepest reason so far */
};

static bool mark(struct walk *w, struct apt_version *v);

static void set_state(struct walk *w, struct apt_name *n, struct apt_version *chosen, bool removed)
{
    *VEC_PUSH(&w->trail) = (struct undo){n, n->chosen, n->removed};
    n->chosen = chosen;
    n->removed = removed;
}

static void undo_to(struct walk *w, size_t length)
{
    while (w->trail.n > length) {
        struct undo *u = &w->trail.v[--w->trail.n];
        u->name->chosen = u->chosen;
        u->name->removed = u->removed;
    }
}

/* ---- is a dependency satisfied by what is to be there? ----------------------------------------
 */

static bool term_satisfied(struct walk *w, const struct apt_relation_term *t)
{
    struct apt_name *n = apt_universe_name(w->u, t->name);
    if (n->chosen && apt_version_matches(n->chosen, t))
        return true;
    apt_universe_providers(w->u, n);
    for (size_t i = 0; i < n->provider_count; i++)
        if (n->providers[i]->name->chosen == n->providers[i] &&
            apt_version_matches(n->providers[i], t))
            return true;
    return false;
}

static bool group_satisfied(struct walk *w, struct span group)
{
    struct apt_relation_term t;
    while (control_alternative(&group, &t))
        if (term_satisfied(w, &t))
            return true;
    return false;
}

/* ---- choosing -------------------------------------------------------------------------------- */

static bool try_version(struct walk *w, struct apt_version *v)
{
    size_t before = w->trail.n;
    if (mark(w, v))
        return true;
    undo_to(w, before);
    return false;
}

static bool try_term(struct walk *w, const struct apt_relation_term *t)
{
    struct apt_name *n = apt_universe_name(w->u, t->name);
    if (n->candidate && apt_version_matches(n->candidate, t) && try_version(w, n->candidate))
        return true;
    apt_universe_providers(w->u, n);
    for (size_t i = 0; i < n->provider_count; i++) {
        struct apt_version *p = n->providers[i];
        if (p->name != n && p->name->candidate == p && apt_version_matches(p, t) &&
            try_version(w, p))
            return true;
    }
    return false;
}

static bool install_groups(struct walk *w, const struct apt_version *v, struct span field,
                           const char *word)
{
    struct span group;
    while (control_group(&field, &group)) {
        struct apt_relation_term t;
        struct span rest = group;
        bool ok = group_satisfied(w, group);
        while (!ok && control_alternative(&rest, &t))
            ok = try_term(w, &t);
        if (!ok) {
            if (!w->why->code)
                err_set(w->why, ERR_UNRESOLVABLE, "%.*s %.*s %s %.*s, which cannot be installed",
                        SPAN_ARG(v->name->name), SPAN_ARG(v->version), word, SPAN_ARG(group));
            return false;
        }
    }
    return true;
}

/* What the version cannot live with: something installed is upgraded if that helps, removed if it
 * is not essential; something that was just chosen is a failure. */
static bool make_room(struct walk *w, struct apt_version *v, struct span field)
{
    struct span group;
    struct apt_relation_term t;
    while (control_group(&field, &group)) {
        if (!control_alternative(&group, &t))
            continue;
        struct apt_name *n = apt_universe_name(w->u, t.name);
        apt_universe_providers(w->u, n);
        for (size_t i = 0; i <= n->provider_count; i++) {
            struct apt_name *other = i == 0 ? n : n->providers[i - 1]->name;
            struct apt_version *there = other->chosen;
            if (!there || other == v->name || !apt_version_matches(there, &t))
                continue;
            if (other->candidate && other->candidate != there &&
                !apt_version_matches(other->candidate, &t) && try_version(w, other->candidate))
                continue;
            if (there != other->installed || there->essential || there->held) {
                if (!w->why->code)
                    err_set(w->why, ERR_UNRESOLVABLE, "%.*s %.*s conflicts with %.*s %.*s",
                            SPAN_ARG(v->name->name), SPAN_ARG(v->version), SPAN_ARG(other->name),
                            SPAN_ARG(there->version));
                return false;
            }
            set_state(w, other, NULL, true);
        }
    }
    return true;
}

/* What comes in takes the installed packages of its source along to the same version: parts of one
 * source are made to be used together. */
static void upgrade_siblings(struct walk *w, const struct apt_version *v)
{
    size_t count;
    struct apt_name **siblings = apt_universe_siblings(w->u, v->source, &count);
    for (size_t i = 0; i < count; i++) {
        struct apt_name *n = siblings[i];
        if (n->installed && n->chosen == n->installed && n->candidate &&
            n->candidate != n->installed && span_eq(n->candidate->source, v->source) &&
            span_eq(n->candidate->source_version, v->source_version))
            try_version(w, n->candidate);
    }
}

/* What a version that was chosen brings along and drives out. */
static bool follow(struct walk *w, struct apt_version *v)
{
    w->depth++;
    bool ok = make_room(w, v, v->conflicts) && make_room(w, v, v->breaks) &&
              install_groups(w, v, v->pre_depends, "pre-depends on") &&
              install_groups(w, v, v->depends, "depends on");
    if (ok)
        upgrade_siblings(w, v);
    w->depth--;
    return ok;
}

static bool mark(struct walk *w, struct apt_version *v)
{
    struct apt_name *n = v->name;
    if (n->chosen == v)
        return true;
    /* One version a name: a second choice for it is a dead end. */
    if (n->chosen && n->chosen != n->installed)
        return false;
    if (n->removed || w->depth >= MAX_DEPTH || w->trail.n >= MAX_MARKS)
        return false;
    set_state(w, n, v, false);
    return follow(w, v);
}

/* ---- what was asked for ------------------------------------------------------------------------
 */

static bool from_suite(const struct apt_version *v, struct span suite)
{
    return v->list && (span_eq(v->list->suite, suite) || span_eq(v->list->codename, suite));
}

static bool unknown_name(struct apt_universe *u, struct apt_name *n, struct err *err)
{
    apt_universe_providers(u, n);
    if (n->provider_count == 0)
        return err_set(err, ERR_NO_PACKAGE, "%.*s: no list has a package of this name",
                       SPAN_ARG(n->name));
    AUTO_BUF struct buf names = BUF(400);
    for (size_t i = 0; i < n->provider_count; i++)
        if (i == 0 || n->providers[i]->name != n->providers[i - 1]->name)
            buf_printf(&names, "%s%.*s", names.len ? ", " : "",
                       SPAN_ARG(n->providers[i]->name->name));
    return err_set(err, ERR_NO_PACKAGE,
                   "%.*s is a virtual package; ask for one that provides it: %s", SPAN_ARG(n->name),
                   buf_cstr(&names));
}

static struct apt_version *requested_version(struct apt_universe *u, const struct apt_request *r,
                                             struct err *err)
{
    struct apt_name *n = apt_universe_name(u, r->name);
    if (n->version_count == 0) {
        /* One that a single package provides is taken to mean that package. */
        apt_universe_providers(u, n);
        struct apt_version *only = n->provider_count ? n->providers[0] : NULL;
        for (size_t i = 1; i < n->provider_count; i++)
            only = only && n->providers[i]->name == only->name ? only : NULL;
        if (only && only->name->candidate && r->version.len == 0)
            return only->name->candidate;
        unknown_name(u, n, err);
        return NULL;
    }
    if (r->version.len == 0 && r->suite.len == 0) {
        if (!n->candidate)
            err_set(err, ERR_NO_PACKAGE, "%.*s has no version that may be installed",
                    SPAN_ARG(n->name));
        return n->candidate;
    }
    AUTO_BUF struct buf there = BUF(300);
    for (size_t i = 0; i < n->version_count; i++) {
        struct apt_version *v = n->versions[i];
        if ((r->version.len == 0 || span_eq(v->version, r->version)) &&
            (r->suite.len == 0 || from_suite(v, r->suite)))
            return v;
        buf_printf(&there, "%s%.*s%s%.*s", there.len ? ", " : "", SPAN_ARG(v->version),
                   v->list ? " in " : " installed",
                   SPAN_ARG(v->list ? v->list->codename : SPAN("")));
    }
    err_set(err, ERR_NO_PACKAGE, "%.*s has no version %.*s%s%.*s; there are: %s", SPAN_ARG(n->name),
            SPAN_ARG(r->version), r->suite.len ? "in suite " : "", SPAN_ARG(r->suite),
            buf_cstr(&there));
    return NULL;
}

bool apt_walk(struct apt_universe *u, const struct apt_request *requests, size_t count,
              struct err *err)
{
    struct err why = {0};
    struct walk w = {.u = u, .why = &why};
    bool ok = true;
    VEC(struct apt_version *) roots = {0};
    for (size_t i = 0; ok && i < count; i++) {
        struct apt_version *v = requested_version(u, &requests[i], err);
        ok = v != NULL;
        if (ok) {
            /* A version that was asked for is its name's candidate from here on. */
            v->name->candidate = v;
            *VEC_PUSH(&roots) = v;
        }
    }
    /* All that was asked for is there before the first dependency is looked at, so that it
     * satisfies what it can. */
    size_t fresh = 0;
    for (size_t i = 0; i < roots.n; i++)
        if (roots.v[i]->name->chosen != roots.v[i]) {
            set_state(&w, roots.v[i]->name, roots.v[i], false);
            roots.v[fresh++] = roots.v[i];
        }
    for (size_t i = 0; ok && i < fresh; i++) {
        err_clear(&why);
        if (!follow(&w, roots.v[i])) {
            *err = why;
            if (!why.code)
                err_set(err, ERR_UNRESOLVABLE, "a package asked for excludes it");
            ok = err_wrap(err, "%.*s", SPAN_ARG(roots.v[i]->name->name));
        }
    }
    VEC_FREE(&roots);
    VEC_FREE(&w.trail);
    return ok;
}
