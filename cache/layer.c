/* SPDX-License-Identifier: Apache-2.0 */
/* layer.c - a layer's bytes, put together when somebody reads them. */
#include <stdatomic.h>
#include <uv.h>

#include "cache/frames_priv.h"
#include "cache/layer_priv.h"
#include "cache/tar_priv.h"
#include "cache/unframe.h"

#define READ_PIECE_BYTES (1u << 20)
#define HASH_PIECE_BYTES (256u << 10)
#define MAX_MEASURERS    8u

struct layer_reader {
    struct store *store;
    const struct layer *layer;
    size_t segment; /* the next one to be opened */
    bool headed;    /* the head, if there is one, was opened */
    struct io_map map;
    struct span rest; /* of the map */
    bool ended;
};

struct layer_reader *layer_reader_new(struct store *s, const struct layer *l, struct err *err)
{
    struct layer_reader *r = MEM_NEW(struct layer_reader);
    r->store = s;
    r->layer = l;
    if (l->segment_count)
        return r;
    /* It came whole from a registry. */
    r->ended = true;
    if (store_map_blob(s, &l->blob, &r->map, err) &&
        (r->map.bytes.len == l->size ||
         err_set(err, ERR_CORRUPT, "a layer has %zu bytes instead of %llu", r->map.bytes.len,
                 (unsigned long long)l->size))) {
        r->rest = r->map.bytes;
        return r;
    }
    layer_reader_free(r);
    return NULL;
}

static bool open_head(struct layer_reader *r, struct err *err)
{
    const struct layer *l = r->layer;
    r->headed = true;
    if (l->segment_count < 2)
        return true;
    if (!store_map_blob(r->store, &l->head, &r->map, err))
        return false;
    r->rest = r->map.bytes;
    return r->rest.len == l->head_size ||
           err_set(err, ERR_CORRUPT, "a layer's head has %zu bytes instead of %llu", r->rest.len,
                   (unsigned long long)l->head_size);
}

static bool open_segment(struct layer_reader *r, struct err *err)
{
    const struct segment *seg = &r->layer->segments[r->segment++];
    char text[DIGEST_TEXT_SIZE];
    io_unmap(&r->map);
    if (!store_map_blob(r->store, &seg->blob, &r->map, err))
        return false;
    if (r->map.bytes.len != seg->size)
        return err_set(err, ERR_CORRUPT, "segment %s has %zu bytes instead of %llu",
                       digest_text(&seg->blob, text), r->map.bytes.len,
                       (unsigned long long)seg->size);
    r->rest = span_skip(r->map.bytes, r->layer->segment_count > 1 ? seg->head_size : 0);
    return true;
}

bool layer_reader_next(struct layer_reader *r, struct span *piece, struct err *err)
{
    *piece = SPAN("");
    if (!r->headed && !open_head(r, err))
        return false;
    while (r->rest.len == 0 && r->segment < r->layer->segment_count)
        if (!open_segment(r, err))
            return false;
    if (r->rest.len == 0) {
        if (!r->ended)
            *piece = end_frame(r->layer->segments[0].compression);
        r->ended = true;
        return true;
    }
    *piece = span_slice(r->rest, 0, READ_PIECE_BYTES);
    r->rest = span_skip(r->rest, piece->len);
    return true;
}

void layer_reader_free(struct layer_reader *r)
{
    if (!r)
        return;
    io_unmap(&r->map);
    free(r);
}

/* ---- digests ----------------------------------------------------------------------------- */

struct measure {
    struct hasher blob, tar;
    uint64_t size, tar_size;
    struct unframe *frames;
    char *room;
    bool check; /* each segment's own digests too */
};

/* own: further hashers for packed and unpacked bytes, or NULL; in_layer: these bytes are part
 * of the layer. */
