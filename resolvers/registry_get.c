/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdio.h>

#include "base/http_header.h"
#include "base/io.h"
#include "base/mem.h"
#include "cache/meta.h"
#include "resolvers/registry_priv.h"

#define ABSENT_TTL_MS 60000
#define STALE_MAX_MS  ((int64_t)24 * 3600 * 1000)
#define DEADLINE_MS   180000

/* Before the work of packing: whole resolutions wait for it. */
#define POOL_PRIORITY ((int64_t)1 << 40)

struct registry_body {
    atomic_int refs;
    char *bytes;        /* what came by HTTP */
    struct meta cached; /* or from the cache */
};

struct document {
    struct registry_client *client;
    struct registry_waiter *waiters;
    bool joinable;         /* others find it in the map */
    bool saving, answered; /* all were told, and it stays in the map while it is saved */
    struct document *next; /* asked for meanwhile: loads when this one is saved */
    struct registry_route route;
    struct registry_get want; /* strings are ours */
    struct buf key;
    struct pool_task task;
    struct http_request *request;
    struct registry_body *cached; /* NULL: none */
    struct err failed;            /* of the first mirror that failed */
    int absent_status;            /* a mirror said so */
    int refs;                     /* the request, and the task under way */
    /* The outcome: */
    struct registry_body *body;
    struct span bytes;
    struct meta head; /* strings are `kept`'s or the cached body's */
    char *kept[6];
    bool touch; /* save only the time */
};

struct registry_body *registry_keep(struct registry_get *get)
{
    if (get->held)
        atomic_fetch_add(&get->held->refs, 1);
    return get->held;
}

void registry_drop(struct registry_body *b)
{
    if (!b || atomic_fetch_sub(&b->refs, 1) != 1)
        return;
    free(b->bytes);
    meta_release(&b->cached);
    free(b);
}

static struct registry_body *body_new(void)
{
    struct registry_body *b = MEM_NEW(struct registry_body);
    atomic_init(&b->refs, 1);
    return b;
}

static void document_unref(struct document *d)
{
    if (--d->refs > 0)
        return;
    struct registry_client *c = d->client;
    /* Both may be one body, held twice: the analyser does not follow the count. */
    registry_drop(d->body);
    registry_drop(d->cached); /* NOLINT(clang-analyzer-unix.Malloc) */
    registry_route_release(&d->route);
    for (size_t i = 0; i < COUNT(d->kept); i++)
        free(d->kept[i]);
    free((char *)d->want.accept);
    free((char *)d->want.range);
    buf_release(&d->key);
    free(d);
    registry_flight_end(c);
}

/* ---- Telling ---- */

static void leave_map(struct document *d)
{
    void **slot =
        d->joinable ? registry_slot(d->client, &d->client->documents, buf_span(&d->key)) : NULL;
    if (slot && *slot == d)
        *slot = NULL;
    d->joinable = false;
}

static void fill(const struct document *d, struct registry_get *get, const struct err *err)
{
    get->err = *err;
    get->status = d->head.status;
    get->body = d->bytes;
    get->content_type = d->head.content_type;
    get->url = d->head.url;
    get->content_range = d->head.content_range;
    get->from_cache = d->body && d->body == d->cached && !d->touch;
    get->held = d->body;
    if (!err->code && d->bytes.len > get->max_bytes) {
        err_set(&get->err, ERR_TOO_LARGE, "%s: larger than %llu bytes", d->route.name,
                (unsigned long long)get->max_bytes);
        get->body = SPAN("");
    }
}

/* Tells all and drops the request's reference. */
static void finish(struct document *d, const struct err *err)
{
    static const struct err none = {0};
    d->answered = d->saving;
    if (!d->saving)
        leave_map(d);
    for (struct registry_waiter *w; (w = d->waiters);) {
        d->waiters = w->next;
        fill(d, w->get, err ? err : &none);
        registry_tell(w);
    }
    document_unref(d);
}

/* ---- Saving ---- */

static void save_work(struct pool_task *t)
{
    struct document *d = container_of(t, struct document, task);
    struct err err = {0};
    struct span key = buf_span(&d->key);
    bool ok = d->touch
                  ? meta_touch(d->client->store, key, d->head.checked_ms, d->head.max_age_ms, &err)
                  : meta_put(d->client->store, key, &d->head, &err);
    if (!ok) /* a full disk: the next resolution asks again */
        log_line(d->client->log, LOG_DEBUG, "registry: %s", err.text);
    registry_worked(d->client);
}

static void load(struct document *d);

static void save_done(struct pool_task *t)
{
    struct document *d = container_of(t, struct document, task), *next = d->next;
    leave_map(d);
    if (next && next->joinable)
        *registry_slot(d->client, &d->client->documents, buf_span(&d->key)) = next;
    if (next)
        load(next);
    document_unref(d);
}

static void save(struct document *d)
{
    if (d->want.uncached)
        return;
    d->refs++;
    d->saving = true;
    d->task = (struct pool_task){.work = save_work, .done = save_done};
    registry_submit(d->client, &d->task, POOL_PRIORITY / 2);
}

/* ---- The cache ---- */

