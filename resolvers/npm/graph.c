/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/npm/graph.h"

struct npm_graph *npm_graph_new(void)
{
    struct npm_graph *g = MEM_NEW(struct npm_graph);
    g->arena = arena_new();
    return g;
}

void npm_graph_free(struct npm_graph *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->nodes.n; i++)
        map_release(&g->nodes.v[i]->children);
    for (size_t i = 0; i < g->name_list.n; i++) {
        VEC_FREE(&g->name_list.v[i]->in_tree);
        VEC_FREE(&g->name_list.v[i]->known);
    }
    VEC_FREE(&g->nodes);
    VEC_FREE(&g->name_list);
    map_release(&g->names);
    map_release(&g->wants);
    arena_free(g->arena);
    free(g);
}

struct npm_name *npm_name_of(struct npm_graph *g, struct span text)
{
    struct npm_name *name = map_get(&g->names, text);
    if (name)
        return name;
    name = ARENA_NEW(g->arena, struct npm_name);
    name->text = arena_span(g->arena, text);
    map_put(&g->names, name->text, name);
    *VEC_PUSH(&g->name_list) = name;
    char *folded = arena_str(g->arena, text);
    for (size_t i = 0; i < text.len; i++)
        if (folded[i] >= 'A' && folded[i] <= 'Z')
            folded[i] = (char)(folded[i] + 32);
    name->fold = npm_name_of(g, span_of(folded, text.len));
    return name;
}

struct npm_want *npm_want_of(struct npm_graph *g, struct span name, struct span spec)
{
    AUTO_BUF struct buf key = BUF(2 * (NPM_NAME_MAX + NPM_SPEC_MAX) + (64 << 10));
    struct err err = {0};
    buf_append(&key, span_slice(name, 0, 2 * NPM_NAME_MAX));
    buf_char(&key, '\0');
    buf_append(&key, span_slice(spec, 0, 2 * NPM_SPEC_MAX));
    struct npm_want *w = map_get(&g->wants, buf_span(&key));
    if (w)
        return w;
    w = ARENA_NEW(g->arena, struct npm_want);
    map_put(&g->wants, arena_span(g->arena, buf_span(&key)), w);
    struct span kept = arena_span(g->arena, spec);
    w->name = npm_name_of(g, name);
    if (!npm_spec_of_dependency(g->arena, w->name->text, kept, &w->spec, &err)) {
        w->malformed = true;
        w->state = NPM_WANT_FAILED;
    } else if (!npm_spec_supported(&w->spec, &err)) {
        w->state = NPM_WANT_FAILED;
    }
    if (err.code) {
        w->err = ARENA_NEW(g->arena, struct err);
        *w->err = err;
    }
    return w;
}

/* ---- Edges. ---- */

bool npm_edge_is_peer(const struct npm_edge *e)
{
    return e->type == NPM_DEP_PEER || e->type == NPM_DEP_PEER_OPTIONAL;
}

bool npm_edge_is_optional(const struct npm_edge *e)
{
    return e->type == NPM_DEP_OPTIONAL || e->type == NPM_DEP_PEER_OPTIONAL;
}

static bool want_satisfied_by(const struct npm_want *w, const struct npm_node *n)
{
    const struct npm_manifest *m = n->package;
    if (w->malformed)
        return false;
    switch (w->spec.kind) {
    case NPM_SPEC_VERSION: return m && semver_cmp(&m->version, &w->spec.version) == 0;
    case NPM_SPEC_RANGE: return w->spec.any || (m && semver_range_test(w->spec.range, &m->version));
    case NPM_SPEC_TAG: return m && m->tarball.len;
    case NPM_SPEC_URL: return m && span_eq(m->tarball, w->spec.text);
    default: return false;
    }
}

bool npm_edge_satisfied_by(const struct npm_edge *e, const struct npm_node *n)
{
    return n->name == e->name &&
           (want_satisfied_by(e->want, n) || (e->accept && want_satisfied_by(e->accept, n)));
}

