/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/build_priv.h"
#include "worker/build_sdist.h"

#include <stdlib.h>

/* A package whose size nobody told: more than any real one, less than a disk. */
#define MAX_PACKAGE_BYTES (4ull << 30)

static const char *package_name(const json_t *package)
{
    const char *name = json_get_str(package, "name");
    return name ? name : "?";
}

static const char *source_name(const struct build_source *s)
{
    return package_name(s->package);
}

/* ---- fetching ---------------------------------------------------------------------------- */

static void source_ready(struct build_source *s)
{
    struct build *b = s->manager->build;
    s->state = SOURCE_READY;
    if (s->manager->ops->whole) {
        build_apt_source_ready(s);
        return;
    }
    while (s->waiting) {
        struct build_unit *u = s->waiting;
        s->waiting = u->next;
        build_runnable(u);
    }
    if (!b->installing && !build_sdist_is(s))
        build_ahead(s);
    build_pump(b);
}

void build_source_built(struct build_source *s)
{
    source_ready(s);
}

/* The promised bytes are there. */
static void source_arrived(struct build_source *s)
{
    if (!build_sdist_is(s)) {
        source_ready(s);
        return;
    }
    s->state = SOURCE_BUILDING;
    build_set_phase(s->manager, PHASE_INSTALL);
    build_sdist_wheel(s);
}

/* A tarball's or wheel's address may not tell whose it is, and one that cannot be asked for was
 * the registry's choice: what the user wrote is checked before. */
static void source_fail(struct build_source *s, struct err *err)
{
    const char *version = json_get_str(s->package, "version");
    if (err->code == ERR_INVALID)
        err->code = ERR_BAD_ARCHIVE;
    if (err->code != ERR_CANCELLED)
        err_put_context(err, "%s%s%s", source_name(s), version ? " " : "", version ? version : "");
    build_fail(s->manager->build, err, s->manager, source_name(s), PHASE_FETCH);
}

static void on_fetched(struct registry_fetch *f)
{
    struct build_source *s = f->ctx;
    struct build *b = s->manager->build;
    b->open--;
    s->state = SOURCE_NEW;
    /* A download begun on a hunch may fail unpunished: it is made again if it is needed. */
    if (f->err.code && s->users > 0) {
        source_fail(s, &f->err);
    } else if (!f->err.code && !b->failed) {
        if (!f->from_cache)
            b->result.received_bytes += f->size;
        source_arrived(s);
    }
    build_settle(b);
}

static void on_received(struct registry_fetch *f)
{
    struct build_source *s = f->ctx;
    uint64_t received = 0, total = 0;
    for (size_t i = 0; i < s->manager->sources.n; i++) {
        const struct build_source *each = s->manager->sources.v[i].value;
        received += each->fetch.received;
        total += each->fetch.total ? each->fetch.total : each->fetch.received;
    }
    s->manager->progress.received = received;
    s->manager->progress.total = total;
}

static void source_fetch(struct build_source *s)
{
    struct build *b = s->manager->build;
    int64_t size = json_get_int(s->package, "size", 0);
    s->fetch = (struct registry_fetch){
        .url = s->url,
        .expect_size = size > 0 ? (uint64_t)size : 0,
        .max_bytes = size > 0 ? (uint64_t)size : MAX_PACKAGE_BYTES,
        .progress = on_received,
        .done = on_fetched,
        .ctx = s,
    };
    hash_parse_text(json_get_span(s->package, "digest"), &s->fetch.expect);
    s->state = SOURCE_FETCHING;
    b->open++;
    registry_fetch(s->manager->registry, &s->fetch);
}

/* The promised blob may be there from another build; then nobody needs to be asked where the
 * package is. */
static bool in_store(struct build_source *s)
{
    struct hash promised;
    struct digest blob;
    uint64_t size;
    if (!hash_parse_text(json_get_span(s->package, "digest"), &promised) ||
        !store_find_hash(s->manager->build->engine->store, &promised, &blob) ||
        !store_has_blob(s->manager->build->engine->store, &blob, &size))
        return false;
    s->fetch.blob = blob;
    s->fetch.size = s->fetch.received = s->fetch.total = size;
    s->fetch.from_cache = true;
    return true;
}

