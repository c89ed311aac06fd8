/* SPDX-License-Identifier: Apache-2.0 */
/* registry_fetch.c - package bytes into the store.
 *
 *   loop:  on_data -> chunk full -> queue        (paused while too much is queued)
 *   pool:  one task at a time writes and hashes the queue in order; the last one commits */
#include <inttypes.h>
#include <stdio.h>

#include "base/io.h"
#include "base/mem.h"
#include "resolvers/registry_priv.h"

#define CHUNK_BYTES (256u << 10)
/* What one download may have waiting for the disk, and when it goes on. */
#define QUEUE_HIGH_BYTES (4u << 20)
#define QUEUE_LOW_BYTES  (1u << 20)
#define DEADLINE_MS      ((int64_t)3600 * 1000)

/* Writing frees memory: before any packing. */
#define POOL_PRIORITY ((int64_t)1 << 41)

#define MEMO_URL_BLOB "registry-url-blob"

struct registry_chunk {
    struct registry_chunk *next;
    bool restart; /* forget what came before it */
    size_t len;
    char bytes[CHUNK_BYTES];
};

struct download {
    struct registry_client *client;
    struct registry_waiter *waiters;
    bool joinable; /* others find it in the map */
    struct span key;
    struct registry_route route;
    struct hash expect;
    uint64_t expect_size, max_bytes;
    bool immutable;
    int priority;
    struct http_request *request;
    struct registry_chunk *filling, *queue, **queue_end;
    size_t queued_bytes;
    bool paused, complete, cancelled;
    uint64_t received, total;
    struct err failed, first; /* of this attempt, and of the first one */
    int mismatches;
    /* The task under way owns these: */
    struct pool_task task;
    bool busy;
    struct registry_chunk *writing;
    size_t writing_bytes;
    bool commit, committed, found;
    struct blob_writer *writer;
    struct err write_err;
    struct digest blob;
    uint64_t size;
};

/* ---- Chunks ---- */

static struct registry_chunk *chunk_new(struct registry_client *c)
{
    struct registry_chunk *k = c->spare;
    if (k) {
        c->spare = k->next;
        c->spare_count--;
    } else {
        /* Not zeroed: 256 KiB for a file of a few is common. */
        k = mem_grow(NULL, 1, sizeof(*k));
    }
    k->next = NULL;
    k->restart = false;
    k->len = 0;
    return k;
}

static void chunks_free(struct registry_client *c, struct registry_chunk *list)
{
    for (struct registry_chunk *k; (k = list);) {
        list = k->next;
        if (c->spare_count < REGISTRY_SPARE_CHUNKS) {
            k->next = c->spare;
            c->spare = k;
            c->spare_count++;
        } else {
            free(k);
        }
    }
}

static void queue_chunk(struct download *d, struct registry_chunk *k)
{
    *d->queue_end = k;
    d->queue_end = &k->next;
    d->queued_bytes += k->len;
}

static void drop_queue(struct download *d)
{
    chunks_free(d->client, d->queue);
    if (d->filling)
        chunks_free(d->client, d->filling);
    d->queue = d->filling = NULL;
    d->queue_end = &d->queue;
    d->queued_bytes = d->busy ? d->writing_bytes : 0;
}

/* ---- Telling ---- */

static void progress(struct download *d)
{
    for (struct registry_waiter *w = d->waiters, *next; w && w->flight == d; w = next) {
        struct registry_fetch *f = w->fetch;
        next = w->next;
        f->received = d->received;
        f->total = d->total;
        if (f->progress)
            f->progress(f);
    }
}

static void leave_map(struct download *d)
{
    if (d->joinable)
        *registry_slot(d->client, &d->client->fetches, d->key) = NULL;
    d->joinable = false;
}

