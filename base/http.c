/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <sys/param.h>
#include <sys/random.h>

#include "base/http_header.h"
#include "base/http_priv.h"

/* Streams that servers commonly allow on one HTTP/2 connection. */
#define HTTP2_PER_HOST 100

/* Waiting for what is due that much longer than planned means that the loop itself was held up:
 * the bytes may well be in the socket. */
#define LATE_MS 500

/* A stream that is quiet for so long may have been forgotten. */
#define NUDGE_MS 100

uint64_t http_random(struct http_client *c)
{
    uint64_t x = c->random += 0x9e3779b97f4a7c15; /* splitmix64 */
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

/* ---- The queue ---- */

struct http_host *http_host_of(struct http_client *c, const char *url)
{
    struct url_parts p;
    AUTO_BUF struct buf origin = BUF(URL_MAX_BYTES);
    if (!url_split(span_str(url), &p))
        assert(!"a URL that was checked");
    for (size_t i = 0; i < p.scheme.len; i++)
        buf_char(&origin, (char)(p.scheme.ptr[i] | 32));
    buf_str(&origin, "://");
    for (size_t i = 0; i < p.host.len; i++)
        buf_char(&origin, (char)(p.host.ptr[i] >= 'A' && p.host.ptr[i] <= 'Z' ? p.host.ptr[i] | 32
                                                                              : p.host.ptr[i]));
    buf_printf(&origin, ":%.*s", SPAN_ARG(p.port));
    struct http_host *h = map_get(&c->hosts, buf_span(&origin));
    if (!h) {
        h = MEM_NEW(struct http_host);
        h->origin = buf_take(&origin);
        h->version = p.scheme.len == 4 ? 1 : 0; /* no HTTP/2 without TLS */
        map_put(&c->hosts, span_str(h->origin), h);
    }
    return h;
}

static bool goes_before(const struct http_request *a, const struct http_request *b)
{
    return a->get.priority != b->get.priority ? a->get.priority > b->get.priority
                                              : a->order < b->order;
}

void http_queue(struct http_request *r)
{
    struct http_host *h = r->host = http_host_of(r->client, r->url);
    (void)VEC_PUSH(&h->waiting);
    size_t i = h->waiting.n - 1;
    size_t low = 0, high = i; /* the first that goes before r comes right after it */
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (goes_before(h->waiting.v[mid], r))
            high = mid;
        else
            low = mid + 1;
    }
    memmove(&h->waiting.v[low + 1], &h->waiting.v[low], (i - low) * sizeof(*h->waiting.v));
    h->waiting.v[low] = r;
    r->state = HTTP_WAITING;
    if (h->not_before_ms)
        http_due(r->client, h->not_before_ms);
    http_wake(r->client);
}

static void unqueue(struct http_request *r)
{
    struct http_host *h = r->host;
    size_t i = 0;
    while (i < h->waiting.n && h->waiting.v[i] != r)
        i++;
    if (i == h->waiting.n)
        return;
    memmove(&h->waiting.v[i], &h->waiting.v[i + 1], (h->waiting.n - i - 1) * sizeof(*h->waiting.v));
    h->waiting.n--;
}

static bool host_has_room(const struct http_client *c, const struct http_host *h, int64_t now)
{
    int limit = h->version == 1 ? c->options.max_http1_per_host : HTTP2_PER_HOST;
    return h->waiting.n > 0 && h->active < limit && h->not_before_ms <= now;
}

static struct http_host *best_host(const struct http_client *c)
{
    struct http_host *best = NULL;
    int64_t now = (int64_t)uv_now(c->loop);
    for (size_t i = 0; i < c->hosts.n; i++) {
        struct http_host *h = c->hosts.v[i].value;
        if (host_has_room(c, h, now) &&
            (!best ||
             goes_before(h->waiting.v[h->waiting.n - 1], best->waiting.v[best->waiting.n - 1])))
            best = h;
    }
    return best;
}

static int64_t due_at(const struct http_request *r);

static void start_waiting(struct http_client *c)
{
    struct http_host *h;
    while (c->active < c->options.max_active && (h = best_host(c))) {
        struct http_request *r = h->waiting.v[--h->waiting.n];
        if (!http_begin(r))
            continue;
        r->state = HTTP_ACTIVE;
        c->active++;
        h->active++;
        h->contacted = true;
        http_due(c, due_at(r));
    }
}

/* ---- Endings ---- */