static void use_cached(struct document *d)
{
    const struct meta *m = &d->cached->cached;
    d->body = d->cached;
    atomic_fetch_add(&d->body->refs, 1);
    d->bytes = m->body;
    d->head = *m;
}

static bool is_fresh(const struct document *d)
{
    const struct registry_client *c = d->client;
    const struct meta *m = &d->cached->cached;
    bool had = m->status == 200 || m->status == 206;
    if (d->want.immutable && had)
        return true;
    if (c->options.refresh && m->checked_ms < c->born_ms)
        return false;
    int64_t age = io_now_ms() - m->checked_ms, limit = d->want.ttl_ms;
    if (m->max_age_ms >= 0)
        limit = m->max_age_ms;
    if (!had && limit > ABSENT_TTL_MS)
        limit = ABSENT_TTL_MS;
    return age >= 0 && age < limit;
}

static bool is_usable_stale(const struct document *d)
{
    return d->cached && io_now_ms() - d->cached->cached.checked_ms < STALE_MAX_MS;
}

static void use_stale(struct document *d)
{
    struct registry_client *c = d->client;
    AUTO_BUF struct buf where = BUF(400);
    url_show(span_str(d->route.name), &where);
    double hours = (double)(io_now_ms() - d->cached->cached.checked_ms) / 3600000;
    log_line(c->log, c->warned ? LOG_DEBUG : LOG_WARN,
             "the %s registry does not answer; using what is known of %s and others, up to %.1f h "
             "old (%s)",
             c->registry->manager, buf_cstr(&where), hours, d->failed.text);
    c->warned = true;
    use_cached(d);
    finish(d, NULL);
}

/* ---- Asking ---- */

static void ask(struct document *d);

/* No mirror has it, or none answered. */
static void give_up(struct document *d)
{
    if (d->failed.code && err_retryable(d->failed.code) && is_usable_stale(d)) {
        use_stale(d);
    } else if (d->failed.code) {
        finish(d, &d->failed);
    } else {
        d->head.status = d->absent_status;
        d->head.url = d->route.urls[d->route.count - 1];
        d->head.checked_ms = io_now_ms();
        save(d);
        finish(d, NULL);
    }
}

static void next_mirror(struct document *d)
{
    if (++d->route.at < d->route.count)
        ask(d);
    else
        give_up(d);
}

static void take_failure(struct document *d, const struct err *err)
{
    if (!d->failed.code)
        d->failed = *err;
    if (err_retryable(err->code))
        registry_route_failed(d->client, &d->route);
    if (d->route.at + 1 < d->route.count)
        log_line(d->client->log, LOG_DEBUG, "registry: %s; trying the next mirror", err->text);
    next_mirror(d);
}

static const char *keep(struct document *d, int i, const char *text)
{
    free(d->kept[i]);
    return d->kept[i] = mem_dup_str(text);
}

static void take_head(struct document *d, const struct http_reply *reply)
{
    d->head = (struct meta){
        .status = reply->status,
        .url = keep(d, 0, reply->url),
        .asked = keep(d, 1, d->route.urls[d->route.at]),
        .content_type = keep(d, 2, reply->content_type),
        .etag = keep(d, 3, reply->etag),
        .last_modified = keep(d, 4, reply->last_modified),
        .content_range = keep(d, 5, reply->content_range),
        .checked_ms = io_now_ms(),
        .max_age_ms = http_max_age_ms(span_str(reply->cache_control)),
    };
}

static void take_body(struct document *d, struct http_reply *reply)
{
    size_t len;
    take_head(d, reply);
    d->body = body_new();
    d->body->bytes = http_reply_take_body(reply, &len);
    d->bytes = d->head.body = span_of(d->body->bytes, len);
    save(d);
    finish(d, NULL);
}

static void take_confirmation(struct document *d, const struct http_reply *reply)
{
    use_cached(d);
    d->head.checked_ms = io_now_ms();
    if (reply->cache_control)
        d->head.max_age_ms = http_max_age_ms(span_str(reply->cache_control));
    d->touch = true;
    save(d);
    finish(d, NULL);
}

static void on_reply(void *ctx, struct http_reply *reply)
{
    struct document *d = ctx;
    int s = reply->status;
    d->request = NULL;
    if (reply->err.code == ERR_CANCELLED) {
        finish(d, &reply->err);
    } else if (reply->err.code) {
        take_failure(d, &reply->err);
    } else if (s == 304) {
        take_confirmation(d, reply);
    } else if (s == 200 || s == 206) {
        take_body(d, reply);
    } else if (s == 404 || s == 410 || s == 451) {
        d->absent_status = s;
        next_mirror(d);
    } else {
        struct err err = {0};
        AUTO_BUF struct buf where = BUF(400);
        url_show(span_str(reply->url), &where);
        err_set(&err, ERR_REGISTRY, "%s: status %d", buf_cstr(&where), s);
        take_failure(d, &err);
    }
}

