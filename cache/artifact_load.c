/* SPDX-License-Identifier: Apache-2.0 */
/* artifact_load.c - from a manifest's digest to all that it is made of. */
#include "cache/artifact_priv.h"
#include "cache/layer_priv.h"

#define MAX_SEGMENTS 100000u

void artifact_free(struct artifact *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->layer_count; i++) {
        free((char *)(uintptr_t)a->layers[i].manager);
        free(a->layers[i].segments);
    }
    free(a->layers);
    json_decref(a->manifest);
    json_decref(a->config);
    free(a);
}

/* A JSON blob whose bytes are what its digest says. */
static json_t *read_json(struct store *s, const struct digest *d, size_t max, struct err *err)
{
    AUTO_MAPPED struct io_map map = {0};
    char text[DIGEST_TEXT_SIZE];
    if (!blob_map_quietly(s, d, &map, err))
        return NULL;
    struct digest found = digest_of(map.bytes);
    if (map.bytes.len > max || !digest_eq(&found, d)) {
        err_set(err, ERR_CORRUPT, "blob %s holds other bytes", digest_text(d, text));
        return NULL;
    }
    return json_parse(map.bytes, err);
}

static bool compression_of(struct span media_type, enum compression *out)
{
    *out = span_ends(media_type, SPAN("gzip")) ? COMPRESS_GZIP : COMPRESS_ZSTD;
    return span_ends(media_type, SPAN("+gzip")) || span_ends(media_type, SPAN("+zstd")) ||
           span_ends(media_type, SPAN(".tar.gzip"));
}

static bool bad(const char *what, struct err *err)
{
    return err_set(err, ERR_CORRUPT, "manifest: %s", what);
}

static bool read_layer(const json_t *entry, const json_t *diff_id, struct layer *l, struct err *err)
{
    const char *manager = json_get_str(json_object_get(entry, "annotations"), NOTE_MANAGER);
    int64_t size = json_get_int(entry, "size", -1);
    l->manager = mem_dup_str(manager ? manager : "");
    l->size = (uint64_t)size;
    if (!json_get_digest(entry, "digest", &l->blob) || size < 0 ||
        !compression_of(json_get_span(entry, "mediaType"), &l->compression))
        return bad("a layer without digest, size or a media type that we know", err);
    return (json_is_string(diff_id) &&
            digest_parse(span_str(json_string_value(diff_id)), &l->tar)) ||
           bad("a layer without diff_id", err);
}

static bool read_layers(struct artifact *a, struct err *err)
{
    const json_t *list = json_object_get(a->manifest, "layers");
    const json_t *ids = json_object_get(json_object_get(a->config, "rootfs"), "diff_ids");
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n != json_array_size(ids) || n > 10 * ARTIFACT_MAX_LAYERS)
        return bad("its layers and the config's diff_ids do not match", err);
    a->layers = mem_array(n, sizeof(*a->layers));
    a->layer_count = n;
    for (size_t i = 0; i < n; i++)
        if (!read_layer(json_array_get(list, i), json_array_get(ids, i), &a->layers[i], err))
            return false;
    return true;
}

static bool read_recipe_layer(const json_t *entry, struct layer *l, struct err *err)
{
    const json_t *segments = json_object_get(entry, "segments");
    int64_t tar_size = json_get_int(entry, "tar_size", -1);
    size_t n = json_array_size(segments);
    if (n == 0 || n > MAX_SEGMENTS || tar_size < 0)
        return err_set(err, ERR_CORRUPT, "recipe: a layer without segments");
    l->tar_size = (uint64_t)tar_size;
    l->head_size = (uint64_t)json_get_int(entry, "head_size", 0);
    if (n > 1 && !json_get_digest(entry, "head", &l->head))
        return err_set(err, ERR_CORRUPT, "recipe: a layer without its head");
    l->segments = mem_array(n, sizeof(*l->segments));
    l->segment_count = n;
    for (size_t i = 0; i < n; i++)
        if (!segment_from_json(json_array_get(segments, i), &l->segments[i]) ||
            l->segments[i].compression != l->compression)
            return err_set(err, ERR_CORRUPT, "recipe: a segment is damaged");
    return true;
}