void http_end(struct http_request *r, const struct err *err)
{
    struct http_client *c = r->client;
    assert(r->state != HTTP_ENDED);
    if (err)
        r->err = *err;
    if (r->state == HTTP_WAITING)
        unqueue(r);
    if (r->state == HTTP_ACTIVE)
        http_attempt_stop(r);
    if (r->prev)
        r->prev->next = r->next;
    else
        c->all = r->next;
    if (r->next)
        r->next->prev = r->prev;
    r->state = HTTP_ENDED;
    r->next = NULL;
    *c->ended_end = r;
    c->ended_end = &r->next;
    http_wake(c);
}

static void report(struct http_request *r)
{
    struct http_reply reply = {
        .err = r->err,
        .status = r->answer.status,
        .body = buf_span(&r->body),
        .url = r->url,
        .content_type = r->answer.content_type,
        .etag = r->answer.etag,
        .last_modified = r->answer.last_modified,
        .cache_control = r->answer.cache_control,
        .content_range = r->answer.content_range,
        .received_bytes = r->received_bytes,
        .attempts = r->attempts,
    };
    if (r->get.on_data)
        reply.body = SPAN("");
    /* What http_reply_take_body takes: found from the reply. */
    r->client->in_callback++;
    r->get.done(r->get.ctx, &reply);
    r->client->in_callback--;
    if (reply.body.ptr != r->body.ptr)
        r->body = BUF(0);
}

static void flush_ended(struct http_client *c)
{
    for (struct http_request *r; (r = c->ended);) {
        c->ended = r->next;
        if (!c->ended)
            c->ended_end = &c->ended;
        report(r);
        http_request_free(r);
    }
}

char *http_reply_take_body(struct http_reply *reply, size_t *len)
{
    char *body = reply->body.len ? (char *)reply->body.ptr : mem_dup(SPAN(""));
    *len = reply->body.len;
    if (reply->body.len)
        reply->body = (struct span){NULL, 0};
    return body;
}

/* ---- The loop ---- */

/* What was asked for in places where curl must not be called. */
static void look_after_all(struct http_client *c)
{
    for (struct http_request *r = c->all, *next; r; r = next) {
        next = r->next;
        if (r->cancelled) {
            struct err err = {0};
            err_set(&err, ERR_CANCELLED, "cancelled");
            http_end(r, &err);
        } else if (r->state == HTTP_ACTIVE && r->refused_piece && !r->paused) {
            r->refused_piece = false;
            r->last_byte_ms = (int64_t)uv_now(c->loop);
            curl_easy_pause(r->easy, CURLPAUSE_CONT);
        }
    }
}

/* Only requests keep the loop alive, not what curl or we would look after some time later. */
static void hold_loop(struct http_client *c, bool hold)
{
    uv_timer_t *timers[] = {&c->curl_timer, &c->due_timer};
    for (size_t i = 0; i < COUNT(timers); i++)
        if (hold)
            uv_ref((uv_handle_t *)timers[i]);
        else
            uv_unref((uv_handle_t *)timers[i]);
}

static void run_queue(struct http_client *c)
{
    look_after_all(c);
    flush_ended(c);
    start_waiting(c);
    if (!c->all && !c->ended)
        hold_loop(c, false);
}

static void on_wake(uv_timer_t *timer)
{
    run_queue(timer->data);
}

void http_wake(struct http_client *c)
{
    if (!c->closing && !uv_is_active((uv_handle_t *)&c->wake))
        uv_timer_start(&c->wake, on_wake, 0, 0);
}

static void read_results(struct http_client *c)
{
    CURLMsg *m;
    for (int left; (m = curl_multi_info_read(c->multi, &left));) {
        struct http_request *r = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        CURLcode code = m->data.result;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &r);
        http_attempt_done(r, code);
    }
    if (c->ended || c->active < c->options.max_active)
        run_queue(c);
}

static void on_curl_timer(uv_timer_t *timer)
{
    struct http_client *c = timer->data;
    int running;
    curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    read_results(c);
}

