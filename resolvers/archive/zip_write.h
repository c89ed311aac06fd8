/* SPDX-License-Identifier: Apache-2.0 */
/* zip_write.h - writes a zip archive whose bytes depend on names, modes and contents alone.
 *
 *     struct zip_writer w;
 *     zip_begin(&w, &out, dos_time);
 *     zip_put(&w, name, 0644, bytes) ...
 *     ok = zip_end(&w, err);
 *
 * Every entry has one time. Content is deflated where that makes it smaller.
 *
 * Ownership: `out` is the caller's; the writer holds memory until zip_end.
 * Errors:    ERR_TOO_LARGE at the end: more than ZIP64-free archives hold, or than `out` takes.
 * Threads:   a writer is one thread's.
 * Source:    PKWARE APPNOTE 6.3.10. */
#ifndef STRATA_RESOLVERS_ARCHIVE_ZIP_WRITE_H
#define STRATA_RESOLVERS_ARCHIVE_ZIP_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

struct libdeflate_compressor;

struct zip_writer {
    struct buf *out, central;
    struct libdeflate_compressor *deflater;
    uint32_t time; /* date in the high half */
    uint64_t count;
    bool too_large;
};

/* Seconds since the epoch as the format has them: UTC, of 1980 to 2107, even. */
uint32_t zip_time(int64_t seconds);

void zip_begin(struct zip_writer *w, struct buf *out, uint32_t time);
/* `mode`: permission bits of a regular file. */
void zip_put(struct zip_writer *w, struct span name, uint32_t mode, struct span bytes);
bool zip_end(struct zip_writer *w, struct err *err);

#endif