enum npm_edge_error npm_edge_error_of(struct npm_edge *e)
{
    if (!e->to)
        return npm_edge_is_optional(e) ? NPM_EDGE_OK : NPM_EDGE_MISSING;
    if (e->error != NPM_EDGE_UNKNOWN)
        return e->error;
    if (npm_edge_is_peer(e) && e->from == e->to->parent && !npm_node_is_top(e->from))
        e->error = NPM_EDGE_LOCAL_PEER;
    else
        e->error = npm_edge_satisfied_by(e, e->to) ? NPM_EDGE_OK : NPM_EDGE_INVALID;
    return e->error;
}

bool npm_edge_valid(struct npm_edge *e)
{
    return npm_edge_error_of(e) == NPM_EDGE_OK;
}

static void edge_unlink(struct npm_edge *e)
{
    struct npm_node *to = e->to;
    if (!to)
        return;
    *(e->in_prev ? &e->in_prev->in_next : &to->in_first) = e->in_next;
    *(e->in_next ? &e->in_next->in_prev : &to->in_last) = e->in_prev;
    e->in_prev = e->in_next = NULL;
    e->to = NULL;
}

static void edge_reload(struct npm_edge *e, bool hard)
{
    struct npm_node *to = npm_node_resolve(e->from, e->name);
    if (to == e->to) {
        if (hard)
            e->error = NPM_EDGE_UNKNOWN;
        return;
    }
    edge_unlink(e);
    e->error = NPM_EDGE_UNKNOWN;
    e->to = to;
    if (to) {
        e->in_prev = to->in_last;
        *(to->in_last ? &to->in_last->in_next : &to->in_first) = e;
        to->in_last = e;
    }
}

struct npm_edge *npm_edge_add(struct npm_graph *g, struct npm_node *from, struct npm_name *name,
                              struct npm_want *want, enum npm_dep_type type)
{
    (void)g;
    for (size_t i = 0; i < from->edge_count; i++) { /* names that differ in case: the last one */
        if (from->edges[i].name->fold == name->fold) {
            edge_unlink(&from->edges[i]);
            memmove(&from->edges[i], &from->edges[i + 1],
                    (from->edge_count - i - 1) * sizeof(from->edges[0]));
            from->edge_count--;
            break;
        }
    }
    struct npm_edge *e = &from->edges[from->edge_count++];
    *e = (struct npm_edge){.name = name, .want = want, .type = type, .from = from};
    return e;
}

struct npm_edge *npm_node_edge(const struct npm_node *n, const struct npm_name *name)
{
    for (size_t i = 0; i < n->edge_count; i++)
        if (n->edges[i].name->fold == name->fold)
            return &n->edges[i];
    return NULL;
}

/* ---- Where nodes are. ---- */

struct npm_node *npm_node_child(const struct npm_node *n, const struct npm_name *name)
{
    return n->first_child ? map_get(&n->children, name->fold->text) : NULL;
}

struct npm_node *npm_node_resolve(const struct npm_node *n, const struct npm_name *name)
{
    struct npm_node *found = NULL;
    for (; n && !found; n = n->parent)
        found = npm_node_child(n, name);
    return found;
}

bool npm_node_inside(const struct npm_node *n, const struct npm_node *ancestor)
{
    while (n && n != ancestor)
        n = n->parent;
    return n;
}

bool npm_node_is_root(const struct npm_node *n)
{
    return n->root == n;
}

bool npm_node_is_global_top(const struct npm_node *n)
{
    return n->parent && n->root->global && npm_node_is_root(n->parent);
}

bool npm_node_is_top(const struct npm_node *n)
{
    return !n->parent || npm_node_is_global_top(n);
}

size_t npm_node_depth(const struct npm_node *n)
{
    size_t depth = 0;
    for (; !npm_node_is_top(n); n = n->parent)
        depth++;
    return depth;
}

