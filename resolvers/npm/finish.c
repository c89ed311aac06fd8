/* SPDX-License-Identifier: Apache-2.0 */
/* After the tree is built: what is optional, what of that cannot be had, what is installed. */
#include <stdarg.h>

#include "resolvers/npm/tree_priv.h"

/* "express@4.18.0 > body-parser@1.20.0", the way to a node from the root. */
static void put_chain(struct buf *out, const struct npm_node *n, int more)
{
    if (!n || npm_node_is_root(n))
        return;
    const struct npm_node *from = n->in_first ? n->in_first->from : NULL;
    if (from && more) {
        size_t before = out->len;
        put_chain(out, from, more - 1);
        if (out->len > before)
            buf_str(out, " > ");
    }
    buf_append(out, n->name->text);
    if (n->package)
        buf_printf(out, "@%.*s", SPAN_ARG(n->package->version_text));
}

bool npm_explain_edge(struct err *err, const struct npm_edge *e, const struct err *why)
{
    AUTO_BUF struct buf chain = BUF(400);
    const struct npm_node *from = e->from;
    while (from->source) /* a virtual root speaks for another node */
        from = from->source;
    put_chain(&chain, from, 4);
    struct span package = e->want->spec.alias ? e->want->spec.package : SPAN("");
    /* What another package asks for amiss is no fault of the user's file. */
    enum err_code code = why->code;
    if (chain.len && code == ERR_INVALID)
        code = ERR_BAD_ARCHIVE;
    else if (chain.len && code == ERR_UNSUPPORTED)
        code = ERR_UNRESOLVABLE;
    err_set(err, code, "%.*s@%s%.*s%s%.*s%s%s: %s", SPAN_ARG(e->name->text),
            package.len ? "npm:" : "", SPAN_ARG(package), package.len ? "@" : "",
            SPAN_ARG(e->want->spec.text), chain.len ? ", needed by " : "", buf_cstr(&chain),
            why->text);
    return false;
}

void npm_warn(struct npm_graph *g, struct npm_warnings *w, const char *fmt, ...)
{
    AUTO_BUF struct buf text = BUF(2000);
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *room = n > 0 ? buf_room(&text, (size_t)n + 1) : NULL;
    if (!room)
        return;
    va_start(args, fmt);
    vsnprintf(room, (size_t)n + 1, fmt, args);
    va_end(args);
    for (size_t i = 0; i < w->n; i++)
        if (strcmp(w->v[i], room) == 0)
            return;
    *VEC_PUSH(w) = arena_str(g->arena, span_of(room, (size_t)n));
}

void npm_warn_conflict(struct npm_graph *g, struct npm_warnings *w, const struct npm_edge *e)
{
    const struct npm_manifest *from = e->from->package, *to = e->to ? e->to->package : NULL;
    npm_warn(g, w, "%.*s@%.*s asks for the peer %.*s@%.*s and gets %s%.*s",
             from ? (int)from->name.len : 0, from ? from->name.ptr : "",
             from ? (int)from->version_text.len : 0, from ? from->version_text.ptr : "",
             SPAN_ARG(e->name->text), SPAN_ARG(e->want->spec.text), to ? "" : "none",
             to ? (int)to->version_text.len : 0, to ? to->version_text.ptr : "");
}

/* Required: reachable from the root without an optional edge. */
static void mark_required(struct npm_graph *g)
{
    struct npm_set queue = {0};
    *VEC_PUSH(&queue) = g->root;
    for (size_t i = 0; i < queue.n; i++) {
        struct npm_node *n = queue.v[i];
        if (n->link_target && n->link_target->optional) {
            n->link_target->optional = false;
            *VEC_PUSH(&queue) = n->link_target;
        }
        for (size_t k = 0; k < n->edge_count; k++) {
            struct npm_edge *e = &n->edges[k];
            if (e->to && e->to->optional && !npm_edge_is_optional(e)) {
                e->to->optional = false;
                *VEC_PUSH(&queue) = e->to;
            }
        }
    }
    VEC_FREE(&queue);
}

/* Of the part above (marked), and of what was dropped before, nothing counts as a need. */
static bool outside_and_alive(struct npm_edge *e, const struct npm_node *about)
{
    return e->to->walk_mark != about->walk_mark && !e->from->inert;
}

/* From n up to the optional edges, and down to what nothing else needs. */
static void drop_optional(struct npm_graph *g, struct npm_node *n)
{
    struct npm_set set = {0};
    uint64_t mark = ++g->marks;
    n->walk_mark = mark;
    *VEC_PUSH(&set) = n;
    for (size_t i = 0; i < set.n; i++) {
        for (struct npm_edge *e = set.v[i]->in_first; e; e = e->in_next) {
            if (!npm_edge_is_optional(e) && e->from->walk_mark != mark) {
                e->from->walk_mark = mark;
                *VEC_PUSH(&set) = e->from;
            }
        }
    }
    npm_gather(g, &set, outside_and_alive, n);
    for (size_t i = 0; i < set.n; i++)
        set.v[i]->inert = true;
    VEC_FREE(&set);
}

