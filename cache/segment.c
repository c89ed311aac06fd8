/* SPDX-License-Identifier: Apache-2.0 */
/* segment.c - builds a segment on the pool.
 *
 *   piece 0   [make raw, hash tar][compress       ][write]
 *   piece 1                       [make raw, hash ][compress     ][write]
 *   piece 2                                        [make raw ...
 *
 * A piece is one task. Making its raw bytes and hashing them must follow the piece before, so
 * the next task is submitted just then, and other threads take it while this one compresses.
 * Whoever finds the next piece in order compressed writes it. Where the cuts are is decided by
 * the entries alone. */
#include "cache/segment.h"

#include <assert.h>
#include <libdeflate.h>

#include "cache/content_priv.h"
#include "cache/entries_priv.h"
#include "cache/segment_index.h"
#include "cache/store_priv.h"
#include "cache/tar_priv.h"

/* Smaller deflated files are compressed anew together with their neighbours' headers, which
 * takes less than a member of their own. */
#define SPLICE_MIN_BYTES 1024u

struct piece {
    struct builder *builder;
    struct pool_task task;
    uint64_t at;       /* which one */
    size_t first_item; /* where it begins */
    size_t raw_len;
    char *packed;
    VEC(struct stretch) stretches; /* gzip only */
    VEC(struct span) chunks;       /* the compressed bytes, in order */
    struct piece *next;            /* in builder->ready */
};

struct builder {
    struct segment_job *job;
    struct packer *packer;
    struct entry_list list;
    struct blob_writer *writer;
    struct hasher tar;
    struct segment_index index;
    /* Where making raw bytes stands; only the task of the latest piece touches it. */
    size_t item;          /* the next entry, or the one under way */
    bool inside;          /* its header is done, its content or padding is not */
    uint64_t inside_left; /* of content and padding */
    struct content content;
    uint64_t tar_size;

    uv_mutex_t mutex; /* around what follows */
    size_t open;      /* tasks whose done() has not run */
    uint64_t made, written;
    bool made_all, writing, failed;
    struct piece *ready;        /* compressed, not written; in any order */
    VEC(struct piece *) pieces; /* all, freed with the builder */
    struct err err;
};

static void piece_work(struct pool_task *t);
static void piece_done(struct pool_task *t);

static void submit_piece(struct builder *b, uint64_t at)
{
    struct piece *p = MEM_NEW(struct piece);
    p->builder = b;
    p->at = at;
    p->task.work = piece_work;
    p->task.done = piece_done;
    uv_mutex_lock(&b->mutex);
    b->open++;
    *VEC_PUSH(&b->pieces) = p;
    uv_mutex_unlock(&b->mutex);
    /* Big packages first: they take longest, and nothing waits for the order of jobs. */
    uint64_t weight = b->list.content_bytes;
    pool_submit(packer_pool(b->packer), &p->task, weight > INT64_MAX ? INT64_MAX : (int64_t)weight);
}

/* Under the mutex. What others wait for must not stay in the ready list. */
static void drop_ready(struct builder *b)
{
    for (; b->ready; b->ready = b->ready->next)
        packer_give_packed(b->packer, TAKE(b->ready->packed));
}

static void fail(struct builder *b, const struct err *err)
{
    uv_mutex_lock(&b->mutex);
    if (!b->failed)
        b->err = *err;
    b->failed = true;
    drop_ready(b);
    uv_mutex_unlock(&b->mutex);
}

static bool has_failed(struct builder *b)
{
    uv_mutex_lock(&b->mutex);
    bool failed = b->failed;
    uv_mutex_unlock(&b->mutex);
    return failed;
}

/* ---- raw bytes --------------------------------------------------------------------------- */

