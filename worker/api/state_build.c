/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/api/state_priv.h"
#include "worker/rules/config.h"
#include "worker/rules/text.h"

const char *build_status(const struct job *job)
{
    /* Failed for good or after the last try: to a client both have failed. */
    return job->state == JOB_DEAD ? "failed" : job_state_name(job->state);
}

/* Only the lists that have something: equal work has equal text. */
static json_t *declared(const json_t *config)
{
    json_t *out = json_object();
    for (size_t i = 0; i < COUNT(config_managers); i++) {
        json_t *list = json_object_get(config_packages(config), config_managers[i]);
        if (json_array_size(list))
            json_object_set(out, config_managers[i], list);
    }
    return out;
}

/* What makes two requests the same work. A refresh is its version's own: it must not join a
 * build that began to resolve before it was asked for. */
static bool work_key(const struct build_new *n, const json_t *payload, char out[DIGEST_TEXT_SIZE],
                     struct err *err)
{
    AUTO_JSON json_t *key = json_object();
    struct digest digest;
    json_object_set(key, "packages", json_object_get(payload, "packages"));
    json_object_set(key, "forbidden", json_object_get(payload, "forbidden"));
    json_put_str(key, "lock", n->lock && n->lock[0] ? n->lock : NULL);
    if (n->refresh) {
        json_put_str(key, "environment", n->env);
        json_put_int(key, "version", n->version);
    }
    if (!json_canonical_digest(key, &digest, err))
        return false;
    digest_text(&digest, out);
    return true;
}

static bool refused(struct problem *p, const struct queue_added *added)
{
    if (p->err.code == ERR_CONFLICT)
        p->code = "idempotency_key_reused";
    else if (p->err.code == ERR_QUOTA)
        p->code = "too_many_queued_builds";
    else if (p->err.code == ERR_BUSY && added->retry_after_ms)
        p->code = "queue_full";
    p->retry_after_ms = added->retry_after_ms;
    return state_failed(p);
}

bool build_enqueue(struct state *s, const char *workspace, const struct build_new *n,
                   struct job *out, enum queue_how *how, struct problem *p)
{
    AUTO_JSON json_t *payload = json_object();
    AUTO_BUF struct buf text = BUF(2 << 20);
    char key[DIGEST_TEXT_SIZE];
    json_put_str(payload, "environment_id", n->env);
    if (n->env)
        json_put_int(payload, "version", n->version);
    json_put_str(payload, "lock", n->lock && n->lock[0] ? n->lock : NULL);
    json_object_set_new(payload, "packages", declared(n->config));
    json_object_set_new(payload, "forbidden", json_boolean(config_forbids_registries(n->config)));
    json_object_set_new(payload, "refresh", json_boolean(n->refresh));
    if (!json_canonical(payload, &text, &p->err) || !work_key(n, payload, key, &p->err))
        return false;
    struct queue_new q = {.workspace = workspace,
                          .build_key = key,
                          .payload = buf_cstr(&text),
                          .priority = n->priority,
                          .idempotency_key = n->idempotency_key,
                          .request = n->request};
    struct queue_added added = {0};
    if (!s->queue->ops->enqueue(s->queue, &q, text_now_us() / 1000, &added, &p->err))
        return refused(p, &added);
    *out = added.job;
    if (how)
        *how = added.how;
    return true;
}

bool build_replay(struct state *s, const char *workspace, const char *key,
                  const struct digest *request, struct job *out, struct problem *p)
{
    struct queue_new q = {.workspace = workspace, .idempotency_key = key, .request = request};
    struct queue_added none = {0};
    return s->queue->ops->known(s->queue, &q, text_now_us() / 1000, out, &p->err)
               ? true
               : refused(p, &none);
}

