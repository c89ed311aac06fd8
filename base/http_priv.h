/* SPDX-License-Identifier: Apache-2.0 */
/* http_priv.h - what the parts of the HTTP client share.
 *
 * http.c: the client, its queue and the loop. http_request.c: one request's attempts.
 * http_answer.c: what curl hands over while an attempt runs. http_tls.c: trust.
 *
 * A request goes WAITING -> ACTIVE -> (BACKOFF -> WAITING ->)* ENDED. Only http.c calls done(),
 * from http_flush, which never runs inside a curl callback. */
#ifndef STRATA_BASE_HTTP_PRIV_H
#define STRATA_BASE_HTTP_PRIV_H

#include "base/http.h"
#include "base/late_curl.h"
#include "base/map.h"
#include "base/mem.h"

#define HTTP_MAX_REDIRECTS 10
#define HTTP_SPARE_HANDLES 64
#define HTTP_ERROR_BODY    (64u << 10)

struct http_tls;

struct http_host {
    char *origin;                       /* "https://host:port" */
    int version;                        /* 0: not known yet, 1 or 2 */
    int active;                         /* requests under way */
    bool contacted;                     /* a request has been made */
    int64_t not_before_ms;              /* it asked to be left alone until then (Retry-After) */
    VEC(struct http_request *) waiting; /* the next one last */
};

enum http_state { HTTP_WAITING, HTTP_ACTIVE, HTTP_BACKOFF, HTTP_ENDED };

/* What the headers of the answer under way said. */
struct http_answer {
    int status;
    char *content_type, *etag, *last_modified, *cache_control, *content_range, *location;
    int64_t retry_after_ms; /* -1: none */
    int64_t date_ms, last_modified_ms;
    uint64_t length; /* of the body on the wire; UINT64_MAX: not told */
    bool coded;      /* with a content coding */
};

struct http_request {
    struct http_client *client;
    struct http_request *prev, *next; /* all of the client's */
    enum http_state state;
    struct http_get get; /* strings are ours */
    bool head_only;
    struct http_field *fields; /* ours */
    char *url;                 /* of this hop; no userinfo, no fragment */
    char *login_origin;        /* of the first URL */
    char *login_name;          /* its userinfo, which goes there only; NULL: none */
    struct http_host *host;
    uint64_t order;
    int redirects, attempts;
    int failures;         /* in a row */
    bool following;       /* the next attempt only follows a redirect */
    struct err last;      /* of the failed attempts */
    uint64_t body_before; /* body_len when the attempt began */
    int64_t started_ms, deadline_ms, retry_at_ms, last_byte_ms, attempt_ms,
        nudge_ms; /* loop time */
    bool cancelled, paused, refused_piece, fresh_connection;

    CURL *easy; /* while active */
    struct curl_slist *headers;
    char curl_text[CURL_ERROR_SIZE];

    struct http_answer answer;
    struct http_answer first; /* while resuming: the one that began the body */
    bool body_wanted;         /* of this answer: 2xx, and not in the way of a resumption */
    struct buf body;          /* when nobody streams, or of an error */
    uint64_t body_len;        /* decoded bytes handed on since the body's beginning */
    char *validator;          /* strong: for If-Range; NULL when it cannot be resumed */
    uint64_t range_first;     /* where the body begins in the file */
    uint64_t range_last;      /* where it ends, inclusive; UINT64_MAX: at the file's end */
    bool resuming;
    uint64_t received_bytes;
    struct err err; /* fatal, from callbacks */
};

struct http_socket {
    struct http_client *client;
    struct http_socket *next;
    uv_poll_t poll;
    curl_socket_t fd;
    bool closing;
};

struct http_client {
    uv_loop_t *loop;
    struct http_options options; /* strings are ours, numbers filled in */
    char *env_http_proxy;        /* HTTP_PROXY, which curl does not read */
    CURLM *multi;
    CURLSH *share;
    struct http_tls *tls;
    uv_timer_t curl_timer; /* what curl asked for */
    uv_timer_t due_timer;  /* our deadlines, stalls, backoffs */
    uv_timer_t wake;       /* run the queue soon */
    int64_t due_ms;        /* when due_timer fires; INT64_MAX: it does not */
    int open_handles;
    bool closing;
    int in_callback; /* depth of our callers' callbacks */
    struct http_socket *sockets;
    struct http_request *all, *ended, **ended_end; /* ended: linked by next, not in all */
    struct map hosts;
    VEC(CURL *) spare;
    int active;
    uint64_t started;
    uint64_t random;
};

/* http.c */
void http_queue(struct http_request *r);                      /* WAITING at its host, by priority */
void http_end(struct http_request *r, const struct err *err); /* err NULL: it is r->err */
void http_wake(struct http_client *c);
void http_due(struct http_client *c, int64_t at_ms); /* look at it no later than then */
struct http_host *http_host_of(struct http_client *c, const char *url);
uint64_t http_random(struct http_client *c);

/* http_request.c */
bool http_begin(struct http_request *r); /* starts an attempt; false: it has ended */
void http_attempt_done(struct http_request *r, CURLcode code);
void http_attempt_stop(struct http_request *r); /* takes it from curl */
void http_attempt_stalled(struct http_request *r);
void http_fail(struct http_request *r, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void http_request_free(struct http_request *r);
/* The URL as it is sent: without userinfo and fragment, odd bytes percent-encoded. */
char *http_sendable_url(const struct url_parts *p);

/* http_answer.c */
size_t http_on_header(char *at, size_t size, size_t count, void *ctx);
size_t http_on_body(char *at, size_t size, size_t count, void *ctx);
void http_answer_clear(struct http_answer *a);

/* http_tls.c */
struct http_tls *http_tls_new(const char *ca_file, const char *extra_ca_file);
void http_tls_setup(struct http_tls *t, CURL *easy);
const char *http_tls_problem(const struct http_tls *t); /* "": none; else why CAs are missing */
struct x509_store_st *http_tls_store(const struct http_tls *t); /* OpenSSL's, for tests */
void http_tls_free(struct http_tls *t);

#endif
