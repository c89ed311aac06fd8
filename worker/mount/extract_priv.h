/* SPDX-License-Identifier: Apache-2.0 */
/* extract_priv.h - writes the entries of a layer's tar below a directory.
 *
 * No symbolic link is ever followed and nothing is replaced but a whiteout, so what the tar
 * names stays below root_fd, which nobody else may be writing to.
 *
 * Ownership: root_fd and reader stay the caller's.
 * Errors:    ERR_BAD_ARCHIVE, ERR_TOO_LARGE, ERR_IO, ERR_NO_SPACE; what was written stays.
 * Threads:   one a call. */
#ifndef STRATA_WORKER_MOUNT_EXTRACT_PRIV_H
#define STRATA_WORKER_MOUNT_EXTRACT_PRIV_H

#include "worker/mount/tar_reader_priv.h"

bool extract_layer(int root_fd, struct tar_reader *reader, const struct layer_limits *limits,
                   struct err *err);

#endif