static int on_curl_timeout(CURLM *multi, long timeout_ms, void *ctx)
{
    struct http_client *c = ctx;
    (void)multi;
    if (c->closing || timeout_ms < 0)
        uv_timer_stop(&c->curl_timer);
    else
        uv_timer_start(&c->curl_timer, on_curl_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct http_socket *s = poll->data;
    struct http_client *c = s->client;
    int running, flags = status < 0 ? CURL_CSELECT_ERR : 0;
    flags |= events & UV_READABLE ? CURL_CSELECT_IN : 0;
    flags |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
    curl_multi_socket_action(c->multi, s->fd, flags, &running); /* s may be closing now */
    read_results(c);
}

static void client_gone(struct http_client *c);

static void on_socket_closed(uv_handle_t *handle)
{
    struct http_socket *s = handle->data;
    client_gone(s->client);
    free(s);
}

static void socket_close(struct http_socket *s)
{
    struct http_socket **at = &s->client->sockets;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    uv_close((uv_handle_t *)&s->poll, on_socket_closed);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket)
{
    struct http_client *c = ctx;
    struct http_socket *s = socket;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s) {
            curl_multi_assign(c->multi, fd, NULL);
            socket_close(s);
        }
        return 0;
    }
    if (!s) {
        s = MEM_NEW(struct http_socket);
        s->client = c;
        s->fd = fd;
        s->poll.data = s;
        if (uv_poll_init_socket(c->loop, &s->poll, fd)) { /* its requests will stall and retry */
            free(s);
            return 0;
        }
        s->next = c->sockets;
        c->sockets = s;
        c->open_handles++;
        curl_multi_assign(c->multi, fd, s);
    }
    uv_poll_start(&s->poll,
                  (what & CURL_POLL_IN ? UV_READABLE : 0) |
                      (what & CURL_POLL_OUT ? UV_WRITABLE : 0),
                  on_poll);
    return 0;
}

/* ---- What becomes due ---- */

static int64_t next_nudge_ms(const struct http_request *r)
{
    int64_t quiet = r->last_byte_ms + NUDGE_MS;
    if (r->host->version != 2)
        return INT64_MAX;
    return r->nudge_ms > quiet ? r->nudge_ms : quiet;
}

static int64_t due_at(const struct http_request *r)
{
    int64_t at = r->deadline_ms, other = INT64_MAX;
    if (r->state == HTTP_BACKOFF)
        other = r->retry_at_ms;
    else if (r->state == HTTP_ACTIVE && !r->paused)
        other = MIN(r->last_byte_ms + r->client->options.stall_timeout_ms, next_nudge_ms(r));
    else if (r->state == HTTP_WAITING && r->host->not_before_ms > (int64_t)uv_now(r->client->loop))
        other = r->host->not_before_ms;
    return other < at ? other : at;
}

/* libcurl (7.88 at least) can forget to go on with an HTTP/2 stream whose bytes it has already read
 * while it dealt with another, most of all when that one was paused. Pausing and continuing makes
 * it look again. */
static void nudge(struct http_request *r, int64_t now)
{
    r->nudge_ms = now + NUDGE_MS;
    curl_easy_pause(r->easy, CURLPAUSE_RECV);
    curl_easy_pause(r->easy, CURLPAUSE_CONT);
}

/* An attempt that curl still keeps waiting for a connection does not stall. */
static bool is_sent(const struct http_request *r)
{
    curl_off_t us = 0;
    curl_easy_getinfo(r->easy, CURLINFO_PRETRANSFER_TIME_T, &us);
    return us > 0;
}

static void look_at(struct http_request *r, int64_t now, int64_t late)
{
    struct http_client *c = r->client;
    if (now >= r->deadline_ms) {
        r->cancelled = false;
        http_fail(r, ERR_TIMEOUT, "no complete answer within %.1f s, %d attempt%s%s%s",
                  (double)(r->deadline_ms - r->started_ms) / 1000, r->attempts,
                  r->attempts == 1 ? "" : "s", r->last.code ? "; the last: " : "",
                  r->last.code ? r->last.text : "");
    } else if (r->state == HTTP_BACKOFF && now >= r->retry_at_ms) {
        http_queue(r);
    } else if (r->state == HTTP_ACTIVE && !r->paused) {
        if (late || !is_sent(r))
            r->last_byte_ms = now;
        else if (now >= r->last_byte_ms + c->options.stall_timeout_ms)
            http_attempt_stalled(r);
        else if (now >= next_nudge_ms(r))
            nudge(r, now);
    }
}

static void on_due(uv_timer_t *timer)
{
    struct http_client *c = timer->data;
    int64_t now = (int64_t)uv_now(c->loop), next = INT64_MAX;
    int64_t late = now - c->due_ms > LATE_MS ? now - c->due_ms : 0;
    c->due_ms = INT64_MAX;
    for (struct http_request *r = c->all, *after; r; r = after) {
        after = r->next;
        look_at(r, now, late);
    }
    for (struct http_request *r = c->all; r; r = r->next) {
        int64_t at = due_at(r);
        next = at < next ? at : next;
    }
    http_due(c, next);
    run_queue(c);
}

