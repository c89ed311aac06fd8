/* SPDX-License-Identifier: Apache-2.0 */
/* build_apt.c - apt's part of a build: all .debs, then one installation, then its segments.
 *
 * A real installation is one piece of work, so its result is remembered as one: under the digest of
 * the locked packages and of the base's dpkg status. Its segments are remembered besides: those of
 * packages by their .deb (build_apt_debs.c), the others by what is in them, so that a second
 * installation with one more package unpacks and compresses only what is new. */
#include <fcntl.h>

#include "base/io.h"
#include "worker/build_apt_priv.h"
#include "worker/build_sdist.h"

bool build_apt_base(const struct build *b, struct digest *out, struct err *err)
{
    if (b->suite) { /* nothing is installed there */
        *out = digest_of(SPAN(""));
        return true;
    }
    AUTO_FD int fd = open("/var/lib/dpkg/status", O_RDONLY | O_CLOEXEC);
    AUTO_MAPPED struct io_map map = {0};
    if (fd < 0)
        return err_set(err, ERR_PLATFORM,
                       "this machine has no dpkg status: apt packages are "
                       "installed over a Debian base");
    if (!io_map_fd(fd, &map, err))
        return false;
    *out = digest_of(map.bytes);
    return true;
}

/* ---- what is remembered ------------------------------------------------------------------------
 */

static bool layer_key(struct build_apt *a, struct err *err)
{
    const struct build *b = a->manager->build;
    AUTO_JSON json_t *key = json_object(), *essence = lock_essence(b->result.lock);
    build_key_packing(key, b->request);
    json_object_set(key, "apt", lock_part(essence, "apt"));
    return json_canonical_digest(key, &a->key, err);
}

static bool recall_layer(struct build_apt *a)
{
    struct build *b = a->manager->build;
    AUTO_BUF struct buf text = BUF(32u << 20);
    struct err ignored;
    if (!store_memo_get(b->engine->store, "apt-layer", &a->key, &text, NULL))
        return false;
    AUTO_JSON json_t *memo = json_parse(buf_span(&text), &ignored);
    size_t before = b->units.n, i;
    json_t *row;
    json_array_foreach (json_object_get(memo, "parts"), i, row) {
        const char *name = json_get_str(row, "name");
        struct segment segment;
        if (!name || !build_apt_segment_there(b, json_object_get(row, "segment"), &segment)) {
            b->units.n = before;
            return false;
        }
        build_apt_add_unit(a->manager, name)->segment = segment;
    }
    json_array_extend(b->result.warnings, json_object_get(memo, "notes"));
    a->manager->progress.units = a->manager->progress.units_ready = b->units.n - before;
    return memo != NULL;
}

static void remember_layer(struct build_apt *a)
{
    struct build *b = a->manager->build;
    AUTO_JSON json_t *memo = json_object(), *parts = json_array();
    AUTO_BUF struct buf text = BUF(32u << 20);
    struct err ignored;
    for (size_t i = 0; i < a->unit_count; i++) {
        json_t *row = json_object();
        json_put_str(row, "name", a->units[i]->unit->name);
        json_object_set_new(row, "segment", segment_json(&a->units[i]->segment));
        json_array_append_new(parts, row);
    }
    json_object_set(memo, "parts", parts);
    json_object_set(memo, "notes", a->job.notes ? a->job.notes : b->result.warnings);
    if (!a->job.notes)
        json_object_del(memo, "notes");
    if (json_canonical(memo, &text, &ignored))
        store_memo_put(b->engine->store, "apt-layer", &a->key, buf_span(&text));
}

/* ---- segments ----------------------------------------------------------------------------------
 */

static void apt_over(struct build_apt *a)
{
    struct build *b = a->manager->build;
    struct err err = a->job.err;
    if (!err.code && !b->failed)
        remember_layer(a);
    if (a->job.notes && !err.code)
        json_array_extend(b->result.warnings, a->job.notes);
    apt_layer_release(&a->job);
    a->installing = false;
    b->open--;
    if (err.code) {
        build_fail(b, &err, a->manager, NULL, PHASE_INSTALL);
    } else if (!b->failed) {
        build_set_phase(a->manager, PHASE_PUBLISH);
        b->apt_ready = true;
        build_sdist_wake(b);
        if (--b->missing == 0)
            build_publish(b);
    }
    build_settle(b);
}

void build_apt_check_over(struct build_apt *a)
{
    if (a->installed && a->segments_open == 0 && a->debs_open == 0)
        apt_over(a);
}

static void on_part(struct segment_job *job)
{
    struct build_unit *u = job->ctx;
    struct build_apt *a = u->manager->apt;
    struct build *b = u->manager->build;
    u->building = false;
    u->segment = job->segment;
    if (job->err.code && !a->job.err.code)
        a->job.err = job->err;
    AUTO_JSON json_t *json = segment_json(&u->segment);
    AUTO_BUF struct buf text = BUF(64u << 10);
    struct err ignored;
    if (!job->err.code && json_canonical(json, &text, &ignored))
        store_memo_put(b->engine->store, "apt-part", &u->key, buf_span(&text));
    u->manager->progress.units_ready++;
    a->segments_open--;
    build_apt_check_over(a);
}

