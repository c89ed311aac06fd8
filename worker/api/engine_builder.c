/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/api/engine_builder.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "cache/pin.h"
#include "worker/api/engine_artifact.h"

/* Lines that wait to be taken by the loop; more of them in one look are dropped. */
#define MAX_WAITING 5000

struct line {
    enum log_level level;
    char *text;
};

/* One build: the engine as it sees it, and its log. */
struct engine_run {
    struct builder_engine *owner;
    struct builder_job *job;
    struct engine view;
    struct log log;
    struct build_request request;
    struct build *build;
    pthread_mutex_t mutex;
    VEC(struct line) lines; /* under mutex */
    struct pool_task load;  /* the end: reads what was made */
    struct err load_err;
};

struct builder_engine {
    struct builder base;
    struct engine *engine;
    struct builder_engine_options o;
    struct policy policy;
    const struct platform *platform;
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

/* ---- the end of a build ---- */

static void take_failure(struct engine_run *r, const struct build_result *result)
{
    struct builder_job *job = r->job;
    job->err = result->err;
    job->manager = result->manager;
    job->phase = build_phase_name(result->phase);
    if (result->package)
        snprintf(job->package, sizeof(job->package), "%s", result->package);
}

static void finish(struct engine_run *r)
{
    tell_lines(r);
    r->job->done(r->job); /* who may still ask for the progress */
    build_free(r->build);
    pthread_mutex_destroy(&r->mutex);
    free(r);
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
    finish(r);
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
    job->warnings = json_incref(result->warnings);
    job->received_bytes = result->received_bytes;
    job->total_ms = result->total_ms;
    if (result->err.code) {
        take_failure(r, result);
        finish(r);
        return;
    }
    job->artifact = result->artifact;
    job->cached = result->cached || result->recalled;
    r->load = (struct pool_task){.work = load_work, .done = load_done};
    pool_submit(r->owner->engine->pool, &r->load, INT64_MAX);
}

/* ---- starting, cancelling, watching ---- */

static void start(struct builder *b, struct builder_job *job)
{
    struct builder_engine *e = self(b);
    struct engine_run *r = MEM_NEW(struct engine_run);
    pthread_mutex_init(&r->mutex, NULL);
    r->owner = e;
    r->job = job;
    r->log = (struct log){.level = LOG_INFO, .sink = on_log, .ctx = r};
    r->view = *e->engine;
    r->view.log = &r->log;
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
    r->build = build_start(&r->view, &r->request, on_built, r);
}

static void cancel(struct builder *b, struct builder_job *job)
{
    struct engine_run *r = job->state;
    (void)b;
    if (r && r->build)
        build_cancel(r->build);
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
    const struct build_progress *list;
    (void)b;
    if (!r || !r->build)
        return NULL;
    tell_lines(r);
    size_t n = build_progress(r->build, &list);
    json_t *o = json_object();
    for (size_t i = 0; i < n; i++)
        json_object_set_new(o, list[i].manager, progress_json(&list[i]));
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
    if (store_pin_put(self(b)->engine->store, span_str(name), artifact, err))
        return true;
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
    uv_queue_work(e->engine->loop, &e->look_up, look_up_work, look_up_done);
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
    .pin = pin,
    .unpin = unpin,
};

struct builder *builder_engine_new(struct engine *e, const struct builder_engine_options *options,
                                   struct err *err)
{
    /* What an engine makes when first asked is made now: each build has a copy of it. */
    if (!engine_http(e, err))
        return NULL;
    engine_discovery(e);
    struct err ignored; /* a build that needs a sandbox tells why there is none */
    engine_sandbox_host(e, &ignored);
    struct builder_engine *b = MEM_NEW(struct builder_engine);
    b->base.ops = &ops;
    b->engine = e;
    b->o = *options;
    b->platform = engine_host_platform(e);
    pthread_mutex_init(&b->mutex, NULL);
    pthread_cond_init(&b->known, NULL);
    builder_engine_reload(&b->base);
    return &b->base;
}

void builder_engine_free(struct builder *b)
{
    if (!b)
        return;
    struct builder_engine *e = self(b);
    while (e->looking)
        uv_run(e->engine->loop, UV_RUN_ONCE);
    pthread_mutex_destroy(&e->mutex);
    pthread_cond_destroy(&e->known);
    json_decref(e->hosts);
    free(e);
}
