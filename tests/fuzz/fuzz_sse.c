/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_sse.c - a stream of server-sent events. However it is cut into pieces, the same events
 * come out; none has a line end in its kind or id. */
#include <assert.h>

#include "base/mem.h"
#include "worker/remote/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool show(void *ctx, const struct sse_event *e, struct err *err)
{
    struct buf *out = ctx;
    (void)err;
    assert(e->kind.len && !span_has(e->kind, '\n') && !span_has(e->id, '\n'));
    assert(!span_has(e->data, '\r') && !span_has(e->id, '\r') && !span_has(e->id, '\0'));
    buf_append(out, e->kind);
    buf_char(out, '\n');
    buf_append(out, e->id);
    buf_char(out, '\n');
    buf_append(out, e->data);
    return buf_char(out, '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span all = span_of((const char *)data, size);
    struct err err = {0};
    struct sse whole = SSE_INIT, pieces = SSE_INIT;
    AUTO_BUF struct buf a = BUF(64u << 20), b = BUF(64u << 20);
    sse_feed(&whole, all, show, &a, &err);
    for (size_t at = 0, n = 1; at < size; at += n, n = n * 7 % 31 + 1)
        sse_feed(&pieces, span_slice(all, at, at + n), show, &b, &err);
    assert(span_eq(buf_span(&a), buf_span(&b)));
    sse_release(&whole);
    sse_release(&pieces);
    return 0;
}
