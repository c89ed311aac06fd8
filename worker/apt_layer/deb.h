/* SPDX-License-Identifier: Apache-2.0 */
/* deb.h - a Debian binary package that lies in memory.
 *
 *   !<arch>\n | debian-binary "2.0\n" | control.tar[.gz|.xz|.zst] |
 * data.tar[.gz|.xz|.zst|.bz2|.lzma]
 *
 * Each member has a header of 60 bytes (name 16, time 12, uid 6, gid 6, mode 8, size 10, "`\n")
 * and is padded to an even length. Members whose names begin with '_' are passed over.
 *
 * Ownership: spans point into the bytes given.
 * Errors:    ERR_BAD_ARCHIVE; ERR_TOO_LARGE: more than `max_bytes` inside.
 * Threads:   pure functions.
 * Source:    deb(5). */
#ifndef STRATA_WORKER_APT_LAYER_DEB_H
#define STRATA_WORKER_APT_LAYER_DEB_H

#include "base/buf.h"
#include "base/err.h"

struct deb {
    struct span control, data; /* tars, compressed */
};

bool deb_open(struct span bytes, struct deb *out, struct err *err);

/* A member's tar. likely_bytes: what is told of its size; 0: nothing. */
bool deb_inflate(struct span member, uint64_t max_bytes, uint64_t likely_bytes, struct buf *out,
                 struct err *err);

#endif
