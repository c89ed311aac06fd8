/* SPDX-License-Identifier: Apache-2.0 */
/* queue_sqlite.c - the queue in SQLite. Every call is a transaction of its own, or a
 * savepoint of the batch it is in. */
#include <assert.h>

#include "queue/queue_sqlite_priv.h"

static struct queue_sqlite *self(struct queue *q)
{
    return container_of(q, struct queue_sqlite, base);
}

static bool op_begin(struct queue *q, struct err *err)
{
    return sql_begin(self(q)->db, err);
}

static bool op_commit(struct queue *q, struct err *err)
{
    return sql_commit(self(q)->db, err);
}

static void op_rollback(struct queue *q)
{
    sql_rollback(self(q)->db);
}

/* Runs one call as a transaction: all of it or nothing. */
#define IN_TRANSACTION(s, call)                                                                    \
    __extension__({                                                                                \
        bool ok_ = sql_begin((s)->db, err);                                                        \
        if (ok_ && !(call)) {                                                                      \
            sql_rollback((s)->db);                                                                 \
            ok_ = false;                                                                           \
        } else if (ok_) {                                                                          \
            ok_ = sql_commit((s)->db, err);                                                        \
        }                                                                                          \
        ok_;                                                                                       \
    })

static bool op_enqueue(struct queue *q, const struct queue_new *n, int64_t now_ms,
                       struct queue_added *out, struct err *err)
{
    struct queue_sqlite *s = self(q);
    *out = (struct queue_added){0};
    err_clear(err);
    if (!queue_check_new(n, err))
        return false;
    if (IN_TRANSACTION(s, job_enqueue(s, n, now_ms, out, err)))
        return true;
    job_release(&out->job);
    return false;
}

static bool op_known(struct queue *q, const struct queue_new *n, int64_t now_ms, struct job *out,
                     struct err *err)
{
    struct queue_added added = {0};
    bool found = false;
    *out = (struct job){0};
    err_clear(err);
    if (!job_replay(self(q), n, now_ms, &added, &found, err))
        return false;
    *out = added.job;
    return true;
}

static bool op_lease(struct queue *q, const char *worker, int64_t now_ms, struct job *out,
                     struct err *err)
{
    struct queue_sqlite *s = self(q);
    *out = (struct job){0};
    if (IN_TRANSACTION(s, job_lease(s, worker, now_ms, out, err)))
        return true;
    job_release(out);
    return false;
}

static bool op_heartbeat(struct queue *q, const struct queue_lease *l, int64_t now_ms,
                         bool *cancel_asked, struct err *err)
{
    struct queue_sqlite *s = self(q);
    return IN_TRANSACTION(s, job_heartbeat(s, l, now_ms, cancel_asked, err));
}

static bool op_finish(struct queue *q, const struct queue_lease *l, const struct queue_outcome *o,
                      int64_t now_ms, struct job *out, struct err *err)
{
    struct queue_sqlite *s = self(q);
    assert(o->state == JOB_SUCCEEDED || o->state == JOB_FAILED || o->state == JOB_CANCELLED);
    if (out)
        *out = (struct job){0};
    if (IN_TRANSACTION(s, job_finish(s, l, o, now_ms, out, err)))
        return true;
    if (out)
        job_release(out);
    return false;
}

static bool op_hand_back(struct queue *q, const struct queue_lease *l, int64_t now_ms,
                         struct err *err)
{
    struct queue_sqlite *s = self(q);
    return IN_TRANSACTION(s, job_hand_back(s, l, now_ms, err));
}

static bool op_cancel(struct queue *q, const char *id, int64_t now_ms, struct job *out,
                      struct err *err)
{
    struct queue_sqlite *s = self(q);
    *out = (struct job){0};
    if (IN_TRANSACTION(s, job_cancel(s, id, now_ms, out, err)))
        return true;
    job_release(out);
    return false;
}

static bool op_retry(struct queue *q, const char *id, int64_t now_ms, struct job *out,
                     struct err *err)
{
    struct queue_sqlite *s = self(q);
    *out = (struct job){0};
    if (IN_TRANSACTION(s, job_retry(s, id, now_ms, out, err)))
        return true;
    job_release(out);
    return false;
}

static bool op_reap(struct queue *q, int64_t now_ms, size_t *n, struct err *err)
{
    struct queue_sqlite *s = self(q);
    *n = 0;
    return IN_TRANSACTION(s, job_reap(s, now_ms, n, err));
}

