/* SPDX-License-Identifier: Apache-2.0 */
/* locked.h - the tree as npm's part of a lock.
 *
 * Packages sorted by path, each:
 *   name        the registry's        version     normal form
 *   path        below lib             digest      "sha512:HEX", the strongest promise
 *   origin      below the registry, or the URL that the user wrote
 *   requires    folders' names that it depends on and that are there
 *   bins        {NAME: file}, without those that another package has got already
 *   scripts     of preinstall, install, postinstall
 *   alias       the folder's name, where it is not the package's
 *   optional    true: nothing fails without it
 *   bundled     [{path, name, version}] that its tarball brings along
 *
 * Ownership: new references.
 * Threads:   one thread at a time. */
#ifndef STRATA_RESOLVERS_NPM_LOCKED_H
#define STRATA_RESOLVERS_NPM_LOCKED_H

#include <jansson.h>

#include "resolvers/npm/source.h"
#include "resolvers/npm/tree.h"

/* One package before its place is known: name, version, digest, origin; path and bins for a top. */
json_t *npm_locked_early(struct npm_source *s, const struct npm_want *want, bool top);

/* NULL on error. Warns of bins that are wanted twice. */
json_t *npm_locked_packages(struct npm_tree *t, struct npm_source *s, const struct npm_set *nodes,
                            struct err *err);

#endif
