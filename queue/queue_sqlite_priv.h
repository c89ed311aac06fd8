/* SPDX-License-Identifier: Apache-2.0 */
/* queue_sqlite_priv.h - the inside of the SQLite queue: rows, lanes, runs, statements by number.
 *
 * A queued job is in one of three rows' states: ready, waiting (for its backoff to pass) or
 * parked (its build key runs elsewhere). A lane is a workspace's jobs of one priority; its
 * head_tag is the tag of its first ready job, so that the next job is found by looking at
 * lanes, of which there are few, and not at jobs. A tag is a job's place in its priority:
 * virtual time, which advances by one for each job of a lane. */
#ifndef STRATA_QUEUE_QUEUE_SQLITE_PRIV_H
#define STRATA_QUEUE_QUEUE_SQLITE_PRIV_H

#include "base/mem.h"
#include "base/sql.h"
#include "queue/queue.h"

enum row_state {
    ROW_READY,
    ROW_WAITING,
    ROW_PARKED,
    ROW_RUNNING,
    ROW_SUCCEEDED,
    ROW_FAILED,
    ROW_DEAD,
    ROW_CANCELLED
};

enum queue_sql {
    SQL_JOB_BY_ID,
    SQL_JOB_LIVE,
    SQL_JOB_ADD,
    SQL_JOB_RAISE,
    SQL_JOB_NEXT,
    SQL_JOB_START,
    SQL_JOB_END,
    SQL_JOB_PLACE,
    SQL_JOB_AGAIN,
    SQL_JOB_HEARTBEAT,
    SQL_JOB_ASK_CANCEL,
    SQL_KEY_RUNS,
    SQL_DUE,
    SQL_PARKED,
    SQL_EXPIRED,
    SQL_LIST,
    SQL_LIST_STATE,
    SQL_LIST_ALL,
    SQL_LIST_ALL_STATE,
    SQL_LANE_GET,
    SQL_LANE_ADD,
    SQL_LANE_HEAD,
    SQL_CLOCK_SET,
    SQL_TENANT_GET,
    SQL_TENANT_ADD,
    SQL_IDEM_GET,
    SQL_IDEM_ADD,
    SQL_IDEM_PRUNE,
    SQL_STATS,
    SQL_PRUNE,
    QUEUE_SQL_COUNT
};

/* Columns of every statement that gives jobs. */
#define JOB_COLUMNS                                                                                \
    "seq, id, state, priority, attempts, max_attempts, cancel_requested, worker, lease_token,"     \
    " lease_until_ms, created_ms, not_before_ms, started_ms, finished_ms, code, workspace,"        \
    " build_key, payload, result, failure, tag, queued_ms"

extern const struct sql_schema queue_sqlite_schema;

struct queue_sqlite {
    struct queue base;
    struct sql *db;
    struct sql *own; /* the same, when it is ours to close */
    struct sql_set *set;
};

/* A job with what only the back end sees. */
struct row {
    struct job job;
    enum row_state state;
    int64_t tag, queued_ms;
};

typedef VEC(struct row) row_list;

/* Rows (queue_sqlite_row.c). */
void row_release(struct row *r);
#define AUTO_ROW __attribute__((cleanup(row_release)))
void rows_free(row_list *rows);
#define AUTO_ROWS __attribute__((cleanup(rows_free)))
enum row_state row_state(enum job_state s);
void row_copy_text(char *out, size_t size, struct span s);
void row_read(const struct sql_stmt *q, struct row *r);
/* The first row, or none (r->job.id empty). */
bool row_one(struct sql_stmt *q, struct row *r, struct err *err);
bool rows_all(struct sql_stmt *q, row_list *rows, struct err *err);
bool row_find(struct queue_sqlite *s, const char *id, struct row *r, struct err *err);
/* ERR_CONFLICT: the lease is lost. */
bool row_find_leased(struct queue_sqlite *s, const struct queue_lease *l, struct row *r,
                     struct err *err);
/* The job as it is now, for the caller; out may be NULL. */
bool row_reread(struct queue_sqlite *s, const char *id, struct job *out, struct err *err);

/* Lanes (queue_sqlite_lane.c). */
bool lane_count(struct queue_sqlite *s, const char *workspace, int queued, int running,
                struct err *err);
bool lane_head(struct queue_sqlite *s, const struct job *j, struct err *err);
bool lane_append(struct queue_sqlite *s, const char *workspace, enum job_priority priority,
                 int64_t *tag, struct err *err);
bool lane_place(struct queue_sqlite *s, const struct row *r, enum row_state to, struct err *err);
bool lane_place_all(struct queue_sqlite *s, struct sql_stmt *q, enum row_state to, struct err *err);

/* Adding (queue_sqlite_add.c). */
bool job_replay(struct queue_sqlite *s, const struct queue_new *n, int64_t now_ms,
                struct queue_added *out, bool *found, struct err *err);
bool job_room(struct queue_sqlite *s, const struct queue_new *n, struct queue_added *out,
              struct err *err);
bool job_enqueue(struct queue_sqlite *s, const struct queue_new *n, int64_t now_ms,
                 struct queue_added *out, struct err *err);

/* Running (queue_sqlite_run.c): the calls of queue.h without their transactions. */
bool job_lease(struct queue_sqlite *s, const char *worker, int64_t now_ms, struct job *out,
               struct err *err);
bool job_heartbeat(struct queue_sqlite *s, const struct queue_lease *l, int64_t now_ms,
                   bool *cancel_asked, struct err *err);
bool job_finish(struct queue_sqlite *s, const struct queue_lease *l, const struct queue_outcome *o,
                int64_t now_ms, struct job *out, struct err *err);
bool job_hand_back(struct queue_sqlite *s, const struct queue_lease *l, int64_t now_ms,
                   struct err *err);
bool job_reap(struct queue_sqlite *s, int64_t now_ms, size_t *n, struct err *err);
bool job_cancel(struct queue_sqlite *s, const char *id, int64_t now_ms, struct job *out,
                struct err *err);
bool job_retry(struct queue_sqlite *s, const char *id, int64_t now_ms, struct job *out,
               struct err *err);

#endif
