/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/remote/remote.h"

#include <stdio.h>
#include <sys/random.h>

#include "base/http.h"
#include "worker/remote/answer.h"
#include "worker/remote/sse.h"

#define MAX_ANSWER     (16u << 20)
#define MAX_EVENTS     (1u << 30) /* of one connection; the next one goes on */
#define MAX_BACKOFF_MS 10000
#define CREATE_MS      120000
#define ASK_MS         60000
#define CANCEL_MS      10000
#define CANCEL_WAIT_MS 5000 /* for the answer to a request that is under way */
#define FOLLOW_MS      (7 * 24 * 3600 * 1000ll)

/* A server that asks to be left alone for longer is told of, not waited for. */
#define RETRY_AFTER_MS 15000

struct remote {
    uv_loop_t *loop;
    struct http_client *http;
    char *url, *api_key;
    const struct log *log;
    int64_t patience_ms, backoff_ms;
};

enum remote_state { CREATING, FOLLOWING, ASKING, PAUSING, CANCELLING, ENDED };

struct remote_build {
    struct remote *remote;
    struct arena *arena;
    void (*done)(struct remote_build *b, void *ctx);
    void *ctx;
    enum remote_state state;
    struct http_request *request; /* under way */
    uv_timer_t pause;
    char key[40]; /* of idempotency */
    char *body;
    bool cancelled, joined, ended;
    struct sse sse;
    char last_event[24]; /* the id of the last event that came; empty: none */
    int failures;        /* in a row */
    int64_t contact_ms;  /* when the server last said something of use; loop time */
    /* The answer to the last request: */
    struct err err;
    int status;
    json_t *reply;
    struct build_progress rows[RESOLVER_COUNT];
    size_t row_count;
    struct remote_result result;
};

/* ---- the server ---- */

/* Asked by the HTTP client for each request, redirected ones too. */
static bool authorise(void *ctx, const char *url, struct buf *out)
{
    const struct remote *r = ctx;
    return r->api_key && url_same_origin(span_str(r->url), span_str(url)) &&
           buf_printf(out, "Bearer %s", r->api_key);
}

static bool check_url(const char *url, struct err *err)
{
    struct url_parts p;
    struct span s = span_str(url);
    if (!url_split(s, &p) && span_find(s, SPAN("://")) == s.len)
        return err_set(err, ERR_USAGE,
                       "\"%.200s\" is not the URL of a server; write http:// or "
                       "https:// in front",
                       url);
    if (!url_split(s, &p))
        return err_set(err, ERR_USAGE, "\"%.200s\" is not an http or https URL", url);
    if (p.userinfo.len)
        return err_set(err, ERR_USAGE,
                       "the server's URL may not have a user name or password: the key goes into "
                       "STRATA_API_KEY");
    if (p.fragment.len || span_has(p.path, '?') || span_has(s, '#'))
        return err_set(err, ERR_USAGE, "\"%.200s\": a server's URL has no query and no fragment",
                       url);
    return true;
}

static bool check_key(const char *key, struct err *err)
{
    struct span s = span_str(key);
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] <= ' ' || (unsigned char)s.ptr[i] >= 0x7f)
            return err_set(err, ERR_USAGE,
                           "the API key has characters that no key has (blanks, line ends or "
                           "others outside of ASCII)");
    return s.len > 0 && s.len <= 1024
               ? true
               : err_set(err, ERR_USAGE, "the API key is %s", s.len ? "too long" : "empty");
}

struct remote *remote_new(uv_loop_t *loop, const struct remote_options *o, struct err *err)
{
    if (!check_url(o->url, err) || (o->api_key && !check_key(o->api_key, err)))
        return NULL;
    struct remote *r = MEM_NEW(struct remote);
    struct span url = span_str(o->url);
    while (span_ends(url, SPAN("/")))
        url.len--;
    r->loop = loop;
    r->url = mem_dup(url);
    r->api_key = mem_dup_str(o->api_key);
    r->log = o->log;
    r->patience_ms = o->patience_ms ? o->patience_ms : 120000;
    r->backoff_ms = o->backoff_ms ? o->backoff_ms : 500;
    struct http_options http = {.log = o->log,
                                .user_agent = "build-env/" STRATA_VERSION,
                                .stall_timeout_ms = o->stall_ms ? o->stall_ms : 45000,
                                .backoff_first_ms = o->backoff_ms,
                                .retry_after_max_ms = RETRY_AFTER_MS,
                                .credentials = authorise,
                                .credentials_ctx = r};
    r->http = http_client_new(loop, &http, err);
    if (r->http)
        return r;
    remote_free(r);
    return NULL;
}