static bool measure_bytes(struct measure *m, struct span packed, struct hasher own[2],
                          bool in_layer, struct err *err)
{
    if (in_layer) {
        hasher_update(&m->blob, packed);
        m->size += packed.len;
    }
    if (own)
        hasher_update(&own[0], packed);
    unframe_feed(m->frames, packed);
    for (size_t n = 1; n;) {
        if (!unframe_read(m->frames, m->room, HASH_PIECE_BYTES, &n, err))
            return false;
        if (in_layer)
            hasher_update(&m->tar, span_of(m->room, n));
        if (own)
            hasher_update(&own[1], span_of(m->room, n));
        m->tar_size += in_layer ? n : 0;
    }
    return true;
}

static bool measure_span(struct measure *m, struct span packed, struct hasher own[2], bool in_layer,
                         struct err *err)
{
    while (packed.len) {
        struct span piece = span_slice(packed, 0, READ_PIECE_BYTES);
        packed = span_skip(packed, piece.len);
        if (!measure_bytes(m, piece, own, in_layer, err))
            return false;
    }
    return true;
}

static bool check_segment(const struct segment *seg, struct hasher own[2], struct err *err)
{
    char text[DIGEST_TEXT_SIZE];
    struct digest blob = hasher_digest(&own[0]), tar = hasher_digest(&own[1]);
    if (!digest_eq(&blob, &seg->blob))
        return err_set(err, ERR_CORRUPT, "segment %s: its bytes are others",
                       digest_text(&seg->blob, text));
    if (!digest_eq(&tar, &seg->tar))
        return err_set(err, ERR_CORRUPT, "segment %s: unpacks to something else",
                       digest_text(&seg->blob, text));
    return true;
}

static bool measure_segment(struct measure *m, struct store *s, const struct segment *seg,
                            bool with_head, struct err *err)
{
    AUTO_MAPPED struct io_map map = {0};
    struct hasher own[2] = {{0}, {0}};
    char text[DIGEST_TEXT_SIZE];
    if (!store_map_blob(s, &seg->blob, &map, err))
        return false;
    if (map.bytes.len != seg->size)
        return err_set(err, ERR_CORRUPT, "segment %s has %zu bytes instead of %llu",
                       digest_text(&seg->blob, text), map.bytes.len, (unsigned long long)seg->size);
    for (int i = 0; m->check && i < 2; i++)
        hasher_init(&own[i], HASH_SHA256);
    struct span head = span_slice(map.bytes, 0, seg->head_size);
    bool ok =
        (!(m->check || with_head) ||
         measure_span(m, head, m->check ? own : NULL, with_head, err)) &&
        measure_span(m, span_skip(map.bytes, seg->head_size), m->check ? own : NULL, true, err) &&
        unframe_end(m->frames, err) && (!m->check || check_segment(seg, own, err));
    hasher_release(&own[0]);
    hasher_release(&own[1]);
    return ok;
}

static bool measure_blob(struct measure *m, struct store *s, const struct digest *d,
                         struct err *err)
{
    AUTO_MAPPED struct io_map map = {0};
    return store_map_blob(s, d, &map, err) && measure_span(m, map.bytes, NULL, true, err) &&
           unframe_end(m->frames, err);
}

static bool measure_layer(struct measure *m, struct store *s, const struct layer *l,
                          struct err *err)
{
    if (l->segment_count == 0)
        return measure_blob(m, s, &l->blob, err);
    if (l->segment_count > 1 && !measure_blob(m, s, &l->head, err))
        return false;
    for (size_t i = 0; i < l->segment_count; i++)
        if (!measure_segment(m, s, &l->segments[i], l->segment_count == 1, err))
            return false;
    return measure_bytes(m, end_frame(l->compression), NULL, true, err);
}

bool layer_hash(struct store *s, const struct layer *l, bool check, struct layer *found,
                struct err *err)
{
    struct measure m = {.room = mem_alloc(HASH_PIECE_BYTES), .check = check};
    m.frames = unframe_new(l->compression);
    hasher_init(&m.blob, HASH_SHA256);
    hasher_init(&m.tar, HASH_SHA256);
    bool ok = measure_layer(&m, s, l, err);
    *found = *l;
    found->blob = hasher_digest(&m.blob);
    found->tar = hasher_digest(&m.tar);
    found->size = m.size;
    found->tar_size = m.tar_size;
    unframe_free(m.frames);
    free(m.room);
    return ok;
}

