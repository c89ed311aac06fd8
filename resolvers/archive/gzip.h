/* SPDX-License-Identifier: Apache-2.0 */
/* gzip.h - inflates a gzip file that lies in memory.
 *
 * Members are put one after another. Bytes after the last one that do not begin another member
 * are ignored, as node and GNU gzip ignore them: published tarballs have such padding.
 *
 * Ownership: *out is malloc'ed and the caller's.
 * Units:     bytes; `max_bytes` bounds the result.
 * Errors:    ERR_BAD_ARCHIVE (truncated, CRC or size wrong), ERR_TOO_LARGE.
 * Threads:   pure function.
 * Source:    RFC 1952. */
#ifndef STRATA_RESOLVERS_ARCHIVE_GZIP_H
#define STRATA_RESOLVERS_ARCHIVE_GZIP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

bool gzip_is(struct span bytes); /* starts as a gzip file does */
bool gzip_inflate(struct span bytes, uint64_t max_bytes, char **out, size_t *out_bytes,
                  struct err *err);

#endif
