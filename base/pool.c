/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"

#include <assert.h>
#include <sched.h>

#include "base/mem.h"

#define MAX_THREADS 256

struct pool {
    uv_async_t wake; /* on the loop, when `finished` has something */
    uv_mutex_t mutex;
    uv_cond_t cond;
    VEC(struct pool_task *) heap; /* waiting; the next one first */
    struct pool_task *finished, **finished_end;
    uint64_t submitted;
    size_t open; /* submitted and done() not yet called; loop thread reads under mutex */
    bool started, stop;
    unsigned thread_count;
    uv_thread_t threads[MAX_THREADS];
};

static bool before(const struct pool_task *a, const struct pool_task *b)
{
    return a->priority != b->priority ? a->priority > b->priority : a->order < b->order;
}

static void heap_push(struct pool *p, struct pool_task *t)
{
    *VEC_PUSH(&p->heap) = t;
    size_t i = p->heap.n - 1;
    for (; i > 0 && before(t, p->heap.v[(i - 1) / 2]); i = (i - 1) / 2)
        p->heap.v[i] = p->heap.v[(i - 1) / 2];
    p->heap.v[i] = t;
}

static struct pool_task *heap_pop(struct pool *p)
{
    struct pool_task *top = p->heap.v[0], *last = p->heap.v[--p->heap.n];
    size_t i = 0, n = p->heap.n;
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(p->heap.v[child + 1], p->heap.v[child]))
            child++;
        if (!before(p->heap.v[child], last))
            break;
        p->heap.v[i] = p->heap.v[child];
    }
    if (n)
        p->heap.v[i] = last;
    return top;
}

static void thread_main(void *arg)
{
    struct pool *p = arg;
    uv_mutex_lock(&p->mutex);
    for (;;) {
        while (p->heap.n == 0 && !p->stop)
            uv_cond_wait(&p->cond, &p->mutex);
        if (p->stop)
            break;
        struct pool_task *t = heap_pop(p);
        uv_mutex_unlock(&p->mutex);
        t->work(t);
        uv_mutex_lock(&p->mutex);
        t->next = NULL;
        *p->finished_end = t;
        p->finished_end = &t->next;
        uv_async_send(&p->wake);
    }
    uv_mutex_unlock(&p->mutex);
}

static void on_wake(uv_async_t *wake)
{
    struct pool *p = container_of(wake, struct pool, wake);
    uv_mutex_lock(&p->mutex);
    struct pool_task *t = p->finished;
    p->finished = NULL;
    p->finished_end = &p->finished;
    for (struct pool_task *i = t; i; i = i->next)
        p->open--;
    if (p->open == 0)
        uv_unref((uv_handle_t *)&p->wake);
    uv_mutex_unlock(&p->mutex);
    for (struct pool_task *next; t; t = next) {
        next = t->next;
        t->done(t);
    }
}

static unsigned usable_cpus(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : (unsigned)n;
}

struct pool *pool_new(uv_loop_t *loop, unsigned threads)
{
    struct pool *p = MEM_NEW(struct pool);
    p->finished_end = &p->finished;
    p->thread_count = threads == 0 ? usable_cpus() : threads > MAX_THREADS ? MAX_THREADS : threads;
    if (uv_async_init(loop, &p->wake, on_wake) || uv_mutex_init(&p->mutex) ||
        uv_cond_init(&p->cond))
        abort();
    uv_unref((uv_handle_t *)&p->wake); /* an idle pool keeps no loop alive */
    return p;
}

unsigned pool_threads(const struct pool *p)
{
    return p->thread_count;
}

/* A known build has no work for them, so they wait for the first. */
static void start_threads(struct pool *p)
{
    p->started = true;
    for (unsigned i = 0; i < p->thread_count; i++)
        if (uv_thread_create(&p->threads[i], thread_main, p))
            abort();
}

void pool_submit(struct pool *p, struct pool_task *t, int64_t priority)
{
    uv_mutex_lock(&p->mutex);
    if (!p->started)
        start_threads(p);
    t->priority = priority;
    t->order = p->submitted++;
    if (p->open++ == 0)
        uv_ref((uv_handle_t *)&p->wake);
    heap_push(p, t);
    uv_cond_signal(&p->cond);
    uv_mutex_unlock(&p->mutex);
}

bool pool_idle(struct pool *p)
{
    uv_mutex_lock(&p->mutex);
    bool idle = p->open == 0;
    uv_mutex_unlock(&p->mutex);
    return idle;
}

static void on_closed(uv_handle_t *wake)
{
    struct pool *p = container_of(wake, struct pool, wake);
    uv_mutex_destroy(&p->mutex);
    uv_cond_destroy(&p->cond);
    VEC_FREE(&p->heap);
    free(p);
}

void pool_close(struct pool *p)
{
    if (!p)
        return;
    uv_mutex_lock(&p->mutex);
    p->stop = true;
    uv_cond_broadcast(&p->cond);
    uv_mutex_unlock(&p->mutex);
    for (unsigned i = 0; p->started && i < p->thread_count; i++)
        uv_thread_join(&p->threads[i]);
    uv_close((uv_handle_t *)&p->wake, on_closed);
}