void http_due(struct http_client *c, int64_t at_ms)
{
    if (c->closing || at_ms == INT64_MAX || at_ms >= c->due_ms)
        return;
    int64_t now = (int64_t)uv_now(c->loop);
    c->due_ms = at_ms > now ? at_ms : now + 1;
    uv_timer_start(&c->due_timer, on_due, (uint64_t)(c->due_ms - now), 0);
}

/* ---- Requests from outside ---- */

static void take_login(struct http_request *r, const struct url_parts *p)
{
    AUTO_BUF struct buf name = BUF(URL_MAX_BYTES);
    if (p->userinfo.len == 0)
        return;
    url_percent_decode(p->userinfo, &name);
    if (!span_has(buf_span(&name), ':'))
        buf_char(&name, ':');
    r->login_name = mem_dup(buf_span(&name));
}

static void check_request(struct http_request *r, const char *url)
{
    struct url_parts p;
    if (!url_split(span_str(url), &p)) {
        r->url = mem_dup_str("");
        err_set(&r->err, ERR_INVALID, "not an http or https URL that can be asked for");
        return;
    }
    r->url = http_sendable_url(&p);
    r->login_origin = mem_dup_str(r->url);
    take_login(r, &p);
    if (r->client->closing)
        http_fail(r, ERR_CANCELLED, "cancelled: the HTTP client is closing");
    else if (r->client->options.offline)
        http_fail(r, ERR_OFFLINE, "the network was needed, but not to be used (offline)");
    else if (r->get.range && !http_range_valid(span_str(r->get.range)))
        http_fail(r, ERR_INVALID, "not a range of bytes");
}

struct http_request *http_start(struct http_client *c, const struct http_get *get)
{
    struct http_request *r = MEM_NEW(struct http_request);
    assert(get->max_bytes > 0 && get->done);
    uv_update_time(c->loop);
    r->client = c;
    r->get = *get;
    r->get.url = NULL;
    r->get.accept = mem_dup_str(get->accept);
    r->get.if_none_match = mem_dup_str(get->if_none_match);
    r->get.if_modified_since = mem_dup_str(get->if_modified_since);
    r->get.range = mem_dup_str(get->range);
    r->get.content_type = mem_dup_str(get->content_type);
    r->get.content = span_of(mem_dup(get->content), get->content.len);
    r->fields = mem_array(get->field_count + 1, sizeof(*r->fields));
    for (size_t i = 0; i < get->field_count; i++)
        r->fields[i] = (struct http_field){mem_dup_str(get->fields[i].name),
                                           mem_dup_str(get->fields[i].value)};
    r->order = c->started++;
    r->started_ms = (int64_t)uv_now(c->loop);
    r->deadline_ms = r->started_ms + (get->deadline_ms > 0 ? get->deadline_ms : 600000);
    r->range_last = UINT64_MAX;
    r->state = HTTP_BACKOFF; /* in no queue yet */
    r->next = c->all;
    if (c->all)
        c->all->prev = r;
    c->all = r;
    hold_loop(c, true);
    check_request(r, get->url);
    if (r->err.code) {
        if (r->state != HTTP_ENDED)
            http_end(r, NULL);
        return r;
    }
    http_due(c, r->deadline_ms);
    http_queue(r);
    return r;
}

static void preconnect_done(void *ctx, struct http_reply *reply)
{
    (void)ctx, (void)reply;
}

void http_preconnect(struct http_client *c, const char *url)
{
    struct url_parts parts;
    if (c->options.offline || c->closing || !url_split(span_str(url), &parts))
        return;
    const struct http_host *h = http_host_of(c, url);
    if (h->contacted || h->waiting.n)
        return;
    struct http_request *r = http_start(c, &(struct http_get){.url = url,
                                                              .max_bytes = 1,
                                                              .priority = INT32_MAX,
                                                              .deadline_ms = 30000,
                                                              .done = preconnect_done});
    r->head_only = true;
}

void http_cancel(struct http_request *r)
{
    if (r->state == HTTP_ENDED)
        return;
    r->cancelled = true;
    http_wake(r->client);
}

void http_pause(struct http_request *r)
{
    r->paused = true;
}

