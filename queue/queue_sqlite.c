/* SPDX-License-Identifier: Apache-2.0 */
/* queue_sqlite.c - the queue in SQLite. Every call is a transaction of its own, or a
 * savepoint of the batch it is in. */
#include <assert.h>

#include "base/mem.h"
#include "queue/queue.h"
#include "queue/queue_sqlite_priv.h"

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

static void row_release(struct row *r)
{
    job_release(&r->job);
}
#define AUTO_ROW __attribute__((cleanup(row_release)))

static struct queue_sqlite *self(struct queue *q)
{
    return container_of(q, struct queue_sqlite, base);
}

static enum job_state public_state(enum row_state s)
{
    static const enum job_state map[] = {
        [ROW_READY] = JOB_QUEUED,        [ROW_WAITING] = JOB_QUEUED,
        [ROW_PARKED] = JOB_QUEUED,       [ROW_RUNNING] = JOB_RUNNING,
        [ROW_FAILED] = JOB_FAILED,       [ROW_SUCCEEDED] = JOB_SUCCEEDED,
        [ROW_CANCELLED] = JOB_CANCELLED, [ROW_DEAD] = JOB_DEAD,
    };
    return map[s];
}

static enum row_state row_state(enum job_state s)
{
    static const enum row_state map[] = {
        [JOB_QUEUED] = ROW_WAITING, [JOB_RUNNING] = ROW_RUNNING, [JOB_SUCCEEDED] = ROW_SUCCEEDED,
        [JOB_FAILED] = ROW_FAILED,  [JOB_DEAD] = ROW_DEAD,       [JOB_CANCELLED] = ROW_CANCELLED,
    };
    return map[s];
}

static void copy_text(char *out, size_t size, struct span s)
{
    size_t n = s.len < size ? s.len : size - 1;
    memcpy(out, s.ptr, n);
    out[n] = '\0';
}

static char *text_or_null(const struct sql_stmt *q, int column)
{
    return sql_is_null(q, column) ? NULL : mem_dup(sql_text(q, column));
}

static void read_row(const struct sql_stmt *q, struct row *r)
{
    struct job *j = &r->job;
    *r = (struct row){
        .state = (enum row_state)sql_int(q, 2), .tag = sql_int(q, 20), .queued_ms = sql_int(q, 21)};
    j->seq = sql_int(q, 0);
    copy_text(j->id, sizeof(j->id), sql_text(q, 1));
    j->state = public_state(r->state);
    j->priority = (enum job_priority)sql_int(q, 3);
    j->attempts = (int)sql_int(q, 4);
    j->max_attempts = (int)sql_int(q, 5);
    j->cancel_requested = sql_int(q, 6) != 0;
    copy_text(j->worker, sizeof(j->worker), sql_text(q, 7));
    j->lease_token = sql_int(q, 8);
    j->lease_until_ms = sql_int(q, 9);
    j->created_ms = sql_int(q, 10);
    j->not_before_ms = sql_int(q, 11);
    j->started_ms = sql_int(q, 12);
    j->finished_ms = sql_int(q, 13);
    copy_text(j->code, sizeof(j->code), sql_text(q, 14));
    j->workspace = mem_dup(sql_text(q, 15));
    j->build_key = mem_dup(sql_text(q, 16));
    j->payload = mem_dup(sql_text(q, 17));
    j->result = text_or_null(q, 18);
    j->failure = text_or_null(q, 19);
}

/* The first row, or none (r->job.id empty). */
static bool one_row(struct sql_stmt *q, struct row *r, struct err *err)
{
    *r = (struct row){0};
    if (sql_next(q))
        read_row(q, r);
    return sql_end(q, err);
}

static bool find(struct queue_sqlite *s, const char *id, struct row *r, struct err *err)
{
    struct sql_stmt *q = sql_use(s->set, SQL_JOB_BY_ID);
    sql_bind_str(q, 1, id);
    if (!one_row(q, r, err))
        return false;
    return r->job.id[0] ? true : err_set(err, ERR_NOT_FOUND, "no job %s", id);
}

