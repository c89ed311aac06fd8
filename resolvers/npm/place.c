/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/npm/place.h"

#include "resolvers/npm/can_place.h"

#define PEER_DEPTH_MAX 500
#define NEST_MAX       200 /* folders in folders; a path of Linux ends at 4,096 bytes anyway */

/* One package on its way, and the one whose peer it is. */
struct placing {
    struct npm_edge *edge;
    struct npm_node *dep, *placed;
    const struct placing *outer;
    const struct npm_check *place; /* where it goes; NULL: nowhere */
    struct npm_placements *out;
    bool explicit;
};

void npm_placements_reset(struct npm_placements *p)
{
    p->list.n = p->again.n = p->conflicts.n = 0;
}

void npm_placements_release(struct npm_placements *p)
{
    VEC_FREE(&p->list);
    VEC_FREE(&p->again);
    VEC_FREE(&p->conflicts);
}

static void accept_conflict(struct placing *p, struct npm_edge *e)
{
    e->peer_conflicted = true;
    *VEC_PUSH(&p->out->conflicts) = e;
}

static struct npm_node *start_of(const struct placing *p)
{
    struct npm_node *from = p->outer ? start_of(p->outer) : p->edge->from;
    return npm_deepest_target(from, p->edge->name);
}

/* ---- What goes when something comes. ---- */

static bool not_to(struct npm_edge *e, const struct npm_node *about)
{
    return e->to != about;
}

static bool valid_not_to(struct npm_edge *e, const struct npm_node *about)
{
    return e->to != about && npm_edge_valid(e);
}

static bool content_not_to(struct npm_edge *e, const struct npm_node *about)
{
    return e->to != about && !e->peer_conflicted;
}

static bool valid_and_apart(struct npm_edge *e, const struct npm_node *about)
{
    return e->from != about && e->to != about && npm_edge_valid(e);
}

static bool set_has(const struct npm_set *s, const struct npm_node *n)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i] == n)
            return true;
    return false;
}

static void add_gathered(struct npm_graph *g, struct npm_set *to, struct npm_node *n,
                         npm_follow follow)
{
    struct npm_set set = {0};
    *VEC_PUSH(&set) = n;
    npm_gather(g, &set, follow, n);
    for (size_t i = 0; i < set.n; i++)
        if (!set_has(to, set.v[i]))
            *VEC_PUSH(to) = set.v[i];
    VEC_FREE(&set);
}

static void detach_all(struct npm_graph *g, const struct npm_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        npm_node_detach(g, set->v[i]);
}

/* May n go, because its users would be content with what they find without it? */
static bool is_duplicate(struct npm_graph *g, struct npm_node *n, bool explicit)
{
    if (!n->parent || !n->parent->parent)
        return false;
    struct npm_node *other = npm_node_resolve(n->parent->parent, n->name);
    if (n->in_first && !other)
        return false;
    if (n->in_first && !npm_node_same(other, n)) {
        bool comparable = other->package && n->package;
        if (!explicit &&
            !(comparable && semver_cmp(&other->package->version, &n->package->version) >= 0))
            return false;
        if (!npm_node_can_replace(g, other, n, NULL))
            return false;
    }
    return !npm_node_in_bundle(g, n);
}

static int by_path(const void *a, const void *b)
{
    const struct npm_node *const *x = a, *const *y = b;
    return npm_collate((*x)->name->text, (*y)->name->text);
}

static void drop_duplicates(struct npm_graph *g, struct npm_node *n, bool explicit, bool deep)
{
    if (is_duplicate(g, n, explicit)) {
        struct npm_set set = {0};
        *VEC_PUSH(&set) = n;
        npm_gather(g, &set, valid_not_to, n);
        detach_all(g, &set);
        VEC_FREE(&set);
        return;
    }
    if (!deep)
        return;
    struct npm_set children = {0};
    for (struct npm_node *c = n->first_child; c; c = c->next)
        *VEC_PUSH(&children) = c;
    if (children.n)
        qsort(children.v, children.n, sizeof(*children.v), by_path);
    for (size_t i = 0; i < children.n; i++)
        drop_duplicates(g, children.v[i], explicit, true);
    VEC_FREE(&children);
}

/* Copies below the target that the new package makes needless. */
static void drop_shadows(struct npm_graph *g, struct npm_node *target, const struct npm_name *name,
                         bool explicit)
{
    struct npm_set copies = {0}, children = {0};
    for (size_t i = 0; i < name->in_tree.n; i++)
        *VEC_PUSH(&copies) = name->in_tree.v[i];
    for (size_t i = 0; i < copies.n; i++) {
        struct npm_node *n = copies.v[i];
        if (n->root != target->root || !npm_node_inside(n, target) || npm_node_is_top(n))
            continue;
        drop_duplicates(g, n, explicit, false);
        if (n->root != target->root)
            continue;
        children.n = 0;
        for (struct npm_node *c = n->first_child; c; c = c->next)
            *VEC_PUSH(&children) = c;
        for (size_t k = 0; k < children.n; k++)
            drop_duplicates(g, children.v[k], explicit, false);
    }
    VEC_FREE(&copies);
    VEC_FREE(&children);
}

