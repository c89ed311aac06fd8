/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/registry.h"

#include <assert.h>

#include "base/io.h"
#include "base/mem.h"
#include "resolvers/registry_priv.h"

/* How long a mirror that failed is asked after the others. */
#define DOWN_MS 60000

/* ---- Mirrors ---- */

static bool is_absolute(struct span text)
{
    size_t at = span_find(text, SPAN("://"));
    return at < text.len && at + 1 == span_find_char(text, '/');
}

/* "a/../b" would leave the registry's folder on servers that follow it. */
static bool has_dots(struct span path)
{
    struct span piece;
    path = span_slice(path, 0, span_find_char(path, '?'));
    while (span_next(&path, '/', &piece))
        if (span_eq(piece, SPAN("..")) || span_eq(piece, SPAN(".")))
            return true;
    return false;
}

/* The registry of a path's scope: "@corp/x" or "@corp%2fx". NULL: the main one. */
static const struct registry_extra *scope_of(const struct registry_client *c, struct span path)
{
    for (size_t i = 0; i < c->registry->extra_count; i++) {
        const struct registry_extra *e = &c->registry->extra[i];
        size_t len = e->scope ? strlen(e->scope) : 0;
        if (len > 0 && path.len > len && memcmp(path.ptr, e->scope, len) == 0 &&
            (path.ptr[len] == '/' || path.ptr[len] == '%'))
            return e;
    }
    return NULL;
}

/* What is returned leads to the same URL when it is asked for: a scope's path only below the
 * scope's registry. */
struct span registry_path_of(const struct registry_client *c, struct span url)
{
    for (size_t i = 0; i < c->registry->extra_count; i++) {
        const struct registry_extra *e = &c->registry->extra[i];
        struct span base = span_str(e->url);
        if (e->scope && span_starts(url, base) && scope_of(c, span_skip(url, base.len)) == e)
            return span_skip(url, base.len);
    }
    for (size_t i = 0; i < c->mirror_count; i++)
        if (span_starts(url, c->mirrors[i].base)) {
            struct span path = span_skip(url, c->mirrors[i].base.len);
            return scope_of(c, path) ? SPAN("") : path;
        }
    return SPAN("");
}

static void add_url(struct registry_route *r, struct span base, struct span path, size_t mirror)
{
    r->urls[r->count] = mem_printf("%.*s%.*s", SPAN_ARG(base), SPAN_ARG(path));
    r->mirrors[r->count++] = mirror;
}

static void add_mirrors(struct registry_client *c, struct registry_route *r, struct span path)
{
    int64_t now = io_monotonic_ms();
    for (int down = 0; down < 2; down++)
        for (size_t i = 0; i < c->mirror_count; i++)
            if ((c->mirrors[i].down_until_ms > now) == down)
                add_url(r, c->mirrors[i].base, path, i);
}

bool registry_route_init(struct registry_client *c, const char *text, struct registry_route *out,
                         struct err *err)
{
    struct url_parts parts;
    struct span path = span_str(text);
    path = span_slice(path, 0, span_find_char(path, '#'));
    bool absolute = is_absolute(path);
    *out = (struct registry_route){0};
    if (absolute && !url_split(path, &parts))
        return err_set(err, ERR_INVALID, "not an http or https URL that can be asked for");
    struct span below = absolute ? registry_path_of(c, path) : path;
    while (!absolute && below.len && below.ptr[0] == '/')
        below = span_skip(below, 1);
    out->urls = mem_array(c->mirror_count + 1, sizeof(*out->urls));
    out->mirrors = mem_array(c->mirror_count + 1, sizeof(*out->mirrors));
    if (absolute && (c->registry->distinct || below.len == 0 || has_dots(below))) {
        out->name = mem_dup(path);
        add_url(out, path, SPAN(""), SIZE_MAX);
        return true;
    }
    const struct registry_extra *scope = scope_of(c, below);
    struct span base = scope ? span_str(scope->url) : c->mirrors[0].base;
    out->name = mem_printf("%.*s%.*s", SPAN_ARG(base), SPAN_ARG(below));
    if (has_dots(below) || !url_split(span_str(out->name), &parts)) {
        registry_route_release(out);
        return err_set(err, ERR_INVALID, "not a path below a registry");
    }
    if (scope)
        add_url(out, base, below, SIZE_MAX);
    else
        add_mirrors(c, out, below);
    return true;
}

void registry_route_release(struct registry_route *r)
{
    for (size_t i = 0; i < r->count; i++)
        free(r->urls[i]);
    free(r->urls);
    free(r->mirrors);
    free(r->name);
    *r = (struct registry_route){0};
}

void registry_route_failed(struct registry_client *c, struct registry_route *r)
{
    if (r->mirrors[r->at] != SIZE_MAX)
        c->mirrors[r->mirrors[r->at]].down_until_ms = io_monotonic_ms() + DOWN_MS;
}

bool registry_route_down(const struct registry_client *c, const struct registry_route *r)
{
    int64_t now = io_monotonic_ms();
    for (size_t i = 0; i < r->count; i++)
        if (r->mirrors[i] == SIZE_MAX || c->mirrors[r->mirrors[i]].down_until_ms <= now)
            return false;
    return true;
}

bool registry_may_ask(const struct registry_client *c, const char *url, struct err *err)
{
    AUTO_BUF struct buf where = BUF(400);
    url_show(span_str(url), &where);
    if (c->options.forbidden)
        return err_set(err, ERR_POLICY,
                       "%s: not in the cache, and the environment's networking does not allow "
                       "package managers (allow_package_managers: true lets them)",
                       buf_cstr(&where));
    if (c->options.offline)
        return err_set(err, ERR_OFFLINE, "%s: not in the cache, and the network is not to be used",
                       buf_cstr(&where));
    return true;
}

