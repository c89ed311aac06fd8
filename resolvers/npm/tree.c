/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/npm/tree.h"

#include "resolvers/npm/place.h"
#include "resolvers/npm/tree_priv.h"

#define PEER_NEST_MAX 200 /* peers of peers of ... */
/* Peers that conflict in circles can keep npm going for ever. A tree of 1,300 packages makes
 * 5,000 nodes from 1,000 names, candidates included. */
#define NODES_MAX_BASE     5000
#define NODES_MAX_PER_NAME 100

/* The deepest, then the path: kept from when it was queued. */
struct waiting {
    struct npm_node *node;
    size_t depth;
    struct span path;
};

struct task {
    struct npm_edge *edge;
    struct npm_node *dep;
};

struct npm_tree {
    struct npm_graph *g;
    const struct npm_target *target;
    npm_want_fn want;
    void *ctx;
    VEC(struct waiting) queue; /* a heap */
    VEC(struct task) tasks;
    struct npm_placements placed;
    struct npm_warnings warnings;
    bool missing; /* something is not known yet */
    bool started;
};

/* ---- The queue. ---- */

static bool sooner(const struct waiting *a, const struct waiting *b)
{
    if (a->depth != b->depth)
        return a->depth < b->depth;
    return npm_collate(a->path, b->path) < 0;
}

static void queue_push(struct npm_tree *t, struct npm_node *n)
{
    if (n->queued)
        return;
    n->queued = true;
    struct waiting w = {n, npm_node_depth(n), npm_node_path(t->g, n)};
    *VEC_PUSH(&t->queue) = w;
    size_t i = t->queue.n - 1;
    for (; i && sooner(&w, &t->queue.v[(i - 1) / 2]); i = (i - 1) / 2)
        t->queue.v[i] = t->queue.v[(i - 1) / 2];
    t->queue.v[i] = w;
}

static struct npm_node *queue_pop(struct npm_tree *t)
{
    struct npm_node *first = t->queue.v[0].node;
    struct waiting last = t->queue.v[--t->queue.n];
    size_t i = 0, n = t->queue.n;
    for (size_t c; (c = 2 * i + 1) < n; i = c) {
        if (c + 1 < n && sooner(&t->queue.v[c + 1], &t->queue.v[c]))
            c++;
        if (!sooner(&t->queue.v[c], &last))
            break;
        t->queue.v[i] = t->queue.v[c];
    }
    if (n)
        t->queue.v[i] = last;
    first->queued = false;
    return first;
}

/* ---- Candidates. ---- */

static bool set_has(const struct npm_set *s, const struct npm_node *n)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i] == n)
            return true;
    return false;
}

/* A node for what the edge asks for, below parent. NULL: not known yet, or err. */
static struct npm_node *node_for(struct npm_tree *t, struct npm_name *name, struct npm_want *want,
                                 const struct npm_edge *e, struct npm_node *parent, struct err *err)
{
    if (want->malformed) {
        npm_explain_edge(err, e, want->err);
        return NULL;
    }
    if (t->g->nodes.n > NODES_MAX_BASE + NODES_MAX_PER_NAME * t->g->name_list.n) {
        err_set(err, ERR_TOO_LARGE, "%zu candidates were made: peers conflict in circles",
                t->g->nodes.n);
        return NULL;
    }
    if (want->state == NPM_WANT_UNKNOWN && !t->want(want, t->ctx)) {
        t->missing = true;
        return NULL;
    }
    bool ok = want->state == NPM_WANT_READY;
    return npm_node_new(t->g, name, ok ? want->manifest : NULL, ok ? NULL : want, parent);
}

struct peering {
    struct npm_tree *t;
    struct npm_set *required;
    struct err *err;
    int depth;
};

static struct npm_node *candidate(struct peering *p, struct npm_edge *e, struct npm_node *parent,
                                  struct npm_edge *also);

static int by_name(const void *a, const void *b)
{
    const struct npm_edge *const *x = a, *const *y = b;
    return npm_collate((*x)->name->text, (*y)->name->text);
}

