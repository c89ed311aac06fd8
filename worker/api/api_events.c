/* SPDX-License-Identifier: Apache-2.0 */
/* api_events.c - a build's events as server-sent events (HTML Living Standard, 9.2).
 *
 * Kept events have ids, so that a client that comes back with last-event-id misses none;
 * progress has no id and is only the present. The database is the source: a wake from the
 * runner, or the tick for a build that runs in another process, makes us read on from the last
 * id. A comment every 15 s keeps proxies awake and finds clients that are gone. */
#include "worker/api/api_priv.h"

#define PAGE_EVENTS     256
#define MAX_BUFFER      (8u << 20)
#define KEEPALIVE_TICKS 15

struct feed {
    struct call_stream stream;
    struct api *api;
    struct runner_watch watch;
    struct waiter waiter;
    struct db_task task;
    int64_t last; /* id of the last event in the buffer */
    struct buf out;
    size_t sent; /* of out */
    json_t *events;
    bool reading, again, over, closed, ended_state;
    int idle_ticks;
};

static void feed_read(struct feed *f);

static void feed_free(struct feed *f)
{
    json_decref(f->events);
    buf_release(&f->out);
    problem_release(&f->task.problem);
    free(f);
}

static void put_event(struct buf *out, const char *kind, int64_t id, const json_t *data)
{
    AUTO_FREE char *text = json_dumps(data, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    if (id)
        buf_printf(out, "id: %lld\n", (long long)id);
    buf_printf(out, "event: %s\ndata: %s\n\n", kind, text ? text : "{}");
}

static void put_progress(struct feed *f)
{
    AUTO_JSON json_t *progress = runner_progress(f->api->runner, f->watch.build);
    if (progress && f->out.len - f->sent < 64 << 10)
        put_event(&f->out, "progress", 0, progress);
}

static void read_work(struct db_task *t, struct state *s)
{
    struct feed *f = container_of(t, struct feed, task);
    AUTO_JOB struct job job = {0};
    struct err *err = &t->problem.err;
    json_decref(TAKE(f->events));
    f->ended_state = true; /* a build that is gone has no more to tell */
    if (s->queue->ops->get(s->queue, f->watch.build, &job, err))
        f->ended_state = job.state != JOB_QUEUED && job.state != JOB_RUNNING;
    if (!err->code)
        event_list(s, f->watch.build, f->last, NULL, PAGE_EVENTS, &f->events, err);
}

static void take_events(struct feed *f)
{
    size_t i;
    json_t *e;
    json_array_foreach (f->events, i, e) {
        f->last = json_get_int(e, "id", f->last);
        put_event(&f->out, json_get_str(e, "event"), f->last, json_object_get(e, "data"));
    }
}

static void read_done(struct db_task *t)
{
    struct feed *f = container_of(t, struct feed, task);
    bool more = json_array_size(f->events) == PAGE_EVENTS;
    f->reading = false;
    if (f->closed) {
        feed_free(f);
        return;
    }
    if (!problem_is(&t->problem))
        take_events(f);
    /* A job and its last events are written together, so that nothing follows the end. */
    if (f->ended_state && !more)
        f->over = true;
    else if (more || f->again)
        feed_read(f);
    if (f->over || f->out.len > f->sent)
        server_stream_wake(&f->stream);
}

static void feed_read(struct feed *f)
{
    /* A client that does not read gets no more read for it. */
    if (f->over || f->out.len - f->sent > MAX_BUFFER / 2)
        return;
    f->again = f->reading;
    if (f->reading)
        return;
    f->reading = true;
    problem_release(&f->task.problem);
    f->task = (struct db_task){.work = read_work, .done = read_done};
    db_read(f->api->db, &f->task);
}

static void on_wake(struct runner_watch *w, bool progress_only)
{
    struct feed *f = container_of(w, struct feed, watch);
    f->idle_ticks = 0;
    if (!progress_only) {
        feed_read(f);
        return;
    }
    put_progress(f);
    server_stream_wake(&f->stream);
}

static void on_tick(struct waiter *w)
{
    struct feed *f = container_of(w, struct feed, waiter);
    if (++f->idle_ticks >= KEEPALIVE_TICKS) {
        f->idle_ticks = 0;
        buf_str(&f->out, ": still here\n\n");
        server_stream_wake(&f->stream);
    }
    feed_read(f);
}

static int64_t stream_read(struct call_stream *st, uint64_t pos, char *out, size_t size)
{
    struct feed *f = container_of(st, struct feed, stream);
    (void)pos;
    size_t n = f->out.len - f->sent;
    if (f->out.overflow)
        return -2;
    if (n == 0) {
        bool was_full = f->out.len > 0;
        buf_reset(&f->out);
        f->sent = 0;
        if (was_full && !f->over)
            feed_read(f);
        return f->over || server_closing(f->api->server) ? -1 : 0;
    }
    n = n > size ? size : n;
    memcpy(out, f->out.ptr + f->sent, n);
    f->sent += n;
    return (int64_t)n;
}

static void stream_close(struct call_stream *st)
{
    struct feed *f = container_of(st, struct feed, stream);
    runner_unwatch(&f->watch);
    waiter_remove(&f->waiter);
    f->closed = true;
    if (!f->reading)
        feed_free(f);
}

void build_events_work(struct req *r, struct state *s)
{
    AUTO_JOB struct job job = {0};
    const char *last = call_header(r->call, "last-event-id");
    uint64_t id = 0;
    if (!req_is_id(r, 0, "bld_", "build") ||
        !build_get(s, r->workspace, r->arg[0], &job, req_problem(r)))
        return;
    if (last && last[0] && (!span_to_u64(span_str(last), &id) || id > INT64_MAX)) {
        problem_field(req_problem(r), "last-event-id", "must be the id of an event of this build");
        return;
    }
    /* An id that is still to come would make the stream silent. */
    int64_t newest = 0;
    if (id && !event_last(s, job.id, &newest, &req_problem(r)->err))
        return;
    if (id > (uint64_t)newest) {
        problem_field(req_problem(r), "last-event-id", "must be the id of an event of this build");
        return;
    }
    struct feed *f = MEM_NEW(struct feed);
    f->last = (int64_t)id;
    r->data = f; /* freed as it is, should the call end before it is answered */
}

void build_events_finish(struct req *r)
{
    struct feed *f = TAKE(r->data);
    f->api = r->api;
    f->out = BUF(MAX_BUFFER);
    f->stream = (struct call_stream){.read = stream_read, .close = stream_close, .size = -1};
    f->watch.wake = on_wake;
    memcpy(f->watch.build, r->arg[0], sizeof(f->watch.build) - 1);
    f->waiter.tick = on_tick;
    runner_watch(r->api->runner, &f->watch);
    waiter_add(r->api, &f->waiter);
    buf_str(&f->out, "retry: 1000\n\n");
    put_progress(f);
    call_put_header(r->call, "cache-control", "no-store");
    call_stream(r->call, 200, "text/event-stream", &f->stream);
    feed_read(f);
}
