/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a shrinkwrap says, its packages stay below its own, each in one folder. */
#include <stdlib.h>

#include "resolvers/npm/shrinkwrap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct npm_graph *g = npm_graph_new();
    struct npm_manifest m = {.name = SPAN("top"), .version_text = SPAN("1.0.0")};
    struct npm_node *root = npm_node_root(g);
    struct npm_node *top = npm_node_new(g, npm_name_of(g, SPAN("top")), &m, NULL, root);
    struct err err = {0};
    bool ok = npm_shrinkwrap_load(g, top, span_of(data, size), &err);
    check(ok == (err.code == ERR_NONE));
    for (size_t i = 0; i < g->nodes.n; i++) {
        struct npm_node *n = g->nodes.v[i];
        struct span path = npm_node_path(g, n), rest = path, part;
        if (n == root || n == top || n->root != root)
            continue;
        check(npm_node_inside(n, top) && span_starts(path, SPAN("node_modules/top/node_modules/")));
        while (span_next(&rest, '/', &part))
            check(part.len > 0 && !span_eq(part, SPAN("..")) && !span_eq(part, SPAN(".")));
        check(npm_node_resolve(n->parent, n->name) == n);
    }
    npm_graph_free(g);
    return 0;
}
