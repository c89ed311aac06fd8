/* SPDX-License-Identifier: Apache-2.0 */
/* bins.h - the commands and manual pages of an npm package, and their links.
 *
 * A command's name is the last part of its key, so that "@s/x" is x and "../../x" is x; its
 * file is taken below the package whatever it says. What is not in the tarball is skipped.
 *
 * Ownership: names are in the arena or in the JSON.
 * Threads:   pure functions. */
#ifndef STRATA_RESOLVERS_NPM_BINS_H
#define STRATA_RESOLVERS_NPM_BINS_H

#include "base/json.h"
#include "cache/segment.h"
#include "resolvers/npm/manifest.h"
#include "resolvers/npm/tarball.h"

struct npm_bins {
    VEC(struct npm_bin) list;
};

/* The commands that a package.json declares: `bin` as object, string or list, else the files of
 * `directories.bin`. */
void npm_bins_read(const json_t *package_json, const struct npm_tarball *t, struct span folder,
                   struct arena *a, struct npm_bins *out);
/* The same of an object {NAME: file}. */
void npm_bins_read_object(const json_t *object, struct arena *a, struct npm_bins *out);

/* Links to the files of commands, and makes those executable, without "\r" in the "#!" line.
 * A command that gets no link leaves its file as it is.
 * `package` is where the package lies ("lib/node_modules/a") below the prefix, `folder` where
 * in the tarball the package is (bundled ones: "node_modules/b/"; else empty). The links' paths
 * are put into `links`; where one is already, the first stands. */
void npm_bins_link(const struct npm_bins *bins, struct npm_tarball *t, struct span folder,
                   struct span package, struct map *links, struct segment_plan *plan);

/* Links from share/man to the pages that the package.json of a root lists. */
void npm_man_link(const json_t *package_json, const struct npm_tarball *t, struct span package,
                  struct segment_plan *plan);

/* "lib/node_modules/a/node_modules/@s/b" -> "lib/node_modules/a/node_modules" and "@s/b". */
bool npm_split_place(struct span package, struct span *folder, struct span *name);

#endif
