/* SPDX-License-Identifier: Apache-2.0 */
/* http.h - HTTP GETs and POSTs on a libuv loop, over libcurl's multi interface (RFC 9110, 9113).
 *
 * Requests to one host share one HTTP/2 connection and its streams (HTTP/1.1 servers get a
 * bounded few). A failed attempt (no connection, a stall, 408, 429, 5xx) is made again with
 * exponential backoff and jitter, honouring Retry-After; a body that broke off is resumed
 * with a range when the server gave a strong validator. Proxies and CA files come from the
 * environment as curl and the package clients know them (HTTPS_PROXY, NO_PROXY; CURL_CA_BUNDLE,
 * SSL_CERT_FILE, REQUESTS_CA_BUNDLE, SSL_CERT_DIR). Only http and https, at most 10 redirects,
 * none from https to http, none of a POST, credentials only to the origin (scheme, host, port)
 * they are for.
 *
 * Ownership: strings in http_get are copied by http_start. The reply lives until done()
 *            returns; http_reply_take_body keeps the bytes longer.
 * Units:     bytes, milliseconds.
 * Errors:    reply->err: ERR_NETWORK, ERR_TIMEOUT, ERR_REGISTRY (5xx, 429 after all tries),
 *            ERR_REGISTRY_REFUSED (401, 403, other 4xx but 404, 410, 416, 451), ERR_TOO_LARGE,
 *            ERR_OFFLINE, ERR_CANCELLED, ERR_INVALID (not a URL), or what on_data set. 2xx, 304,
 *            404, 410, 416 and 451 are answers: err is ERR_NONE and status tells. Texts name
 *            host and path, never a query or credentials.
 * Threads:   loop thread only. done() is called exactly once, never inside http_start or
 *            http_cancel; new requests may be started in any callback. The client ignores
 *            SIGPIPE in the process when nobody has decided about it. */
#ifndef STRATA_BASE_HTTP_H
#define STRATA_BASE_HTTP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/span.h"
#include "base/url.h"

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
    int64_t retry_after_max_ms; /* a server that asks for more is given up on; 0: 60 s */
    const char *ca_file;        /* trusted instead of what the environment says; may be NULL */
    const char *extra_ca_file;  /* trusted besides the others (NODE_EXTRA_CA_CERTS); may be NULL */
    /* Writes the value of an Authorization header for this URL into out, or returns false.
     * Asked anew at each redirect. A URL's own user:password goes before it. */
    bool (*credentials)(void *ctx, const char *url, struct buf *out);
    void *credentials_ctx;
};

struct http_reply {
    struct err err;
    int status;       /* of the last answer; 0 when there was none */
    struct span body; /* empty when on_data was given; cut at 64 KiB unless status is 2xx */
    const char *url;  /* after redirects; without userinfo and fragment */
    /* Headers, NULL when absent: */
    const char *content_type, *etag, *last_modified, *cache_control, *content_range;
    uint64_t received_bytes; /* on the wire, all attempts */
    int attempts;
};

struct http_field {
    const char *name, *value;
};

struct http_get {
    const char *url;
    /* A POST of `content`, which is tried again like a GET: it has to be idempotent. */
    bool post;
    struct span content;
    const char *content_type; /* NULL: application/json */
    /* Further headers, sent to the URL's own origin only. */
    const struct http_field *fields;
    size_t field_count;
    int attempts;       /* 0: the client's */
    bool any_status;    /* other 4xx are answers too: their bodies tell why */
    const char *accept; /* NULL: any */
    const char *if_none_match, *if_modified_since; /* NULL: unconditional */
    /* Range of bytes: "0-99", "100-", "-65536" (suffix); NULL: the whole. The server may answer
     * 200 with everything all the same: look at status and content_range. */
    const char *range;
    /* The bytes as they are stored, with no content coding on the way: for package files. Ranges
     * are always raw. Otherwise gzip and br are accepted and undone. */
    bool raw;
    uint64_t max_bytes;  /* ceiling of the decoded body; required */
    int64_t deadline_ms; /* for the whole request, retries included; 0: 10 min */
    int priority;        /* higher first when many wait */
    /* Streaming: called with each piece in order; a resumed body goes on where it stopped, a
     * restarted one calls on_restart first. Only bodies of 2xx answers. False (with *err set)
     * ends the request. */
    bool (*on_data)(void *ctx, struct span piece, struct err *err);
    void (*on_restart)(void *ctx);
    void (*on_total)(void *ctx, uint64_t total_bytes); /* length of the body, when known */
    void (*done)(void *ctx, struct http_reply *reply);
    void *ctx;
};

struct http_client *http_client_new(uv_loop_t *loop, const struct http_options *options,
                                    struct err *err);
struct http_request *http_start(struct http_client *c, const struct http_get *get);
void http_cancel(struct http_request *r); /* done() comes with ERR_CANCELLED, not from in here */
char *http_reply_take_body(struct http_reply *reply, size_t *len); /* free() it; NUL-terminated */

/* No more pieces until http_resume (what curl has already read may be up to a flow-control
 * window). A pause is no stall, but the deadline goes on. */
void http_pause(struct http_request *r);
void http_resume(struct http_request *r);

/* Opens the connection to the URL's host ahead of the first request (with a HEAD of the URL, whose
 * answer is dropped), so that its round trips overlap with other work. Best effort, silent;
 * nothing when the host was asked before. */
void http_preconnect(struct http_client *c, const char *url);

/* Cancels what is under way (done() is called) and closes; run the loop once more. Not from
 * inside a callback of the client. NULL is fine. */
void http_client_free(struct http_client *c);

#endif
