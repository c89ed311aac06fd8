/* SPDX-License-Identifier: Apache-2.0 */
/* io.h - files: whole reads, staged writes, folders.
 *
 * What must be durable goes through here, so that every step is a fault point (fault.h) and
 * interrupted calls and short writes are handled once.
 *
 * A staged file is written under a temporary name, fsynced and renamed: readers see the
 * whole file or none. What a crash leaves in the staging folder is swept by its owner.
 *
 * Ownership: file descriptors returned are the caller's (AUTO_FD). io_unmap a map.
 * Errors:    false + err: ERR_IO, ERR_NO_SPACE, ERR_DENIED, ERR_NOT_FOUND, ERR_TOO_LARGE.
 * Threads:   no shared state; all calls block, use the pool where it matters. */
#ifndef STRATA_BASE_IO_H
#define STRATA_BASE_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

bool io_write_all(int fd, struct span bytes, struct err *err);
bool io_fsync(int fd, struct err *err);
bool io_rename(int from_dir, const char *from, int to_dir, const char *to, struct err *err);
bool io_unlink(int dir_fd, const char *name, struct err *err); /* missing is fine */

/* The whole file, appended to out, whose ceiling bounds it. Only regular files. */
bool io_read_file(int dir_fd, const char *path, struct buf *out, struct err *err);

/* Writes path (relative to dir_fd or AT_FDCWD) whole or not at all; sync: survive power loss. */
bool io_replace_file(int dir_fd, const char *path, struct span bytes, mode_t mode, bool sync,
                     struct err *err);

/* mkdir -p. */
bool io_mkdirs(int dir_fd, const char *path, mode_t mode, struct err *err);

/* rm -rf below dir_fd, following no link; missing is fine. */
bool io_remove_tree(int dir_fd, const char *name, struct err *err);

/* A read-only map of a whole regular file; an empty file gives an empty span. */
struct io_map {
    struct span bytes;
    void *base;
};
bool io_map_fd(int fd, struct io_map *out, struct err *err);
void io_unmap(struct io_map *map); /* all zero is fine */
#define AUTO_MAPPED __attribute__((cleanup(io_unmap)))

/* A file being written in `dir_fd` under a temporary name. */
struct staged;
struct staged *staged_new(int dir_fd, mode_t mode, struct err *err);
int staged_fd(const struct staged *s);
bool staged_write(struct staged *s, struct span bytes, struct err *err);
/* fsync (if sync), then rename to to_dir/name. Frees *s whatever happens. */
bool staged_publish(struct staged *s, int to_dir, const char *name, bool sync, struct err *err);
void staged_free(struct staged *s); /* unlinks it; NULL is fine */

int64_t io_now_ms(void); /* wall clock, since the epoch */
int64_t io_monotonic_ms(void);

#endif