static void on_located(struct locate_job *job)
{
    struct build_source *s = job->ctx;
    struct build *b = s->manager->build;
    b->open--;
    s->state = SOURCE_NEW;
    s->url = TAKE(job->url);
    if (job->err.code)
        source_fail(s, &job->err);
    else if (!b->failed && in_store(s)) /* a file of this machine went there */
        source_arrived(s);
    else if (!b->failed)
        source_fetch(s);
    build_settle(b);
}

void build_source_start(struct build_source *s)
{
    if (s->state != SOURCE_NEW)
        return;
    if (build_sdist_is(s) && build_sdist_recall(s)) {
        source_ready(s);
    } else if (in_store(s)) {
        source_arrived(s);
    } else if (s->url) {
        source_fetch(s);
    } else {
        s->state = SOURCE_LOCATING;
        s->manager->build->open++;
        s->locate = (struct locate_job){
            .package = s->package,
            .details = discovery_details(engine_discovery(s->manager->build->engine),
                                         s->manager->ops->manager),
            .pool = s->manager->build->engine->pool,
            .platform = s->manager->build->request->platform,
            .registry = s->manager->registry,
            .loop = s->manager->build->engine->loop,
            .done = on_located,
            .ctx = s,
        };
        s->manager->ops->locate(&s->locate);
    }
}

struct build_source *build_source_of(struct build_manager *m, const json_t *package,
                                     const char *url)
{
    struct span key = json_get_span(package, "digest");
    struct build_source *s = map_get(&m->sources, key);
    if (!s) {
        s = ARENA_NEW(m->build->arena, struct build_source);
        s->manager = m;
        s->package = json_incref((json_t *)(uintptr_t)package);
        s->url = mem_dup_str(url);
        map_put(&m->sources, json_get_span(s->package, "digest"), s);
    }
    return s;
}

void build_want_package(struct build_manager *m, const json_t *package, const char *url)
{
    struct hash promised;
    if (!m->build->failed && !m->build->request->lock_only &&
        hash_parse_text(json_get_span(package, "digest"), &promised))
        build_source_start(build_source_of(m, package, url));
}

/* ---- units ------------------------------------------------------------------------------- */

/* Everything that decides a segment's bytes. */
bool build_unit_key(struct build_unit *u, struct err *err)
{
    AUTO_JSON json_t *key = json_object();
    build_key_packing(key, u->manager->build->request);
    json_put_str(key, "manager", u->manager->ops->manager);
    json_put_str(key, "kind", u->unit->kind);
    json_object_set(key, "unit", u->unit->key);
    return json_canonical_digest(key, &u->key, err);
}

bool build_unit_recall(struct build_unit *u)
{
    const struct build *b = u->manager->build;
    AUTO_BUF struct buf text = BUF(64u << 10);
    struct err ignored;
    if (!store_memo_get(b->engine->store, "segment", &u->key, &text, NULL))
        return false;
    AUTO_JSON json_t *json = json_parse(buf_span(&text), &ignored);
    uint64_t size;
    return json && segment_from_json(json, &u->segment) &&
           store_has_blob(b->engine->store, &u->segment.blob, &size) && size == u->segment.size &&
           store_has_blob(b->engine->store, &u->segment.index, NULL);
}

static void remember_segment(const struct build *b, const struct build_unit *u)
{
    AUTO_JSON json_t *json = segment_json(&u->segment);
    AUTO_BUF struct buf text = BUF(64u << 10);
    struct err ignored;
    if (json_canonical(json, &text, &ignored))
        store_memo_put(b->engine->store, "segment", &u->key, buf_span(&text));
}

void build_runnable(struct build_unit *u)
{
    struct build *b = u->manager->build;
    *VEC_PUSH(&b->runnable) = u;
    for (size_t i = b->runnable.n - 1;
         i > 0 && b->runnable.v[i - 1]->unit->weight_bytes < u->unit->weight_bytes; i--) {
        b->runnable.v[i] = b->runnable.v[i - 1];
        b->runnable.v[i - 1] = u;
    }
}