/* Peer groups at this level that the new package does not serve: those that can go deeper are
 * taken out and placed again, the others have to live with it. */
static void displace_peers(struct npm_graph *g, struct placing *p, struct npm_node *old,
                           struct npm_set *displaced)
{
    struct npm_node *target = old->parent;
    for (struct npm_edge *e = old->in_first; e; e = e->in_next) {
        if (npm_edge_satisfied_by(e, p->placed) || !npm_edge_is_peer(e) ||
            e->from->parent != target || e->peer_conflicted)
            continue;
        struct npm_peer_sets sets;
        npm_peer_sets_of(g, e->from, &sets);
        for (size_t i = 0; i < sets.n; i++) {
            struct npm_edge *entry = sets.v[i].entry;
            if (entry->to != target && !npm_node_is_root(entry->from))
                add_gathered(g, displaced, entry->to, content_not_to);
            else
                accept_conflict(p, e);
        }
        npm_peer_sets_release(&sets);
    }
}

/* What only the old package needed. */
static void drop_orphans(struct npm_graph *g, struct npm_node *placed,
                         const struct npm_set *old_deps)
{
    struct npm_set orphans = {0};
    for (size_t i = 0; i < placed->edge_count; i++) {
        struct npm_edge *e = &placed->edges[i];
        if (e->to && !npm_edge_valid(e) && !set_has(&orphans, e->to))
            *VEC_PUSH(&orphans) = e->to;
    }
    for (size_t i = 0; i < old_deps->n; i++)
        add_gathered(g, &orphans, old_deps->v[i], valid_not_to);
    npm_gather(g, &orphans, valid_and_apart, placed);
    detach_all(g, &orphans);
    VEC_FREE(&orphans);
}

static void replace_old(struct npm_graph *g, struct placing *p, struct npm_node *old)
{
    struct npm_set old_deps = {0}, displaced = {0};
    for (size_t i = 0; i < old->edge_count; i++) {
        struct npm_edge *e = &old->edges[i];
        if (e->to && !npm_node_edge(p->placed, e->name))
            add_gathered(g, &old_deps, e->to, not_to);
    }
    displace_peers(g, p, old, &displaced);
    npm_node_replace(g, p->placed, old);
    drop_orphans(g, p->placed, &old_deps);
    for (size_t i = 0; i < displaced.n; i++) {
        for (struct npm_edge *e = displaced.v[i]->in_first; e; e = e->in_next)
            if (!set_has(&p->out->again, e->from))
                *VEC_PUSH(&p->out->again) = e->from;
        npm_node_detach(g, displaced.v[i]);
    }
    VEC_FREE(&old_deps);
    VEC_FREE(&displaced);
}

/* ---- Where to. ---- */

/* Nobody above a top's own folder: tops share nothing but the root. */
static bool at_the_top(const struct npm_node *target)
{
    return target->parent && npm_node_is_root(target->parent);
}

static const struct npm_check *find_place(struct npm_graph *g, struct placing *p,
                                          const struct npm_check **alone)
{
    const struct npm_check *best = NULL;
    *alone = NULL;
    for (struct npm_node *target = start_of(p); target; target = target->parent) {
        const struct npm_edge *e = npm_node_edge(target, p->edge->name);
        if (!npm_node_is_top(target) && e && npm_edge_is_peer(e))
            continue;
        const struct npm_check *c = npm_can_place(g, p->dep, p->edge, target, p->explicit, false,
                                                  p->outer ? p->outer->place : NULL, NULL);
        if (c->own != NPM_CONFLICT)
            *alone = c;
        if (c->verdict == NPM_CONFLICT)
            break;
        best = c;
        if (p->dep->failure || at_the_top(target))
            break;
    }
    return best;
}

/* Does the edge come from the root, or from a peer group that the root brought in? */
static bool is_mine(struct npm_graph *g, const struct placing *p)
{
    while (p->outer)
        p = p->outer;
    struct npm_node *from = p->edge->from;
    bool peers = false, mine = false;
    if (npm_node_is_root(from))
        return true;
    if (!npm_edge_is_peer(p->edge))
        return false;
    for (struct npm_edge *e = from->in_first; e; e = e->in_next) {
        peers |= npm_edge_is_peer(e);
        if (!npm_edge_is_peer(e) && npm_node_is_root(e->from))
            return true;
    }
    if (peers) {
        struct npm_peer_sets sets;
        npm_peer_sets_of(g, from, &sets);
        for (size_t i = 0; i < sets.n; i++)
            mine |= npm_node_is_root(sets.v[i].entry->from);
        npm_peer_sets_release(&sets);
    }
    return mine;
}

