/* SPDX-License-Identifier: Apache-2.0 */
/* api_artifact.c - artifacts: manifest, documents, blobs with ranges (RFC 9110, 14). */
#include "worker/api/api_priv.h"

#define PIECE_BYTES (256u << 10)

struct blob_feed {
    struct call_stream stream;
    struct api *api;
    struct builder_blob *blob;
    uint64_t size, first, last; /* of the blob; the range, inclusive */
    bool ranged, unsatisfiable;
    char etag[DIGEST_TEXT_SIZE + 2];
    const char *media_type;
    /* Reading ahead on libuv's threads: */
    uv_work_t work;
    char *piece;
    uint64_t piece_at; /* offset of the piece in the blob */
    int64_t piece_len; /* -1: reading failed */
    bool working, closed;
};

static bool parse_artifact(struct req *r, struct digest *digest)
{
    if (digest_parse(span_str(r->arg[0]), digest))
        return true;
    return problem_set(req_problem(r), ERR_NOT_FOUND, "artifact_not_found",
                       "artifact \"%.80s\" does not exist in this workspace; a digest is sha256: "
                       "and 64 hexadecimal digits",
                       r->arg[0]);
}

static bool load(struct req *r, struct state *s, struct digest *digest, json_t **manifest)
{
    char text[DIGEST_TEXT_SIZE];
    return parse_artifact(r, digest) &&
           artifact_get(s, r->workspace, digest_text(digest, text), manifest, req_problem(r));
}

void artifact_get_work(struct req *r, struct state *s)
{
    struct digest digest;
    load(r, s, &digest, &r->reply);
}

void artifact_document_work(struct req *r, struct state *s)
{
    struct problem *p = req_problem(r);
    struct digest digest;
    AUTO_JSON json_t *manifest = NULL;
    AUTO_BUF struct buf text = BUF(64u << 20);
    const char *kind = strrchr(r->route->path, '/') + 1;
    if (!load(r, s, &digest, &manifest))
        return;
    if (r->api->builder->ops->document(r->api->builder, &digest, kind, &text, &p->err)) {
        r->text = buf_take(&text);
        r->text_type = "application/json";
    } else if (p->err.code == ERR_NOT_FOUND) {
        p->code = "artifact_collected";
    }
}

/* ---- blobs ---- */

static void blob_free(struct blob_feed *f)
{
    if (f->blob)
        f->api->builder->ops->close_blob(f->blob);
    free(f->piece);
    free(f);
}

static void blob_free_data(void *data)
{
    blob_free(data);
}

static void parse_range(struct blob_feed *f, const char *header)
{
    struct span s = span_str(header), a, b;
    uint64_t first = 0, last = 0;
    f->first = 0;
    f->last = f->size ? f->size - 1 : 0;
    if (!header || !span_starts(s, SPAN("bytes=")) || span_has(s, ','))
        return; /* other units and several ranges: the whole, as the RFC allows */
    if (!span_cut_char(span_skip(s, 6), '-', &a, &b))
        return;
    a = span_trim(a);
    b = span_trim(b);
    if (a.len ? !span_to_u64(a, &first) : !span_to_u64(b, &last))
        return;
    if (!a.len) { /* the last so many bytes */
        first = last > f->size ? 0 : f->size - last;
        f->unsatisfiable = last == 0;
        last = f->size - 1;
    } else if (b.len) {
        if (!span_to_u64(b, &last) || last < first)
            return;
    } else {
        last = f->size - 1;
    }
    f->ranged = true;
    if (first >= f->size)
        f->unsatisfiable = true;
    f->first = first;
    f->last = last >= f->size ? f->size - 1 : last;
}

