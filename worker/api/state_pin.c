/* SPDX-License-Identifier: Apache-2.0 */
/* state_pin.c - sessions' holds on artifacts. A pin's row is a snapshot: config and network
 * policy as they were; only the artifact is filled in later, when its build was not ready. */
#include <sys/utsname.h>

#include "worker/api/state_priv.h"
#include "worker/rules/config.h"
#include "worker/rules/text.h"

struct pin_row {
    char env[JOB_ID_SIZE], build[JOB_ID_SIZE], artifact[DIGEST_TEXT_SIZE];
    int64_t version, created_us;
    struct digest body;
    json_t *config, *policy;
    bool found;
};

static void pin_row_release(struct pin_row *r)
{
    json_decref(r->config);
    json_decref(r->policy);
}
#define AUTO_PIN __attribute__((cleanup(pin_row_release)))

void pin_name(const char *workspace, const char *session, char out[PIN_NAME_SIZE])
{
    snprintf(out, PIN_NAME_SIZE, "session/%s/%s", workspace, session);
}

/* ---- artifacts ---- */

bool artifact_show(struct state *s, const char *workspace, const char *digest, struct err *err)
{
    struct sql_stmt *q = sql_use(s->set, SQL_ARTIFACT_SHOW);
    sql_bind_str(q, 1, workspace);
    sql_bind_str(q, 2, digest);
    return sql_run(q, err);
}

bool artifact_get(struct state *s, const char *workspace, const char *digest, json_t **out,
                  struct problem *p)
{
    *out = NULL;
    struct sql_stmt *q = sql_use(s->set, SQL_ARTIFACT_GET);
    sql_bind_str(q, 1, digest);
    sql_bind_str(q, 2, workspace);
    if (sql_next(q))
        *out = json_parse(sql_text(q, 0), &p->err);
    if (!sql_end(q, &p->err))
        return state_failed(p);
    return *out ? true
                : problem_set(p, ERR_NOT_FOUND, "artifact_not_found",
                              "artifact \"%.80s\" does not exist in this workspace", digest);
}

/* ---- what a pin tells ---- */

static const char *host_arch(void)
{
    static const struct {
        const char *machine, *oci;
    } names[] = {{"x86_64", "amd64"},
                 {"aarch64", "arm64"},
                 {"ppc64le", "ppc64le"},
                 {"s390x", "s390x"},
                 {"riscv64", "riscv64"}};
    struct utsname u;
    if (uname(&u) == 0)
        for (size_t i = 0; i < COUNT(names); i++)
            if (strcmp(u.machine, names[i].machine) == 0)
                return names[i].oci;
    return "unknown";
}

static json_t *environment_artifact(const json_t *config, const json_t *manifest)
{
    const char *arch = json_get_str(json_object_get(manifest, "platform"), "arch");
    json_t *assets = json_object();
    for (size_t i = 0; i < COUNT(config_managers); i++) {
        const char *m = config_managers[i];
        char mount[64];
        if (!json_array_size(json_object_get(config_packages(config), m)))
            continue;
        snprintf(mount, sizeof(mount), "/opt/managed-env/%s", m);
        json_object_set_new(assets, m, json_pack("{s:s}", "mount_path", mount));
    }
    return json_pack("{s:{s:s, s:s}, s:o}", "compatibility", "os", "linux", "arch",
                     arch ? arch : host_arch(), "assets", assets);
}

static json_t *member_or(json_t *fallback, const json_t *object, const char *key)
{
    json_t *v = json_object_get(object, key);
    if (!v)
        return fallback;
    json_decref(fallback);
    return json_incref(v);
}

static json_t *pin_json(const char *session, const struct pin_row *r, const char *status,
                        const json_t *manifest, const json_t *failure)
{
    json_t *o = json_object();
    json_put_str(o, "type", "session_environment");
    json_put_str(o, "session_id", session);
    json_put_str(o, "environment_id", r->env);
    json_put_int(o, "version", r->version);
    json_put_str(o, "status", status);
    json_object_set_new(o, "build_id", r->build[0] ? json_string(r->build) : json_null());
    json_object_set_new(o, "artifact", r->artifact[0] ? json_string(r->artifact) : json_null());
    json_object_set_new(o, "layers", member_or(json_array(), manifest, "layers"));
    json_object_set(o, "environment", r->config);
    json_object_set_new(o, "env",
                        member_or(json_pack("{s:[], s:{}}", "path", "variables"), manifest, "env"));
    json_object_set_new(o, "environment_artifact", environment_artifact(r->config, manifest));
    json_object_set(o, "network_policy", r->policy);
    json_object_set(o, "failure", (json_t *)(uintptr_t)failure);
    text_put_time_us(o, "created_at", r->created_us);
    return o;
}

