/* SPDX-License-Identifier: Apache-2.0 */
/* queue_sqlite_run.c - runs: leases and how they end; cancelling and retrying. */
#include "queue/queue_sqlite_priv.h"

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
                row_read(q, best);
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
    if (!sql_run(q, err) || !lane_count(s, j->workspace, -1, 1, err) || !lane_head(s, j, err))
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
    row_copy_text(j->worker, sizeof(j->worker), span_str(worker));
    return true;
}

bool job_lease(struct queue_sqlite *s, const char *worker, int64_t now_ms, struct job *out,
               struct err *err)
{
    struct sql_stmt *due = sql_use(s->set, SQL_DUE);
    sql_bind_int(due, 1, now_ms);
    if (!lane_place_all(s, due, ROW_READY, err))
        return false;
    for (;;) {
        AUTO_ROW struct row r = {0};
        bool runs = false;
        if (!best_of(s, &r, err) || (r.job.id[0] && !key_runs(s, r.job.build_key, &runs, err)))
            return false;
        if (runs) {
            if (!lane_place(s, &r, ROW_PARKED, err))
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

bool job_heartbeat(struct queue_sqlite *s, const struct queue_lease *l, int64_t now_ms,
                   bool *cancel_asked, struct err *err)
{
    AUTO_ROW struct row r = {0};
    if (!row_find_leased(s, l, &r, err))
        return false;
    *cancel_asked = r.job.cancel_requested;
    struct sql_stmt *stmt = sql_use(s->set, SQL_JOB_HEARTBEAT);
    sql_bind_int(stmt, 1, r.job.seq);
    sql_bind_int(stmt, 2, now_ms + s->base.options.lease_ms);
    return sql_run(stmt, err);
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
    if (!sql_run(q, err) || !lane_count(s, r->job.workspace, live, -1, err) ||
        (to == ROW_READY && !lane_head(s, &r->job, err)))
        return false;
    struct sql_stmt *parked = sql_use(s->set, SQL_PARKED);
    sql_bind_str(parked, 1, r->job.build_key);
    return lane_place_all(s, parked, ROW_READY, err);
}

bool job_finish(struct queue_sqlite *s, const struct queue_lease *l, const struct queue_outcome *o,
                int64_t now_ms, struct job *out, struct err *err)
{
    AUTO_ROW struct row r = {0};
    if (!row_find_leased(s, l, &r, err))
        return false;
    int64_t not_before = 0;
    enum job_state next = queue_next_state(&s->base, &r.job, o, now_ms, &not_before);
    return end_run(s, &r, o, row_state(next), not_before, now_ms, false, err) &&
           row_reread(s, l->id, out, err);
}

bool job_hand_back(struct queue_sqlite *s, const struct queue_lease *l, int64_t now_ms,
                   struct err *err)
{
    AUTO_ROW struct row r = {0};
    if (!row_find_leased(s, l, &r, err))
        return false;
    return end_run(s, &r, &(struct queue_outcome){0},
                   r.job.cancel_requested ? ROW_CANCELLED : ROW_READY, 0, now_ms, true, err);
}

bool job_reap(struct queue_sqlite *s, int64_t now_ms, size_t *n, struct err *err)
{
    AUTO_ROWS row_list rows = {0};
    struct sql_stmt *q = sql_use(s->set, SQL_EXPIRED);
    sql_bind_int(q, 1, now_ms);
    if (!rows_all(q, &rows, err))
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
    return sql_run(q, err) && lane_count(s, r->job.workspace, -1, 0, err) &&
           lane_head(s, &r->job, err);
}

bool job_cancel(struct queue_sqlite *s, const char *id, int64_t now_ms, struct job *out,
                struct err *err)
{
    AUTO_ROW struct row r = {0};
    if (!row_find(s, id, &r, err))
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
    return row_reread(s, id, out, err);
}

bool job_retry(struct queue_sqlite *s, const char *id, int64_t now_ms, struct job *out,
               struct err *err)
{
    AUTO_ROW struct row r = {0};
    if (!row_find(s, id, &r, err))
        return false;
    if (r.state < ROW_FAILED)
        return err_set(err, ERR_CONFLICT,
                       "job %s is %s; only a failed, dead or cancelled job is retried", id,
                       job_state_name(r.job.state));
    int64_t tag;
    struct queue_new n = {.workspace = r.job.workspace};
    struct queue_added refused = {0};
    if (!job_room(s, &n, &refused, err) ||
        !lane_append(s, r.job.workspace, r.job.priority, &tag, err))
        return false;
    struct sql_stmt *q = sql_use(s->set, SQL_JOB_AGAIN);
    sql_bind_int(q, 1, r.job.seq);
    sql_bind_int(q, 2, tag);
    sql_bind_int(q, 3, now_ms);
    return sql_run(q, err) && lane_count(s, r.job.workspace, 1, 0, err) &&
           row_reread(s, id, out, err);
}
