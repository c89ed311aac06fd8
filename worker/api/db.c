/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/api/db.h"

#include <pthread.h>

#include "base/mem.h"

/* More work in one transaction would hold up its first task for the sake of its last; but a
 * commit should not cost more than what it commits, however slow the disk. */
#define MAX_BATCH_US 2000

/* The log is merged by a thread that nobody waits for, at most so often. Should it fall behind, the
 * writer helps once the log has so many pages. */
#define MERGE_MS        250
#define MERGE_MAX_PAGES 16384

struct task_list {
    struct db_task *first, **end;
};

struct db_thread {
    struct db *db;
    pthread_t thread;
    struct state state;
    struct task_list waiting; /* under db->mutex */
    pthread_cond_t wake;
    bool writes;
    int64_t commit_us; /* of the last commit */
};

struct db {
    uv_async_t async;
    pthread_mutex_t mutex;
    struct task_list finished; /* under mutex */
    bool stop, stop_writer;    /* under mutex */
    struct db_thread writer, reader;
    struct sql *merging;
    pthread_t merger;
    pthread_cond_t merge;
    bool unmerged, stop_merger; /* under mutex */
    struct db_stats stats;      /* under mutex */
    bool (*settle)(void *ctx, struct err *err);
    void *settle_ctx;
    size_t pending; /* loop thread */
};

const int64_t db_bucket_us[DB_BUCKETS - 1] = {500,   1000,   2500,   5000,   10000,
                                              25000, 100000, 500000, 2500000};

void db_times_add(struct db_times *t, int64_t us)
{
    size_t b = 0;
    while (b + 1 < DB_BUCKETS && us > db_bucket_us[b])
        b++;
    t->buckets[b]++;
    t->count++;
    t->us += (uint64_t)(us > 0 ? us : 0);
}

static int64_t now_us(void)
{
    return (int64_t)(uv_hrtime() / 1000);
}

static void list_add(struct task_list *l, struct db_task *t)
{
    t->next = NULL;
    if (!l->first)
        l->end = &l->first;
    *l->end = t;
    l->end = &t->next;
}

static struct db_task *list_take_all(struct task_list *l)
{
    return TAKE(l->first);
}

static struct db_task *list_take(struct task_list *l)
{
    struct db_task *t = l->first;
    if (t)
        l->first = TAKE(t->next);
    return t;
}

static void run_task(struct state *s, struct db_task *t)
{
    if (!sql_begin(s->db, &t->problem.err))
        return;
    t->work(t, s);
    if (problem_is(&t->problem))
        sql_rollback(s->db);
    else
        sql_commit(s->db, &t->problem.err);
}

static void fail_all(struct db_task *first, const struct err *err)
{
    for (struct db_task *t = first; t; t = t->next)
        if (!problem_is(&t->problem)) {
            t->problem.err = *err;
            t->problem.retry_after_ms = 1000;
        }
}

/* The next task that waits, or NULL; `t` was handed over long before. Takes the mutex. */
static struct db_task *take(struct db_thread *th, struct db_times *waited)
{
    pthread_mutex_lock(&th->db->mutex);
    struct db_task *t = list_take(&th->waiting);
    if (t)
        db_times_add(waited, now_us() - t->since_us);
    pthread_mutex_unlock(&th->db->mutex);
    return t;
}

static void finish(struct db *d, struct db_task *first)
{
    pthread_mutex_lock(&d->mutex);
    while (first) {
        struct db_task *next = first->next;
        list_add(&d->finished, first);
        first = next;
    }
    pthread_mutex_unlock(&d->mutex);
    uv_async_send(&d->async);
}

static bool commit(struct db_thread *th, size_t tasks, struct err *err)
{
    struct db *d = th->db;
    int64_t began = now_us();
    bool ok = !d->settle || d->settle(d->settle_ctx, err);
    if (ok)
        ok = sql_commit(th->state.db, err);
    else
        sql_rollback(th->state.db);
    th->commit_us = now_us() - began;
    pthread_mutex_lock(&d->mutex);
    db_times_add(&d->stats.commit, th->commit_us);
    d->stats.written += tasks;
    d->unmerged = true;
    pthread_cond_signal(&d->merge);
    pthread_mutex_unlock(&d->mutex);
    return ok;
}

/* One transaction of what waits and what comes meanwhile. */
static void write_batch(struct db_thread *th)
{
    struct err err = {0};
    struct task_list batch = {0};
    struct db_task *t;
    size_t n = 0;
    int64_t most = th->commit_us > MAX_BATCH_US ? th->commit_us : MAX_BATCH_US;
    bool begun = sql_begin(th->state.db, &err);
    int64_t until = now_us() + most;
    while ((n == 0 || now_us() < until) && (t = take(th, &th->db->stats.write_wait))) {
        n++;
        if (begun)
            run_task(&th->state, t);
        list_add(&batch, t);
    }
    if (!begun || !commit(th, n, &err))
        fail_all(batch.first, &err);
    finish(th->db, batch.first);
}

static void submit(struct db_thread *th, struct db_task *t);

static void read_one(struct db_thread *th)
{
    struct db_task *t = take(th, &th->db->stats.read_wait);
    if (sql_begin_read(th->state.db, &t->problem.err)) {
        t->work(t, &th->state);
        sql_rollback(th->state.db);
    }
    if (t->write && !problem_is(&t->problem)) {
        t->work = TAKE(t->write);
        submit(&th->db->writer, t);
    } else {
        finish(th->db, t);
    }
}

