/* SPDX-License-Identifier: Apache-2.0 */
/* remote.h - builds on a build-worker elsewhere, over its HTTP API (docs/api.md).
 *
 *   create -> follow its events -> ask how it ended -> done
 *               ^  connection broke   | not yet
 *               +---- a pause --------+
 *
 * The request carries an idempotency key, so that it may be sent again; the stream of events
 * goes on after the last one that came. Members and events that are not known are passed over,
 * so that an older client gets along with a newer server.
 *
 * Ownership: options and request are copied. A build is the caller's until remote_build_free,
 *            its results live as long.
 * Units:     bytes, milliseconds.
 * Errors:    ERR_USAGE: no URL of a server; ERR_INVALID and the like: what the server says of
 *            the request; ERR_DENIED: of the key; ERR_QUOTA, ERR_BUSY: it has too much to do;
 *            ERR_NETWORK: it cannot be reached, or is no build-worker; else the build's own
 *            failure. Texts of the server come without control characters.
 * Threads:   loop thread. done() comes exactly once, never from inside start or cancel. */
#ifndef STRATA_WORKER_REMOTE_REMOTE_H
#define STRATA_WORKER_REMOTE_REMOTE_H

#include "worker/build.h"

struct remote;

struct remote_options {
    const char *url;     /* "https://host[:port][/path]", where /v1 lies below */
    const char *api_key; /* NULL: none. Sent to the URL's origin alone */
    const struct log *log;
    int64_t stall_ms;    /* silence that counts as broken; 0: 45 s */
    int64_t patience_ms; /* an unreachable server is given up on; 0: 2 min */
    int64_t backoff_ms;  /* the first; 0: 500 */
};

struct remote *remote_new(uv_loop_t *loop, const struct remote_options *options, struct err *err);
void remote_free(struct remote *r); /* after its builds; then run the loop once more */

struct remote_request {
    const json_t *config; /* of an environment */
    const char *priority; /* "interactive", "normal", "warm" */
    bool refresh;
};

struct remote_result {
    struct err err;
    char id[64];                   /* of the build; empty: there is none */
    const char *manager, *package; /* of a failure; NULL: none in particular */
    const char *phase;             /* the same */
    struct digest artifact;
    bool cached;
    json_t *warnings; /* array of strings, never NULL */
    uint64_t received_bytes;
    int64_t total_ms;
};

struct remote_build;

struct remote_build *remote_build_start(struct remote *r, const struct remote_request *request,
                                        void (*done)(struct remote_build *b, void *ctx), void *ctx);
/* Also cancels the build on the server, unless it was under way before for somebody else.
 * done() follows with ERR_CANCELLED. */
void remote_build_cancel(struct remote_build *b);
const struct remote_result *remote_build_result(const struct remote_build *b);
/* As build_progress, of the managers that the config has packages of. */
size_t remote_build_progress(const struct remote_build *b, const struct build_progress **list);
void remote_build_free(struct remote_build *b); /* after done(); then run the loop once more */

#endif
