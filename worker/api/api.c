/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/api/api_priv.h"

const struct route api_routes[] = {
    {CALL_POST, "/v1/environments", ROUTE_WRITE, true, env_create_prepare, env_create_work, NULL},
    {CALL_GET, "/v1/environments", ROUTE_READ, false, NULL, env_list_work, NULL},
    {CALL_GET, "/v1/environments/*", ROUTE_READ, false, NULL, env_get_work, NULL},
    {CALL_POST, "/v1/environments/*", ROUTE_WRITE, true, env_update_prepare, env_update_work, NULL},
    {CALL_DELETE, "/v1/environments/*", ROUTE_WRITE, false, NULL, env_delete_work, NULL},
    {CALL_POST, "/v1/environments/*/archive", ROUTE_WRITE, false, NULL, env_archive_work, NULL},
    {CALL_GET, "/v1/environments/*/versions", ROUTE_READ, false, NULL, version_list_work, NULL},
    {CALL_GET, "/v1/environments/*/versions/*", ROUTE_READ, false, NULL, version_get_work, NULL},
    {CALL_POST, "/v1/builds", ROUTE_WRITE, true, build_create_prepare, build_create_work, NULL},
    {CALL_GET, "/v1/builds", ROUTE_READ, false, NULL, build_list_work, NULL},
    {CALL_GET, "/v1/builds/*", ROUTE_READ, false, NULL, build_get_work, build_get_finish},
    {CALL_GET, "/v1/builds/*/events", ROUTE_READ, false, NULL, build_events_work,
     build_events_finish},
    {CALL_GET, "/v1/builds/*/log", ROUTE_READ, false, NULL, build_log_work, NULL},
    {CALL_POST, "/v1/builds/*/cancel", ROUTE_WRITE, false, NULL, build_cancel_work,
     build_cancel_finish},
    {CALL_POST, "/v1/builds/*/retry", ROUTE_WRITE, false, NULL, build_retry_work, NULL},
    {CALL_GET, "/v1/artifacts/*", ROUTE_READ, false, NULL, artifact_get_work, NULL},
    {CALL_GET, "/v1/artifacts/*/sbom", ROUTE_READ, false, NULL, artifact_document_work, NULL},
    {CALL_GET, "/v1/artifacts/*/provenance", ROUTE_READ, false, NULL, artifact_document_work, NULL},
    {CALL_GET, "/v1/artifacts/*/lock", ROUTE_READ, false, NULL, artifact_document_work, NULL},
    {CALL_GET, "/v1/artifacts/*/blobs/*", ROUTE_READ, false, NULL, artifact_blob_work,
     artifact_blob_finish},
    {CALL_PUT, "/v1/sessions/*/environment", ROUTE_WRITE, true, pin_put_prepare, pin_put_work,
     pin_put_finish},
    {CALL_GET, "/v1/sessions/*/environment", ROUTE_READ, false, pin_get_prepare, pin_get_work,
     pin_get_finish},
    {CALL_DELETE, "/v1/sessions/*/environment", ROUTE_WRITE, false, NULL, pin_delete_work, NULL},
    {CALL_GET, "/healthz", ROUTE_LOOP, false, NULL, ops_health_work, NULL},
    {CALL_GET, "/readyz", ROUTE_PROBE, false, NULL, ops_ready_work, NULL},
    {CALL_GET, "/metrics", ROUTE_OPS, false, NULL, ops_metrics_work, ops_metrics_finish},
    {CALL_GET, "/openapi.json", ROUTE_LOOP, false, NULL, ops_openapi_work, NULL},
    {CALL_GET, "/", ROUTE_LOOP, false, NULL, ops_dashboard_work, NULL},
};
const size_t api_route_count = COUNT(api_routes);
_Static_assert(COUNT(api_routes) <= ROUTE_COUNT, "counters for each route");

/* ---- routing ---- */

/* Do the segments fit? Stars are decoded into args; one that does not decode, or has a slash
 * in it, is nobody's name. */
static bool path_fits(const char *pattern, struct span path, char args[REQ_ARGS][REQ_ARG_SIZE])
{
    struct span want = span_str(pattern), w, have;
    int n = 0;
    while (span_next(&want, '/', &w)) {
        if (!span_next(&path, '/', &have))
            return false;
        if (!span_eq_str(w, "*")) {
            if (!span_eq(w, have))
                return false;
            continue;
        }
        AUTO_BUF struct buf text = BUF(REQ_ARG_SIZE - 1);
        if (have.len == 0 || n == REQ_ARGS || !text_percent_decode(have, false, &text) ||
            span_has(buf_span(&text), '/') || text_has_control(buf_span(&text)))
            return false;
        memcpy(args[n++], buf_cstr(&text), text.len + 1);
    }
    return !path.ptr;
}

