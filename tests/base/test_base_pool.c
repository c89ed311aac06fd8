/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/pool.h"
#include "tests/test_main.h"

struct job {
    struct pool_task task;
    struct pool *pool;
    struct job *child; /* submitted from inside work() */
    int id, *order, *finished;
    int ran;
};

static void work(struct pool_task *t)
{
    struct job *j = container_of(t, struct job, task);
    j->ran++;
    if (j->order)
        j->order[(*j->finished)++] = j->id;
    if (j->child)
        pool_submit(j->pool, &j->child->task, 0);
}

static void done(struct pool_task *t)
{
    struct job *j = container_of(t, struct job, task);
    j->ran += 10;
}

START_TEST(every_task_runs_once_and_is_reported_once)
{
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct pool *p = pool_new(&loop, 4);
    static struct job jobs[1000], children[1000];
    for (int i = 0; i < 1000; i++) {
        children[i].task = (struct pool_task){work, done, 0, 0, NULL};
        jobs[i] = (struct job){.task = {work, done, 0, 0, NULL}, .pool = p, .child = &children[i]};
        pool_submit(p, &jobs[i].task, i % 7);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int i = 0; i < 1000; i++)
        ck_assert(jobs[i].ran == 11 && children[i].ran == 11);
    pool_close(p);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

static void gate_work(struct pool_task *t)
{
    (void)t;
    uv_sleep(20);
}

static void gate_done(struct pool_task *t)
{
    (void)t;
}

START_TEST(higher_priority_first_then_in_order)
{
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct pool *p = pool_new(&loop, 1);
    int order[6], finished = 0;
    static const int prio[6] = {1, 5, 1, 9, 5, 1}, want[6] = {3, 1, 4, 0, 2, 5};
    struct pool_task gate = {gate_work, gate_done, 0, 0, NULL};
    struct job jobs[6];
    pool_submit(p, &gate, 100); /* keeps the one thread busy while we queue */
    uv_sleep(5);
    for (int i = 0; i < 6; i++) {
        jobs[i] = (struct job){
            .task = {work, done, 0, 0, NULL}, .id = i, .order = order, .finished = &finished};
        pool_submit(p, &jobs[i].task, prio[i]);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(order[i], want[i]);
    pool_close(p);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("base_pool");
    TCase *tc = tcase_create("pool");
    tcase_add_test(tc, every_task_runs_once_and_is_reported_once);
    tcase_add_test(tc, higher_priority_first_then_in_order);
    suite_add_tcase(s, tc);
    return s;
}
