/* SPDX-License-Identifier: Apache-2.0 */
/* merge_priv.h - layers over this machine's own root, in the mount namespace we are in.
 *
 * As little as possible is covered: a folder that the layers do not have stays what it is. A
 * folder of both becomes an overlay of both; one in which other file systems are mounted, and
 * "/" and "/opt", are gone through entry by entry. Where the machine lacks a name that a
 * layer has, the folder is rebuilt from a tmpfs and binds of all that is in it; for "/" that
 * means a new root.
 *
 * Errors:  ERR_DENIED, ERR_IO, ERR_UNSUPPORTED.
 * Threads: a child process of our own, after it left the machine's mount namespace. */
#ifndef STRATA_WORKER_MOUNT_MERGE_PRIV_H
#define STRATA_WORKER_MOUNT_MERGE_PRIV_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct merge {
    const char *const *lower_dirs; /* the topmost first */
    size_t lower_count;
    bool writable; /* into a tmpfs */
    bool user_ns;
    bool one_line; /* overlay.h */
};

bool merge_over_root(const struct merge *m, struct err *err);

/* A root of its own: base and layers in one overlay at / (the topmost first), with this
 * machine's /proc, /sys, /dev, /tmp, name resolution, the home and working folders. */
bool merge_own_root(const struct merge *m, const char *const *own, size_t own_count,
                    struct err *err);

#endif
