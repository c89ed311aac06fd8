/* SPDX-License-Identifier: Apache-2.0 */
/* tree.h - the folders that `npm install --global` makes of a list of packages.
 *
 * Nodes are taken breadth first, tops before what lies deeper, by path. For each edge that
 * leads nowhere, or not to what was asked for, a candidate is made below a virtual root, its
 * peers are gathered there too, and then all of a node's candidates are placed, by name.
 * Which version a spec means comes from outside and never depends on the tree; where it is
 * not known yet, the build stops, says what it wants, and goes on when called again.
 *
 * Ownership: npm_tree_free; manifests must outlive the tree.
 * Errors:    ERR_UNRESOLVABLE, ERR_NO_PACKAGE, ERR_PLATFORM, ... naming the package and who
 *            needs it.
 * Threads:   one thread at a time. */
#ifndef STRATA_RESOLVERS_NPM_TREE_H
#define STRATA_RESOLVERS_NPM_TREE_H

#include <stdbool.h>

#include "resolvers/npm/graph.h"
#include "resolvers/npm/pick.h"

struct npm_tree;

/* Called when `want` must be known: sets its state and manifest or error at once when it can
 * (then true), or remembers it and sets them later. */
typedef bool (*npm_want_fn)(struct npm_want *want, void *ctx);

struct npm_tree *npm_tree_new(const struct npm_target *target, npm_want_fn want, void *ctx);
void npm_tree_free(struct npm_tree *t); /* NULL is fine */
struct npm_graph *npm_tree_graph(struct npm_tree *t);

/* One thing that was asked for. All before the first build. */
struct npm_want *npm_tree_add(struct npm_tree *t, struct span name, struct span spec);

enum npm_tree_state { NPM_TREE_WAITING, NPM_TREE_DONE, NPM_TREE_FAILED };

/* Builds as far as what is known allows. */
enum npm_tree_state npm_tree_build(struct npm_tree *t, struct err *err);

/* After DONE, once: marks what is optional, and inert what is dropped since it, or what needs
 * it, does not suit the platform or could not be had. */
bool npm_tree_finish(struct npm_tree *t, struct err *err);

/* What is to be installed, in order of path; again after nodes were added. */
void npm_tree_list(struct npm_tree *t, struct npm_set *out);

/* What a person should know: conflicting peers, engines; texts in the graph's arena. */
struct npm_warnings {
    char **v;
    size_t n, cap;
};
const struct npm_warnings *npm_tree_warnings(const struct npm_tree *t);
void npm_tree_warn(struct npm_tree *t, const char *text);

#endif
