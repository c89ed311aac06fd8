/* SPDX-License-Identifier: Apache-2.0 */
/* tar_build.h - tars for tests, the wrong ones too: nothing is checked.
 *
 * Ownership: the buffer is the caller's; compressed results are new buffers. */
#ifndef STRATA_TESTS_WORKER_TAR_BUILD_H
#define STRATA_TESTS_WORKER_TAR_BUILD_H

#include "base/buf.h"
#include "base/digest.h"
#include "worker/mount/layer_dir.h"

#define TAR_BUF BUF(64u << 20)

/* type is the tar's own: '0' file, '1' hard link, '2' symbolic link, '5' folder ... */
struct tar_line {
    char type;
    const char *path, *link, *content;
    unsigned mode, uid;
    long mtime;
};

void tar_add(struct buf *tar, const struct tar_line *line);
void tar_add_pax(struct buf *tar, const char *const *key_values); /* key, value, ..., NULL */
void tar_end(struct buf *tar);

void tar_gzip(const struct buf *tar, size_t member_bytes, struct buf *out);
void tar_zstd(const struct buf *tar, size_t frame_bytes, struct buf *out);

/* A source over bytes in memory; one at a time may be read. */
struct tar_bytes {
    struct span bytes;
    size_t chunk; /* at most so much a read; 0: all */
    int closed;   /* how often close() came */
};
struct layer_source tar_source(struct tar_bytes *b); /* digest computed, no diff_id */

#endif