/* Without a recipe in the store the artifact came from a registry: its layers are blobs. */
static bool read_recipe(struct store *s, struct artifact *a, struct err *err)
{
    struct digest d;
    if (!json_get_digest(json_object_get(a->manifest, "annotations"), NOTE_RECIPE, &d) ||
        !blob_is_there(s, &d))
        return true;
    AUTO_JSON json_t *recipe = read_json(s, &d, RECIPE_MAX_BYTES, err);
    const json_t *layers = json_object_get(recipe, "layers");
    if (!recipe)
        return err_wrap(err, "recipe");
    if (json_array_size(layers) != a->layer_count)
        return err_set(err, ERR_CORRUPT, "recipe: not of this manifest");
    a->recipe_digest = d;
    for (size_t i = 0; i < a->layer_count; i++)
        if (!blob_is_there(s, &a->layers[i].blob) &&
            !read_recipe_layer(json_array_get(layers, i), &a->layers[i], err))
            return false;
    return true;
}

void artifact_take_extension(struct artifact *a)
{
    const json_t *ours = json_object_get(a->config, CONFIG_EXTENSION);
    a->lock = json_object_get(ours, "lock");
    a->bins = json_object_get(ours, "bins");
    a->platform = json_object_get(ours, "platform");
    a->path = json_object_get(ours, "path");
    a->env = json_object_get(ours, "env");
}

static bool read_all(struct store *s, struct artifact *a, struct err *err)
{
    a->manifest = read_json(s, &a->digest, OCI_JSON_MAX_BYTES, err);
    if (!a->manifest)
        return false;
    if (!json_get_digest(json_object_get(a->manifest, "config"), "digest", &a->config_digest))
        return bad("it names no config", err);
    a->config = read_json(s, &a->config_digest, OCI_JSON_MAX_BYTES, err);
    if (!a->config)
        return err_wrap(err, "config");
    artifact_take_extension(a);
    return read_layers(a, err) && read_recipe(s, a, err);
}

bool artifact_read(struct store *s, const struct digest *digest, struct artifact **out,
                   struct err *err)
{
    char text[DIGEST_TEXT_SIZE];
    struct artifact *a = MEM_NEW(struct artifact);
    a->digest = *digest;
    *out = NULL;
    if (!read_all(s, a, err)) {
        artifact_free(a);
        return err_wrap(err, "artifact %s", digest_text(digest, text));
    }
    *out = a;
    return true;
}

bool artifact_load(struct store *s, const struct digest *digest, struct artifact **out,
                   struct err *err)
{
    if (!artifact_read(s, digest, out, err))
        return false;
    artifact_note_use(s, digest);
    return true;
}

size_t artifact_blobs(const struct artifact *a, struct digest **out)
{
    VEC(struct digest) all = {0};
    for (size_t i = 0; i < a->layer_count; i++) {
        const struct layer *l = &a->layers[i];
        if (l->segment_count == 0)
            *VEC_PUSH(&all) = l->blob;
        if (l->segment_count > 1)
            *VEC_PUSH(&all) = l->head;
        for (size_t k = 0; k < l->segment_count; k++) {
            *VEC_PUSH(&all) = l->segments[k].blob;
            *VEC_PUSH(&all) = l->segments[k].index;
        }
    }
    if (!digest_is_zero(&a->recipe_digest))
        *VEC_PUSH(&all) = a->recipe_digest;
    *VEC_PUSH(&all) = a->config_digest;
    *VEC_PUSH(&all) = a->digest;
    *out = all.v;
    return all.n;
}

static bool verify_layer(struct store *s, const struct layer *l, struct err *err)
{
    struct layer found;
    for (size_t i = 0; i < l->segment_count; i++)
        if (!store_verify_blob(s, &l->segments[i].index, err))
            return false;
    if (!layer_hash(s, l, true, &found, err))
        return false;
    if (!digest_eq(&found.blob, &l->blob) || found.size != l->size)
        return err_set(err, ERR_CORRUPT, "its bytes are others");
    return digest_eq(&found.tar, &l->tar) ||
           err_set(err, ERR_CORRUPT, "it unpacks to something else");
}

bool artifact_verify(struct store *s, const struct artifact *a, struct err *err)
{
    char text[DIGEST_TEXT_SIZE];
    if (!store_verify_blob(s, &a->digest, err) || !store_verify_blob(s, &a->config_digest, err) ||
        (!digest_is_zero(&a->recipe_digest) && !store_verify_blob(s, &a->recipe_digest, err)))
        return false;
    for (size_t i = 0; i < a->layer_count; i++)
        if (!verify_layer(s, &a->layers[i], err))
            return err_wrap(err, "layer %s (%s)", digest_text(&a->layers[i].blob, text),
                            a->layers[i].manager);
    return true;
}
