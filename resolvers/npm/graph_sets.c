/* SPDX-License-Identifier: Apache-2.0 */
/* Questions about groups of nodes: what goes when this goes, who would mind. */
#include "resolvers/npm/graph.h"

static void set_add(struct npm_set *s, struct npm_node *n, uint64_t mark)
{
    if (n->mark == mark)
        return;
    n->mark = mark;
    *VEC_PUSH(s) = n;
}

/* Does something outside the set need n? */
static bool needed_outside(struct npm_node *n, uint64_t mark, npm_follow follow,
                           const struct npm_node *about)
{
    for (struct npm_edge *e = n->in_first; e; e = e->in_next)
        if (e->from->mark != mark && follow(e, about))
            return true;
    return false;
}

void npm_gather(struct npm_graph *g, struct npm_set *set, npm_follow follow,
                const struct npm_node *about)
{
    uint64_t mark = ++g->marks;
    for (size_t i = 0; i < set->n; i++)
        set->v[i]->mark = mark;
    for (size_t i = 0; i < set->n; i++) {
        struct npm_node *n = set->v[i];
        for (size_t k = 0; k < n->edge_count; k++)
            if (n->edges[k].to && follow(&n->edges[k], about))
                set_add(set, n->edges[k].to, mark);
    }
    for (bool changed = true; changed;) {
        size_t kept = 0;
        changed = false;
        for (size_t i = 0; i < set->n; i++) {
            struct npm_node *n = set->v[i];
            if (needed_outside(n, mark, follow, about)) {
                n->mark = 0;
                changed = true;
            } else {
                set->v[kept++] = n;
            }
        }
        set->n = kept;
    }
}

static bool valid_and_not_to(struct npm_edge *e, const struct npm_node *about)
{
    return e->to != about && npm_edge_valid(e);
}

bool npm_node_can_replace(struct npm_graph *g, struct npm_node *n, struct npm_node *old,
                          const struct npm_node *with)
{
    if (n->name != old->name || (n->package != NULL) != (old->package != NULL) ||
        (n->package && !span_eq(n->package->name, old->package->name)))
        return false;
    struct npm_set own = {0};
    *VEC_PUSH(&own) = old;
    npm_gather(g, &own, valid_and_not_to, old);
    uint64_t mark = own.n ? own.v[0]->mark : 0;
    bool ok = true;
    for (struct npm_edge *e = old->in_first; ok && e; e = e->in_next) {
        if (with && !npm_node_is_top(old) && e->from->parent == old->parent &&
            npm_edge_is_peer(e)) {
            const struct npm_node *namesake = npm_node_child(with, e->from->name);
            if (namesake && namesake->name == e->from->name)
                continue;
        }
        ok = e->from->mark == mark || npm_edge_satisfied_by(e, n);
    }
    VEC_FREE(&own);
    return ok;
}

#define BUNDLE_WALK_MAX 5000 /* dependents of dependents of ... */

static struct npm_node *bundler_of(struct npm_node *n, uint64_t walk, int depth)
{
    struct npm_node *parent = n->parent;
    if (n->walk_mark == walk || !parent || depth > BUNDLE_WALK_MAX)
        return NULL;
    n->walk_mark = walk;
    struct npm_node *above = bundler_of(parent, walk, depth + 1);
    if (above)
        return above;
    for (size_t i = 0; parent->package && i < parent->package->bundled.n; i++)
        if (span_eq(parent->package->bundled.v[i], n->name->text))
            return parent;
    /* What only bundled packages use, and lies next to them, came in the same tarball. */
    for (struct npm_edge *e = n->in_first; e; e = e->in_next)
        if (bundler_of(e->from, walk, depth + 1) == parent)
            return parent;
    return NULL;
}

bool npm_node_in_bundle(struct npm_graph *g, struct npm_node *n)
{
    return g->bundles && bundler_of(n, ++g->marks, 0) != NULL;
}
