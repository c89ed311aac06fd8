/* SPDX-License-Identifier: Apache-2.0 */
/* graph.h - packages in folders, and who depends on whom.
 *
 * A node is a package in a node_modules folder; its children are what lies in its own. An
 * edge is one entry of a package's dependency lists: it leads to whatever Node.js would find
 * when the package requires that name, which is looked up in the package's own folder, then
 * in each one around it. Moving a node re-aims the edges that this concerns, and an edge is
 * valid when what it leads to is what was asked for.
 *
 *     root                      one folder for all that was asked for
 *     +-- express               a top: nothing is ever placed between it and the root
 *     |   +-- body-parser       its dependencies, as high as they go
 *     |   |   +-- debug@2       one that could not go higher
 *     |   +-- debug@4
 *     +-- typescript
 *
 * A virtual root stands for another node: it has the same edges and no parent. Candidates are
 * gathered below it with their peers before any of them is placed.
 *
 * Ownership: all memory is the graph's arena; npm_graph_free.
 * Threads:   one thread at a time. */
#ifndef STRATA_RESOLVERS_NPM_GRAPH_H
#define STRATA_RESOLVERS_NPM_GRAPH_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "resolvers/npm/manifest.h"
#include "resolvers/npm/spec.h"

struct npm_node;
struct npm_inside;

/* A name, once. Folders whose names differ only in case collide on some file systems, so npm
 * treats them as one place: `fold` is the same for both. */
struct npm_name {
    struct span text;
    struct npm_name *fold;
    VEC(struct npm_node *) in_tree; /* nodes of the tree being built, oldest first */
    VEC(struct npm_want *) known;   /* wants of that name that are READY and crawled */
};

/* What a name and a spec mean, found out once. */
enum npm_want_state { NPM_WANT_UNKNOWN, NPM_WANT_READY, NPM_WANT_FAILED };

struct npm_want {
    struct npm_name *name;
    struct npm_spec spec;
    bool malformed; /* err tells; nothing satisfies it */
    enum npm_want_state state;
    const struct npm_manifest *manifest; /* of READY */
    struct err *err;                     /* of FAILED or malformed */
    const void *asked_by;                /* who finds it out, once asked */
    unsigned crawled;                    /* how far its dependencies were asked for already */
    bool top, pinned;                    /* will be installed as soon as it is known */
    bool certain;                        /* and has been announced */
};

enum npm_edge_error {
    NPM_EDGE_UNKNOWN,
    NPM_EDGE_OK,
    NPM_EDGE_MISSING,
    NPM_EDGE_LOCAL_PEER,
    NPM_EDGE_INVALID
};

struct npm_edge {
    struct npm_name *name;
    struct npm_want *want, *accept; /* accept may be NULL */
    enum npm_dep_type type;
    struct npm_node *from, *to;         /* to: NULL when nothing is found */
    enum npm_edge_error error;          /* npm_edge_error_of */
    bool peer_conflicted;               /* a conflict that was accepted: let it be */
    bool explicit;                      /* asked for by the user */
    struct npm_edge *in_prev, *in_next; /* among to's edges in */
};

struct npm_node {
    struct npm_name *name;
    const struct npm_manifest *package; /* NULL: the root, or it could not be loaded */
    const struct npm_want *failure;     /* why it could not be loaded; NULL: it was */
    const struct npm_manifest *detail;  /* the registry's own words where `package` lacks some */
    const struct npm_inside *inside;    /* its tarball, where that was looked into */
    struct npm_node *root, *parent;
    struct npm_node *source;      /* of a virtual root: whom it stands for */
    struct npm_node *link_target; /* a link to another node: no package of its own */
    struct npm_node *first_child, *last_child, *next, *prev; /* in order of arrival */
    struct map children;                                     /* by folded name */
    struct npm_edge *edges;
    size_t edge_count;
    struct npm_edge *in_first, *in_last;
    struct npm_node *virtual_root; /* the newest one standing for this node */
    bool global;                   /* the root that holds the tops */
    bool seen, queued;             /* of the tree builder */
    bool optional, inert, wanted;  /* of the final marks */
    bool from_shrinkwrap, bundled; /* brought in by its parent's files */
    uint64_t order, mark, walk_mark;
};