static bool find_leased(struct queue_sqlite *s, const struct queue_lease *l, struct row *r,
                        struct err *err)
{
    if (!find(s, l->id, r, err))
        return false;
    if (r->state == ROW_RUNNING && r->job.lease_token == l->token)
        return true;
    err_set(err, ERR_CONFLICT, "the lease of job %s is lost: the job is %s%s", l->id,
            job_state_name(r->job.state),
            r->state == ROW_RUNNING ? " under a newer lease" : " by now");
    return false;
}

/* The job as it is now, for the caller. */
static bool reread(struct queue_sqlite *s, const char *id, struct job *out, struct err *err)
{
    struct row r;
    if (!out)
        return true;
    if (!find(s, id, &r, err))
        return false;
    *out = r.job;
    return true;
}

/* ---- lanes and counters ---- */

static bool count(struct queue_sqlite *s, const char *workspace, int queued, int running,
                  struct err *err)
{
    struct sql_stmt *q = sql_use(s->set, SQL_TENANT_ADD);
    sql_bind_str(q, 1, workspace);
    sql_bind_int(q, 2, queued);
    sql_bind_int(q, 3, running);
    return sql_run(q, err);
}

static bool lane_head(struct queue_sqlite *s, const struct job *j, struct err *err)
{
    struct sql_stmt *q = sql_use(s->set, SQL_LANE_HEAD);
    sql_bind_str(q, 1, j->workspace);
    sql_bind_int(q, 2, j->priority);
    return sql_run(q, err);
}

/* The tag of a lane's next job, entered as the lane's last: one past its last job that still
 * waits, or past the clock when none does. */
static bool lane_append(struct queue_sqlite *s, const char *workspace, enum job_priority priority,
                        int64_t *tag, struct err *err)
{
    struct sql_stmt *q = sql_use(s->set, SQL_LANE_GET);
    sql_bind_str(q, 1, workspace);
    sql_bind_int(q, 2, priority);
    int64_t clock = 0, last = 0;
    if (sql_next(q)) {
        clock = sql_int(q, 0);
        last = sql_int(q, 1);
    }
    if (!sql_end(q, err))
        return false;
    *tag = (clock > last ? clock : last) + 1;
    q = sql_use(s->set, SQL_LANE_ADD);
    sql_bind_str(q, 1, workspace);
    sql_bind_int(q, 2, priority);
    sql_bind_int(q, 3, *tag);
    return sql_run(q, err);
}

static bool place(struct queue_sqlite *s, const struct row *r, enum row_state to, struct err *err)
{
    struct sql_stmt *q = sql_use(s->set, SQL_JOB_PLACE);
    sql_bind_int(q, 1, r->job.seq);
    sql_bind_int(q, 2, to);
    return sql_run(q, err) && lane_head(s, &r->job, err);
}

typedef VEC(struct row) row_list;

static void rows_free(row_list *rows)
{
    for (size_t i = 0; i < rows->n; i++)
        row_release(&rows->v[i]);
    VEC_FREE(rows);
}
#define AUTO_ROWS __attribute__((cleanup(rows_free)))

static bool all_rows(struct sql_stmt *q, row_list *rows, struct err *err)
{
    while (sql_next(q))
        read_row(q, VEC_PUSH(rows));
    return sql_end(q, err);
}

static bool place_all(struct queue_sqlite *s, struct sql_stmt *q, enum row_state to,
                      struct err *err)
{
    AUTO_ROWS row_list rows = {0};
    if (!all_rows(q, &rows, err))
        return false;
    for (size_t i = 0; i < rows.n; i++)
        if (!place(s, &rows.v[i], to, err))
            return false;
    return true;
}

/* ---- enqueue ---- */