void remote_free(struct remote *r)
{
    if (!r)
        return;
    http_client_free(r->http);
    if (r->api_key)
        explicit_bzero(r->api_key, strlen(r->api_key));
    free(r->api_key);
    free(r->url);
    free(r);
}

/* ---- requests ---- */

static void step(struct remote_build *b);

static void on_answer(void *ctx, struct http_reply *reply)
{
    struct remote_build *b = ctx;
    struct err ignored;
    b->request = NULL;
    b->err = reply->err;
    b->status = reply->status;
    json_decref(b->reply);
    b->reply = reply->body.len ? json_parse(reply->body, &ignored) : NULL;
    if (b->err.code == ERR_REGISTRY && b->status >= 400) /* after its last attempt */
        err_clear(&b->err);
    step(b);
}

static void ask(struct remote_build *b, struct http_get *get, const char *below)
{
    AUTO_BUF struct buf url = BUF(2 * URL_MAX_BYTES);
    buf_str(&url, b->remote->url);
    if (b->result.id[0])
        buf_printf(&url, "/v1/builds/%s%s", b->result.id, below);
    else
        buf_str(&url, "/v1/builds");
    get->url = buf_cstr(&url);
    get->max_bytes = get->on_data ? MAX_EVENTS : MAX_ANSWER;
    get->done = on_answer;
    get->ctx = b;
    b->request = http_start(b->remote->http, get);
}

static void create(struct remote_build *b)
{
    struct http_field key = {"idempotency-key", b->key};
    b->state = CREATING;
    ask(b,
        &(struct http_get){.post = true,
                           .content = span_str(b->body),
                           .accept = "application/json",
                           .fields = &key,
                           .field_count = 1,
                           .any_status = true,
                           .deadline_ms = CREATE_MS},
        "");
}

static void inquire(struct remote_build *b)
{
    b->state = ASKING;
    ask(b,
        &(struct http_get){
            .accept = "application/json", .any_status = true, .attempts = 1, .deadline_ms = ASK_MS},
        "");
}

static void cancel_there(struct remote_build *b)
{
    b->state = CANCELLING;
    ask(b,
        &(struct http_get){.post = true,
                           .accept = "application/json",
                           .any_status = true,
                           .attempts = 2,
                           .deadline_ms = CANCEL_MS},
        "/cancel");
}

/* ---- events ---- */

static void tell_line(struct remote_build *b, const json_t *data)
{
    static const enum log_level levels[] = {LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG};
    const char *level = json_get_str(data, "level");
    struct arena *a = arena_new(); /* a long build has many lines */
    const char *line = answer_text(a, json_get_str(data, "line"), 4000);
    enum log_level at = LOG_INFO;
    for (size_t i = 0; level && i < COUNT(levels); i++)
        at = strcmp(level, log_level_name(levels[i])) == 0 ? levels[i] : at;
    if (line)
        log_line(b->remote->log, at, "%s", line);
    arena_free(a);
}

static void tell_retry(struct remote_build *b, const json_t *data)
{
    const json_t *failure = json_object_get(data, "failure");
    struct arena *a = arena_new();
    const char *message = answer_text(a, json_get_str(failure, "message"), 900);
    const char *at = answer_text(a, json_get_str(data, "next_attempt_at"), 40);
    log_line(b->remote->log, LOG_WARN, "%s; the server tries again at %s",
             message ? message : "the build failed", at ? at : "a later time");
    arena_free(a);
}

static bool on_event(void *ctx, const struct sse_event *e, struct err *err)
{
    struct remote_build *b = ctx;
    struct err ignored;
    uint64_t id = 0, last = 0;
    (void)err;
    b->failures = 0;
    b->contact_ms = (int64_t)uv_now(b->remote->loop);
    AUTO_JSON json_t *data = json_parse(e->data, &ignored);
    if (span_eq(e->kind, SPAN("progress"))) {
        answer_progress(data, b->rows, b->row_count);
        return true;
    }
    span_to_u64(span_str(b->last_event), &last);
    if (e->id.len && e->id.len < sizeof(b->last_event) && span_to_u64(e->id, &id)) {
        if (id <= last)
            return true; /* it came before the connection broke */
        snprintf(b->last_event, sizeof(b->last_event), "%.*s", SPAN_ARG(e->id));
    }
    if (span_eq(e->kind, SPAN("phase")))
        answer_phase(data, b->rows, b->row_count);
    else if (span_eq(e->kind, SPAN("log")))
        tell_line(b, data);
    else if (span_eq(e->kind, SPAN("retry")))
        tell_retry(b, data);
    return true;
}

