/* SPDX-License-Identifier: Apache-2.0 */
/* walk.h - the choices apt makes: which packages an install brings along.
 *
 * apt's own installer is a greedy walk, and its choices are what people know: Pre-Depends before
 * Depends, in the order they are written, depth first; what is satisfied stays; the first
 * alternative that works; a package of that name before one that provides it; candidate versions
 * only; what comes in takes the installed packages of its source along. Recommends are not
 * followed. What the walk chose is checked as a whole afterwards (check.h).
 *
 * The result is left in the universe: apt_name.chosen and .removed.
 *
 * Errors:  ERR_NO_PACKAGE, ERR_UNRESOLVABLE with the chain of packages that led there.
 * Threads: one thread at a time. */
#ifndef STRATA_RESOLVERS_APT_WALK_H
#define STRATA_RESOLVERS_APT_WALK_H

#include "base/err.h"
#include "resolvers/apt/universe.h"

/* A package that was asked for. */
struct apt_request {
    struct span name;
    struct span version; /* exactly this one; empty: the candidate */
    struct span suite;   /* from this suite or codename; empty: any */
};

bool apt_walk(struct apt_universe *u, const struct apt_request *requests, size_t count,
              struct err *err);

#endif