struct span npm_node_path(struct npm_graph *g, const struct npm_node *n)
{
    size_t len = 0;
    for (const struct npm_node *p = n; p->parent; p = p->parent)
        len += sizeof("/node_modules/") - 1 + p->name->text.len;
    if (!len)
        return SPAN("");
    char *text = arena_alloc(g->arena, len + 1), *at = text + len;
    for (const struct npm_node *p = n; p->parent; p = p->parent) {
        at -= p->name->text.len;
        memcpy(at, p->name->text.ptr, p->name->text.len);
        at -= sizeof("/node_modules/") - 1;
        memcpy(at, "/node_modules/", sizeof("/node_modules/") - 1);
    }
    return span_of(text + 1, len - 1);
}

/* The same bytes, as far as the registry tells. */
bool npm_node_same(const struct npm_node *a, const struct npm_node *b)
{
    const struct npm_manifest *m = a->package, *n = b->package;
    if (a == b)
        return true;
    if (a->name != b->name)
        return false;
    if (a->link_target || b->link_target)
        return a->link_target && b->link_target && npm_node_same(a->link_target, b->link_target);
    if (!m || !n)
        return false;
    if (m->integrity.len && n->integrity.len)
        return span_eq(m->integrity, n->integrity);
    if (m->tarball.len && n->tarball.len)
        return span_eq(m->tarball, n->tarball);
    return span_eq(m->name, n->name) && span_eq(m->version_text, n->version_text);
}

/* ---- Moving. ---- */

static void tree_leave(struct npm_graph *g, struct npm_node *n)
{
    if (n->root != g->root || n == g->root)
        return;
    for (size_t i = 0; i < n->name->in_tree.n; i++) {
        if (n->name->in_tree.v[i] == n) {
            memmove(&n->name->in_tree.v[i], &n->name->in_tree.v[i + 1],
                    (n->name->in_tree.n - i - 1) * sizeof(n->name->in_tree.v[0]));
            n->name->in_tree.n--;
            return;
        }
    }
}

static void set_root(struct npm_graph *g, struct npm_node *n, struct npm_node *root)
{
    tree_leave(g, n);
    n->root = root;
    if (root == g->root && n != root) {
        n->order = ++g->order;
        *VEC_PUSH(&n->name->in_tree) = n;
    }
    for (struct npm_node *c = n->first_child; c; c = c->next)
        set_root(g, c, root);
}

/* Edges between the moved nodes and the trees they left or entered. */
static void reload_around(struct npm_node *n)
{
    for (struct npm_edge *e = n->in_first, *next; e; e = next) {
        next = e->in_next;
        if (e->from->root != n->root)
            edge_reload(e, false);
    }
    for (size_t i = 0; i < n->edge_count; i++)
        if (!n->edges[i].to || n->edges[i].to->root != n->root)
            edge_reload(&n->edges[i], false);
    for (struct npm_node *c = n->first_child; c; c = c->next)
        reload_around(c);
}

/* Edges to `name` from n and everything below it, after a node of that name came to `where`. */
static void reload_named(struct npm_node *n, const struct npm_name *name,
                         const struct npm_node *where)
{
    struct npm_edge *e = npm_node_edge(n, name);
    if (e) {
        bool here = where->parent && e->to && e->to->parent == where && e->to->name == e->name;
        if (here || npm_node_resolve(n, name) != e->to)
            edge_reload(e, true);
    }
    for (struct npm_node *c = n->first_child; c; c = c->next)
        reload_named(c, name, where);
}

static void child_remove(struct npm_node *n)
{
    struct npm_node *p = n->parent;
    *(n->prev ? &n->prev->next : &p->first_child) = n->next;
    *(n->next ? &n->next->prev : &p->last_child) = n->prev;
    n->prev = n->next = n->parent = NULL;
    map_put(&p->children, n->name->fold->text, NULL);
}