/* Nothing is under way any more: tells all, and it is gone. */
static void finish(struct download *d, const struct err *err)
{
    struct registry_client *c = d->client;
    leave_map(d);
    for (struct registry_waiter *w; (w = d->waiters);) {
        struct registry_fetch *f = w->fetch;
        d->waiters = w->next;
        if (err)
            f->err = *err;
        f->blob = d->blob;
        f->size = d->size;
        f->from_cache = d->found;
        f->received = d->received;
        f->total = d->total;
        registry_tell(w);
    }
    drop_queue(d);
    blob_writer_free(d->writer);
    registry_route_release(&d->route);
    free(d);
    registry_flight_end(c);
}

/* ---- Writing, on the pool ---- */

static bool check_size(const struct download *d, struct err *err)
{
    uint64_t size = blob_writer_size(d->writer);
    return !d->expect_size || size == d->expect_size ||
           err_set(err, ERR_DIGEST_MISMATCH, "%" PRIu64 " bytes came, promised were %" PRIu64, size,
                   d->expect_size);
}

static bool write_chunks(struct download *d, struct err *err)
{
    struct store *s = d->client->store;
    if (!d->writer) {
        d->writer = blob_writer_new(s, err);
        if (!d->writer)
            return false;
        blob_writer_expect(d->writer, d->expect.algo);
    }
    for (struct registry_chunk *k = d->writing; k; k = k->next) {
        if (k->restart && !blob_writer_restart(d->writer, err))
            return false;
        if (k->len && !blob_writer_add(d->writer, span_of(k->bytes, k->len), err))
            return false;
    }
    if (!d->commit)
        return true;
    d->size = blob_writer_size(d->writer);
    if (!check_size(d, err))
        return false;
    d->committed = blob_writer_commit(TAKE(d->writer), &d->expect, &d->blob, err);
    return d->committed;
}

static void remember_url(struct download *d)
{
    char text[DIGEST_TEXT_SIZE];
    struct digest url = digest_of(span_str(d->route.name));
    store_memo_put(d->client->store, MEMO_URL_BLOB, &url, span_str(digest_text(&d->blob, text)));
}

static void write_work(struct pool_task *t)
{
    struct download *d = container_of(t, struct download, task);
    if (write_chunks(d, &d->write_err) && d->committed && d->immutable)
        remember_url(d);
    registry_worked(d->client);
}

/* ---- An attempt at one mirror ---- */

static void start(struct download *d);
static void write_done(struct pool_task *t);

/* Gives the pool what is queued, when it has nothing of ours. */
static void kick(struct download *d)
{
    if (d->busy || (!d->queue && !d->complete))
        return;
    d->writing = d->queue;
    d->writing_bytes = d->queued_bytes;
    d->queue = NULL;
    d->queue_end = &d->queue;
    d->commit = d->complete;
    d->busy = true;
    d->task = (struct pool_task){.work = write_work, .done = write_done};
    registry_submit(d->client, &d->task, POOL_PRIORITY);
}

static void next_mirror(struct download *d)
{
    blob_writer_free(TAKE(d->writer));
    if (!d->first.code)
        d->first = d->failed;
    d->mismatches += d->failed.code == ERR_DIGEST_MISMATCH;
    if (d->cancelled || d->mismatches > 1 || ++d->route.at >= d->route.count) {
        finish(d, d->cancelled ? &d->failed : &d->first);
        return;
    }
    log_line(d->client->log, LOG_DEBUG, "registry: %s; trying the next mirror", d->failed.text);
    start(d);
}

/* The attempt is over, badly. What is under way ends first. */
static void fail(struct download *d, const struct err *err)
{
    if (!d->failed.code)
        d->failed = *err;
    drop_queue(d);
    d->complete = false;
    if (d->request)
        http_cancel(d->request);
    else if (!d->busy)
        next_mirror(d);
}

static bool is_our_fault(enum err_code code)
{
    return code == ERR_IO || code == ERR_NO_SPACE || code == ERR_DENIED || code == ERR_INTERNAL;
}

static void name_failure(const struct download *d, struct err *err)
{
    AUTO_BUF struct buf where = BUF(400);
    url_show(span_str(d->route.urls[d->route.at]), &where);
    err_wrap(err, "%s", buf_cstr(&where));
}

