/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/remote/sse.h"

static bool set(struct buf *b, struct span value)
{
    buf_reset(b);
    return buf_append(b, value);
}

static bool take_field(struct sse *s, struct span line)
{
    struct span name = line, value = SPAN("");
    span_cut_char(line, ':', &name, &value);
    if (span_starts(value, SPAN(" ")))
        value = span_skip(value, 1);
    if (span_eq(name, SPAN("data"))) {
        if (s->any_data && !buf_char(&s->data, '\n'))
            return false;
        s->any_data = true;
        return buf_append(&s->data, value);
    }
    if (span_eq(name, SPAN("event")))
        return set(&s->kind, value);
    if (span_eq(name, SPAN("id")) && !span_has(value, '\0'))
        return set(&s->id, value);
    return true;
}

static bool end_event(struct sse *s,
                      bool (*each)(void *ctx, const struct sse_event *e, struct err *err),
                      void *ctx, struct err *err)
{
    struct sse_event e = {.kind = s->kind.len ? buf_span(&s->kind) : SPAN("message"),
                          .data = buf_span(&s->data),
                          .id = buf_span(&s->id)};
    bool ok = !s->any_data || each(ctx, &e, err);
    s->any_data = false;
    buf_reset(&s->data);
    buf_reset(&s->kind);
    return ok;
}

static bool end_line(struct sse *s,
                     bool (*each)(void *ctx, const struct sse_event *e, struct err *err), void *ctx,
                     struct err *err)
{
    struct span line = buf_span(&s->line);
    if (!s->begun && span_starts(line, SPAN("\xef\xbb\xbf")))
        line = span_skip(line, 3);
    s->begun = true;
    bool ok = true;
    if (line.len == 0)
        ok = end_event(s, each, ctx, err);
    else if (line.ptr[0] != ':' && !take_field(s, line))
        ok = err_set(err, ERR_TOO_LARGE, "an event is larger than %u bytes", SSE_MAX_BYTES);
    buf_reset(&s->line);
    return ok;
}

bool sse_feed(struct sse *s, struct span bytes,
              bool (*each)(void *ctx, const struct sse_event *e, struct err *err), void *ctx,
              struct err *err)
{
    while (bytes.len) {
        if (s->after_cr && bytes.ptr[0] == '\n') {
            s->after_cr = false;
            bytes = span_skip(bytes, 1);
            continue;
        }
        size_t n = 0;
        while (n < bytes.len && bytes.ptr[n] != '\n' && bytes.ptr[n] != '\r')
            n++;
        s->after_cr = false;
        if (!buf_append(&s->line, span_slice(bytes, 0, n)))
            return err_set(err, ERR_TOO_LARGE, "a line is longer than %u bytes", SSE_MAX_BYTES);
        if (n == bytes.len)
            return true;
        s->after_cr = bytes.ptr[n] == '\r';
        bytes = span_skip(bytes, n + 1);
        if (!end_line(s, each, ctx, err))
            return false;
    }
    return true;
}

void sse_reset(struct sse *s)
{
    buf_reset(&s->line);
    buf_reset(&s->data);
    buf_reset(&s->kind);
    s->any_data = s->after_cr = s->begun = false;
}

void sse_release(struct sse *s)
{
    buf_release(&s->line);
    buf_release(&s->data);
    buf_release(&s->kind);
    buf_release(&s->id);
}
