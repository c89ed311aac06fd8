/* SPDX-License-Identifier: Apache-2.0 */
/* api_pin.c - sessions' pins; waiting for their artifacts. */
#include "worker/api/api_priv.h"
#include "worker/rules/hosts.h"
#include "worker/rules/netpolicy.h"

#define MAX_WAIT_S 300
#define MAX_MCP    128
#define MAX_VAULTS 512

struct pin_body {
    struct req *req;
    json_t *mcp_hosts, *vault_hosts;
    int64_t version, wait_s, deadline_us;
    struct digest digest;
    char build[JOB_ID_SIZE];
    /* While waiting: */
    struct runner_watch watch;
    struct waiter waiter;
    bool reading, again;
};

static void pin_body_free(void *data)
{
    struct pin_body *b = data;
    runner_unwatch(&b->watch);
    waiter_remove(&b->waiter);
    json_decref(b->mcp_hosts);
    json_decref(b->vault_hosts);
    free(b);
}

static bool not_a(struct req *r, const char *path, const char *what, const json_t *value)
{
    return problem_field(req_problem(r), path, "must be %s, not %s", what, config_type_name(value));
}

static bool check_mcp(struct req *r, size_t i, const json_t *server, struct pin_body *b)
{
    char path[64], host[HOST_SIZE];
    struct err why = {0};
    snprintf(path, sizeof(path), "agent.mcp_servers[%zu]", i);
    if (!json_is_object(server))
        return not_a(r, path, "an object", server);
    const json_t *type = json_object_get(server, "type");
    if (!json_is_string(type) || strcmp(json_string_value(type), "url") != 0)
        return problem_field(req_problem(r), path, "type must be \"url\"");
    snprintf(path, sizeof(path), "agent.mcp_servers[%zu].url", i);
    const json_t *url = json_object_get(server, "url");
    if (!json_is_string(url))
        return not_a(r, path, "a string", url);
    if (!host_of_url(span_of(json_string_value(url), json_string_length(url)), host, &why))
        return problem_field(req_problem(r), path, "%s", why.text);
    json_array_append_new(b->mcp_hosts, json_string(host));
    return true;
}

static bool check_agent(struct req *r, struct pin_body *b)
{
    const json_t *agent = json_object_get(r->body, "agent");
    const json_t *servers = json_object_get(agent, "mcp_servers");
    size_t i;
    json_t *server;
    if (agent && !json_is_object(agent) && !json_is_null(agent))
        return not_a(r, "agent", "an object", agent);
    if (servers && !json_is_array(servers) && !json_is_null(servers))
        return not_a(r, "agent.mcp_servers", "a list", servers);
    if (json_array_size(servers) > MAX_MCP)
        return problem_field(req_problem(r), "agent.mcp_servers", "has more than %d entries",
                             MAX_MCP);
    json_array_foreach ((json_t *)(uintptr_t)servers, i, server) {
        if (!check_mcp(r, i, server, b))
            return false;
    }
    return true;
}

static bool check_vaults(struct req *r, struct pin_body *b)
{
    const json_t *hosts = json_object_get(r->body, "vault_hosts");
    size_t i;
    json_t *host;
    if (hosts && !json_is_array(hosts) && !json_is_null(hosts))
        return not_a(r, "vault_hosts", "a list of host names", hosts);
    if (json_array_size(hosts) > MAX_VAULTS)
        return problem_field(req_problem(r), "vault_hosts", "has more than %d entries", MAX_VAULTS);
    json_array_foreach ((json_t *)(uintptr_t)hosts, i, host) {
        char path[40], name[HOST_SIZE];
        struct err why = {0};
        snprintf(path, sizeof(path), "vault_hosts[%zu]", i);
        if (!json_is_string(host))
            return not_a(r, path, "a string", host);
        if (!host_normalise(span_of(json_string_value(host), json_string_length(host)), true, name,
                            &why))
            return problem_field(req_problem(r), path, "%s", why.text);
        json_array_append_new(b->vault_hosts, json_string(name));
    }
    return true;
}