void build_unit_ready(struct build_unit *u)
{
    struct build *b = u->manager->build;
    u->manager->progress.units_ready++;
    if (u->manager->progress.units_ready == u->manager->progress.units)
        build_set_phase(u->manager, PHASE_PUBLISH);
    if (--b->missing == 0)
        build_publish(b);
    else
        build_pump(b);
}

static void unit_over(struct build_unit *u)
{
    struct build *b = u->manager->build;
    b->open--;
    b->running--;
    if (u->source && --u->source->pending == 0)
        io_unmap(&u->source->map);
    if (u->ahead)
        build_ahead_over(u);
    else if (u->err.code)
        build_fail(b, &u->err, u->manager, u->unit->name, PHASE_INSTALL);
    else if (!b->failed)
        build_unit_ready(u);
    build_settle(b);
}

static void on_segment(struct segment_job *job)
{
    struct build_unit *u = job->ctx;
    u->building = false;
    u->err = job->err;
    u->segment = job->segment;
    if (!u->err.code)
        remember_segment(u->manager->build, u);
    unit_over(u);
}

static void fill_work(struct pool_task *t)
{
    struct build_unit *u = container_of(t, struct build_unit, task);
    if (!u->manager->ops->fill(u->context, u->unit, u->source ? &u->source->map : NULL, &u->plan,
                               &u->err) &&
        !u->err.code)
        err_set(&u->err, ERR_INTERNAL, "%s could not be installed", u->unit->name);
}

static void fill_done(struct pool_task *t)
{
    struct build_unit *u = container_of(t, struct build_unit, task);
    struct build *b = u->manager->build;
    if (u->err.code || b->failed) {
        segment_plan_release(&u->plan);
        unit_over(u);
        return;
    }
    u->job = (struct segment_job){
        .store = b->engine->store,
        .packer = b->engine->packer,
        .plan = &u->plan,
        .compression = b->request->compression,
        .source_date_epoch = b->request->source_date_epoch,
        .done = on_segment,
        .ctx = u,
    };
    u->building = true;
    segment_build(&u->job);
}

static void unit_start(struct build_unit *u)
{
    struct build *b = u->manager->build;
    b->running++;
    b->open++;
    if (!u->ahead)
        build_set_phase(u->manager, PHASE_INSTALL);
    if (u->source && !u->source->map.base &&
        !store_map_blob(b->engine->store, &u->source->fetch.blob, &u->source->map, &u->err)) {
        unit_over(u);
        return;
    }
    segment_plan_init(&u->plan);
    u->task.work = fill_work;
    u->task.done = fill_done;
    int64_t weight = u->unit->weight_bytes > INT32_MAX ? INT32_MAX : (int64_t)u->unit->weight_bytes;
    pool_submit(b->engine->pool, &u->task, weight);
}

/* As many units at once as keep the threads busy, and no more: each holds its memory. */
void build_pump(struct build *b)
{
    size_t limit = pool_threads(b->engine->pool) + 2;
    while (!b->failed && b->runnable.n && b->running < limit &&
           (b->installing || b->runnable.v[0]->ahead)) {
        struct build_unit *u = b->runnable.v[0];
        memmove(b->runnable.v, b->runnable.v + 1, --b->runnable.n * sizeof(*b->runnable.v));
        unit_start(u);
    }
}

struct install_context build_context(const struct build_manager *m, const json_t *lock)
{
    const struct build_request *r = m->build->request;
    return (struct install_context){
        .lock = lock,
        .platform = r->platform,
        .policy = r->policy,
        .options = {.bytecode = r->bytecode},
        .log = m->build->engine->log,
    };
}

static bool list_units(struct build_manager *m, struct err *err)
{
    struct build *b = m->build;
    m->context = build_context(m, m->part);
    m->context.build_inputs = lock_has_builds(b->result.lock) ? build_sdist_inputs(b) : NULL;
    m->units.arena = b->arena;
    if (!m->ops->units(&m->context, &m->units, err))
        return false;
    for (size_t i = 0; i < m->units.list.n; i++) {
        struct build_unit *u = ARENA_NEW(b->arena, struct build_unit);
        u->manager = m;
        u->unit = &m->units.list.v[i];
        u->context = &m->context;
        *VEC_PUSH(&b->units) = u;
        if (!build_unit_key(u, err))
            return false;
    }
    m->progress.units = m->units.list.n;
    return true;
}

