/* SPDX-License-Identifier: Apache-2.0 */
/* semver_priv.h - the pieces that versions and x-ranges share. */
#ifndef STRATA_RESOLVERS_NPM_SEMVER_PRIV_H
#define STRATA_RESOLVERS_NPM_SEMVER_PRIV_H

#include "resolvers/npm/semver.h"

/* Pre-release and build, all of s; both empty when s is. */
bool semver_tail(struct span s, bool loose, struct span *pre, struct span *build);

/* The third number and what follows it, all of s. */
bool semver_patch_and_tail(struct span s, bool loose, struct span *patch, struct span *pre,
                           struct span *build);

uint64_t semver_number(struct span digits); /* SEMVER_MAX_NUMBER + 1: too big */

#endif
