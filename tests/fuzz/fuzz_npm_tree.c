/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes make up a registry of eight packages. Whatever depends on what: building ends, each
 * package has one folder, each edge leads where Node.js would look, and nothing that could not
 * be had or is for another system is listed. */
#include <stdio.h>
#include <stdlib.h>

#include "resolvers/npm/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PACKAGES 8
#define VERSIONS 3

struct made_up {
    struct arena *arena;
    struct npm_packument *packuments[PACKAGES];
    const uint8_t *data;
    size_t size, at;
};

static const struct npm_target target = {
    .os = SPAN_INIT("linux"), .cpu = SPAN_INIT("x64"), .libc = SPAN_INIT("glibc")};

static void check(bool ok)
{
    if (!ok)
        abort();
}

static unsigned byte(struct made_up *m)
{
    return m->at < m->size ? m->data[m->at++] : 0;
}

static const char *spec_of(struct made_up *m)
{
    static const char *const specs[] = {"*",       "^1.0.0", "^2.0.0", "^3.0.0",
                                        "1.0.0",   "2.0.0",  "3.0.0",  "^1.0.0 || ^2.0.0",
                                        ">=2.0.0", "<3.0.0", "^9.0.0", "latest"};
    unsigned b = byte(m);
    return specs[b % 32 < COUNT(specs) ? b % 32 : b % 10];
}

static void put_deps(struct made_up *m, struct buf *out, const char *kind)
{
    unsigned n = byte(m) % 4;
    buf_printf(out, ",\"%s\":{", kind);
    for (unsigned i = 0; i < n; i++) {
        unsigned name = byte(m) % PACKAGES;
        buf_printf(out, "%s\"p%u\":\"%s\"", i ? "," : "", name, spec_of(m));
    }
    buf_str(out, "}");
}

static void make_up(struct made_up *m, unsigned i)
{
    AUTO_BUF struct buf out = BUF(1 << 20);
    struct err err = {0};
    buf_printf(&out, "{\"dist-tags\":{\"latest\":\"%u.0.0\"},\"versions\":{", byte(m) % 3 + 1);
    for (unsigned v = 1; v <= VERSIONS; v++) {
        buf_printf(&out,
                   "%s\"%u.0.0\":{\"name\":\"p%u\",\"version\":\"%u.0.0\","
                   "\"dist\":{\"tarball\":\"http://example.com/p%u-%u.tgz\"}",
                   v > 1 ? "," : "", v, i, v, i, v);
        put_deps(m, &out, "dependencies");
        put_deps(m, &out, "peerDependencies");
        if (byte(m) % 4 == 0)
            put_deps(m, &out, "optionalDependencies");
        if (byte(m) % 4 == 0)
            buf_printf(&out, ",\"peerDependenciesMeta\":{\"p%u\":{\"optional\":true}}",
                       byte(m) % PACKAGES);
        if (byte(m) % 16 == 1)
            buf_str(&out, ",\"os\":\"darwin\"");
        buf_str(&out, "}");
    }
    buf_str(&out, "}}");
    size_t len = out.len;
    m->packuments[i] = npm_packument_open(buf_take(&out), len, &err);
    check(m->packuments[i] != NULL);
}

static bool on_want(struct npm_want *want, void *ctx)
{
    struct made_up *m = ctx;
    struct err err = {0};
    want->manifest =
        npm_pick(m->packuments[want->spec.package.ptr[1] - '0'], &want->spec, &target, &err);
    want->state = want->manifest ? NPM_WANT_READY : NPM_WANT_FAILED;
    if (!want->manifest) {
        want->err = ARENA_NEW(m->arena, struct err);
        *want->err = err;
    }
    return true;
}

/* That all dependencies are there is not promised: npm itself leaves holes where peers conflict
 * in circles, and what it makes is what is wanted. */
static void check_node(struct npm_graph *g, struct npm_node *n, struct span *last)
{
    struct span path = npm_node_path(g, n);
    check(npm_node_child(n->parent, n->name) == n && n->root == g->root &&
          npm_node_inside(n, g->root));
    check(last->len == 0 || span_cmp(*last, path) < 0);
    *last = path;
    check(!n->failure && !n->inert && n->wanted && n->package);
    check(n->link_target || npm_platform_ok(&target, n->package, NULL));
    for (size_t i = 0; i < n->edge_count; i++)
        check(n->edges[i].to == npm_node_resolve(n, n->edges[i].name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct made_up m = {.arena = arena_new(), .data = data, .size = size};
    struct npm_tree *t = npm_tree_new(&target, on_want, &m);
    struct npm_set out = {0};
    struct err err = {0};
    unsigned roots = byte(&m) % 3 + 1;
    for (unsigned i = 0; i < roots; i++) {
        const char *name = arena_printf(m.arena, "p%u", byte(&m) % PACKAGES);
        npm_tree_add(t, span_str(name), span_str(spec_of(&m)));
    }
    for (unsigned i = 0; i < PACKAGES; i++)
        make_up(&m, i);
    enum npm_tree_state state = npm_tree_build(t, &err);
    check(state != NPM_TREE_WAITING && (state == NPM_TREE_FAILED) == (err.code != ERR_NONE));
    if (state == NPM_TREE_DONE && npm_tree_finish(t, &err)) {
        npm_tree_list(t, &out);
        struct span last = SPAN("");
        for (size_t i = 0; i < out.n; i++)
            check_node(npm_tree_graph(t), out.v[i], &last);
    }
    VEC_FREE(&out);
    npm_tree_free(t);
    for (unsigned i = 0; i < PACKAGES; i++)
        npm_packument_free(m.packuments[i]);
    arena_free(m.arena);
    return 0;
}
