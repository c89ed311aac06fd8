/* SPDX-License-Identifier: Apache-2.0 */
/* server.h - HTTP/1.1 (RFC 9112) on the libuv loop, over libmicrohttpd.
 *
 * The daemon has no thread of its own: the loop polls its epoll descriptor and runs it. A call
 * whose answer takes longer is suspended, costs nothing meanwhile and goes on when it is
 * answered; so do streams that have nothing to send.
 *
 * A request must have arrived whole within `receive_ms`, headers and body; a connection that
 * does nothing is closed after `idle_s`; bodies, headers and the number of connections, also
 * of one address, have ceilings. Whoever breaks one gets an answer or a closed connection.
 *
 * Ownership: a call belongs to the server; it is valid from handle() until it was answered
 *            and, for a stream, until close(). Its spans and texts live as long.
 * Units:     bytes, milliseconds.
 * Threads:   loop thread only. */
#ifndef STRATA_WORKER_API_SERVER_H
#define STRATA_WORKER_API_SERVER_H

#include <uv.h>

#include "worker/rules/problem.h"

enum call_method { CALL_GET, CALL_POST, CALL_PUT, CALL_DELETE, CALL_OTHER };

struct server;
struct call_priv;

/* An answer that is sent as it comes. */
struct call_stream {
    /* Bytes into out: how many, 0: none now (server_stream_wake tells when), -1: the end,
     * -2: broken, the connection is cut. */
    int64_t (*read)(struct call_stream *st, uint64_t pos, char *out, size_t size);
    void (*close)(struct call_stream *st); /* once; the call is gone then */
    struct call *call;
    int64_t size; /* -1: not known */
};

struct call {
    struct server *server;
    enum call_method method;
    bool head;     /* a GET of which only the headers are wanted */
    bool loopback; /* comes from this machine */
    const char *method_name;
    struct span path, query; /* as sent, not decoded */
    struct buf body;
    char request_id[40];
    int64_t received_us;
    void *ctx; /* the handler's */
    struct call_priv *priv;
};

struct server_options {
    const char *address;                               /* "127.0.0.1", "::1", "0.0.0.0" */
    uint16_t port;                                     /* 0: any */
    size_t max_body;                                   /* 0: 1 MiB */
    size_t max_header;                                 /* 0: 16 KiB: request line and headers */
    unsigned idle_s;                                   /* 0: 60 */
    int64_t receive_ms;                                /* 0: 60 s */
    unsigned max_connections, max_connections_address; /* 0: 4096; 1024 */
    void (*handle)(struct call *call, void *ctx);      /* answers now or later */
    void (*ended)(struct call *call, int status, void *ctx); /* for metrics and the access log */
    void *ctx;
};

struct server *server_new(uv_loop_t *loop, const struct server_options *options, struct err *err);
uint16_t server_port(const struct server *s);
unsigned server_connections(const struct server *s);
void server_stop_listening(struct server *s); /* what is open goes on */
/* Ends everything; each unanswered call is ended too. Then run the loop once more. */
void server_free(struct server *s);

/* A header of the request, NULL: absent. */
const char *call_header(const struct call *call, const char *name);
/* A parameter of the query, decoded into out (overflow: malformed or too long); false:
 * absent. */
bool call_query(const struct call *call, const char *name, struct buf *out);

/* Headers of the answer to be. */
void call_put_header(struct call *call, const char *name, const char *value);

/* Answers; exactly one of them, once. */
void call_json(struct call *call, int status, json_t *body);    /* takes the reference */
void call_json_text(struct call *call, int status, char *body); /* takes it: malloc()ed JSON */
void call_problem(struct call *call, const struct problem *p);
void call_text(struct call *call, int status, const char *type, struct span text);
void call_stream(struct call *call, int status, const char *type, struct call_stream *st);

void server_stream_wake(struct call_stream *st);
/* The server shuts down: streams should end. */
bool server_closing(const struct server *s);

#endif