static const struct route *find_route(struct req *r, char allow[64])
{
    allow[0] = '\0';
    for (size_t i = 0; i < api_route_count; i++) {
        static const char *const names[] = {"GET, HEAD", "POST", "PUT", "DELETE"};
        if (!path_fits(api_routes[i].path, r->call->path, r->arg))
            continue;
        if (api_routes[i].method == r->call->method)
            return &api_routes[i];
        size_t n = strlen(allow);
        snprintf(allow + n, 64 - n, "%s%s", n ? ", " : "", names[api_routes[i].method]);
    }
    return NULL;
}

static void refuse_route(struct req *r, const char *allow)
{
    struct problem *p = req_problem(r);
    if (!allow[0]) {
        problem_set(p, ERR_NOT_FOUND, "no_such_path",
                    "nothing is at this path; /openapi.json lists all there is");
        call_problem(r->call, p);
        return;
    }
    problem_set(p, ERR_INVALID, "method_not_allowed", "%.16s is not possible here; allowed: %s",
                r->call->method_name, allow);
    call_put_header(r->call, "allow", allow);
    call_json(r->call, 405, problem_json(p, r->call->request_id));
}

/* ---- keys ---- */

static void take_key(struct req *r)
{
    const char *key = call_header(r->call, "x-api-key");
    const char *bearer = call_header(r->call, "authorization");
    if (!key && bearer && span_eq_nocase(span_slice(span_str(bearer), 0, 7), SPAN("Bearer ")))
        key = bearer + 7;
    if (key)
        r->key = mem_dup(span_trim(span_slice(span_str(key), 0, 4096)));
}

/* "localhost:80", "127.0.0.1", "[::1]:80"; what a browser sends when a page elsewhere got its
 * name to point here is something else. */
static bool names_loopback(struct span host)
{
    struct span name = host, port;
    if (span_starts(host, SPAN("[")))
        name = span_slice(host, 0, span_find_char(host, ']') + 1);
    else
        span_cut_char(host, ':', &name, &port);
    return span_eq_nocase(name, SPAN("localhost")) || span_starts(name, SPAN("127.")) ||
           span_eq(name, SPAN("[::1]"));
}

/* Without keys whoever reaches the port is served, so a browser must not be made to carry
 * another site's requests here. */
static bool from_here(struct req *r)
{
    struct problem *p = req_problem(r);
    struct span host = span_str(call_header(r->call, "host"));
    struct span origin = span_str(call_header(r->call, "origin")), scheme, site;
    if (!r->call->loopback)
        return problem_set(p, ERR_REGISTRY_REFUSED, "missing_api_key",
                           "this worker has no keys and serves its own machine only; make one "
                           "with `build-worker key create --workspace NAME`");
    if (!names_loopback(host) ||
        (origin.len && (!span_cut(origin, SPAN("://"), &scheme, &site) || !span_eq(site, host))))
        return problem_set(p, ERR_DENIED, "foreign_origin",
                           "without keys this worker serves no pages of other sites; make a key "
                           "with `build-worker key create --workspace NAME`");
    snprintf(r->workspace, sizeof(r->workspace), "default");
    return true;
}

/* On the reader thread, but for the headers, which the suspended connection keeps still. */
static bool authenticate(struct req *r, struct state *s)
{
    struct problem *p = req_problem(r);
    bool any = false;
    if (!key_any(s, &any, &p->err))
        return false;
    if (!any)
        return from_here(r);
    if (r->route->kind == ROUTE_OPS && !r->key && r->call->loopback)
        return true;
    if (!r->key)
        return problem_set(p, ERR_REGISTRY_REFUSED, "missing_api_key",
                           "no API key was sent; send it as x-api-key or as authorization: Bearer");
    return key_check(s, span_str(r->key), r->workspace, p);
}

/* ---- the way of a call ---- */

static bool parse_body(struct req *r)
{
    struct problem *p = req_problem(r);
    struct err why = {0};
    if (!r->route->body)
        return true;
    r->body = json_parse(buf_span(&r->call->body), &why);
    if (!r->body)
        return problem_set(p, ERR_INVALID, "invalid_json", "body: %s",
                           r->call->body.len ? why.text : "is empty; a JSON object is expected");
    return json_is_object(r->body)
               ? true
               : problem_field(p, "body", "must be an object, not %s", config_type_name(r->body));
}

/* Printed here, the answer costs the loop only its sending; what finish() may still change is
 * printed after it. */
static void print_reply(struct req *r)
{
    if (r->reply && !r->route->finish && !problem_is(req_problem(r))) {
        r->printed = json_dumps(r->reply, JSON_COMPACT);
        if (r->printed)
            json_decref(TAKE(r->reply));
    }
}