static bool check_session(struct req *r)
{
    return text_is_session(span_str(r->arg[0]))
               ? true
               : problem_field(req_problem(r), "session_id",
                               "must have 1 to 128 of the characters A-Z a-z 0-9 . _ : @ -");
}

static bool check_subject(struct req *r, struct pin_body *b)
{
    const json_t *env = json_object_get(r->body, "environment_id");
    const json_t *version = json_object_get(r->body, "version");
    if (!json_is_string(env))
        return env ? not_a(r, "environment_id", "a string", env)
                   : problem_field(req_problem(r), "environment_id", "is missing");
    if (!version || json_is_null(version))
        return true;
    if (!json_is_integer(version) || json_integer_value(version) < 1 ||
        json_integer_value(version) > INT32_MAX)
        return problem_field(req_problem(r), "version", "must be a whole number from 1 on");
    b->version = json_integer_value(version);
    return true;
}

static struct pin_body *new_body(struct req *r)
{
    struct pin_body *b = MEM_NEW(struct pin_body);
    b->req = r;
    b->mcp_hosts = json_array();
    b->vault_hosts = json_array();
    r->data = b;
    r->free_data = pin_body_free;
    return b;
}

bool pin_put_prepare(struct req *r)
{
    static const char *const fields[] = {"environment_id", "version", "agent", "vault_hosts", NULL};
    struct pin_body *b = new_body(r);
    return check_session(r) && config_only(r->body, "", fields, req_problem(r)) &&
           check_subject(r, b) && check_agent(r, b) && check_vaults(r, b) &&
           req_int(r, "wait", 0, MAX_WAIT_S, &b->wait_s) &&
           json_canonical_digest(r->body, &b->digest, &req_problem(r)->err);
}

bool pin_get_prepare(struct req *r)
{
    struct pin_body *b = new_body(r);
    return check_session(r) && req_int(r, "wait", 0, MAX_WAIT_S, &b->wait_s);
}

/* ---- on the database's threads ---- */

static json_t *policy(const json_t *config, void *ctx)
{
    const struct pin_body *b = ctx;
    struct api *a = b->req->api;
    /* Finding them may take a while once after start, so only who needs them waits. */
    bool wanted =
        json_get_bool(json_object_get(config, "networking"), "allow_package_managers", false);
    AUTO_JSON json_t *registries = wanted ? a->builder->ops->registries(a->builder) : json_object();
    uv_mutex_lock(&a->mutex);
    AUTO_JSON json_t *domains = json_deep_copy(a->platform_domains);
    uv_mutex_unlock(&a->mutex);
    return netpolicy_build(&(struct netpolicy_input){.config = config,
                                                     .registries = registries,
                                                     .mcp_hosts = b->mcp_hosts,
                                                     .platform_domains = domains,
                                                     .vault_hosts = b->vault_hosts});
}

static bool hold(const char *name, const char *artifact, void *ctx, struct err *err)
{
    const struct pin_body *b = ctx;
    struct builder *builder = b->req->api->builder;
    struct digest digest;
    if (!digest_parse(span_str(artifact), &digest))
        return err_set(err, ERR_CORRUPT, "a version's artifact is no digest");
    return builder->ops->has_artifact(builder, &digest) &&
           builder->ops->pin(builder, name, &digest, err);
}

static void tell(struct req *r)
{
    struct pin_body *b = r->data;
    const char *status = json_get_str(r->reply, "status");
    const char *build = json_get_str(r->reply, "build_id");
    b->build[0] = '\0';
    if (status && strcmp(status, "building") == 0 && build)
        snprintf(b->build, sizeof(b->build), "%s", build);
    r->enqueued = b->build[0] != '\0';
}

