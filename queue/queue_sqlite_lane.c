/* SPDX-License-Identifier: Apache-2.0 */
/* queue_sqlite_lane.c - lanes, counters, and the states of what is queued. */
#include "queue/queue_sqlite_priv.h"

bool lane_count(struct queue_sqlite *s, const char *workspace, int queued, int running,
                struct err *err)
{
    struct sql_stmt *q = sql_use(s->set, SQL_TENANT_ADD);
    sql_bind_str(q, 1, workspace);
    sql_bind_int(q, 2, queued);
    sql_bind_int(q, 3, running);
    return sql_run(q, err);
}

bool lane_head(struct queue_sqlite *s, const struct job *j, struct err *err)
{
    struct sql_stmt *q = sql_use(s->set, SQL_LANE_HEAD);
    sql_bind_str(q, 1, j->workspace);
    sql_bind_int(q, 2, j->priority);
    return sql_run(q, err);
}

/* The tag of a lane's next job, entered as the lane's last: one past its last job that still
 * waits, or past the clock when none does. */
bool lane_append(struct queue_sqlite *s, const char *workspace, enum job_priority priority,
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

bool lane_place(struct queue_sqlite *s, const struct row *r, enum row_state to, struct err *err)
{
    struct sql_stmt *q = sql_use(s->set, SQL_JOB_PLACE);
    sql_bind_int(q, 1, r->job.seq);
    sql_bind_int(q, 2, to);
    return sql_run(q, err) && lane_head(s, &r->job, err);
}

bool lane_place_all(struct queue_sqlite *s, struct sql_stmt *q, enum row_state to, struct err *err)
{
    AUTO_ROWS row_list rows = {0};
    if (!rows_all(q, &rows, err))
        return false;
    for (size_t i = 0; i < rows.n; i++)
        if (!lane_place(s, &rows.v[i], to, err))
            return false;
    return true;
}