void artifact_blob_work(struct req *r, struct state *s)
{
    struct problem *p = req_problem(r);
    struct builder *b = r->api->builder;
    struct digest artifact, digest;
    AUTO_JSON json_t *manifest = NULL;
    if (!load(r, s, &artifact, &manifest))
        return;
    if (!digest_parse(span_str(r->arg[1]), &digest)) {
        problem_set(p, ERR_NOT_FOUND, "blob_not_found", "no blob \"%.80s\" in this artifact",
                    r->arg[1]);
        return;
    }
    struct blob_feed *f = MEM_NEW(struct blob_feed);
    f->api = r->api;
    r->data = f;
    r->free_data = blob_free_data;
    f->blob = b->ops->open_blob(b, &artifact, &digest, &f->size, &f->media_type, &p->err);
    if (!f->blob) {
        p->code = p->err.code == ERR_NOT_FOUND ? "blob_not_found" : NULL;
        return;
    }
    char text[DIGEST_TEXT_SIZE];
    snprintf(f->etag, sizeof(f->etag), "\"%s\"", digest_text(&digest, text));
    const char *condition = call_header(r->call, "if-range");
    bool ranges = !condition || strcmp(condition, f->etag) == 0;
    parse_range(f, ranges ? call_header(r->call, "range") : NULL);
}

static void read_work(uv_work_t *w)
{
    struct blob_feed *f = container_of(w, struct blob_feed, work);
    struct err ignored;
    uint64_t left = f->last + 1 - f->piece_at;
    f->piece_len = f->api->builder->ops->read_blob(
        f->blob, f->piece_at, f->piece, left < PIECE_BYTES ? (size_t)left : PIECE_BYTES, &ignored);
}

static void read_done(uv_work_t *w, int status)
{
    struct blob_feed *f = container_of(w, struct blob_feed, work);
    f->working = false;
    if (status < 0 || f->piece_len == 0)
        f->piece_len = -1;
    if (f->closed)
        blob_free(f);
    else
        server_stream_wake(&f->stream);
}

static int64_t blob_read(struct call_stream *st, uint64_t pos, char *out, size_t size)
{
    struct blob_feed *f = container_of(st, struct blob_feed, stream);
    uint64_t at = f->first + pos;
    if (f->piece_len < 0)
        return -2;
    if (f->working)
        return server_closing(f->api->server) ? -2 : 0;
    if (at < f->piece_at || at >= f->piece_at + (uint64_t)f->piece_len) {
        f->piece_at = at;
        f->piece_len = 0;
        f->working = true;
        uv_queue_work(f->api->loop, &f->work, read_work, read_done);
        return 0;
    }
    uint64_t n = f->piece_at + (uint64_t)f->piece_len - at;
    n = n > size ? size : n;
    memcpy(out, f->piece + (at - f->piece_at), n);
    return (int64_t)n;
}

static void blob_close(struct call_stream *st)
{
    struct blob_feed *f = container_of(st, struct blob_feed, stream);
    f->closed = true;
    if (!f->working)
        blob_free(f);
}

static void put_range(struct call *call, const struct blob_feed *f)
{
    char text[100];
    if (f->unsatisfiable)
        snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)f->size);
    else
        snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)f->first,
                 (unsigned long long)f->last, (unsigned long long)f->size);
    call_put_header(call, "content-range", text);
}

void artifact_blob_finish(struct req *r)
{
    struct blob_feed *f = r->data;
    struct call *call = r->call;
    const char *known = call_header(call, "if-none-match");
    call_put_header(call, "etag", f->etag);
    call_put_header(call, "accept-ranges", "bytes");
    call_put_header(call, "cache-control", "private, max-age=31536000, immutable");
    if (known && strcmp(known, f->etag) == 0) {
        call_text(call, 304, f->media_type, SPAN(""));
        return;
    }
    if (f->ranged)
        put_range(call, f);
    if (f->unsatisfiable || f->size == 0) {
        call_text(call, f->unsatisfiable ? 416 : 200, f->media_type, SPAN(""));
        return;
    }
    r->data = NULL;
    f->piece = mem_alloc(PIECE_BYTES);
    f->stream = (struct call_stream){
        .read = blob_read, .close = blob_close, .size = (int64_t)(f->last + 1 - f->first)};
    call_stream(call, f->ranged ? 206 : 200, f->media_type, &f->stream);
}