/* The pin with its build's state. A job that is gone counts as queued: nothing is known. */
static bool tell(struct state *s, const char *session, const struct pin_row *r, json_t **out,
                 struct problem *p)
{
    AUTO_JSON json_t *manifest = NULL;
    AUTO_JSON json_t *failure = json_null();
    const char *status = "ready";
    if (r->artifact[0]) {
        if (!artifact_get(s, NULL, r->artifact, &manifest, p))
            return false;
    } else if (r->build[0]) {
        AUTO_JOB struct job job = {0};
        if (!s->queue->ops->get(s->queue, r->build, &job, &p->err))
            return state_failed(p);
        status = job.state >= JOB_FAILED ? "failed" : "building";
        json_decref(failure);
        failure =
            job.state == JOB_DEAD || job.state == JOB_FAILED ? build_failure(&job) : json_null();
    }
    *out = pin_json(session, r, status, manifest, failure);
    return true;
}

static bool load(struct state *s, const char *workspace, const char *session, struct pin_row *r,
                 struct problem *p)
{
    *r = (struct pin_row){0};
    struct sql_stmt *q = sql_use(s->set, SQL_PIN_GET);
    sql_bind_str(q, 1, workspace);
    sql_bind_str(q, 2, session);
    if (sql_next(q)) {
        r->found = true;
        state_copy(r->env, sizeof(r->env), sql_text(q, 0));
        r->version = sql_int(q, 1);
        struct span body = sql_blob(q, 2);
        if (body.len == DIGEST_BYTES)
            memcpy(r->body.bytes, body.ptr, DIGEST_BYTES);
        r->config = state_json(q, 3);
        r->policy = state_json(q, 4);
        state_copy(r->build, sizeof(r->build), sql_text(q, 5));
        state_copy(r->artifact, sizeof(r->artifact), sql_text(q, 6));
        r->created_us = sql_int(q, 7);
    }
    return sql_end(q, &p->err) ? true : state_failed(p);
}

static bool not_pinned(const char *session, struct problem *p)
{
    return problem_set(p, ERR_NOT_FOUND, "session_not_pinned",
                       "session \"%.128s\" has no environment; PUT one first", session);
}

bool pin_get(struct state *s, const char *workspace, const char *session, json_t **out,
             struct problem *p)
{
    AUTO_PIN struct pin_row r = {0};
    *out = NULL;
    if (!load(s, workspace, session, &r, p))
        return false;
    return r.found ? tell(s, session, &r, out, p) : not_pinned(session, p);
}

bool pin_delete(struct state *s, const char *workspace, const char *session, json_t **out,
                struct problem *p)
{
    struct sql_stmt *q = sql_use(s->set, SQL_PIN_DELETE);
    sql_bind_str(q, 1, workspace);
    sql_bind_str(q, 2, session);
    if (!sql_run(q, &p->err))
        return state_failed(p);
    if (!sql_changes(s->db))
        return not_pinned(session, p);
    *out = json_pack("{s:s, s:s}", "session_id", session, "type", "session_environment_deleted");
    return true;
}

/* ---- pinning ---- */

static bool insert(struct state *s, const char *workspace, const char *session,
                   const struct pin_row *r, struct problem *p)
{
    AUTO_BUF struct buf config = BUF(4 << 20), policy = BUF(4 << 20);
    if (!json_canonical(r->config, &config, &p->err) ||
        !json_canonical(r->policy, &policy, &p->err))
        return false;
    struct sql_stmt *q = sql_use(s->set, SQL_PIN_ADD);
    sql_bind_str(q, 1, workspace);
    sql_bind_str(q, 2, session);
    sql_bind_str(q, 3, r->env);
    sql_bind_int(q, 4, r->version);
    sql_bind_blob(q, 5, span_of(r->body.bytes, DIGEST_BYTES));
    sql_bind_text(q, 6, buf_span(&config));
    sql_bind_text(q, 7, buf_span(&policy));
    sql_bind_str(q, 8, r->build[0] ? r->build : NULL);
    sql_bind_str(q, 9, r->artifact[0] ? r->artifact : NULL);
    sql_bind_int(q, 10, r->created_us);
    return sql_run(q, &p->err) ? true : state_failed(p);
}

/* The build that will make the version's artifact: the one under way, or a new one. A build
 * that failed is not tried again just because somebody asks for its result. */
