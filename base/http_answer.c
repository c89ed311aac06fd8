/* SPDX-License-Identifier: Apache-2.0 */
#include "base/http_header.h"
#include "base/http_priv.h"
#include "base/io.h"

#define HEADER_MAX_BYTES (16u << 10)

/* A date is a strong validator when the file was that much older than the answer (RFC 9110,
 * 8.8.2.2): no second change can hide behind it. */
#define STRONG_DATE_MS 60000

/* Room taken at once for a body of known length. */
#define RESERVE_MAX_BYTES (32u << 20)

void http_answer_clear(struct http_answer *a)
{
    free(a->content_type);
    free(a->etag);
    free(a->last_modified);
    free(a->cache_control);
    free(a->content_range);
    free(a->location);
    *a = (struct http_answer){
        .retry_after_ms = -1, .date_ms = -1, .last_modified_ms = -1, .length = UINT64_MAX};
}

static void keep(char **to, struct span value)
{
    free(*to);
    *to = mem_dup(value);
}

static void take_header(struct http_answer *a, struct span name, struct span value)
{
    uint64_t length;
    if (value.len > HEADER_MAX_BYTES || memchr(value.ptr, '\0', value.len))
        return;
    if (span_eq_nocase(name, SPAN("content-type")))
        keep(&a->content_type, value);
    else if (span_eq_nocase(name, SPAN("etag")))
        keep(&a->etag, value);
    else if (span_eq_nocase(name, SPAN("cache-control")))
        keep(&a->cache_control, value);
    else if (span_eq_nocase(name, SPAN("content-range")))
        keep(&a->content_range, value);
    else if (span_eq_nocase(name, SPAN("location")))
        keep(&a->location, value);
    else if (span_eq_nocase(name, SPAN("retry-after")))
        a->retry_after_ms = http_retry_after_ms(value, io_now_ms());
    else if (span_eq_nocase(name, SPAN("date")))
        a->date_ms = http_date_ms(value);
    else if (span_eq_nocase(name, SPAN("content-length")) && span_to_u64(value, &length))
        a->length = length;
    else if (span_eq_nocase(name, SPAN("content-encoding")))
        a->coded = a->coded || !span_eq_nocase(value, SPAN("identity"));
    else if (span_eq_nocase(name, SPAN("last-modified"))) {
        keep(&a->last_modified, value);
        a->last_modified_ms = http_date_ms(value);
    }
}

static void take_status_line(struct http_answer *a, struct span line)
{
    struct span version, rest;
    uint64_t status = 0;
    http_answer_clear(a);
    if (span_cut_char(line, ' ', &version, &rest))
        span_to_u64(span_slice(rest, 0, 3), &status);
    a->status = (int)status;
}

static bool fatal(struct http_request *r, enum err_code code, const char *text)
{
    AUTO_BUF struct buf where = BUF(400);
    url_show(span_str(r->url), &where);
    return err_set(&r->err, code, "%s: %s", buf_cstr(&where), text);
}

static bool too_large(struct http_request *r)
{
    char text[64];
    snprintf(text, sizeof(text), "larger than %llu bytes", (unsigned long long)r->get.max_bytes);
    return fatal(r, ERR_TOO_LARGE, text);
}

/* The body begins anew: what was handed on is void. */
static void restart_body(struct http_request *r)
{
    if (r->body_len > 0 && r->get.on_restart) {
        r->client->in_callback++;
        r->get.on_restart(r->get.ctx);
        r->client->in_callback--;
    }
    buf_reset(&r->body);
    http_answer_clear(&r->first);
    r->body_len = r->body_before = 0;
    r->resuming = false;
    r->range_first = 0;
    r->range_last = UINT64_MAX;
}

static bool is_rest(const struct http_request *r)
{
    uint64_t first, last, total;
    const struct http_answer *a = &r->answer;
    return a->status == 206 && a->content_range &&
           http_content_range(span_str(a->content_range), &first, &last, &total) &&
           first == r->range_first + r->body_len &&
           (r->range_last == UINT64_MAX ? total == UINT64_MAX || last + 1 == total
                                        : last == r->range_last) &&
           (!a->etag || r->validator[0] != '"' || strcmp(a->etag, r->validator) == 0);
}