static bool replay(struct queue_sqlite *s, const struct queue_new *n, int64_t now_ms,
                   struct queue_added *out, bool *found, struct err *err)
{
    *found = false;
    if (!n->idempotency_key)
        return true;
    struct sql_stmt *q = sql_use(s->set, SQL_IDEM_GET);
    sql_bind_str(q, 1, n->workspace);
    sql_bind_str(q, 2, n->idempotency_key);
    sql_bind_int(q, 3, now_ms - s->base.options.idempotency_ms);
    char id[JOB_ID_SIZE] = "";
    bool same = false;
    if (sql_next(q)) {
        same = span_eq(sql_blob(q, 0), span_of(n->request->bytes, DIGEST_BYTES));
        copy_text(id, sizeof(id), sql_text(q, 1));
    }
    if (!sql_end(q, err) || !id[0])
        return err->code == ERR_NONE;
    if (!same)
        return err_set(err, ERR_CONFLICT,
                       "idempotency key \"%s\" was used for another request (job %s); use a new "
                       "key for a new request",
                       n->idempotency_key, id);
    struct row r;
    struct err gone = {0};
    if (!find(s, id, &r, &gone)) { /* pruned: the key means nothing any more */
        if (gone.code == ERR_NOT_FOUND)
            return true;
        *err = gone;
        return false;
    }
    *found = true;
    out->job = r.job;
    out->how = QUEUE_REPLAYED;
    return true;
}

static bool remember(struct queue_sqlite *s, const struct queue_new *n, const char *id,
                     int64_t now_ms, struct err *err)
{
    if (!n->idempotency_key)
        return true;
    struct sql_stmt *q = sql_use(s->set, SQL_IDEM_ADD);
    sql_bind_str(q, 1, n->workspace);
    sql_bind_str(q, 2, n->idempotency_key);
    sql_bind_blob(q, 3, span_of(n->request->bytes, DIGEST_BYTES));
    sql_bind_str(q, 4, id);
    sql_bind_int(q, 5, now_ms);
    return sql_run(q, err);
}

/* Somebody in more of a hurry joined: the job moves to the end of the better lane. */
static bool raise_priority(struct queue_sqlite *s, struct row *r, enum job_priority to,
                           struct err *err)
{
    if (r->job.priority <= to || r->state > ROW_PARKED)
        return true;
    int64_t tag;
    if (!lane_append(s, r->job.workspace, to, &tag, err))
        return false;
    struct sql_stmt *q = sql_use(s->set, SQL_JOB_RAISE);
    sql_bind_int(q, 1, r->job.seq);
    sql_bind_int(q, 2, to);
    sql_bind_int(q, 3, tag);
    if (!sql_run(q, err) || !lane_head(s, &r->job, err))
        return false;
    r->job.priority = to;
    return lane_head(s, &r->job, err);
}

static bool join(struct queue_sqlite *s, const struct queue_new *n, struct queue_added *out,
                 bool *found, struct err *err)
{
    *found = false;
    if (n->apart)
        return true;
    struct sql_stmt *q = sql_use(s->set, SQL_JOB_LIVE);
    sql_bind_str(q, 1, n->build_key);
    sql_bind_str(q, 2, n->workspace);
    AUTO_ROW struct row r = {0};
    if (!one_row(q, &r, err))
        return false;
    if (!r.job.id[0])
        return true;
    if (!raise_priority(s, &r, n->priority, err))
        return false;
    *found = true;
    out->how = QUEUE_JOINED;
    out->job = r.job;
    r.job = (struct job){0};
    return true;
}

static bool room(struct queue_sqlite *s, const struct queue_new *n, struct queue_added *out,
                 struct err *err)
{
    const struct queue_options *o = &s->base.options;
    struct sql_stmt *q = sql_use(s->set, SQL_TENANT_GET);
    sql_bind_str(q, 1, n->workspace);
    int64_t mine = 0, all = 0;
    if (sql_next(q)) {
        mine = sql_int(q, 0);
        all = sql_int(q, 1);
    }
    if (!sql_end(q, err))
        return false;
    if (mine >= o->max_queued_workspace) {
        out->retry_after_ms = 10000;
        return err_set(err, ERR_QUOTA,
                       "workspace %s has %lld jobs queued and may have %lld; wait for some to end "
                       "or cancel some",
                       n->workspace, (long long)mine, (long long)o->max_queued_workspace);
    }
    if (all >= o->max_queued) {
        out->retry_after_ms = 30000;
        return err_set(err, ERR_BUSY, "the queue is full (%lld jobs); try again later",
                       (long long)all);
    }
    return true;
}

