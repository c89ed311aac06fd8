/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/build_priv.h"
#include "worker/build_sdist.h"

#include <assert.h>

#include "base/plain.h"

const char *build_phase_name(enum build_phase phase)
{
    static const char *const names[] = {"waiting", "resolve", "fetch",
                                        "install", "publish", "done"};
    return names[phase];
}

const struct build_result *build_result(const struct build *b)
{
    return &b->result;
}

size_t build_progress(const struct build *b, const struct build_progress **list)
{
    struct build *mutable = (struct build *)(uintptr_t)b;
    for (size_t i = 0; i < b->manager_count; i++)
        mutable->progress[i] = b->managers[i].progress;
    *list = b->progress;
    return b->manager_count;
}

void build_set_phase(struct build_manager *m, enum build_phase phase)
{
    if (m->progress.phase == phase)
        return;
    int64_t now_ms = io_monotonic_ms();
    m->progress.phase_ms[m->progress.phase] += now_ms - m->phase_since_ms;
    m->progress.phase = phase;
    m->phase_since_ms = now_ms;
}

/* ---- the end ----------------------------------------------------------------------------- */

static void on_timer_closed(uv_handle_t *h)
{
    struct build *b = container_of((uv_timer_t *)h, struct build, timer);
    b->result.total_ms = io_monotonic_ms() - b->started_ms;
    b->done(b, b->ctx);
}

void build_settle(struct build *b)
{
    if (b->open > 0 || b->finished)
        return;
    b->finished = true;
    if (b->holding)
        store_unhold(b->engine->store);
    for (size_t i = 0; i < b->manager_count; i++) {
        if (!b->failed)
            build_set_phase(&b->managers[i], PHASE_DONE);
        registry_client_free(TAKE(b->managers[i].registry));
    }
    uv_close((uv_handle_t *)&b->timer, on_timer_closed);
}

static void cancel_all(struct build *b)
{
    for (size_t i = 0; i < b->manager_count; i++)
        if (b->managers[i].resolving)
            b->managers[i].ops->cancel(&b->managers[i].job);
    build_sdist_cancel(b);
    build_cancel_install(b);
}

void build_fail(struct build *b, const struct err *err, const struct build_manager *m,
                const char *package, enum build_phase phase)
{
    if (b->failed)
        return;
    b->failed = true;
    b->result.err = *err;
    b->result.manager = m ? m->ops->manager : NULL;
    b->result.package = package;
    b->result.phase = phase;
    if (m && !b->cancelled)
        err_wrap(&b->result.err, "%s", m->ops->manager);
    cancel_all(b);
}

void build_cancel(struct build *b)
{
    struct err err = {0};
    if (b->finished || b->failed)
        return;
    b->cancelled = true;
    b->open++;
    err_set(&err, ERR_CANCELLED, "the build was cancelled");
    build_fail(b, &err, NULL, NULL, PHASE_WAITING);
    b->open--;
    uv_timer_stop(&b->timer);
    build_settle(b);
}

void build_free(struct build *b)
{
    if (!b)
        return;
    assert(b->finished);
    build_sdist_free(b);
    build_free_install(b);
    for (size_t i = 0; i < b->manager_count; i++) {
        json_decref(b->managers[i].part);
        json_decref(b->managers[i].job.warnings);
        free(b->managers[i].specs);
    }
    artifact_free(b->artifact);
    json_decref(b->result.lock);
    json_decref(b->result.warnings);
    json_decref(b->apt_details);
    arena_free(b->arena);
    free(b);
}

/* ---- keys and memories ------------------------------------------------------------------- */

void build_key_packing(json_t *key, const struct build_request *r)
{
    json_put_int(key, "packer", PACKER_VERSION);
    json_put_int(key, "epoch", r->source_date_epoch);
    json_put_str(key, "compression", r->compression == COMPRESS_GZIP ? "gzip" : "zstd");
}

static void put_options(json_t *key, const struct build_request *r)
{
    build_key_packing(key, r);
    json_object_set_new(key, "bytecode", json_boolean(r->bytecode));
}

