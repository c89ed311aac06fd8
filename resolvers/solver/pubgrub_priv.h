/* SPDX-License-Identifier: Apache-2.0 */
/* pubgrub_priv.h - terms and incompatibilities, shared by the solver and its explanations. */
#ifndef STRATA_RESOLVERS_SOLVER_PUBGRUB_PRIV_H
#define STRATA_RESOLVERS_SOLVER_PUBGRUB_PRIV_H

#include "base/mem.h"
#include "resolvers/solver/pubgrub.h"

/* A statement about one package: its selected version is in the set; or (not positive) it is
 * not selected in the set, or not at all. */
struct term {
    uint32_t package;
    bool positive;
    const struct version_set *set;
};

enum cause { CAUSE_ROOT, CAUSE_DEPENDENCY, CAUSE_NONE, CAUSE_DERIVED };

/* Terms that must not all be true. */
struct incompat {
    enum cause cause;
    const char *text; /* of a dependency: what is depended on; of CAUSE_NONE: why */
    const struct incompat *left, *right; /* of a derived one */
    bool told;
    unsigned uses, line; /* while explaining */
    /* It was found impossible when the level `skip_level` had the number `skip_id`: it stays so
     * until that level is left. */
    unsigned skip_level;
    uint64_t skip_id;
    size_t n;
    struct term terms[];
};

struct assignment {
    uint32_t package;
    unsigned level;
    bool decision;
    struct term own;                         /* what this one says */
    struct term all;                         /* together with the earlier ones on the package */
    int32_t before;                          /* the earlier one; -1 */
    const struct incompat *why;              /* of a derivation */
    const struct solver_dependency *depends; /* of a decision */
    size_t depend_count;
};

struct solver_package {
    int32_t last; /* assignment; -1: none */
    bool queued;
    unsigned refused, refusing; /* conflicts that hit it, and that it was the reason for */
    enum solver_bias bias;
    VEC(struct incompat *) incompats;
};

struct solver {
    struct solver_provider provider;
    struct arena *arena;
    const struct solver_dependency *root;
    size_t root_count;
    VEC(struct solver_package) packages;
    VEC(struct assignment) assignments;
    VEC(uint32_t) biased; /* whose bias has changed */
    VEC(uint32_t) queue;  /* packages whose incompatibilities are to be looked at */
    unsigned level;
    VEC(uint64_t) level_ids; /* a number for each level, new each time it is entered */
    uint64_t last_id;
    size_t conflicts;
    const struct incompat *failure;
};

#endif
