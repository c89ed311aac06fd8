/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/npm/locked.h"

#include "base/json.h"

/* The registry's own words, where they say more than a shrinkwrap's entry. */
static const struct npm_manifest *words_of(const struct npm_node *n)
{
    return n->detail ? n->detail : n->package;
}

static const struct npm_manifest *bytes_of(const struct npm_node *n)
{
    return n->package->hash.algo == HASH_NONE && n->detail ? n->detail : n->package;
}

static json_t *base_entry(struct npm_source *s, const struct npm_manifest *m,
                          const struct npm_manifest *bytes)
{
    char text[140];
    json_t *entry = json_object();
    json_put_span(entry, "name", m->name);
    json_put_span(entry, "version", m->version_text);
    json_put_str(entry, "digest", hash_text(&bytes->hash, text));
    json_put_span(entry, "origin", npm_source_origin(s, bytes));
    return entry;
}

/* Those of a package that shares its folder with no other one that has the same. */
static void put_all_bins(json_t *entry, const struct npm_manifest *m)
{
    AUTO_JSON json_t *bins = json_object();
    for (size_t k = 0; k < m->bin_count; k++) {
        AUTO_FREE char *name = mem_dup(m->bins[k].name);
        if (!json_object_get(bins, name))
            json_put_span(bins, name, m->bins[k].file);
    }
    if (json_object_size(bins))
        json_object_set(entry, "bins", bins);
}

json_t *npm_locked_early(struct npm_source *s, const struct npm_want *want, bool top)
{
    json_t *entry = base_entry(s, want->manifest, want->manifest);
    if (top) {
        AUTO_BUF struct buf path = BUF(NPM_NAME_MAX + 64);
        buf_printf(&path, "node_modules/%.*s", SPAN_ARG(want->name->text));
        json_put_span(entry, "path", buf_span(&path));
        put_all_bins(entry, want->manifest);
    }
    return entry;
}

static json_t *requires_of(const struct npm_node *n)
{
    json_t *list = json_array();
    struct span *names = mem_array(n->edge_count + 1, sizeof(*names));
    size_t count = 0;
    for (size_t i = 0; i < n->edge_count; i++)
        if (n->edges[i].to && n->edges[i].to->wanted && !n->edges[i].to->inert)
            names[count++] = n->edges[i].name->text;
    qsort(names, count, sizeof(*names), span_cmp_ptr);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_span(names[i]));
    free(names);
    return list;
}

static json_t *scripts_of(const struct npm_manifest *m)
{
    json_t *list = json_array();
    for (size_t i = 0; i < m->scripts.n; i++)
        json_array_append_new(list, json_span(m->scripts.v[i]));
    if (!m->scripts.n) /* it has some, and the registry does not tell which */
        json_array_append_new(list, json_string("install"));
    return list;
}

static json_t *bundled_of(struct npm_graph *g, const struct npm_node *n)
{
    struct span at = npm_node_path(g, n);
    json_t *list = json_array();
    for (size_t i = 0; i < n->inside->packages.n; i++) {
        const struct npm_inner *in = &n->inside->packages.v[i];
        AUTO_BUF struct buf path = BUF(64u << 10);
        buf_printf(&path, "%.*s/%.*s", SPAN_ARG(at), SPAN_ARG(in->path));
        json_t *entry = json_object();
        json_put_span(entry, "name", in->name);
        json_put_span(entry, "path", buf_span(&path));
        json_put_span(entry, "version", in->version);
        json_array_append_new(list, entry);
    }
    return list;
}

static json_t *package_entry(struct npm_graph *g, struct npm_source *s, const struct npm_node *n)
{
    const struct npm_manifest *m = n->package, *words = words_of(n);
    json_t *entry = base_entry(s, m, bytes_of(n));
    json_put_span(entry, "path", npm_node_path(g, n));
    json_object_set_new(entry, "requires", requires_of(n));
    if (!span_eq(n->name->text, m->name))
        json_put_span(entry, "alias", n->name->text);
    if (n->optional)
        json_object_set_new(entry, "optional", json_true());
    if (m->install_script || words->install_script)
        json_object_set_new(entry, "scripts", scripts_of(words));
    if (n->inside && n->inside->packages.n)
        json_object_set_new(entry, "bundled", bundled_of(g, n));
    return entry;
}

