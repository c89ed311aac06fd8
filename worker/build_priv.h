/* SPDX-License-Identifier: Apache-2.0 */
/* build_priv.h - the inside of a build: build.c resolves and publishes, build_install.c fetches
 * packages and makes segments, build_ahead.c begins with that while others are being resolved.
 *
 * `open` counts what will still call back; a build that failed cancels all of it and ends when
 * the count is zero. Nothing starts once `failed` is set. */
#ifndef STRATA_WORKER_BUILD_PRIV_H
#define STRATA_WORKER_BUILD_PRIV_H

#include "base/map.h"
#include "cache/artifact.h"
#include "worker/build.h"
#include "worker/lock.h"

/* One manager's part of a build. */
struct build_manager {
    struct build *build;
    const struct resolver_ops *ops;
    struct registry_client *registry;
    const char **specs;
    struct resolve_job job;
    bool resolving;
    bool renewed; /* resolved anew, with nothing taken from the cache unasked */
    json_t *part; /* of the lock */
    struct install_context context;
    struct install_units units;
    struct map sources; /* digest text -> struct build_source */
    struct build_progress progress;
    int64_t phase_since_ms;
    struct build_apt *apt; /* of the manager that installs as a whole */
};

/* A locked package's bytes on their way into the store. */
struct build_source {
    struct build_manager *manager;
    json_t *package;
    char *url; /* NULL: to be located */
    enum { SOURCE_NEW, SOURCE_LOCATING, SOURCE_FETCHING, SOURCE_BUILDING, SOURCE_READY } state;
    struct locate_job locate;
    struct registry_fetch fetch;
    struct io_map map; /* of the blob, from the first unit on */
    struct build_unit *waiting;
    size_t users;   /* units made from it; 0: fetched on a hunch */
    size_t pending; /* those of them that are not finished: the map is dropped with the last */
};

/* One segment to be made. */
struct build_unit {
    struct build_manager *manager;
    const struct install_unit *unit;
    const struct install_context *context;
    struct digest key;
    struct build_source *source; /* NULL: needs none */
    struct build_unit *next;     /* in source->waiting */
    struct pool_task task;
    struct segment_plan plan;
    struct segment_job job;
    struct segment segment;
    bool building; /* segment_build is under way */
    struct err err;
    /* Of one that was begun ahead of the lock: */
    bool ahead, over;
    struct build_unit *twin; /* the lock's unit that waits for it; NULL: none does */
};

struct build {
    struct engine *engine;
    const struct build_request *request;
    struct build_result result;
    void (*done)(struct build *b, void *ctx);
    void *ctx;
    uv_timer_t timer; /* the first step, out of build_start's reach */
    size_t open;
    bool failed, finished, cancelled;
    bool holding; /* the store keeps what we make from being collected */
    int64_t started_ms;
    struct digest request_key, key;
    struct arena *arena;
    struct build_manager managers[RESOLVER_COUNT];
    struct build_progress progress[RESOLVER_COUNT];
    size_t manager_count, resolving;
    VEC(struct build_unit *) units;    /* all */
    VEC(struct build_unit *) runnable; /* source ready, not started; heaviest first */
    size_t running, missing;           /* units under way, units not ready */
    bool installing;
    const char *suite;                /* of a root that is made; NULL: the base is this machine */
    const char *base_root;            /* with suite: an empty folder */
    json_t *apt_details;              /* with suite: the sources that are asked */
    bool apt_ready;                   /* apt's layer is made */
    struct map tools;                 /* what sdists are built with */
    VEC(struct build_sdist *) sdists; /* build_sdist.c */
    size_t hooks_running;
    const char *build_inputs;        /* what sdists see; NULL: not asked yet */
    VEC(struct build_ahead *) ahead; /* what was begun before the lock was known */
    struct pool_task publish;
    struct artifact *artifact;
    struct err publish_err;
};

/* Records the first failure and cancels the rest. */
void build_fail(struct build *b, const struct err *err, const struct build_manager *m,
                const char *package, enum build_phase phase);
/* Call after any callback: ends a failed build when nothing is open any more. */
void build_settle(struct build *b);
void build_set_phase(struct build_manager *m, enum build_phase phase);
void build_publish(struct build *b); /* all segments are there */
/* Puts into a key what decides how content becomes bytes: packer, epoch, compression. */
void build_key_packing(json_t *key, const struct build_request *r);

/* build_install.c */
void build_want_package(struct build_manager *m, const json_t *package, const char *url);
bool build_start_install(struct build *b, struct err *err);
struct build_source *build_source_of(struct build_manager *m, const json_t *package,
                                     const char *url); /* made when new */
void build_source_start(struct build_source *s);       /* fetches, unless it is there */
void build_source_built(struct build_source *s);       /* its wheel is there */
void build_drop_hunches(struct build *b);              /* cancels downloads that no unit needs */
void build_cancel_install(struct build *b);
void build_free_install(struct build *b);
void build_unit_cancel(struct build_unit *u);
bool build_unit_key(struct build_unit *u, struct err *err);
bool build_unit_recall(struct build_unit *u);
void build_unit_ready(struct build_unit *u);  /* its segment is there */
void build_unit_source(struct build_unit *u); /* runs it, or waits for its source */
void build_runnable(struct build_unit *u);
void build_pump(struct build *b);
struct install_context build_context(const struct build_manager *m, const json_t *lock);

/* build_ahead.c: a package that the resolver chose before it was done is installed as soon as its
 * bytes are there. Equal keys, equal segments, so what the lock does not need is only wasted. */
void build_ahead(struct build_source *s);
void build_ahead_over(struct build_unit *u);
bool build_ahead_adopt(struct build_unit *u); /* is it made already, or under way? */
void build_ahead_drop(struct build *b);       /* stops what nobody waits for */
void build_ahead_cancel(struct build *b);
void build_ahead_free(struct build *b);

/* build_base.c. _details: what is known of a manager's registry; NULL where err is set. */
bool build_base_open(struct build *b, struct err *err);
const json_t *build_base_details(struct build *b, const char *manager, struct err *err);

/* build_apt.c: a manager whose packages are installed as a whole. */
bool build_apt_start(struct build_manager *m, struct err *err);
void build_apt_source_ready(struct build_source *s);
void build_apt_cancel(struct build_manager *m);
void build_apt_free(struct build_manager *m);
/* What is installed in the base: part of what such a lock answers to. */
bool build_apt_base(const struct build *b, struct digest *out, struct err *err);

#endif
