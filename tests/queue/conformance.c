/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/queue/conformance.h"

#include <stdio.h>

#include "base/mem.h"

static const struct backend *backend;
static struct queue *q;
static struct err err;

static void open_with(const struct queue_options *o)
{
    queue_close(q);
    q = backend->open(o);
    ck_assert_ptr_nonnull(q);
}

static void set_up(void)
{
    backend->reset();
    q = NULL;
    err_clear(&err);
    open_with(&(struct queue_options){.seed = 1});
}

static void tear_down(void)
{
    queue_close(q);
    q = NULL;
}

static struct queue_added try_add(const char *workspace, const char *key,
                                  enum job_priority priority, int64_t now)
{
    struct queue_new n = {
        .workspace = workspace, .build_key = key, .payload = "{}", .priority = priority};
    struct queue_added out;
    err_clear(&err);
    q->ops->enqueue(q, &n, now, &out, &err);
    return out;
}

/* The id, in a static buffer of a few. */
static const char *add(const char *workspace, const char *key, enum job_priority priority,
                       int64_t now)
{
    static char ids[8][JOB_ID_SIZE];
    static int next;
    struct queue_added out = try_add(workspace, key, priority, now);
    ck_assert_msg(out.job.id[0], "%s", err.text);
    char *id = ids[next++ % 8];
    memcpy(id, out.job.id, JOB_ID_SIZE);
    job_release(&out.job);
    return id;
}

static struct job take(const char *worker, int64_t now)
{
    struct job j;
    ck_assert_msg(q->ops->lease(q, worker, now, &j, &err), "%s", err.text);
    return j;
}

static struct job get(const char *id)
{
    struct job j;
    ck_assert_msg(q->ops->get(q, id, &j, &err), "%s", err.text);
    return j;
}

static enum job_state state_of(const char *id)
{
    AUTO_JOB struct job j = get(id);
    return j.state;
}

static bool end(const struct job *j, enum job_state state, enum err_code code, int64_t now)
{
    struct queue_lease l = {j->id, j->lease_token};
    struct queue_outcome o = {.state = state, .code = code, .result = "{\"a\":1}"};
    err_clear(&err);
    return q->ops->finish(q, &l, &o, now, NULL, &err);
}

/* Leases and completes the next job, which must be of that key. */
static void take_and_end(const char *key, int64_t now)
{
    AUTO_JOB struct job j = take("w", now);
    ck_assert_msg(j.id[0], "no job, expected %s", key);
    ck_assert_str_eq(j.build_key, key);
    ck_assert(end(&j, JOB_SUCCEEDED, ERR_NONE, now));
}

static void nothing_to_take(int64_t now)
{
    AUTO_JOB struct job j = take("w", now);
    ck_assert_msg(!j.id[0], "got %s", j.build_key);
}

START_TEST(a_job_is_leased_once_and_ends_with_its_result)
{
    const char *id = add("ws", "k", JOB_NORMAL, 1000);
    AUTO_JOB struct job j = take("worker-1", 2000);
    ck_assert_str_eq(j.id, id);
    ck_assert_str_eq(j.worker, "worker-1");
    ck_assert_int_eq(j.attempts, 1);
    ck_assert_int_eq(j.lease_until_ms, 2000 + q->options.lease_ms);
    nothing_to_take(2000);
    ck_assert(end(&j, JOB_SUCCEEDED, ERR_NONE, 3000));
    AUTO_JOB struct job after = get(id);
    ck_assert_int_eq(after.state, JOB_SUCCEEDED);
    ck_assert_str_eq(after.result, "{\"a\":1}");
    ck_assert_str_eq(after.payload, "{}");
    ck_assert_int_eq(after.created_ms, 1000);
    ck_assert_int_eq(after.started_ms, 2000);
    ck_assert_int_eq(after.finished_ms, 3000);
    nothing_to_take(4000);
}
END_TEST

