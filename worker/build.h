/* SPDX-License-Identifier: Apache-2.0 */
/* build.h - the work that turns an environment's packages into an artifact.
 *
 *   recall --hit--------------------------------------------------+
 *     | miss                                                      v
 *   resolve -> lock -> key --hit------------------------------> result
 *                       | miss                                    ^
 *                     units -> fetch -> fill -> segments -> publish
 *
 * All managers resolve at once, downloads start as soon as a package is certain, and units are
 * packed on the pool while other downloads run. Nothing is visible before publish.
 *
 * Ownership: the request's pointers must live until done() returned; the build and its results
 *            belong to the caller after that: build_free.
 * Units:     bytes, milliseconds.
 * Errors:    build_result: err, and where: manager, package, phase.
 * Threads:   loop thread. done() comes exactly once, never from inside build_start. */
#ifndef STRATA_WORKER_BUILD_H
#define STRATA_WORKER_BUILD_H

#include "cache/segment.h"
#include "resolvers/resolver.h"
#include "worker/engine.h"

/* Changes whenever the bytes that packing makes change: it is in every key. */
#define PACKER_VERSION 4

/* How long an answer of the registries counts as the present. */
#define BUILD_REQUEST_TTL_MS (10 * 60 * 1000)

enum build_phase {
    PHASE_WAITING,
    PHASE_RESOLVE,
    PHASE_FETCH,
    PHASE_INSTALL,
    PHASE_PUBLISH,
    PHASE_DONE,
};
const char *build_phase_name(enum build_phase phase);

struct build_request {
    const char *name;       /* of the environment, for lists; NULL: none */
    const json_t *packages; /* {"pip":["a==1",...],...}, specs parsed before */
    const json_t *lock;     /* reproduce this one; NULL: resolve */
    const json_t *previous; /* prefer this lock's versions; NULL: the newest */
    const char *base;       /* "host" (also NULL) or "debian:SUITE" */
    const struct platform *platform;
    const struct policy *policy;
    enum compression compression;
    bool bytecode;
    bool offline;              /* what is cached, or ERR_OFFLINE */
    bool refresh;              /* ask the registries again, whatever is remembered */
    bool forbidden;            /* the environment's networking keeps registries out: ERR_POLICY */
    bool lock_only;            /* stop when the lock is known */
    bool with_lock;            /* the result has the lock in any case */
    unsigned depth;            /* of builds for builds */
    int64_t source_date_epoch; /* seconds */
};

/* One manager's progress, for displays. */
struct build_progress {
    const char *manager;
    enum build_phase phase;
    size_t known, resolved;           /* packages met, packages decided */
    size_t units, units_ready;        /* segments to make, segments there */
    uint64_t received, total;         /* bytes of packages; total counts what is known so far */
    int64_t phase_ms[PHASE_DONE + 1]; /* time spent in each phase */
};

struct build_result {
    struct err err;
    const char *manager; /* where it failed; NULL: nowhere in particular */
    const char *package; /* NULL: none in particular */
    enum build_phase phase;
    struct digest artifact; /* zero when lock_only */
    struct digest lock_digest;
    json_t *lock;     /* NULL when it was not needed: a recalled artifact, unless with_lock */
    json_t *warnings; /* array of strings, never NULL */
    bool recalled;    /* known request: nothing was resolved */
    bool cached;      /* known artifact: nothing was packed */
    uint64_t received_bytes;
    int64_t total_ms;
};

struct build;

struct build *build_start(struct engine *e, const struct build_request *request,
                          void (*done)(struct build *b, void *ctx), void *ctx);
void build_cancel(struct build *b); /* done() follows, with ERR_CANCELLED */
const struct build_result *build_result(const struct build *b);
void build_free(struct build *b); /* after done() */

/* Progress of the managers in the request, by name. */
size_t build_progress(const struct build *b, const struct build_progress **list);

/* What identifies the artifact of a lock: single-flight and the artifact index go by it. */
bool build_key(const json_t *lock, const struct build_request *request, struct digest *out,
               struct err *err);

#endif