static void ask(struct document *d)
{
    const struct meta *m = d->cached ? &d->cached->cached : NULL;
    const char *url = d->route.urls[d->route.at];
    bool same = m && m->asked && strcmp(m->asked, url) == 0 && m->status < 300;
    d->request =
        http_start(d->client->http, &(struct http_get){
                                        .url = url,
                                        .accept = d->want.accept,
                                        .range = d->want.range,
                                        .if_none_match = same ? m->etag : NULL,
                                        .if_modified_since = same ? m->last_modified : NULL,
                                        .max_bytes = d->want.max_bytes,
                                        .deadline_ms = DEADLINE_MS,
                                        .priority = d->want.priority,
                                        .done = on_reply,
                                        .ctx = d,
                                    });
}

static void begin(struct document *d)
{
    struct err err = {0};
    const struct registry_options *o = &d->client->options;
    if (!d->waiters) { /* all have gone */
        finish(d, NULL);
    } else if (d->cached && (o->offline || o->forbidden || is_fresh(d))) {
        if (!d->want.immutable && d->cached->cached.checked_ms < d->client->born_ms)
            d->client->took_cached = true;
        use_cached(d);
        finish(d, NULL);
    } else if (!registry_may_ask(d->client, d->route.name, &err)) {
        finish(d, &err);
    } else if (is_usable_stale(d) && registry_route_down(d->client, &d->route)) {
        err_set(&d->failed, ERR_NETWORK, "it failed a moment ago");
        use_stale(d);
    } else {
        ask(d);
    }
}

static void load_work(struct pool_task *t)
{
    struct document *d = container_of(t, struct document, task);
    struct meta m;
    if (!d->want.uncached && meta_get(d->client->store, buf_span(&d->key), &m)) {
        d->cached = body_new();
        d->cached->cached = m;
    }
    registry_worked(d->client);
}

static void load_done(struct pool_task *t)
{
    begin(container_of(t, struct document, task));
}

static void load(struct document *d)
{
    d->task = (struct pool_task){.work = load_work, .done = load_done};
    registry_submit(d->client, &d->task, POOL_PRIORITY);
}

/* ---- From outside ---- */

static struct document *document_new(struct registry_client *c, const struct registry_get *get,
                                     struct registry_route *route)
{
    struct document *d = MEM_NEW(struct document);
    d->client = c;
    d->route = *route;
    d->want = *get;
    d->want.path = NULL;
    d->want.accept = mem_dup_str(get->accept);
    d->want.range = mem_dup_str(get->range);
    d->head.max_age_ms = -1;
    d->refs = 1;
    c->flights++;
    return d;
}

static void refuse(struct registry_client *c, struct registry_get *get, const struct err *err)
{
    struct registry_waiter *list = NULL, *w = registry_wait(&list, NULL);
    w->get = get;
    get->state = w;
    get->err = *err;
    registry_tell_later(c, w);
}

static void clear_results(struct registry_get *get)
{
    err_clear(&get->err);
    get->status = 0;
    get->body = SPAN("");
    get->content_type = get->url = get->content_range = NULL;
    get->from_cache = false;
    get->held = NULL;
    get->state = NULL;
}

/* One that could fail for a lower ceiling, or is not to be kept, is no help. */
static struct document *find_flight(struct registry_client *c, const struct registry_get *get,
                                    struct span key)
{
    struct document *d = *registry_slot(c, &c->documents, key);
    if (d && d->answered)
        d = d->next;
    return d && d->joinable && d->want.max_bytes >= get->max_bytes &&
                   d->want.uncached == get->uncached && d->want.immutable == get->immutable
               ? d
               : NULL;
}

static void launch(struct document *d)
{
    void **slot = registry_slot(d->client, &d->client->documents, buf_span(&d->key));
    struct document *before = *slot;
    if (!before) {
        *slot = d;
        d->joinable = true;
        load(d);
    } else if (before->answered && !before->next) {
        before->next = d;
        d->joinable = true;
    } else { /* another like it is under way, but no help: this one goes alone */
        load(d);
    }
}

void registry_get(struct registry_client *c, struct registry_get *get)
{
    struct registry_route route;
    struct err err = {0};
    AUTO_BUF struct buf key = BUF(32u << 10);
    clear_results(get);
    if (!registry_route_init(c, get->path, &route, &err)) {
        refuse(c, get, &err);
        return;
    }
    buf_printf(&key, "%s\n%s\n%s", route.name, get->accept ? get->accept : "",
               get->range ? get->range : "");
    struct document *d = find_flight(c, get, buf_span(&key));
    if (d) {
        registry_route_release(&route);
    } else {
        d = document_new(c, get, &route);
        d->key = key;
        key = BUF(0);
        launch(d);
    }
    struct registry_waiter *w = registry_wait(&d->waiters, d);
    w->get = get;
    get->state = w;
}

void registry_get_cancel(struct registry_get *get)
{
    struct registry_waiter *w = get->state;
    struct document *d = w ? w->flight : NULL;
    if (!d)
        return;
    registry_unwait(&d->waiters, w);
    err_set(&get->err, ERR_CANCELLED, "cancelled");
    registry_tell_later(d->client, w);
    if (d->waiters)
        return;
    leave_map(d);
    if (d->request)
        http_cancel(d->request);
}
