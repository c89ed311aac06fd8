/* SPDX-License-Identifier: Apache-2.0 */
/* tree_export.c - the tree that all layers make together, as one tar.
 *
 * Layers are walked from the top down: what was seen above wins, and what was removed or
 * replaced there hides what lies below. Records are copied as they stand. */
#include "base/map.h"
#include "cache/artifact_priv.h"
#include "cache/export_priv.h"
#include "cache/tar_priv.h"
#include "cache/tar_walk_priv.h"
#include "cache/unframe.h"

#define COPY_BYTES (256u << 10)

/* A path that a layer above has. */
struct seen {
    uint32_t layer; /* the topmost */
    bool folder;    /* there; else it hides what is below it */
    bool opaque;    /* hides what the layers below have in it */
    bool removed;
};

struct merge {
    struct map paths; /* -> struct seen */
    struct arena *arena;
    uint32_t layer; /* counted from the top, from 1 */
    int fd;
    char *room;
};

struct layer_stream {
    struct layer_reader *reader;
    struct unframe *frames;
    bool ended;
};

static bool stream_read(void *ctx, char *out, size_t len, size_t *got, struct err *err)
{
    struct layer_stream *s = ctx;
    struct span piece;
    for (*got = 0; *got < len;) {
        size_t n;
        if (!unframe_read(s->frames, out + *got, len - *got, &n, err))
            return false;
        *got += n;
        if (n || *got == len)
            continue;
        if (s->ended)
            break;
        if (!layer_reader_next(s->reader, &piece, err))
            return false;
        s->ended = piece.len == 0;
        if (!s->ended)
            unframe_feed(s->frames, piece);
    }
    return true;
}

static struct seen *seen_at(struct merge *m, struct span path)
{
    void **at = map_at(&m->paths, path);
    if (!*at) {
        /* The key must live as long as the map. */
        struct map_entry *e = &m->paths.v[m->paths.n - 1];
        e->key = arena_span(m->arena, path);
        *at = ARENA_NEW(m->arena, struct seen);
    }
    return *at;
}

/* Is it hidden by something that a layer above has on its way? */
static bool is_hidden(const struct merge *m, struct span path)
{
    for (size_t at; (at = span_find_last_char(path, '/')) < path.len;) {
        path = span_slice(path, 0, at);
        const struct seen *s = map_get(&m->paths, path);
        if (s && s->layer < m->layer && (!s->folder || s->opaque))
            return true;
    }
    const struct seen *top = map_get(&m->paths, SPAN(""));
    return top && top->layer < m->layer && top->opaque;
}

static bool copy_record(struct merge *m, struct tar_walk *w, const struct tar_record *r,
                        struct err *err)
{
    if (!io_write_all(m->fd, r->header, err))
        return false;
    for (size_t n = 1; n;)
        if (!tar_walk_content(w, m->room, COPY_BYTES, &n, err) ||
            !io_write_all(m->fd, span_of(m->room, n), err))
            return false;
    return true;
}

/* ".wh.NAME" and ".wh..wh..opq" of the OCI image layer specification. */
static bool take_whiteout(struct merge *m, struct span path)
{
    size_t at = span_find_last_char(path, '/');
    struct span folder = at < path.len ? span_slice(path, 0, at) : SPAN("");
    struct span name = at < path.len ? span_skip(path, at + 1) : path;
    if (!span_starts(name, SPAN(".wh.")))
        return false;
    bool opaque = span_eq(name, SPAN(".wh..wh..opq"));
    AUTO_FREE char *hidden = mem_printf("%.*s%s%.*s", SPAN_ARG(folder), folder.len ? "/" : "",
                                        SPAN_ARG(span_skip(name, 4)));
    struct seen *s = seen_at(m, opaque ? folder : span_str(hidden));
    if (s->layer && s->layer < m->layer)
        return true;
    if (!s->layer)
        s->removed = !opaque;
    s->layer = m->layer;
    if (opaque)
        s->folder = s->opaque = true;
    return true;
}

static bool check_link(struct merge *m, const struct tar_record *r, struct err *err)
{
    char shown[200];
    struct span target = r->target;
    while (span_starts(target, SPAN("./")))
        target = span_skip(target, 2);
    const struct seen *s = map_get(&m->paths, target);
    return (s && s->layer == m->layer) ||
           err_set(err, ERR_UNSUPPORTED,
                   "%s is a hard link to a file that another layer replaces: unpack the layers "
                   "instead",
                   tar_show(r->path, shown));
}

static bool take_record(struct merge *m, struct tar_walk *w, const struct tar_record *r,
                        struct err *err)
{
    char shown[200];
    if (r->path.len == 0) /* the root itself */
        return true;
    if (take_whiteout(m, r->path) || is_hidden(m, r->path))
        return true;
    if (!tar_check_path(r->path, err))
        return err_set(err, ERR_BAD_ARCHIVE, "path %s may not stand in a layer",
                       tar_show(r->path, shown));
    struct seen *s = seen_at(m, r->path);
    bool first = s->layer == 0 || (s->layer == m->layer && (s->removed || s->opaque));
    /* Folders that packages of one layer share are there once for each: the last one counts. */
    if (!first && !(s->layer == m->layer && r->type == '5'))
        return true;
    if (r->type == '1' && !check_link(m, r, err))
        return false;
    s->layer = m->layer;
    s->folder = r->type == '5';
    s->opaque |= s->folder && s->removed; /* a new folder in place of what is below */
    s->removed = false;
    return copy_record(m, w, r, err);
}

static bool merge_layer(struct merge *m, struct store *s, const struct layer *l, struct err *err)
{
    struct layer_stream stream = {.reader = layer_reader_new(s, l, err)};
    struct tar_walk w = {.read = stream_read, .ctx = &stream};
    struct tar_record r;
    if (!stream.reader)
        return false;
    stream.frames = unframe_new(l->compression);
    tar_walk_init(&w);
    bool ok = true, more = true;
    while (ok && more) {
        ok = tar_walk_next(&w, &r, &more, err);
        if (ok && more)
            ok = take_record(m, &w, &r, err);
    }
    tar_walk_release(&w);
    unframe_free(stream.frames);
    layer_reader_free(stream.reader);
    return ok;
}

bool artifact_export_tar(struct store *s, const struct artifact *a, const char *file,
                         struct err *err)
{
    static const char zeros[TAR_END_BYTES];
    char text[DIGEST_TEXT_SIZE];
    struct export_file out;
    struct merge m = {.arena = arena_new(), .room = mem_alloc(COPY_BYTES)};
    bool ok = export_file_open(&out, file, err);
    if (ok) {
        m.fd = out.fd;
        for (size_t i = a->layer_count; ok && i-- > 0;) {
            m.layer++;
            ok = merge_layer(&m, s, &a->layers[i], err) ||
                 err_wrap(err, "layer %s", digest_text(&a->layers[i].blob, text));
        }
        ok = ok && io_write_all(m.fd, span_of(zeros, sizeof(zeros)), err);
        ok = export_file_close(&out, ok, err);
    }
    map_release(&m.paths);
    arena_free(m.arena);
    free(m.room);
    return ok || err_wrap(err, "export to %s", file);
}
