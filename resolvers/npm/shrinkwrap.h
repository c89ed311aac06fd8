/* SPDX-License-Identifier: Apache-2.0 */
/* shrinkwrap.h - a package that says itself what goes into its node_modules folder.
 *
 * The npm-shrinkwrap.json of its tarball lists each package with its folder, version, URL and
 * hash (lock file versions 1, 2 and 3); they become nodes below the package.
 *
 * Ownership: manifests and paths are in the graph's arena or in the text, which must outlive it.
 * Errors:    ERR_BAD_ARCHIVE: malformed, or a folder outside the package.
 * Threads:   one thread at a time.
 * Source:    npm's documentation of package-lock.json. */
#ifndef STRATA_RESOLVERS_NPM_SHRINKWRAP_H
#define STRATA_RESOLVERS_NPM_SHRINKWRAP_H

#include "resolvers/npm/graph.h"

bool npm_shrinkwrap_load(struct npm_graph *g, struct npm_node *package, struct span json,
                         struct err *err);

#endif