bool build_key(const json_t *lock, const struct build_request *request, struct digest *out,
               struct err *err)
{
    AUTO_JSON json_t *key = json_object();
    put_options(key, request);
    json_object_set_new(key, "lock", lock_essence(lock));
    struct digest base;
    if (lock_has_builds(lock) && build_sdist_base(request, &base))
        json_put_digest(key, "base", &base);
    return json_canonical_digest(key, out, err);
}

/* What was asked, of whom: equal requests within the TTL have equal answers. */
static bool request_key(struct build *b, struct err *err)
{
    const struct build_request *r = b->request;
    AUTO_JSON json_t *key = json_object(), *policy = json_object(), *scripts = json_array();
    put_options(key, r);
    json_object_set(key, "packages", (json_t *)(uintptr_t)r->packages);
    json_object_set_new(key, "platform", platform_json(r->platform));
    json_put_int(policy, "exclude_newer_ms", r->policy->exclude_newer_ms);
    json_object_set_new(policy, "prerelease", json_boolean(r->policy->prerelease));
    json_object_set_new(policy, "only_binary", json_boolean(r->policy->only_binary));
    for (size_t i = 0; i < r->policy->allow_script_count; i++)
        json_array_append_new(scripts, json_string(r->policy->allow_scripts[i]));
    json_object_set(policy, "allow_scripts", scripts);
    json_object_set(key, "policy", policy);
    struct digest base;
    json_put_str(key, "suite", b->suite);
    if (b->suite || json_array_size(json_object_get(r->packages, "apt")) > 0) {
        if (!build_apt_base(b, &base, err))
            return false;
        json_put_digest(key, "base", &base);
    }
    if (r->lock)
        json_object_set(key, "lock", (json_t *)(uintptr_t)r->lock);
    if (r->previous)
        json_object_set(key, "previous", (json_t *)(uintptr_t)r->previous);
    return json_canonical_digest(key, &b->request_key, err);
}

static bool load_lock(struct build *b, const struct digest *digest)
{
    struct err ignored;
    AUTO_MAPPED struct io_map map = {0};
    if (!store_map_blob(b->engine->store, digest, &map, &ignored))
        return false;
    AUTO_JSON json_t *lock = json_parse(map.bytes, &ignored);
    if (!lock || !lock_check(lock, &ignored))
        return false;
    json_decref(b->result.lock);
    b->result.lock = TAKE(lock);
    b->result.lock_digest = *digest;
    return true;
}

/* The request was answered a moment ago (or, offline, ever): the same answer holds. */
static bool recall(struct build *b)
{
    AUTO_BUF struct buf text = BUF(1u << 20);
    int64_t age_ms;
    struct err ignored;
    struct digest lock, artifact;
    if (b->request->refresh ||
        !store_memo_get(b->engine->store, "request", &b->request_key, &text, &age_ms))
        return false;
    bool fresh = b->request->lock || b->request->offline || b->request->forbidden ||
                 (age_ms >= 0 && age_ms < BUILD_REQUEST_TTL_MS);
    AUTO_JSON json_t *memo = fresh ? json_parse(buf_span(&text), &ignored) : NULL;
    if (!memo || !json_get_digest(memo, "lock", &lock))
        return false;
    json_t *warnings = json_object_get(memo, "warnings");
    struct digest then, now;
    if (json_get_digest(memo, "base", &then) &&
        (!build_sdist_base(b->request, &now) || !digest_eq(&then, &now)))
        return false;
    if (b->request->lock_only) {
        b->result.recalled = load_lock(b, &lock);
    } else if (json_get_digest(memo, "artifact", &artifact) &&
               (!b->request->with_lock || load_lock(b, &lock)) &&
               artifact_use(b->engine->store, &artifact)) {
        b->result.lock_digest = lock;
        b->result.artifact = artifact;
        b->result.recalled = b->result.cached = true;
    }
    if (b->result.recalled && json_is_array(warnings))
        json_array_extend(b->result.warnings, warnings);
    return b->result.recalled;
}

