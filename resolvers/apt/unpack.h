/* SPDX-License-Identifier: Apache-2.0 */
/* unpack.h - one stream in any compression that Debian uses: a Packages file, a member of a .deb
 * (deb(5): xz, gzip, zstd, bzip2, lzma, or none).
 *
 * Ownership: the reader is the caller's (archive_read_free); it reads from `bytes`, which outlive
 *            it.
 * Errors:    of the reader: what archive_read_next_header says. ERR_BAD_ARCHIVE: not a stream, or
 *            longer than max_bytes.
 * Threads:   no shared state. late_archive_load comes first. */
#ifndef STRATA_RESOLVERS_APT_UNPACK_H
#define STRATA_RESOLVERS_APT_UNPACK_H

#include "base/buf.h"
#include "base/err.h"
#include "resolvers/late_archive.h"

struct archive *apt_stream_open(struct span bytes);

/* A package list, whole; it loads libarchive itself. */
bool apt_unpack(struct span bytes, uint64_t max_bytes, struct buf *out, struct err *err);

#endif
