/* SPDX-License-Identifier: Apache-2.0 */
/* resolve.h - specs of Python packages become a lock, from metadata alone.
 *
 * The rules are pip's: versions before files, then the wheel's tags, then its build number;
 * yanked releases only when pinned, pre-releases only when asked for or nothing else matches,
 * Requires-Python of files and metadata, extras, markers. Versions are found by PubGrub
 * (solver/pubgrub.h), which, unlike pip's backtracking, can tell why there are none.
 *
 * A package in the lock has, besides what resolver.h says, `filename`, `requested` (true: a
 * root) and, when it is so, `yanked`.
 *
 * Errors: ERR_UNRESOLVABLE (the explanation in sentences), ERR_NO_PACKAGE, ERR_NEEDS_BUILD
 *         (an sdist whose dependencies only a build knows), ERR_PLATFORM, ERR_INVALID, those
 *         of registry.h.
 * Threads: as resolver.h says. */
#ifndef STRATA_RESOLVERS_PIP_RESOLVE_H
#define STRATA_RESOLVERS_PIP_RESOLVE_H

#include "resolvers/resolver.h"

bool pip_parse(struct span spec, struct err *err);
void pip_resolve(struct resolve_job *job);
void pip_cancel(struct resolve_job *job);
void pip_locate(struct locate_job *job);

#endif