static void conflict_error(struct peering *p, const struct npm_edge *e)
{
    const struct npm_node *now = npm_node_resolve(e->from, e->name);
    const struct npm_manifest *m = now ? now->package : NULL;
    struct err why = {0};
    err_set(&why, ERR_UNRESOLVABLE, "conflicts with %.*s, which something else needs",
            m ? (int)m->version_text.len : 7, m ? m->version_text.ptr : "another");
    npm_explain_edge(p->err, e, &why);
}

/* One peer of a candidate, into the candidate's group. False: stop with this candidate. */
static bool load_peer(struct peering *p, struct npm_node *n, struct npm_edge *e)
{
    struct npm_node *group = n->parent;
    struct npm_edge *above = npm_node_edge(group, e->name);
    const struct npm_node *source = group->source;
    bool mine = source && npm_node_is_root(source);
    if (e->to && npm_edge_valid(e))
        return true;
    if (!e->to && !above) {
        candidate(p, e, group, NULL);
        return true;
    }
    if (!e->to) {
        struct npm_node *dep = candidate(p, above, group, e);
        if (!dep || npm_edge_valid(e))
            return true;
        if (!mine || !set_has(p->required, dep)) {
            e->peer_conflicted = true;
            return true;
        }
        if (n->parent)
            conflict_error(p, e);
        return false;
    }
    struct npm_node *current = e->to, *dep = candidate(p, e, NULL, NULL);
    if (!dep)
        return true;
    if (npm_node_can_replace(p->t->g, dep, current, NULL))
        candidate(p, e, n->parent, NULL);
    else if (mine && set_has(p->required, e->from))
        conflict_error(p, e);
    return true;
}

static struct npm_node *load_peers(struct peering *p, struct npm_node *n)
{
    struct npm_edge **edges = NULL;
    size_t count = 0;
    if (p->depth > PEER_NEST_MAX) {
        err_set(p->err, ERR_TOO_LARGE, "peers nested more than %d deep", PEER_NEST_MAX);
        return NULL;
    }
    edges = arena_array(p->t->g->arena, n->edge_count, sizeof(*edges));
    for (size_t i = 0; i < n->edge_count; i++)
        if (npm_edge_is_peer(&n->edges[i]) && !(n->edges[i].to && npm_edge_valid(&n->edges[i])))
            edges[count++] = &n->edges[i];
    if (count)
        qsort(edges, count, sizeof(struct npm_edge *), by_name);
    p->depth++;
    for (size_t i = 0; i < count && n->parent && !p->err->code; i++)
        if (!load_peer(p, n, edges[i]))
            break;
    p->depth--;
    return p->err->code ? NULL : n;
}

/* A candidate for an edge with its peers, below parent or a new virtual root. When another edge
 * is given too, what that one asks for is taken where both are content with it. */
static struct npm_node *candidate(struct peering *p, struct npm_edge *e, struct npm_node *parent,
                                  struct npm_edge *also)
{
    struct npm_tree *t = p->t;
    if (!parent)
        parent = npm_node_virtual(t->g, e->from);
    struct npm_node *first = node_for(t, e->name, e->want, e, parent, p->err), *second = NULL;
    if (!first)
        return NULL;
    if (also && !npm_edge_valid(also)) {
        second = node_for(t, e->name, also->want, also, parent, p->err);
        if (!second)
            return NULL;
    }
    struct npm_node *n = second && npm_edge_valid(e) ? second : first;
    npm_node_attach(t->g, n, parent);
    if ((set_has(p->required, e->from) && e->type != NPM_DEP_PEER_OPTIONAL) ||
        (also && set_has(p->required, also->from) && also->type != NPM_DEP_PEER_OPTIONAL))
        *VEC_PUSH(p->required) = n;
    /* Peers of a top wait for the top's own turn: they lie in its folder, not beside it. */
    if (npm_node_is_root(e->from))
        return n;
    return load_peers(p, n);
}