START_TEST(a_transient_failure_waits_longer_each_time_then_is_dead)
{
    const char *id = add("ws", "k", JOB_NORMAL, 0);
    int64_t now = 1, previous = 0;
    for (int attempt = 1; attempt <= q->options.max_attempts; attempt++) {
        AUTO_JOB struct job j = take("w", now);
        ck_assert_str_eq(j.id, id);
        ck_assert_int_eq(j.attempts, attempt);
        ck_assert(end(&j, JOB_FAILED, ERR_NETWORK, now));
        AUTO_JOB struct job after = get(id);
        ck_assert_str_eq(after.code, "network_error");
        if (attempt == q->options.max_attempts) {
            ck_assert_int_eq(after.state, JOB_DEAD);
            break;
        }
        ck_assert_int_eq(after.state, JOB_QUEUED);
        int64_t delay = after.not_before_ms - now,
                full = q->options.backoff_first_ms << (attempt - 1);
        ck_assert(delay >= full / 2 && delay <= full && delay >= previous);
        previous = full / 2;
        nothing_to_take(after.not_before_ms - 1);
        now = after.not_before_ms;
    }
    nothing_to_take(now + 1000000000);
    struct queue_stats stats;
    ck_assert(q->ops->stats(q, &stats, &err));
    ck_assert_int_eq(stats.dead, 1);
    ck_assert_int_eq(stats.queued, 0);
}
END_TEST

START_TEST(a_permanent_failure_is_never_tried_again)
{
    const char *id = add("ws", "k", JOB_NORMAL, 0);
    AUTO_JOB struct job j = take("w", 1);
    ck_assert(end(&j, JOB_FAILED, ERR_UNRESOLVABLE, 2));
    ck_assert_int_eq(state_of(id), JOB_FAILED);
    nothing_to_take(1000000000);
}
END_TEST

START_TEST(an_expired_lease_is_taken_by_another_and_the_first_is_fenced_off)
{
    const char *id = add("ws", "k", JOB_NORMAL, 0);
    AUTO_JOB struct job first = take("w1", 0);
    size_t n;
    ck_assert(q->ops->reap(q, q->options.lease_ms - 1, &n, &err) && n == 0);
    ck_assert(q->ops->reap(q, q->options.lease_ms, &n, &err) && n == 1);
    AUTO_JOB struct job waiting = get(id);
    ck_assert_int_eq(waiting.state, JOB_QUEUED);
    AUTO_JOB struct job second = take("w2", waiting.not_before_ms);
    ck_assert_str_eq(second.id, id);
    bool cancel;
    struct queue_lease l = {first.id, first.lease_token};
    ck_assert(!q->ops->heartbeat(q, &l, 1, &cancel, &err) && err.code == ERR_CONFLICT);
    ck_assert(!end(&first, JOB_SUCCEEDED, ERR_NONE, 1) && err.code == ERR_CONFLICT);
    ck_assert(end(&second, JOB_SUCCEEDED, ERR_NONE, 1));
}
END_TEST

START_TEST(a_heartbeat_prolongs_the_lease)
{
    add("ws", "k", JOB_NORMAL, 0);
    AUTO_JOB struct job j = take("w", 0);
    struct queue_lease l = {j.id, j.lease_token};
    bool cancel = true;
    size_t n;
    ck_assert(q->ops->heartbeat(q, &l, q->options.lease_ms - 1, &cancel, &err));
    ck_assert(!cancel);
    ck_assert(q->ops->reap(q, q->options.lease_ms + 1, &n, &err) && n == 0);
    ck_assert(q->ops->reap(q, 2 * q->options.lease_ms, &n, &err) && n == 1);
}
END_TEST

START_TEST(handing_back_counts_no_attempt)
{
    const char *id = add("ws", "k", JOB_NORMAL, 0);
    AUTO_JOB struct job j = take("w", 0);
    struct queue_lease l = {j.id, j.lease_token};
    ck_assert(q->ops->hand_back(q, &l, 1, &err));
    AUTO_JOB struct job again = take("w", 1);
    ck_assert_str_eq(again.id, id);
    ck_assert_int_eq(again.attempts, 1);
    ck_assert(!q->ops->hand_back(q, &l, 1, &err) && err.code == ERR_CONFLICT);
}
END_TEST

