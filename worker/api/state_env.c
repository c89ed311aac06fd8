/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/api/state_priv.h"
#include "worker/rules/config.h"
#include "worker/rules/text.h"

#define MAX_PINS_TOLD 1000

void env_row_release(struct env_row *r)
{
    free(r->name);
    free(r->description);
    json_decref(r->metadata);
    version_row_release(&r->current);
    *r = (struct env_row){0};
}

static void read_env(const struct sql_stmt *q, struct env_row *r)
{
    *r = (struct env_row){
        .seq = sql_int(q, 0),
        .name = state_text(q, 2),
        .description = state_text(q, 3),
        .metadata = state_json(q, 4),
        .created_us = sql_int(q, 5),
        .updated_us = sql_int(q, 6),
        .archived_us = sql_int(q, 7),
        .current = {.n = sql_int(q, 8), .created_us = sql_int(q, 9), .config = state_json(q, 10)}};
    state_copy(r->id, sizeof(r->id), sql_text(q, 1));
    state_copy(r->current.build, sizeof(r->current.build), sql_text(q, 11));
    state_copy(r->current.artifact, sizeof(r->current.artifact), sql_text(q, 12));
    state_copy(r->current.lock, sizeof(r->current.lock), sql_text(q, 13));
}

bool env_get(struct state *s, const char *workspace, const char *id, struct env_row *out,
             struct problem *p)
{
    *out = (struct env_row){0};
    struct sql_stmt *q = sql_use(s->set, SQL_ENV_GET);
    sql_bind_str(q, 1, id);
    sql_bind_str(q, 2, workspace);
    if (sql_next(q))
        read_env(q, out);
    if (!sql_end(q, &p->err))
        return state_failed(p);
    return out->id[0] ? true
                      : problem_set(p, ERR_NOT_FOUND, "environment_not_found",
                                    "environment \"%.60s\" does not exist in this workspace", id);
}

bool env_not_archived(const struct env_row *r, struct problem *p)
{
    return r->archived_us == 0
               ? true
               : problem_set(p, ERR_INVALID, "environment_archived",
                             "environment %s is archived: what is pinned goes on, but it takes no "
                             "update, build or new pin; create another one",
                             r->id);
}

json_t *env_json(struct state *s, const struct env_row *r, struct problem *p)
{
    json_t *build = version_build_json(s, &r->current, p);
    if (!build)
        return NULL;
    json_t *e = json_object();
    json_put_str(e, "id", r->id);
    json_put_str(e, "type", "environment");
    json_put_str(e, "name", r->name);
    json_object_set_new(e, "description",
                        r->description ? json_string(r->description) : json_null());
    json_object_set(e, "config", r->current.config);
    json_object_set(e, "metadata", r->metadata);
    text_put_time_us(e, "created_at", r->created_us);
    text_put_time_us(e, "updated_at", r->updated_us);
    text_put_time_us(e, "archived_at", r->archived_us);
    json_put_str(e, "scope", "organization");
    json_put_int(e, "version", r->current.n);
    json_object_set_new(e, "build", build);
    return e;
}

static bool reread(struct state *s, const char *workspace, const char *id, json_t **out,
                   struct problem *p)
{
    AUTO_ENV struct env_row r = {0};
    *out = env_get(s, workspace, id, &r, p) ? env_json(s, &r, p) : NULL;
    return *out != NULL;
}

bool env_create(struct state *s, const char *workspace, const struct env_new *n, json_t **out,
                struct problem *p)
{
    char id[JOB_ID_SIZE];
    AUTO_BUF struct buf metadata = BUF(1 << 20);
    queue_new_id("env_", id, sizeof(id));
    if (!json_canonical(n->metadata, &metadata, &p->err))
        return false;
    struct sql_stmt *q = sql_use(s->set, SQL_ENV_ADD);
    sql_bind_str(q, 1, id);
    sql_bind_str(q, 2, workspace);
    sql_bind_str(q, 3, n->name);
    sql_bind_str(q, 4, n->description);
    sql_bind_text(q, 5, buf_span(&metadata));
    sql_bind_int(q, 6, text_now_us());
    if (!sql_run(q, &p->err))
        return state_failed(p);
    return version_add(s, workspace, id, 1, NULL, n->config, p) && reread(s, workspace, id, out, p);
}

