/* SPDX-License-Identifier: Apache-2.0 */
/* Where a locked file lies: its project's page tells, whichever mirror is asked. */
#include "resolvers/pip/index.h"
#include "resolvers/pip/links.h"
#include "resolvers/pip/name.h"
#include "resolvers/pip/resolve.h"

#define PAGE_TTL_MS (60ll * 60 * 1000)

struct locate {
    struct locate_job *job;
    struct arena *arena;
    uv_timer_t timer;
    size_t next_extra; /* which of the extra indexes is asked next */
    size_t next_link;  /* which of the find-links pages */
    struct registry_get get;
    struct pool_task local; /* looks for a file of this machine */
    struct digest digest;
    const char *path;
};

static void closed(uv_handle_t *handle)
{
    struct locate *l = handle->data;
    struct locate_job *job = l->job;
    arena_free(l->arena);
    free(l);
    job->state = NULL;
    job->done(job);
}

static void finish(struct locate *l)
{
    uv_close((uv_handle_t *)&l->timer, closed);
}

static void finish_soon(uv_timer_t *timer)
{
    finish(timer->data);
}

static const struct pip_file *find(const struct pip_page *page, struct span filename,
                                   const struct digest *digest)
{
    for (size_t i = 0; i < page->files.n; i++) {
        const struct pip_file *f = &page->files.v[i];
        struct digest d;
        if (span_eq(f->filename, filename) && pip_file_digest(f, &d) && digest_eq(&d, digest))
            return f;
    }
    return NULL;
}

/* True: it ends here, with an URL or an error. False: it is not on this page. */
static bool take_page(struct locate *l)
{
    struct locate_job *job = l->job;
    struct pip_page page;
    struct digest digest = {0};
    struct span name = json_get_span(job->package, "name");
    struct span filename = json_get_span(job->package, "filename");
    AUTO_BUF struct buf base = BUF(16u << 10), url = BUF(16u << 10);
    if (l->get.err.code != ERR_NONE) {
        job->err = l->get.err;
        return true;
    }
    json_get_digest(job->package, "digest", &digest);
    if (l->get.status != 200)
        return false;
    if (!pip_page_parse(&page, l->get.body, l->get.content_type, name, l->arena, &job->err))
        return true;
    const struct pip_file *f = find(&page, filename, &digest);
    bool ok = f && url_join(span_str(l->get.url), page.base, false, &base) &&
              url_join(buf_span(&base), f->url, false, &url);
    pip_page_release(&page);
    if (ok)
        job->url = buf_take(&url);
    return ok;
}

static void ask(struct locate *l, const char *path);

/* The next extra index; false: there is none. */
static bool ask_next(struct locate *l)
{
    const struct registry *registry = registry_of(l->job->registry);
    while (l->next_extra < registry->extra_count) {
        const struct registry_extra *extra = &registry->extra[l->next_extra++];
        if (!extra->scope) {
            ask(l,
                arena_printf(l->arena, "%s%s/", extra->url, json_get_str(l->job->package, "name")));
            return true;
        }
    }
    const json_t *links = json_object_get(l->job->details, "find_links");
    while (l->next_link < json_array_size(links)) {
        const char *link = json_string_value(json_array_get(links, l->next_link++));
        if (link && pip_link_is_page(span_str(link))) {
            ask(l, link);
            return true;
        }
    }
    return false;
}

static void not_found(struct locate *l)
{
    err_set(&l->job->err, ERR_NO_PACKAGE,
            "the index no longer has the locked file %s; resolve anew with --refresh",
            json_get_str(l->job->package, "filename"));
}

static void local_work(struct pool_task *t)
{
    struct locate *l = container_of(t, struct locate, local);
    struct err ignored;
    if (!pip_links_store(registry_store(l->job->registry), l->path, &l->digest, &ignored))
        l->path = NULL;
}

/* Another file of the name is none. */
static void local_done(struct pool_task *t)
{
    struct locate *l = container_of(t, struct locate, local);
    struct digest promised;
    if (l->path && json_get_digest(l->job->package, "digest", &promised) &&
        digest_eq(&promised, &l->digest))
        l->job->url = mem_printf(PIP_FILE_URL "%s", l->path);
    else
        not_found(l);
    finish(l);
}

/* True: one of this machine's files has the name, and is read into the store. */
static bool look_here(struct locate *l)
{
    l->path = pip_links_find(l->job->details, json_get_span(l->job->package, "filename"), l->arena);
    if (!l->path || !l->job->pool)
        return false;
    l->local = (struct pool_task){.work = local_work, .done = local_done};
    pool_submit(l->job->pool, &l->local, INT32_MAX);
    return true;
}

static void page_done(struct registry_get *get)
{
    struct locate *l = get->ctx;
    if (!take_page(l)) {
        if (ask_next(l) || look_here(l))
            return;
        not_found(l);
    }
    finish(l);
}

static void ask(struct locate *l, const char *path)
{
    l->get = (struct registry_get){.path = path,
                                   .accept = PIP_INDEX_ACCEPT,
                                   .ttl_ms = PAGE_TTL_MS,
                                   .max_bytes = 64u << 20,
                                   .priority = 10,
                                   .done = page_done,
                                   .ctx = l};
    registry_get(l->job->registry, &l->get);
}

void pip_locate(struct locate_job *job)
{
    struct locate *l = MEM_NEW(struct locate);
    struct span name = json_get_span(job->package, "name");
    struct span origin = json_get_span(job->package, "origin");
    l->job = job;
    l->arena = arena_new();
    job->state = l;
    job->url = NULL;
    err_clear(&job->err);
    uv_timer_init(job->loop, &l->timer);
    l->timer.data = l;
    if (origin.ptr && span_find(origin, SPAN("://")) < origin.len) { /* a direct reference */
        job->url = mem_dup(origin);
        uv_timer_start(&l->timer, finish_soon, 0, 0);
        return;
    }
    struct digest digest;
    if (!name.ptr || !pip_name_valid(name) || !json_get_str(job->package, "filename") ||
        !json_get_digest(job->package, "digest", &digest)) {
        err_set(&job->err, ERR_LOCK_INVALID,
                "a pip package in the lock has no valid name, file or digest");
        uv_timer_start(&l->timer, finish_soon, 0, 0);
        return;
    }
    ask(l, arena_printf(l->arena, "%.*s/", SPAN_ARG(name)));
}