START_TEST(equal_work_joins_inside_a_workspace_and_waits_across_them)
{
    const char *a = add("a", "k", JOB_WARM, 0);
    struct queue_added joined = try_add("a", "k", JOB_INTERACTIVE, 1);
    ck_assert_int_eq(joined.how, QUEUE_JOINED);
    ck_assert_str_eq(joined.job.id, a);
    ck_assert_int_eq(joined.job.priority, JOB_INTERACTIVE);
    job_release(&joined.job);
    const char *b = add("b", "k", JOB_NORMAL, 2);
    ck_assert_str_ne(a, b);
    AUTO_JOB struct job j = take("w1", 3);
    ck_assert_str_eq(j.id, a);
    nothing_to_take(4);
    ck_assert_int_eq(state_of(b), JOB_QUEUED);
    ck_assert(end(&j, JOB_SUCCEEDED, ERR_NONE, 5));
    AUTO_JOB struct job k = take("w2", 6);
    ck_assert_str_eq(k.id, b);
    ck_assert(end(&k, JOB_SUCCEEDED, ERR_NONE, 7));
    struct queue_added fresh = try_add("a", "k", JOB_NORMAL, 8);
    ck_assert_int_eq(fresh.how, QUEUE_ADDED);
    job_release(&fresh.job);
}
END_TEST

START_TEST(a_job_apart_joins_nothing_but_never_runs_beside_its_key)
{
    const char *a = add("a", "k", JOB_NORMAL, 0);
    struct queue_new n = {
        .workspace = "a", .build_key = "k", .payload = "{}", .apart = true, .priority = JOB_NORMAL};
    struct queue_added out;
    ck_assert(q->ops->enqueue(q, &n, 1, &out, &err));
    ck_assert_int_eq(out.how, QUEUE_ADDED);
    ck_assert_str_ne(out.job.id, a);
    job_release(&out.job);
    AUTO_JOB struct job j = take("w", 2);
    nothing_to_take(3);
    ck_assert(end(&j, JOB_FAILED, ERR_INVALID, 4));
    AUTO_JOB struct job k = take("w", 5);
    ck_assert(k.id[0]);
}
END_TEST

START_TEST(a_parked_job_goes_on_however_the_running_one_ends)
{
    static const struct {
        enum job_state state;
        enum err_code code;
    } ends[] = {{JOB_SUCCEEDED, ERR_NONE},
                {JOB_FAILED, ERR_INVALID},
                {JOB_FAILED, ERR_NETWORK},
                {JOB_CANCELLED, ERR_CANCELLED}};
    add("a", "k", JOB_NORMAL, 0);
    const char *b = add("b", "k", JOB_NORMAL, 0);
    AUTO_JOB struct job j = take("w", 1);
    nothing_to_take(1);
    ck_assert(end(&j, ends[_i].state, ends[_i].code, 2));
    AUTO_JOB struct job k = take("w", 3);
    ck_assert_str_eq(k.id, b);
}
END_TEST

START_TEST(an_idempotency_key_gives_the_same_job_and_refuses_another_request)
{
    struct digest one = digest_of(SPAN("one")), two = digest_of(SPAN("two"));
    struct queue_new n = {.workspace = "ws",
                          .build_key = "k",
                          .payload = "{}",
                          .idempotency_key = "retry-1",
                          .request = &one,
                          .priority = JOB_NORMAL};
    struct queue_added first, again;
    ck_assert(q->ops->enqueue(q, &n, 0, &first, &err));
    AUTO_JOB struct job j = take("w", 1);
    ck_assert(end(&j, JOB_SUCCEEDED, ERR_NONE, 2));
    ck_assert(q->ops->enqueue(q, &n, 3, &again, &err));
    ck_assert_int_eq(again.how, QUEUE_REPLAYED);
    ck_assert_str_eq(again.job.id, first.job.id);
    ck_assert_int_eq(again.job.state, JOB_SUCCEEDED);
    job_release(&again.job);
    AUTO_JOB struct job known = {0};
    ck_assert(q->ops->known(q, &n, 3, &known, &err));
    ck_assert_str_eq(known.id, first.job.id);
    n.request = &two;
    ck_assert(!q->ops->enqueue(q, &n, 4, &again, &err));
    ck_assert_int_eq(err.code, ERR_CONFLICT);
    n.workspace = "other"; /* keys are a workspace's own */
    ck_assert(q->ops->enqueue(q, &n, 5, &again, &err));
    job_release(&again.job);
    n.workspace = "ws"; /* and are forgotten after a day */
    ck_assert(q->ops->enqueue(q, &n, q->options.idempotency_ms + 1, &again, &err));
    ck_assert_str_ne(again.job.id, first.job.id);
    job_release(&again.job);
    job_release(&first.job);
}
END_TEST

