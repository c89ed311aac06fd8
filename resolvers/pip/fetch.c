/* SPDX-License-Identifier: Apache-2.0 */
/* A release's metadata, by the cheapest way there is: the separate file where the index
 * advertises one; else the end of the wheel, its central directory and the METADATA entry by
 * ranges (remote_zip.c); for an sdist the whole archive. */
#include "base/io.h"
#include "cache/store.h"
#include "resolvers/archive/zip.h"
#include "resolvers/pip/fetch_priv.h"
#include "resolvers/pip/links.h"

static void get_done(struct registry_get *get);
static void sdist_done(struct registry_fetch *fetch);

char *pip_file_url(const struct pip_project *p, const struct pip_file *f)
{
    AUTO_BUF struct buf base = BUF(16u << 10), url = BUF(16u << 10);
    if (p->direct_url.len)
        return mem_dup(p->direct_url);
    const struct pip_source *s = &p->sources[f->source];
    if (!s->page_url)
        return mem_dup(f->url);
    if (!url_join(span_str(s->page_url), s->page.base, false, &base) ||
        !url_join(buf_span(&base), f->url, false, &url))
        return NULL;
    return buf_take(&url);
}

static void fetch_start(struct pip_fetch *f, const char *url, const char *range, uint64_t max)
{
    struct pip_resolve *r = f->rel->project->resolve;
    f->get = (struct registry_get){.path = url,
                                   .range = range,
                                   .immutable = true,
                                   .max_bytes = max,
                                   .priority = 8,
                                   .done = get_done,
                                   .ctx = f};
    r->pending++;
    f->active = true;
    registry_get(r->job->registry, &f->get);
}

void pip_release_fail(struct pip_release *rel, bool fatal, enum err_code code, const char *text)
{
    err_set(&rel->err, code, "%.*s %s (%.*s): %s", SPAN_ARG(rel->project->name),
            rel->version.text.ptr, SPAN_ARG(rel->file->filename), text);
    rel->state = PIP_FAILED;
    rel->fatal = fatal;
}

static void fetch_failed(struct pip_fetch *f, bool fatal, enum err_code code, const char *text)
{
    pip_release_fail(f->rel, fatal, code, text);
}

bool pip_take_metadata(struct pip_release *rel, struct span text)
{
    struct err err = {0};
    if (!pip_metadata_parse(text, rel->project->resolve->arena, &rel->metadata, &err)) {
        pip_release_fail(rel, false, err.code, err.text);
    } else if (!pip_metadata_is(&rel->metadata, rel->project->name, &rel->version)) {
        err_set(&err, ERR_BAD_ARCHIVE, "its metadata is that of %.*s %.*s",
                SPAN_ARG(rel->metadata.name), SPAN_ARG(rel->metadata.version));
        pip_release_fail(rel, false, err.code, err.text);
    } else {
        rel->state = PIP_READY;
    }
    return rel->state == PIP_READY;
}

static void ask_advertised(struct pip_fetch *f)
{
    f->stage = PIP_FETCH_ADVERTISED;
    fetch_start(f, arena_printf(f->rel->project->resolve->arena, "%s.metadata", f->url), NULL,
                PIP_MAX_METADATA);
}

static void ask_range(struct pip_fetch *f)
{
    f->stage = PIP_FETCH_RANGES;
    fetch_start(f, f->url, pip_remote_range(&f->zip, f->rel->project->resolve->arena),
                PIP_MAX_WHOLE_WHEEL);
}

/* Into the store: if it is chosen, it is built from there. */
static void ask_sdist(struct pip_fetch *f)
{
    struct pip_resolve *r = f->rel->project->resolve;
    struct digest promised;
    f->stage = PIP_FETCH_SDIST;
    f->sdist = (struct registry_fetch){.url = f->url,
                                       .immutable = true,
                                       .max_bytes = PIP_MAX_SDIST,
                                       .priority = 8,
                                       .done = sdist_done,
                                       .ctx = f};
    if (pip_file_digest(f->rel->file, &promised)) {
        f->sdist.expect.algo = HASH_SHA256;
        memcpy(f->sdist.expect.bytes, promised.bytes, sizeof(promised.bytes));
    }
    r->pending++;
    f->active = true;
    registry_fetch(r->job->registry, &f->sdist);
}