static void write_done(struct pool_task *t)
{
    struct download *d = container_of(t, struct download, task);
    d->busy = false;
    d->queued_bytes -= d->writing_bytes;
    d->writing_bytes = 0;
    chunks_free(d->client, TAKE(d->writing));
    if (d->committed) {
        finish(d, NULL);
    } else if (d->failed.code) { /* it failed meanwhile */
        if (!d->request)
            next_mirror(d);
    } else if (d->write_err.code) {
        struct err err = d->write_err;
        err_clear(&d->write_err);
        name_failure(d, &err);
        if (is_our_fault(err.code)) /* no mirror helps */
            d->route.at = d->route.count - 1;
        fail(d, &err);
    } else {
        if (d->paused && d->queued_bytes <= QUEUE_LOW_BYTES) {
            d->paused = false;
            http_resume(d->request);
        }
        kick(d);
    }
}

static void queue_filling(struct download *d)
{
    if (!d->filling)
        return;
    queue_chunk(d, TAKE(d->filling));
    kick(d);
    progress(d);
}

static bool on_data(void *ctx, struct span piece, struct err *err)
{
    struct download *d = ctx;
    (void)err;
    d->received += piece.len;
    while (piece.len) {
        if (!d->filling)
            d->filling = chunk_new(d->client);
        size_t room = CHUNK_BYTES - d->filling->len, n = piece.len < room ? piece.len : room;
        memcpy(d->filling->bytes + d->filling->len, piece.ptr, n);
        d->filling->len += n;
        piece = span_skip(piece, n);
        if (d->filling->len == CHUNK_BYTES)
            queue_filling(d);
    }
    if (d->queued_bytes >= QUEUE_HIGH_BYTES && !d->paused && d->request) {
        d->paused = true;
        http_pause(d->request);
    }
    return true;
}

static void on_restart(void *ctx)
{
    struct download *d = ctx;
    drop_queue(d);
    d->received = 0;
    d->filling = chunk_new(d->client);
    d->filling->restart = true;
}

static void on_total(void *ctx, uint64_t total)
{
    struct download *d = ctx;
    d->total = total;
    progress(d);
}

static void take_failure(struct download *d, struct http_reply *reply)
{
    struct err err = reply->err;
    if (err.code == ERR_TOO_LARGE && d->expect_size && d->max_bytes == d->expect_size) {
        err_set(&err, ERR_DIGEST_MISMATCH, "more than the promised %" PRIu64 " bytes come",
                d->expect_size);
        name_failure(d, &err);
    } else if (!err.code) {
        err_set(&err, ERR_REGISTRY, "status %d: the file is not there", reply->status);
        name_failure(d, &err);
    } else if (err_retryable(err.code)) {
        registry_route_failed(d->client, &d->route);
    }
    fail(d, &err);
}

static void on_reply(void *ctx, struct http_reply *reply)
{
    struct download *d = ctx;
    d->request = NULL;
    if (d->failed.code) { /* that is why it was cancelled */
        if (!d->busy)
            next_mirror(d);
    } else if (reply->err.code || reply->status != 200) {
        take_failure(d, reply);
    } else {
        d->complete = true;
        if (d->filling)
            queue_filling(d);
        else
            kick(d);
    }
}

static void start(struct download *d)
{
    uint64_t max = d->expect_size && d->expect_size < d->max_bytes ? d->expect_size : d->max_bytes;
    err_clear(&d->failed);
    d->complete = d->paused = false;
    d->received = d->total = 0;
    d->max_bytes = max;
    d->request = http_start(d->client->http, &(struct http_get){
                                                 .url = d->route.urls[d->route.at],
                                                 .raw = true,
                                                 .max_bytes = max,
                                                 .deadline_ms = DEADLINE_MS,
                                                 .priority = d->priority,
                                                 .on_data = on_data,
                                                 .on_restart = on_restart,
                                                 .on_total = on_total,
                                                 .done = on_reply,
                                                 .ctx = d,
                                             });
}

/* ---- What the store has ---- */

