/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/api/engine_builder.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "cache/pin.h"
#include "worker/api/engine_artifact.h"

/* Lines that wait to be taken by the loop; more of them in one look are dropped. */
#define MAX_WAITING 5000

/* How old the progress that is told may be. */
#define LOOK_MS 100

struct line {
    enum log_level level;
    char *text;
};

/* One build. It is the API's until it is handed over in `incoming`, the engine thread's while
 * that builds it, and the API's again from `outgoing` on; what both look at is under its mutex. */
struct engine_run {
    struct builder_engine *owner;
    struct engine_run *next; /* in one of the lists */
    struct builder_job *job;
    struct engine view;
    struct log log;
    struct build_request request;
    struct build *build;   /* engine thread */
    struct pool_task load; /* the end: reads what was made */
    struct err load_err;
    pthread_mutex_t mutex;
    VEC(struct line) lines;                     /* under mutex */
    struct build_progress rows[RESOLVER_COUNT]; /* under mutex: as they were a moment ago */
    size_t row_count;                           /* the same */
    bool cancel;                                /* the same: is asked for */
    bool cancelled;                             /* engine thread: was passed on */
};

struct run_list {
    struct engine_run *first;
};

struct builder_engine {
    struct builder base;
    struct engine *engine;
    struct builder_engine_options o;
    struct policy policy;
    const struct platform *platform;
    uv_loop_t *loop; /* the API's */
    uv_async_t to_api;
    /* The engine has a loop and a thread of its own: parsing pages of packages must not hold up
     * requests. */
    pthread_t thread;
    uv_async_t to_engine;
    uv_timer_t look;         /* engine thread: copies the progress while something is built */
    struct run_list running; /* engine thread */
    pthread_mutex_t lists;
    struct run_list incoming, outgoing; /* under lists */
    bool stop;                          /* the same */
    atomic_bool unsettled;              /* holds that are not on disk yet */
    /* The registries' hosts, looked up on a thread of their own. */
    uv_work_t look_up;
    bool looking, again;
    pthread_mutex_t mutex;
    pthread_cond_t known;
    json_t *hosts; /* under mutex; NULL: not known yet */
};

static struct builder_engine *self(struct builder *b)
{
    return container_of(b, struct builder_engine, base);
}

/* ---- logs ---- */

static void on_log(void *ctx, enum log_level level, const char *text)
{
    struct engine_run *r = ctx;
    pthread_mutex_lock(&r->mutex);
    if (r->lines.n < MAX_WAITING)
        *VEC_PUSH(&r->lines) = (struct line){level, mem_dup_str(text)};
    pthread_mutex_unlock(&r->mutex);
}

static void tell_lines(struct engine_run *r)
{
    pthread_mutex_lock(&r->mutex);
    struct line *v = r->lines.v;
    size_t n = r->lines.n;
    r->lines.v = NULL;
    r->lines.n = r->lines.cap = 0;
    pthread_mutex_unlock(&r->mutex);
    for (size_t i = 0; i < n; i++) {
        r->job->line(r->job, log_level_name(v[i].level), v[i].text);
        free(v[i].text);
    }
    free(v);
}

static void push(struct run_list *l, struct engine_run *r)
{
    struct engine_run **end = &l->first;
    while (*end)
        end = &(*end)->next;
    r->next = NULL;
    *end = r;
}

/* ---- on the engine's thread ---- */

static void copy_progress(struct engine_run *r)
{
    const struct build_progress *list;
    size_t n = build_progress(r->build, &list);
    pthread_mutex_lock(&r->mutex);
    r->row_count = n < RESOLVER_COUNT ? n : RESOLVER_COUNT;
    if (r->row_count)
        memcpy(r->rows, list, r->row_count * sizeof(*list));
    pthread_mutex_unlock(&r->mutex);
}

static void on_look(uv_timer_t *t)
{
    struct builder_engine *e = container_of(t, struct builder_engine, look);
    for (struct engine_run *r = e->running.first; r; r = r->next)
        copy_progress(r);
}

static void take_failure(struct engine_run *r, const struct build_result *result)
{
    struct builder_job *job = r->job;
    job->err = result->err;
    job->manager = result->manager;
    job->phase = build_phase_name(result->phase);
    if (result->package)
        snprintf(job->package, sizeof(job->package), "%s", result->package);
}