void registry_preconnect(struct registry_client *c, const char *url)
{
    if (!c->options.forbidden && !c->options.offline)
        http_preconnect(c->http, url ? url : c->mirrors[0].base.ptr);
}

/* ---- Who waits ---- */

void **registry_slot(struct registry_client *c, struct map *flights, struct span key)
{
    if (!map_has(flights, key))
        key = arena_span(c->arena, key);
    return map_at(flights, key);
}

struct registry_waiter *registry_wait(struct registry_waiter **list, void *flight)
{
    struct registry_waiter *w = MEM_NEW(struct registry_waiter);
    while (*list)
        list = &(*list)->next;
    *list = w;
    w->flight = flight;
    return w;
}

bool registry_unwait(struct registry_waiter **list, struct registry_waiter *w)
{
    while (*list && *list != w)
        list = &(*list)->next;
    if (!*list)
        return false;
    *list = w->next;
    w->next = NULL;
    w->flight = NULL;
    return true;
}

void registry_tell(struct registry_waiter *w)
{
    struct registry_get *get = w->get;
    struct registry_fetch *fetch = w->fetch;
    free(w);
    if (get) {
        get->state = NULL;
        get->done(get);
    } else {
        fetch->state = NULL;
        fetch->done(fetch);
    }
}

static void on_soon(uv_timer_t *timer)
{
    struct registry_client *c = timer->data;
    for (struct registry_waiter *w; (w = c->later);) {
        c->later = w->next;
        if (!c->later)
            c->later_end = &c->later;
        registry_tell(w);
    }
}

void registry_tell_later(struct registry_client *c, struct registry_waiter *w)
{
    w->next = NULL;
    w->flight = NULL;
    *c->later_end = w;
    c->later_end = &w->next;
    uv_timer_start(&c->soon, on_soon, 0, 0);
}

/* ---- Work on the pool ---- */

void registry_submit(struct registry_client *c, struct pool_task *t, int64_t priority)
{
    uv_mutex_lock(&c->mutex);
    c->working++;
    uv_mutex_unlock(&c->mutex);
    pool_submit(c->pool, t, priority);
}

void registry_worked(struct registry_client *c)
{
    uv_mutex_lock(&c->mutex);
    if (--c->working == 0)
        uv_cond_broadcast(&c->idle);
    uv_mutex_unlock(&c->mutex);
}

/* ---- The client ---- */

struct registry_client *registry_client_new(uv_loop_t *loop, struct http_client *http,
                                            struct store *store, struct pool *pool,
                                            const struct registry *registry,
                                            const struct registry_options *options,
                                            const struct log *log)
{
    struct registry_client *c = MEM_NEW(struct registry_client);
    assert(registry->url_count > 0);
    c->loop = loop;
    c->http = http;
    c->store = store;
    c->pool = pool;
    c->registry = registry;
    c->options = *options;
    c->log = log;
    c->arena = arena_new();
    c->later_end = &c->later;
    c->born_ms = io_now_ms();
    c->mirror_count = registry->url_count;
    c->mirrors = mem_array(c->mirror_count, sizeof(*c->mirrors));
    for (size_t i = 0; i < c->mirror_count; i++) {
        bool slash = span_ends(span_str(registry->urls[i]), SPAN("/"));
        c->mirrors[i].base =
            span_str(arena_printf(c->arena, "%s%s", registry->urls[i], slash ? "" : "/"));
    }
    if (uv_timer_init(loop, &c->soon) || uv_mutex_init(&c->mutex) || uv_cond_init(&c->idle))
        abort();
    c->soon.data = c;
    c->handles = 1;
    return c;
}

struct store *registry_store(const struct registry_client *c)
{
    return c->store;
}

const struct registry *registry_of(const struct registry_client *c)
{
    return c->registry;
}

static void free_when_unused(struct registry_client *c)
{
    if (!c->closing || c->handles > 0 || c->flights > 0)
        return;
    map_release(&c->documents);
    map_release(&c->fetches);
    arena_free(c->arena);
    free(c->mirrors);
    uv_mutex_destroy(&c->mutex);
    uv_cond_destroy(&c->idle);
    free(c);
}

void registry_flight_end(struct registry_client *c)
{
    c->flights--;
    free_when_unused(c);
}

static void on_soon_closed(uv_handle_t *handle)
{
    struct registry_client *c = handle->data;
    c->handles--;
    free_when_unused(c);
}

bool registry_client_renew(struct registry_client *c)
{
    const struct registry_options *o = &c->options;
    if (o->offline || o->forbidden || o->refresh || !c->took_cached)
        return false;
    c->options.refresh = true;
    return true;
}

void registry_client_free(struct registry_client *c)
{
    if (!c)
        return;
    assert(!c->closing && !c->later);
    /* What was told already may still be on its way into the store. */
    uv_mutex_lock(&c->mutex);
    while (c->working > 0)
        uv_cond_wait(&c->idle, &c->mutex);
    uv_mutex_unlock(&c->mutex);
    c->closing = true;
    for (void *chunk; (chunk = c->spare);) {
        memcpy(&c->spare, chunk, sizeof(c->spare)); /* its first member: next */
        free(chunk);
    }
    c->spare_count = REGISTRY_SPARE_CHUNKS; /* keep no more */
    uv_close((uv_handle_t *)&c->soon, on_soon_closed);
}
