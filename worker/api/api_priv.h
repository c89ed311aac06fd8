/* SPDX-License-Identifier: Apache-2.0 */
/* api_priv.h - what the handlers of the API share. */
#ifndef STRATA_WORKER_API_API_PRIV_H
#define STRATA_WORKER_API_API_PRIV_H

#include "base/io.h"
#include "base/mem.h"
#include "worker/api/api.h"
#include "worker/rules/text.h"

enum route_kind {
    ROUTE_LOOP,  /* work() on the loop thread, no key */
    ROUTE_CHECK, /* reads; no key: health */
    ROUTE_OPS,   /* reads; a key unless from loopback: metrics */
    ROUTE_READ,
    ROUTE_WRITE,
    ROUTE_PROBE, /* writes; no key: readiness */
};

struct req;

struct route {
    enum call_method method;
    const char *path; /* segments; "*" takes one */
    enum route_kind kind;
    bool body;                                    /* has a JSON object */
    bool (*prepare)(struct req *r);               /* checks the request; any thread; NULL: none */
    void (*work)(struct req *r, struct state *s); /* makes reply, or a problem */
    void (*finish)(struct req *r);                /* loop thread; answers; NULL: with reply */
};

#define REQ_ARGS     3
#define REQ_ARG_SIZE 160

/* Something that waits for a build and is looked at once a second, in case the build runs in
 * another process. */
struct waiter {
    void (*tick)(struct waiter *w);
    struct waiter *next, *prev;
};

struct req {
    struct api *api;
    struct call *call;
    const struct route *route;
    struct db_task task;
    char arg[REQ_ARGS][REQ_ARG_SIZE]; /* what the path's stars stand for, decoded */
    char *key;                        /* as sent; NULL: none */
    char workspace[129];
    json_t *body;
    int status; /* of the answer; 0: 200 */
    json_t *reply;
    char *printed; /* the reply as it is sent; then reply is NULL */
    char *text;    /* an answer that is no JSON value of ours */
    const char *text_type;
    bool enqueued;              /* the runner should look */
    void *data;                 /* the handler's, from prepare on */
    void (*free_data)(void *d); /* NULL: free() */
    struct waiter parked;       /* a pin that came before the registries are known */
};

static inline struct problem *req_problem(struct req *r)
{
    return &r->task.problem;
}

#define ROUTE_COUNT 30

struct route_counts {
    uint64_t calls[6]; /* by status / 100 */
    struct db_times times;
};

struct api {
    uv_loop_t *loop;
    struct db *db;
    struct runner *runner;
    struct builder *builder;
    struct server *server;
    struct api_options o;
    uv_timer_t tick;
    uv_prepare_t lap;
    uint64_t lap_ns, lap_idle_ns; /* when the last turn of the loop ended; its waiting till then */
    struct db_times laps;         /* turns of the loop, without their waiting */
    struct waiter waiters;        /* head of a ring */
    /* Read on db threads: replaced whole under the mutex. */
    uv_mutex_t mutex;
    json_t *platform_domains;
    struct route_counts counts[ROUTE_COUNT];
    int64_t started_us;
};

void waiter_add(struct api *a, struct waiter *w);
void waiter_remove(struct waiter *w); /* fine when it is not added */

extern const struct route api_routes[];
extern const size_t api_route_count;

void req_answer(struct req *r); /* from problem, reply or text */
void req_write(struct req *r);  /* to the writer, with route->work */

/* Parameters of lists; false: a problem. */
bool req_page(struct req *r, char list, struct state_page *page);
bool req_bool(struct req *r, const char *name, bool *out);
bool req_int(struct req *r, const char *name, int64_t min, int64_t max, int64_t *out);
/* A path argument that must be an id; another text is simply not found. */
bool req_is_id(struct req *r, int arg, const char *prefix, const char *what);

/* Handlers, by file. */
bool env_create_prepare(struct req *r);
void env_create_work(struct req *r, struct state *s);
bool env_update_prepare(struct req *r);
void env_update_work(struct req *r, struct state *s);
void env_get_work(struct req *r, struct state *s);
void env_list_work(struct req *r, struct state *s);
void env_archive_work(struct req *r, struct state *s);
void env_delete_work(struct req *r, struct state *s);
void version_get_work(struct req *r, struct state *s);
void version_list_work(struct req *r, struct state *s);

bool build_create_prepare(struct req *r);
void build_create_work(struct req *r, struct state *s);
void build_get_work(struct req *r, struct state *s);
void build_get_finish(struct req *r);
void build_list_work(struct req *r, struct state *s);
void build_log_work(struct req *r, struct state *s);
void build_cancel_work(struct req *r, struct state *s);
void build_cancel_finish(struct req *r);
void build_retry_work(struct req *r, struct state *s);
void build_events_work(struct req *r, struct state *s);
void build_events_finish(struct req *r);

void artifact_get_work(struct req *r, struct state *s);
void artifact_document_work(struct req *r, struct state *s);
void artifact_blob_work(struct req *r, struct state *s);
void artifact_blob_finish(struct req *r);

bool pin_put_prepare(struct req *r);
void pin_put_work(struct req *r, struct state *s);
void pin_put_finish(struct req *r);
bool pin_get_prepare(struct req *r);
void pin_get_work(struct req *r, struct state *s);
void pin_get_finish(struct req *r);
void pin_delete_work(struct req *r, struct state *s);

void ops_health_work(struct req *r, struct state *s);
void ops_ready_work(struct req *r, struct state *s);
void ops_metrics_work(struct req *r, struct state *s);
void ops_metrics_finish(struct req *r);
void ops_dashboard_work(struct req *r, struct state *s);
void ops_openapi_work(struct req *r, struct state *s);

#endif
