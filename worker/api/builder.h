/* SPDX-License-Identifier: Apache-2.0 */
/* builder.h - what the API needs of the build engine, as a table of functions.
 *
 * The worker's is over worker/build.h; tests bring one of their own, whose builds end as they
 * are told to.
 *
 * Ownership: a job is the caller's and lives until done() returned; the results in it are his
 *            to release then (builder_job_release).
 * Errors:    job->err, and where: manager, package, phase.
 * Threads:   start, cancel, progress: loop thread; document, open_blob, registries: any, and
 *            they may block on files. done() comes once, never from inside start or cancel. */
#ifndef STRATA_WORKER_API_BUILDER_H
#define STRATA_WORKER_API_BUILDER_H

#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/json.h"

struct builder;

struct builder_job {
    const char *id;         /* of the build, for the engine's log */
    const json_t *packages; /* {"pip":[...],...}, checked */
    const json_t *lock;     /* reproduce this one; NULL: resolve */
    bool forbidden;         /* networking keeps registries out */
    bool refresh;           /* ask the registries again */
    /* A line for the build's log; loop thread. */
    void (*line)(struct builder_job *job, const char *level, const char *text);
    void (*done)(struct builder_job *job);
    void *ctx;
    /* Results: */
    struct err err;
    const char *manager, *phase; /* static; NULL: none in particular */
    char package[256];           /* empty: none in particular */
    bool cached;                 /* nothing had to be packed */
    struct digest artifact;
    json_t *manifest; /* of the artifact, as GET /v1/artifacts/DIGEST gives it */
    json_t *lock_out; /* the lock it was made from */
    json_t *warnings; /* array of strings; may be NULL */
    uint64_t received_bytes;
    int64_t total_ms;
    void *state; /* the engine's own */
};

/* Bytes of a blob in order, from an offset on. */
struct builder_blob;

struct builder_ops {
    /* The store answers; any thread. */
    bool (*ready)(struct builder *b, struct err *err);
    void (*start)(struct builder *b, struct builder_job *job);
    void (*cancel)(struct builder *b, struct builder_job *job); /* done() with ERR_CANCELLED */
    /* {"pip":{"phase","known","resolved","units","units_ready","received","total",
     * "phase_ms":{...}},...}; new reference. */
    json_t *(*progress)(struct builder *b, const struct builder_job *job);
    /* The artifact is there, whole? */
    bool (*has_artifact)(struct builder *b, const struct digest *artifact);
    /* `kind`: "sbom", "provenance" or "lock". */
    bool (*document)(struct builder *b, const struct digest *artifact, const char *kind,
                     struct buf *out, struct err *err);
    /* A layer, config or other blob that the artifact's manifest names. ERR_NOT_FOUND. */
    struct builder_blob *(*open_blob)(struct builder *b, const struct digest *artifact,
                                      const struct digest *blob, uint64_t *size,
                                      const char **media_type, struct err *err);
    /* Up to `size` bytes at `offset`; -1: err. Calls go forward, mostly. */
    int64_t (*read_blob)(struct builder_blob *blob, uint64_t offset, char *out, size_t size,
                         struct err *err);
    void (*close_blob)(struct builder_blob *blob);
    /* {"pip":["host",...],...}: the registries that this machine's clients are set up for;
     * new reference. Waits until they are known, which takes a moment after the start. */
    json_t *(*registries)(struct builder *b);
    bool (*registries_known)(struct builder *b);
    /* A session holds (or lets go of) an artifact: kept from collection meanwhile. A hold lasts
     * over a power cut only once settle() came after it; many of them wait for the disk once. */
    bool (*pin)(struct builder *b, const char *name, const struct digest *artifact,
                struct err *err);
    bool (*unpin)(struct builder *b, const char *name, struct err *err);
    bool (*settle)(struct builder *b, struct err *err);
};

struct builder {
    const struct builder_ops *ops;
};

static inline void builder_job_release(struct builder_job *job)
{
    json_decref(job->manifest);
    json_decref(job->lock_out);
    json_decref(job->warnings);
    job->manifest = job->lock_out = job->warnings = NULL;
}

#endif