START_TEST(priorities_order_jobs_until_waiting_outweighs_them)
{
    int64_t age = q->options.age_ms;
    add("a", "warm", JOB_WARM, 0);
    add("b", "normal", JOB_NORMAL, 10);
    add("c", "interactive", JOB_INTERACTIVE, 20);
    take_and_end("interactive", 30);
    take_and_end("normal", 30);
    add("c", "interactive 2", JOB_INTERACTIVE, 2 * age + 1);
    take_and_end("warm", 2 * age + 2);
    take_and_end("interactive 2", 2 * age + 2);
}
END_TEST

START_TEST(a_workspace_with_many_jobs_delays_another_by_one_turn)
{
    char key[32];
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "big %d", i);
        add("big", key, JOB_NORMAL, i);
    }
    take_and_end("big 0", 200);
    add("small", "small 0", JOB_NORMAL, 201);
    add("small", "small 1", JOB_NORMAL, 202);
    take_and_end("big 1", 203);
    take_and_end("small 0", 203);
    take_and_end("big 2", 203);
    take_and_end("small 1", 203);
    take_and_end("big 3", 203);
}
END_TEST

START_TEST(jobs_of_one_workspace_run_in_order)
{
    char key[32];
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof(key), "%d", i);
        add("a", key, JOB_NORMAL, i);
    }
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof(key), "%d", i);
        take_and_end(key, 100);
    }
}
END_TEST

START_TEST(a_workspace_at_its_running_limit_lets_others_pass)
{
    open_with(&(struct queue_options){.max_running_workspace = 1, .seed = 1});
    add("a", "a0", JOB_NORMAL, 0);
    add("a", "a1", JOB_NORMAL, 0);
    add("b", "b0", JOB_NORMAL, 1);
    AUTO_JOB struct job j = take("w", 2);
    ck_assert_str_eq(j.build_key, "a0");
    AUTO_JOB struct job k = take("w", 2);
    ck_assert_str_eq(k.build_key, "b0");
    nothing_to_take(2);
    ck_assert(end(&j, JOB_SUCCEEDED, ERR_NONE, 3));
    take_and_end("a1", 4);
}
END_TEST

START_TEST(limits_refuse_with_a_time_to_come_back)
{
    open_with(&(struct queue_options){.max_queued = 3, .max_queued_workspace = 2, .seed = 1});
    add("a", "1", JOB_NORMAL, 0);
    add("a", "2", JOB_NORMAL, 0);
    struct queue_added out = try_add("a", "3", JOB_NORMAL, 0);
    ck_assert_int_eq(err.code, ERR_QUOTA);
    ck_assert_int_gt(out.retry_after_ms, 0);
    out = try_add("a", "2", JOB_NORMAL, 0); /* joining needs no room */
    ck_assert_int_eq(out.how, QUEUE_JOINED);
    job_release(&out.job);
    add("b", "4", JOB_NORMAL, 0);
    out = try_add("b", "5", JOB_NORMAL, 0);
    ck_assert_int_eq(err.code, ERR_BUSY);
    ck_assert_int_gt(out.retry_after_ms, 0);
    take_and_end("1", 1);
    add("b", "5", JOB_NORMAL, 0);
}
END_TEST

