/* SPDX-License-Identifier: Apache-2.0 */
/* resolve.h - npm's resolve, cancel and locate members of struct resolver_ops.
 *
 * Threads: loop thread, as resolver.h says. */
#ifndef STRATA_RESOLVERS_NPM_RESOLVE_H
#define STRATA_RESOLVERS_NPM_RESOLVE_H

#include "resolvers/resolver.h"

void npm_resolve(struct resolve_job *job);
void npm_cancel(struct resolve_job *job);
void npm_locate(struct locate_job *job);

#endif