void http_resume(struct http_request *r)
{
    if (!r->paused)
        return;
    r->paused = false;
    r->last_byte_ms = (int64_t)uv_now(r->client->loop);
    if (r->state == HTTP_ACTIVE)
        http_due(r->client, r->last_byte_ms + r->client->options.stall_timeout_ms);
    http_wake(r->client);
}

/* ---- The client ---- */

static void take_options(struct http_client *c, const struct http_options *o)
{
    struct http_options *to = &c->options;
    *to = *o;
    to->user_agent = mem_dup_str(o->user_agent ? o->user_agent : "strata");
    to->ca_file = to->extra_ca_file = NULL;
    to->attempts = o->attempts > 0 ? o->attempts : 5;
    to->max_http1_per_host = o->max_http1_per_host > 0 ? o->max_http1_per_host : 6;
    to->max_active = o->max_active > 0 ? o->max_active : 256;
    to->connect_timeout_ms = o->connect_timeout_ms > 0 ? o->connect_timeout_ms : 10000;
    to->stall_timeout_ms = o->stall_timeout_ms > 0 ? o->stall_timeout_ms : 20000;
    to->backoff_first_ms = o->backoff_first_ms > 0 ? o->backoff_first_ms : 200;
    to->retry_after_max_ms = o->retry_after_max_ms > 0 ? o->retry_after_max_ms : 60000;
    /* curl leaves HTTP_PROXY alone for CGI's sake (a client's "Proxy:" header would set it). */
    if (!getenv("http_proxy") && !getenv("REQUEST_METHOD"))
        c->env_http_proxy = mem_dup_str(getenv("HTTP_PROXY"));
}

static void ignore_sigpipe(void)
{
    struct sigaction now;
    if (sigaction(SIGPIPE, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
        now.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

struct http_client *http_client_new(uv_loop_t *loop, const struct http_options *options,
                                    struct err *err)
{
    if (!late_curl_load(err))
        return NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        err_set(err, ERR_INTERNAL, "libcurl does not start");
        return NULL;
    }
    ignore_sigpipe();
    struct http_client *c = MEM_NEW(struct http_client);
    c->loop = loop;
    c->ended_end = &c->ended;
    c->due_ms = INT64_MAX;
    take_options(c, options);
    if (getrandom(&c->random, sizeof(c->random), 0) < 0)
        c->random = uv_hrtime();
    c->tls = http_tls_new(options->ca_file, options->extra_ca_file);
    c->multi = curl_multi_init();
    c->share = curl_share_init();
    if (!c->multi || !c->share)
        abort(); /* out of memory */
    uv_timer_t *timers[] = {&c->curl_timer, &c->due_timer, &c->wake};
    for (size_t i = 0; i < COUNT(timers); i++) {
        uv_timer_init(loop, timers[i]);
        timers[i]->data = c;
        c->open_handles++;
    }
    curl_share_setopt(c->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_curl_timeout);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)c->options.max_http1_per_host);
    curl_multi_setopt(c->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)HTTP2_PER_HOST);
    return c;
}

static void client_gone(struct http_client *c)
{
    if (--c->open_handles > 0 || !c->closing)
        return;
    for (size_t i = 0; i < c->hosts.n; i++) {
        struct http_host *h = c->hosts.v[i].value;
        VEC_FREE(&h->waiting);
        free(h->origin);
        free(h);
    }
    map_release(&c->hosts);
    free((char *)c->options.user_agent);
    free(c->env_http_proxy);
    free(c);
}

static void on_timer_closed(uv_handle_t *handle)
{
    client_gone(handle->data);
}

void http_client_free(struct http_client *c)
{
    if (!c)
        return;
    assert(!c->in_callback && !c->closing);
    c->closing = true;
    struct err err = {0};
    err_set(&err, ERR_CANCELLED, "cancelled: the HTTP client is closing");
    while (c->all)
        http_end(c->all, &err);
    flush_ended(c);
    for (size_t i = 0; i < c->spare.n; i++)
        curl_easy_cleanup(c->spare.v[i]);
    VEC_FREE(&c->spare);
    curl_multi_cleanup(c->multi);
    curl_share_cleanup(c->share);
    curl_global_cleanup();
    http_tls_free(c->tls);
    while (c->sockets)
        socket_close(c->sockets);
    uv_close((uv_handle_t *)&c->curl_timer, on_timer_closed);
    uv_close((uv_handle_t *)&c->due_timer, on_timer_closed);
    uv_close((uv_handle_t *)&c->wake, on_timer_closed);
}
