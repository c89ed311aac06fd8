/* SPDX-License-Identifier: Apache-2.0 */
/* root_priv.h - a sandbox's root while it is put together.
 *
 * Threads: init only. */
#ifndef STRATA_WORKER_SANDBOX_ROOT_PRIV_H
#define STRATA_WORKER_SANDBOX_ROOT_PRIV_H

#include "worker/mount/overlay.h"
#include "worker/sandbox/shim_priv.h"

#define MAX_LOWER  OVERLAY_MAX_LOWER
#define HOST_NAMES 16

struct host_part {
    char name[32];
    int fd; /* O_PATH; -1: a symbolic link, kept in target */
    char target[256];
};

struct building {
    struct plan *plan;
    const char *at;
    int at_fd;
    char attached[WIRE_MAX_FDS][64]; /* where a source is; "" not attached */
    int lower[MAX_LOWER];            /* shim, layers, base: the topmost first */
    size_t lower_count, base_from;   /* base_from: index of the first base */
    int upper_fd, work_fd;
    bool parts; /* the base is this machine's, of which we may not take "/" alone */
    struct host_part host[HOST_NAMES];
    size_t host_count;
};

/* This machine's folders have to be held before something is mounted over one of them. */
bool parts_hold(struct building *b, struct err *err);
void parts_release(struct building *b);
/* Fills root, an empty folder, part by part. */
bool parts_mount(struct building *b, const char *root, struct err *err);

/* Lower folders over one of this machine's (-1: none) at `to`; upper and work -1: read-only. */
bool root_overlay(const int *lower, size_t n, int host_fd, int upper_fd, int work_fd,
                  const char *to, struct err *err);

#endif
