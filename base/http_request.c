/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>

#include "base/digest.h"
#include "base/http_header.h"
#include "base/http_priv.h"

#define BACKOFF_MAX_MS 10000

/* An attempt that brought that much of a resumable body earns the following ones anew. */
#define PROGRESS_BYTES (64u << 10)

/* curl's reading buffer: a full TLS record and an HTTP/2 frame fit many times. */
#define READ_BUFFER_BYTES (256u << 10)

/* ---- Errors ---- */

static void describe(const struct http_request *r, struct err *err, enum err_code code,
                     const char *text)
{
    AUTO_BUF struct buf where = BUF(400);
    url_show(span_str(r->url), &where);
    err_set(err, code, "%s: %s", buf_cstr(&where), text);
}

void http_fail(struct http_request *r, enum err_code code, const char *fmt, ...)
{
    char text[900];
    struct err err = {0};
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    describe(r, &err, code, text);
    http_end(r, &err);
}

/* ---- Headers of a request ---- */

static void add_header(struct http_request *r, const char *name, const char *value)
{
    AUTO_BUF struct buf line = BUF(32u << 10);
    for (const char *p = value; *p; p++)
        if ((unsigned char)*p < ' ' && *p != '\t')
            return; /* would be a header of somebody else's making */
    buf_printf(&line, "%s: %s", name, value);
    struct curl_slist *longer = line.overflow ? NULL : curl_slist_append(r->headers, line.ptr);
    if (longer)
        r->headers = longer;
}

static void add_range(struct http_request *r)
{
    AUTO_BUF struct buf range = BUF(80);
    if (!r->resuming) {
        buf_printf(&range, "bytes=%s", r->get.range);
    } else {
        uint64_t from = r->range_first + r->body_len;
        buf_printf(&range, "bytes=%llu-", (unsigned long long)from);
        if (r->range_last != UINT64_MAX)
            buf_printf(&range, "%llu", (unsigned long long)r->range_last);
        add_header(r, "If-Range", r->validator);
    }
    add_header(r, "Range", buf_cstr(&range));
}

static void add_login(struct http_request *r)
{
    struct http_client *c = r->client;
    AUTO_BUF struct buf value = BUF(16u << 10);
    if (r->login_name && url_same_origin(span_str(r->login_origin), span_str(r->url))) {
        struct span name = span_str(r->login_name);
        buf_str(&value, "Basic ");
        char *to = buf_room(&value, 4 * ((name.len + 2) / 3) + 1);
        if (to)
            value.len += base64_encode(name, false, to);
        add_header(r, "Authorization", buf_cstr(&value));
    } else if (c->options.credentials &&
               c->options.credentials(c->options.credentials_ctx, r->url, &value) &&
               !value.overflow) {
        add_header(r, "Authorization", buf_cstr(&value));
    }
}

static void add_headers(struct http_request *r)
{
    add_header(r, "Accept", r->get.accept ? r->get.accept : "*/*");
    if (r->resuming || r->get.range)
        add_range(r);
    if (!r->resuming && r->get.if_none_match)
        add_header(r, "If-None-Match", r->get.if_none_match);
    if (!r->resuming && r->get.if_modified_since)
        add_header(r, "If-Modified-Since", r->get.if_modified_since);
    if (r->get.post) {
        add_header(r, "Content-Type",
                   r->get.content_type ? r->get.content_type : "application/json");
        add_header(r, "Expect", ""); /* without it curl asks first whether a body is welcome */
    }
    if (url_same_origin(span_str(r->login_origin), span_str(r->url)))
        for (size_t i = 0; i < r->get.field_count; i++)
            add_header(r, r->fields[i].name, r->fields[i].value);
    add_login(r);
}

/* ---- One attempt ---- */

static CURL *take_handle(struct http_client *c)
{
    CURL *easy = c->spare.n ? c->spare.v[--c->spare.n] : curl_easy_init();
    if (!easy)
        abort(); /* out of memory */
    return easy;
}