/* A part by its content: every field of every entry, and a hash of the bytes. */
static void content_key(const struct build *b, const struct segment_plan *plan, struct digest *out)
{
    struct hasher h;
    AUTO_BUF struct buf head = BUF(64u << 10);
    hasher_init(&h, HASH_SHA256);
    buf_printf(&head, "%d %lld %d\n", PACKER_VERSION, (long long)b->request->source_date_epoch,
               (int)b->request->compression);
    for (size_t i = 0; i < plan->entries.n; i++) {
        const struct segment_entry *e = &plan->entries.v[i];
        buf_printf(&head, "%d %o %u %u %lld %llu %zu %zu %zu\n", (int)e->type, e->mode, e->uid,
                   e->gid, (long long)e->mtime, (unsigned long long)e->size, e->path.len,
                   e->target.len, e->capability.len);
        hasher_update(&h, buf_span(&head));
        hasher_update(&h, e->path);
        hasher_update(&h, e->target);
        hasher_update(&h, e->bytes);
        if (e->capability.len)
            hasher_update(&h, e->capability);
        buf_reset(&head);
    }
    *out = hasher_digest(&h);
}

static bool recall_part(const struct build *b, struct build_unit *u)
{
    AUTO_BUF struct buf text = BUF(64u << 10);
    struct err ignored;
    if (!store_memo_get(b->engine->store, "apt-part", &u->key, &text, NULL))
        return false;
    AUTO_JSON json_t *json = json_parse(buf_span(&text), &ignored);
    return json && build_apt_segment_there(b, json, &u->segment);
}

struct keying {
    struct pool_task task;
    struct build_apt *apt;
};

static void key_work(struct pool_task *t)
{
    struct build_apt *a = container_of(t, struct keying, task)->apt;
    for (size_t i = 0; i < a->job.part_count; i++)
        content_key(a->manager->build, &a->job.parts[i].plan, &a->units[i]->key);
}

static void key_done(struct pool_task *t)
{
    struct build_apt *a = container_of(t, struct keying, task)->apt;
    struct build *b = a->manager->build;
    a->segments_open = 1;
    for (size_t i = 0; i < a->job.part_count && !b->failed; i++) {
        struct build_unit *u = a->units[i];
        if (recall_part(b, u)) {
            a->manager->progress.units_ready++;
            continue;
        }
        u->job = (struct segment_job){
            .store = b->engine->store,
            .packer = b->engine->packer,
            .plan = &a->job.parts[i].plan,
            .compression = b->request->compression,
            .source_date_epoch = b->request->source_date_epoch,
            .done = on_part,
            .ctx = u,
        };
        u->building = true;
        a->segments_open++;
        segment_build(&u->job);
    }
    a->segments_open--;
    build_apt_check_over(a);
}

static void on_installed(struct apt_layer_job *job)
{
    struct build_apt *a = job->ctx;
    struct build *b = a->manager->build;
    a->installed = true;
    if (job->err.code || b->failed) {
        build_apt_check_over(a);
        return;
    }
    a->units = arena_array(b->arena, job->part_count + a->deb_count + 1, sizeof(*a->units));
    for (size_t i = 0; i < job->part_count; i++)
        a->units[a->unit_count++] = build_apt_add_unit(a->manager, job->parts[i].name);
    build_apt_add_debs(a);
    a->manager->progress.units = a->unit_count;
    struct keying *k = ARENA_NEW(b->arena, struct keying);
    *k = (struct keying){.task = {.work = key_work, .done = key_done}, .apt = a};
    pool_submit(b->engine->pool, &k->task, INT64_MAX);
}

/* ---- the installation --------------------------------------------------------------------------
 */

static void on_line(struct apt_layer_job *job, const char *text)
{
    const struct build_apt *a = job->ctx;
    log_line(a->manager->build->engine->log, LOG_DEBUG, "dpkg: %s", text);
}

void build_apt_install(struct build_apt *a)
{
    struct build *b = a->manager->build;
    const json_t *removed = json_object_get(a->manager->part, "removed");
    struct err err = {0};
    size_t i;
    json_t *v;
    const struct sandbox_host *host = engine_sandbox_host(b->engine, &err);
    if (!host) {
        build_fail(b, &err, a->manager, NULL, PHASE_INSTALL);
        return;
    }
    struct apt_deb *debs = arena_array(b->arena, a->deb_count + 1, sizeof(*debs));
    for (i = 0; i < a->deb_count; i++) {
        const struct build_source *s = a->debs[i].source;
        debs[i] = (struct apt_deb){
            .name = json_get_str(s->package, "name"),
            .version = json_get_str(s->package, "version"),
            .arch = json_get_str(s->package, "arch"),
            .blob = s->fetch.blob,
            .tree = a->debs[i].tree,
        };
    }
    const char **names = arena_array(b->arena, json_array_size(removed) + 1, sizeof(*names));
    json_array_foreach (removed, i, v)
        names[i] = json_string_value(v);
    a->job = (struct apt_layer_job){
        .loop = b->engine->loop,
        .pool = b->engine->pool,
        .store = b->engine->store,
        .host = host,
        .log = b->engine->log,
        .debs = debs,
        .deb_count = a->deb_count,
        .base_dirs = b->suite ? &b->base_root : NULL,
        .base_count = b->suite ? 1 : 0,
        .merged = a->merged,
        .bootstrap = b->suite != NULL,
        .removed = names,
        .removed_count = json_array_size(removed),
        .source_date_epoch = b->request->source_date_epoch,
        .line = on_line,
        .done = on_installed,
        .ctx = a,
    };
    a->installing = true;
    b->open++;
    build_set_phase(a->manager, PHASE_INSTALL);
    apt_layer_start(&a->job);
}