/* Tar bytes that were just put at raw + from become part of the last plain stretch. */
static void add_plain(struct piece *p, char *raw, size_t from, size_t len)
{
    struct stretch *last = p->stretches.n ? &p->stretches.v[p->stretches.n - 1] : NULL;
    if (p->builder->job->compression != COMPRESS_GZIP || len == 0)
        return;
    if (!last || !last->plain.ptr) {
        last = VEC_PUSH(&p->stretches);
        last->plain = span_of(raw + from, 0);
    }
    last->plain.len += len;
}

static bool is_spliced(const struct builder *b, const struct segment_entry *e)
{
    return b->job->compression == COMPRESS_GZIP && e->deflated.ptr && e->size >= SPLICE_MIN_BYTES;
}

static void add_splice(struct piece *p, const struct segment_entry *e)
{
    struct stretch *s = VEC_PUSH(&p->stretches);
    s->deflated = e->deflated;
    s->crc32 = e->crc32;
    s->size = e->size;
}

static uint64_t content_size(const struct entry_item *item)
{
    return item->e.type == ENTRY_FILE ? item->e.size : 0;
}

static void remember_entry(struct builder *b, struct entry_item *item, uint32_t crc32)
{
    struct index_entry *x = VEC_PUSH(&b->index.entries);
    x->path = item->hidden.ptr ? item->hidden : item->e.path;
    x->type = item->e.type;
    x->implied = item->implied;
    x->mode = item->e.mode;
    x->uid = item->e.uid;
    x->gid = item->e.gid;
    x->mtime = item->e.mtime;
    x->target = item->e.target;
    x->size = content_size(item);
    x->crc32 = crc32;
    x->header_bytes = item->header_bytes;
}

/* An entry whose record goes into one piece, at once. */
static bool add_small(struct piece *p, struct kit *k, struct entry_item *item, struct err *err)
{
    struct builder *b = p->builder;
    uint64_t size = content_size(item), padding = tar_padded(size) - size;
    uint32_t crc = 0;
    char *at = k->raw + p->raw_len;
    if (size && !content_whole(k, &item->e, at, &crc, err))
        return false;
    memset(at + size, 0, padding);
    if (size && is_spliced(b, &item->e)) {
        add_splice(p, &item->e);
        add_plain(p, k->raw, p->raw_len + size, padding);
    } else {
        add_plain(p, k->raw, p->raw_len, size + padding);
    }
    p->raw_len += size + padding;
    remember_entry(b, item, crc);
    return true;
}

/* As much of a big entry's content and padding as the piece has room for. */
static bool add_part(struct piece *p, struct kit *k, struct err *err)
{
    struct builder *b = p->builder;
    struct entry_item *item = &b->list.v[b->item];
    uint64_t padding = tar_padded(item->e.size) - item->e.size;
    size_t room = PIECE_BYTES - p->raw_len;
    bool spliced = is_spliced(b, &item->e);
    uint64_t content_left = b->inside_left > padding ? b->inside_left - padding : 0;
    size_t n = content_left < room ? (size_t)content_left : room;
    if (spliced && content_left == item->e.size)
        add_splice(p, &item->e);
    if (n && !content_fill(&b->content, k, k->raw + p->raw_len, n, err))
        return false;
    if (!spliced)
        add_plain(p, k->raw, p->raw_len, n);
    p->raw_len += n;
    b->inside_left -= n;
    if (b->inside_left > padding || PIECE_BYTES - p->raw_len < b->inside_left)
        return true;
    memset(k->raw + p->raw_len, 0, b->inside_left);
    add_plain(p, k->raw, p->raw_len, b->inside_left);
    p->raw_len += b->inside_left;
    b->inside = false;
    b->item++;
    remember_entry(b, item, b->content.crc32);
    content_end(&b->content);
    return true;
}

