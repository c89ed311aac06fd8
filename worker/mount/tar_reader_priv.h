/* SPDX-License-Identifier: Apache-2.0 */
/* tar_reader_priv.h - the entries of a tar, one after the other.
 *
 * Understood: ustar, pax (path, linkpath, size, uid, gid, mtime, SCHILY.xattr.*), GNU long
 * names, numbers in base 256. Device nodes, FIFOs and sparse files are refused, as is a
 * header whose checksum is wrong, or anything but zeros after the end.
 *
 * Ownership: an entry's spans are good until the next tar_reader_next.
 * Errors:    ERR_BAD_ARCHIVE, ERR_TOO_LARGE (a pax header over 1 MiB), the decoder's.
 * Threads:   one.
 * Format:    POSIX.1-2001 pax interchange format; GNU tar manual, "Basic Tar Format". */
#ifndef STRATA_WORKER_MOUNT_TAR_READER_PRIV_H
#define STRATA_WORKER_MOUNT_TAR_READER_PRIV_H

#include "base/arena.h"
#include "base/mem.h"
#include "worker/mount/decode_priv.h"

enum tar_type { TAR_FILE, TAR_DIR, TAR_SYMLINK, TAR_HARDLINK };

struct tar_xattr {
    struct span name, value;
};

struct tar_entry {
    enum tar_type type;
    struct span path, link; /* as written; not empty where the type needs them; no NUL inside */
    uint32_t mode;          /* 07777 */
    uint64_t uid, gid, size;
    int64_t mtime;
    uint32_t mtime_ns;
    VEC(struct tar_xattr) xattrs;
};

struct tar_reader;

struct tar_reader *tar_reader_new(struct decoder *d); /* the decoder stays the caller's */
void tar_reader_free(struct tar_reader *t);           /* NULL is fine */

/* False with err->code ERR_NONE: the end, and all bytes were read. */
bool tar_reader_next(struct tar_reader *t, const struct tar_entry **out, struct err *err);

/* The next piece of the entry's content, empty at its end. */
bool tar_content(struct tar_reader *t, struct span *piece, struct err *err);

#endif