void pin_put_work(struct req *r, struct state *s)
{
    struct pin_body *b = r->data;
    struct pin_new n = {.session = r->arg[0],
                        .env = json_get_str(r->body, "environment_id"),
                        .version = b->version,
                        .body = &b->digest,
                        .policy = policy,
                        .hold = hold,
                        .ctx = b};
    if (pin_put(s, r->workspace, &n, &r->reply, req_problem(r)))
        tell(r);
}

void pin_get_work(struct req *r, struct state *s)
{
    if (pin_get(s, r->workspace, r->arg[0], &r->reply, req_problem(r)))
        tell(r);
}

void pin_delete_work(struct req *r, struct state *s)
{
    struct builder *b = r->api->builder;
    char name[PIN_NAME_SIZE];
    if (!text_is_session(span_str(r->arg[0]))) {
        problem_set(req_problem(r), ERR_NOT_FOUND, "session_not_pinned",
                    "session \"%.128s\" has no environment", r->arg[0]);
        return;
    }
    if (!pin_delete(s, r->workspace, r->arg[0], &r->reply, req_problem(r)))
        return;
    pin_name(r->workspace, r->arg[0], name);
    b->ops->unpin(b, name, &req_problem(r)->err);
}

/* ---- waiting ---- */

static void build_failed(struct req *r)
{
    struct problem *p = req_problem(r);
    json_t *failure = json_object_get(r->reply, "failure");
    const char *why = json_get_str(failure, "message");
    p->details = json_pack("{s:O, s:O}", "build_id", json_object_get(r->reply, "build_id"),
                           "failure", failure);
    problem_set(p, ERR_CONFLICT, "build_failed", "the build of environment %s failed: %.600s",
                json_get_str(r->reply, "environment_id"), why ? why : "it was cancelled");
}

static void answer(struct req *r)
{
    struct pin_body *b = r->data;
    const char *status = json_get_str(r->reply, "status");
    runner_unwatch(&b->watch);
    waiter_remove(&b->waiter);
    bool put = r->route->method == CALL_PUT;
    if (put && status && strcmp(status, "failed") == 0)
        build_failed(r);
    r->status = !put ? 200 : b->build[0] ? 202 : 201;
    req_answer(r);
}

static void look(struct pin_body *b);

static void look_work(struct db_task *t, struct state *s)
{
    pin_get_work(container_of(t, struct req, task), s);
}

static void look_done(struct db_task *t)
{
    struct req *r = container_of(t, struct req, task);
    struct pin_body *b = r->data;
    b->reading = false;
    if (problem_is(&t->problem) || !b->build[0] || text_now_us() >= b->deadline_us)
        answer(r);
    else if (b->again)
        look(b);
}

static void look(struct pin_body *b)
{
    struct req *r = b->req;
    b->again = b->reading;
    if (b->reading)
        return;
    b->reading = true;
    json_decref(TAKE(r->reply));
    r->task.work = look_work;
    r->task.done = look_done;
    db_read(r->api->db, &r->task);
}

static void on_wake(struct runner_watch *w, bool progress_only)
{
    if (!progress_only)
        look(container_of(w, struct pin_body, watch));
}

static void on_tick(struct waiter *w)
{
    look(container_of(w, struct pin_body, waiter));
}

static void maybe_wait(struct req *r)
{
    struct pin_body *b = r->data;
    if (!b->build[0] || !b->wait_s) {
        answer(r);
        return;
    }
    b->deadline_us = text_now_us() + b->wait_s * 1000000;
    memcpy(b->watch.build, b->build, sizeof(b->watch.build));
    b->watch.wake = on_wake;
    b->waiter.tick = on_tick;
    runner_watch(r->api->runner, &b->watch);
    waiter_add(r->api, &b->waiter);
    look(b); /* it may have ended between the two */
}

void pin_put_finish(struct req *r)
{
    maybe_wait(r);
}

void pin_get_finish(struct req *r)
{
    maybe_wait(r);
}
