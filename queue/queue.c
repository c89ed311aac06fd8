/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/queue.h"

#include <assert.h>
#include <sys/random.h>

#include "base/mem.h"

static const char *const state_names[JOB_STATES] = {"queued", "running", "succeeded",
                                                    "failed", "dead",    "cancelled"};
static const char *const priority_names[JOB_PRIORITIES] = {"interactive", "normal", "warm"};

const char *job_state_name(enum job_state state)
{
    return state_names[state];
}

const char *job_priority_name(enum job_priority priority)
{
    return priority_names[priority];
}

bool job_priority_parse(struct span name, enum job_priority *out)
{
    for (unsigned i = 0; i < JOB_PRIORITIES; i++) {
        if (span_eq_str(name, priority_names[i])) {
            *out = (enum job_priority)i;
            return true;
        }
    }
    return false;
}

bool job_state_parse(struct span name, enum job_state *out)
{
    for (unsigned i = 0; i < JOB_STATES; i++) {
        if (span_eq_str(name, state_names[i])) {
            *out = (enum job_state)i;
            return true;
        }
    }
    return false;
}

void job_release(struct job *job)
{
    free(job->workspace);
    free(job->build_key);
    free(job->payload);
    free(job->result);
    free(job->failure);
    *job = (struct job){0};
}

void job_list_free(struct job *jobs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        job_release(&jobs[i]);
    free(jobs);
}

static void random_bytes(void *out, size_t n)
{
    for (size_t got = 0; got < n;) {
        ssize_t r = getrandom((char *)out + got, n - got, 0);
        if (r > 0)
            got += (size_t)r;
    }
}

/* Base 58 without 0, O, I, l. Bytes past the last multiple of 58 are drawn again, so that
 * every character is equally likely. */
void queue_new_id(const char *prefix, char *out, size_t size)
{
    static const char letters[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    size_t n = strlen(prefix), end = n + 24;
    assert(size > end);
    memcpy(out, prefix, n);
    while (n < end) {
        uint8_t bytes[48];
        random_bytes(bytes, sizeof(bytes));
        for (size_t i = 0; i < sizeof(bytes) && n < end; i++)
            if (bytes[i] < 232)
                out[n++] = letters[bytes[i] % 58];
    }
    out[n] = '\0';
}

static int64_t or_default(int64_t value, int64_t fallback)
{
    return value > 0 ? value : fallback;
}

void queue_setup(struct queue *q, const struct queue_ops *ops, const struct queue_options *options)
{
    static const struct queue_options none;
    const struct queue_options *o = options ? options : &none;
    q->ops = ops;
    q->options = (struct queue_options){
        .lease_ms = or_default(o->lease_ms, 30000),
        .max_attempts = (int)or_default(o->max_attempts, 5),
        .backoff_first_ms = or_default(o->backoff_first_ms, 1000),
        .backoff_max_ms = or_default(o->backoff_max_ms, 300000),
        .age_ms = or_default(o->age_ms, 60000),
        .max_queued = or_default(o->max_queued, 100000),
        .max_queued_workspace = or_default(o->max_queued_workspace, 10000),
        .max_running_workspace = or_default(o->max_running_workspace, INT32_MAX),
        .idempotency_ms = or_default(o->idempotency_ms, 24 * 3600 * 1000),
        .seed = o->seed,
    };
    q->random = o->seed;
    while (!q->random)
        random_bytes(&q->random, sizeof(q->random));
}

void queue_close(struct queue *q)
{
    if (q)
        q->ops->close(q);
}

bool queue_check_new(const struct queue_new *n, struct err *err)
{
    if (!n->workspace[0] || strlen(n->workspace) > 128)
        return err_set(err, ERR_INVALID, "a job's workspace is 1 to 128 bytes");
    if (!n->build_key[0] || strlen(n->build_key) > 256)
        return err_set(err, ERR_INVALID, "a job's build key is 1 to 256 bytes");
    if (strlen(n->payload) > 2u << 20)
        return err_set(err, ERR_TOO_LARGE, "a job's payload is at most 2 MiB");
    if (n->idempotency_key && (!n->idempotency_key[0] || strlen(n->idempotency_key) > 255))
        return err_set(err, ERR_INVALID, "an idempotency key is 1 to 255 bytes");
    assert(!n->idempotency_key || n->request);
    return true;
}

/* xorshift64*: jitter needs spread, not secrecy. */
static uint64_t next_random(struct queue *q)
{
    q->random ^= q->random >> 12;
    q->random ^= q->random << 25;
    q->random ^= q->random >> 27;
    return q->random * 0x2545F4914F6CDD1Dull;
}

/* Doubles with each attempt; a random half of it, so that jobs which failed together (a
 * registry was down) do not come back together. */
static int64_t backoff_ms(struct queue *q, int attempts)
{
    int64_t delay = q->options.backoff_first_ms;
    for (int i = 1; i < attempts && delay < q->options.backoff_max_ms; i++)
        delay *= 2;
    if (delay > q->options.backoff_max_ms)
        delay = q->options.backoff_max_ms;
    int64_t half = delay / 2;
    return half + (int64_t)(next_random(q) % (uint64_t)(delay - half + 1));
}

enum job_state queue_next_state(struct queue *q, const struct job *job,
                                const struct queue_outcome *o, int64_t now_ms,
                                int64_t *not_before_ms)
{
    *not_before_ms = 0;
    if (o->state != JOB_FAILED)
        return o->state;
    if (job->cancel_requested)
        return JOB_CANCELLED;
    if (!err_retryable(o->code))
        return JOB_FAILED;
    if (job->attempts >= job->max_attempts)
        return JOB_DEAD;
    *not_before_ms = now_ms + backoff_ms(q, job->attempts);
    return JOB_QUEUED;
}