/* Missing or wrong advertised metadata is no reason to give up: the wheel has it too. */
static void take_advertised(struct pip_fetch *f, const struct registry_get *get)
{
    const struct pip_file *file = f->rel->file;
    struct digest d = digest_of(get->body), promised;
    bool good = get->err.code == ERR_NONE && get->status == 200 &&
                (file->metadata != PIP_METADATA_HASHED ||
                 (pip_file_metadata_digest(file, &promised) && digest_eq(&d, &promised)));
    if (!good || !pip_take_metadata(f->rel, get->body)) {
        f->rel->state = PIP_FETCHING;
        err_clear(&f->rel->err);
        ask_range(f);
    }
}

static void take_range(struct pip_fetch *f, const struct registry_get *get)
{
    struct pip_resolve *r = f->rel->project->resolve;
    struct span text;
    struct err err = {0};
    if (!pip_remote_add(&f->zip, get->status, get->content_range, get->body, r->arena, &err)) {
        fetch_failed(f, false, err.code, err.text);
        return;
    }
    switch (pip_remote_step(&f->zip, r->arena, &text, &err)) {
    case PIP_REMOTE_DONE:
        f->rel->project->tail_hint = f->zip.needed_tail;
        pip_take_metadata(f->rel, text);
        break;
    case PIP_REMOTE_MORE: ask_range(f); break;
    case PIP_REMOTE_BAD: fetch_failed(f, false, err.code, err.text); break;
    }
}

static void needs_build(struct pip_fetch *f, const char *why)
{
    char text[900];
    if (f->rel->project->resolve->job->build) {
        pip_build_want(f->rel);
        return;
    }
    snprintf(text, sizeof(text),
             "it is published as source only, and %.400s. Nothing is built here: ask for a version "
             "that has a wheel, or set the policy only_binary, which takes an older release with a "
             "wheel",
             why);
    fetch_failed(f, true, ERR_NEEDS_BUILD, text);
}

/* Of an sdist whose blob is there. */
static void take_sdist(struct pip_fetch *f, const struct digest *blob)
{
    struct pip_release *rel = f->rel;
    struct store *store = registry_store(rel->project->resolve->job->registry);
    struct err err = {0};
    struct span text;
    AUTO_MAPPED struct io_map map = {0};
    if (!store_map_blob(store, blob, &map, &err)) {
        fetch_failed(f, true, err.code, err.text);
        return;
    }
    rel->sdist = *blob;
    if (!pip_sdist_info(rel->file->filename, map.bytes, rel->project->resolve->arena, &text,
                        &err)) {
        needs_build(f, err.text);
        return;
    }
    /* What is wrong in metadata that does not bind is the build's to say. */
    struct pip_metadata told;
    bool binds = pip_metadata_parse(text, rel->project->resolve->arena, &told, &err) &&
                 pip_metadata_static(&told);
    if (!binds && rel->project->resolve->job->build)
        pip_build_want(rel);
    else if (pip_take_metadata(rel, text) && !binds)
        needs_build(f, "its dependencies are known only after a build");
}

static void take(struct pip_fetch *f, const struct registry_get *get)
{
    if (get->err.code != ERR_NONE && f->stage != PIP_FETCH_ADVERTISED) {
        fetch_failed(f, true, get->err.code, get->err.text);
        return;
    }
    if (f->stage == PIP_FETCH_ADVERTISED) {
        take_advertised(f, get);
        return;
    }
    if (get->status != 200 && get->status != 206) {
        char text[64];
        snprintf(text, sizeof(text), "the registry answers %d for the file", get->status);
        fetch_failed(f, true, ERR_REGISTRY_REFUSED, text);
        return;
    }
    take_range(f, get);
}

static void get_done(struct registry_get *get)
{
    struct pip_fetch *f = get->ctx;
    struct pip_resolve *r = f->rel->project->resolve;
    /* The struct is used again for the next request. */
    struct registry_get reply = *get;
    r->pending--;
    f->active = false;
    if (!r->ending) {
        take(f, &reply);
        if (f->rel->state == PIP_READY)
            pip_scout_metadata(f->rel);
    }
    pip_kick(r);
}

static void sdist_done(struct registry_fetch *fetch)
{
    struct pip_fetch *f = fetch->ctx;
    struct pip_resolve *r = f->rel->project->resolve;
    r->pending--;
    f->active = false;
    if (!r->ending && fetch->err.code)
        fetch_failed(f, true, fetch->err.code, fetch->err.text);
    else if (!r->ending)
        take_sdist(f, &fetch->blob);
    pip_kick(r);
}