static bool add(struct queue_sqlite *s, const struct queue_new *n, int64_t now_ms,
                struct queue_added *out, struct err *err)
{
    int64_t tag;
    if (!room(s, n, out, err) || !lane_append(s, n->workspace, n->priority, &tag, err))
        return false;
    struct job *j = &out->job;
    queue_new_id("bld_", j->id, sizeof(j->id));
    struct sql_stmt *q = sql_use(s->set, SQL_JOB_ADD);
    sql_bind_str(q, 1, j->id);
    sql_bind_str(q, 2, n->workspace);
    sql_bind_int(q, 3, n->priority);
    sql_bind_int(q, 4, tag);
    sql_bind_str(q, 5, n->build_key);
    sql_bind_int(q, 6, s->base.options.max_attempts);
    sql_bind_int(q, 7, now_ms);
    sql_bind_str(q, 8, n->payload);
    if (!sql_run(q, err) || !count(s, n->workspace, 1, 0, err))
        return false;
    j->seq = sql_last_id(s->db);
    j->state = JOB_QUEUED;
    j->priority = n->priority;
    j->max_attempts = s->base.options.max_attempts;
    j->created_ms = now_ms;
    j->workspace = mem_dup_str(n->workspace);
    j->build_key = mem_dup_str(n->build_key);
    j->payload = mem_dup_str(n->payload);
    out->how = QUEUE_ADDED;
    return true;
}

static bool enqueue(struct queue_sqlite *s, const struct queue_new *n, int64_t now_ms,
                    struct queue_added *out, struct err *err)
{
    bool found;
    if (!replay(s, n, now_ms, out, &found, err))
        return false;
    if (found)
        return true;
    return join(s, n, out, &found, err) && (found || add(s, n, now_ms, out, err)) &&
           remember(s, n, out->job.id, now_ms, err);
}

/* ---- lease ---- */

static bool best_of(struct queue_sqlite *s, struct row *best, struct err *err)
{
    *best = (struct row){0};
    int64_t best_due = 0;
    for (int p = 0; p < JOB_PRIORITIES; p++) {
        struct sql_stmt *q = sql_use(s->set, SQL_JOB_NEXT);
        sql_bind_int(q, 1, p);
        sql_bind_int(q, 2, s->base.options.max_running_workspace);
        if (sql_next(q)) {
            int64_t due = sql_int(q, 21) + p * s->base.options.age_ms;
            if (!best->job.id[0] || due < best_due) {
                row_release(best);
                read_row(q, best);
                best_due = due;
            }
        }
        if (!sql_end(q, err))
            return false;
    }
    return true;
}

static bool key_runs(struct queue_sqlite *s, const char *key, bool *runs, struct err *err)
{
    struct sql_stmt *q = sql_use(s->set, SQL_KEY_RUNS);
    sql_bind_str(q, 1, key);
    *runs = sql_next(q);
    return sql_end(q, err);
}

