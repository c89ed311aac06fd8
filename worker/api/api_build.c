/* SPDX-License-Identifier: Apache-2.0 */
/* api_build.c - builds: starting, telling, cancelling. */
#include "worker/api/api_priv.h"

struct build_body {
    json_t *config; /* inline; NULL: of an environment */
    char *env;
    int64_t version; /* 0: the newest */
    bool refresh;
    enum job_priority priority;
    char *idempotency_key;
    struct digest request;
};

static void build_body_free(void *data)
{
    struct build_body *b = data;
    json_decref(b->config);
    free(b->env);
    free(b->idempotency_key);
    free(b);
}

static bool check_priority(struct req *r, struct build_body *b)
{
    const json_t *v = json_object_get(r->body, "priority");
    b->priority = JOB_NORMAL;
    if (!v || json_is_null(v))
        return true;
    struct span name = json_get_span(r->body, "priority");
    return name.ptr && job_priority_parse(name, &b->priority)
               ? true
               : problem_field(req_problem(r), "priority",
                               "must be \"interactive\", \"normal\" or \"warm\"");
}

static bool check_version(struct req *r, const json_t *v, int64_t *out)
{
    *out = 0;
    if (!v || json_is_null(v))
        return true;
    if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > INT32_MAX)
        return problem_field(req_problem(r), "version", "must be a whole number from 1 on");
    *out = json_integer_value(v);
    return true;
}

static bool check_subject(struct req *r, struct build_body *b)
{
    struct problem *p = req_problem(r);
    const json_t *env = json_object_get(r->body, "environment_id");
    const json_t *config = json_object_get(r->body, "config");
    const json_t *refresh = json_object_get(r->body, "refresh");
    if (!env == !config)
        return problem_field(p, "body", "needs either environment_id or config");
    if (env && !json_is_string(env))
        return problem_field(p, "environment_id", "must be a string, not %s",
                             config_type_name(env));
    if (refresh && !json_is_boolean(refresh) && !json_is_null(refresh))
        return problem_field(p, "refresh", "must be true or false, not %s",
                             config_type_name(refresh));
    b->refresh = json_is_true(refresh);
    if (env) {
        b->env = mem_dup_str(json_string_value(env));
        return check_version(r, json_object_get(r->body, "version"), &b->version);
    }
    if (json_object_get(r->body, "version"))
        return problem_field(p, "version", "goes with environment_id, not with config");
    AUTO_JSON json_t *fresh = config_default();
    if (!config_merge(fresh, config, true, r->api->o.check_spec, &b->config, p))
        return false;
    return config_has_packages(b->config)
               ? true
               : problem_field(p, "config.packages", "declares no package: nothing to build");
}

static bool take_idempotency_key(struct req *r, struct build_body *b)
{
    struct problem *p = req_problem(r);
    const char *key = call_header(r->call, "idempotency-key");
    if (!key)
        return true;
    struct span s = span_str(key);
    if (s.len == 0 || s.len > 255 || text_has_control(s) || !span_is_utf8(s))
        return problem_field(p, "idempotency-key", "must have 1 to 255 characters");
    b->idempotency_key = mem_dup(s);
    return json_canonical_digest(r->body, &b->request, &p->err);
}

bool build_create_prepare(struct req *r)
{
    static const char *const fields[] = {"environment_id", "version", "refresh",
                                         "priority",       "config",  NULL};
    struct build_body *b = MEM_NEW(struct build_body);
    r->data = b;
    r->free_data = build_body_free;
    return config_only(r->body, "", fields, req_problem(r)) && check_priority(r, b) &&
           check_subject(r, b) && take_idempotency_key(r, b);
}

static bool enqueue(struct req *r, struct state *s, const struct build_new *n, struct job *job)
{
    enum queue_how how;
    if (!build_enqueue(s, r->workspace, n, job, &how, req_problem(r)))
        return false;
    r->status = 202;
    r->enqueued = true;
    r->reply = build_json(job);
    json_object_set_new(r->reply, "joined", json_boolean(how == QUEUE_JOINED));
    return true;
}

static struct build_new new_build(const struct build_body *b)
{
    return (struct build_new){.config = b->config,
                              .refresh = b->refresh,
                              .priority = b->priority,
                              .idempotency_key = b->idempotency_key,
                              .request = b->idempotency_key ? &b->request : NULL};
}

/* A refresh is a version of its own. With an idempotency key that is known, it must not make a
 * second one; so the key is kept with the version's build. */
static void refresh_work(struct req *r, struct state *s, const struct env_row *env,
                         const struct version_row *v)
{
    struct problem *p = req_problem(r);
    const struct build_body *b = r->data;
    AUTO_JOB struct job job = {0};
    struct build_new n = new_build(b);
    if (b->idempotency_key &&
        !build_replay(s, r->workspace, b->idempotency_key, &b->request, &job, p))
        return;
    if (!job.id[0] && !env_refresh(s, r->workspace, env, v->config, &n, &job, p))
        return;
    r->status = 202;
    r->enqueued = true;
    r->reply = build_json(&job);
    json_object_set_new(r->reply, "joined", json_false());
}

