/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/npm/can_place.h"

struct npm_node *npm_deepest_target(struct npm_node *start, const struct npm_name *name)
{
    for (struct npm_node *n = start;; n = n->parent) {
        if (npm_node_is_root(n) || !n->parent || npm_node_is_global_top(n))
            return n;
        const struct npm_edge *e = npm_node_edge(n, name);
        if (!e || !npm_edge_is_peer(e))
            return n;
    }
}

/* ---- Groups of peers. ---- */

static void add_marked(struct npm_set *s, struct npm_node *n, uint64_t mark)
{
    if (n->walk_mark != mark) {
        n->walk_mark = mark;
        *VEC_PUSH(s) = n;
    }
}

static void add_peers(struct npm_set *s, struct npm_node *n, uint64_t mark)
{
    for (size_t i = 0; i < n->edge_count; i++) {
        struct npm_edge *e = &n->edges[i];
        if (e->to && npm_edge_is_peer(e) && npm_edge_valid(e))
            add_marked(s, e->to, mark);
    }
}

void npm_peer_sets_of(struct npm_graph *g, struct npm_node *n, struct npm_peer_sets *out)
{
    struct npm_set all = {0};
    uint64_t mark = ++g->marks;
    *out = (struct npm_peer_sets){0};
    add_marked(&all, n, mark);
    for (size_t i = 0; i < all.n; i++) {
        add_peers(&all, all.v[i], mark);
        for (struct npm_edge *e = all.v[i]->in_first; e; e = e->in_next)
            if (npm_edge_is_peer(e) && npm_edge_valid(e))
                add_marked(&all, e->from, mark);
    }
    for (size_t i = 0; i < all.n; i++) {
        for (struct npm_edge *e = all.v[i]->in_first; e; e = e->in_next) {
            if (!npm_edge_valid(e) || (npm_edge_is_peer(e) && !npm_node_is_top(e->from)))
                continue;
            struct npm_set members = {0};
            uint64_t inner = ++g->marks;
            add_marked(&members, all.v[i], inner);
            for (size_t k = 0; k < members.n; k++)
                add_peers(&members, members.v[k], inner);
            if (n->walk_mark == inner)
                *VEC_PUSH(out) = (struct npm_peer_set){e, members};
            else
                VEC_FREE(&members);
        }
    }
    VEC_FREE(&all);
}

void npm_peer_sets_release(struct npm_peer_sets *s)
{
    for (size_t i = 0; i < s->n; i++)
        VEC_FREE(&s->v[i].members);
    VEC_FREE(s);
}

/* ---- The check. ---- */

static const struct npm_check *outermost(const struct npm_check *c)
{
    while (c->outer)
        c = c->outer;
    return c;
}

static struct npm_node *deepest(const struct npm_check *c)
{
    struct npm_node *start = c->outer ? deepest(c->outer) : c->edge->from;
    return npm_deepest_target(start, c->edge->name);
}

static bool on_path(const struct npm_peer_path *path, const struct npm_node *dep)
{
    for (; path; path = path->outer)
        if (path->dep == dep)
            return true;
    return false;
}

/* `state`, or a conflict when a peer finds no place at or above the target. */
static enum npm_verdict with_peers(struct npm_graph *g, struct npm_check *c, enum npm_verdict state)
{
    c->own = state;
    if (c->peers_checked)
        return c->peers;
    bool conflict = false;
    for (size_t i = 0; i < c->dep->edge_count; i++) {
        struct npm_edge *e = &c->dep->edges[i];
        if (!npm_edge_is_peer(e) || !e->to || on_path(&c->path, e->to))
            continue;
        struct npm_node *target = npm_deepest_target(c->target, e->to->name);
        const struct npm_check *peer = npm_can_place(g, e->to, e, target, false, true, c, &c->path);
        conflict |= peer->verdict == NPM_CONFLICT;
    }
    c->peers_checked = true;
    c->peers = conflict ? NPM_CONFLICT : state;
    return c->peers;
}

/* Could the group that `entry` brought be dropped, since the new group has all that is used of
 * it, or has nothing against it? */
static bool clobbers(struct npm_graph *g, const struct npm_node *group, struct npm_edge *entry)
{
    struct npm_node *rep = npm_node_child(group, entry->to->name);
    if (rep)
        return npm_node_can_replace(g, rep, entry->to, group);
    struct npm_set walk = {0};
    uint64_t mark = ++g->marks;
    bool ok = true;
    add_marked(&walk, entry->to, mark);
    for (size_t i = 0; ok && i < walk.n; i++) {
        for (size_t k = 0; ok && k < walk.v[i]->edge_count; k++) {
            struct npm_edge *e = &walk.v[i]->edges[k];
            if (!npm_edge_is_peer(e) || !npm_edge_valid(e))
                continue;
            rep = npm_node_child(group, e->name);
            if (rep)
                ok = npm_edge_satisfied_by(e, rep);
            else if (e->to)
                add_marked(&walk, e->to, mark);
        }
    }
    VEC_FREE(&walk);
    return ok;
}