/* Back to the API, which has nothing to do with the build itself any more. */
static void hand_back(struct engine_run *r)
{
    struct builder_engine *e = r->owner;
    struct engine_run **at = &e->running.first;
    copy_progress(r);
    build_free(TAKE(r->build));
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    if (!e->running.first)
        uv_timer_stop(&e->look);
    pthread_mutex_lock(&e->lists);
    push(&e->outgoing, r);
    pthread_mutex_unlock(&e->lists);
    uv_async_send(&e->to_api);
}

static void load_work(struct pool_task *t)
{
    struct engine_run *r = container_of(t, struct engine_run, load);
    const struct build_result *result = build_result(r->build);
    struct store *s = r->owner->engine->store;
    struct artifact *a = NULL;
    AUTO_MAPPED struct io_map map = {0};
    if (!artifact_load(s, &result->artifact, &a, &r->load_err))
        return;
    r->job->manifest = artifact_manifest_json(a);
    artifact_free(a);
    if (result->lock)
        r->job->lock_out = json_deep_copy(result->lock);
    else if (store_map_blob(s, &result->lock_digest, &map, &r->load_err))
        r->job->lock_out = json_parse(map.bytes, &r->load_err);
}

static void load_done(struct pool_task *t)
{
    struct engine_run *r = container_of(t, struct engine_run, load);
    struct builder_job *job = r->job;
    if (r->load_err.code) {
        job->err = r->load_err;
        job->phase = build_phase_name(PHASE_PUBLISH);
        builder_job_release(job);
    }
    hand_back(r);
}

static void on_built(struct build *b, void *ctx)
{
    struct engine_run *r = ctx;
    struct builder_job *job = r->job;
    const struct build_result *result = build_result(b);
    size_t i;
    json_t *text;
    json_array_foreach (result->warnings, i, text)
        log_line(&r->log, LOG_WARN, "%s", json_string_value(text));
    job->warnings = json_deep_copy(result->warnings);
    job->received_bytes = result->received_bytes;
    job->total_ms = result->total_ms;
    if (result->err.code) {
        take_failure(r, result);
        hand_back(r);
        return;
    }
    job->artifact = result->artifact;
    job->cached = result->cached || result->recalled;
    r->load = (struct pool_task){.work = load_work, .done = load_done};
    pool_submit(r->owner->engine->pool, &r->load, INT64_MAX);
}

static void begin(struct builder_engine *e, struct engine_run *r)
{
    if (!e->running.first)
        uv_timer_start(&e->look, on_look, LOOK_MS, LOOK_MS);
    push(&e->running, r);
    r->view = engine_view(e->engine, &r->log);
    r->build = build_start(&r->view, &r->request, on_built, r);
    copy_progress(r);
}

static void pass_on_cancels(struct builder_engine *e)
{
    for (struct engine_run *r = e->running.first; r; r = r->next) {
        pthread_mutex_lock(&r->mutex);
        bool asked = r->cancel && !r->cancelled;
        pthread_mutex_unlock(&r->mutex);
        if (!asked)
            continue;
        r->cancelled = true;
        build_cancel(r->build);
    }
}

static void on_to_engine(uv_async_t *h)
{
    struct builder_engine *e = container_of(h, struct builder_engine, to_engine);
    pthread_mutex_lock(&e->lists);
    struct engine_run *fresh = TAKE(e->incoming.first);
    bool stop = e->stop;
    pthread_mutex_unlock(&e->lists);
    while (fresh) {
        struct engine_run *next = fresh->next;
        begin(e, fresh);
        fresh = next;
    }
    pass_on_cancels(e);
    if (stop)
        uv_stop(e->engine->loop);
}

static void *engine_main(void *arg)
{
    struct builder_engine *e = arg;
    uv_run(e->engine->loop, UV_RUN_DEFAULT);
    return NULL;
}

/* ---- on the API's thread ---- */

static void on_to_api(uv_async_t *h)
{
    struct builder_engine *e = container_of(h, struct builder_engine, to_api);
    pthread_mutex_lock(&e->lists);
    struct engine_run *ended = TAKE(e->outgoing.first);
    pthread_mutex_unlock(&e->lists);
    while (ended) {
        struct engine_run *r = ended;
        ended = r->next;
        tell_lines(r);
        r->job->done(r->job); /* who may still ask for the progress */
        pthread_mutex_destroy(&r->mutex);
        free(r);
    }
}

