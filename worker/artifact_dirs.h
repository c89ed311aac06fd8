/* SPDX-License-Identifier: Apache-2.0 */
/* artifact_dirs.h - an artifact's layers as directories, unpacked where they are not there yet,
 * and in use (not collected) until they are closed.
 *
 * Ownership: the job is the caller's and lives until done() returned; artifact_dirs_close after
 *            that, whatever came out. The artifact stays its owner's.
 * Errors:    those of artifact.h and layer_dir.h.
 * Threads:   loop thread; done() once, never from inside artifact_dirs_open. */
#ifndef STRATA_WORKER_ARTIFACT_DIRS_H
#define STRATA_WORKER_ARTIFACT_DIRS_H

#include <uv.h>

#include "base/pool.h"
#include "cache/artifact.h"

struct artifact_dirs {
    uv_loop_t *loop;
    struct pool *pool;
    struct store *store;
    const struct artifact *artifact; /* NULL: loaded by its digest */
    struct digest digest;
    void (*done)(struct artifact_dirs *d);
    void *ctx;
    /* Results: */
    struct err err;
    const char **paths; /* in the manifest's order */
    size_t count;
    void *state;
};

void artifact_dirs_open(struct artifact_dirs *d);
void artifact_dirs_close(struct artifact_dirs *d); /* all zero is fine */

#endif
