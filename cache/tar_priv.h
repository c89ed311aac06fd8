/* SPDX-License-Identifier: Apache-2.0 */
/* tar_priv.h - the tar records we write (POSIX.1-2001: ustar, pax records where they must be).
 *
 * Units: bytes; a record is header blocks, content, and padding to TAR_BLOCK. */
#ifndef STRATA_CACHE_TAR_PRIV_H
#define STRATA_CACHE_TAR_PRIV_H

#include "cache/segment.h"

#define TAR_BLOCK     512u
#define TAR_END_BYTES 1024u /* the two zero blocks that end an archive */

static inline uint64_t tar_padded(uint64_t size)
{
    return (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
}

/* Path, mode, owner, mtime, target and size are taken as they are: the caller has checked them.
 * ENTRY_WHITEOUT is written as the empty file that its path says already. */
void tar_header(struct buf *out, const struct segment_entry *e);

/* Is this a path that may stand in a layer? Says why not. */
bool tar_check_path(struct span path, struct err *err);

/* A path for messages: control bytes become '?'. Cut to fit; returns out. */
const char *tar_show(struct span path, char out[200]);

#endif