/* ---- One node's turn. ---- */

static bool is_bundled(const struct npm_node *n, const struct npm_name *name)
{
    for (size_t i = 0; n->package && i < n->package->bundled.n; i++)
        if (span_eq(n->package->bundled.v[i], name->text))
            return true;
    return false;
}

static bool is_problem(const struct npm_node *n, struct npm_edge *e)
{
    if (is_bundled(n, e->name) || (e->to && e->to->failure))
        return false;
    if (!e->to)
        return e->type != NPM_DEP_PEER_OPTIONAL || e->explicit;
    return !npm_edge_valid(e) || e->explicit;
}

/* The nearest node in the tree that an optional peer would be content with. */
static struct npm_node *find_anywhere(struct npm_tree *t, struct npm_node *from,
                                      const struct npm_edge *e)
{
    struct npm_set queue = {0};
    struct npm_node *found = NULL;
    *VEC_PUSH(&queue) = from;
    for (size_t i = 0; !found && i < queue.n; i++) {
        struct npm_node *n = queue.v[i];
        if (i && npm_edge_satisfied_by(e, n) && !npm_node_in_bundle(t->g, n))
            found = n;
        for (struct npm_node *c = n->first_child; c; c = c->next)
            *VEC_PUSH(&queue) = c;
    }
    VEC_FREE(&queue);
    return found;
}

static struct npm_node *dep_for(struct npm_tree *t, struct npm_node *n, struct npm_edge *e,
                                struct err *err)
{
    struct npm_node *group = n->virtual_root ? n->virtual_root : npm_node_virtual(t->g, n);
    struct npm_edge *twin = npm_node_edge(group, e->name);
    if (twin && twin->to && npm_edge_valid(twin) && npm_edge_satisfied_by(e, twin->to))
        return twin->to;
    if (e->type == NPM_DEP_PEER_OPTIONAL && !e->explicit) {
        struct npm_node *dep = find_anywhere(t, n->parent ? n->parent : n, e);
        if (dep)
            return dep;
    }
    struct npm_set required = {0};
    *VEC_PUSH(&required) = e->from;
    struct peering p = {t, &required, err, 0};
    struct npm_node *dep = candidate(&p, e, npm_edge_is_peer(e) ? group : NULL, NULL);
    VEC_FREE(&required);
    return dep;
}

static void after_placing(struct npm_tree *t)
{
    for (size_t i = 0; i < t->placed.list.n; i++) {
        struct npm_placement *p = &t->placed.list.v[i];
        if (!p->placed || p->verdict == NPM_CONFLICT)
            continue;
        /* Whoever is not content with it looks for another one. */
        for (struct npm_edge *e = p->placed->in_first; e; e = e->in_next) {
            if (e == p->edge || e->peer_conflicted || npm_edge_valid(e))
                continue;
            e->from->seen = false;
            queue_push(t, e->from);
        }
        queue_push(t, p->placed);
    }
    for (size_t i = 0; i < t->placed.again.n; i++) {
        t->placed.again.v[i]->seen = false;
        queue_push(t, t->placed.again.v[i]);
    }
    for (size_t i = 0; i < t->placed.conflicts.n; i++)
        npm_warn_conflict(t->g, &t->warnings, t->placed.conflicts.v[i]);
}

static int task_by_name(const void *a, const void *b)
{
    const struct task *x = a, *y = b;
    int d = npm_collate(x->edge->name->text, y->edge->name->text);
    return d ? d : (x->edge > y->edge) - (x->edge < y->edge);
}

/* A virtual root that was used before is tried on a copy: a stop half way must not show. */
static struct npm_node *copy_of(struct npm_tree *t, struct npm_node *group)
{
    struct npm_node *copy = npm_node_virtual(t->g, group->source);
    for (struct npm_node *c = group->first_child; c; c = c->next) {
        struct npm_node *twin = npm_node_new(t->g, c->name, c->package, c->failure, copy);
        for (size_t i = 0; i < twin->edge_count; i++)
            twin->edges[i].peer_conflicted = c->edges[i].peer_conflicted;
    }
    return copy;
}