static bool start(struct queue_sqlite *s, struct row *r, const char *worker, int64_t now_ms,
                  struct err *err)
{
    struct job *j = &r->job;
    int64_t until = now_ms + s->base.options.lease_ms;
    struct sql_stmt *q = sql_use(s->set, SQL_JOB_START);
    sql_bind_int(q, 1, j->seq);
    sql_bind_str(q, 2, worker);
    sql_bind_int(q, 3, until);
    sql_bind_int(q, 4, now_ms);
    if (!sql_run(q, err) || !count(s, j->workspace, -1, 1, err) || !lane_head(s, j, err))
        return false;
    q = sql_use(s->set, SQL_CLOCK_SET);
    sql_bind_int(q, 1, j->priority);
    sql_bind_int(q, 2, r->tag);
    if (!sql_run(q, err))
        return false;
    j->state = JOB_RUNNING;
    j->attempts++;
    j->lease_token++;
    j->lease_until_ms = until;
    j->started_ms = now_ms;
    j->cancel_requested = false;
    copy_text(j->worker, sizeof(j->worker), span_str(worker));
    return true;
}

static bool lease(struct queue_sqlite *s, const char *worker, int64_t now_ms, struct job *out,
                  struct err *err)
{
    struct sql_stmt *due = sql_use(s->set, SQL_DUE);
    sql_bind_int(due, 1, now_ms);
    if (!place_all(s, due, ROW_READY, err))
        return false;
    for (;;) {
        AUTO_ROW struct row r = {0};
        bool runs = false;
        if (!best_of(s, &r, err) || (r.job.id[0] && !key_runs(s, r.job.build_key, &runs, err)))
            return false;
        if (runs) {
            if (!place(s, &r, ROW_PARKED, err))
                return false;
            continue;
        }
        if (r.job.id[0] && !start(s, &r, worker, now_ms, err))
            return false;
        *out = r.job;
        r.job = (struct job){0};
        return true;
    }
}

/* ---- the end of a run ---- */

static bool end_run(struct queue_sqlite *s, const struct row *r, const struct queue_outcome *o,
                    enum row_state to, int64_t not_before_ms, int64_t now_ms, bool uncounted,
                    struct err *err)
{
    bool live = to < ROW_RUNNING;
    struct sql_stmt *q = sql_use(s->set, SQL_JOB_END);
    sql_bind_int(q, 1, r->job.seq);
    sql_bind_int(q, 2, to);
    sql_bind_int(q, 3, not_before_ms);
    sql_bind_int(q, 4, live ? 0 : now_ms);
    sql_bind_str(q, 5, o->code ? err_code_name(o->code) : "");
    sql_bind_str(q, 6, o->result);
    sql_bind_str(q, 7, o->failure);
    sql_bind_int(q, 8, uncounted);
    if (!sql_run(q, err) || !count(s, r->job.workspace, live, -1, err) ||
        (to == ROW_READY && !lane_head(s, &r->job, err)))
        return false;
    struct sql_stmt *parked = sql_use(s->set, SQL_PARKED);
    sql_bind_str(parked, 1, r->job.build_key);
    return place_all(s, parked, ROW_READY, err);
}

static bool finish(struct queue_sqlite *s, const struct queue_lease *l,
                   const struct queue_outcome *o, int64_t now_ms, struct job *out, struct err *err)
{
    AUTO_ROW struct row r = {0};
    if (!find_leased(s, l, &r, err))
        return false;
    int64_t not_before = 0;
    enum job_state next = queue_next_state(&s->base, &r.job, o, now_ms, &not_before);
    return end_run(s, &r, o, row_state(next), not_before, now_ms, false, err) &&
           reread(s, l->id, out, err);
}

static bool hand_back(struct queue_sqlite *s, const struct queue_lease *l, int64_t now_ms,
                      struct err *err)
{
    AUTO_ROW struct row r = {0};
    if (!find_leased(s, l, &r, err))
        return false;
    return end_run(s, &r, &(struct queue_outcome){0},
                   r.job.cancel_requested ? ROW_CANCELLED : ROW_READY, 0, now_ms, true, err);
}