static void first_work(struct db_task *t, struct state *s)
{
    struct req *r = container_of(t, struct req, task);
    enum route_kind kind = r->route->kind;
    if ((kind != ROUTE_CHECK && !authenticate(r, s)) || !parse_body(r) ||
        (r->route->prepare && !r->route->prepare(r)))
        return;
    if (kind != ROUTE_WRITE)
        r->route->work(r, s);
    print_reply(r);
}

static void write_work(struct db_task *t, struct state *s)
{
    struct req *r = container_of(t, struct req, task);
    r->route->work(r, s);
    print_reply(r);
}

static void conclude(struct req *r)
{
    if (problem_is(req_problem(r))) {
        json_decref(TAKE(r->reply));
        free(TAKE(r->printed));
        r->enqueued = false;
    }
    if (r->enqueued)
        runner_nudge(r->api->runner);
    if (r->route->finish && !problem_is(req_problem(r)))
        r->route->finish(r);
    else
        req_answer(r);
}

static void write_done(struct db_task *t)
{
    conclude(container_of(t, struct req, task));
}

void req_write(struct req *r)
{
    r->task.work = write_work;
    r->task.done = write_done;
    db_write(r->api->db, &r->task);
}

static void first_done(struct db_task *t)
{
    conclude(container_of(t, struct req, task));
}

void req_answer(struct req *r)
{
    struct problem *p = req_problem(r);
    if (problem_is(p)) {
        if (problem_status(p) == 500)
            log_line(r->api->o.log, LOG_ERROR, "%s %s: %s", r->call->request_id, r->route->path,
                     p->err.text);
        call_problem(r->call, p);
    } else if (r->printed) {
        call_json_text(r->call, r->status ? r->status : 200, TAKE(r->printed));
    } else if (r->text) {
        call_text(r->call, r->status ? r->status : 200, r->text_type, span_str(r->text));
    } else {
        call_json(r->call, r->status ? r->status : 200, TAKE(r->reply));
    }
}

static void dispatch(struct req *r)
{
    r->task.work = first_work;
    r->task.write = r->route->kind == ROUTE_WRITE ? write_work : NULL;
    r->task.done = first_done;
    db_read(r->api->db, &r->task);
}

static void on_parked(struct waiter *w)
{
    struct req *r = container_of(w, struct req, parked);
    if (!r->api->builder->ops->registries_known(r->api->builder))
        return;
    waiter_remove(w);
    dispatch(r);
}

static void handle(struct call *call, void *ctx)
{
    struct req *r = MEM_NEW(struct req);
    char allow[64];
    r->api = ctx;
    r->call = call;
    call->ctx = r;
    r->route = find_route(r, allow);
    if (!r->route) {
        refuse_route(r, allow);
        return;
    }
    if (r->route->kind == ROUTE_LOOP) {
        r->route->work(r, NULL);
        req_answer(r);
        return;
    }
    take_key(r);
    if (r->route->kind == ROUTE_PROBE) {
        req_write(r);
        return;
    }
    /* A pin's policy may name registries; the writer must not wait for them with everybody's work.
     */
    if (r->route->prepare == pin_put_prepare &&
        !r->api->builder->ops->registries_known(r->api->builder)) {
        r->parked.tick = on_parked;
        waiter_add(r->api, &r->parked);
        return;
    }
    dispatch(r);
}

static void count_call(struct req *r, int status)
{
    if (!r->route)
        return;
    struct route_counts *c = &r->api->counts[r->route - api_routes];
    int64_t us = text_now_us() - r->call->received_us;
    db_times_add(&c->times, us);
    c->calls[status >= 100 && status < 600 ? status / 100 : 0]++;
}

static void ended(struct call *call, int status, void *ctx)
{
    struct req *r = call->ctx;
    (void)ctx;
    if (!r)
        return;
    count_call(r, status);
    waiter_remove(&r->parked);
    if (r->data)
        (r->free_data ? r->free_data : free)(r->data);
    if (r->key)
        explicit_bzero(r->key, strlen(r->key));
    free(r->key);
    free(r->text);
    free(r->printed);
    json_decref(r->body);
    json_decref(r->reply);
    problem_release(req_problem(r));
    free(r);
}

/* ---- parameters ---- */

bool req_int(struct req *r, const char *name, int64_t min, int64_t max, int64_t *out)
{
    AUTO_BUF struct buf text = BUF(256);
    uint64_t value;
    if (!call_query(r->call, name, &text))
        return true;
    if (text.overflow || !span_to_u64(buf_span(&text), &value) || value < (uint64_t)min ||
        value > (uint64_t)max)
        return problem_field(req_problem(r), name, "must be a whole number from %lld to %lld",
                             (long long)min, (long long)max);
    *out = (int64_t)value;
    return true;
}

