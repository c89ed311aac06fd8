/* SPDX-License-Identifier: Apache-2.0 */
/* version_set.h - sets of versions as unions of intervals, whatever the manager.
 *
 * A manager encodes each version as a byte string whose order (span_cmp) is the order of its
 * versions. A set is a sorted list of disjoint half-open intervals [lo, hi) of such keys; since
 * the key that follows k directly is k with a zero byte appended, every kind of bound can be
 * written that way, and a bound need not be a version itself.
 *
 * Ownership: sets are immutable and live in the arena they were made in; keys too. Sets share
 *            memory, so the arena must outlive all of them.
 * Threads:   pure functions. */
#ifndef STRATA_RESOLVERS_SOLVER_VERSION_SET_H
#define STRATA_RESOLVERS_SOLVER_VERSION_SET_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/span.h"

struct version_range {
    struct span lo; /* empty: from the beginning */
    struct span hi; /* ptr NULL: without end */
};

struct version_set {
    size_t n;
    struct version_range r[];
};

const struct version_set *version_set_none(void);
const struct version_set *version_set_all(void);

/* Keys are copied. An empty interval gives the empty set. */
const struct version_set *version_set_range(struct arena *a, struct span lo, struct span hi);
const struct version_set *version_set_from(struct arena *a, struct span lo);   /* >= lo */
const struct version_set *version_set_before(struct arena *a, struct span hi); /* < hi */
const struct version_set *version_set_one(struct arena *a, struct span key);

const struct version_set *version_set_union(struct arena *a, const struct version_set *x,
                                            const struct version_set *y);
const struct version_set *version_set_intersect(struct arena *a, const struct version_set *x,
                                                const struct version_set *y);
const struct version_set *version_set_complement(struct arena *a, const struct version_set *x);

bool version_set_has(const struct version_set *s, struct span key);
bool version_set_is_all(const struct version_set *s);
bool version_set_eq(const struct version_set *x, const struct version_set *y);
bool version_set_within(const struct version_set *x, const struct version_set *y); /* x in y */
bool version_set_disjoint(const struct version_set *x, const struct version_set *y);

/* The key, when the set was made by version_set_one; else an empty span. */
struct span version_set_single(const struct version_set *s);

#endif