START_TEST(cancelling_ends_a_queued_job_and_asks_a_running_one)
{
    const char *a = add("ws", "a", JOB_NORMAL, 0), *b = add("ws", "b", JOB_NORMAL, 0);
    struct job out;
    ck_assert(q->ops->cancel(q, a, 1, &out, &err));
    ck_assert_int_eq(out.state, JOB_CANCELLED);
    job_release(&out);
    AUTO_JOB struct job j = take("w", 2);
    ck_assert_str_eq(j.id, b);
    ck_assert(q->ops->cancel(q, b, 3, &out, &err));
    ck_assert_int_eq(out.state, JOB_RUNNING);
    ck_assert(out.cancel_requested);
    job_release(&out);
    struct queue_lease l = {j.id, j.lease_token};
    bool asked = false;
    ck_assert(q->ops->heartbeat(q, &l, 4, &asked, &err) && asked);
    struct queue_added fresh = try_add("ws", "b", JOB_NORMAL, 4); /* joins no dying job */
    ck_assert_int_eq(fresh.how, QUEUE_ADDED);
    job_release(&fresh.job);
    ck_assert(end(&j, JOB_CANCELLED, ERR_CANCELLED, 5));
    ck_assert_int_eq(state_of(b), JOB_CANCELLED);
    ck_assert(q->ops->cancel(q, b, 6, &out, &err)); /* again: no harm */
    job_release(&out);
    take_and_end("b", 7);
    nothing_to_take(8);
}
END_TEST

START_TEST(a_cancelled_job_whose_worker_died_is_cancelled_not_retried)
{
    const char *id = add("ws", "a", JOB_NORMAL, 0);
    AUTO_JOB struct job j = take("w", 0);
    struct job out;
    size_t n;
    ck_assert(q->ops->cancel(q, id, 1, &out, &err));
    job_release(&out);
    ck_assert(q->ops->reap(q, q->options.lease_ms, &n, &err));
    ck_assert_int_eq(state_of(id), JOB_CANCELLED);
}
END_TEST

START_TEST(an_ended_job_cannot_be_cancelled_and_a_live_one_not_retried)
{
    const char *id = add("ws", "a", JOB_NORMAL, 0);
    struct job out;
    ck_assert(!q->ops->retry(q, id, 1, &out, &err) && err.code == ERR_CONFLICT);
    take_and_end("a", 1);
    ck_assert(!q->ops->cancel(q, id, 2, &out, &err) && err.code == ERR_CONFLICT);
    ck_assert(!q->ops->retry(q, id, 2, &out, &err) && err.code == ERR_CONFLICT);
    ck_assert(!q->ops->get(q, "bld_unknown", &out, &err) && err.code == ERR_NOT_FOUND);
}
END_TEST

START_TEST(a_failed_job_is_retried_with_its_attempts_counted_anew)
{
    const char *id = add("ws", "a", JOB_NORMAL, 0);
    AUTO_JOB struct job j = take("w", 1);
    ck_assert(end(&j, JOB_FAILED, ERR_INVALID, 2));
    struct job out;
    ck_assert(q->ops->retry(q, id, 3, &out, &err));
    ck_assert_int_eq(out.state, JOB_QUEUED);
    ck_assert_int_eq(out.attempts, 0);
    ck_assert_ptr_null(out.failure);
    job_release(&out);
    take_and_end("a", 4);
}
END_TEST