/* *full: the entry belongs into the next piece. */
static bool add_entry(struct piece *p, struct kit *k, struct buf *header, bool *full,
                      struct err *err)
{
    struct builder *b = p->builder;
    struct entry_item *item = &b->list.v[b->item];
    uint64_t content = tar_padded(content_size(item));
    buf_reset(header);
    tar_header(header, &item->e);
    assert(!header->overflow && header->len < PIECE_BYTES);
    item->header_bytes = (uint32_t)header->len;
    /* Folders have pieces of their own: a layer of several segments has others in their place. */
    *full = p->raw_len > 0 && (p->raw_len + header->len + content > PIECE_BYTES ||
                               (p->first_item < b->list.folders && b->item >= b->list.folders));
    if (*full)
        return true;
    memcpy(k->raw + p->raw_len, header->ptr, header->len);
    add_plain(p, k->raw, p->raw_len, header->len);
    p->raw_len += header->len;
    if (p->raw_len + content <= PIECE_BYTES) {
        b->item++;
        return add_small(p, k, item, err);
    }
    b->inside = true;
    b->inside_left = content;
    content_begin(&b->content, b->packer, &item->e);
    return add_part(p, k, err);
}

static bool make_raw(struct piece *p, struct kit *k, struct err *err)
{
    struct builder *b = p->builder;
    AUTO_BUF struct buf header = BUF(64u << 10);
    bool full = false;
    p->first_item = b->item;
    while (!full && p->raw_len < PIECE_BYTES && b->item < b->list.n)
        if (b->inside ? !add_part(p, k, err) : !add_entry(p, k, &header, &full, err))
            return false;
    hasher_update(&b->tar, span_of(k->raw, p->raw_len));
    b->tar_size += p->raw_len;
    return true;
}

/* ---- compressing and writing ------------------------------------------------------------- */

static void compress_gzip(struct piece *p, struct kit *k)
{
    size_t used = 0;
    for (size_t i = 0; i < p->stretches.n; i++) {
        const struct stretch *s = &p->stretches.v[i];
        char *at = k->packed + used;
        if (s->plain.ptr) {
            size_t n = member_gzip(k, s->plain, at, PACKED_BYTES - used);
            *VEC_PUSH(&p->chunks) = span_of(at, n);
            used += n;
            continue;
        }
        assert(PACKED_BYTES - used >= GZIP_HEADER_BYTES + GZIP_TRAILER_BYTES);
        gzip_header(at);
        gzip_trailer(at + GZIP_HEADER_BYTES, s->crc32, s->size);
        *VEC_PUSH(&p->chunks) = span_of(at, GZIP_HEADER_BYTES);
        *VEC_PUSH(&p->chunks) = s->deflated;
        *VEC_PUSH(&p->chunks) = span_of(at + GZIP_HEADER_BYTES, GZIP_TRAILER_BYTES);
        used += GZIP_HEADER_BYTES + GZIP_TRAILER_BYTES;
    }
}

static void compress_piece(struct piece *p, struct kit *k)
{
    if (p->builder->job->compression == COMPRESS_GZIP)
        compress_gzip(p, k);
    else
        *VEC_PUSH(&p->chunks) = span_of(k->packed, frame_zstd(k, p->raw_len));
    p->packed = TAKE(k->packed);
}

static bool write_piece(struct builder *b, struct piece *p, struct err *err)
{
    if (p->raw_len == 0) /* a segment without entries */
        return true;
    struct index_piece *x = VEC_PUSH(&b->index.pieces);
    x->tar_bytes = p->raw_len;
    if (!blob_writer_addv(b->writer, p->chunks.v, p->chunks.n, err))
        return false;
    for (size_t i = 0; i < p->chunks.n; i++)
        x->packed_bytes += p->chunks.v[i].len;
    if (p->first_item < b->list.folders) {
        b->job->segment.head_size += x->packed_bytes;
        b->job->segment.head_tar_size += x->tar_bytes;
    }
    return true;
}

