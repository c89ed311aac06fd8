/* SPDX-License-Identifier: Apache-2.0 */
/* artifact.c - publishing: from segments to a manifest. */
#include "cache/artifact.h"

#include <time.h>

#include "cache/artifact_priv.h"
#include "cache/layer_priv.h"

#define DEFAULT_PATH      "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define HISTORY_MAX_NAMES 8u

json_t *oci_descriptor(const char *media_type, const struct digest *d, uint64_t size)
{
    json_t *o = json_object();
    json_put_str(o, "mediaType", media_type);
    json_put_digest(o, "digest", d);
    json_put_int(o, "size", (int64_t)size);
    return o;
}

/* As Go names it, which OCI takes over; from `uname -m`. */
static const char *oci_architecture(const char *machine)
{
    static const char *const names[][2] = {
        {"x86_64", "amd64"}, {"aarch64", "arm64"},   {"armv7l", "arm"},  {"i686", "386"},
        {"i386", "386"},     {"ppc64le", "ppc64le"}, {"s390x", "s390x"}, {"riscv64", "riscv64"},
    };
    for (size_t i = 0; machine && i < COUNT(names); i++)
        if (strcmp(machine, names[i][0]) == 0)
            return names[i][1];
    return machine ? machine : "unknown";
}

static void put_time(json_t *o, const char *key, int64_t epoch)
{
    char text[32];
    time_t t = epoch;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
        return;
    json_put_str(o, key, text);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static json_t *env_list(const struct artifact_spec *spec)
{
    AUTO_BUF struct buf text = BUF(256u << 10);
    json_t *list = json_array();
    size_t i;
    const json_t *entry;
    buf_str(&text, "PATH=");
    json_array_foreach (spec->path, i, entry) {
        if (json_is_string(entry))
            buf_printf(&text, "%s:", json_string_value(entry));
    }
    buf_str(&text, DEFAULT_PATH);
    json_array_append_new(list, json_span(buf_span(&text)));
    VEC(const char *) names = {0};
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)spec->env, name, value)
        if (json_is_string(value) && strcmp(name, "PATH") != 0)
            *VEC_PUSH(&names) = name;
    if (names.n)
        qsort(names.v, names.n, sizeof(*names.v), by_name);
    for (i = 0; i < names.n; i++) {
        buf_reset(&text);
        buf_printf(&text, "%s=%s", names.v[i], json_get_str(spec->env, names.v[i]));
        json_array_append_new(list, json_span(buf_span(&text)));
    }
    VEC_FREE(&names);
    return list;
}

static json_t *history_of(const struct planned_layer *l, int64_t epoch)
{
    AUTO_BUF struct buf text = BUF(64u << 10);
    json_t *o = json_object();
    size_t n = l->parts.n < HISTORY_MAX_NAMES ? l->parts.n : HISTORY_MAX_NAMES;
    buf_printf(&text, "strata %s:", l->manager);
    for (size_t i = 0; i < n; i++)
        buf_printf(&text, "%s %s", i ? "," : "", l->parts.v[i]->name);
    if (l->parts.n > n)
        buf_printf(&text, " and %zu more", l->parts.n - n);
    put_time(o, "created", epoch);
    json_put_span(o, "created_by", buf_span(&text));
    return o;
}

static void put_copy(json_t *o, const char *key, const json_t *value, json_t *fallback)
{
    if (value)
        json_decref(fallback);
    json_object_set_new(o, key, value ? json_deep_copy(value) : fallback);
}

static json_t *make_config(const struct artifact_spec *spec, const struct layer_plan *plan,
                           const struct layer *layers)
{
    json_t *config = json_object(), *run = json_object(), *rootfs = json_object();
    json_t *diff_ids = json_array(), *history = json_array(), *ours = json_object();
    char text[DIGEST_TEXT_SIZE];
    const char *os = json_get_str(spec->platform, "os");
    json_put_str(config, "architecture", oci_architecture(json_get_str(spec->platform, "arch")));
    json_put_str(config, "os", os ? os : "linux");
    put_time(config, "created", spec->source_date_epoch);
    json_object_set_new(run, "Env", env_list(spec));
    json_object_set_new(config, "config", run);
    for (size_t i = 0; i < plan->layers.n; i++) {
        json_array_append_new(diff_ids, json_string(digest_text(&layers[i].tar, text)));
        json_array_append_new(history, history_of(&plan->layers.v[i], spec->source_date_epoch));
    }
    json_put_str(rootfs, "type", "layers");
    json_object_set_new(rootfs, "diff_ids", diff_ids);
    json_object_set_new(config, "rootfs", rootfs);
    json_object_set_new(config, "history", history);
    put_copy(ours, "lock", spec->lock, json_object());
    put_copy(ours, "bins", spec->bins, json_array());
    put_copy(ours, "platform", spec->platform, json_object());
    put_copy(ours, "path", spec->path, json_array());
    put_copy(ours, "env", spec->env, json_object());
    json_object_set_new(config, CONFIG_EXTENSION, ours);
    return config;
}

