/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/api/runner.h"

#include <assert.h>

#include "base/io.h"
#include "base/mem.h"
#include "worker/rules/text.h"

#define TICK_MS      200
#define HEARTBEAT_MS 1000 /* also how soon a cancellation from elsewhere is noticed */
#define PRUNE_MS     60000

/* What is kept of one build's log. */
#define MAX_LOG_LINES 20000
#define MAX_LOG_BYTES (4u << 20)
#define TAIL_LINES    20

struct event {
    const char *kind;
    char *data;
};

struct run {
    struct runner *runner;
    struct run *next, *prev;
    struct job job;
    struct builder_job build;
    json_t *payload, *lock;
    char lock_digest[DIGEST_TEXT_SIZE];
    int64_t event_n; /* number of the last event that is in the database */
    VEC(struct event) fresh, flushing;
    size_t log_lines, log_bytes;
    char *tail[TAIL_LINES]; /* a ring of the last lines */
    size_t tail_n;
    json_t *seen;     /* progress as last looked at */
    json_t *managers; /* progress at the end */
    int64_t beat_ms;  /* when the last heartbeat was sent */
    struct db_task flush, finish;
    bool flushing_now, ended, cancelling, lost, handing_back, hopeless;
    bool cancel_asked; /* answer of a heartbeat */
    json_t *pins;
};

struct runner {
    uv_loop_t *loop;
    struct db *db;
    struct builder *builder;
    struct runner_options o;
    uv_timer_t tick;
    struct run runs; /* head of a ring */
    struct runner_watch watches;
    struct db_task take, prune;
    struct run *taken; /* what the take task brought */
    bool taking, again, pruning, draining;
    int64_t poll_ms, prune_ms, drain_at_ms;
    void (*drained)(void *ctx);
    void *drained_ctx;
    struct runner_counts counts;
};

static struct queue_lease lease_of(const struct run *r)
{
    return (struct queue_lease){r->job.id, r->job.lease_token};
}

/* ---- watchers ---- */

void runner_watch(struct runner *r, struct runner_watch *w)
{
    w->next = r->watches.next;
    w->prev = &r->watches;
    w->next->prev = w->prev->next = w;
}

void runner_unwatch(struct runner_watch *w)
{
    if (!w->next)
        return;
    w->next->prev = w->prev;
    w->prev->next = w->next;
    w->next = w->prev = NULL;
}

static void wake(struct runner *r, const char *build, bool progress_only)
{
    for (struct runner_watch *w = r->watches.next, *next; w != &r->watches; w = next) {
        next = w->next;
        if (strcmp(w->build, build) == 0)
            w->wake(w, progress_only);
    }
}

/* ---- events ---- */