static bool set_env(struct state *s, const char *id, const struct env_new *n, int64_t version,
                    struct problem *p)
{
    AUTO_BUF struct buf metadata = BUF(1 << 20);
    if (!json_canonical(n->metadata, &metadata, &p->err))
        return false;
    struct sql_stmt *q = sql_use(s->set, SQL_ENV_SET);
    sql_bind_str(q, 1, id);
    sql_bind_str(q, 2, n->name);
    sql_bind_str(q, 3, n->description);
    sql_bind_text(q, 4, buf_span(&metadata));
    sql_bind_int(q, 5, version);
    sql_bind_int(q, 6, text_now_us());
    return sql_run(q, &p->err) ? true : state_failed(p);
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool env_update(struct state *s, const char *workspace, const struct env_row *old,
                const struct env_new *n, json_t **out, struct problem *p)
{
    bool config = json_equal(old->current.config, n->config);
    bool rest = same_text(old->name, n->name) && same_text(old->description, n->description) &&
                json_equal(old->metadata, n->metadata);
    int64_t version = old->current.n + !config;
    if (!config && !version_add(s, workspace, old->id, version, &old->current, n->config, p))
        return false;
    if ((!config || !rest) && !set_env(s, old->id, n, version, p))
        return false;
    return reread(s, workspace, old->id, out, p);
}

bool env_refresh(struct state *s, const char *workspace, const struct env_row *old,
                 const json_t *config, const struct build_new *b, struct job *out,
                 struct problem *p)
{
    struct env_new same = {
        .name = old->name, .description = old->description, .metadata = old->metadata};
    struct version_row v = {.n = old->current.n + 1,
                            .created_us = text_now_us(),
                            .config = (json_t *)(uintptr_t)config};
    struct build_new n = *b;
    n.env = old->id;
    n.version = v.n;
    n.config = config;
    n.refresh = true;
    if (!build_enqueue(s, workspace, &n, out, NULL, p))
        return false;
    memcpy(v.build, out->id, sizeof(v.build));
    return version_insert(s, old->id, &v, p) && set_env(s, old->id, &same, v.n, p);
}

bool env_archive(struct state *s, const char *workspace, const char *id, json_t **out,
                 struct problem *p)
{
    AUTO_ENV struct env_row r = {0};
    if (!env_get(s, workspace, id, &r, p))
        return false;
    struct sql_stmt *q = sql_use(s->set, SQL_ENV_ARCHIVE);
    sql_bind_str(q, 1, id);
    sql_bind_int(q, 2, text_now_us());
    if (!sql_run(q, &p->err))
        return state_failed(p);
    return reread(s, workspace, id, out, p);
}

bool env_delete(struct state *s, const char *workspace, const char *id, struct problem *p)
{
    AUTO_ENV struct env_row r = {0};
    if (!env_get(s, workspace, id, &r, p))
        return false;
    int64_t pins = 0;
    struct sql_stmt *q = sql_use(s->set, SQL_ENV_PINS);
    sql_bind_str(q, 1, id);
    sql_bind_int(q, 2, MAX_PINS_TOLD);
    if (sql_next(q))
        pins = sql_int(q, 0);
    if (!sql_end(q, &p->err))
        return state_failed(p);
    if (pins)
        return problem_set(p, ERR_CONFLICT, "environment_in_use",
                           "environment %s is pinned by %lld%s live session%s; end %s first, or "
                           "archive the environment",
                           id, (long long)pins, pins == MAX_PINS_TOLD ? " or more" : "",
                           pins == 1 ? "" : "s", pins == 1 ? "it" : "them");
    q = sql_use(s->set, SQL_VERSION_DELETE);
    sql_bind_str(q, 1, id);
    if (!sql_run(q, &p->err))
        return state_failed(p);
    q = sql_use(s->set, SQL_ENV_DELETE);
    sql_bind_str(q, 1, id);
    return sql_run(q, &p->err) ? true : state_failed(p);
}

bool env_list(struct state *s, const char *workspace, bool archived, const struct state_page *page,
              json_t **out, struct problem *p)
{
    VEC(struct env_row) rows = {0};
    struct sql_stmt *q = sql_use(s->set, archived ? SQL_ENV_LIST : SQL_ENV_LIST_LIVE);
    sql_bind_str(q, 1, workspace);
    sql_bind_int(q, 2, page->before ? page->before : INT64_MAX);
    sql_bind_int(q, 3, (int64_t)page->limit + 1);
    while (sql_next(q))
        read_env(q, VEC_PUSH(&rows));
    bool ok = sql_end(q, &p->err);
    json_t *data = json_array();
    size_t n = rows.n > page->limit ? page->limit : rows.n;
    for (size_t i = 0; ok && i < n; i++) {
        json_t *e = env_json(s, &rows.v[i], p);
        ok = e && json_array_append_new(data, e) == 0;
    }
    *out = state_page_json(data, 'e', rows.n > n ? rows.v[n - 1].seq : 0);
    for (size_t i = 0; i < rows.n; i++)
        env_row_release(&rows.v[i]);
    VEC_FREE(&rows);
    if (ok)
        return true;
    json_decref(TAKE(*out));
    return state_failed(p);
}