static struct digest memo_key(const struct layer *l)
{
    struct hasher h;
    hasher_init(&h, HASH_SHA256);
    hasher_update(&h, SPAN("layer-2"));
    for (size_t i = 0; i < l->segment_count; i++)
        hasher_update(&h, span_of(l->segments[i].blob.bytes, DIGEST_BYTES));
    return hasher_digest(&h);
}

static bool recall(struct store *s, struct layer *l)
{
    AUTO_BUF struct buf text = BUF(4096);
    struct digest key = memo_key(l);
    struct err ignored;
    if (!store_memo_get(s, "layer", &key, &text, NULL))
        return false;
    AUTO_JSON json_t *memo = json_parse(buf_span(&text), &ignored);
    int64_t size = json_get_int(memo, "size", -1), tar_size = json_get_int(memo, "tar_size", -1);
    l->size = (uint64_t)size;
    l->tar_size = (uint64_t)tar_size;
    return memo && size > 0 && tar_size > 0 && json_get_digest(memo, "head", &l->head) &&
           store_has_blob(s, &l->head, &l->head_size) && json_get_digest(memo, "blob", &l->blob) &&
           json_get_digest(memo, "tar", &l->tar);
}

static void remember(struct store *s, const struct layer *l)
{
    AUTO_JSON json_t *memo = json_object();
    AUTO_BUF struct buf text = BUF(4096);
    struct digest key = memo_key(l);
    json_put_digest(memo, "blob", &l->blob);
    json_put_digest(memo, "tar", &l->tar);
    json_put_digest(memo, "head", &l->head);
    json_put_int(memo, "size", (int64_t)l->size);
    json_put_int(memo, "tar_size", (int64_t)l->tar_size);
    if (json_canonical(memo, &text, NULL))
        store_memo_put(s, "layer", &key, buf_span(&text));
}

static bool measure_one(struct store *s, struct layer *l, struct err *err)
{
    if (l->segment_count == 1) {
        const struct segment *seg = &l->segments[0];
        l->blob = seg->layer_blob;
        l->tar = seg->layer_tar;
        l->size = seg->layer_size;
        l->tar_size = seg->tar_size + TAR_END_BYTES;
        return true;
    }
    if (recall(s, l))
        return true;
    struct layer found;
    if (!layer_make_head(s, l, err) || !layer_hash(s, l, false, &found, err))
        return false;
    *l = found;
    remember(s, l);
    return true;
}

/* Layers are taken one after the other by threads of their own: the caller may be any. */
struct measurers {
    struct store *store;
    struct layer *layers;
    size_t count;
    atomic_size_t next;
    uv_mutex_t mutex;
    struct err err;
};

static void measurer_main(void *arg)
{
    struct measurers *m = arg;
    for (size_t i; (i = atomic_fetch_add(&m->next, 1)) < m->count;) {
        struct err err = {0};
        if (measure_one(m->store, &m->layers[i], &err))
            continue;
        uv_mutex_lock(&m->mutex);
        if (!m->err.code)
            m->err = err;
        uv_mutex_unlock(&m->mutex);
    }
}

bool layers_measure(struct store *s, struct layer *layers, size_t count, struct err *err)
{
    struct measurers m = {.store = s, .layers = layers, .count = count};
    size_t work = 0;
    for (size_t i = 0; i < count; i++)
        work += layers[i].segment_count > 1;
    unsigned threads = uv_available_parallelism();
    uv_thread_t ids[MAX_MEASURERS];
    unsigned started = 0;
    if (uv_mutex_init(&m.mutex))
        abort();
    threads = threads > MAX_MEASURERS ? MAX_MEASURERS : threads;
    for (; started + 1 < threads && started + 1 < work; started++)
        if (uv_thread_create(&ids[started], measurer_main, &m))
            break;
    measurer_main(&m);
    for (unsigned i = 0; i < started; i++)
        uv_thread_join(&ids[i]);
    uv_mutex_destroy(&m.mutex);
    if (m.err.code && err)
        *err = m.err;
    return !m.err.code;
}