static void remember(struct build *b)
{
    AUTO_JSON json_t *memo = json_object();
    AUTO_BUF struct buf text = BUF(1u << 20);
    struct err ignored;
    json_put_digest(memo, "lock", &b->result.lock_digest);
    if (!b->request->lock_only)
        json_put_digest(memo, "artifact", &b->result.artifact);
    json_object_set(memo, "warnings", b->result.warnings);
    struct digest base;
    if (lock_has_builds(b->result.lock) && build_sdist_base(b->request, &base))
        json_put_digest(memo, "base", &base);
    if (json_canonical(memo, &text, &ignored))
        store_memo_put(b->engine->store, "request", &b->request_key, buf_span(&text));
}

/* ---- publish ----------------------------------------------------------------------------- */

/* PATH entries, variables and programs of all managers. */
static void session_environment(struct build *b, json_t *path, json_t *env, json_t *bins)
{
    for (size_t i = 0; i < b->manager_count; i++)
        b->managers[i].ops->environment(&b->managers[i].context, path, env, bins);
}

static bool publish(struct build *b, struct err *err)
{
    AUTO_JSON json_t *path = json_array(), *env = json_object(), *bins = json_array();
    AUTO_JSON json_t *essence = lock_essence(b->result.lock);
    AUTO_JSON json_t *platform = platform_json(b->request->platform);
    session_environment(b, path, env, bins);
    AUTO_FREE struct artifact_part *parts = mem_array(b->units.n, sizeof(*parts));
    for (size_t i = 0; i < b->units.n; i++)
        parts[i] = (struct artifact_part){
            .manager = b->units.v[i]->manager->ops->manager,
            .name = b->units.v[i]->unit->name,
            .kind = b->units.v[i]->unit->kind,
            .segment = b->units.v[i]->segment,
        };
    struct artifact_spec spec = {
        .name = b->request->name,
        .parts = parts,
        .part_count = b->units.n,
        .lock = essence,
        .path = path,
        .env = env,
        .bins = bins,
        .platform = platform,
        .source_date_epoch = b->request->source_date_epoch,
        .compression = b->request->compression,
    };
    return artifact_publish(b->engine->store, &spec, &b->artifact, err) &&
           artifact_put_key(b->engine->store, &b->key, &b->artifact->digest, err);
}

static void publish_work(struct pool_task *t)
{
    struct build *b = container_of(t, struct build, publish);
    publish(b, &b->publish_err);
}

static void publish_done(struct pool_task *t)
{
    struct build *b = container_of(t, struct build, publish);
    b->open--;
    if (b->publish_err.code) {
        build_fail(b, &b->publish_err, NULL, NULL, PHASE_PUBLISH);
    } else if (!b->failed) {
        b->result.artifact = b->artifact->digest;
        remember(b);
    }
    build_settle(b);
}

void build_publish(struct build *b)
{
    build_drop_hunches(b);
    b->open++;
    b->publish.work = publish_work;
    b->publish.done = publish_done;
    pool_submit(b->engine->pool, &b->publish, INT64_MAX);
}

/* ---- lock -------------------------------------------------------------------------------- */

static bool store_lock(struct build *b, struct err *err)
{
    AUTO_BUF struct buf text = BUF(LOCK_MAX_BYTES);
    return json_canonical(b->result.lock, &text, err) &&
           store_put_blob(b->engine->store, buf_span(&text), &b->result.lock_digest, err);
}

/* All parts are known: is the artifact? */
static bool locked(struct build *b, struct err *err)
{
    if (!store_lock(b, err))
        return false;
    if (b->request->lock_only) {
        build_drop_hunches(b);
        remember(b);
        return true;
    }
    if (!build_key(b->result.lock, b->request, &b->key, err))
        return false;
    /* Asked anew, each segment is looked for: a store that lost some makes them again. */
    if (!b->request->refresh && artifact_find_key(b->engine->store, &b->key, &b->result.artifact) &&
        store_has_blob(b->engine->store, &b->result.artifact, NULL)) {
        b->result.cached = true;
        build_drop_hunches(b);
        remember(b);
        return true;
    }
    return build_start_install(b, err);
}

static void assemble_lock(struct build *b)
{
    struct err err = {0};
    b->result.lock = lock_new(b->request->platform);
    for (size_t i = 0; i < b->manager_count; i++)
        lock_put(b->result.lock, b->managers[i].ops->manager, json_incref(b->managers[i].part));
    if (!locked(b, &err))
        build_fail(b, &err, NULL, NULL, PHASE_RESOLVE);
}

