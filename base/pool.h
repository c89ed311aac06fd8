/* SPDX-License-Identifier: Apache-2.0 */
/* pool.h - threads for CPU work beside one libuv loop, by priority.
 *
 * libuv's own pool is first-in first-out and shared with file and DNS calls; packing wants
 * the work that frees memory soonest (hash and write, then compress, then inflate) and the
 * biggest package first, so it has threads of its own.
 *
 * Ownership: a task is the caller's memory and must live until its done() returns. done()
 *            runs on the loop thread, exactly once, never from inside pool_submit.
 * Units:     priority: the higher runs first; equal ones in order of submission.
 * Errors:    work() keeps its own result in the struct around the task.
 * Threads:   all on the loop thread; pool_submit also from inside a work(). */
#ifndef STRATA_BASE_POOL_H
#define STRATA_BASE_POOL_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct pool;

struct pool_task {
    void (*work)(struct pool_task *t); /* on a pool thread */
    void (*done)(struct pool_task *t); /* on the loop thread */
    /* The pool's own: */
    int64_t priority;
    uint64_t order;
    struct pool_task *next;
};

struct pool *pool_new(uv_loop_t *loop, unsigned threads); /* 0: one per CPU we may use */
unsigned pool_threads(const struct pool *p);
void pool_submit(struct pool *p, struct pool_task *t, int64_t priority);

bool pool_idle(struct pool *p); /* no task is open: all done()s were called */

/* Waits for the tasks that run, drops the waiting ones without done(), stops the threads.
 * The loop must run once more for the handle to close. */
void pool_close(struct pool *p);

#endif