static void *thread_main(void *arg)
{
    struct db_thread *th = arg;
    struct db *d = th->db;
    for (;;) {
        pthread_mutex_lock(&d->mutex);
        /* The reader may still hand tasks on to the writer, which therefore ends after it. */
        while (!th->waiting.first && !(th->writes ? d->stop_writer : d->stop))
            pthread_cond_wait(&th->wake, &d->mutex);
        bool over = !th->waiting.first;
        pthread_mutex_unlock(&d->mutex);
        if (over)
            return NULL;
        if (th->writes)
            write_batch(th);
        else
            read_one(th);
    }
}

static void *merger_main(void *arg)
{
    struct db *d = arg;
    pthread_mutex_lock(&d->mutex);
    while (!d->stop_merger) {
        if (!d->unmerged) {
            pthread_cond_wait(&d->merge, &d->mutex);
            continue;
        }
        d->unmerged = false;
        pthread_mutex_unlock(&d->mutex);
        struct err ignored; /* what is not merged now is merged later */
        sql_merge(d->merging, &ignored);
        pthread_mutex_lock(&d->mutex);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += MERGE_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        while (!d->stop_merger && pthread_cond_timedwait(&d->merge, &d->mutex, &until) == 0)
            ;
    }
    pthread_mutex_unlock(&d->mutex);
    return NULL;
}

static void on_async(uv_async_t *h)
{
    struct db *d = container_of(h, struct db, async);
    pthread_mutex_lock(&d->mutex);
    struct db_task *t = list_take_all(&d->finished);
    pthread_mutex_unlock(&d->mutex);
    while (t) {
        struct db_task *next = t->next;
        d->pending--;
        t->done(t);
        t = next;
    }
}

static void submit(struct db_thread *th, struct db_task *t)
{
    t->since_us = now_us();
    pthread_mutex_lock(&th->db->mutex);
    list_add(&th->waiting, t);
    pthread_cond_signal(&th->wake);
    pthread_mutex_unlock(&th->db->mutex);
}

void db_write(struct db *d, struct db_task *t)
{
    d->pending++;
    submit(&d->writer, t);
}

void db_read(struct db *d, struct db_task *t)
{
    d->pending++;
    submit(&d->reader, t);
}

void db_before_commit(struct db *d, bool (*settle)(void *ctx, struct err *err), void *ctx)
{
    pthread_mutex_lock(&d->mutex);
    d->settle = settle;
    d->settle_ctx = ctx;
    pthread_mutex_unlock(&d->mutex);
}

struct db_stats db_stats(struct db *d)
{
    pthread_mutex_lock(&d->mutex);
    struct db_stats copy = d->stats;
    pthread_mutex_unlock(&d->mutex);
    return copy;
}

size_t db_pending(const struct db *d)
{
    return d->pending;
}

static void run_thread(pthread_t *thread, void *(*main)(void *arg), void *arg)
{
    if (pthread_create(thread, NULL, main, arg) != 0) {
        fprintf(stderr, "strata: cannot start a thread\n");
        abort();
    }
}

static void start(struct db *d, struct db_thread *th)
{
    th->db = d;
    pthread_cond_init(&th->wake, NULL);
    run_thread(&th->thread, thread_main, th);
}

struct db *db_open(uv_loop_t *loop, const char *path, const struct queue_options *options,
                   struct err *err)
{
    struct db *d = MEM_NEW(struct db);
    if (!state_open(&d->writer.state, path, false, options, err) ||
        !state_open(&d->reader.state, path, true, options, err) ||
        !(d->merging = sql_open(path, NULL, err))) {
        state_close(&d->writer.state);
        state_close(&d->reader.state);
        free(d);
        return NULL;
    }
    pthread_mutex_init(&d->mutex, NULL);
    uv_async_init(loop, &d->async, on_async);
    d->writer.writes = true;
    sql_merge_after(d->writer.state.db, MERGE_MAX_PAGES);
    pthread_cond_init(&d->merge, NULL);
    run_thread(&d->merger, merger_main, d);
    start(d, &d->writer);
    start(d, &d->reader);
    return d;
}

static void stop(struct db_thread *th)
{
    pthread_join(th->thread, NULL);
    pthread_cond_destroy(&th->wake);
    state_close(&th->state);
}

static void tell_to_stop(struct db_thread *th, bool *flag)
{
    pthread_mutex_lock(&th->db->mutex);
    *flag = true;
    pthread_cond_signal(&th->wake);
    pthread_mutex_unlock(&th->db->mutex);
}

static void on_closed(uv_handle_t *h)
{
    struct db *d = container_of((uv_async_t *)h, struct db, async);
    pthread_mutex_destroy(&d->mutex);
    free(d);
}

void db_free(struct db *d)
{
    if (!d)
        return;
    tell_to_stop(&d->reader, &d->stop);
    stop(&d->reader);
    tell_to_stop(&d->writer, &d->stop_writer);
    stop(&d->writer);
    pthread_mutex_lock(&d->mutex);
    d->stop_merger = true;
    pthread_cond_signal(&d->merge);
    pthread_mutex_unlock(&d->mutex);
    pthread_join(d->merger, NULL);
    pthread_cond_destroy(&d->merge);
    sql_close(d->merging);
    on_async(&d->async);
    uv_close((uv_handle_t *)&d->async, on_closed);
}
