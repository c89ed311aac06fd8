/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/api/state_priv.h"
#include "worker/rules/config.h"
#include "worker/rules/text.h"

void version_row_release(struct version_row *r)
{
    json_decref(r->config);
    *r = (struct version_row){0};
}

static void read_version(const struct sql_stmt *q, struct version_row *r)
{
    *r = (struct version_row){
        .n = sql_int(q, 0), .created_us = sql_int(q, 1), .config = state_json(q, 2)};
    state_copy(r->build, sizeof(r->build), sql_text(q, 3));
    state_copy(r->artifact, sizeof(r->artifact), sql_text(q, 4));
    state_copy(r->lock, sizeof(r->lock), sql_text(q, 5));
}

bool version_get(struct state *s, const char *env, int64_t n, struct version_row *out,
                 struct problem *p)
{
    *out = (struct version_row){0};
    struct sql_stmt *q = sql_use(s->set, SQL_VERSION_GET);
    sql_bind_str(q, 1, env);
    sql_bind_int(q, 2, n);
    if (sql_next(q))
        read_version(q, out);
    if (!sql_end(q, &p->err))
        return state_failed(p);
    return out->n ? true
                  : problem_set(p, ERR_NOT_FOUND, "version_not_found",
                                "environment %s has no version %lld", env, (long long)n);
}

bool version_insert(struct state *s, const char *env, const struct version_row *v,
                    struct problem *p)
{
    AUTO_BUF struct buf config = BUF(4 << 20);
    if (!json_canonical(v->config, &config, &p->err))
        return false;
    struct sql_stmt *q = sql_use(s->set, SQL_VERSION_ADD);
    sql_bind_str(q, 1, env);
    sql_bind_int(q, 2, v->n);
    sql_bind_text(q, 3, buf_span(&config));
    sql_bind_str(q, 4, v->build[0] ? v->build : NULL);
    sql_bind_str(q, 5, v->artifact[0] ? v->artifact : NULL);
    sql_bind_str(q, 6, v->lock[0] ? v->lock : NULL);
    sql_bind_int(q, 7, v->created_us);
    return sql_run(q, &p->err) ? true : state_failed(p);
}

bool version_add(struct state *s, const char *workspace, const char *env, int64_t n,
                 const struct version_row *previous, const json_t *config, struct problem *p)
{
    struct version_row v = {
        .n = n, .created_us = text_now_us(), .config = (json_t *)(uintptr_t)config};
    /* Networking is no part of an artifact: equal packages keep what they have. */
    bool same = previous && json_equal(config_packages(previous->config), config_packages(config));
    if (same && previous->artifact[0]) {
        memcpy(v.build, previous->build, sizeof(v.build));
        memcpy(v.artifact, previous->artifact, sizeof(v.artifact));
        memcpy(v.lock, previous->lock, sizeof(v.lock));
    } else if (config_has_packages(config)) {
        AUTO_JOB struct job job = {0};
        struct build_new b = {.env = env, .version = n, .config = config, .priority = JOB_NORMAL};
        if (!build_enqueue(s, workspace, &b, &job, NULL, p))
            return false;
        memcpy(v.build, job.id, sizeof(v.build));
    }
    return version_insert(s, env, &v, p);
}

/* Sessions that wait for the version follow to its new build. */
bool version_set_build(struct state *s, const char *env, int64_t n, const char *build,
                       struct problem *p)
{
    static const int ids[] = {SQL_VERSION_BUILD, SQL_PIN_FOLLOW};
    for (size_t i = 0; i < COUNT(ids); i++) {
        struct sql_stmt *q = sql_use(s->set, ids[i]);
        sql_bind_str(q, 1, env);
        sql_bind_int(q, 2, n);
        sql_bind_str(q, 3, build);
        if (!sql_run(q, &p->err))
            return state_failed(p);
    }
    return true;
}

static json_t *build_summary(const char *status, const struct version_row *r, json_t *error)
{
    json_t *b = json_object();
    json_put_str(b, "status", status);
    json_put_str(b, "job_id", r->build);
    json_object_set_new(b, "artifact", r->artifact[0] ? json_string(r->artifact) : json_null());
    json_object_set_new(b, "error", error);
    return b;
}

json_t *version_build_json(struct state *s, const struct version_row *r, struct problem *p)
{
    AUTO_JOB struct job job = {0};
    if (!r->build[0])
        return json_null();
    /* A version that was built once stays built, whatever a later try of it does. */
    if (r->artifact[0])
        return build_summary("succeeded", r, json_null());
    if (s->queue->ops->get(s->queue, r->build, &job, &p->err))
        return build_summary(build_status(&job), r, build_failure(&job));
    if (p->err.code != ERR_NOT_FOUND)
        return NULL;
    err_clear(&p->err); /* forgotten long ago, without a result */
    return json_null();
}

json_t *version_json(struct state *s, const char *env, const struct version_row *r,
                     struct problem *p)
{
    json_t *build = version_build_json(s, r, p);
    if (!build)
        return NULL;
    json_t *v = json_object();
    json_put_str(v, "type", "environment_version");
    json_put_str(v, "environment_id", env);
    json_put_int(v, "version", r->n);
    json_object_set(v, "config", r->config);
    text_put_time_us(v, "created_at", r->created_us);
    json_object_set_new(v, "build", build);
    json_object_set_new(v, "artifact", r->artifact[0] ? json_string(r->artifact) : json_null());
    json_object_set_new(v, "lock", r->lock[0] ? json_string(r->lock) : json_null());
    return v;
}

bool version_list(struct state *s, const char *env, const struct state_page *page, json_t **out,
                  struct problem *p)
{
    VEC(struct version_row) rows = {0};
    struct sql_stmt *q = sql_use(s->set, SQL_VERSION_LIST);
    sql_bind_str(q, 1, env);
    sql_bind_int(q, 2, page->before ? page->before : INT64_MAX);
    sql_bind_int(q, 3, (int64_t)page->limit + 1);
    while (sql_next(q))
        read_version(q, VEC_PUSH(&rows));
    bool ok = sql_end(q, &p->err);
    json_t *data = json_array();
    size_t n = rows.n > page->limit ? page->limit : rows.n;
    for (size_t i = 0; ok && i < n; i++) {
        json_t *v = version_json(s, env, &rows.v[i], p);
        ok = v && json_array_append_new(data, v) == 0;
    }
    *out = state_page_json(data, 'v', rows.n > n ? rows.v[n - 1].n : 0);
    for (size_t i = 0; i < rows.n; i++)
        version_row_release(&rows.v[i]);
    VEC_FREE(&rows);
    if (ok)
        return true;
    json_decref(TAKE(*out));
    return state_failed(p);
}
