/* SPDX-License-Identifier: Apache-2.0 */
/* decode_priv.h - a layer's bytes, decompressed as they are read.
 *
 * gzip (any number of members), zstd (any number of frames) or plain, told by the first
 * bytes. Both sides are hashed on the way.
 *
 * Ownership: the source's ctx stays the caller's. decoder_free.
 * Errors:    ERR_BAD_ARCHIVE, ERR_TOO_LARGE (zstd window over 128 MiB), the source's.
 * Threads:   one.
 * Format:    RFC 1952, RFC 8878. */
#ifndef STRATA_WORKER_MOUNT_DECODE_PRIV_H
#define STRATA_WORKER_MOUNT_DECODE_PRIV_H

#include "worker/mount/layer_dir.h"

struct decoder;

struct decoder *decoder_new(const struct layer_source *source);
void decoder_free(struct decoder *d); /* NULL is fine */

/* The next piece, empty at the end; good until the next call. */
bool decoder_next(struct decoder *d, struct span *piece, struct err *err);

/* After the end, once: compares with the source's digests. */
bool decoder_check(struct decoder *d, struct err *err);

#endif