static bool same_base(const struct build *b, const json_t *part, struct err *err)
{
    struct digest now, locked;
    if (!build_apt_base(b, &now, err))
        return false;
    if (!json_get_digest(part, "base", &locked) || !digest_eq(&now, &locked))
        return err_set(err, ERR_LOCK_INVALID,
                       "the lock was made over another set of installed packages than this base "
                       "has now; resolve again (build-env lock --refresh)");
    return true;
}

/* A .deb lies below the archive of the suite that listed it; a lock of another machine may know a
 * suite that no source here has: then any archive may have the file. */
static const char *deb_url(struct build *b, const json_t *package)
{
    struct err ignored = {0};
    const json_t *details = build_base_details(b, "apt", &ignored);
    const char *suite = json_get_str(package, "suite"), *origin = json_get_str(package, "origin");
    size_t i;
    json_t *source;
    json_array_foreach (json_object_get(details, "sources"), i, source) {
        const char *uri = json_get_str(source, "uri"), *its = json_get_str(source, "suite");
        if (uri && its && suite && origin && strcmp(its, suite) == 0)
            return arena_printf(b->arena, "%s%s%s", uri,
                                span_ends(span_str(uri), SPAN("/")) ? "" : "/", origin);
    }
    return origin;
}

/* A root that is made has its links as debootstrap makes them. */
static unsigned base_merged(const struct build *b)
{
    if (!b->suite)
        return apt_base_merged("/");
    return strcmp(b->request->platform->arch, "x86_64") == 0 ? 0x3f : 0x07;
}

/* The first packages of a root: those marked, and all that they require. */
static void find_first(struct build_apt *a)
{
    const struct build *b = a->manager->build;
    AUTO_MAP struct map packages = {0};
    VEC(const json_t *) open = {0};
    size_t i;
    json_t *p, *name;
    json_array_foreach (json_object_get(a->manager->part, "packages"), i, p) {
        map_put(&packages, json_get_span(p, "name"), p);
        if (b->suite && json_is_true(json_object_get(p, "essential")) &&
            map_put(&a->first, json_get_span(p, "name"), NULL))
            *VEC_PUSH(&open) = p;
    }
    while (open.n) {
        const json_t *each = open.v[--open.n];
        json_array_foreach (json_object_get(each, "requires"), i, name) {
            struct span s = span_str(json_string_value(name));
            p = map_get(&packages, s);
            if (p && map_put(&a->first, json_get_span(p, "name"), NULL))
                *VEC_PUSH(&open) = p;
        }
    }
    VEC_FREE(&open);
}

bool build_apt_start(struct build_manager *m, struct err *err)
{
    struct build *b = m->build;
    struct build_apt *a = m->apt = ARENA_NEW(b->arena, struct build_apt);
    size_t i;
    json_t *package;
    a->manager = m;
    if (!same_base(b, m->part, err) || !layer_key(a, err))
        return false;
    b->apt_ready = recall_layer(a);
    if (b->apt_ready)
        return true;
    b->missing++;
    a->merged = base_merged(b);
    find_first(a);
    const json_t *packages = json_object_get(m->part, "packages");
    a->debs = arena_array(b->arena, json_array_size(packages) + 1, sizeof(*a->debs));
    json_array_foreach (packages, i, package) {
        struct build_source *s = build_source_of(m, package, deb_url(b, package));
        if (s->users++ == 0)
            a->debs[a->deb_count++] = (struct build_deb){.apt = a, .source = s};
    }
    a->debs_missing = a->deb_count + 1;
    for (i = 0; i < a->deb_count; i++) {
        struct build_source *s = a->debs[i].source;
        if (s->state == SOURCE_READY)
            build_apt_source_ready(s);
        else
            build_source_start(s);
    }
    if (--a->debs_missing == 0)
        build_apt_install(a);
    return true;
}

void build_apt_cancel(struct build_manager *m)
{
    if (m->apt && m->apt->installing && !m->apt->job.part_count)
        apt_layer_cancel(&m->apt->job);
    if (m->apt)
        build_apt_cancel_debs(m->apt);
}
