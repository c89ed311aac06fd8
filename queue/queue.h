/* SPDX-License-Identifier: Apache-2.0 */
/* queue.h - jobs, leased to workers, at least once each.
 *
 *              enqueue                lease                  finish
 *     (new) ----------> QUEUED ------------------> RUNNING ----------> SUCCEEDED
 *                       ^ | ^  backoff: transient    | | |             FAILED     permanent
 *                       | | +------------------------+ | |             DEAD       tries used up
 *                retry  | +-- cancel --> CANCELLED <---+ +-----------> (also from an expired lease)
 *     FAILED, DEAD, ----+
 *     CANCELLED
 *
 * Single flight: two jobs with one build key never run at once, whoever asked. Inside a
 * workspace the second request joins the first job while that one is queued or running;
 * another workspace gets a job of its own, which waits until the running one has ended (and
 * then finds the work done).
 *
 * Order: by priority, where waiting counts: a job of the next lower priority goes first once
 * it has waited `age_ms` longer. Inside a priority, workspaces take turns (start-time fair
 * queuing), so one that enqueues ten thousand jobs delays another's single one by a turn.
 *
 * Back ends are tables of functions (queue_ops), and the conformance tests run against each.
 * Between queue_begin and queue_commit many calls share one durable commit; a call that fails
 * leaves no trace of itself, and the others of its batch stand.
 *
 * Ownership: a struct job owns its strings, job_release; a list is freed by job_list_free.
 * Units:     milliseconds since the epoch; the caller brings the clock.
 * Errors:    ERR_NOT_FOUND, ERR_CONFLICT (a lost lease; a state that forbids it; an idempotency
 *            key used for another request), ERR_QUOTA (the workspace's) and ERR_BUSY (the whole
 *            backlog) with retry_after_ms, and what the database says.
 * Threads:   calls block; one queue, one thread at a time. Workers have a queue each. */
#ifndef STRATA_QUEUE_QUEUE_H
#define STRATA_QUEUE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/span.h"

struct sql;

enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_SUCCEEDED, JOB_FAILED, JOB_DEAD, JOB_CANCELLED };
#define JOB_STATES 6

enum job_priority { JOB_INTERACTIVE, JOB_NORMAL, JOB_WARM };
#define JOB_PRIORITIES 3

#define JOB_ID_SIZE     40 /* "bld_" + 24 characters + NUL, with room */
#define JOB_WORKER_SIZE 80
#define JOB_CODE_SIZE   40

struct job {
    char id[JOB_ID_SIZE];
    int64_t seq; /* grows with each new job: the cursor of lists */
    enum job_state state;
    enum job_priority priority;
    int attempts, max_attempts;
    bool cancel_requested;        /* of a running job */
    char worker[JOB_WORKER_SIZE]; /* who runs it, or ran it last */
    int64_t lease_token;          /* grows with each lease; fences off whoever lost his */
    int64_t lease_until_ms;
    int64_t created_ms, not_before_ms, started_ms, finished_ms; /* 0: not yet */
    char code[JOB_CODE_SIZE];                                   /* of the last failure */
    char *workspace, *build_key, *payload;
    char *result, *failure; /* NULL: none */
};

void job_release(struct job *job); /* all zero is fine */
void job_list_free(struct job *jobs, size_t count);
#define AUTO_JOB __attribute__((cleanup(job_release)))

const char *job_state_name(enum job_state state);
const char *job_priority_name(enum job_priority priority);
bool job_priority_parse(struct span name, enum job_priority *out);
bool job_state_parse(struct span name, enum job_state *out);

struct queue_options {                        /* 0: the default */
    int64_t lease_ms;                         /* 30 s */
    int max_attempts;                         /* 5 */
    int64_t backoff_first_ms, backoff_max_ms; /* 1 s, 5 min */
    int64_t age_ms;                           /* 60 s */
    int64_t max_queued, max_queued_workspace; /* 100,000; 10,000 */
    int64_t max_running_workspace;            /* no limit */
    int64_t idempotency_ms;                   /* how long a key is known: 24 h */
    uint64_t seed;                            /* of the jitter; 0: random */
};

struct queue_new {
    const char *workspace, *build_key, *payload;
    enum job_priority priority;
    const char *idempotency_key;  /* NULL: none */
    const struct digest *request; /* of the whole request, with the key */
    bool apart;                   /* never joins a job that is there */
};

enum queue_how { QUEUE_ADDED, QUEUE_JOINED, QUEUE_REPLAYED };

struct queue_added {
    struct job job; /* job_release; empty on error */
    enum queue_how how;
    int64_t retry_after_ms; /* with ERR_QUOTA and ERR_BUSY */
};