/* ---- a file of this machine ---------------------------------------------------------------- */

static void take_wheel(struct pip_fetch *f)
{
    AUTO_ARENA struct arena *a = arena_new();
    AUTO_MAPPED struct io_map map = {0};
    struct store *store = registry_store(f->rel->project->resolve->job->registry);
    struct zip z;
    struct err err = {0};
    struct span top, name, text;
    if (!store_map_blob(store, &f->blob, &map, &err) ||
        !zip_open(&z, map.bytes, &zip_default_limits, a, &err)) {
        fetch_failed(f, false, err.code, err.text);
        return;
    }
    for (size_t i = 0; i < z.count; i++) {
        const struct zip_entry *e = &z.entries[i];
        if (!span_cut_char(e->name, '/', &top, &name) || !span_eq(name, SPAN("METADATA")) ||
            !span_ends(top, SPAN(".dist-info")) || e->size > PIP_MAX_METADATA)
            continue;
        if (zip_read(e, a, &text, &err))
            pip_take_metadata(f->rel, text);
        else
            fetch_failed(f, false, err.code, err.text);
        return;
    }
    fetch_failed(f, false, ERR_BAD_ARCHIVE, "it has no METADATA");
}

static void local_work(struct pool_task *t)
{
    struct pip_fetch *f = container_of(t, struct pip_fetch, local);
    pip_links_store(registry_store(f->rel->project->resolve->job->registry),
                    f->url + strlen(PIP_FILE_URL), &f->blob, &f->err);
}

static void local_done(struct pool_task *t)
{
    struct pip_fetch *f = container_of(t, struct pip_fetch, local);
    struct pip_resolve *r = f->rel->project->resolve;
    char hex[DIGEST_HEX_SIZE];
    r->pending--;
    if (r->ending) {
        pip_kick(r);
        return;
    }
    /* The page is ours: what an index tells of a file is known of this one only now. */
    struct pip_file *file = (struct pip_file *)(uintptr_t)f->rel->file;
    file->sha256 = arena_span(r->arena, span_str(digest_hex(&f->blob, hex)));
    if (f->err.code)
        fetch_failed(f, false, f->err.code, f->err.text);
    else if (file->wheel)
        take_wheel(f);
    else
        take_sdist(f, &f->blob);
    if (f->rel->state == PIP_READY)
        pip_scout_metadata(f->rel);
    pip_kick(r);
}

static void read_local(struct pip_fetch *f)
{
    struct pip_resolve *r = f->rel->project->resolve;
    f->local = (struct pool_task){.work = local_work, .done = local_done};
    r->pending++;
    pool_submit(r->job->pool, &f->local, INT32_MAX);
}

void pip_release_want(struct pip_release *rel, bool may_fetch_sdist)
{
    struct pip_project *p = rel->project;
    struct pip_resolve *r = p->resolve;
    if (rel->state != PIP_UNKNOWN || r->ending || (!rel->file->wheel && !may_fetch_sdist))
        return;
    struct pip_fetch *f = ARENA_NEW(r->arena, struct pip_fetch);
    AUTO_FREE char *url = pip_file_url(p, rel->file);
    f->rel = rel;
    rel->fetch = f;
    rel->state = PIP_FETCHING;
    if (!url) {
        fetch_failed(f, false, ERR_BAD_ARCHIVE, "the index gives no valid URL for it");
        return;
    }
    *VEC_PUSH(&r->fetches) = f;
    f->url = arena_str(r->arena, span_str(url));
    pip_remote_init(&f->zip, rel->file->size, rel->file->filename, p->tail_hint);
    if (strncmp(f->url, PIP_FILE_URL, strlen(PIP_FILE_URL)) == 0)
        read_local(f);
    else if (!rel->file->wheel)
        ask_sdist(f);
    else if (rel->file->metadata != PIP_METADATA_NONE)
        ask_advertised(f);
    else
        ask_range(f);
}

void pip_fetch_cancel(struct pip_fetch *f)
{
    if (!f->active)
        return;
    if (f->stage == PIP_FETCH_SDIST)
        registry_fetch_cancel(&f->sdist);
    else
        registry_get_cancel(&f->get);
}
