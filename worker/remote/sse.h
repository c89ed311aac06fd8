/* SPDX-License-Identifier: Apache-2.0 */
/* sse.h - server-sent events from a stream of bytes (HTML Living Standard, 9.2.6).
 *
 * Lines end with LF, CR or both, comments and unknown fields are passed over. An event is
 * handed on when its empty line is there; what a broken connection cut off is dropped with
 * sse_reset, as the standard wants it, and comes again with the next connection.
 *
 * Ownership: an event's spans live until the call returns.
 * Errors:    ERR_TOO_LARGE: a line or an event is larger than SSE_MAX_BYTES; or what the
 *            handler set.
 * Threads:   none of its own. */
#ifndef STRATA_WORKER_REMOTE_SSE_H
#define STRATA_WORKER_REMOTE_SSE_H

#include "base/buf.h"
#include "base/err.h"

#define SSE_MAX_BYTES (4u << 20)

struct sse_event {
    struct span kind; /* "message" when the stream names none */
    struct span data; /* lines joined by LF */
    struct span id;   /* the last that was sent, empty: none yet */
};

struct sse {
    struct buf line, data, kind, id;
    bool any_data, after_cr, begun;
};

#define SSE_INIT                                                                                   \
    (struct sse)                                                                                   \
    {                                                                                              \
        .line = BUF(SSE_MAX_BYTES), .data = BUF(SSE_MAX_BYTES), .kind = BUF(SSE_MAX_BYTES),        \
        .id = BUF(SSE_MAX_BYTES)                                                                   \
    }

bool sse_feed(struct sse *s, struct span bytes,
              bool (*each)(void *ctx, const struct sse_event *e, struct err *err), void *ctx,
              struct err *err);
void sse_reset(struct sse *s); /* a new connection: only the last id is kept */
void sse_release(struct sse *s);

#endif
