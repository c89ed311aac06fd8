/* SPDX-License-Identifier: Apache-2.0 */
/* place.h - finds the folder for a package and puts it there, its peers along with it.
 *
 * From the dependent upward, the highest folder that takes the package without a conflict is
 * its place. A copy that is there already is kept when it serves, replaced when the new one
 * serves all its users too, and in the way otherwise. Peers of a package must end up where
 * the package can reach them, so a folder only takes a package if it, or one above, takes its
 * peers as well. What had to be accepted against somebody's wish is noted on the edge.
 *
 * Ownership: results live in the graph's arena until the graph goes.
 * Threads:   one thread at a time. */
#ifndef STRATA_RESOLVERS_NPM_PLACE_H
#define STRATA_RESOLVERS_NPM_PLACE_H

#include <stdbool.h>

#include "resolvers/npm/graph.h"

enum npm_verdict { NPM_CONFLICT, NPM_FREE, NPM_REPLACE, NPM_KEEP };

struct npm_placement {
    struct npm_edge *edge;
    struct npm_node *placed;  /* NULL: what was there is kept, or it could not be placed */
    enum npm_verdict verdict; /* of the package alone, without its peers */
};

/* What one call did to the tree. */
struct npm_placements {
    VEC(struct npm_placement) list;
    struct npm_set again; /* nodes whose dependencies must be looked at once more */
    VEC(const struct npm_edge *) conflicts; /* peers that are not what was asked for */
};

/* False: `edge` comes from the root and nothing can satisfy it. */
bool npm_place(struct npm_graph *g, struct npm_edge *edge, struct npm_node *dep,
               struct npm_placements *out, struct err *err);
void npm_placements_reset(struct npm_placements *p);
void npm_placements_release(struct npm_placements *p);

/* The deepest folder where a package of that name could go, for the sake of `start`. */
struct npm_node *npm_deepest_target(struct npm_node *start, const struct npm_name *name);

#endif
