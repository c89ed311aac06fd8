/* SPDX-License-Identifier: Apache-2.0 */
/* layer_dir.h - layers unpacked once into directories, found by digest.
 *
 * HOME/dirs/sha256/<hex> is what a layer holds, ready to be a lower directory of an overlay:
 * whiteouts are the overlay's own (a character device 0/0, an opaque attribute). A layer is
 * unpacked under HOME/dirs/staging, checked against its digests, synced and renamed, so that
 * a directory under sha256 is whole or not there. HOME/dirs is closed to other users, since
 * what lies in it may have set-user-ID bits.
 *
 * The tar is hostile: names that are absolute, leave the root ("..") or go through a symbolic
 * link, device nodes, sparse files, an entry that is there twice (folders may be), and
 * whatever passes the limits are refused with ERR_BAD_ARCHIVE or ERR_TOO_LARGE; nothing is
 * published then. Hard links point only to files of the same layer. Owners are kept when we
 * are root; modes always, whatever the umask; times always.
 *
 * Ownership: the store is the caller's, free it after its users. A source's ctx is the
 *            caller's until close() was called.
 * Units:     bytes.
 * Errors:    as above, ERR_DIGEST_MISMATCH, ERR_IO, ERR_NO_SPACE; ERR_BUSY: in use.
 * Threads:   every function but _unpack_all blocks and may run on any thread, several at
 *            once, in several processes at once.
 * Format:    OCI image layer specification 1.0 (tar, tar+gzip, tar+zstd); POSIX.1-2001 pax;
 *            GNU long names. */
#ifndef STRATA_WORKER_MOUNT_LAYER_DIR_H
#define STRATA_WORKER_MOUNT_LAYER_DIR_H

#include <sys/types.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/pool.h"

struct layer_dirs;

/* One layer's bytes. All callbacks run on the thread that unpacks. */
struct layer_source {
    struct digest digest;  /* of the bytes as read: the directory's name */
    struct digest diff_id; /* of the tar inside; all zero: not checked */
    /* Up to room bytes; 0 at the end; negative with *err filled. */
    ssize_t (*read)(void *ctx, void *to, size_t room, struct err *err);
    void (*close)(void *ctx); /* called once for each source given; NULL: nothing to do */
    void *ctx;
};

struct layer_limits {
    uint64_t max_bytes;   /* of all files together, unpacked; 0: 64 GiB */
    uint64_t max_entries; /* 0: 2 million */
};

/* home is $STRATA_HOME; what is missing is created. */
struct layer_dirs *layer_dirs_open(const char *home, struct err *err);
void layer_dirs_free(struct layer_dirs *d); /* NULL is fine */

/* The directory's path, whether it is there or not; the caller frees it. */
char *layer_dirs_path(const struct layer_dirs *d, const struct digest *digest);
bool layer_dirs_has(const struct layer_dirs *d, const struct digest *digest);

/* Unpacks one layer, unless it is there already. limits NULL: the defaults. */
bool layer_dirs_unpack(struct layer_dirs *d, const struct layer_source *source,
                       const struct layer_limits *limits, struct err *err);

/* Unpacks what is missing of n layers, in parallel on the pool, and syncs once. done() comes
 * on the loop thread, never from inside this call; the first error wins. `sources` is
 * copied. Loop thread. */
void layer_dirs_unpack_all(struct layer_dirs *d, struct pool *pool,
                           const struct layer_source *sources, size_t n,
                           void (*done)(void *ctx, const struct err *err), void *ctx);

/* A source over a file descriptor, which it owns and closes. */
struct layer_source layer_source_fd(int fd, const struct digest *digest);

/* Unpacks into a folder of the caller's, which is empty and closed to others; what was written
 * before an error stays. */
bool layer_extract(int dir_fd, const struct layer_source *source, const struct layer_limits *limits,
                   struct err *err);

/* Opens the directory and marks it as in use for as long as the descriptor (or a duplicate)
 * is open. -1 + err (ERR_NOT_FOUND). */
int layer_dirs_use(const struct layer_dirs *d, const struct digest *digest, struct err *err);

/* Removes one; ERR_BUSY while it is in use, fine when it is not there. */
bool layer_dirs_remove(struct layer_dirs *d, const struct digest *digest, struct err *err);

/* Calls each() for every directory there, until it returns false. */
bool layer_dirs_each(const struct layer_dirs *d,
                     bool (*each)(void *ctx, const struct digest *digest), void *ctx,
                     struct err *err);

/* Removes what crashed processes left in staging. */
bool layer_dirs_sweep(struct layer_dirs *d, struct err *err);

#endif
