/* SPDX-License-Identifier: Apache-2.0 */
/* queue_sqlite_row.c - jobs as rows: reading and finding them. */
#include "queue/queue_sqlite_priv.h"

void row_release(struct row *r)
{
    job_release(&r->job);
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

enum row_state row_state(enum job_state s)
{
    static const enum row_state map[] = {
        [JOB_QUEUED] = ROW_WAITING, [JOB_RUNNING] = ROW_RUNNING, [JOB_SUCCEEDED] = ROW_SUCCEEDED,
        [JOB_FAILED] = ROW_FAILED,  [JOB_DEAD] = ROW_DEAD,       [JOB_CANCELLED] = ROW_CANCELLED,
    };
    return map[s];
}

void row_copy_text(char *out, size_t size, struct span s)
{
    size_t n = s.len < size ? s.len : size - 1;
    memcpy(out, s.ptr, n);
    out[n] = '\0';
}

static char *text_or_null(const struct sql_stmt *q, int column)
{
    return sql_is_null(q, column) ? NULL : mem_dup(sql_text(q, column));
}

void row_read(const struct sql_stmt *q, struct row *r)
{
    struct job *j = &r->job;
    *r = (struct row){
        .state = (enum row_state)sql_int(q, 2), .tag = sql_int(q, 20), .queued_ms = sql_int(q, 21)};
    j->seq = sql_int(q, 0);
    row_copy_text(j->id, sizeof(j->id), sql_text(q, 1));
    j->state = public_state(r->state);
    j->priority = (enum job_priority)sql_int(q, 3);
    j->attempts = (int)sql_int(q, 4);
    j->max_attempts = (int)sql_int(q, 5);
    j->cancel_requested = sql_int(q, 6) != 0;
    row_copy_text(j->worker, sizeof(j->worker), sql_text(q, 7));
    j->lease_token = sql_int(q, 8);
    j->lease_until_ms = sql_int(q, 9);
    j->created_ms = sql_int(q, 10);
    j->not_before_ms = sql_int(q, 11);
    j->started_ms = sql_int(q, 12);
    j->finished_ms = sql_int(q, 13);
    row_copy_text(j->code, sizeof(j->code), sql_text(q, 14));
    j->workspace = mem_dup(sql_text(q, 15));
    j->build_key = mem_dup(sql_text(q, 16));
    j->payload = mem_dup(sql_text(q, 17));
    j->result = text_or_null(q, 18);
    j->failure = text_or_null(q, 19);
}

/* The first row, or none (r->job.id empty). */
bool row_one(struct sql_stmt *q, struct row *r, struct err *err)
{
    *r = (struct row){0};
    if (sql_next(q))
        row_read(q, r);
    return sql_end(q, err);
}

bool row_find(struct queue_sqlite *s, const char *id, struct row *r, struct err *err)
{
    struct sql_stmt *q = sql_use(s->set, SQL_JOB_BY_ID);
    sql_bind_str(q, 1, id);
    if (!row_one(q, r, err))
        return false;
    return r->job.id[0] ? true : err_set(err, ERR_NOT_FOUND, "no job %s", id);
}

bool row_find_leased(struct queue_sqlite *s, const struct queue_lease *l, struct row *r,
                     struct err *err)
{
    if (!row_find(s, l->id, r, err))
        return false;
    if (r->state == ROW_RUNNING && r->job.lease_token == l->token)
        return true;
    err_set(err, ERR_CONFLICT, "the lease of job %s is lost: the job is %s%s", l->id,
            job_state_name(r->job.state),
            r->state == ROW_RUNNING ? " under a newer lease" : " by now");
    return false;
}

/* The job as it is now, for the caller. */
bool row_reread(struct queue_sqlite *s, const char *id, struct job *out, struct err *err)
{
    struct row r;
    if (!out)
        return true;
    if (!row_find(s, id, &r, err))
        return false;
    *out = r.job;
    return true;
}

void rows_free(row_list *rows)
{
    for (size_t i = 0; i < rows->n; i++)
        row_release(&rows->v[i]);
    VEC_FREE(rows);
}

bool rows_all(struct sql_stmt *q, row_list *rows, struct err *err)
{
    while (sql_next(q))
        row_read(q, VEC_PUSH(rows));
    return sql_end(q, err);
}