bool build_get(struct state *s, const char *workspace, const char *id, struct job *out,
               struct problem *p)
{
    *out = (struct job){0};
    if (!s->queue->ops->get(s->queue, id, out, &p->err) && p->err.code != ERR_NOT_FOUND)
        return state_failed(p);
    if (out->id[0] && strcmp(out->workspace, workspace) == 0) {
        err_clear(&p->err);
        return true;
    }
    job_release(out);
    return problem_set(p, ERR_NOT_FOUND, "build_not_found",
                       "build \"%.60s\" does not exist in this workspace", id);
}

static json_t *parsed(const char *text)
{
    struct err ignored;
    return text ? json_parse(span_str(text), &ignored) : NULL;
}

json_t *build_failure(const struct job *job)
{
    if (!job->failure || job->state == JOB_SUCCEEDED || job->state == JOB_CANCELLED)
        return json_null();
    AUTO_JSON json_t *failure = parsed(job->failure);
    if (!json_is_object(failure))
        return json_null();
    static const char *const members[] = {"manager", "package", "phase",
                                          "code",    "message", "log_tail"};
    json_t *out = json_object();
    for (size_t i = 0; i < COUNT(members); i++) {
        json_t *v = json_object_get(failure, members[i]);
        json_object_set(out, members[i], v ? v : json_null());
    }
    return out;
}

static void put_or_null(json_t *out, const char *key, json_t *from)
{
    json_t *v = json_object_get(from, key);
    json_object_set_new(out, key, v ? json_incref(v) : json_null());
}

json_t *build_json(const struct job *job)
{
    AUTO_JSON json_t *payload = parsed(job->payload), *result = parsed(job->result),
                     *failure = parsed(job->failure);
    json_t *b = json_object();
    json_put_str(b, "id", job->id);
    json_put_str(b, "type", "build");
    put_or_null(b, "environment_id", payload);
    put_or_null(b, "version", payload);
    put_or_null(b, "packages", payload);
    json_put_str(b, "status", build_status(job));
    json_put_str(b, "priority", job_priority_name(job->priority));
    json_put_int(b, "attempts", job->attempts);
    json_put_int(b, "max_attempts", job->max_attempts);
    json_object_set_new(b, "cancel_requested", json_boolean(job->cancel_requested));
    json_object_set_new(b, "refresh", json_boolean(json_get_bool(payload, "refresh", false)));
    text_put_time_ms(b, "created_at", job->created_ms);
    text_put_time_ms(b, "started_at", job->started_ms);
    text_put_time_ms(b, "finished_at", job->finished_ms);
    text_put_time_ms(b, "next_attempt_at", job->state == JOB_QUEUED ? job->not_before_ms : 0);
    put_or_null(b, "artifact", result);
    put_or_null(b, "cached", result);
    put_or_null(b, "warnings", result);
    put_or_null(b, "received_bytes", result);
    put_or_null(b, "total_ms", result);
    json_t *managers = json_object_get(result ? result : failure, "managers");
    json_object_set_new(b, "managers", managers ? json_incref(managers) : json_object());
    json_object_set_new(b, "failure", build_failure(job));
    return b;
}

/* ---- the end of a run ---- */

static bool put_lock(struct state *s, const json_t *lock, char digest[DIGEST_TEXT_SIZE],
                     struct err *err)
{
    AUTO_BUF struct buf text = BUF(64u << 20);
    if (!json_canonical(lock, &text, err))
        return false;
    struct digest d = digest_of(buf_span(&text));
    digest_text(&d, digest);
    struct sql_stmt *q = sql_use(s->set, SQL_LOCK_PUT);
    sql_bind_str(q, 1, digest);
    sql_bind_text(q, 2, buf_span(&text));
    return sql_run(q, err);
}

bool build_lock(struct state *s, const char *digest, json_t **out, struct err *err)
{
    *out = NULL;
    struct sql_stmt *q = sql_use(s->set, SQL_LOCK_GET);
    sql_bind_str(q, 1, digest);
    if (sql_next(q))
        *out = json_parse(sql_text(q, 0), err);
    if (!sql_end(q, err))
        return false;
    return *out ? true : err_set(err, ERR_CORRUPT, "lock %s is missing from the database", digest);
}

