/* SPDX-License-Identifier: Apache-2.0 */
/* engine.h - what builds share: the loop, the threads, the network, the store.
 *
 * One engine per process, one libuv loop per engine. Both programs open one and start builds
 * on it (build.h).
 *
 * Ownership: engine_close frees all; no build may be under way then.
 * Threads:   loop thread, but for the store, which any thread may use. */
#ifndef STRATA_WORKER_ENGINE_H
#define STRATA_WORKER_ENGINE_H

#include "base/http.h"
#include "base/log.h"
#include "base/map.h"
#include "base/pool.h"
#include "cache/segment.h"
#include "cache/store.h"
#include "resolvers/discover.h"
#include "resolvers/platform.h"
#include "worker/sandbox/host.h"

struct engine_options {
    const char *home; /* state folder; NULL: the default */
    unsigned threads; /* 0: one per CPU */
    bool offline;
    int64_t script_ms; /* how long a package's code may run; 0: the sandbox's default */
    const struct log *log;
    const struct discovery_options *discovery; /* NULL: what the machine says; store is set here */
};

struct engine {
    uv_loop_t *loop;
    struct pool *pool;
    struct packer *packer;
    struct store *store;
    struct map http;                   /* CA file, or empty -> struct http_client */
    struct discovery *discovery;       /* NULL until engine_discovery */
    struct platform *host;             /* NULL until engine_host_platform */
    struct sandbox_host *sandbox_host; /* NULL until engine_sandbox_host */
    struct engine *owner;              /* of a view: whose all that is; NULL: its own */
    const struct log *log;
    struct engine_options options;
};

bool engine_open(struct engine *e, uv_loop_t *loop, const struct engine_options *options,
                 struct err *err);
void engine_close(struct engine *e); /* then run the loop once more */

/* The same engine with a log of its own, for one build among others. A view needs no closing; its
 * owner outlives it. */
struct engine engine_view(struct engine *e, const struct log *log);

/* Each is made when first asked for: a warm build needs neither the network nor the clients. */
/* One for each set of whom to trust, so that no connection serves two. ca_file NULL: the
 * environment's. */
struct http_client *engine_http(struct engine *e, const char *ca_file, struct err *err);
struct discovery *engine_discovery(struct engine *e);
const struct platform *engine_host_platform(struct engine *e);
/* NULL when this machine allows no sandbox: err says what to do. */
const struct sandbox_host *engine_sandbox_host(struct engine *e, struct err *err);

#endif