/* ---- Bins. ---- */

struct binned {
    const struct npm_node *node;
    json_t *entry;
    size_t depth;
    struct span path;
};

static int by_depth_and_path(const void *a, const void *b)
{
    const struct binned *x = a, *y = b;
    if (x->depth != y->depth)
        return x->depth < y->depth ? -1 : 1;
    return npm_collate(x->path, y->path);
}

/* The first by path gets a name; the others go without. */
static void assign_bins(struct npm_tree *t, struct binned *list, size_t n)
{
    struct npm_graph *g = npm_tree_graph(t);
    AUTO_MAP struct map taken = {0};
    if (n)
        qsort(list, n, sizeof(*list), by_depth_and_path);
    for (size_t i = 0; i < n; i++) {
        const struct npm_node *node = list[i].node;
        json_t *bins = json_object();
        for (size_t k = 0; k < node->package->bin_count; k++) {
            const struct npm_bin *bin = &node->package->bins[k];
            const char *key =
                arena_printf(g->arena, "%p/%.*s", (void *)node->parent, SPAN_ARG(bin->name));
            const struct npm_node *owner = map_get(&taken, span_str(key));
            if (owner) {
                npm_tree_warn(t, arena_printf(g->arena,
                                              "%.*s and %.*s both bring the program "
                                              "%.*s; the first one has it",
                                              SPAN_ARG(owner->name->text),
                                              SPAN_ARG(node->name->text), SPAN_ARG(bin->name)));
                continue;
            }
            map_put(&taken, span_str(key), (void *)(uintptr_t)node); /* NOLINT: only read */
            json_put_span(bins, arena_str(g->arena, bin->name), bin->file);
        }
        if (json_object_size(bins))
            json_object_set(list[i].entry, "bins", bins);
        json_decref(bins);
    }
}

/* ---- All. ---- */

/* Is n, or one around it, replaced by what a tarball brings? */
static bool covered(struct npm_graph *g, const struct map *inner, const struct npm_node *n)
{
    for (; n->parent; n = n->parent)
        if (map_has(inner, npm_node_path(g, n)))
            return true;
    return false;
}

static void add_inner_paths(struct npm_graph *g, const struct npm_node *n, struct map *inner)
{
    struct span at = npm_node_path(g, n);
    for (size_t i = 0; n->inside && i < n->inside->packages.n; i++) {
        const char *path = arena_printf(g->arena, "%.*s/%.*s", SPAN_ARG(at),
                                        SPAN_ARG(n->inside->packages.v[i].path));
        map_put(inner, span_str(path), inner);
    }
}

static bool has_bytes(const struct npm_node *n, struct err *err)
{
    if (n->link_target)
        return err_set(err, ERR_UNSUPPORTED,
                       "%.*s@%.*s needs itself through packages that cannot share it; npm makes "
                       "a link of it, which a layer cannot hold",
                       SPAN_ARG(n->package->name), SPAN_ARG(n->package->version_text));
    if (bytes_of(n)->hash.algo != HASH_NONE)
        return true;
    return err_set(err, ERR_REGISTRY_REFUSED,
                   "%.*s@%.*s: the registry promises no hash for it, so it cannot be locked",
                   SPAN_ARG(n->package->name), SPAN_ARG(n->package->version_text));
}

json_t *npm_locked_packages(struct npm_tree *t, struct npm_source *s, const struct npm_set *nodes,
                            struct err *err)
{
    struct npm_graph *g = npm_tree_graph(t);
    AUTO_MAP struct map inner = {0};
    AUTO_JSON json_t *packages = json_array();
    AUTO_FREE struct binned *list = mem_array(nodes->n + 1, sizeof(*list));
    size_t n = 0;
    for (size_t i = 0; i < nodes->n; i++)
        add_inner_paths(g, nodes->v[i], &inner);
    for (size_t i = 0; i < nodes->n; i++) {
        const struct npm_node *node = nodes->v[i];
        if ((inner.n && covered(g, &inner, node)) || node->bundled)
            continue;
        if (!has_bytes(node, err))
            return NULL;
        json_t *entry = package_entry(g, s, node);
        json_array_append_new(packages, entry);
        list[n++] = (struct binned){node, entry, npm_node_depth(node), npm_node_path(g, node)};
    }
    assign_bins(t, list, n);
    return TAKE(packages);
}
