/* SPDX-License-Identifier: Apache-2.0 */
/* can_place.h - may a package go into this folder? Looks only, changes nothing.
 *
 * Ownership: checks live in the graph's arena.
 * Threads:   one thread at a time. */
#ifndef STRATA_RESOLVERS_NPM_CAN_PLACE_H
#define STRATA_RESOLVERS_NPM_CAN_PLACE_H

#include "resolvers/npm/place.h"

/* Peers of peers are checked along every path that leads to them: groups in which each is a
 * peer of each would take for ever. Past this many checks all are conflicts. */
#define NPM_CHECKS_MAX 400000

/* Packages whose peers are being checked, innermost first: a cycle ends there. */
struct npm_peer_path {
    const struct npm_node *dep;
    const struct npm_peer_path *outer;
};

struct npm_check {
    struct npm_node *dep, *target, *current;
    struct npm_edge *edge, *target_edge;
    bool explicit, prefer_dedupe;
    bool overridden;               /* dep is not what the edge asks for: it was so decided before */
    const struct npm_check *outer; /* of the package whose peer this is */
    struct npm_peer_path path;
    enum npm_verdict verdict, own; /* own: without the peers */
    bool peers_checked;
    enum npm_verdict peers;
};

struct npm_check *npm_can_place(struct npm_graph *g, struct npm_node *dep, struct npm_edge *edge,
                                struct npm_node *target, bool explicit, bool prefer_dedupe,
                                const struct npm_check *outer, const struct npm_peer_path *path);

/* The groups of peers that a node belongs to, each with the edge that brought it in. */
struct npm_peer_set {
    struct npm_edge *entry;
    struct npm_set members;
};
struct npm_peer_sets {
    struct npm_peer_set *v;
    size_t n, cap;
};
void npm_peer_sets_of(struct npm_graph *g, struct npm_node *n, struct npm_peer_sets *out);
void npm_peer_sets_release(struct npm_peer_sets *s);

#endif
