/* SPDX-License-Identifier: Apache-2.0 */
/* http.h - HTTP GETs on a libuv loop, over libcurl's multi interface (RFC 9110, 9113).
 *
 * Requests to one host share one HTTP/2 connection and its streams (HTTP/1.1 servers get a
 * bounded few). A failed attempt (no connection, a stall, 429, 5xx) is made again with
 * exponential backoff and jitter, honouring Retry-After; a body that broke off is resumed
 * with a range when the server gave a strong validator. Proxies and CA files come from the
 * environment as curl and the package clients know them (HTTPS_PROXY, NO_PROXY,
 * SSL_CERT_FILE, CURL_CA_BUNDLE). Only http and https, at most 10 redirects, credentials
 * only to the origin (scheme, host, port) they are for.
 *
 * Ownership: strings in http_get are copied by http_start. The reply lives until done()
 *            returns; http_reply_take_body keeps the bytes longer.
 * Units:     bytes, milliseconds.
 * Errors:    reply->err: ERR_NETWORK, ERR_TIMEOUT, ERR_REGISTRY (5xx, 429 after all tries),
 *            ERR_REGISTRY_REFUSED (401, 403, other 4xx but 404, 410, 451), ERR_TOO_LARGE,
 *            ERR_OFFLINE, ERR_CANCELLED, or what on_data set. 2xx, 304, 404, 410, 451 and 416
 *            are answers: err is ERR_NONE and status tells.
 * Threads:   loop thread only. done() is called exactly once, never inside http_start. */
#ifndef STRATA_BASE_HTTP_H
#define STRATA_BASE_HTTP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/span.h"

struct http_client;
struct http_request;

struct http_options {
    const struct log *log; /* debug lines; NULL: silent */
    const char *user_agent;
    bool offline;               /* every request fails with ERR_OFFLINE */
    int attempts;               /* 0: 5 */
    int max_http1_per_host;     /* 0: 6 */
    int max_active;             /* requests under way at once; 0: 256. The rest wait, by priority */
    int64_t connect_timeout_ms; /* 0: 10 s */
    int64_t stall_timeout_ms;   /* no byte for so long fails the attempt; 0: 20 s */
    int64_t backoff_first_ms;   /* 0: 200; doubles each time, up to 10 s */
    /* Writes the value of an Authorization header for this URL into out, or returns false.
     * Asked anew at each redirect. */
    bool (*credentials)(void *ctx, const char *url, struct buf *out);
    void *credentials_ctx;
};

struct http_reply {
    struct err err;
    int status;       /* of the last answer; 0 when there was none */
    struct span body; /* empty when on_data was given */
    const char *url;  /* after redirects */
    /* Headers, NULL when absent: */
    const char *content_type, *etag, *last_modified, *cache_control, *content_range;
    uint64_t received_bytes; /* on the wire, all attempts */
    int attempts;
};

struct http_get {
    const char *url;
    const char *accept;                            /* NULL: any */
    const char *if_none_match, *if_modified_since; /* NULL: unconditional */
    /* Range of bytes: "0-99", "-65536" (suffix); NULL: the whole. The server may answer 200
     * with everything all the same: look at status and content_range. */
    const char *range;
    uint64_t max_bytes;  /* ceiling of the body; required */
    int64_t deadline_ms; /* for the whole request, retries included; 0: 10 min */
    int priority;        /* higher first when many wait */
    /* Streaming: called with each piece in order; a resumed body goes on where it stopped, a
     * restarted one calls on_restart first. False (with *err set) ends the request. */
    bool (*on_data)(void *ctx, struct span piece, struct err *err);
    void (*on_restart)(void *ctx);
    void (*on_total)(void *ctx, uint64_t total_bytes); /* Content-Length, when known */
    void (*done)(void *ctx, struct http_reply *reply);
    void *ctx;
};

struct http_client *http_client_new(uv_loop_t *loop, const struct http_options *options,
                                    struct err *err);
struct http_request *http_start(struct http_client *c, const struct http_get *get);
void http_cancel(struct http_request *r); /* done() comes with ERR_CANCELLED, not from in here */
char *http_reply_take_body(struct http_reply *reply, size_t *len); /* free() it */

/* Cancels what is under way (done() is called) and closes; run the loop once more. */
void http_client_free(struct http_client *c);

/* Parts of an absolute http(s) URL, without percent-decoding; false when it is not one, has
 * control characters, white space or more than 8 KiB. userinfo is empty when absent. */
struct url_parts {
    struct span scheme, userinfo, host, port, path; /* path: from '/', with query, no fragment */
    struct span fragment;
};
bool url_split(struct span url, struct url_parts *out);
/* Resolves a reference against an absolute base (RFC 3986 section 5), dropping any fragment
 * unless keep_fragment. False: the result is not http(s). */
bool url_join(struct span base, struct span reference, bool keep_fragment, struct buf *out);
void url_percent_decode(struct span text, struct buf *out);
void url_percent_encode(struct span text, const char *also_safe, struct buf *out);

#endif