static void start(struct builder *b, struct builder_job *job)
{
    struct builder_engine *e = self(b);
    struct engine_run *r = MEM_NEW(struct engine_run);
    pthread_mutex_init(&r->mutex, NULL);
    r->owner = e;
    r->job = job;
    r->log = (struct log){.level = LOG_INFO, .sink = on_log, .ctx = r};
    r->request = (struct build_request){.name = job->id,
                                        .packages = job->packages,
                                        .lock = job->lock,
                                        .platform = e->platform,
                                        .policy = &e->policy,
                                        .compression = e->o.compression,
                                        .bytecode = e->o.bytecode,
                                        .offline = e->o.offline,
                                        .refresh = job->refresh,
                                        .forbidden = job->forbidden,
                                        .source_date_epoch = e->o.source_date_epoch};
    job->state = r;
    pthread_mutex_lock(&e->lists);
    push(&e->incoming, r);
    pthread_mutex_unlock(&e->lists);
    uv_async_send(&e->to_engine);
}

static void cancel(struct builder *b, struct builder_job *job)
{
    struct engine_run *r = job->state;
    if (!r)
        return;
    pthread_mutex_lock(&r->mutex);
    r->cancel = true;
    pthread_mutex_unlock(&r->mutex);
    uv_async_send(&self(b)->to_engine);
}

static json_t *progress_json(const struct build_progress *p)
{
    json_t *o = json_object(), *ms = json_object();
    json_put_str(o, "phase", build_phase_name(p->phase));
    json_put_int(o, "known", (int64_t)p->known);
    json_put_int(o, "resolved", (int64_t)p->resolved);
    json_put_int(o, "units", (int64_t)p->units);
    json_put_int(o, "units_ready", (int64_t)p->units_ready);
    json_put_int(o, "received", (int64_t)p->received);
    json_put_int(o, "total", (int64_t)p->total);
    for (int i = PHASE_RESOLVE; i < PHASE_DONE; i++)
        json_put_int(ms, build_phase_name((enum build_phase)i), p->phase_ms[i]);
    json_object_set_new(o, "phase_ms", ms);
    return o;
}

static json_t *progress(struct builder *b, const struct builder_job *job)
{
    struct engine_run *r = job->state;
    struct build_progress rows[RESOLVER_COUNT];
    (void)b;
    if (!r)
        return NULL;
    tell_lines(r);
    pthread_mutex_lock(&r->mutex);
    size_t n = r->row_count;
    memcpy(rows, r->rows, sizeof(rows));
    pthread_mutex_unlock(&r->mutex);
    json_t *o = json_object();
    for (size_t i = 0; i < n; i++)
        json_object_set_new(o, rows[i].manager, progress_json(&rows[i]));
    return o;
}

/* ---- the store ---- */

static bool ready(struct builder *b, struct err *err)
{
    struct store *s = self(b)->engine->store;
    return faccessat(store_dir_fd(s), ".", W_OK | X_OK, 0) == 0
               ? true
               : err_sys(err, "the store %s", store_path(s));
}

static bool has_artifact(struct builder *b, const struct digest *artifact)
{
    return store_has_blob(self(b)->engine->store, artifact, NULL);
}

static bool document(struct builder *b, const struct digest *artifact, const char *kind,
                     struct buf *out, struct err *err)
{
    return artifact_document(self(b)->engine->store, artifact, kind, out, err);
}

static struct builder_blob *open_blob(struct builder *b, const struct digest *artifact,
                                      const struct digest *blob, uint64_t *size,
                                      const char **media_type, struct err *err)
{
    return artifact_open_blob(self(b)->engine->store, artifact, blob, size, media_type, err);
}

/* An artifact that is no longer there is no error here: the caller has it built again. */
static bool pin(struct builder *b, const char *name, const struct digest *artifact, struct err *err)
{
    if (store_pin_put_soon(self(b)->engine->store, span_str(name), artifact, err)) {
        atomic_store(&self(b)->unsettled, true);
        return true;
    }
    if (err->code == ERR_NOT_FOUND)
        err_clear(err);
    return false;
}

static bool unpin(struct builder *b, const char *name, struct err *err)
{
    if (store_pin_drop(self(b)->engine->store, span_str(name), err) || err->code == ERR_NOT_FOUND) {
        err_clear(err);
        return true;
    }
    return false;
}

static bool settle(struct builder *b, struct err *err)
{
    return !atomic_exchange(&self(b)->unsettled, false) || store_sync(self(b)->engine->store, err);
}

/* ---- registries ---- */