/* Two packages may come from one file (npm places a package in several folders). */
void build_unit_source(struct build_unit *u)
{
    if (!u->unit->package) {
        build_runnable(u);
        return;
    }
    u->source = build_source_of(u->manager, u->unit->package, NULL);
    u->source->users++;
    u->source->pending++;
    if (u->source->state == SOURCE_READY) {
        build_runnable(u);
    } else {
        u->next = u->source->waiting;
        u->source->waiting = u;
    }
}

bool build_start_install(struct build *b, struct err *err)
{
    for (size_t i = 0; i < b->manager_count; i++)
        if (!b->managers[i].ops->whole && !list_units(&b->managers[i], err)) {
            build_fail(b, err, &b->managers[i], NULL, PHASE_INSTALL);
            return false;
        }
    for (size_t i = 0; i < b->units.n; i++) {
        struct build_unit *u = b->units.v[i];
        if (build_unit_recall(u)) {
            u->manager->progress.units_ready++;
            continue;
        }
        b->missing++;
        if (!build_ahead_adopt(u))
            build_unit_source(u);
    }
    build_ahead_drop(b);
    b->installing = true;
    for (size_t i = 0; i < b->manager_count; i++)
        if (b->managers[i].ops->whole && !build_apt_start(&b->managers[i], err)) {
            build_fail(b, err, &b->managers[i], NULL, PHASE_INSTALL);
            return false;
        }
    for (size_t i = 0; i < b->manager_count; i++) {
        struct build_manager *m = &b->managers[i];
        build_set_phase(m,
                        m->progress.units_ready == m->progress.units ? PHASE_PUBLISH : PHASE_FETCH);
        for (size_t k = 0; k < m->sources.n && !b->failed; k++) {
            struct build_source *s = m->sources.v[k].value;
            if (s->waiting)
                build_source_start(s);
        }
    }
    if (b->missing == 0 && !b->failed)
        build_publish(b);
    build_pump(b);
    return true;
}

void build_drop_hunches(struct build *b)
{
    for (size_t i = 0; i < b->manager_count; i++)
        for (size_t k = 0; k < b->managers[i].sources.n; k++) {
            struct build_source *s = b->managers[i].sources.v[k].value;
            if (s->state == SOURCE_FETCHING && s->users == 0)
                registry_fetch_cancel(&s->fetch);
        }
    build_ahead_drop(b);
}

void build_unit_cancel(struct build_unit *u)
{
    if (u->building)
        segment_build_cancel(&u->job);
}

void build_cancel_install(struct build *b)
{
    b->runnable.n = 0;
    for (size_t i = 0; i < b->manager_count; i++)
        for (size_t k = 0; k < b->managers[i].sources.n; k++) {
            struct build_source *s = b->managers[i].sources.v[k].value;
            s->waiting = NULL;
            if (s->state == SOURCE_FETCHING)
                registry_fetch_cancel(&s->fetch);
        }
    for (size_t i = 0; i < b->manager_count; i++)
        build_apt_cancel(&b->managers[i]);
    for (size_t i = 0; i < b->units.n; i++)
        build_unit_cancel(b->units.v[i]);
    build_ahead_cancel(b);
}

void build_free_install(struct build *b)
{
    build_ahead_free(b);
    for (size_t i = 0; i < b->manager_count; i++) {
        struct build_manager *m = &b->managers[i];
        for (size_t k = 0; k < m->sources.n; k++) {
            struct build_source *s = m->sources.v[k].value;
            io_unmap(&s->map);
            json_decref(s->package);
            free(s->url);
        }
        build_apt_free(m);
        map_release(&m->sources);
        for (size_t k = 0; k < m->units.list.n; k++)
            json_decref(m->units.list.v[k].key);
        VEC_FREE(&m->units.list);
    }
    VEC_FREE(&b->units);
    VEC_FREE(&b->runnable);
}