START_TEST(lists_are_newest_first_and_stay_right_while_jobs_are_added)
{
    char key[32];
    for (int i = 0; i < 10; i++) {
        snprintf(key, sizeof(key), "%d", i);
        add("a", key, JOB_NORMAL, i);
        add("b", key, JOB_NORMAL, i);
    }
    int seen = 0;
    int64_t before = 0;
    for (;;) {
        struct queue_filter f = {.workspace = "a", .state = -1, .before_seq = before, .limit = 3};
        struct job *jobs;
        size_t n;
        ck_assert(q->ops->list(q, &f, &jobs, &n, &err));
        for (size_t i = 0; i < n; i++) {
            snprintf(key, sizeof(key), "%d", 9 - seen++);
            ck_assert_str_eq(jobs[i].build_key, key);
            ck_assert_str_eq(jobs[i].workspace, "a");
            before = jobs[i].seq;
        }
        job_list_free(jobs, n);
        if (!n)
            break;
        snprintf(key, sizeof(key), "new %d", seen);
        add("a", key, JOB_NORMAL, 100);
    }
    ck_assert_int_eq(seen, 10);
    AUTO_JOB struct job j = take("w", 101);
    struct queue_filter running = {.state = JOB_RUNNING, .limit = 10};
    struct job *jobs;
    size_t n;
    ck_assert(q->ops->list(q, &running, &jobs, &n, &err));
    ck_assert_uint_eq(n, 1);
    ck_assert_str_eq(jobs[0].id, j.id);
    job_list_free(jobs, n);
}
END_TEST

START_TEST(a_rolled_back_batch_leaves_nothing_and_a_failed_call_spares_its_batch)
{
    struct job out;
    ck_assert(q->ops->begin(q, &err));
    const char *id = add("ws", "a", JOB_NORMAL, 0);
    q->ops->rollback(q);
    ck_assert(!q->ops->get(q, id, &out, &err) && err.code == ERR_NOT_FOUND);
    ck_assert(q->ops->begin(q, &err));
    id = add("ws", "a", JOB_NORMAL, 0);
    ck_assert(!q->ops->cancel(q, "bld_unknown", 0, &out, &err));
    ck_assert(q->ops->commit(q, &err));
    ck_assert_int_eq(state_of(id), JOB_QUEUED);
}
END_TEST

START_TEST(pruning_forgets_only_what_ended_before)
{
    const char *old = add("ws", "old", JOB_NORMAL, 0);
    take_and_end("old", 10);
    const char *newer = add("ws", "new", JOB_NORMAL, 20);
    take_and_end("new", 100);
    const char *queued = add("ws", "queued", JOB_NORMAL, 0);
    size_t n;
    struct job out;
    ck_assert(q->ops->prune(q, 50, 100, &n, &err) && n == 1);
    ck_assert(!q->ops->get(q, old, &out, &err));
    ck_assert_int_eq(state_of(newer), JOB_SUCCEEDED);
    ck_assert_int_eq(state_of(queued), JOB_QUEUED);
}
END_TEST

/* Random calls against two rules: no build key runs twice at once, and the counters agree
 * with the jobs. */