static bool find_by_url(struct download *d)
{
    AUTO_BUF struct buf text = BUF(200);
    struct digest url = digest_of(span_str(d->route.name));
    return store_memo_get(d->client->store, MEMO_URL_BLOB, &url, &text, NULL) &&
           digest_parse(buf_span(&text), &d->blob);
}

static void look_up_work(struct pool_task *t)
{
    struct download *d = container_of(t, struct download, task);
    struct store *s = d->client->store;
    bool known = d->expect.algo != HASH_NONE ? store_find_hash(s, &d->expect, &d->blob)
                                             : d->immutable && find_by_url(d);
    d->found = known && store_has_blob(s, &d->blob, &d->size) &&
               (!d->expect_size || d->size == d->expect_size);
    registry_worked(d->client);
}

static void look_up_done(struct pool_task *t)
{
    struct download *d = container_of(t, struct download, task);
    d->busy = false;
    if (d->cancelled)
        finish(d, &d->failed);
    else if (d->found)
        finish(d, NULL);
    else if (!registry_may_ask(d->client, d->route.urls[0], &d->failed))
        finish(d, &d->failed);
    else
        start(d);
}

/* ---- From outside ---- */

static struct download *download_new(struct registry_client *c, const struct registry_fetch *f,
                                     const struct registry_route *route, struct span key)
{
    struct download *d = MEM_NEW(struct download);
    d->client = c;
    d->route = *route;
    d->key = arena_span(c->arena, key);
    d->expect = f->expect;
    d->expect_size = f->expect_size;
    d->max_bytes = f->max_bytes;
    d->immutable = f->immutable && f->expect.algo == HASH_NONE;
    d->priority = f->priority;
    d->queue_end = &d->queue;
    d->busy = true;
    d->task = (struct pool_task){.work = look_up_work, .done = look_up_done};
    c->flights++;
    return d;
}

static bool prepare(struct registry_client *c, struct registry_fetch *f,
                    struct registry_route *route)
{
    f->received = f->total = f->size = 0;
    f->from_cache = false;
    f->blob = (struct digest){0};
    f->state = NULL;
    err_clear(&f->err);
    if (!registry_route_init(c, f->url, route, &f->err))
        return false;
    if (f->expect_size <= f->max_bytes)
        return true;
    err_set(&f->err, ERR_TOO_LARGE, "%s: larger than %" PRIu64 " bytes", route->name, f->max_bytes);
    registry_route_release(route);
    return false;
}

void registry_fetch(struct registry_client *c, struct registry_fetch *f)
{
    struct registry_route route;
    struct registry_waiter *refused = NULL;
    char text[140];
    if (!prepare(c, f, &route)) {
        struct registry_waiter *w = registry_wait(&refused, NULL);
        w->fetch = f;
        f->state = w;
        registry_tell_later(c, w);
        return;
    }
    struct span key =
        span_str(f->expect.algo != HASH_NONE ? hash_text(&f->expect, text) : route.name);
    void **slot = registry_slot(c, &c->fetches, key);
    struct download *d = *slot;
    bool join = d && d->expect_size == f->expect_size;
    if (join) {
        registry_route_release(&route);
    } else {
        bool first = !d;
        d = download_new(c, f, &route, key);
        d->joinable = first;
        if (first)
            *slot = d;
    }
    struct registry_waiter *w = registry_wait(&d->waiters, d);
    w->fetch = f;
    f->state = w;
    if (!join)
        registry_submit(c, &d->task, POOL_PRIORITY);
}

void registry_fetch_cancel(struct registry_fetch *f)
{
    struct registry_waiter *w = f->state;
    struct download *d = w ? w->flight : NULL;
    if (!d)
        return;
    registry_unwait(&d->waiters, w);
    err_set(&f->err, ERR_CANCELLED, "cancelled");
    registry_tell_later(d->client, w);
    if (d->waiters || d->cancelled)
        return;
    leave_map(d);
    d->cancelled = true;
    if (!d->failed.code)
        err_set(&d->failed, ERR_CANCELLED, "cancelled");
    if (d->request)
        http_cancel(d->request);
}
