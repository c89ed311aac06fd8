/* SPDX-License-Identifier: Apache-2.0 */
/* archive_priv.h - what the archive readers share.
 *
 * Threads: pure functions. */
#ifndef STRATA_RESOLVERS_ARCHIVE_ARCHIVE_PRIV_H
#define STRATA_RESOLVERS_ARCHIVE_ARCHIVE_PRIV_H

#include <stdbool.h>

#include "base/span.h"

#define ARCHIVE_SHOW_SIZE 100

/* A name from an archive for an error message: cut, and without control characters. */
const char *archive_show(struct span name, char out[ARCHIVE_SHOW_SIZE]);

/* Relative, not empty, no NUL, no empty, "." or ".." part. */
bool archive_path_is_plain(struct span path);

/* A ".." part, a leading '/', or a NUL: reaches outside the folder it is unpacked to. */
bool archive_path_escapes(struct span path);

/* Bounds on names, so that work on all folders above all files stays small. */
#define ARCHIVE_MAX_PATH        4096u
#define ARCHIVE_MAX_DEPTH       128u
#define ARCHIVE_MAX_NAMES_BYTES (64u << 20) /* of all names together */

bool archive_path_is_small(struct span path);

#endif