static bool on_bytes(void *ctx, struct span piece, struct err *err)
{
    struct remote_build *b = ctx;
    return sse_feed(&b->sse, piece, on_event, b, err);
}

static void follow(struct remote_build *b)
{
    struct http_field last = {"last-event-id", b->last_event};
    b->state = FOLLOWING;
    sse_reset(&b->sse);
    ask(b,
        &(struct http_get){.accept = "text/event-stream",
                           .fields = &last,
                           .field_count = b->last_event[0] != '\0',
                           .raw = true, /* a coding would hold events back */
                           .attempts = 1,
                           .deadline_ms = FOLLOW_MS,
                           .on_data = on_bytes},
        "/events");
}

/* ---- the way of a build ---- */

static void end(struct remote_build *b)
{
    if (b->result.err.code == ERR_NONE && b->err.code)
        b->result.err = b->err;
    b->state = ENDED;
    b->done(b, b->ctx);
}

static void fail(struct remote_build *b, const char *what)
{
    AUTO_BUF struct buf where = BUF(400);
    url_show(span_str(b->remote->url), &where);
    if (!span_starts(span_str(b->err.text), buf_span(&where))) /* as the HTTP client's do */
        err_wrap(&b->err, "%s", buf_cstr(&where));
    if (what)
        err_wrap(&b->err, "%s", what);
    end(b);
}

static void on_pause_over(uv_timer_t *t)
{
    follow(container_of(t, struct remote_build, pause));
}

static void pause_then_follow(struct remote_build *b)
{
    int64_t wait = b->remote->backoff_ms;
    for (int i = 0; i < b->failures && wait < MAX_BACKOFF_MS; i++)
        wait *= 2;
    b->failures++;
    b->state = PAUSING;
    uv_timer_start(&b->pause, on_pause_over,
                   (uint64_t)(wait > MAX_BACKOFF_MS ? MAX_BACKOFF_MS : wait), 0);
}

/* Into b->err and false, unless the answer is a build; then its end may be in the result. */
static bool take_build(struct remote_build *b)
{
    if (b->err.code)
        return false;
    if (b->status < 200 || b->status > 299)
        return answer_refusal(b->arena, b->status, b->reply, &b->err);
    if (!answer_build(b->arena, b->reply, &b->result, &b->ended, &b->err))
        return false;
    answer_progress(json_object_get(b->reply, "managers"), b->rows, b->row_count);
    b->contact_ms = (int64_t)uv_now(b->remote->loop);
    return true;
}

static void after_create(struct remote_build *b)
{
    b->joined = json_get_bool(b->reply, "joined", false);
    uv_timer_stop(&b->pause);
    if (!take_build(b)) {
        if (b->cancelled)
            err_set(&b->err, ERR_CANCELLED, "interrupted");
        fail(b, NULL);
    } else if (b->ended)
        end(b);
    else if (b->cancelled)
        remote_build_cancel(b);
    else
        follow(b);
}

static void after_inquiry(struct remote_build *b)
{
    AUTO_FREE char *goes_on =
        mem_printf("build %s goes on there, but cannot be followed", b->result.id);
    bool passing = b->err.code || b->status >= 500 || b->status == 429;
    if (take_build(b)) {
        if (b->ended)
            end(b);
        else
            pause_then_follow(b);
    } else if (passing &&
               (int64_t)uv_now(b->remote->loop) - b->contact_ms < b->remote->patience_ms) {
        err_clear(&b->err);
        pause_then_follow(b);
    } else {
        fail(b, goes_on);
    }
}

static void after_cancel(struct remote_build *b)
{
    struct err why = b->err;
    if (!why.code && (b->status < 200 || b->status > 299) && b->status != 409)
        answer_refusal(b->arena, b->status, b->reply, &why);
    err_clear(&b->err);
    if (why.code)
        err_set(&b->result.err, ERR_CANCELLED,
                "interrupted; build %s goes on, for it could not be cancelled: %s", b->result.id,
                why.text);
    else
        err_set(&b->result.err, ERR_CANCELLED, "interrupted; build %s is cancelled", b->result.id);
    end(b);
}

