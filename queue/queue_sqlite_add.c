/* SPDX-License-Identifier: Apache-2.0 */
/* queue_sqlite_add.c - enqueueing: idempotency keys, joining equal work, quotas. */
#include "queue/queue_sqlite_priv.h"

bool job_replay(struct queue_sqlite *s, const struct queue_new *n, int64_t now_ms,
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
        row_copy_text(id, sizeof(id), sql_text(q, 1));
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
    if (!row_find(s, id, &r, &gone)) { /* pruned: the key means nothing any more */
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
    if (!row_one(q, &r, err))
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

bool job_room(struct queue_sqlite *s, const struct queue_new *n, struct queue_added *out,
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
    if (!job_room(s, n, out, err) || !lane_append(s, n->workspace, n->priority, &tag, err))
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
    if (!sql_run(q, err) || !lane_count(s, n->workspace, 1, 0, err))
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

bool job_enqueue(struct queue_sqlite *s, const struct queue_new *n, int64_t now_ms,
                 struct queue_added *out, struct err *err)
{
    bool found;
    if (!job_replay(s, n, now_ms, out, &found, err))
        return false;
    if (found)
        return true;
    return join(s, n, out, &found, err) && (found || add(s, n, now_ms, out, err)) &&
           remember(s, n, out->job.id, now_ms, err);
}
