/* SPDX-License-Identifier: Apache-2.0 */
/* http_server.h - an HTTP/1.1 server on 127.0.0.1 that answers by script and breaks on command.
 *
 *     struct test_server *s = test_server_new();
 *     test_server_add(s, "/a", &(struct test_answer){.status = 503, .headers = "Retry-After:
 * 0\r\n"}); test_server_add(s, "/a", &(struct test_answer){.body = SPAN_INIT("hello")});
 *     ... get test_server_url(s, "/a") ...
 *     ck_assert_int_eq(test_server_hits(s, "/a"), 2);
 *
 * The nth request for a path (with its query) takes the path's nth answer; the last one repeats.
 * An unknown path is 404.
 *
 * Ownership: answers are copied, bodies and header texts too.
 * Threads:   its own ones serve; calls come from any thread. */
#ifndef STRATA_TESTS_SUPPORT_HTTP_SERVER_H
#define STRATA_TESTS_SUPPORT_HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

enum test_fault {
    FAULT_NONE,
    FAULT_CUT,        /* closes after `at` bytes of the body */
    FAULT_RESET,      /* the same, with a TCP reset */
    FAULT_STALL,      /* sends nothing more after `at` bytes, and keeps the connection */
    FAULT_HALF_CLOSE, /* shuts its side after `at` bytes, reads on */
    FAULT_NO_ANSWER,  /* closes without a byte */
    FAULT_DRIP,       /* a byte, then delay_ms, and so on */
    FAULT_GARBAGE,    /* `body` is sent as it is, with no status line or headers */
};

struct test_answer {
    int status;          /* 0: 200 */
    const char *headers; /* whole lines, "A: b\r\n"; may be NULL */
    struct span body;
    const char *etag; /* is sent, compared with If-None-Match (304) and If-Range */
    bool ranges;      /* honours Range */
    bool chunked;     /* no Content-Length */
    bool no_length;   /* neither: the end of the connection is the end of the body */
    int64_t length;   /* claims this Content-Length instead, when not 0 */
    int delay_ms;     /* before the status line; between bytes with FAULT_DRIP */
    enum test_fault fault;
    uint64_t at;
};

struct test_server;

struct test_server *test_server_new(void);
void test_server_free(struct test_server *s);
/* "http://127.0.0.1:PORT" + path; lives as long as the server. */
const char *test_server_url(struct test_server *s, const char *path);
void test_server_add(struct test_server *s, const char *path, const struct test_answer *a);
int test_server_hits(struct test_server *s, const char *path);
int test_server_all_hits(struct test_server *s);
int test_server_connections(struct test_server *s);  /* so far */
int test_server_most_at_once(struct test_server *s); /* connections open at one time */
/* The value of a header of the nth (from 0) request for the path; NULL: not sent. Lives as long
 * as the server. */
const char *test_server_header(struct test_server *s, const char *path, int nth, const char *name);
/* The whole nth request, headers and body; NULL: it did not come. Lives as above. */
const char *test_server_request(struct test_server *s, const char *path, int nth);
/* The paths in the order in which they were asked for, with ' ' between. Lives as above. */
const char *test_server_order(struct test_server *s);

#endif
