/* SPDX-License-Identifier: Apache-2.0 */
/* install.h - locked npm packages become segments of a global tree.
 *
 * One unit per package of the lock, of kind "package": the tarball's files below its place,
 * the links of its bins and, for roots, its man pages. The tree is what
 * `npm install --global --ignore-scripts` makes, below NPM_PREFIX.
 *
 * What is read of a package in the lock: path ("node_modules/a/node_modules/b", below
 * NPM_PREFIX/lib), name, version, digest, bins {NAME: file relative to the package}. Of several
 * packages that want one name, only the one that gets it has it in its bins.
 *
 * Ownership, threads: as resolver.h says of units, fill and environment.
 * Errors:    ERR_BAD_ARCHIVE, ERR_TOO_LARGE, ERR_LOCK_INVALID (path or bins). */
#ifndef STRATA_RESOLVERS_NPM_INSTALL_H
#define STRATA_RESOLVERS_NPM_INSTALL_H

#include "resolvers/resolver.h"

/* Where the tree is mounted, without the leading '/'. */
#define NPM_PREFIX "opt/managed-env/npm"

bool npm_units(const struct install_context *c, struct install_units *units, struct err *err);
bool npm_fill(const struct install_context *c, const struct install_unit *unit,
              const struct io_map *blob, struct segment_plan *plan, struct err *err);
void npm_environment(const struct install_context *c, json_t *path, json_t *env, json_t *bins);

#endif