static void take_warnings(struct build *b, const struct build_manager *m)
{
    size_t i;
    json_t *text;
    json_array_foreach (m->job.warnings, i, text) {
        AUTO_BUF struct buf line = BUF(8192);
        buf_printf(&line, "%s: %s", m->ops->manager, json_string_value(text));
        line.len = plain_text(line.ptr, line.len, PLAIN_ONE_LINE);
        json_array_append_new(b->result.warnings, json_stringn(line.ptr, line.len));
    }
}

static void resolve_again(struct build_manager *m);

/* A page may be some minutes old, and the release that is missing in it just published: before
 * that is an error, the registry is asked anew, once. */
static bool is_worth_another_look(struct build_manager *m)
{
    enum err_code code = m->job.err.code;
    return (code == ERR_UNRESOLVABLE || code == ERR_NO_PACKAGE || code == ERR_NEEDS_BUILD) &&
           !m->build->failed && !m->renewed && registry_client_renew(m->registry);
}

static void on_resolved(struct resolve_job *job)
{
    struct build_manager *m = job->ctx;
    struct build *b = m->build;
    b->open--;
    m->resolving = false;
    m->part = TAKE(job->lock);
    if (job->err.code && is_worth_another_look(m)) {
        resolve_again(m);
        return;
    }
    if (job->err.code) {
        build_fail(b, &job->err, m, NULL, PHASE_RESOLVE);
    } else if (!b->failed) {
        build_set_phase(m, PHASE_FETCH);
        if (m->ops->whole)
            build_sdist_wake(b);
        if (--b->resolving == 0) {
            for (size_t i = 0; i < b->manager_count; i++)
                take_warnings(b, &b->managers[i]);
            b->open++; /* nothing ends while this step runs */
            assemble_lock(b);
            b->open--;
        }
    }
    build_settle(b);
}

static void on_choose(struct resolve_job *job, const json_t *package, const char *url)
{
    build_want_package(job->ctx, package, url);
}

static void on_progress(struct resolve_job *job, size_t known, size_t resolved)
{
    struct build_manager *m = job->ctx;
    m->progress.known = known;
    m->progress.resolved = resolved;
}

static bool start_resolve(struct build_manager *m, const json_t *specs, struct err *err)
{
    struct build *b = m->build;
    const json_t *details = build_base_details(b, m->ops->manager, err);
    if (!details && err->code)
        return false;
    size_t i;
    json_t *spec;
    m->specs = mem_array(json_array_size(specs) + 1, sizeof(*m->specs));
    json_array_foreach (specs, i, spec)
        m->specs[i] = json_string_value(spec);
    m->job = (struct resolve_job){
        .specs = m->specs,
        .spec_count = json_array_size(specs),
        .platform = b->request->platform,
        .policy = b->request->policy,
        .registry = m->registry,
        .loop = b->engine->loop,
        .pool = b->engine->pool,
        .log = b->engine->log,
        .details = details,
        .base_root = m->ops->whole ? b->base_root : NULL,
        .bootstrap = m->ops->whole ? b->suite : NULL,
        .previous = b->request->previous ? lock_part(b->request->previous, m->ops->manager) : NULL,
        .choose = on_choose,
        .progress = on_progress,
        .build = build_sdist_probe,
        .done = on_resolved,
        .ctx = m,
    };
    m->resolving = true;
    b->resolving++;
    b->open++;
    build_set_phase(m, PHASE_RESOLVE);
    m->ops->resolve(&m->job);
    return true;
}

static void resolve_again(struct build_manager *m)
{
    struct build *b = m->build;
    struct err err = {0};
    m->renewed = true;
    b->resolving--;
    json_decref(TAKE(m->job.warnings));
    free(TAKE(m->specs));
    if (!start_resolve(m, json_object_get(b->request->packages, m->ops->manager), &err))
        build_fail(b, &err, m, NULL, PHASE_RESOLVE);
    build_settle(b);
}

/* ---- the beginning ----------------------------------------------------------------------- */

/* Connections that will be needed are opened while the specs are still being looked at: the
 * registry's, and that of the files where the client tells it. */