struct npm_graph {
    struct arena *arena;
    struct map names;             /* text -> struct npm_name * */
    struct map wants;             /* "name\0spec" -> struct npm_want * */
    struct npm_node *root;        /* of the tree being built */
    VEC(struct npm_node *) nodes; /* all ever made */
    VEC(struct npm_name *) name_list;
    uint64_t marks, order;
    bool bundles;  /* some package brings others in its tarball */
    size_t checks; /* of places, so far */
};

struct npm_graph *npm_graph_new(void);
void npm_graph_free(struct npm_graph *g); /* NULL is fine */

struct npm_name *npm_name_of(struct npm_graph *g, struct span text);
struct npm_want *npm_want_of(struct npm_graph *g, struct span name, struct span spec);

struct npm_node *npm_node_root(struct npm_graph *g);
/* A new node below parent (NULL: nowhere yet); it takes the place of one of the same name. */
struct npm_node *npm_node_new(struct npm_graph *g, struct npm_name *name,
                              const struct npm_manifest *package, const struct npm_want *failure,
                              struct npm_node *parent);
struct npm_node *npm_node_virtual(struct npm_graph *g, struct npm_node *source);
struct npm_node *npm_node_link(struct npm_graph *g, struct npm_node *target,
                               struct npm_node *parent);
struct npm_edge *npm_edge_add(struct npm_graph *g, struct npm_node *from, struct npm_name *name,
                              struct npm_want *want, enum npm_dep_type type);

void npm_node_attach(struct npm_graph *g, struct npm_node *n, struct npm_node *parent);
void npm_node_detach(struct npm_graph *g, struct npm_node *n);
/* n takes old's place and its children; old is detached. */
void npm_node_replace(struct npm_graph *g, struct npm_node *n, struct npm_node *old);

struct npm_node *npm_node_child(const struct npm_node *n, const struct npm_name *name);
struct npm_node *npm_node_resolve(const struct npm_node *n, const struct npm_name *name);
struct npm_edge *npm_node_edge(const struct npm_node *n, const struct npm_name *name);
bool npm_node_inside(const struct npm_node *n, const struct npm_node *ancestor); /* or equal */
bool npm_node_is_root(const struct npm_node *n);                                 /* of any tree */
bool npm_node_is_global_top(const struct npm_node *n); /* directly below the global root */
bool npm_node_is_top(const struct npm_node *n);
size_t npm_node_depth(const struct npm_node *n); /* tops have 0 */
bool npm_node_same(const struct npm_node *a, const struct npm_node *b);
bool npm_node_in_bundle(struct npm_graph *g, struct npm_node *n);
/* "node_modules/a/node_modules/b"; empty for a root. In the graph's arena. */
struct span npm_node_path(struct npm_graph *g, const struct npm_node *n);

bool npm_edge_is_peer(const struct npm_edge *e);
bool npm_edge_is_optional(const struct npm_edge *e);
enum npm_edge_error npm_edge_error_of(struct npm_edge *e); /* a missing optional one is OK */
bool npm_edge_valid(struct npm_edge *e);
bool npm_edge_satisfied_by(const struct npm_edge *e, const struct npm_node *n);

/* Nodes in the order in which they were added. */
struct npm_set {
    struct npm_node **v;
    size_t n, cap;
};

/* The set, what it depends on, and so on, without those that something outside needs too. An
 * edge counts only where follow() says so. */
typedef bool (*npm_follow)(struct npm_edge *e, const struct npm_node *about);
void npm_gather(struct npm_graph *g, struct npm_set *set, npm_follow follow,
                const struct npm_node *about);

/* Would everybody who uses `old` be content with n in its place? Dependents that are peers of
 * `old` and have a namesake in `with` are not asked: they are replaced too. */
bool npm_node_can_replace(struct npm_graph *g, struct npm_node *n, struct npm_node *old,
                          const struct npm_node *with);

/* ICU's order for English, for ASCII: punctuation, digits, letters; case last. */
int npm_collate(struct span a, struct span b);

#endif