static int by_order(const void *a, const void *b)
{
    const struct npm_node *const *x = a, *const *y = b;
    return ((*x)->order > (*y)->order) - ((*x)->order < (*y)->order);
}

static struct npm_set all_nodes(struct npm_graph *g)
{
    struct npm_set all = {0};
    for (size_t i = 0; i < g->nodes.n; i++)
        if (g->nodes.v[i]->root == g->root && g->nodes.v[i] != g->root)
            *VEC_PUSH(&all) = g->nodes.v[i];
    if (all.n)
        qsort(all.v, all.n, sizeof(*all.v), by_order);
    return all;
}

static bool fail_required(const struct npm_node *n, struct err *err)
{
    for (const struct npm_edge *e = n->in_first; e; e = e->in_next)
        if (!npm_edge_is_optional(e))
            return npm_explain_edge(err, e, n->failure->err);
    *err = *n->failure->err;
    return false;
}

static bool check_failures(struct npm_graph *g, const struct npm_set *all, struct npm_warnings *w,
                           struct err *err)
{
    for (size_t i = 0; i < all->n; i++) {
        struct npm_node *n = all->v[i];
        if (!n->failure)
            continue;
        if (!n->optional)
            return fail_required(n, err);
        npm_warn(g, w, "the optional package %.*s is left out: %s", SPAN_ARG(n->name->text),
                 n->failure->err->text);
        drop_optional(g, n);
    }
    return true;
}

static bool check_platform(struct npm_graph *g, const struct npm_target *target,
                           const struct npm_set *all, struct npm_warnings *w, struct err *err)
{
    for (size_t i = 0; i < all->n; i++) {
        struct npm_node *n = all->v[i];
        const struct npm_manifest *m = n->package;
        if (!m || n->link_target)
            continue;
        bool engines = npm_engines_ok(target, m);
        if (n->optional) {
            if (!n->inert && (!engines || !npm_platform_ok(target, m, NULL)))
                drop_optional(g, n);
            continue;
        }
        if (!engines)
            npm_warn(g, w, "%.*s@%.*s is made for %s%.*s%s%s%.*s, not for what is here",
                     SPAN_ARG(m->name), SPAN_ARG(m->version_text),
                     m->engine_node.len ? "node " : "", SPAN_ARG(m->engine_node),
                     m->engine_node.len && m->engine_npm.len ? ", " : "",
                     m->engine_npm.len ? "npm " : "", SPAN_ARG(m->engine_npm));
        struct err why = {0};
        if (!npm_platform_ok(target, m, &why))
            return n->in_first ? npm_explain_edge(err, n->in_first, &why)
                               : err_set(err, why.code, "%s", why.text);
    }
    return true;
}

static void mark_wanted(struct npm_graph *g)
{
    struct npm_set queue = {0};
    for (size_t i = 0; i < g->nodes.n; i++)
        g->nodes.v[i]->wanted = false;
    g->root->wanted = true;
    *VEC_PUSH(&queue) = g->root;
    for (size_t i = 0; i < queue.n; i++) {
        struct npm_node *n = queue.v[i];
        struct npm_node *target = n->link_target;
        if (target && !target->wanted) {
            target->wanted = true;
            *VEC_PUSH(&queue) = target;
        }
        for (size_t k = 0; k < n->edge_count; k++) {
            struct npm_node *to = n->edges[k].to;
            if (to && !to->wanted) {
                to->wanted = true;
                *VEC_PUSH(&queue) = to;
            }
        }
    }
    VEC_FREE(&queue);
}

static bool installed(const struct npm_node *n)
{
    for (; n->parent; n = n->parent)
        if (!n->wanted || n->inert)
            return false;
    return true;
}

struct placed_path {
    struct span path;
    struct npm_node *node;
};

static int by_bytes(const void *a, const void *b)
{
    return span_cmp(((const struct placed_path *)a)->path, ((const struct placed_path *)b)->path);
}

bool npm_finish(struct npm_graph *g, const struct npm_target *target, struct npm_warnings *w,
                struct err *err)
{
    mark_required(g);
    struct npm_set all = all_nodes(g);
    bool ok = check_failures(g, &all, w, err) && check_platform(g, target, &all, w, err);
    VEC_FREE(&all);
    return ok;
}

void npm_list(struct npm_graph *g, struct npm_set *out)
{
    struct npm_set all = all_nodes(g);
    VEC(struct placed_path) paths = {0};
    mark_wanted(g);
    for (size_t i = 0; i < all.n; i++)
        if (installed(all.v[i]))
            *VEC_PUSH(&paths) = (struct placed_path){npm_node_path(g, all.v[i]), all.v[i]};
    if (paths.n)
        qsort(paths.v, paths.n, sizeof(*paths.v), by_bytes);
    for (size_t i = 0; i < paths.n; i++)
        *VEC_PUSH(out) = paths.v[i].node;
    VEC_FREE(&paths);
    VEC_FREE(&all);
}
