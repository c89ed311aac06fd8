/* SPDX-License-Identifier: Apache-2.0 */
/* harvest.h - an overlay's upper folder as one stream, written inside the namespaces where ids are
 * as packages see them, read back outside.
 *
 *   stream: record*          record: struct harvest_record, path, target or content, padding to 8
 *
 * The writer runs in a process of ours after all of the package's have ended. The folder's
 * names and contents are still a stranger's: the reader checks every length, and paths are
 * checked again by the segment writer.
 *
 * A folder that the overlay marks opaque is told as such; it marks every new one, so whether one
 * hides anything is for the reader to find out.
 *
 * Errors:  ERR_CORRUPT: a stream that is not one of ours; ERR_TOO_LARGE; ERR_IO.
 * Threads: _write in a child; _next is pure. */
#ifndef STRATA_WORKER_APT_LAYER_HARVEST_H
#define STRATA_WORKER_APT_LAYER_HARVEST_H

#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

struct harvest_record {
    uint32_t magic;
    uint32_t type; /* enum entry_type */
    uint32_t mode, uid, gid;
    uint32_t path_bytes, target_bytes;
    uint32_t xattr_bytes; /* of security.capability; of a folder: 1 when it is opaque */
    int64_t mtime;
    uint64_t content_bytes;
};

struct harvest_entry {
    struct harvest_record head;
    struct span path, target, content, capability;
};

/* Everything below upper_fd but what `leave_out` names ("var/log/dpkg.log"; a folder's name ending
 * in '/' leaves out what is in it). */
bool harvest_write(int upper_fd, const char *const *leave_out, int out_fd, struct err *err);

/* Takes the next entry off the stream; false at its end or with err->code set. */
bool harvest_next(struct span *stream, struct harvest_entry *out, struct err *err);

#endif