/* The answer is given out here and not on the loop: who waits for it may hold the loop up. */
static void look_up_work(uv_work_t *w)
{
    struct builder_engine *e = container_of(w, struct builder_engine, look_up);
    struct discovery *d = discovery_new(e->o.discovery);
    json_t *fresh = json_object();
    for (size_t i = 0; i < RESOLVER_COUNT; i++)
        json_object_set_new(fresh, resolvers[i]->manager,
                            discovery_hosts(d, resolvers[i]->manager));
    discovery_free(d);
    pthread_mutex_lock(&e->mutex);
    json_t *old = e->hosts;
    e->hosts = fresh;
    pthread_cond_broadcast(&e->known);
    pthread_mutex_unlock(&e->mutex);
    json_decref(old);
}

static void look_up_done(uv_work_t *w, int status)
{
    struct builder_engine *e = container_of(w, struct builder_engine, look_up);
    (void)status; /* never cancelled */
    e->looking = false;
    if (e->again)
        builder_engine_reload(&e->base);
}

void builder_engine_reload(struct builder *b)
{
    struct builder_engine *e = self(b);
    e->again = e->looking;
    if (e->looking)
        return;
    e->looking = true;
    uv_queue_work(e->loop, &e->look_up, look_up_work, look_up_done);
}

static json_t *registries(struct builder *b)
{
    struct builder_engine *e = self(b);
    pthread_mutex_lock(&e->mutex);
    while (!e->hosts)
        pthread_cond_wait(&e->known, &e->mutex);
    json_t *copy = json_deep_copy(e->hosts);
    pthread_mutex_unlock(&e->mutex);
    return copy;
}

static bool registries_known(struct builder *b)
{
    struct builder_engine *e = self(b);
    pthread_mutex_lock(&e->mutex);
    bool known = e->hosts != NULL;
    pthread_mutex_unlock(&e->mutex);
    return known;
}

/* ---- the table ---- */

static const struct builder_ops ops = {
    .ready = ready,
    .start = start,
    .cancel = cancel,
    .progress = progress,
    .has_artifact = has_artifact,
    .document = document,
    .open_blob = open_blob,
    .read_blob = artifact_read_blob,
    .close_blob = artifact_close_blob,
    .registries = registries,
    .registries_known = registries_known,
    .pin = pin,
    .unpin = unpin,
    .settle = settle,
};

static void on_closed(uv_handle_t *h)
{
    struct builder_engine *e = container_of((uv_async_t *)h, struct builder_engine, to_api);
    pthread_mutex_destroy(&e->mutex);
    pthread_mutex_destroy(&e->lists);
    pthread_cond_destroy(&e->known);
    json_decref(e->hosts);
    free(e);
}

struct builder *builder_engine_new(uv_loop_t *loop, struct engine *e,
                                   const struct builder_engine_options *options)
{
    struct builder_engine *b = MEM_NEW(struct builder_engine);
    b->base.ops = &ops;
    b->engine = e;
    b->o = *options;
    b->loop = loop;
    b->platform = engine_host_platform(e);
    pthread_mutex_init(&b->mutex, NULL);
    pthread_mutex_init(&b->lists, NULL);
    pthread_cond_init(&b->known, NULL);
    uv_async_init(loop, &b->to_api, on_to_api);
    uv_async_init(e->loop, &b->to_engine, on_to_engine);
    uv_timer_init(e->loop, &b->look);
    if (pthread_create(&b->thread, NULL, engine_main, b) != 0) {
        fprintf(stderr, "strata: cannot start a thread\n");
        abort();
    }
    builder_engine_reload(&b->base);
    return &b->base;
}

static void stop_thread(struct builder_engine *e)
{
    pthread_mutex_lock(&e->lists);
    e->stop = true;
    pthread_mutex_unlock(&e->lists);
    uv_async_send(&e->to_engine);
    pthread_join(e->thread, NULL);
    /* The engine's loop is the caller's now. */
    uv_close((uv_handle_t *)&e->to_engine, NULL);
    uv_close((uv_handle_t *)&e->look, NULL);
    uv_run(e->engine->loop, UV_RUN_NOWAIT);
}

void builder_engine_free(struct builder *b)
{
    if (!b)
        return;
    struct builder_engine *e = self(b);
    while (e->looking)
        uv_run(e->loop, UV_RUN_ONCE);
    stop_thread(e);
    on_to_api(&e->to_api);
    uv_close((uv_handle_t *)&e->to_api, on_closed);
}