static void child_add(struct npm_node *n, struct npm_node *parent)
{
    n->parent = parent;
    n->prev = parent->last_child;
    n->next = NULL;
    *(parent->last_child ? &parent->last_child->next : &parent->first_child) = n;
    parent->last_child = n;
    map_put(&parent->children, n->name->fold->text, n);
}

void npm_node_detach(struct npm_graph *g, struct npm_node *n)
{
    if (!n->parent)
        return;
    child_remove(n);
    set_root(g, n, n);
    reload_around(n);
}

void npm_node_attach(struct npm_graph *g, struct npm_node *n, struct npm_node *parent)
{
    if (n->parent == parent || n == parent)
        return;
    if (n->parent)
        child_remove(n);
    struct npm_node *old = npm_node_child(parent, n->name);
    if (old)
        npm_node_detach(g, old);
    child_add(n, parent);
    set_root(g, n, parent->root);
    reload_named(parent, n->name, parent);
    reload_around(n);
}

void npm_node_replace(struct npm_graph *g, struct npm_node *n, struct npm_node *old)
{
    struct npm_node *parent = old->parent;
    for (struct npm_node *c = old->first_child, *next; c; c = next) {
        next = c->next;
        child_remove(c);
        child_add(c, n);
    }
    npm_node_attach(g, n, parent);
}

/* ---- Making. ---- */

static void load_edges(struct npm_graph *g, struct npm_node *n, const struct npm_manifest *m)
{
    n->edges = arena_array(g->arena, m->dep_count, sizeof(*n->edges));
    for (size_t i = 0; i < m->dep_count; i++) {
        const struct npm_dep *d = &m->deps[i];
        struct npm_want *want = npm_want_of(g, d->name, d->spec);
        struct npm_edge *e = npm_edge_add(g, n, want->name, want, d->type);
        if (d->accept.ptr)
            e->accept = npm_want_of(g, d->name, d->accept.len ? d->accept : SPAN("*"));
    }
    for (size_t i = 0; i < n->edge_count; i++)
        edge_reload(&n->edges[i], true);
}

static struct npm_node *blank(struct npm_graph *g, struct npm_name *name)
{
    struct npm_node *n = ARENA_NEW(g->arena, struct npm_node);
    *VEC_PUSH(&g->nodes) = n;
    n->name = name;
    n->root = n;
    n->optional = true;
    return n;
}

struct npm_node *npm_node_root(struct npm_graph *g)
{
    struct npm_node *n = blank(g, npm_name_of(g, SPAN("")));
    n->global = true;
    n->optional = false;
    g->root = n;
    return n;
}

struct npm_node *npm_node_new(struct npm_graph *g, struct npm_name *name,
                              const struct npm_manifest *package, const struct npm_want *failure,
                              struct npm_node *parent)
{
    struct npm_node *n = blank(g, name);
    n->package = package;
    n->failure = failure;
    g->bundles |= package && package->bundled.n;
    if (parent)
        npm_node_attach(g, n, parent);
    if (package)
        load_edges(g, n, package);
    return n;
}

struct npm_node *npm_node_link(struct npm_graph *g, struct npm_node *target,
                               struct npm_node *parent)
{
    struct npm_node *n = blank(g, target->name);
    n->package = target->package;
    n->link_target = target;
    npm_node_attach(g, n, parent);
    return n;
}

struct npm_node *npm_node_virtual(struct npm_graph *g, struct npm_node *source)
{
    struct npm_node *n = blank(g, source->name);
    n->package = source->package;
    n->source = source;
    source->virtual_root = n;
    if (n->package) {
        load_edges(g, n, n->package);
    } else if (source->edge_count) { /* the root's edges come from no manifest */
        n->edges = arena_array(g->arena, source->edge_count, sizeof(*n->edges));
        for (size_t i = 0; i < source->edge_count; i++)
            npm_edge_add(g, n, source->edges[i].name, source->edges[i].want, source->edges[i].type);
    }
    return n;
}