static void connect_ahead(struct build_manager *m)
{
    const json_t *details = discovery_details(engine_discovery(m->build->engine), m->ops->manager);
    const char *files = json_get_str(details, "files_host");
    registry_preconnect(m->registry, NULL);
    if (files) {
        AUTO_FREE char *url = mem_printf("https://%s/", files);
        registry_preconnect(m->registry, url);
    }
}

static bool open_registry(struct build_manager *m, struct err *err)
{
    struct build *b = m->build;
    struct engine *e = b->engine;
    const struct registry *registry = discovery_registry(engine_discovery(e), m->ops->manager, err);
    const json_t *details = discovery_details(engine_discovery(e), m->ops->manager);
    struct http_client *http =
        registry ? engine_http(e, json_get_str(details, "ca_file"), err) : NULL;
    if (!http)
        return false;
    struct registry_options options = {
        .offline = b->request->offline,
        .refresh = b->request->refresh,
        .forbidden = b->request->forbidden,
    };
    m->registry = registry_client_new(e->loop, http, e->store, e->pool, registry, &options, e->log);
    if (!b->request->lock)
        connect_ahead(m);
    return true;
}

static bool add_managers(struct build *b, struct err *err)
{
    for (size_t i = 0; i < RESOLVER_COUNT; i++) {
        const struct resolver_ops *ops = resolvers[i];
        const json_t *specs = json_object_get(b->request->packages, ops->manager);
        bool wanted = b->request->lock ? lock_part(b->request->lock, ops->manager) != NULL
                                       : json_array_size(specs) > 0 || (b->suite && ops->whole);
        if (!wanted)
            continue;
        struct build_manager *m = &b->managers[b->manager_count++];
        m->build = b;
        m->ops = ops;
        m->progress.manager = ops->manager;
        m->phase_since_ms = b->started_ms;
        if (ops->unsupported) {
            err_set(err, ERR_UNSUPPORTED, "%s", ops->unsupported);
            build_fail(b, err, m, NULL, PHASE_RESOLVE);
            return false;
        }
    }
    return true;
}

static bool begin(struct build *b, struct err *err)
{
    if (!build_base_open(b, err) || !add_managers(b, err) || !request_key(b, err) ||
        !store_hold(b->engine->store, err))
        return false;
    b->holding = true;
    if (recall(b))
        return true;
    for (size_t i = 0; i < b->manager_count; i++)
        if (!open_registry(&b->managers[i], err)) {
            build_fail(b, err, &b->managers[i], NULL, PHASE_RESOLVE);
            return false;
        }
    if (b->request->lock) {
        b->result.lock = json_incref((json_t *)(uintptr_t)b->request->lock);
        for (size_t i = 0; i < b->manager_count; i++)
            b->managers[i].part =
                json_incref(lock_part(b->result.lock, b->managers[i].ops->manager));
        return locked(b, err);
    }
    for (size_t i = 0; i < b->manager_count && !b->failed; i++)
        if (!start_resolve(&b->managers[i],
                           json_object_get(b->request->packages, b->managers[i].ops->manager),
                           err)) {
            build_fail(b, err, &b->managers[i], NULL, PHASE_RESOLVE);
            return false;
        }
    if (b->manager_count == 0)
        assemble_lock(b);
    return true;
}

static void on_start(uv_timer_t *timer)
{
    struct build *b = container_of(timer, struct build, timer);
    struct err err = {0};
    if (b->finished)
        return;
    b->open++;
    if (!begin(b, &err))
        build_fail(b, &err, NULL, NULL, PHASE_RESOLVE);
    b->open--;
    build_settle(b);
}

struct build *build_start(struct engine *e, const struct build_request *request,
                          void (*done)(struct build *b, void *ctx), void *ctx)
{
    struct build *b = MEM_NEW(struct build);
    b->engine = e;
    b->request = request;
    b->done = done;
    b->ctx = ctx;
    b->arena = arena_new();
    b->result.warnings = json_array();
    b->started_ms = io_monotonic_ms();
    uv_timer_init(e->loop, &b->timer);
    uv_timer_start(&b->timer, on_start, 0, 0);
    return b;
}
