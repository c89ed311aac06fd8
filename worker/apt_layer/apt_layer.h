/* SPDX-License-Identifier: Apache-2.0 */
/* apt_layer.h - locked .debs become segments of a real installation.
 *
 * Packages whose files meet nothing are laid below the overlay as folders that were unpacked once
 * (native.h); dpkg unpacks the others, and configures all of them, in the sandbox, over the base:
 * maintainer scripts, triggers, alternatives, conffiles, diversions and the dpkg database are the
 * real ones. No service is started (policy-rc.d says 101), no question is asked. What was written
 * is harvested from the overlay's upper folder in one stream, with what would differ from run to
 * run left out or normalised (docs/determinism.md), and is split by dpkg's own lists into one
 * segment per package that dpkg unpacked and one, `configured`, for what configuring changed, which
 * lies above all others. The segments of the rest are the caller's (deb_tree_plan).
 *
 * Ownership: the job and what it points to are the caller's and live until done() returned; the
 *            plans are the caller's to release then. apt_layer_release frees the rest.
 * Errors:    ERR_SCRIPT with the end of dpkg's output, ERR_DENIED (no sandbox here: the text says
 *            what to do), ERR_BAD_ARCHIVE, ERR_TOO_LARGE, ERR_IO, ERR_CANCELLED.
 * Threads:   loop thread; done() once, never from inside apt_layer_start. */
#ifndef STRATA_WORKER_APT_LAYER_APT_LAYER_H
#define STRATA_WORKER_APT_LAYER_APT_LAYER_H

#include "base/pool.h"
#include "cache/segment.h"
#include "worker/apt_layer/deb_tree.h"
#include "worker/sandbox/sandbox.h"

struct apt_deb {
    const char *name, *version, *arch;
    struct digest blob;
    struct deb_tree *tree; /* NULL: dpkg is to unpack it */
    bool native;           /* result: its folder was laid below, and dpkg unpacked nothing of it */
};

struct apt_layer_part {
    const char *name; /* of the package; "configured" for what belongs to none */
    struct segment_plan plan;
};

struct apt_layer_job {
    uv_loop_t *loop;
    struct pool *pool;
    struct store *store;
    const struct sandbox_host *host;
    const struct log *log;
    struct apt_deb *debs;
    size_t deb_count;
    const char *const *removed; /* names of packages that have to go */
    size_t removed_count;
    const char *const *base_dirs; /* NULL: this machine's root */
    size_t base_count;
    unsigned merged; /* deb_tree.h: of the base, or what it is to have */
    bool bootstrap;  /* the base is empty, /bin and its kin are made */
    int64_t source_date_epoch;
    void (*line)(struct apt_layer_job *job, const char *text); /* dpkg's output; may be NULL */
    void (*done)(struct apt_layer_job *job);
    void *ctx;
    /* Results: */
    struct err err;
    struct apt_layer_part *parts; /* sorted by name, "configured" last */
    size_t part_count;
    json_t *notes; /* array of strings: what keeps the layer from being reproducible; may be NULL */
    void *state;
};

void apt_layer_start(struct apt_layer_job *job);
void apt_layer_cancel(struct apt_layer_job *job);
/* Frees parts and their plans, and what the plans point into. */
void apt_layer_release(struct apt_layer_job *job);

#endif