static void add_event(struct run *r, const char *kind, json_t *data)
{
    char *text = json_dumps(data, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(data);
    if (text)
        *VEC_PUSH(&r->fresh) = (struct event){kind, text};
}

static void keep_tail(struct run *r, const char *text)
{
    char **slot = &r->tail[r->tail_n++ % TAIL_LINES];
    free(*slot);
    *slot = mem_dup_str(text);
}

static void on_line(struct builder_job *b, const char *level, const char *text)
{
    struct run *r = b->ctx;
    struct span s = span_str(text);
    char time[TEXT_TIME_SIZE];
    /* Cut to whole characters: a compiler's line may be long, and in any encoding. */
    s = span_slice(s, 0, 4000);
    while (s.len && !span_is_utf8(s) && s.len > 3990)
        s.len--;
    AUTO_JSON json_t *line =
        span_is_utf8(s) ? json_span(s) : json_string("(a line that is not UTF-8)");
    keep_tail(r, json_string_value(line));
    if (r->log_lines > MAX_LOG_LINES || r->log_bytes > MAX_LOG_BYTES)
        return;
    r->log_lines++;
    r->log_bytes += s.len;
    if (r->log_lines > MAX_LOG_LINES || r->log_bytes > MAX_LOG_BYTES) {
        json_decref(line);
        line = json_string("(the log is cut here: it has too many lines)");
    }
    add_event(r, "log",
              json_pack("{s:s, s:s, s:O}", "time", text_time(text_now_us(), time), "level", level,
                        "line", line));
}

/* Phases become events; numbers only wake who watches. */
static void look(struct run *r)
{
    json_t *now = r->runner->builder->ops->progress(r->runner->builder, &r->build);
    if (!now || json_equal(now, r->seen)) {
        json_decref(now);
        return;
    }
    const char *manager;
    json_t *p;
    json_object_foreach (now, manager, p) {
        json_t *phase = json_object_get(p, "phase");
        if (!json_equal(phase, json_object_get(json_object_get(r->seen, manager), "phase")))
            add_event(r, "phase", json_pack("{s:s, s:O}", "manager", manager, "phase", phase));
    }
    json_decref(r->seen);
    r->seen = now;
    wake(r->runner, r->job.id, true);
}

static void free_events(struct run *r)
{
    for (size_t i = 0; i < r->flushing.n; i++)
        free(r->flushing.v[i].data);
    VEC_FREE(&r->flushing);
}

static bool write_events(struct run *r, struct state *s, struct err *err)
{
    for (size_t i = 0; i < r->flushing.n; i++)
        if (!event_add(s, r->job.id, r->event_n + 1 + (int64_t)i, r->flushing.v[i].kind,
                       r->flushing.v[i].data, err))
            return false;
    return true;
}

static void take_fresh(struct run *r)
{
    /* What a failed write left is first. */
    for (size_t i = 0; i < r->fresh.n; i++)
        *VEC_PUSH(&r->flushing) = r->fresh.v[i];
    r->fresh.n = 0;
}

/* ---- one run ---- */

static void run_free(struct run *r)
{
    r->next->prev = r->prev;
    r->prev->next = r->next;
    r->runner->counts.running--;
    take_fresh(r);
    free_events(r);
    VEC_FREE(&r->fresh);
    for (size_t i = 0; i < TAIL_LINES; i++)
        free(r->tail[i]);
    builder_job_release(&r->build);
    json_decref(r->payload);
    json_decref(r->lock);
    json_decref(r->seen);
    json_decref(r->managers);
    json_decref(r->pins);
    job_release(&r->job);
    free(r);
}

static void check_drained(struct runner *r);

static void run_over(struct run *r)
{
    struct runner *runner = r->runner;
    wake(runner, r->job.id, false);
    run_free(r);
    check_drained(runner);
    runner_nudge(runner);
}

static void stop(struct run *r)
{
    if (!r->cancelling && !r->ended) {
        r->cancelling = true;
        r->runner->builder->ops->cancel(r->runner->builder, &r->build);
    }
}

static void end_run(struct run *r);

static void flush_work(struct db_task *t, struct state *s)
{
    struct run *r = container_of(t, struct run, flush);
    struct queue_lease l = lease_of(r);
    r->cancel_asked = false;
    if (s->queue->ops->heartbeat(s->queue, &l, io_now_ms(), &r->cancel_asked, &t->problem.err))
        write_events(r, s, &t->problem.err);
}

static void flush_done(struct db_task *t)
{
    struct run *r = container_of(t, struct run, flush);
    r->flushing_now = false;
    if (!problem_is(&t->problem)) {
        bool told = r->flushing.n > 0;
        r->event_n += (int64_t)r->flushing.n;
        free_events(r);
        if (told)
            wake(r->runner, r->job.id, false);
        if (r->cancel_asked)
            stop(r);
    } else if (t->problem.err.code == ERR_CONFLICT || t->problem.err.code == ERR_NOT_FOUND) {
        log_line(r->runner->o.log, LOG_WARN, "build %s: %s", r->job.id, t->problem.err.text);
        r->lost = true;
        stop(r);
    }
    if (r->ended)
        end_run(r);
}

static void flush(struct run *r)
{
    if (r->flushing_now || r->ended)
        return;
    r->flushing_now = true;
    r->beat_ms = io_monotonic_ms();
    take_fresh(r);
    r->flush = (struct db_task){.work = flush_work, .done = flush_done};
    db_write(r->runner->db, &r->flush);
}

/* ---- the end of a run ---- */

static json_t *tail_json(const struct run *r)
{
    json_t *list = json_array();
    size_t first = r->tail_n > TAIL_LINES ? r->tail_n - TAIL_LINES : 0;
    for (size_t i = first; i < r->tail_n; i++)
        json_array_append_new(list, json_string(r->tail[i % TAIL_LINES]));
    return list;
}

static json_t *text_or_null(const char *s)
{
    json_t *v = s && s[0] ? json_string(s) : NULL;
    return v ? v : json_null();
}

static json_t *failure_json(const struct run *r)
{
    const struct builder_job *b = &r->build;
    json_t *f = json_object();
    json_object_set_new(f, "manager", text_or_null(b->manager));
    json_object_set_new(f, "package", text_or_null(b->package));
    json_object_set_new(f, "phase", text_or_null(b->phase));
    json_object_set_new(f, "code", json_string(err_code_name(b->err.code)));
    json_object_set_new(f, "message", text_or_null(b->err.text));
    json_object_set_new(f, "log_tail", tail_json(r));
    json_object_set(f, "managers", r->managers);
    return f;
}

static json_t *result_json(const struct run *r)
{
    const struct builder_job *b = &r->build;
    json_t *o = json_object();
    json_put_digest(o, "artifact", &b->artifact);
    json_object_set_new(o, "cached", json_boolean(b->cached));
    json_object_set_new(o, "warnings", b->warnings ? json_incref(b->warnings) : json_array());
    json_put_int(o, "received_bytes", (int64_t)b->received_bytes);
    json_put_int(o, "total_ms", b->total_ms);
    json_object_set(o, "managers", r->managers);
    return o;
}

/* Sessions that wait for it get their hold before anybody can see the artifact, so that no
 * collection comes between. */
static bool hold_for_pins(struct run *r, struct state *s, struct err *err)
{
    struct builder *b = r->runner->builder;
    AUTO_JSON json_t *names = NULL;
    if (!pin_waiting(s, r->job.id, &names, err))
        return false;
    size_t i;
    json_t *name;
    json_array_foreach (names, i, name) {
        if (!b->ops->pin(b, json_string_value(name), &r->build.artifact, err))
            return err->code ? false
                             : err_set(err, ERR_CORRUPT, "the artifact is not in the store");
    }
    return true;
}

static bool end_event(struct run *r, struct state *s, const struct job *job, struct err *err)
{
    AUTO_JSON json_t *data = json_object();
    json_put_str(data, "status", build_status(job));
    if (job->state == JOB_SUCCEEDED)
        json_put_digest(data, "artifact", &r->build.artifact);
    json_object_set_new(data, "failure", build_failure(job));
    text_put_time_ms(data, "next_attempt_at", job->state == JOB_QUEUED ? job->not_before_ms : 0);
    AUTO_FREE char *text = json_dumps(data, JSON_COMPACT | JSON_SORT_KEYS);
    int64_t n = r->event_n + (int64_t)r->flushing.n + 1;
    return event_add(s, r->job.id, n, job->state == JOB_QUEUED ? "retry" : "result", text, err);
}

static bool finish_in(struct run *r, struct state *s, struct job *job, struct err *err)
{
    struct builder_job *b = &r->build;
    struct queue_lease lease = lease_of(r);
    if (r->handing_back)
        return s->queue->ops->hand_back(s->queue, &lease, io_now_ms(), err);
    AUTO_JSON json_t *result = b->err.code ? failure_json(r) : result_json(r);
    AUTO_FREE char *text = json_dumps(result, JSON_COMPACT | JSON_SORT_KEYS);
    char artifact[DIGEST_TEXT_SIZE];
    struct queue_outcome o = {.state = b->err.code == ERR_CANCELLED ? JOB_CANCELLED
                                       : b->err.code                ? JOB_FAILED
                                                                    : JOB_SUCCEEDED,
                              .code = b->err.code,
                              .result = b->err.code ? NULL : text,
                              .failure = b->err.code ? text : NULL};
    struct build_end end = {.lease = &lease,
                            .outcome = &o,
                            .manifest = b->manifest,
                            .lock = b->lock_out,
                            .artifact = digest_text(&b->artifact, artifact)};
    return (b->err.code || hold_for_pins(r, s, err)) && build_finish(s, &end, job, err) &&
           write_events(r, s, err) && end_event(r, s, job, err);
}

static void finish_work(struct db_task *t, struct state *s)
{
    struct run *r = container_of(t, struct run, finish);
    AUTO_JOB struct job after = {0};
    finish_in(r, s, &after, &t->problem.err);
}

static void count_end(struct run *r)
{
    struct runner_counts *c = &r->runner->counts;
    if (r->lost)
        c->lost++;
    else if (r->build.err.code == ERR_CANCELLED)
        c->cancelled++;
    else if (r->build.err.code)
        c->failed++;
    else
        c->succeeded++;
    c->build_ms += (uint64_t)r->build.total_ms;
}

static void finish_done(struct db_task *t)
{
    struct run *r = container_of(t, struct run, finish);
    struct err *err = &t->problem.err;
    r->flushing_now = false;
    if (!err->code || err->code == ERR_CONFLICT || err->code == ERR_NOT_FOUND) {
        r->lost = err->code != ERR_NONE;
        count_end(r);
        run_over(r);
        return;
    }
    log_line(r->runner->o.log, LOG_ERROR, "build %s: its end cannot be written: %s", r->job.id,
             err->text);
    bool vanished = err->code == ERR_CORRUPT; /* collected before a session could hold it */
    if ((vanished || !err_retryable(err->code)) && !r->hopeless) {
        r->hopeless = true; /* the result cannot be kept: that is a failure of the build */
        r->build.err = *err;
        err_wrap(&r->build.err, "the result cannot be recorded");
        end_run(r);
        return;
    }
    if (r->runner->draining) { /* its lease runs out, and another worker goes on */
        r->lost = true;
        count_end(r);
        run_over(r);
        return;
    }
    r->beat_ms = io_monotonic_ms(); /* the tick tries again */
}

static void end_run(struct run *r)
{
    if (r->flushing_now)
        return;
    if (r->lost) {
        count_end(r);
        run_over(r);
        return;
    }
    r->flushing_now = true;
    take_fresh(r);
    r->finish = (struct db_task){.work = finish_work, .done = finish_done};
    db_write(r->runner->db, &r->finish);
}

static void on_built(struct builder_job *b)
{
    struct run *r = b->ctx;
    look(r);
    r->managers = r->runner->builder->ops->progress(r->runner->builder, b);
    if (!r->managers)
        r->managers = json_object();
    r->ended = true;
    /* Whatever broke while it was being stopped, it was stopped. */
    if (r->cancelling && b->err.code && b->err.code != ERR_CANCELLED)
        err_set(&b->err, ERR_CANCELLED, "the build was cancelled");
    if (r->handing_back && !b->err.code)
        r->handing_back = false; /* it was done just before */
    if (b->err.code && b->err.code != ERR_CANCELLED)
        on_line(b, "error", b->err.text);
    end_run(r);
}

/* ---- taking builds ---- */

static void start(struct run *r)
{
    struct runner *runner = r->runner;
    r->next = runner->runs.next;
    r->prev = &runner->runs;
    r->next->prev = r->prev->next = r;
    runner->counts.running++;
    r->beat_ms = io_monotonic_ms();
    r->build = (struct builder_job){.id = r->job.id,
                                    .packages = json_object_get(r->payload, "packages"),
                                    .lock = r->lock,
                                    .forbidden = json_get_bool(r->payload, "forbidden", false),
                                    .refresh = json_get_bool(r->payload, "refresh", false),
                                    .line = on_line,
                                    .done = on_built,
                                    .ctx = r};
    add_event(r, "phase",
              json_pack("{s:s, s:i, s:s}", "phase", "started", "attempt", r->job.attempts, "worker",
                        runner->o.worker));
    runner->builder->ops->start(runner->builder, &r->build);
    if (runner->draining) {
        r->handing_back = true;
        stop(r);
    }
    flush(r);
}

static bool read_job(struct run *r, struct state *s, struct err *err)
{
    r->payload = json_parse(span_str(r->job.payload), err);
    if (!r->payload)
        return false;
    const char *lock = json_get_str(r->payload, "lock");
    return (!lock || build_lock(s, lock, &r->lock, err)) &&
           event_last(s, r->job.id, &r->event_n, err);
}

static void drop_taken(struct run *r)
{
    job_release(&r->job);
    json_decref(r->payload);
    json_decref(r->lock);
    free(r);
}

/* A job whose rows do not add up would come back for ever: it fails. */
static bool fail_unreadable(struct run *r, struct state *s, struct err *err)
{
    struct queue_lease lease = lease_of(r);
    AUTO_JSON json_t *failure = json_pack("{s:s, s:s, s:s}", "phase", "start", "code",
                                          err_code_name(err->code), "message", err->text);
    AUTO_FREE char *text = json_dumps(failure, JSON_COMPACT);
    struct queue_outcome o = {.state = JOB_FAILED, .code = ERR_INTERNAL, .failure = text};
    err_clear(err);
    return s->queue->ops->finish(s->queue, &lease, &o, io_now_ms(), NULL, err);
}

static void take_work(struct db_task *t, struct state *s)
{
    struct runner *runner = container_of(t, struct runner, take);
    struct err *err = &t->problem.err;
    size_t reaped;
    struct run *r = MEM_NEW(struct run);
    r->runner = runner;
    bool got = s->queue->ops->reap(s->queue, io_now_ms(), &reaped, err) &&
               s->queue->ops->lease(s->queue, runner->o.worker, io_now_ms(), &r->job, err) &&
               r->job.id[0];
    if (got && !read_job(r, s, err)) {
        got = false;
        if (err->code == ERR_CORRUPT || !err_retryable(err->code))
            fail_unreadable(r, s, err);
    }
    if (got)
        runner->taken = r;
    else
        drop_taken(r);
}

static void take_done(struct db_task *t)
{
    struct runner *r = container_of(t, struct runner, take);
    struct run *got = TAKE(r->taken);
    r->taking = false;
    if (problem_is(&t->problem)) {
        if (got) /* the commit failed: the lease is none */
            drop_taken(got);
        log_line(r->o.log, LOG_ERROR, "queue: %s", t->problem.err.text);
        check_drained(r);
        return;
    }
    if (got) {
        start(got);
        r->again = true;
    }
    if (r->again)
        runner_nudge(r);
    check_drained(r);
}

void runner_nudge(struct runner *r)
{
    if (r->taking) {
        r->again = true;
        return;
    }
    r->again = false;
    if (r->draining || r->counts.running >= r->o.jobs)
        return;
    r->taking = true;
    r->poll_ms = io_monotonic_ms();
    r->take = (struct db_task){.work = take_work, .done = take_done};
    db_write(r->db, &r->take);
}

/* ---- the clock ---- */

static void prune_work(struct db_task *t, struct state *s)
{
    struct runner *r = container_of(t, struct runner, prune);
    size_t n;
    build_prune(s, io_now_ms() - r->o.keep_ms, 500, &n, &t->problem.err);
}

static void prune_done(struct db_task *t)
{
    struct runner *r = container_of(t, struct runner, prune);
    r->pruning = false;
    check_drained(r);
}

static void maybe_prune(struct runner *r, int64_t now)
{
    if (!r->o.keep_ms || r->pruning || r->draining || now - r->prune_ms < PRUNE_MS)
        return;
    r->pruning = true;
    r->prune_ms = now;
    r->prune = (struct db_task){.work = prune_work, .done = prune_done};
    db_write(r->db, &r->prune);
}

static void tick_run(struct run *r, int64_t now)
{
    if (r->ended) {
        if (now - r->beat_ms >= HEARTBEAT_MS)
            end_run(r);
        return;
    }
    look(r);
    if (r->fresh.n || r->flushing.n || now - r->beat_ms >= HEARTBEAT_MS)
        flush(r);
}

static void on_tick(uv_timer_t *t)
{
    struct runner *r = container_of(t, struct runner, tick);
    int64_t now = io_monotonic_ms();
    for (struct run *run = r->runs.next, *next; run != &r->runs; run = next) {
        next = run->next;
        tick_run(run, now);
    }
    if (r->draining && now >= r->drain_at_ms) {
        for (struct run *run = r->runs.next, *next; run != &r->runs; run = next) {
            next = run->next;
            if (!run->cancelling)
                run->handing_back = true;
            stop(run);
        }
    }
    maybe_prune(r, now);
    if (now - r->poll_ms >= 1000)
        runner_nudge(r);
}

/* ---- the outside ---- */

static struct run *find(struct runner *r, const char *build)
{
    for (struct run *run = r->runs.next; run != &r->runs; run = run->next)
        if (strcmp(run->job.id, build) == 0)
            return run;
    return NULL;
}

void runner_cancel(struct runner *r, const char *build)
{
    struct run *run = find(r, build);
    if (run)
        stop(run);
}

json_t *runner_progress(struct runner *r, const char *build)
{
    struct run *run = find(r, build);
    return run && !run->ended ? r->builder->ops->progress(r->builder, &run->build) : NULL;
}

void runner_set_jobs(struct runner *r, unsigned jobs)
{
    r->o.jobs = jobs;
    runner_nudge(r);
}

struct runner_counts runner_counts(const struct runner *r)
{
    return r->counts;
}

struct runner *runner_new(uv_loop_t *loop, struct db *db, struct builder *builder,
                          const struct runner_options *options)
{
    struct runner *r = MEM_NEW(struct runner);
    r->loop = loop;
    r->db = db;
    r->builder = builder;
    r->o = *options;
    r->runs.next = r->runs.prev = &r->runs;
    r->watches.next = r->watches.prev = &r->watches;
    uv_timer_init(loop, &r->tick);
    uv_timer_start(&r->tick, on_tick, 0, TICK_MS);
    return r;
}

static void check_drained(struct runner *r)
{
    if (r->draining && r->drained && !r->taking && !r->pruning && r->runs.next == &r->runs) {
        void (*done)(void *) = TAKE(r->drained);
        done(r->drained_ctx);
    }
}

void runner_drain(struct runner *r, int64_t deadline_ms, void (*done)(void *ctx), void *ctx)
{
    r->draining = true;
    r->drain_at_ms = io_monotonic_ms() + deadline_ms;
    r->drained = done;
    r->drained_ctx = ctx;
    check_drained(r);
}

static void on_closed(uv_handle_t *h)
{
    free(container_of((uv_timer_t *)h, struct runner, tick));
}

void runner_free(struct runner *r)
{
    if (!r)
        return;
    assert(r->runs.next == &r->runs);
    uv_close((uv_handle_t *)&r->tick, on_closed);
}