/* False: not all is known yet, or err. */
static bool build_node(struct npm_tree *t, struct npm_node *n, struct err *err)
{
    struct npm_node *group = n->virtual_root;
    if (group)
        copy_of(t, group);
    t->tasks.n = 0;
    t->missing = false;
    for (size_t i = 0; i < n->edge_count && !err->code; i++) {
        struct npm_edge *e = &n->edges[i];
        if (e->peer_conflicted || !is_problem(n, e))
            continue;
        struct npm_node *dep = dep_for(t, n, e, err);
        if (dep)
            *VEC_PUSH(&t->tasks) = (struct task){e, dep};
    }
    if (err->code)
        return false;
    if (t->missing) {
        n->virtual_root = group; /* what was tried is forgotten */
        return false;
    }
    if (t->tasks.n)
        qsort(t->tasks.v, t->tasks.n, sizeof(*t->tasks.v), task_by_name);
    for (size_t i = 0; i < t->tasks.n; i++) {
        npm_placements_reset(&t->placed);
        if (!npm_place(t->g, t->tasks.v[i].edge, t->tasks.v[i].dep, &t->placed, err))
            return false;
        after_placing(t);
    }
    return true;
}

enum npm_tree_state npm_tree_build(struct npm_tree *t, struct err *err)
{
    if (!t->started)
        queue_push(t, t->g->root);
    t->started = true;
    while (t->queue.n) {
        struct npm_node *n = queue_pop(t);
        if (n->seen || n->root != t->g->root || (n->package && n->package->shrinkwrap))
            continue;
        n->seen = true;
        if (build_node(t, n, err))
            continue;
        if (err->code)
            return NPM_TREE_FAILED;
        n->seen = false;
        queue_push(t, n);
        return NPM_TREE_WAITING;
    }
    return NPM_TREE_DONE;
}

/* ---- Around it. ---- */

struct npm_tree *npm_tree_new(const struct npm_target *target, npm_want_fn want, void *ctx)
{
    struct npm_tree *t = MEM_NEW(struct npm_tree);
    t->g = npm_graph_new();
    t->target = target;
    t->want = want;
    t->ctx = ctx;
    npm_node_root(t->g);
    return t;
}

void npm_tree_free(struct npm_tree *t)
{
    if (!t)
        return;
    VEC_FREE(&t->queue);
    VEC_FREE(&t->tasks);
    VEC_FREE(&t->warnings);
    npm_placements_release(&t->placed);
    npm_graph_free(t->g);
    free(t);
}

struct npm_graph *npm_tree_graph(struct npm_tree *t)
{
    return t->g;
}

const struct npm_warnings *npm_tree_warnings(const struct npm_tree *t)
{
    return &t->warnings;
}

struct npm_want *npm_tree_add(struct npm_tree *t, struct span name, struct span spec)
{
    struct npm_want *want = npm_want_of(t->g, name, spec);
    struct npm_node *root = t->g->root;
    if ((root->edge_count & (root->edge_count - 1)) == 0) { /* full at each power of two */
        struct npm_edge *edges =
            arena_array(t->g->arena, root->edge_count ? root->edge_count * 2 : 1, sizeof(*edges));
        if (root->edge_count)
            memcpy(edges, root->edges, root->edge_count * sizeof(*edges));
        root->edges = edges;
    }
    npm_edge_add(t->g, root, want->name, want, NPM_DEP_PROD)->explicit = true;
    return want;
}

void npm_tree_warn(struct npm_tree *t, const char *text)
{
    npm_warn(t->g, &t->warnings, "%s", text);
}

bool npm_tree_finish(struct npm_tree *t, struct err *err)
{
    return npm_finish(t->g, t->target, &t->warnings, err);
}

void npm_tree_list(struct npm_tree *t, struct npm_set *out)
{
    out->n = 0;
    npm_list(t->g, out);
}