static bool await(struct state *s, const char *workspace, struct pin_row *r,
                  const struct version_row *v, bool lost, struct problem *p)
{
    AUTO_JOB struct job job = {0};
    if (v->build[0] && !lost) {
        if (!s->queue->ops->get(s->queue, v->build, &job, &p->err)) {
            if (p->err.code != ERR_NOT_FOUND)
                return state_failed(p);
            err_clear(&p->err);
        }
        if (job.state == JOB_FAILED || job.state == JOB_DEAD) {
            p->details =
                json_pack("{s:s, s:o}", "build_id", job.id, "failure", build_failure(&job));
            const char *why = json_get_str(json_object_get(p->details, "failure"), "message");
            return problem_set(p, ERR_CONFLICT, "build_failed",
                               "the build of environment %s version %lld failed: %.600s; correct "
                               "the environment, or retry build %s",
                               r->env, (long long)r->version, why ? why : job.code, job.id);
        }
        if (job.id[0] && (job.state == JOB_QUEUED || job.state == JOB_RUNNING) &&
            !job.cancel_requested) {
            memcpy(r->build, job.id, sizeof(r->build));
            return true;
        }
        job_release(&job);
    }
    struct build_new b = {.env = r->env,
                          .version = r->version,
                          .config = v->config,
                          .lock = v->lock,
                          .priority = JOB_INTERACTIVE};
    if (!build_enqueue(s, workspace, &b, &job, NULL, p))
        return false;
    memcpy(r->build, job.id, sizeof(r->build));
    return version_set_build(s, r->env, r->version, job.id, p);
}

/* Either r->artifact, held in the store, or r->build. */
static bool take_artifact(struct state *s, const char *workspace, const struct pin_new *n,
                          struct pin_row *r, const struct version_row *v, struct problem *p)
{
    if (!config_has_packages(v->config))
        return true;
    if (!v->artifact[0])
        return await(s, workspace, r, v, false, p);
    char name[PIN_NAME_SIZE];
    pin_name(workspace, n->session, name);
    if (n->hold(name, v->artifact, n->ctx, &p->err)) {
        memcpy(r->artifact, v->artifact, sizeof(r->artifact));
        memcpy(r->build, v->build, sizeof(r->build));
        return true;
    }
    return p->err.code ? state_failed(p) : await(s, workspace, r, v, true, p);
}

static bool pin_new_row(struct state *s, const char *workspace, const struct pin_new *n,
                        struct pin_row *r, struct problem *p)
{
    AUTO_ENV struct env_row env = {0};
    AUTO_VERSION struct version_row v = {0};
    if (!env_get(s, workspace, n->env, &env, p) || !env_not_archived(&env, p) ||
        !version_get(s, env.id, n->version ? n->version : env.current.n, &v, p))
        return false;
    memcpy(r->env, env.id, sizeof(r->env));
    r->version = v.n;
    r->created_us = text_now_us();
    r->body = *n->body;
    r->config = json_incref(v.config);
    r->policy = n->policy(v.config, n->ctx);
    return take_artifact(s, workspace, n, r, &v, p) && insert(s, workspace, n->session, r, p);
}

bool pin_put(struct state *s, const char *workspace, const struct pin_new *n, json_t **out,
             struct problem *p)
{
    AUTO_PIN struct pin_row r = {0};
    *out = NULL;
    if (!load(s, workspace, n->session, &r, p))
        return false;
    if (r.found && !digest_eq(&r.body, n->body))
        return problem_set(p, ERR_CONFLICT, "session_already_pinned",
                           "session \"%.128s\" is pinned with another request (environment %s, "
                           "version %lld); a pin never changes, DELETE it when the session has "
                           "ended",
                           n->session, r.env, (long long)r.version);
    if (!r.found && !pin_new_row(s, workspace, n, &r, p))
        return false;
    return tell(s, n->session, &r, out, p);
}

bool pin_waiting(struct state *s, const char *build, json_t **out, struct err *err)
{
    struct sql_stmt *q = sql_use(s->set, SQL_PIN_WAITING);
    sql_bind_str(q, 1, build);
    json_t *list = json_array();
    while (sql_next(q)) {
        char name[PIN_NAME_SIZE];
        AUTO_FREE char *workspace = state_text(q, 0);
        AUTO_FREE char *session = state_text(q, 1);
        pin_name(workspace, session, name);
        json_array_append_new(list, json_string(name));
    }
    *out = list;
    if (sql_end(q, err))
        return true;
    json_decref(list);
    *out = NULL;
    return false;
}

bool pin_each(struct state *s, bool (*each)(void *ctx, const char *name, const char *artifact),
              void *ctx, struct err *err)
{
    struct sql_stmt *q = sql_use(s->set, SQL_PIN_EACH);
    bool go = true;
    while (go && sql_next(q)) {
        char name[PIN_NAME_SIZE];
        AUTO_FREE char *workspace = state_text(q, 0);
        AUTO_FREE char *session = state_text(q, 1);
        AUTO_FREE char *artifact = state_text(q, 2);
        pin_name(workspace, session, name);
        go = each(ctx, name, artifact);
    }
    return sql_end(q, err);
}