static bool reap(struct queue_sqlite *s, int64_t now_ms, size_t *n, struct err *err)
{
    AUTO_ROWS row_list rows = {0};
    struct sql_stmt *q = sql_use(s->set, SQL_EXPIRED);
    sql_bind_int(q, 1, now_ms);
    if (!all_rows(q, &rows, err))
        return false;
    struct queue_outcome lost = {
        .state = JOB_FAILED,
        .code = ERR_TIMEOUT,
        .failure = "{\"code\":\"worker_lost\",\"message\":\"the worker stopped answering; see its "
                   "log, the build is tried again\",\"phase\":\"worker\"}"};
    for (size_t i = 0; i < rows.n; i++) {
        int64_t not_before;
        enum job_state next =
            queue_next_state(&s->base, &rows.v[i].job, &lost, now_ms, &not_before);
        if (!end_run(s, &rows.v[i], &lost, row_state(next), not_before, now_ms, false, err))
            return false;
    }
    *n = rows.n;
    return true;
}

/* ---- cancel and retry ---- */

static bool cancel_queued(struct queue_sqlite *s, const struct row *r, int64_t now_ms,
                          struct err *err)
{
    struct sql_stmt *q = sql_use(s->set, SQL_JOB_END);
    sql_bind_int(q, 1, r->job.seq);
    sql_bind_int(q, 2, ROW_CANCELLED);
    sql_bind_int(q, 3, 0);
    sql_bind_int(q, 4, now_ms);
    sql_bind_str(q, 5, err_code_name(ERR_CANCELLED));
    sql_bind_null(q, 6);
    sql_bind_str(q, 7, r->job.failure);
    sql_bind_int(q, 8, 0);
    return sql_run(q, err) && count(s, r->job.workspace, -1, 0, err) && lane_head(s, &r->job, err);
}

static bool cancel(struct queue_sqlite *s, const char *id, int64_t now_ms, struct job *out,
                   struct err *err)
{
    AUTO_ROW struct row r = {0};
    if (!find(s, id, &r, err))
        return false;
    if (r.state < ROW_RUNNING) {
        if (!cancel_queued(s, &r, now_ms, err))
            return false;
    } else if (r.state == ROW_RUNNING) {
        struct sql_stmt *q = sql_use(s->set, SQL_JOB_ASK_CANCEL);
        sql_bind_int(q, 1, r.job.seq);
        if (!sql_run(q, err))
            return false;
    } else if (r.state != ROW_CANCELLED) {
        return err_set(err, ERR_CONFLICT, "job %s has %s already, there is nothing to cancel", id,
                       job_state_name(r.job.state));
    }
    return reread(s, id, out, err);
}

static bool retry(struct queue_sqlite *s, const char *id, int64_t now_ms, struct job *out,
                  struct err *err)
{
    AUTO_ROW struct row r = {0};
    if (!find(s, id, &r, err))
        return false;
    if (r.state < ROW_FAILED)
        return err_set(err, ERR_CONFLICT,
                       "job %s is %s; only a failed, dead or cancelled job is retried", id,
                       job_state_name(r.job.state));
    int64_t tag;
    struct queue_new n = {.workspace = r.job.workspace};
    struct queue_added refused = {0};
    if (!room(s, &n, &refused, err) || !lane_append(s, r.job.workspace, r.job.priority, &tag, err))
        return false;
    struct sql_stmt *q = sql_use(s->set, SQL_JOB_AGAIN);
    sql_bind_int(q, 1, r.job.seq);
    sql_bind_int(q, 2, tag);
    sql_bind_int(q, 3, now_ms);
    return sql_run(q, err) && count(s, r.job.workspace, 1, 0, err) && reread(s, id, out, err);
}

/* ---- the table ---- */

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
    if (IN_TRANSACTION(s, enqueue(s, n, now_ms, out, err)))
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
    if (!replay(self(q), n, now_ms, &added, &found, err))
        return false;
    *out = added.job;
    return true;
}

static bool op_lease(struct queue *q, const char *worker, int64_t now_ms, struct job *out,
                     struct err *err)
{
    struct queue_sqlite *s = self(q);
    *out = (struct job){0};
    if (IN_TRANSACTION(s, lease(s, worker, now_ms, out, err)))
        return true;
    job_release(out);
    return false;
}

