/* SPDX-License-Identifier: Apache-2.0 */
/* paths.h - checks on the set of paths that an archive brings.
 *
 * Ownership: spans point into the keys.
 * Threads:   pure functions. */
#ifndef STRATA_RESOLVERS_ARCHIVE_PATHS_H
#define STRATA_RESOLVERS_ARCHIVE_PATHS_H

#include <stdbool.h>

#include "base/map.h"
#include "base/span.h"

/* A key whose value is not NULL that is a folder of another: "a" beside "a/b". */
bool paths_find_file_as_folder(const struct map *files, struct span *file);

#endif
