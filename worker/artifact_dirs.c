/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/artifact_dirs.h"

#include "worker/mount/layer_dir.h"

struct opening {
    struct artifact_dirs *owner;
    struct arena *arena;
    struct artifact *loaded;
    struct layer_dirs *dirs;
    int *held;
    size_t held_count;
    uv_timer_t timer; /* what needs no unpacking ends later, too */
};

struct layer_bytes {
    struct layer_reader *reader;
    struct span left;
};

static ssize_t read_layer(void *ctx, void *to, size_t room, struct err *err)
{
    struct layer_bytes *l = ctx;
    if (l->left.len == 0 && !layer_reader_next(l->reader, &l->left, err))
        return -1;
    size_t n = l->left.len < room ? l->left.len : room;
    if (n)
        memcpy(to, l->left.ptr, n);
    l->left = span_skip(l->left, n);
    return (ssize_t)n;
}

static void close_layer(void *ctx)
{
    struct layer_bytes *l = ctx;
    layer_reader_free(l->reader);
    free(l);
}

static bool take_source(struct opening *o, const struct layer *l, struct layer_source *out,
                        struct err *err)
{
    struct layer_reader *reader = layer_reader_new(o->owner->store, l, err);
    if (!reader)
        return false;
    struct layer_bytes *bytes = MEM_NEW(struct layer_bytes);
    bytes->reader = reader;
    *out = (struct layer_source){
        .digest = l->blob,
        .diff_id = l->tar,
        .read = read_layer,
        .close = close_layer,
        .ctx = bytes,
    };
    return true;
}

static void on_closed(uv_handle_t *h)
{
    struct opening *o = container_of((uv_timer_t *)h, struct opening, timer);
    o->owner->done(o->owner);
}

static void finish(uv_timer_t *timer)
{
    struct opening *o = container_of(timer, struct opening, timer);
    struct artifact_dirs *d = o->owner;
    size_t n = d->artifact ? d->artifact->layer_count : 0;
    d->paths = arena_array(o->arena, n + 1, sizeof(*d->paths));
    o->held = arena_array(o->arena, n + 1, sizeof(*o->held));
    for (size_t i = 0; i < n && !d->err.code; i++) {
        const struct digest *layer = &d->artifact->layers[i].blob;
        AUTO_FREE char *path = layer_dirs_path(o->dirs, layer);
        int fd = layer_dirs_use(o->dirs, layer, &d->err);
        if (fd < 0)
            break;
        o->held[o->held_count++] = fd;
        d->paths[d->count++] = arena_str(o->arena, span_str(path));
    }
    uv_close((uv_handle_t *)timer, on_closed);
}

static void on_unpacked(void *ctx, const struct err *err)
{
    struct opening *o = ctx;
    if (err && err->code)
        o->owner->err = *err;
    finish(&o->timer);
}

/* False: nothing to wait for. */
static bool unpack_missing(struct opening *o)
{
    struct artifact_dirs *d = o->owner;
    if (!d->artifact) {
        if (!artifact_load(d->store, &d->digest, &o->loaded, &d->err))
            return false;
        d->artifact = o->loaded;
    }
    o->dirs = layer_dirs_open(store_path(d->store), &d->err);
    if (!o->dirs)
        return false;
    struct layer_source *sources =
        arena_array(o->arena, d->artifact->layer_count + 1, sizeof(*sources));
    size_t n = 0;
    for (size_t i = 0; i < d->artifact->layer_count; i++) {
        const struct layer *l = &d->artifact->layers[i];
        if (layer_dirs_has(o->dirs, &l->blob))
            continue;
        if (!take_source(o, l, &sources[n], &d->err)) {
            for (; n > 0; n--)
                sources[n - 1].close(sources[n - 1].ctx);
            return false;
        }
        n++;
    }
    if (n)
        layer_dirs_unpack_all(o->dirs, d->pool, sources, n, on_unpacked, o);
    return n > 0;
}

void artifact_dirs_open(struct artifact_dirs *d)
{
    struct opening *o = MEM_NEW(struct opening);
    o->owner = d;
    o->arena = arena_new();
    d->state = o;
    uv_timer_init(d->loop, &o->timer);
    if (!unpack_missing(o))
        uv_timer_start(&o->timer, finish, 0, 0);
}

void artifact_dirs_close(struct artifact_dirs *d)
{
    struct opening *o = d->state;
    if (!o)
        return;
    for (size_t i = 0; i < o->held_count; i++)
        mem_close_fd(&o->held[i]);
    layer_dirs_free(o->dirs);
    if (o->loaded)
        d->artifact = NULL;
    artifact_free(o->loaded);
    arena_free(o->arena);
    free(o);
    d->state = NULL;
    d->paths = NULL;
    d->count = 0;
}