static bool heartbeat(struct queue_sqlite *s, const struct queue_lease *l, int64_t now_ms,
                      bool *cancel_asked, struct err *err)
{
    AUTO_ROW struct row r = {0};
    if (!find_leased(s, l, &r, err))
        return false;
    *cancel_asked = r.job.cancel_requested;
    struct sql_stmt *stmt = sql_use(s->set, SQL_JOB_HEARTBEAT);
    sql_bind_int(stmt, 1, r.job.seq);
    sql_bind_int(stmt, 2, now_ms + s->base.options.lease_ms);
    return sql_run(stmt, err);
}

static bool op_heartbeat(struct queue *q, const struct queue_lease *l, int64_t now_ms,
                         bool *cancel_asked, struct err *err)
{
    struct queue_sqlite *s = self(q);
    return IN_TRANSACTION(s, heartbeat(s, l, now_ms, cancel_asked, err));
}

static bool op_finish(struct queue *q, const struct queue_lease *l, const struct queue_outcome *o,
                      int64_t now_ms, struct job *out, struct err *err)
{
    struct queue_sqlite *s = self(q);
    assert(o->state == JOB_SUCCEEDED || o->state == JOB_FAILED || o->state == JOB_CANCELLED);
    if (out)
        *out = (struct job){0};
    if (IN_TRANSACTION(s, finish(s, l, o, now_ms, out, err)))
        return true;
    if (out)
        job_release(out);
    return false;
}

static bool op_hand_back(struct queue *q, const struct queue_lease *l, int64_t now_ms,
                         struct err *err)
{
    struct queue_sqlite *s = self(q);
    return IN_TRANSACTION(s, hand_back(s, l, now_ms, err));
}

static bool op_cancel(struct queue *q, const char *id, int64_t now_ms, struct job *out,
                      struct err *err)
{
    struct queue_sqlite *s = self(q);
    *out = (struct job){0};
    if (IN_TRANSACTION(s, cancel(s, id, now_ms, out, err)))
        return true;
    job_release(out);
    return false;
}

static bool op_retry(struct queue *q, const char *id, int64_t now_ms, struct job *out,
                     struct err *err)
{
    struct queue_sqlite *s = self(q);
    *out = (struct job){0};
    if (IN_TRANSACTION(s, retry(s, id, now_ms, out, err)))
        return true;
    job_release(out);
    return false;
}

static bool op_reap(struct queue *q, int64_t now_ms, size_t *n, struct err *err)
{
    struct queue_sqlite *s = self(q);
    *n = 0;
    return IN_TRANSACTION(s, reap(s, now_ms, n, err));
}

static bool op_get(struct queue *q, const char *id, struct job *out, struct err *err)
{
    *out = (struct job){0};
    return reread(self(q), id, out, err);
}

static bool op_list(struct queue *q, const struct queue_filter *f, struct job **jobs, size_t *n,
                    struct err *err)
{
    struct queue_sqlite *s = self(q);
    static const int ids[2][2] = {{SQL_LIST_ALL, SQL_LIST_ALL_STATE}, {SQL_LIST, SQL_LIST_STATE}};
    struct sql_stmt *stmt = sql_use(s->set, ids[f->workspace != NULL][f->state >= 0]);
    sql_bind_str(stmt, 1, f->workspace);
    sql_bind_int(stmt, 2, f->before_seq);
    sql_bind_int(stmt, 3, (int64_t)f->limit);
    if (f->state >= 0) {
        enum row_state last = row_state((enum job_state)f->state);
        sql_bind_int(stmt, 4, f->state == JOB_QUEUED ? ROW_READY : last);
        sql_bind_int(stmt, 5,
                     f->state == JOB_QUEUED                    ? ROW_PARKED
                     : f->state == JOB_FAILED && f->failed_too ? ROW_DEAD
                                                               : last);
    }
    VEC(struct job) list = {0};
    while (sql_next(stmt)) {
        struct row r;
        read_row(stmt, &r);
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
