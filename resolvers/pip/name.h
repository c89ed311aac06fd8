/* SPDX-License-Identifier: Apache-2.0 */
/* name.h - names of Python projects and extras (PEP 503, PEP 508, PEP 685).
 *
 * Ownership: results live in the arena given.
 * Threads:   pure functions. */
#ifndef STRATA_RESOLVERS_PIP_NAME_H
#define STRATA_RESOLVERS_PIP_NAME_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/span.h"

#define PIP_NAME_MAX 214

/* Letters, digits and "._-" inside: letter or digit at both ends, at most PIP_NAME_MAX. */
bool pip_name_valid(struct span name);

/* Lower case, each run of "-_." one "-". */
struct span pip_name_normalise(struct span name, struct arena *a);

/* Equal after normalisation; `normal` is normalised already. */
bool pip_name_is(struct span name, struct span normal);

#endif