static json_t *make_manifest(const struct artifact *a, uint64_t config_size)
{
    json_t *manifest = json_object(), *layers = json_array(), *notes = json_object();
    char text[DIGEST_TEXT_SIZE];
    json_put_int(manifest, "schemaVersion", 2);
    json_put_str(manifest, "mediaType", OCI_MANIFEST);
    json_object_set_new(manifest, "config",
                        oci_descriptor(OCI_CONFIG, &a->config_digest, config_size));
    for (size_t i = 0; i < a->layer_count; i++) {
        const struct layer *l = &a->layers[i];
        json_t *entry = oci_descriptor(
            l->compression == COMPRESS_GZIP ? OCI_LAYER_GZIP : OCI_LAYER_ZSTD, &l->blob, l->size);
        json_t *layer_notes = json_object();
        json_put_str(layer_notes, NOTE_MANAGER, l->manager);
        json_object_set_new(entry, "annotations", layer_notes);
        json_array_append_new(layers, entry);
    }
    json_object_set_new(manifest, "layers", layers);
    json_put_str(notes, NOTE_RECIPE, digest_text(&a->recipe_digest, text));
    json_object_set_new(manifest, "annotations", notes);
    return manifest;
}

static json_t *make_recipe(const struct artifact *a)
{
    json_t *recipe = json_object(), *layers = json_array();
    for (size_t i = 0; i < a->layer_count; i++) {
        const struct layer *l = &a->layers[i];
        json_t *entry = json_object(), *segments = json_array();
        for (size_t k = 0; k < l->segment_count; k++)
            json_array_append_new(segments, segment_json(&l->segments[k]));
        json_put_int(entry, "tar_size", (int64_t)l->tar_size);
        if (l->segment_count > 1) {
            json_put_digest(entry, "head", &l->head);
            json_put_int(entry, "head_size", (int64_t)l->head_size);
        }
        json_object_set_new(entry, "segments", segments);
        json_array_append_new(layers, entry);
    }
    json_object_set_new(recipe, "layers", layers);
    return recipe;
}

static bool put_json(struct store *s, const json_t *value, size_t max, const char *what,
                     struct digest *out, uint64_t *size, struct err *err)
{
    AUTO_BUF struct buf text = BUF(max);
    if (!json_canonical(value, &text, err) || !store_put_blob(s, buf_span(&text), out, err))
        return err_wrap(err, "%s", what);
    *size = text.len;
    return true;
}

static bool check_spec(const struct artifact_spec *spec, struct err *err)
{
    for (size_t i = 0; i < spec->part_count; i++)
        if (spec->parts[i].segment.compression != spec->compression)
            return err_set(err, ERR_INVALID, "%s package %s is packed with another compression",
                           spec->parts[i].manager, spec->parts[i].name);
    return true;
}

static void take_plan(struct artifact *a, const struct artifact_spec *spec,
                      const struct layer_plan *plan)
{
    a->layer_count = plan->layers.n;
    a->layers = mem_array(plan->layers.n, sizeof(*a->layers));
    for (size_t i = 0; i < plan->layers.n; i++) {
        const struct planned_layer *from = &plan->layers.v[i];
        struct layer *to = &a->layers[i];
        to->manager = mem_dup_str(from->manager);
        to->compression = spec->compression;
        to->segment_count = from->parts.n;
        to->segments = mem_array(from->parts.n, sizeof(*to->segments));
        for (size_t k = 0; k < from->parts.n; k++)
            to->segments[k] = from->parts.v[k]->segment;
    }
}

static bool write_blobs(struct store *s, struct artifact *a, const struct artifact_spec *spec,
                        const struct layer_plan *plan, struct err *err)
{
    uint64_t config_size, size;
    AUTO_JSON json_t *recipe = make_recipe(a);
    a->config = make_config(spec, plan, a->layers);
    if (!put_json(s, a->config, OCI_JSON_MAX_BYTES, "config with the lock", &a->config_digest,
                  &config_size, err) ||
        !put_json(s, recipe, RECIPE_MAX_BYTES, "recipe", &a->recipe_digest, &size, err))
        return false;
    a->manifest = make_manifest(a, config_size);
    return put_json(s, a->manifest, OCI_JSON_MAX_BYTES, "manifest", &a->digest, &size, err);
}

/* Everything below the row must be on the disk before it. */
static bool make_durable(struct store *s, const struct artifact *a, struct err *err)
{
    struct digest *blobs;
    size_t n = artifact_blobs(a, &blobs);
    bool ok = store_sync_blobs(s, blobs, n, err);
    free(blobs);
    return ok;
}

bool artifact_publish(struct store *s, const struct artifact_spec *spec, struct artifact **out,
                      struct err *err)
{
    struct layer_plan plan;
    struct artifact *a = MEM_NEW(struct artifact);
    *out = NULL;
    bool ok =
        check_spec(spec, err) && layer_plan_make(&plan, s, spec->parts, spec->part_count, err);
    if (ok) {
        take_plan(a, spec, &plan);
        ok = layers_measure(s, a->layers, a->layer_count, err) &&
             write_blobs(s, a, spec, &plan, err) && make_durable(s, a, err) &&
             artifact_put_row(s, a, spec->name, err);
        layer_plan_release(&plan);
    }
    if (!ok) {
        artifact_free(a);
        return err_wrap(err, "artifact");
    }
    artifact_take_extension(a);
    *out = a;
    return true;
}