static bool fail_conflict(const struct placing *p, struct err *err)
{
    const struct npm_node *now = npm_node_resolve(p->edge->from, p->edge->name);
    const struct npm_manifest *from = p->edge->from->package, *have = now ? now->package : NULL;
    return err_set(err, ERR_UNRESOLVABLE,
                   "%s%.*s needs %.*s@%.*s%s, which conflicts with %s%.*s that is there already",
                   from ? "" : "the list", from ? (int)from->name.len : 0,
                   from ? from->name.ptr : "", SPAN_ARG(p->edge->name->text),
                   SPAN_ARG(p->edge->want->spec.text), npm_edge_is_peer(p->edge) ? " (peer)" : "",
                   have ? "" : "another", have ? (int)have->version_text.len : 0,
                   have ? have->version_text.ptr : "");
}

static bool place(struct npm_graph *g, struct placing *p, int depth, struct err *err);

/* The peers that the package found in its group come to where it can reach them. */
static bool place_peers(struct npm_graph *g, const struct placing *p, const struct npm_node *group,
                        int depth, struct err *err)
{
    for (size_t i = 0; group && i < p->placed->edge_count; i++) {
        struct npm_edge *e = &p->placed->edges[i];
        if (!npm_edge_is_peer(e) || e->peer_conflicted || npm_edge_valid(e))
            continue;
        struct npm_node *peer = npm_node_child(group, e->name);
        if (!peer || !npm_edge_satisfied_by(e, peer))
            continue;
        struct placing inner = {
            .edge = e, .dep = peer, .outer = p, .out = p->out, .explicit = p->explicit};
        if (!place(g, &inner, depth + 1, err))
            return false;
    }
    return true;
}

static void put(struct npm_graph *g, struct placing *p, struct npm_node *target)
{
    p->placed = npm_node_new(g, p->dep->name, p->dep->package, p->dep->failure, NULL);
    struct npm_node *old = npm_node_child(target, p->edge->name);
    if (old)
        replace_old(g, p, old);
    else
        npm_node_attach(g, p->placed, target);
    if (npm_edge_is_peer(p->edge) && !npm_edge_satisfied_by(p->edge, p->placed))
        accept_conflict(p, p->edge);
    if (p->edge->to && p->edge->to != p->placed && npm_edge_valid(p->edge))
        drop_duplicates(g, p->edge->to, p->explicit, false);
    drop_shadows(g, target, p->edge->name, p->explicit);
}

/* A package that needs itself through others that push it deeper and deeper: a link to the one
 * around it ends that. */
static struct npm_node *same_around(const struct placing *p, struct npm_node *target)
{
    for (struct npm_node *n = target; n; n = n->parent)
        if (!npm_node_is_top(n) && npm_node_same(n, p->dep))
            return n;
    return NULL;
}

static bool place(struct npm_graph *g, struct placing *p, int depth, struct err *err)
{
    const struct npm_check *alone;
    if (p->edge->to && npm_edge_valid(p->edge) && !p->explicit)
        return true;
    if (depth > PEER_DEPTH_MAX)
        return err_set(err, ERR_TOO_LARGE, "more than %d peers, each a peer of the one before",
                       PEER_DEPTH_MAX);
    p->place = find_place(g, p, &alone);
    if (g->checks > NPM_CHECKS_MAX)
        return err_set(err, ERR_TOO_LARGE,
                       "%.*s: its peers are peers of each other in too many ways",
                       SPAN_ARG(p->edge->name->text));
    if (p->place && npm_node_depth(p->place->target) > NEST_MAX)
        return err_set(err, ERR_TOO_LARGE, "%.*s would lie more than %d folders deep",
                       SPAN_ARG(p->edge->name->text), NEST_MAX);
    if (!p->place) {
        if (is_mine(g, p))
            return fail_conflict(p, err);
        if (!alone) {
            accept_conflict(p, p->edge);
            return true;
        }
        p->place = alone;
    }
    struct npm_node *target = p->place->target, *group = p->dep->parent, *around;
    enum npm_verdict verdict =
        p->place->verdict == NPM_CONFLICT ? p->place->own : p->place->verdict;
    if (verdict == NPM_KEEP) {
        if (npm_edge_is_peer(p->edge) && !npm_edge_valid(p->edge))
            accept_conflict(p, p->edge);
        drop_duplicates(g, target, p->explicit, true);
        return true;
    }
    if ((around = same_around(p, target))) {
        p->placed = npm_node_link(g, around, target);
        *VEC_PUSH(&p->out->list) = (struct npm_placement){p->edge, p->placed, p->place->own};
        return true;
    }
    size_t at = p->out->list.n;
    *VEC_PUSH(&p->out->list) = (struct npm_placement){p->edge, NULL, p->place->own};
    put(g, p, target);
    p->out->list.v[at].placed = p->placed;
    return place_peers(g, p, group, depth, err);
}

bool npm_place(struct npm_graph *g, struct npm_edge *edge, struct npm_node *dep,
               struct npm_placements *out, struct err *err)
{
    struct placing p = {.edge = edge, .dep = dep, .out = out, .explicit = edge->explicit};
    return place(g, &p, 0, err);
}