START_TEST(no_key_runs_twice_and_no_job_is_lost_under_random_calls)
{
    enum { KEYS = 6, HELD = 8 };
    struct job held[HELD] = {0};
    uint64_t x = 12345 + (uint64_t)_i;
    int64_t now = 0, added = 0;
    size_t n;
    for (int step = 0; step < 1500; step++) {
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        unsigned r = (unsigned)(x >> 33), slot = (r >> 8) % HELD;
        char key[16], ws[16];
        snprintf(key, sizeof(key), "k%u", (r >> 4) % KEYS);
        snprintf(ws, sizeof(ws), "w%u", (r >> 12) % 3);
        now += r % 700;
        switch (r % 7) {
        case 0:
        case 1: {
            struct queue_added a = try_add(ws, key, (enum job_priority)((r >> 16) % 3), now);
            ck_assert(a.job.id[0]);
            added += a.how == QUEUE_ADDED;
            job_release(&a.job);
            break;
        }
        case 2:
        case 3:
            if (!held[slot].id[0]) {
                held[slot] = take("w", now);
                for (unsigned i = 0; held[slot].id[0] && i < HELD; i++)
                    ck_assert(i == slot || !held[i].id[0] || now >= held[i].lease_until_ms ||
                              strcmp(held[i].build_key, held[slot].build_key) != 0);
            }
            break;
        case 4:
        case 5:
            if (held[slot].id[0]) {
                static const enum err_code codes[] = {ERR_NONE, ERR_NETWORK, ERR_INVALID};
                enum err_code c = codes[(r >> 16) % 3];
                if (!end(&held[slot], c ? JOB_FAILED : JOB_SUCCEEDED, c, now))
                    ck_assert_int_eq(err.code, ERR_CONFLICT);
                job_release(&held[slot]);
            }
            break;
        default: ck_assert(q->ops->reap(q, now, &n, &err));
        }
    }
    for (int i = 0; i < HELD; i++)
        job_release(&held[i]);
    struct queue_stats stats;
    ck_assert(q->ops->stats(q, &stats, &err));
    struct queue_filter all = {.state = -1, .limit = 10000};
    struct job *jobs;
    ck_assert(q->ops->list(q, &all, &jobs, &n, &err));
    int64_t by_state[JOB_STATES] = {0};
    for (size_t i = 0; i < n; i++)
        by_state[jobs[i].state]++;
    job_list_free(jobs, n);
    ck_assert_int_eq((int64_t)n, added);
    ck_assert_int_eq(by_state[JOB_QUEUED], stats.queued);
    ck_assert_int_eq(by_state[JOB_RUNNING], stats.running);
    ck_assert_int_eq(by_state[JOB_DEAD], stats.dead);
    /* And all of it can be worked off. */
    for (int64_t left = stats.queued + stats.running; left > 0;) {
        now += 400000;
        ck_assert(q->ops->reap(q, now, &n, &err));
        AUTO_JOB struct job j = take("w", now);
        if (j.id[0] && !end(&j, JOB_SUCCEEDED, ERR_NONE, now))
            ck_abort_msg("%s", err.text);
        ck_assert(q->ops->stats(q, &stats, &err));
        left = stats.queued + stats.running;
    }
}
END_TEST

TCase *conformance_case(const struct backend *b)
{
    backend = b;
    TCase *tc = tcase_create("conformance");
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, a_job_is_leased_once_and_ends_with_its_result);
    tcase_add_test(tc, a_transient_failure_waits_longer_each_time_then_is_dead);
    tcase_add_test(tc, a_permanent_failure_is_never_tried_again);
    tcase_add_test(tc, an_expired_lease_is_taken_by_another_and_the_first_is_fenced_off);
    tcase_add_test(tc, a_heartbeat_prolongs_the_lease);
    tcase_add_test(tc, handing_back_counts_no_attempt);
    tcase_add_test(tc, equal_work_joins_inside_a_workspace_and_waits_across_them);
    tcase_add_test(tc, a_job_apart_joins_nothing_but_never_runs_beside_its_key);
    tcase_add_loop_test(tc, a_parked_job_goes_on_however_the_running_one_ends, 0, 4);
    tcase_add_test(tc, an_idempotency_key_gives_the_same_job_and_refuses_another_request);
    tcase_add_test(tc, priorities_order_jobs_until_waiting_outweighs_them);
    tcase_add_test(tc, a_workspace_with_many_jobs_delays_another_by_one_turn);
    tcase_add_test(tc, jobs_of_one_workspace_run_in_order);
    tcase_add_test(tc, a_workspace_at_its_running_limit_lets_others_pass);
    tcase_add_test(tc, limits_refuse_with_a_time_to_come_back);
    tcase_add_test(tc, cancelling_ends_a_queued_job_and_asks_a_running_one);
    tcase_add_test(tc, a_cancelled_job_whose_worker_died_is_cancelled_not_retried);
    tcase_add_test(tc, an_ended_job_cannot_be_cancelled_and_a_live_one_not_retried);
    tcase_add_test(tc, a_failed_job_is_retried_with_its_attempts_counted_anew);
    tcase_add_test(tc, lists_are_newest_first_and_stay_right_while_jobs_are_added);
    tcase_add_test(tc, a_rolled_back_batch_leaves_nothing_and_a_failed_call_spares_its_batch);
    tcase_add_test(tc, pruning_forgets_only_what_ended_before);
    tcase_add_loop_test(tc, no_key_runs_twice_and_no_job_is_lost_under_random_calls, 0, 8);
    return tc;
}