static bool finish(struct builder *b, struct err *err)
{
    struct segment *s = &b->job->segment;
    AUTO_BUF struct buf index = BUF(SEGMENT_INDEX_MAX_BYTES);
    static const char zeros[TAR_END_BYTES];
    struct span end = end_frame(b->job->compression);
    struct hasher with_end;
    b->index.compression = s->compression = b->job->compression;
    s->entry_count = b->index.entries.n;
    s->tar_size = b->tar_size;
    hasher_copy(&with_end, &b->tar);
    hasher_update(&with_end, span_of(zeros, sizeof(zeros)));
    s->layer_tar = hasher_digest(&with_end);
    s->tar = hasher_digest(&b->tar);
    s->size = blob_writer_size(b->writer);
    s->layer_size = s->size + end.len;
    s->layer_blob = blob_writer_digest_with(b->writer, end);
    segment_index_encode(&b->index, &index);
    if (index.overflow)
        return err_set(err, ERR_TOO_LARGE, "the list of files is larger than %u bytes",
                       SEGMENT_INDEX_MAX_BYTES);
    return store_put_blob(b->job->store, buf_span(&index), &s->index, err) &&
           blob_writer_commit(TAKE(b->writer), NULL, &s->blob, err);
}

static struct piece *take_ready(struct builder *b)
{
    for (struct piece **at = &b->ready; *at; at = &(*at)->next)
        if ((*at)->at == b->written) {
            struct piece *p = *at;
            *at = p->next;
            return p;
        }
    return NULL;
}

/* Writes what is next in order, as long as there is something and nobody else does. */
static void write_ready(struct builder *b, struct piece *p, struct err *err)
{
    uv_mutex_lock(&b->mutex);
    if (b->failed) {
        packer_give_packed(b->packer, TAKE(p->packed));
        uv_mutex_unlock(&b->mutex);
        return;
    }
    p->next = b->ready;
    b->ready = p;
    bool ok = true;
    while (ok && !b->writing && !b->failed && (p = take_ready(b))) {
        b->writing = true;
        uv_mutex_unlock(&b->mutex);
        ok = write_piece(b, p, err);
        packer_give_packed(b->packer, TAKE(p->packed));
        uv_mutex_lock(&b->mutex);
        b->writing = false;
        b->written++;
        if (ok && b->made_all && b->written == b->made) {
            uv_mutex_unlock(&b->mutex);
            finish(b, err); /* the caller looks at err */
            uv_mutex_lock(&b->mutex);
            break;
        }
    }
    uv_mutex_unlock(&b->mutex);
}

/* ---- the task ---------------------------------------------------------------------------- */

static bool begin(struct builder *b, struct err *err)
{
    struct segment_job *job = b->job;
    hasher_init(&b->tar, HASH_SHA256);
    if (!entry_list_make(&b->list, job->plan, job->source_date_epoch, err))
        return false;
    b->writer = blob_writer_new(job->store, err);
    return b->writer != NULL;
}

/* The raw bytes; then the next task is on its way, or there is none. */
static bool make(struct piece *p, struct kit *k, struct err *err)
{
    struct builder *b = p->builder;
    if ((p->at == 0 && !begin(b, err)) || !make_raw(p, k, err))
        return false;
    uv_mutex_lock(&b->mutex);
    b->made++;
    b->made_all = b->item == b->list.n;
    bool more = !b->made_all && !b->failed;
    uv_mutex_unlock(&b->mutex);
    if (more)
        submit_piece(b, p->at + 1);
    return true;
}

static void piece_work(struct pool_task *t)
{
    struct piece *p = container_of(t, struct piece, task);
    struct builder *b = p->builder;
    struct err err = {0};
    if (has_failed(b))
        return;
    struct kit *k = packer_take(b->packer);
    if (make(p, k, &err) && p->raw_len)
        compress_piece(p, k);
    packer_give(b->packer, k);
    if (!err.code)
        write_ready(b, p, &err);
    if (err.code)
        fail(b, &err);
}