static void env_build_work(struct req *r, struct state *s)
{
    struct problem *p = req_problem(r);
    const struct build_body *b = r->data;
    AUTO_ENV struct env_row env = {0};
    AUTO_VERSION struct version_row v = {0};
    AUTO_JOB struct job job = {0};
    if (!text_is_id(span_str(b->env), "env_")) {
        problem_set(p, ERR_NOT_FOUND, "environment_not_found",
                    "environment_id: environment \"%.60s\" does not exist in this workspace",
                    b->env);
        return;
    }
    if (!env_get(s, r->workspace, b->env, &env, p) || !env_not_archived(&env, p) ||
        !version_get(s, env.id, b->version ? b->version : env.current.n, &v, p))
        return;
    if (!config_has_packages(v.config)) {
        problem_set(p, ERR_INVALID, "nothing_to_build",
                    "environment %s version %lld declares no package: nothing to build", env.id,
                    (long long)v.n);
        return;
    }
    if (b->refresh) {
        refresh_work(r, s, &env, &v);
        return;
    }
    struct build_new n = new_build(b);
    n.env = env.id;
    n.version = v.n;
    n.config = v.config;
    n.lock = v.lock;
    bool live = enqueue(r, s, &n, &job) && (job.state == JOB_QUEUED || job.state == JOB_RUNNING);
    if (live && !v.artifact[0]) /* an old answer of an idempotency key changes nothing */
        version_set_build(s, env.id, v.n, job.id, p);
}

void build_create_work(struct req *r, struct state *s)
{
    const struct build_body *b = r->data;
    AUTO_JOB struct job job = {0};
    struct build_new n = new_build(b);
    if (b->env)
        env_build_work(r, s);
    else
        enqueue(r, s, &n, &job);
}

/* ---- telling ---- */

static bool load(struct req *r, struct state *s, struct job *job)
{
    return req_is_id(r, 0, "bld_", "build") &&
           build_get(s, r->workspace, r->arg[0], job, req_problem(r));
}

void build_get_work(struct req *r, struct state *s)
{
    AUTO_JOB struct job job = {0};
    if (load(r, s, &job))
        r->reply = build_json(&job);
}

/* What runs in this process tells how far it is. */
void build_get_finish(struct req *r)
{
    json_t *progress = runner_progress(r->api->runner, r->arg[0]);
    if (progress)
        json_object_set_new(r->reply, "managers", progress);
    req_answer(r);
}

static bool list_filter(struct req *r, struct queue_filter *f)
{
    AUTO_BUF struct buf text = BUF(64);
    enum job_state state;
    f->state = -1;
    if (!call_query(r->call, "status", &text))
        return true;
    if (text.overflow || !job_state_parse(buf_span(&text), &state) || state == JOB_DEAD)
        return problem_field(req_problem(r), "status",
                             "must be queued, running, succeeded, failed or cancelled");
    f->state = (int)state;
    f->failed_too = state == JOB_FAILED;
    return true;
}

void build_list_work(struct req *r, struct state *s)
{
    struct problem *p = req_problem(r);
    struct state_page page;
    struct queue_filter f = {.workspace = r->workspace};
    struct job *jobs;
    size_t count;
    if (!req_page(r, 'b', &page) || !list_filter(r, &f))
        return;
    f.before_seq = page.before;
    f.limit = page.limit + 1;
    if (!s->queue->ops->list(s->queue, &f, &jobs, &count, &p->err))
        return;
    char cursor[TEXT_CURSOR_SIZE];
    size_t n = count > page.limit ? page.limit : count;
    json_t *data = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(data, build_json(&jobs[i]));
    r->reply =
        json_pack("{s:o, s:o}", "data", data, "next_page",
                  count > n ? json_string(text_cursor('b', jobs[n - 1].seq, cursor)) : json_null());
    job_list_free(jobs, count);
}

static void append_lines(const json_t *events, struct buf *out, int64_t *last)
{
    size_t i;
    json_t *e;
    json_array_foreach ((json_t *)(uintptr_t)events, i, e) {
        const json_t *data = json_object_get(e, "data");
        *last = json_get_int(e, "id", *last);
        buf_printf(out, "%s %s %s\n", json_get_str(data, "time"), json_get_str(data, "level"),
                   json_get_str(data, "line"));
    }
}

void build_log_work(struct req *r, struct state *s)
{
    AUTO_JOB struct job job = {0};
    AUTO_BUF struct buf text = BUF(16 << 20);
    int64_t last = 0;
    if (!load(r, s, &job))
        return;
    for (;;) {
        AUTO_JSON json_t *events = NULL;
        if (!event_list(s, job.id, last, "log", 1000, &events, &req_problem(r)->err))
            return;
        append_lines(events, &text, &last);
        if (json_array_size(events) < 1000)
            break;
    }
    r->text = buf_take(&text);
    r->text_type = "text/plain; charset=utf-8";
}

/* ---- cancelling, retrying ---- */

static void change(struct req *r, struct state *s,
                   bool (*op)(struct queue *, const char *, int64_t, struct job *, struct err *))
{
    struct problem *p = req_problem(r);
    AUTO_JOB struct job job = {0};
    AUTO_JOB struct job after = {0};
    if (!load(r, s, &job))
        return;
    if (!op(s->queue, job.id, text_now_us() / 1000, &after, &p->err)) {
        if (p->err.code == ERR_CONFLICT)
            p->code = "build_state";
        return;
    }
    r->reply = build_json(&after);
}

void build_cancel_work(struct req *r, struct state *s)
{
    change(r, s, s->queue->ops->cancel);
}

void build_cancel_finish(struct req *r)
{
    runner_cancel(r->api->runner, r->arg[0]);
    req_answer(r);
}

void build_retry_work(struct req *r, struct state *s)
{
    change(r, s, s->queue->ops->retry);
    r->enqueued = r->reply != NULL;
}