bool req_bool(struct req *r, const char *name, bool *out)
{
    AUTO_BUF struct buf text = BUF(256);
    if (!call_query(r->call, name, &text))
        return true;
    *out = span_eq_str(buf_span(&text), "true");
    return *out || span_eq_str(buf_span(&text), "false")
               ? true
               : problem_field(req_problem(r), name, "must be true or false");
}

bool req_page(struct req *r, char list, struct state_page *page)
{
    AUTO_BUF struct buf text = BUF(256);
    int64_t limit = 20;
    *page = (struct state_page){0};
    if (!req_int(r, "limit", 1, 100, &limit))
        return false;
    page->limit = (size_t)limit;
    if (!call_query(r->call, "page", &text))
        return true;
    return !text.overflow && text_cursor_parse(list, buf_span(&text), &page->before)
               ? true
               : problem_field(req_problem(r), "page",
                               "is not a cursor of this list; send a next_page that it gave");
}

bool req_is_id(struct req *r, int arg, const char *prefix, const char *what)
{
    if (text_is_id(span_str(r->arg[arg]), prefix))
        return true;
    return problem_set(req_problem(r), ERR_NOT_FOUND,
                       strcmp(what, "build") == 0 ? "build_not_found" : "environment_not_found",
                       "%s \"%.60s\" does not exist in this workspace", what, r->arg[arg]);
}

/* ---- waiters ---- */

void waiter_add(struct api *a, struct waiter *w)
{
    w->next = a->waiters.next;
    w->prev = &a->waiters;
    w->next->prev = w->prev->next = w;
}

void waiter_remove(struct waiter *w)
{
    if (!w->next)
        return;
    w->next->prev = w->prev;
    w->prev->next = w->next;
    w->next = w->prev = NULL;
}

static void on_tick(uv_timer_t *t)
{
    struct api *a = container_of(t, struct api, tick);
    for (struct waiter *w = a->waiters.next, *next; w != &a->waiters; w = next) {
        next = w->next;
        w->tick(w);
    }
}

/* How long the loop was busy in one turn: so long everybody else waited. */
static void on_lap(uv_prepare_t *h)
{
    struct api *a = container_of(h, struct api, lap);
    uint64_t now = uv_hrtime(), idle = uv_metrics_idle_time(a->loop);
    if (a->lap_ns && now - a->lap_ns >= idle - a->lap_idle_ns)
        db_times_add(&a->laps, (int64_t)(now - a->lap_ns - (idle - a->lap_idle_ns)) / 1000);
    a->lap_ns = now;
    a->lap_idle_ns = idle;
}

/* ---- the outside ---- */

struct api *api_new(uv_loop_t *loop, struct db *db, struct runner *runner, struct builder *builder,
                    const struct api_options *options, struct err *err)
{
    struct api *a = MEM_NEW(struct api);
    a->loop = loop;
    a->db = db;
    a->runner = runner;
    a->builder = builder;
    a->o = *options;
    a->started_us = text_now_us();
    a->waiters.next = a->waiters.prev = &a->waiters;
    a->o.server.handle = handle;
    a->o.server.ended = ended;
    a->o.server.ctx = a;
    uv_mutex_init(&a->mutex);
    a->server = server_new(loop, &a->o.server, err);
    if (!a->server) {
        uv_mutex_destroy(&a->mutex);
        free(a);
        return NULL;
    }
    api_reconfigure(a, options->platform_domains);
    uv_timer_init(loop, &a->tick);
    uv_timer_start(&a->tick, on_tick, 1000, 1000);
    uv_loop_configure(loop, UV_METRICS_IDLE_TIME);
    uv_prepare_init(loop, &a->lap);
    uv_prepare_start(&a->lap, on_lap);
    uv_unref((uv_handle_t *)&a->lap);
    return a;
}

void api_reconfigure(struct api *a, const json_t *platform_domains)
{
    json_t *fresh = platform_domains ? json_deep_copy(platform_domains) : json_array();
    uv_mutex_lock(&a->mutex);
    json_t *old = a->platform_domains;
    a->platform_domains = fresh;
    uv_mutex_unlock(&a->mutex);
    json_decref(old);
}

uint16_t api_port(const struct api *a)
{
    return server_port(a->server);
}

void api_stop_listening(struct api *a)
{
    server_stop_listening(a->server);
}

static void on_closed(uv_handle_t *h)
{
    struct api *a = container_of((uv_timer_t *)h, struct api, tick);
    uv_mutex_destroy(&a->mutex);
    json_decref(a->platform_domains);
    free(a);
}

static void on_lap_closed(uv_handle_t *h)
{
    struct api *a = container_of((uv_prepare_t *)h, struct api, lap);
    uv_close((uv_handle_t *)&a->tick, on_closed);
}

void api_free(struct api *a)
{
    if (!a)
        return;
    server_free(a->server);
    uv_close((uv_handle_t *)&a->lap, on_lap_closed);
}