static bool put_artifact(struct state *s, const struct build_end *e, const char *workspace,
                         struct err *err)
{
    AUTO_BUF struct buf manifest = BUF(64u << 20);
    if (!json_canonical(e->manifest, &manifest, err))
        return false;
    struct sql_stmt *q = sql_use(s->set, SQL_ARTIFACT_PUT);
    sql_bind_str(q, 1, e->artifact);
    sql_bind_text(q, 2, buf_span(&manifest));
    sql_bind_int(q, 3, text_now_us());
    return sql_run(q, err) && artifact_show(s, workspace, e->artifact, err);
}

static bool fix_versions(struct state *s, const struct build_end *e, const char *build,
                         struct err *err)
{
    char lock[DIGEST_TEXT_SIZE] = "";
    if (e->lock && !put_lock(s, e->lock, lock, err))
        return false;
    struct sql_stmt *q = sql_use(s->set, SQL_VERSION_BUILT);
    sql_bind_str(q, 1, build);
    sql_bind_str(q, 2, e->artifact);
    sql_bind_str(q, 3, lock[0] ? lock : NULL);
    if (!sql_run(q, err))
        return false;
    q = sql_use(s->set, SQL_PIN_BUILT);
    sql_bind_str(q, 1, build);
    sql_bind_str(q, 2, e->artifact);
    return sql_run(q, err);
}

bool build_finish(struct state *s, const struct build_end *e, struct job *out, struct err *err)
{
    if (!s->queue->ops->finish(s->queue, e->lease, e->outcome, text_now_us() / 1000, out, err))
        return false;
    return out->state != JOB_SUCCEEDED ||
           (put_artifact(s, e, out->workspace, err) && fix_versions(s, e, out->id, err));
}

bool build_prune(struct state *s, int64_t before_ms, size_t max, size_t *n, struct err *err)
{
    struct sql_stmt *q = sql_use(s->set, SQL_EVENT_PRUNE);
    sql_bind_int(q, 1, before_ms);
    sql_bind_int(q, 2, (int64_t)max);
    return sql_run(q, err) && s->queue->ops->prune(s->queue, before_ms, max, n, err);
}

/* ---- events ---- */

bool event_add(struct state *s, const char *build, int64_t n, const char *kind, const char *data,
               struct err *err)
{
    struct sql_stmt *q = sql_use(s->set, SQL_EVENT_ADD);
    sql_bind_str(q, 1, build);
    sql_bind_int(q, 2, n);
    sql_bind_str(q, 3, kind);
    sql_bind_str(q, 4, data);
    return sql_run(q, err);
}

bool event_last(struct state *s, const char *build, int64_t *n, struct err *err)
{
    struct sql_stmt *q = sql_use(s->set, SQL_EVENT_LAST);
    sql_bind_str(q, 1, build);
    *n = sql_next(q) ? sql_int(q, 0) : 0;
    return sql_end(q, err);
}

bool event_list(struct state *s, const char *build, int64_t after, const char *kind, size_t limit,
                json_t **out, struct err *err)
{
    struct sql_stmt *q = sql_use(s->set, SQL_EVENT_LIST);
    sql_bind_str(q, 1, build);
    sql_bind_int(q, 2, after);
    sql_bind_str(q, 3, kind);
    sql_bind_int(q, 4, (int64_t)limit);
    json_t *list = json_array();
    while (sql_next(q)) {
        json_t *e = json_object();
        json_put_int(e, "id", sql_int(q, 0));
        json_put_span(e, "event", sql_text(q, 1));
        json_object_set_new(e, "data", state_json(q, 2));
        json_array_append_new(list, e);
    }
    *out = list;
    if (sql_end(q, err))
        return true;
    json_decref(list);
    *out = NULL;
    return false;
}