static bool op_get(struct queue *q, const char *id, struct job *out, struct err *err)
{
    *out = (struct job){0};
    return row_reread(self(q), id, out, err);
}

static bool op_list(struct queue *q, const struct queue_filter *f, struct job **jobs, size_t *n,
                    struct err *err)
{
    struct queue_sqlite *s = self(q);
    static const int ids[2][2] = {{SQL_LIST_ALL, SQL_LIST_ALL_STATE}, {SQL_LIST, SQL_LIST_STATE}};
    struct sql_stmt *stmt = sql_use(s->set, ids[f->workspace != NULL][f->state >= 0]);
    sql_bind_str(stmt, 1, f->workspace);
    sql_bind_int(stmt, 2, f->before_seq ? f->before_seq : INT64_MAX);
    sql_bind_int(stmt, 3, (int64_t)f->limit);
    if (f->state >= 0) {
        enum row_state last = row_state((enum job_state)f->state);
        bool failed = f->state == JOB_FAILED || f->state == JOB_DEAD;
        sql_bind_int(stmt, 4, f->state == JOB_QUEUED ? ROW_READY : last);
        sql_bind_int(stmt, 5,
                     f->state == JOB_QUEUED                    ? ROW_PARKED
                     : f->state == JOB_FAILED && f->failed_too ? ROW_DEAD
                                                               : last);
        if (f->workspace)
            sql_bind_int(stmt, 6, f->state == JOB_QUEUED ? ROW_READY : failed ? ROW_FAILED : last);
    }
    VEC(struct job) list = {0};
    while (sql_next(stmt)) {
        struct row r;
        row_read(stmt, &r);
        *VEC_PUSH(&list) = r.job;
    }
    *jobs = list.v;
    *n = list.n;
    if (sql_end(stmt, err))
        return true;
    job_list_free(list.v, list.n);
    *jobs = NULL;
    *n = 0;
    return false;
}

static bool op_stats(struct queue *q, struct queue_stats *out, struct err *err)
{
    struct sql_stmt *stmt = sql_use(self(q)->set, SQL_STATS);
    *out = (struct queue_stats){0};
    if (sql_next(stmt))
        *out = (struct queue_stats){.queued = sql_int(stmt, 0),
                                    .running = sql_int(stmt, 1),
                                    .dead = sql_int(stmt, 2),
                                    .oldest_queued_ms = sql_int(stmt, 3)};
    return sql_end(stmt, err);
}

static bool op_prune(struct queue *q, int64_t before_ms, size_t max, size_t *n, struct err *err)
{
    struct queue_sqlite *s = self(q);
    struct sql_stmt *stmt = sql_use(s->set, SQL_IDEM_PRUNE);
    sql_bind_int(stmt, 1, before_ms);
    *n = 0;
    if (!sql_run(stmt, err))
        return false;
    stmt = sql_use(s->set, SQL_PRUNE);
    sql_bind_int(stmt, 1, before_ms);
    sql_bind_int(stmt, 2, (int64_t)max);
    if (!sql_run(stmt, err))
        return false;
    *n = (size_t)sql_changes(s->db);
    return true;
}

static void op_close(struct queue *q)
{
    sql_close(self(q)->own);
    free(self(q));
}

static const struct queue_ops ops = {
    .name = "sqlite",
    .begin = op_begin,
    .commit = op_commit,
    .rollback = op_rollback,
    .enqueue = op_enqueue,
    .known = op_known,
    .lease = op_lease,
    .heartbeat = op_heartbeat,
    .finish = op_finish,
    .hand_back = op_hand_back,
    .cancel = op_cancel,
    .retry = op_retry,
    .reap = op_reap,
    .get = op_get,
    .list = op_list,
    .stats = op_stats,
    .prune = op_prune,
    .close = op_close,
};

struct queue *queue_sqlite_new(struct sql *db, const struct queue_options *options, struct err *err)
{
    struct sql_set *set = sql_add(db, &queue_sqlite_schema, err);
    if (!set)
        return NULL;
    struct queue_sqlite *s = MEM_NEW(struct queue_sqlite);
    queue_setup(&s->base, &ops, options);
    s->db = db;
    s->set = set;
    return &s->base;
}

struct queue *queue_sqlite_open(const char *path, const struct queue_options *options,
                                struct err *err)
{
    struct sql *db = sql_open(path, NULL, err);
    struct queue *q = db ? queue_sqlite_new(db, options, err) : NULL;
    if (!q) {
        sql_close(db);
        return NULL;
    }
    self(q)->own = db;
    return q;
}