static void set_connection(const struct http_request *r)
{
    const struct http_client *c = r->client;
    bool tls =
        span_starts(span_str(r->url), SPAN("https")) || (r->url[0] == 'H' && r->url[4] != ':');
    curl_easy_setopt(r->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(r->easy, CURLOPT_QUICK_EXIT, 1L); /* a cancel does not wait for the resolver */
    curl_easy_setopt(r->easy, CURLOPT_SHARE, c->share);
    curl_easy_setopt(r->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(r->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    /* Rather wait for a connection under way that will carry many streams than open another;
     * without TLS there is no way to know one, and waiting would only cost a round trip. */
    curl_easy_setopt(r->easy, CURLOPT_PIPEWAIT, tls ? 1L : 0L);
    curl_easy_setopt(r->easy, CURLOPT_FRESH_CONNECT, r->fresh_connection ? 1L : 0L);
    curl_easy_setopt(r->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)c->options.connect_timeout_ms);
    curl_easy_setopt(r->easy, CURLOPT_DNS_CACHE_TIMEOUT, 300L);
    curl_easy_setopt(r->easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(r->easy, CURLOPT_BUFFERSIZE, (long)READ_BUFFER_BYTES);
    if (c->env_http_proxy && !tls)
        curl_easy_setopt(r->easy, CURLOPT_PROXY, c->env_http_proxy);
    http_tls_setup(c->tls, r->easy);
}

static void set_request(struct http_request *r)
{
    bool raw = r->get.raw || r->get.range || r->resuming;
    curl_easy_setopt(r->easy, CURLOPT_URL, r->url);
    curl_easy_setopt(r->easy, CURLOPT_PRIVATE, r);
    curl_easy_setopt(r->easy, CURLOPT_ERRORBUFFER, r->curl_text);
    curl_easy_setopt(r->easy, CURLOPT_USERAGENT, r->client->options.user_agent);
    curl_easy_setopt(r->easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(r->easy, CURLOPT_NOBODY, r->head_only ? 1L : 0L);
    curl_easy_setopt(r->easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    if (r->get.post) {
        curl_easy_setopt(r->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->get.content.len);
        curl_easy_setopt(r->easy, CURLOPT_POSTFIELDS, r->get.content.ptr);
    }
    if (!raw)
        curl_easy_setopt(r->easy, CURLOPT_ACCEPT_ENCODING, "gzip, br");
    curl_easy_setopt(r->easy, CURLOPT_HEADERFUNCTION, http_on_header);
    curl_easy_setopt(r->easy, CURLOPT_HEADERDATA, r);
    curl_easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, http_on_body);
    curl_easy_setopt(r->easy, CURLOPT_WRITEDATA, r);
    add_headers(r);
    curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->headers);
}

bool http_begin(struct http_request *r)
{
    http_answer_clear(&r->answer);
    r->body_wanted = r->refused_piece = false;
    r->curl_text[0] = '\0';
    r->attempts += r->following ? 0 : 1;
    r->following = false;
    r->attempt_ms = r->last_byte_ms = (int64_t)uv_now(r->client->loop);
    r->easy = take_handle(r->client);
    set_connection(r);
    set_request(r);
    r->fresh_connection = false;
    r->state = HTTP_BACKOFF; /* in no queue, and not counted as active */
    CURLMcode code = curl_multi_add_handle(r->client->multi, r->easy);
    if (code == CURLM_OK)
        return true;
    curl_easy_cleanup(TAKE(r->easy));
    http_fail(r, ERR_INTERNAL, "libcurl: %s", curl_multi_strerror(code));
    return false;
}

void http_attempt_stop(struct http_request *r)
{
    struct http_client *c = r->client;
    curl_off_t wire = 0;
    curl_easy_getinfo(r->easy, CURLINFO_SIZE_DOWNLOAD_T, &wire);
    r->received_bytes += wire > 0 ? (uint64_t)wire : 0;
    curl_multi_remove_handle(c->multi, r->easy);
    if (c->spare.n < HTTP_SPARE_HANDLES && !c->closing) {
        curl_easy_reset(r->easy);
        *VEC_PUSH(&c->spare) = r->easy;
    } else {
        curl_easy_cleanup(r->easy);
    }
    r->easy = NULL;
    curl_slist_free_all(r->headers);
    r->headers = NULL;
    r->state = HTTP_BACKOFF;
    c->active--;
    r->host->active--;
}

static void log_attempt(const struct http_request *r, const char *outcome)
{
    AUTO_BUF struct buf where = BUF(400);
    if (!r->client->options.log || r->client->options.log->level < LOG_DEBUG)
        return;
    url_show(span_str(r->url), &where);
    log_line(r->client->options.log, LOG_DEBUG, "http: %s: %s, %llu bytes, %lld ms, attempt %d",
             buf_cstr(&where), outcome, (unsigned long long)r->body_len,
             (long long)((int64_t)uv_now(r->client->loop) - r->attempt_ms), r->attempts);
}

/* ---- After an attempt ---- */

static int64_t backoff_ms(struct http_request *r)
{
    struct http_client *c = r->client;
    int64_t wait = c->options.backoff_first_ms;
    for (int i = 1; i < r->failures && wait < BACKOFF_MAX_MS; i++)
        wait *= 2;
    wait = wait > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : wait;
    return wait / 2 + (int64_t)(http_random(c) % (uint64_t)(wait / 2 + 1));
}

/* The attempt failed in a way that may pass: again after a while, unless that is hopeless. */
static void retry(struct http_request *r, enum err_code code, int64_t ask_ms, const char *text)
{
    struct http_client *c = r->client;
    int64_t now = (int64_t)uv_now(c->loop);
    bool progress = r->body_len >= r->body_before + PROGRESS_BYTES;
    r->resuming = (r->body_wanted || r->resuming) && r->validator && r->body_len > 0;
    r->failures = r->resuming && progress ? 1 : r->failures + 1;
    r->body_before = r->body_len;
    int64_t backoff = backoff_ms(r), wait = ask_ms > backoff ? ask_ms : backoff;
    if (ask_ms > c->options.retry_after_max_ms) {
        http_fail(r, code, "%s; it asks to wait %lld s, which is too long", text,
                  (long long)(ask_ms / 1000));
    } else if (r->failures >= (r->get.attempts ? r->get.attempts : c->options.attempts) ||
               now + wait >= r->deadline_ms) {
        http_fail(r, code, "%s (%d attempt%s)", text, r->attempts, r->attempts == 1 ? "" : "s");
    } else {
        describe(r, &r->last, code, text);
        if (r->resuming && r->body_wanted) {
            http_answer_clear(&r->first);
            r->first = r->answer;
            r->answer = (struct http_answer){0};
        }
        r->state = HTTP_BACKOFF;
        r->retry_at_ms = now + wait;
        if (ask_ms > 0 && r->host->not_before_ms < r->retry_at_ms)
            r->host->not_before_ms = r->retry_at_ms;
        http_due(c, r->retry_at_ms);
    }
}

static void follow_redirect(struct http_request *r)
{
    AUTO_BUF struct buf next = BUF(URL_MAX_BYTES);
    struct url_parts from, to;
    AUTO_BUF struct buf location = BUF(URL_MAX_BYTES);
    if (++r->redirects > HTTP_MAX_REDIRECTS) {
        http_fail(r, ERR_REGISTRY_REFUSED, "more than %d redirects", HTTP_MAX_REDIRECTS);
        return;
    }
    for (const char *p = r->answer.location; *p; p++) /* some leave spaces in it */
        buf_str(&location, *p == ' ' ? "%20" : (char[]){*p, '\0'});
    if (location.overflow || !url_join(span_str(r->url), buf_span(&location), false, &next) ||
        !url_split(buf_span(&next), &to)) {
        http_fail(r, ERR_REGISTRY_REFUSED, "redirected to what is not an http or https URL");
        return;
    }
    url_split(span_str(r->url), &from);
    if (from.scheme.len == 5 && to.scheme.len == 4) {
        http_fail(r, ERR_REGISTRY_REFUSED, "redirected from https to plain http on %.*s, refused",
                  SPAN_ARG(to.host));
        return;
    }
    char *url = http_sendable_url(&to);
    free(r->url);
    r->url = url;
    r->following = true;
    http_queue(r);
}

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static bool is_answer(const struct http_request *r)
{
    int s = r->answer.status;
    return (s >= 200 && s < 300) || s == 404 || s == 410 || s == 451 ||
           (s == 416 && r->get.range) || (r->get.any_status && s >= 400 && s < 500) ||
           (s == 304 && (r->get.if_none_match || r->get.if_modified_since));
}

static void refuse(struct http_request *r)
{
    int s = r->answer.status;
    const char *hint = s == 401   ? ": it wants credentials"
                       : s == 403 ? ": access is forbidden"
                       : s == 407 ? ": the proxy wants credentials (in the proxy's URL)"
                                  : "";
    http_fail(r, ERR_REGISTRY_REFUSED, "status %d%s", s, hint);
}

static void take_status(struct http_request *r)
{
    int s = r->answer.status;
    char text[64];
    snprintf(text, sizeof(text), "status %d", s);
    if (is_redirect(s) && r->answer.location && !r->get.post)
        follow_redirect(r);
    else if (s == 416 && r->resuming) {
        r->resuming = r->body_wanted = false;
        retry(r, ERR_REGISTRY, -1, "the file changed while it was read");
    } else if (s == 408 || s == 429 || (s >= 500 && s != 501 && s != 505)) {
        retry(r, ERR_REGISTRY, r->answer.retry_after_ms, text);
    } else if (is_answer(r)) {
        if (r->resuming && !r->body_wanted)
            buf_reset(&r->body); /* the part that an earlier attempt brought */
        http_end(r, NULL);
    } else
        refuse(r);
}

static void take_failure(struct http_request *r, CURLcode code)
{
    char text[CURL_ERROR_SIZE + 64];
    const char *words = r->curl_text[0] ? r->curl_text : curl_easy_strerror(code);
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        http_fail(r, ERR_NETWORK,
                  "%s%s; behind a proxy that opens TLS, let SSL_CERT_FILE name its CA file", words,
                  http_tls_problem(r->client->tls));
        break;
    case CURLE_URL_MALFORMAT: http_fail(r, ERR_INVALID, "%s", words); break;
    case CURLE_OPERATION_TIMEDOUT: retry(r, ERR_TIMEOUT, -1, words); break;
    case CURLE_PARTIAL_FILE:
        snprintf(text, sizeof(text), "the answer broke off after %llu bytes",
                 (unsigned long long)r->body_len);
        retry(r, ERR_NETWORK, -1, text);
        break;
    default: retry(r, ERR_NETWORK, -1, words);
    }
}

void http_attempt_done(struct http_request *r, CURLcode code)
{
    long version = 0;
    char outcome[96];
    curl_easy_getinfo(r->easy, CURLINFO_HTTP_VERSION, &version);
    if (version)
        r->host->version = version >= CURL_HTTP_VERSION_2_0 ? 2 : 1;
    http_attempt_stop(r);
    snprintf(outcome, sizeof(outcome), "status %d%s%s", r->answer.status, code ? ", " : "",
             code ? curl_easy_strerror(code) : "");
    log_attempt(r, outcome);
    if (r->cancelled)
        http_fail(r, ERR_CANCELLED, "cancelled");
    else if (r->err.code)
        http_end(r, NULL);
    else if (code == CURLE_OK)
        take_status(r);
    else
        take_failure(r, code);
}

void http_attempt_stalled(struct http_request *r)
{
    char text[80];
    http_attempt_stop(r);
    log_attempt(r, "stalled");
    r->fresh_connection = true;
    snprintf(text, sizeof(text), "no byte came for %.1f s",
             (double)r->client->options.stall_timeout_ms / 1000);
    retry(r, ERR_TIMEOUT, -1, text);
}

void http_request_free(struct http_request *r)
{
    http_answer_clear(&r->answer);
    http_answer_clear(&r->first);
    buf_release(&r->body);
    free((char *)r->get.accept);
    free((char *)r->get.if_none_match);
    free((char *)r->get.if_modified_since);
    free((char *)r->get.range);
    free((char *)r->get.content_type);
    free((char *)r->get.content.ptr);
    for (size_t i = 0; i < r->get.field_count; i++) {
        free((char *)r->fields[i].name);
        free((char *)r->fields[i].value);
    }
    free(r->fields);
    free(r->url);
    free(r->login_name);
    free(r->login_origin);
    free(r->validator);
    free(r);
}

char *http_sendable_url(const struct url_parts *p)
{
    AUTO_BUF struct buf out = BUF(4 * URL_MAX_BYTES);
    for (size_t i = 0; i < p->scheme.len; i++)
        buf_char(&out, (char)(p->scheme.ptr[i] | 32));
    buf_printf(&out, "://%.*s", SPAN_ARG(p->host));
    if (p->port.len)
        buf_printf(&out, ":%.*s", SPAN_ARG(p->port));
    if (p->path.len == 0 || p->path.ptr[0] != '/')
        buf_char(&out, '/');
    for (size_t i = 0; i < p->path.len; i++) {
        unsigned char b = (unsigned char)p->path.ptr[i];
        if (b >= 0x80 || strchr("\"<>\\^`{|}", b))
            buf_printf(&out, "%%%02X", b);
        else
            buf_char(&out, (char)b);
    }
    return buf_take(&out);
}
