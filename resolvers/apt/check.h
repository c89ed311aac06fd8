/* SPDX-License-Identifier: Apache-2.0 */
/* check.h - is what the walk chose a whole, and if not, is there another way?
 *
 * apt_check looks at every package that is to be there: its dependencies are satisfied, and
 * nothing it conflicts with stands beside it. Where the walk ended in a corner (or found
 * nothing), libsolv searches all candidates that the request can reach, with the walk's
 * choices as wishes, and either finds a set or says why there is none.
 *
 * The result is left in the universe, as walk.h leaves it.
 *
 * Errors:  ERR_UNRESOLVABLE in sentences.
 * Threads: one thread at a time. */
#ifndef STRATA_RESOLVERS_APT_CHECK_H
#define STRATA_RESOLVERS_APT_CHECK_H

#include "resolvers/apt/walk.h"

/* True: consistent. On false err names the first thing that does not fit. */
bool apt_check(struct apt_universe *u, struct err *err);

/* Chooses anew with libsolv; the requests' candidates are as apt_walk left them. */
bool apt_solve(struct apt_universe *u, const struct apt_request *requests, size_t count,
               struct err *err);

/* All three: the walk, its check, and the search where one of them fails. */
bool apt_choose(struct apt_universe *u, const struct apt_request *requests, size_t count,
                struct err *err);

#endif