static void builder_free(struct builder *b)
{
    for (size_t i = 0; i < b->pieces.n; i++) {
        VEC_FREE(&b->pieces.v[i]->stretches);
        VEC_FREE(&b->pieces.v[i]->chunks);
        free(b->pieces.v[i]);
    }
    VEC_FREE(&b->pieces);
    entry_list_release(&b->list);
    blob_writer_free(b->writer);
    hasher_release(&b->tar);
    content_end(&b->content);
    segment_index_release(&b->index);
    uv_mutex_destroy(&b->mutex);
    free(b);
}

static void piece_done(struct pool_task *t)
{
    struct piece *p = container_of(t, struct piece, task);
    struct builder *b = p->builder;
    uv_mutex_lock(&b->mutex);
    bool over = --b->open == 0;
    uv_mutex_unlock(&b->mutex);
    if (!over)
        return;
    struct segment_job *job = b->job;
    job->err = b->err;
    job->state = NULL;
    builder_free(b);
    segment_plan_release(job->plan);
    job->done(job);
}

void segment_build(struct segment_job *job)
{
    struct builder *b = MEM_NEW(struct builder);
    b->job = job;
    b->packer = job->packer;
    if (uv_mutex_init(&b->mutex))
        abort();
    job->state = b;
    job->segment = (struct segment){0};
    job->err = (struct err){0};
    for (size_t i = 0; i < job->plan->entries.n; i++)
        b->list.content_bytes += job->plan->entries.v[i].size; /* only its priority */
    submit_piece(b, 0);
}

void segment_build_cancel(struct segment_job *job)
{
    struct err err = {0};
    if (!job->state)
        return;
    err_set(&err, ERR_CANCELLED, "packing was cancelled");
    fail(job->state, &err);
}

json_t *segment_json(const struct segment *s)
{
    json_t *o = json_object();
    json_put_digest(o, "blob", &s->blob);
    json_put_int(o, "size", (int64_t)s->size);
    json_put_digest(o, "tar", &s->tar);
    json_put_int(o, "tar_size", (int64_t)s->tar_size);
    json_put_int(o, "head_size", (int64_t)s->head_size);
    json_put_int(o, "head_tar_size", (int64_t)s->head_tar_size);
    json_put_digest(o, "index", &s->index);
    json_put_digest(o, "layer_blob", &s->layer_blob);
    json_put_digest(o, "layer_tar", &s->layer_tar);
    json_put_int(o, "layer_size", (int64_t)s->layer_size);
    json_put_int(o, "entries", (int64_t)s->entry_count);
    json_put_str(o, "compression", s->compression == COMPRESS_GZIP ? "gzip" : "zstd");
    return o;
}

static bool get_size(const json_t *json, const char *key, uint64_t *out)
{
    int64_t n = json_get_int(json, key, -1);
    *out = (uint64_t)n;
    return n >= 0;
}

bool segment_from_json(const json_t *json, struct segment *out)
{
    struct span compression = json_get_span(json, "compression");
    *out = (struct segment){0};
    if (!compression.ptr)
        return false;
    out->compression = span_eq(compression, SPAN("gzip")) ? COMPRESS_GZIP : COMPRESS_ZSTD;
    return (out->compression == COMPRESS_GZIP || span_eq(compression, SPAN("zstd"))) &&
           json_get_digest(json, "blob", &out->blob) && get_size(json, "size", &out->size) &&
           json_get_digest(json, "tar", &out->tar) && get_size(json, "tar_size", &out->tar_size) &&
           get_size(json, "head_size", &out->head_size) && out->head_size <= out->size &&
           get_size(json, "head_tar_size", &out->head_tar_size) &&
           out->head_tar_size <= out->tar_size && json_get_digest(json, "index", &out->index) &&
           json_get_digest(json, "layer_blob", &out->layer_blob) &&
           json_get_digest(json, "layer_tar", &out->layer_tar) &&
           get_size(json, "layer_size", &out->layer_size) &&
           get_size(json, "entries", &out->entry_count);
}