struct queue_lease {
    const char *id;
    int64_t token;
};

struct queue_outcome {
    enum job_state state; /* JOB_SUCCEEDED, JOB_FAILED or JOB_CANCELLED */
    const char *result;   /* JSON; NULL: none */
    const char *failure;  /* JSON; NULL: none */
    enum err_code code;   /* of a failure: decides whether it is tried again */
};

struct queue_filter {
    const char *workspace; /* NULL: all */
    int state;             /* -1: all */
    bool failed_too;       /* with JOB_FAILED: the dead as well */
    int64_t before_seq;    /* 0: from the newest on */
    size_t limit;
};

struct queue_stats {
    int64_t queued, running, dead;
    int64_t oldest_queued_ms; /* when it was created; 0: none is queued */
};

struct queue;

struct queue_ops {
    const char *name;
    bool (*begin)(struct queue *q, struct err *err);
    bool (*commit)(struct queue *q, struct err *err); /* false: nothing of the batch is kept */
    void (*rollback)(struct queue *q);
    bool (*enqueue)(struct queue *q, const struct queue_new *n, int64_t now_ms,
                    struct queue_added *out, struct err *err);
    /* The job that this key stands for, if it does; out->id empty when the key is new. */
    bool (*known)(struct queue *q, const struct queue_new *n, int64_t now_ms, struct job *out,
                  struct err *err);
    /* The job that is next, now running; out->id empty when there is none. */
    bool (*lease)(struct queue *q, const char *worker, int64_t now_ms, struct job *out,
                  struct err *err);
    /* Prolongs the lease. ERR_CONFLICT: it is lost, stop the work. */
    bool (*heartbeat)(struct queue *q, const struct queue_lease *l, int64_t now_ms, bool *cancel,
                      struct err *err);
    /* Ends a run; out (may be NULL) is the job as it is then: perhaps queued again. */
    bool (*finish)(struct queue *q, const struct queue_lease *l, const struct queue_outcome *o,
                   int64_t now_ms, struct job *out, struct err *err);
    /* Back into the queue, the attempt not counted: a worker that is told to stop. */
    bool (*hand_back)(struct queue *q, const struct queue_lease *l, int64_t now_ms,
                      struct err *err);
    /* A queued job is cancelled at once; a running one is asked to (its heartbeat tells);
     * a cancelled one stays so. ERR_CONFLICT: it has ended otherwise. */
    bool (*cancel)(struct queue *q, const char *id, int64_t now_ms, struct job *out,
                   struct err *err);
    /* A failed, dead or cancelled job starts again; ERR_CONFLICT otherwise. */
    bool (*retry)(struct queue *q, const char *id, int64_t now_ms, struct job *out,
                  struct err *err);
    /* Ends leases that have run out: queued again, dead, or cancelled when that was asked. */
    bool (*reap)(struct queue *q, int64_t now_ms, size_t *count, struct err *err);
    bool (*get)(struct queue *q, const char *id, struct job *out, struct err *err);
    /* Newest first. */
    bool (*list)(struct queue *q, const struct queue_filter *f, struct job **jobs, size_t *count,
                 struct err *err);
    bool (*stats)(struct queue *q, struct queue_stats *out, struct err *err);
    /* Forgets up to `max` jobs that ended before then, and old idempotency keys. */
    bool (*prune)(struct queue *q, int64_t before_ms, size_t max, size_t *count, struct err *err);
    void (*close)(struct queue *q);
};

struct queue {
    const struct queue_ops *ops;
    struct queue_options options; /* defaults filled in */
    uint64_t random;
};

/* SQLite. The connection stays the caller's: what else he does on it between sql_begin and
 * sql_commit is one transaction with the queue's calls. Without a db (only path) the queue
 * has its own. */
struct queue *queue_sqlite_new(struct sql *db, const struct queue_options *options,
                               struct err *err);
struct queue *queue_sqlite_open(const char *path, const struct queue_options *options,
                                struct err *err);
void queue_close(struct queue *q); /* NULL is fine */

/* What becomes of a run that ended so: the next state and, when it is QUEUED, from when on.
 * Pure but for the jitter, which comes from q->random. */
enum job_state queue_next_state(struct queue *q, const struct job *job,
                                const struct queue_outcome *o, int64_t now_ms,
                                int64_t *not_before_ms);

/* For back ends. */
void queue_setup(struct queue *q, const struct queue_ops *ops, const struct queue_options *options);
void queue_new_id(const char *prefix, char *out, size_t size); /* prefix + 24 base-58 characters */
bool queue_check_new(const struct queue_new *n, struct err *err);

#endif