/* The range that came has to begin where it was asked to. */
static bool begin_range(struct http_request *r)
{
    uint64_t total, asked;
    struct span from, to;
    const char *text = r->answer.content_range;
    if (!r->get.range || !text ||
        !http_content_range(span_str(text), &r->range_first, &r->range_last, &total))
        return fatal(r, ERR_REGISTRY, "a part of the file came that was not asked for");
    span_cut_char(span_str(r->get.range), '-', &from, &to);
    if ((from.len && span_to_u64(from, &asked) && asked != r->range_first) ||
        (from.len && to.len && span_to_u64(to, &asked) && r->range_last > asked))
        return fatal(r, ERR_REGISTRY, "another part of the file came than was asked for");
    return true;
}

static void remember_validator(struct http_request *r)
{
    const struct http_answer *a = &r->answer;
    free(r->validator);
    r->validator = NULL;
    if (a->coded)
        return;
    if (a->etag && http_etag_strong(span_str(a->etag)))
        r->validator = mem_dup_str(a->etag);
    else if (!a->etag && a->last_modified_ms >= 0 && a->date_ms >= 0 &&
             a->date_ms - a->last_modified_ms >= STRONG_DATE_MS)
        r->validator = mem_dup_str(a->last_modified);
}

/* The answer counts as the one that began the body, whatever this one says besides. */
static void continue_body(struct http_request *r)
{
    uint64_t length = r->answer.length;
    http_answer_clear(&r->answer);
    r->answer = r->first;
    r->answer.length = length;
    r->first = (struct http_answer){0};
}

/* All headers of a 2xx are in. */
static bool begin_body(struct http_request *r)
{
    const struct http_answer *a = &r->answer;
    if (r->resuming && is_rest(r)) {
        continue_body(r);
    } else {
        restart_body(r);
        if (a->status == 206 && !begin_range(r))
            return false;
        remember_validator(r);
    }
    r->body_wanted = true;
    bool told = a->length != UINT64_MAX && !a->coded && !r->head_only;
    if (told && (a->length > r->get.max_bytes || r->body_len > r->get.max_bytes - a->length))
        return too_large(r);
    if (told && r->get.on_total) {
        r->client->in_callback++;
        r->get.on_total(r->get.ctx, r->body_len + a->length);
        r->client->in_callback--;
    }
    r->body.max = r->get.on_data                    ? 0
                  : r->get.max_bytes > SIZE_MAX / 4 ? SIZE_MAX / 4
                                                    : r->get.max_bytes;
    if (told && !r->get.on_data)
        buf_room(&r->body, a->length > RESERVE_MAX_BYTES ? RESERVE_MAX_BYTES : a->length);
    return true;
}

static bool headers_complete(struct http_request *r)
{
    int s = r->answer.status;
    if (s < 200)
        return true; /* an interim answer; the real one follows */
    if (s < 300)
        return begin_body(r);
    if (!(r->resuming || r->get.on_data))
        restart_body(r);
    r->body.max = HTTP_ERROR_BODY;
    return true;
}

size_t http_on_header(char *at, size_t size, size_t count, void *ctx)
{
    struct http_request *r = ctx;
    struct span line = span_of(at, size * count), name, value;
    r->last_byte_ms = (int64_t)uv_now(r->client->loop);
    if (r->cancelled)
        return 0;
    if (span_starts(line, SPAN("HTTP/")))
        take_status_line(&r->answer, line);
    else if (span_trim(line).len == 0) {
        if (!r->body_wanted && !headers_complete(r))
            return 0;
    } else if (http_header_split(line, &name, &value))
        take_header(&r->answer, name, value);
    return size * count;
}

static bool hand_on(struct http_request *r, struct span piece)
{
    if (r->body_len + piece.len > r->get.max_bytes)
        return too_large(r);
    r->body_len += piece.len;
    if (!r->get.on_data)
        return buf_append(&r->body, piece) || too_large(r);
    r->client->in_callback++;
    bool ok = r->get.on_data(r->get.ctx, piece, &r->err);
    r->client->in_callback--;
    if (!ok && !r->err.code)
        fatal(r, ERR_INTERNAL, "its reader gave up");
    return ok;
}

size_t http_on_body(char *at, size_t size, size_t count, void *ctx)
{
    struct http_request *r = ctx;
    struct span piece = span_of(at, size * count);
    r->last_byte_ms = (int64_t)uv_now(r->client->loop);
    if (r->cancelled)
        return 0;
    if (r->paused) {
        r->refused_piece = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (r->body_wanted)
        return hand_on(r, piece) ? piece.len : 0;
    if (!r->resuming && !r->get.on_data) /* what an error says, as much as is of use */
        buf_append(&r->body, span_slice(piece, 0, r->body.max - r->body.len));
    return piece.len;
}
