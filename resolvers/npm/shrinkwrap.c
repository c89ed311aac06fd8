/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/npm/shrinkwrap.h"

#include "base/jscan.h"

#define ENTRIES_MAX 100000
#define NEST_MAX    30 /* of the version 1 form; jscan bounds the text itself */

struct loading {
    struct npm_graph *g;
    struct npm_node *package;
    size_t count;
    struct err *err;
};

/* The text after "node_modules/" up to the next "/node_modules/"; *rest is what follows. */
static bool next_folder(struct span *rest, struct span *name)
{
    if (!span_starts(*rest, SPAN("node_modules/")))
        return false;
    struct span s = span_skip(*rest, sizeof("node_modules/") - 1);
    size_t end = span_find(s, SPAN("/node_modules/"));
    *name = span_slice(s, 0, end);
    *rest = span_skip(s, end + 1);
    return npm_name_problem(*name) == NULL;
}

/* The node that a location's last folder lies in, and that folder's name. */
static struct npm_node *holder_of(struct loading *l, struct span location, struct span *name)
{
    struct npm_node *at = l->package;
    struct span rest = location;
    while (next_folder(&rest, name)) {
        if (!rest.len)
            return at;
        at = npm_node_child(at, npm_name_of(l->g, *name));
        if (!at)
            return NULL;
    }
    return NULL;
}

static bool flag_of(struct span json, struct span key)
{
    struct jscan j = jscan_of(json);
    struct span k;
    bool value = false;
    AUTO_ARENA struct arena *a = arena_new();
    if (!jscan_object(&j))
        return false;
    while (jscan_key(&j, a, &k)) {
        bool yes = false;
        if (span_eq(k, key))
            jscan_bool(&j, &yes);
        else
            jscan_skip(&j, NULL);
        value |= yes;
    }
    return value;
}

static struct npm_node *add_node(struct loading *l, struct npm_node *holder, struct span name,
                                 struct span json)
{
    struct npm_manifest *m = ARENA_NEW(l->g->arena, struct npm_manifest);
    struct span folder = arena_span(l->g->arena, name);
    if (++l->count > ENTRIES_MAX) {
        err_set(l->err, ERR_TOO_LARGE, "more than %d entries", ENTRIES_MAX);
        return NULL;
    }
    if (!npm_manifest_parse_locked(l->g->arena, folder, json, m, l->err)) {
        err_wrap(l->err, "%.*s", SPAN_ARG(name));
        return NULL;
    }
    struct npm_node *n = npm_node_new(l->g, npm_name_of(l->g, folder), m, NULL, holder);
    n->from_shrinkwrap = true;
    n->bundled = flag_of(json, SPAN("inBundle")) || flag_of(json, SPAN("bundled"));
    n->seen = true;
    return n;
}

/* Versions 2 and 3: {"packages": {"node_modules/a/node_modules/b": {...}}}. Parents may stand
 * after their children, so the entries are taken by depth. */
struct entry {
    struct span location, json;
    size_t depth, order;
};

static int by_depth(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->depth != y->depth)
        return x->depth < y->depth ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

static size_t depth_of(struct span location)
{
    size_t n = 0, at;
    while ((at = span_find(location, SPAN("node_modules/"))) < location.len) {
        location = span_skip(location, at + 1);
        n++;
    }
    return n;
}

static bool load_entry(struct loading *l, const struct entry *e)
{
    struct span name;
    struct npm_node *holder = holder_of(l, e->location, &name);
    if (!holder)
        return err_set(l->err, ERR_BAD_ARCHIVE, "\"%.*s\" is no folder below the package",
                       SPAN_ARG(e->location));
    if (flag_of(e->json, SPAN("link")))
        return err_set(l->err, ERR_UNSUPPORTED, "\"%.*s\" is a link to a folder",
                       SPAN_ARG(e->location));
    return add_node(l, holder, name, e->json) != NULL;
}

static bool load_packages(struct loading *l, struct jscan *j)
{
    VEC(struct entry) entries = {0};
    struct span key, json;
    bool ok = true;
    if (!jscan_object(j)) {
        jscan_skip(j, NULL); /* malformed JSON is reported at the end of the document */
        return true;
    }
    while (jscan_key(j, l->g->arena, &key)) {
        if (!jscan_skip(j, &json))
            break;
        if (key.len && entries.n < ENTRIES_MAX)
            *VEC_PUSH(&entries) = (struct entry){key, json, depth_of(key), entries.n};
    }
    if (entries.n)
        qsort(entries.v, entries.n, sizeof(*entries.v), by_depth);
    for (size_t i = 0; ok && i < entries.n; i++)
        ok = load_entry(l, &entries.v[i]);
    VEC_FREE(&entries);
    return ok;
}

/* Version 1: {"dependencies": {"a": {"dependencies": {"b": {...}}}}}. */
static bool load_nested(struct loading *l, struct npm_node *holder, struct span json, int nest)
{
    struct jscan j = jscan_of(json);
    struct span key, name, entry;
    if (nest > NEST_MAX)
        return err_set(l->err, ERR_BAD_ARCHIVE, "nested more than %d deep", NEST_MAX);
    if (!jscan_object(&j))
        return true;
    while (jscan_key(&j, l->g->arena, &key)) {
        if (!span_eq(key, SPAN("dependencies")) || !jscan_object(&j)) {
            jscan_skip(&j, NULL);
            continue;
        }
        while (jscan_key(&j, l->g->arena, &name)) {
            if (!jscan_skip(&j, &entry))
                break;
            if (npm_name_problem(name))
                return err_set(l->err, ERR_BAD_ARCHIVE, "\"%.*s\": %s", SPAN_ARG(name),
                               npm_name_problem(name));
            struct npm_node *n = add_node(l, holder, name, entry);
            if (!n || !load_nested(l, n, entry, nest + 1))
                return false;
        }
    }
    return true;
}

bool npm_shrinkwrap_load(struct npm_graph *g, struct npm_node *package, struct span json,
                         struct err *err)
{
    struct loading l = {g, package, 0, err};
    struct jscan j = jscan_of(json);
    struct span key;
    bool packages = false;
    if (!jscan_object(&j))
        return err_set(err, ERR_BAD_ARCHIVE, "npm-shrinkwrap.json is not a JSON object");
    while (jscan_key(&j, g->arena, &key)) {
        if (span_eq(key, SPAN("packages"))) {
            packages = true;
            if (!load_packages(&l, &j))
                return err_wrap(err, "npm-shrinkwrap.json");
        } else {
            jscan_skip(&j, NULL);
        }
    }
    if (!jscan_done(&j))
        return err_set(err, ERR_BAD_ARCHIVE, "npm-shrinkwrap.json: malformed at offset %zu",
                       jscan_error_at(&j));
    if (!packages && !load_nested(&l, package, json, 0))
        return err_wrap(err, "npm-shrinkwrap.json");
    return true;
}
