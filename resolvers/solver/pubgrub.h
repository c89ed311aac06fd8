/* SPDX-License-Identifier: Apache-2.0 */
/* pubgrub.h - version solving by PubGrub (N. Weizenbaum's algorithm), for any manager.
 *
 * The solver knows packages by number and versions by key (version_set.h); what exists and
 * what it depends on, a provider tells, lazily: it may answer "not known yet", upon which
 * solver_step returns SOLVER_NEEDS and is called again when something arrived. What has been
 * concluded stays. The result depends on the provider's answers only, not on when they came.
 *
 * Package 0 is the root: what the user asked for.
 *
 * Ownership: the solver has an arena of its own; what a provider hands over (keys, sets,
 *            texts, dependency lists) must live as long as the solver.
 * Errors:    SOLVER_FAILED: solver_explain tells why in sentences. SOLVER_TOO_HARD: the
 *            bound on conflicts was reached.
 * Threads:   one thread at a time. */
#ifndef STRATA_RESOLVERS_SOLVER_PUBGRUB_H
#define STRATA_RESOLVERS_SOLVER_PUBGRUB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/span.h"
#include "resolvers/solver/version_set.h"

struct solver;

enum solver_answer {
    SOLVER_KNOWN,
    SOLVER_WAIT, /* not known yet */
    SOLVER_NONE, /* there is none, or it cannot be used: *why says so */
};

struct solver_dependency {
    uint32_t package;
    const struct version_set *set;
    unsigned flags;   /* the provider's; handed to choose() while the depender is selected */
    const char *text; /* "numpy>=1.22", for explanations */
};

struct solver_choice {
    const struct version_set *allowed;  /* the version must be in here */
    const struct version_set *required; /* what the selected packages ask for, together */
    unsigned flags;                     /* of their dependencies, or-ed */
    /* Answers: */
    struct span key;
    /* The version and what is around it without holding another one, such as everything up to
     * the next release; NULL: the key alone. Sets of neighbours then become one range, which
     * matters where hundreds are ruled out one by one. */
    const struct version_set *around;
    const struct version_set
        *none_of; /* SOLVER_NONE: nothing of this can be used (NULL: allowed) */
    /* SOLVER_NONE: "there is no release of x before 2"; NULL: there are releases that would
     * do, but all of them have been ruled out. */
    const char *why;
};

struct solver_dependencies {
    const struct solver_dependency *v;
    size_t n;
    const char *why; /* SOLVER_NONE: "x 1.0 is yanked" */
};

struct solver_provider {
    /* Which package is decided next: the lowest; equal ones in order of discovery. Must be a
     * function of its arguments and of what was answered before. */
    uint64_t (*priority)(void *ctx, uint32_t package, const struct version_set *allowed);
    enum solver_answer (*choose)(void *ctx, uint32_t package, struct solver_choice *c);
    enum solver_answer (*depends)(void *ctx, uint32_t package, struct span key,
                                  struct solver_dependencies *d);
    /* "numpy 1.22 to 1.26", for explanations, into the arena. */
    const char *(*describe)(void *ctx, uint32_t package, const struct version_set *set,
                            struct arena *a);
    /* What the package is another name of (an extra's project): conflicts between the two are
     * no news. NULL: nothing is. */
    uint32_t (*project)(void *ctx, uint32_t package);
    void *ctx;
};

enum solver_status {
    SOLVER_DONE,
    SOLVER_NEEDS, /* the provider must learn something first */
    SOLVER_MORE,  /* not finished, call again: a long run gives the loop a chance */
    SOLVER_FAILED,
    SOLVER_TOO_HARD,
};

struct solver *solver_new(const struct solver_provider *p, const struct solver_dependency *root,
                          size_t root_count);
void solver_discard(struct solver *s); /* NULL is fine */

enum solver_status solver_step(struct solver *s);

/* The version selected at the moment; final when solver_step said SOLVER_DONE. */
bool solver_selected(const struct solver *s, uint32_t package, struct span *key);

size_t solver_conflicts(const struct solver *s);

/* For priority(): a package whose choices were refused again and again because of what others
 * had been decided before should come before them; SOLVER_EARLY it, SOLVER_LATE they. When
 * that changes, the solver goes back to before its decision. */
enum solver_bias { SOLVER_NO_BIAS, SOLVER_LATE, SOLVER_EARLY };
enum solver_bias solver_bias(const struct solver *s, uint32_t package);

/* After SOLVER_FAILED: the derivation, told in sentences, one a line. */
void solver_explain(struct solver *s, struct buf *out);

#endif
