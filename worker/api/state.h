/* SPDX-License-Identifier: Apache-2.0 */
/* state.h - the worker's rows: environments, versions, builds' results and events, pins, keys.
 *
 * One SQLite file, in which the queue's tables are too, on one connection: creating an
 * environment and enqueuing its build is one transaction. Builds are the queue's jobs; what is
 * kept of them here is what a version became.
 *
 * Every function sees one workspace's rows; another's are not there. Values that the API tells
 * come as JSON in the API's form.
 *
 * Ownership: JSON results are new references. The state owns its connection and queue.
 * Units:     microseconds since the epoch for times (_us).
 * Errors:    a problem: not_found, conflict and so on, in the API's words.
 * Threads:   calls block; one state, one thread at a time (db.h brings two). */
#ifndef STRATA_WORKER_API_STATE_H
#define STRATA_WORKER_API_STATE_H

#include "base/sql.h"
#include "queue/queue.h"
#include "worker/rules/problem.h"

struct state {
    struct sql *db;
    struct sql_set *set;
    struct queue *queue;
};

struct state_page {
    int64_t before; /* seq; 0: from the newest on */
    size_t limit;
};

bool state_open(struct state *s, const char *path, bool read_only,
                const struct queue_options *options, struct err *err);
void state_close(struct state *s); /* all zero is fine */

/* ---- keys (state_key.c) ---- */

#define KEY_TEXT_SIZE 80

/* A new key; its text exists only here, the row has its SHA-256. */
bool key_create(struct state *s, const char *workspace, const char *name, char text[KEY_TEXT_SIZE],
                char id[JOB_ID_SIZE], struct err *err);
bool key_revoke(struct state *s, const char *id, struct err *err);
bool key_list(struct state *s, const char *workspace, json_t **out, struct err *err);
/* Whose key it is. Compares hashes in constant time. ERR_REGISTRY_REFUSED never leaves the
 * process: it becomes 401. */
bool key_check(struct state *s, struct span text, char workspace[129], struct problem *p);
bool key_any(struct state *s, bool *any, struct err *err);
bool workspace_name_ok(struct span name); /* 1 to 64 of A-Z a-z 0-9 . _ - */

/* ---- environments (state_env.c) ---- */

struct env_new {
    const char *name, *description; /* NULL: unset */
    const json_t *metadata, *config;
};

struct version_row {
    int64_t n, created_us;
    json_t *config;
    char build[JOB_ID_SIZE];                                 /* newest; empty: none */
    char artifact[DIGEST_TEXT_SIZE], lock[DIGEST_TEXT_SIZE]; /* empty: not built yet */
};
void version_row_release(struct version_row *r);
#define AUTO_VERSION __attribute__((cleanup(version_row_release)))

struct env_row {
    char id[JOB_ID_SIZE];
    int64_t seq, created_us, updated_us, archived_us;
    char *name, *description; /* NULL: unset */
    json_t *metadata;
    struct version_row current;
};
void env_row_release(struct env_row *r);
#define AUTO_ENV __attribute__((cleanup(env_row_release)))

bool env_get(struct state *s, const char *workspace, const char *id, struct env_row *out,
             struct problem *p);
json_t *env_json(struct state *s, const struct env_row *r, struct problem *p); /* NULL: problem */
bool env_create(struct state *s, const char *workspace, const struct env_new *n, json_t **out,
                struct problem *p);
/* Writes what differs from the row as it was read in the same transaction; a changed config
 * makes a new version. */
bool env_update(struct state *s, const char *workspace, const struct env_row *old,
                const struct env_new *n, json_t **out, struct problem *p);
bool env_archive(struct state *s, const char *workspace, const char *id, json_t **out,
                 struct problem *p);
bool env_delete(struct state *s, const char *workspace, const char *id, struct problem *p);
bool env_list(struct state *s, const char *workspace, bool archived, const struct state_page *page,
              json_t **out, struct problem *p);
bool env_not_archived(const struct env_row *r, struct problem *p);
/* For metrics: environments, pins, artifacts. */
bool state_counts(struct state *s, int64_t out[3], struct err *err);

/* ---- versions (state_version.c) ---- */

/* A new version of the environment, with its build enqueued when it has packages and nothing
 * it could take over from `previous` (NULL: none). */
bool version_add(struct state *s, const char *workspace, const char *env, int64_t n,
                 const struct version_row *previous, const json_t *config, struct problem *p);
bool version_insert(struct state *s, const char *env, const struct version_row *v,
                    struct problem *p);