/* All groups around what is there can be dropped, or pushed deeper. */
static bool groups_give_way(struct npm_graph *g, const struct npm_check *c)
{
    struct npm_peer_sets sets;
    const struct npm_edge *entry = outermost(c)->edge;
    bool ok = true;
    npm_peer_sets_of(g, c->current, &sets);
    for (size_t i = 0; i < sets.n; i++) {
        struct npm_edge *e = sets.v[i].entry;
        if (e == c->edge || e == entry || (c->dep->parent && clobbers(g, c->dep->parent, e)))
            continue;
        for (size_t k = 0; k < sets.v[i].members.n; k++) {
            struct npm_node *deep = npm_deepest_target(e->from, sets.v[i].members.v[k]->name);
            if (deep == c->target || npm_node_inside(c->target, deep)) {
                ok = false;
                break;
            }
        }
    }
    npm_peer_sets_release(&sets);
    return ok;
}

static bool replaces(struct npm_graph *g, struct npm_check *c)
{
    return npm_node_can_replace(g, c->dep, c->current, NULL) &&
           with_peers(g, c, NPM_REPLACE) != NPM_CONFLICT;
}

static enum npm_verdict check_current(struct npm_graph *g, struct npm_check *c)
{
    const struct npm_manifest *now = c->current->package, *then = c->dep->package;
    bool serves = npm_edge_satisfied_by(c->edge, c->current);
    if (npm_node_same(c->dep, c->current) && (serves || c->overridden))
        return c->explicit ? NPM_REPLACE : NPM_KEEP;
    bool newer = now && then && semver_cmp(&then->version, &now->version) >= 0;
    if (newer && replaces(g, c))
        return NPM_REPLACE;
    if (serves && (!c->explicit || c->prefer_dedupe))
        return NPM_KEEP;
    if (c->prefer_dedupe && !newer && replaces(g, c))
        return NPM_REPLACE;
    if (c->target != deepest(c))
        return NPM_CONFLICT; /* it can go deeper: what is here stays */
    if (!npm_edge_is_peer(c->edge) && c->target == c->edge->from)
        return with_peers(g, c, NPM_REPLACE); /* here or nowhere */
    if (!c->outer && !npm_edge_is_peer(c->edge))
        return NPM_CONFLICT;
    return groups_give_way(g, c) ? with_peers(g, c, NPM_REPLACE) : NPM_CONFLICT;
}

/* Nothing of that name is here, but those below may have been using one from further up. */
static enum npm_verdict check_empty(struct npm_graph *g, struct npm_check *c)
{
    struct npm_node *above =
        c->target != outermost(c)->edge->from ? npm_node_resolve(c->target, c->edge->name) : NULL;
    for (struct npm_edge *e = above ? above->in_first : NULL; e; e = e->in_next)
        if (npm_node_inside(e->from, c->target) && npm_edge_valid(e) &&
            !npm_edge_satisfied_by(e, c->dep))
            return NPM_CONFLICT;
    return with_peers(g, c, NPM_FREE);
}

static enum npm_verdict check(struct npm_graph *g, struct npm_check *c)
{
    if (c->dep->failure) /* it ends the build or is dropped with its dependents: anywhere will do */
        return c->current ? NPM_REPLACE : NPM_FREE;
    if (c->target_edge && npm_edge_is_peer(c->target_edge) && !npm_node_is_top(c->target))
        return NPM_CONFLICT; /* a peer never lies inside the one that needs it */
    if (!c->current && c->target_edge && c->target_edge != c->edge &&
        !npm_edge_satisfied_by(c->target_edge, c->dep))
        return NPM_CONFLICT;
    return c->current ? check_current(g, c) : check_empty(g, c);
}

struct npm_check *npm_can_place(struct npm_graph *g, struct npm_node *dep, struct npm_edge *edge,
                                struct npm_node *target, bool explicit, bool prefer_dedupe,
                                const struct npm_check *outer, const struct npm_peer_path *path)
{
    struct npm_check *c = ARENA_NEW(g->arena, struct npm_check);
    *c = (struct npm_check){
        .dep = dep,
        .edge = edge,
        .target = target,
        .current = npm_node_child(target, edge->name),
        .target_edge = npm_node_edge(target, edge->name),
        .explicit = explicit,
        .prefer_dedupe = prefer_dedupe || npm_edge_is_peer(edge),
        .overridden = !npm_edge_satisfied_by(edge, dep),
        .outer = outer,
        .path = {dep, path},
    };
    c->verdict = ++g->checks > NPM_CHECKS_MAX ? NPM_CONFLICT : check(g, c);
    if (c->own == NPM_CONFLICT)
        c->own = c->verdict;
    return c;
}
