/* SPDX-License-Identifier: Apache-2.0 */
/* zip_priv.h - what the files of the zip reader share.
 *
 * Threads: pure functions. */
#ifndef STRATA_RESOLVERS_ARCHIVE_ZIP_PRIV_H
#define STRATA_RESOLVERS_ARCHIVE_ZIP_PRIV_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/span.h"

/* From code page 437 to UTF-8; ASCII stays where it is. Always true: every byte has a letter. */
bool zip_name_from_cp437(struct span *name, struct arena *a);

#endif
