/* SPDX-License-Identifier: Apache-2.0 */
/* tarball.h - an npm package's tarball in memory, and the files that it installs.
 *
 * As npm unpacks it: the first part of every path is dropped, whatever it is; links, folders
 * and devices are skipped; a .gitignore becomes .npmignore unless there is one; files are
 * readable by all and never setuid.
 *
 * Ownership: the blob stays the caller's until npm_tarball_release; paths are in the arena.
 * Errors:    ERR_BAD_ARCHIVE (a path that escapes or is not UTF-8, two files of one name that
 *            differ), ERR_TOO_LARGE.
 * Threads:   one thread's. */
#ifndef STRATA_RESOLVERS_NPM_TARBALL_H
#define STRATA_RESOLVERS_NPM_TARBALL_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/span.h"

#define NPM_TARBALL_MAX_BYTES (1ull << 30) /* uncompressed */

struct npm_file {
    struct span path; /* relative to the package */
    uint32_t mode;
    struct span data;
};

struct npm_tarball {
    VEC(struct npm_file *) files;
    struct map by_path; /* path -> struct npm_file */
    char *bytes;        /* uncompressed; NULL when the blob was */
};

bool npm_tarball_open(struct npm_tarball *t, struct span blob, struct arena *a, struct err *err);
void npm_tarball_release(struct npm_tarball *t); /* all zero is fine */

struct npm_file *npm_tarball_find(const struct npm_tarball *t, struct span path);
bool npm_tarball_has_folder(const struct npm_tarball *t, struct span path);

#endif
