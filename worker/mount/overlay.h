/* SPDX-License-Identifier: Apache-2.0 */
/* overlay.h - folders over folders, in the mount namespace we are in.
 *
 * New kernels take the lower folders one by one, older ones all in a line; either way they
 * are named by descriptor, so neither the length of paths nor the characters in them count.
 *
 * Ownership: descriptors stay the caller's, and can be closed after the mount.
 * Errors:    ERR_DENIED, ERR_IO; sys_errno tells ELOOP (a folder lies inside another) apart.
 * Threads:   as the mount namespace: those of a child process of our own.
 * Format:    Linux, Documentation/filesystems/overlayfs. */
#ifndef STRATA_WORKER_MOUNT_OVERLAY_H
#define STRATA_WORKER_MOUNT_OVERLAY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define OVERLAY_MAX_LOWER 500 /* the kernel's own bound */

struct overlay {
    const int *lower_fds; /* the topmost first; on mounts of this namespace */
    size_t lower_count;
    int upper_fd, work_fd; /* folders on one writable file system; -1: read-only */
    bool user_ns;          /* marks are kept in user attributes: no right to the trusted ones */
    bool is_volatile;      /* nothing is synced: upper is of no use after a crash */
    bool one_line;         /* as on an older kernel */
    unsigned attrs;        /* MOUNT_ATTR_NOSUID ... */
};

bool overlay_mount(const struct overlay *o, const char *target, struct err *err);

/* Whether the lower folders go together; false too where only a mount could tell. */
bool overlay_possible(const struct overlay *o);

/* An empty tmpfs at target, of at most size_bytes (0: half the memory). */
bool tmpfs_mount(const char *target, unsigned mode, unsigned long long size_bytes, struct err *err);

/* A writable overlay whose upper is a tmpfs: what is written is gone with the mount. The
 * root gets the mode of like_fd. o's upper_fd and work_fd are ignored. */
bool overlay_mount_scratch(const struct overlay *o, const char *target, int like_fd,
                           unsigned long long size_bytes, struct err *err);

#endif