/* An answer has come: what is next. */
static void step(struct remote_build *b)
{
    switch (b->state) {
    case CREATING: after_create(b); break;
    case FOLLOWING:
        if (b->cancelled)
            remote_build_cancel(b);
        else
            inquire(b); /* how the stream ended does not matter: the build tells where it is */
        break;
    case ASKING:
        if (b->cancelled)
            remote_build_cancel(b);
        else
            after_inquiry(b);
        break;
    case CANCELLING: after_cancel(b); break;
    default: break;
    }
}

/* ---- the outside ---- */

static char *request_body(const struct remote_request *request)
{
    AUTO_JSON json_t *body = json_object();
    json_object_set_new(body, "config", json_incref((json_t *)(uintptr_t)request->config));
    json_put_str(body, "priority", request->priority);
    if (request->refresh)
        json_object_set_new(body, "refresh", json_true());
    char *text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);
    return text ? text : mem_dup_str("{}");
}

static void make_rows(struct remote_build *b, const json_t *config)
{
    const json_t *packages = json_object_get(config, "packages");
    for (size_t i = 0; i < RESOLVER_COUNT; i++)
        if (json_array_size(json_object_get(packages, resolvers[i]->manager)))
            b->rows[b->row_count++].manager = resolvers[i]->manager;
}

struct remote_build *remote_build_start(struct remote *r, const struct remote_request *request,
                                        void (*done)(struct remote_build *b, void *ctx), void *ctx)
{
    struct remote_build *b = MEM_NEW(struct remote_build);
    uint64_t random[2] = {uv_hrtime(), (uint64_t)(uintptr_t)b};
    if (getrandom(random, sizeof(random), 0) < 0)
        random[0] ^= (uint64_t)uv_os_getpid() << 32; /* before the kernel has any */
    b->remote = r;
    b->arena = arena_new();
    b->done = done;
    b->ctx = ctx;
    b->sse = SSE_INIT;
    b->contact_ms = (int64_t)uv_now(r->loop);
    b->body = request_body(request);
    b->result.warnings = json_array();
    snprintf(b->key, sizeof(b->key), "env-%016llx%016llx", (unsigned long long)random[0],
             (unsigned long long)random[1]);
    uv_timer_init(r->loop, &b->pause);
    make_rows(b, request->config);
    create(b);
    return b;
}

static void on_waited(uv_timer_t *t)
{
    struct remote_build *b = container_of(t, struct remote_build, pause);
    if (b->request)
        http_cancel(b->request);
}

static void on_left(uv_timer_t *t)
{
    end(container_of(t, struct remote_build, pause));
}

/* A request under way is let go of first; its answer leads here again. While the build is being
 * made, its answer must be waited for: nobody else would know what to cancel. */
void remote_build_cancel(struct remote_build *b)
{
    b->cancelled = true;
    if (b->state == ENDED || b->state == CANCELLING)
        return;
    if (b->state == CREATING && b->request) {
        uv_timer_start(&b->pause, on_waited, CANCEL_WAIT_MS, 0);
        return;
    }
    uv_timer_stop(&b->pause);
    if (b->request) {
        http_cancel(b->request);
        return;
    }
    err_clear(&b->err);
    if (!b->joined) {
        cancel_there(b);
        return;
    }
    err_set(&b->result.err, ERR_CANCELLED,
            "interrupted; build %s goes on, for it was under way before", b->result.id);
    b->state = CANCELLING;
    uv_timer_start(&b->pause, on_left, 0, 0);
}

const struct remote_result *remote_build_result(const struct remote_build *b)
{
    return &b->result;
}

size_t remote_build_progress(const struct remote_build *b, const struct build_progress **list)
{
    *list = b->rows;
    return b->row_count;
}

static void on_closed(uv_handle_t *h)
{
    struct remote_build *b = container_of((uv_timer_t *)h, struct remote_build, pause);
    sse_release(&b->sse);
    json_decref(b->reply);
    json_decref(b->result.warnings);
    free(b->body);
    arena_free(b->arena);
    free(b);
}

void remote_build_free(struct remote_build *b)
{
    if (b)
        uv_close((uv_handle_t *)&b->pause, on_closed);
}
