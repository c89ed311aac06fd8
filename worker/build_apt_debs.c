/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/build_apt_priv.h"

struct build_unit *build_apt_add_unit(struct build_manager *m, const char *name)
{
    struct install_unit *unit = ARENA_NEW(m->build->arena, struct install_unit);
    struct build_unit *u = ARENA_NEW(m->build->arena, struct build_unit);
    unit->name = arena_str(m->build->arena, span_str(name));
    unit->kind = strcmp(name, "configured") == 0 ? "configured" : "deb";
    u->manager = m;
    u->unit = unit;
    *VEC_PUSH(&m->build->units) = u;
    return u;
}

bool build_apt_segment_there(const struct build *b, const json_t *json, struct segment *out)
{
    uint64_t size;
    return segment_from_json(json, out) && store_has_blob(b->engine->store, &out->blob, &size) &&
           size == out->size && store_has_blob(b->engine->store, &out->index, NULL);
}

/* ---- segments by package -----------------------------------------------------------------------
 */

/* A package's segment is made of its .deb alone, and of where /lib is. */
static bool deb_key(struct build_deb *d, struct err *err)
{
    const struct build *b = d->apt->manager->build;
    AUTO_JSON json_t *key = json_object();
    json_put_int(key, "packer", PACKER_VERSION);
    json_put_int(key, "epoch", b->request->source_date_epoch);
    json_put_str(key, "compression", b->request->compression == COMPRESS_GZIP ? "gzip" : "zstd");
    json_put_int(key, "form", d->form);
    json_put_digest(key, "deb", &d->source->fetch.blob);
    return json_canonical_digest(key, &d->key, err);
}

static bool recall_deb(struct build_deb *d)
{
    const struct build *b = d->apt->manager->build;
    AUTO_BUF struct buf text = BUF(64u << 10);
    struct err ignored;
    if (!deb_key(d, &ignored) || !store_memo_get(b->engine->store, "apt-deb", &d->key, &text, NULL))
        return false;
    AUTO_JSON json_t *json = json_parse(buf_span(&text), &ignored);
    return json && build_apt_segment_there(b, json, &d->segment);
}

static void remember_deb(const struct build_deb *d)
{
    AUTO_JSON json_t *json = segment_json(&d->segment);
    AUTO_BUF struct buf text = BUF(64u << 10);
    struct err ignored;
    if (json_canonical(json, &text, &ignored))
        store_memo_put(d->apt->manager->build->engine->store, "apt-deb", &d->key, buf_span(&text));
}

/* ---- one after the other -----------------------------------------------------------------------
 */

static void pump(struct build_apt *a);

static const char *deb_name(const struct build_deb *d)
{
    return json_get_str(d->source->package, "name");
}

static void deb_over(struct build_deb *d)
{
    struct build_apt *a = d->apt;
    struct build *b = a->manager->build;
    a->debs_open--;
    b->open--;
    if (d->err.code)
        build_fail(b, &d->err, a->manager, deb_name(d), PHASE_INSTALL);
    pump(a);
    build_apt_check_over(a);
    build_settle(b);
}

static void on_packed(struct segment_job *job)
{
    struct build_deb *d = job->ctx;
    d->packing = false;
    d->err = job->err;
    d->segment = job->segment;
    if (!d->err.code)
        remember_deb(d);
    if (d->unit)
        d->unit->segment = d->segment;
    deb_over(d);
}

static void pack(struct build_deb *d)
{
    const struct build *b = d->apt->manager->build;
    deb_tree_plan(d->tree, &d->plan);
    d->job = (struct segment_job){
        .store = b->engine->store,
        .packer = b->engine->packer,
        .plan = &d->plan,
        .compression = b->request->compression,
        .source_date_epoch = b->request->source_date_epoch,
        .done = on_packed,
        .ctx = d,
    };
    d->packing = true;
    segment_build(&d->job);
}

static void unpack_work(struct pool_task *t)
{
    struct build_deb *d = container_of(t, struct build_deb, task);
    struct store *store = d->apt->manager->build->engine->store;
    d->tree = deb_tree_open(store, &d->source->fetch.blob, d->form, !d->recalled, &d->err);
    /* What cannot be read here, dpkg may judge. */
    if (d->err.code == ERR_BAD_ARCHIVE || d->err.code == ERR_TOO_LARGE)
        err_clear(&d->err);
}

static void looked_at(struct build_apt *a)
{
    if (--a->debs_missing == 0 && !a->manager->build->failed)
        build_apt_install(a);
}

static void unpack_done(struct pool_task *t)
{
    struct build_deb *d = container_of(t, struct build_deb, task);
    struct build_apt *a = d->apt;
    if (!d->err.code)
        looked_at(a);
    if (!d->err.code && !a->manager->build->failed && d->tree && !d->tree->why_dpkg && !d->recalled)
        pack(d);
    else
        deb_over(d);
}

/* Each holds its package's content until it is packed, so only a few at once. */
static void pump(struct build_apt *a)
{
    struct build *b = a->manager->build;
    while (a->waiting.n && !b->failed && a->debs_open < pool_threads(b->engine->pool) + 2) {
        struct build_deb *d = a->waiting.v[0];
        memmove(a->waiting.v, a->waiting.v + 1, --a->waiting.n * sizeof(*a->waiting.v));
        a->debs_open++;
        b->open++;
        bool first = map_has(&a->first, json_get_span(d->source->package, "name"));
        d->form = a->merged | (first ? DEB_FIRST : 0);
        d->recalled = recall_deb(d);
        d->task = (struct pool_task){.work = unpack_work, .done = unpack_done};
        pool_submit(b->engine->pool, &d->task, json_get_int(d->source->package, "size", 0));
    }
}

void build_apt_source_ready(struct build_source *s)
{
    struct build_apt *a = s->manager->apt;
    if (!a)
        return;
    for (size_t i = 0; i < a->deb_count; i++)
        if (a->debs[i].source == s) {
            /* What replaces something that is installed is dpkg's anyway. */
            if (json_get_str(s->package, "replaces"))
                looked_at(a);
            else
                *VEC_PUSH(&a->waiting) = &a->debs[i];
        }
    pump(a);
}

void build_apt_add_debs(struct build_apt *a)
{
    for (size_t i = 0; i < a->deb_count; i++) {
        if (!a->job.debs[i].native)
            continue;
        struct build_unit *u = build_apt_add_unit(a->manager, deb_name(&a->debs[i]));
        a->units[a->unit_count++] = u;
        u->segment = a->debs[i].segment;
        a->debs[i].unit = u;
    }
}

void build_apt_cancel_debs(struct build_apt *a)
{
    a->waiting.n = 0;
    for (size_t i = 0; i < a->deb_count; i++)
        if (a->debs[i].packing)
            segment_build_cancel(&a->debs[i].job);
}

void build_apt_free(struct build_manager *m)
{
    struct build_apt *a = m->apt;
    for (size_t i = 0; a && i < a->deb_count; i++)
        deb_tree_free(a->debs[i].tree);
    if (a) {
        map_release(&a->first);
        VEC_FREE(&a->waiting);
    }
}
