/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/api/db.h"

#include <pthread.h>

#include "base/mem.h"

/* More would hold up the first of them for the sake of the last. */
#define MAX_BATCH 128

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
};

struct db {
    uv_async_t async;
    pthread_mutex_t mutex;
    struct task_list finished; /* under mutex */
    bool stop;                 /* under mutex */
    struct db_thread writer, reader;
    size_t pending; /* loop thread */
};

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

static void run_writes(struct state *s, struct db_task *first)
{
    struct err err = {0};
    if (!sql_begin(s->db, &err)) {
        fail_all(first, &err);
        return;
    }
    for (struct db_task *t = first; t; t = t->next)
        run_task(s, t);
    if (!sql_commit(s->db, &err))
        fail_all(first, &err);
}

static void run_reads(struct state *s, struct db_task *first)
{
    for (struct db_task *t = first; t; t = t->next) {
        if (!sql_begin_read(s->db, &t->problem.err))
            continue;
        t->work(t, s);
        sql_rollback(s->db);
    }
}

/* The next tasks, at most MAX_BATCH; NULL: stop. Called with the mutex held. */
static struct db_task *next_batch(struct db_thread *th)
{
    while (!th->waiting.first && !th->db->stop)
        pthread_cond_wait(&th->wake, &th->db->mutex);
    struct db_task *first = list_take_all(&th->waiting), *last = first;
    for (int n = 1; last && last->next && n < MAX_BATCH; n++)
        last = last->next;
    if (last && last->next) {
        struct db_task *rest = TAKE(last->next);
        while (rest) {
            struct db_task *next = rest->next;
            list_add(&th->waiting, rest);
            rest = next;
        }
    }
    return first;
}

static void *thread_main(void *arg)
{
    struct db_thread *th = arg;
    struct db *d = th->db;
    pthread_mutex_lock(&d->mutex);
    for (struct db_task *first; (first = next_batch(th));) {
        pthread_mutex_unlock(&d->mutex);
        if (th->writes)
            run_writes(&th->state, first);
        else
            run_reads(&th->state, first);
        pthread_mutex_lock(&d->mutex);
        while (first) {
            struct db_task *next = first->next;
            list_add(&d->finished, first);
            first = next;
        }
        uv_async_send(&d->async);
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
    th->db->pending++;
    pthread_mutex_lock(&th->db->mutex);
    list_add(&th->waiting, t);
    pthread_cond_signal(&th->wake);
    pthread_mutex_unlock(&th->db->mutex);
}

void db_write(struct db *d, struct db_task *t)
{
    submit(&d->writer, t);
}

void db_read(struct db *d, struct db_task *t)
{
    submit(&d->reader, t);
}

size_t db_pending(const struct db *d)
{
    return d->pending;
}

static void start(struct db *d, struct db_thread *th)
{
    th->db = d;
    pthread_cond_init(&th->wake, NULL);
    if (pthread_create(&th->thread, NULL, thread_main, th) != 0) {
        fprintf(stderr, "strata: cannot start a thread\n");
        abort();
    }
}

struct db *db_open(uv_loop_t *loop, const char *path, const struct queue_options *options,
                   struct err *err)
{
    struct db *d = MEM_NEW(struct db);
    if (!state_open(&d->writer.state, path, false, options, err) ||
        !state_open(&d->reader.state, path, true, options, err)) {
        state_close(&d->writer.state);
        free(d);
        return NULL;
    }
    pthread_mutex_init(&d->mutex, NULL);
    uv_async_init(loop, &d->async, on_async);
    d->writer.writes = true;
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
    pthread_mutex_lock(&d->mutex);
    d->stop = true;
    pthread_cond_signal(&d->writer.wake);
    pthread_cond_signal(&d->reader.wake);
    pthread_mutex_unlock(&d->mutex);
    stop(&d->writer);
    stop(&d->reader);
    on_async(&d->async);
    uv_close((uv_handle_t *)&d->async, on_closed);
}