bool version_get(struct state *s, const char *env, int64_t n, struct version_row *out,
                 struct problem *p);
json_t *version_json(struct state *s, const char *env, const struct version_row *r,
                     struct problem *p);
bool version_list(struct state *s, const char *env, const struct state_page *page, json_t **out,
                  struct problem *p);
bool version_set_build(struct state *s, const char *env, int64_t n, const char *build,
                       struct problem *p);
/* {"status","job_id","artifact","error"} or null. */
json_t *version_build_json(struct state *s, const struct version_row *r, struct problem *p);

/* ---- builds (state_build.c) ---- */

struct build_new {
    const char *env; /* NULL: an inline config */
    int64_t version;
    const json_t *config;
    const char *lock; /* digest; NULL or empty: resolve */
    bool refresh;
    enum job_priority priority;
    const char *idempotency_key;
    const struct digest *request;
};

/* how: whether equal work was there already; may be NULL. */
bool build_enqueue(struct state *s, const char *workspace, const struct build_new *n,
                   struct job *out, enum queue_how *how, struct problem *p);
/* The build that an idempotency key stands for; out->id empty when the key is new. */
bool build_replay(struct state *s, const char *workspace, const char *key,
                  const struct digest *request, struct job *out, struct problem *p);
/* A new version of the environment with `config`, which resolves anew; b has the priority and
 * idempotency key of its build. */
bool env_refresh(struct state *s, const char *workspace, const struct env_row *old,
                 const json_t *config, const struct build_new *b, struct job *out,
                 struct problem *p);
bool build_get(struct state *s, const char *workspace, const char *id, struct job *out,
               struct problem *p);
json_t *build_json(const struct job *job);
json_t *build_failure(const struct job *job); /* null unless failed */
/* What the API calls its state: dead is failed there. */
const char *build_status(const struct job *job);

struct build_end {
    const struct queue_lease *lease;
    const struct queue_outcome *outcome;
    const json_t *manifest; /* of a success */
    const json_t *lock;
    const char *artifact; /* digest text */
};
/* Ends a run: the job, and on success the artifact's rows, the versions and pins that waited
 * for it. out: the job then. */
bool build_finish(struct state *s, const struct build_end *e, struct job *out, struct err *err);
bool build_lock(struct state *s, const char *digest, json_t **out, struct err *err);

/* Forgets builds that ended before then, with their events; *count: how many. */
bool build_prune(struct state *s, int64_t before_ms, size_t max, size_t *count, struct err *err);

/* Events of a build: {"id":n,"event":kind,"data":...}. */
bool event_add(struct state *s, const char *build, int64_t n, const char *kind, const char *data,
               struct err *err);
bool event_last(struct state *s, const char *build, int64_t *n, struct err *err);
/* Up to `limit` after `n`, appended to out as an array; kind NULL: all. */
bool event_list(struct state *s, const char *build, int64_t after, const char *kind, size_t limit,
                json_t **out, struct err *err);

/* ---- artifacts and pins (state_pin.c) ---- */

#define PIN_NAME_SIZE 224

/* Its manifest, when the workspace has ever built or pinned it. */
bool artifact_get(struct state *s, const char *workspace, const char *digest, json_t **out,
                  struct problem *p);
bool artifact_show(struct state *s, const char *workspace, const char *digest, struct err *err);

struct pin_new {
    const char *session, *env;
    int64_t version; /* 0: the newest */
    const struct digest *body;
    json_t *(*policy)(const json_t *config, void *ctx); /* the network policy, new reference */
    /* Holds the artifact in the store; false with err NONE: it is not there (any more). */
    bool (*hold)(const char *name, const char *artifact, void *ctx, struct err *err);
    void *ctx;
};

bool pin_put(struct state *s, const char *workspace, const struct pin_new *n, json_t **out,
             struct problem *p);
bool pin_get(struct state *s, const char *workspace, const char *session, json_t **out,
             struct problem *p);
bool pin_delete(struct state *s, const char *workspace, const char *session, json_t **out,
                struct problem *p);
/* Names, as the store knows them, of the pins that wait for a build: [name]. */
bool pin_waiting(struct state *s, const char *build, json_t **out, struct err *err);
/* All pins that hold an artifact: calls each(name, digest text); false from it ends. */
bool pin_each(struct state *s, bool (*each)(void *ctx, const char *name, const char *artifact),
              void *ctx, struct err *err);
void pin_name(const char *workspace, const char *session, char out[PIN_NAME_SIZE]);

#endif
