/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/api/engine_artifact.h"

#include "base/io.h"
#include "base/mem.h"
#include "resolvers/resolver.h"
#include "worker/lock.h"
#include "worker/sbom.h"

/* ---- the manifest ---- */

static json_t *layer_json(const struct layer *l)
{
    bool root = strcmp(l->manager, "apt") == 0;
    json_t *o = json_object();
    json_put_str(o, "manager", l->manager);
    json_put_digest(o, "digest", &l->blob);
    json_put_digest(o, "diff_id", &l->tar);
    json_put_int(o, "size", (int64_t)l->size);
    json_put_str(o, "media_type",
                 l->compression == COMPRESS_GZIP ? "application/vnd.oci.image.layer.v1.tar+gzip"
                                                 : "application/vnd.oci.image.layer.v1.tar+zstd");
    json_object_set_new(o, "mount",
                        root ? json_string("/") : json_sprintf("/opt/managed-env/%s", l->manager));
    return o;
}

static json_t *package_list(const struct artifact *a)
{
    json_t *list = json_array();
    for (size_t m = 0; m < RESOLVER_COUNT; m++) {
        size_t i;
        json_t *locked;
        const json_t *part = lock_part(a->lock, resolvers[m]->manager);
        json_array_foreach (json_object_get(part, "packages"), i, locked) {
            json_t *p = json_object();
            json_put_str(p, "manager", resolvers[m]->manager);
            json_put_span(p, "name", json_get_span(locked, "name"));
            json_put_span(p, "version", json_get_span(locked, "version"));
            json_array_append_new(list, p);
        }
    }
    return list;
}

static json_t *copy_or(const json_t *value, json_t *fallback)
{
    if (!value)
        return fallback;
    json_decref(fallback);
    return json_deep_copy(value);
}

/* As OCI names architectures, which is what platforms match artifacts by. */
static json_t *platform_of(const struct artifact *a)
{
    json_t *p = copy_or(a->platform, json_object());
    const char *arch = json_get_str(a->config, "architecture");
    json_put_str(p, "os", "linux");
    json_put_str(p, "arch", arch);
    return p;
}

json_t *artifact_manifest_json(const struct artifact *a)
{
    json_t *o = json_object(), *layers = json_array(), *env = json_object();
    json_put_str(o, "type", "artifact");
    json_put_digest(o, "digest", &a->digest);
    for (size_t i = 0; i < a->layer_count; i++)
        json_array_append_new(layers, layer_json(&a->layers[i]));
    json_object_set_new(o, "layers", layers);
    json_object_set_new(o, "platform", platform_of(a));
    json_object_set_new(env, "path", copy_or(a->path, json_array()));
    json_object_set_new(env, "variables", copy_or(a->env, json_object()));
    json_object_set_new(o, "env", env);
    json_object_set_new(o, "bins", copy_or(a->bins, json_array()));
    json_object_set_new(o, "packages", package_list(a));
    return o;
}

/* ---- documents ---- */

/* One resolved dependency for each package, from the bill of materials. */
static json_t *dependencies(const json_t *sbom)
{
    json_t *list = json_array();
    size_t i;
    json_t *p;
    json_array_foreach (json_object_get(sbom, "packages"), i, p) {
        const json_t *ref = json_array_get(json_object_get(p, "externalRefs"), 0);
        const json_t *sum = json_array_get(json_object_get(p, "checksums"), 0);
        const char *purl = json_get_str(ref, "referenceLocator");
        const char *algo = json_get_str(sum, "algorithm");
        if (!purl)
            continue;
        json_t *d = json_object();
        json_put_str(d, "uri", purl);
        if (algo) {
            AUTO_FREE char *lower = mem_dup_str(algo);
            for (char *c = lower; *c; c++)
                *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
            json_t *digest = json_object();
            json_put_str(digest, lower, json_get_str(sum, "checksumValue"));
            json_object_set_new(d, "digest", digest);
        }
        json_array_append_new(list, d);
    }
    return list;
}

/* SLSA provenance v1 in an in-toto statement: what went in, by digest. It is a function of the
 * artifact alone; who built it and when does not change the bytes. */
static json_t *provenance(const struct artifact *a)
{
    char text[DIGEST_TEXT_SIZE], hex[DIGEST_HEX_SIZE];
    AUTO_JSON json_t *sbom = sbom_of(a);
    return json_pack("{s:s, s:[{s:s, s:{s:s}}], s:s, s:{s:{s:s, s:{s:O?}, s:o}, s:{s:{s:s}}}}",
                     "_type", "https://in-toto.io/Statement/v1", "subject", "name",
                     digest_text(&a->digest, text), "digest", "sha256", digest_hex(&a->digest, hex),
                     "predicateType", "https://slsa.dev/provenance/v1", "predicate",
                     "buildDefinition", "buildType", "https://example.com/strata/build/v1",
                     "externalParameters", "platform", a->platform, "resolvedDependencies",
                     dependencies(sbom), "runDetails", "builder", "id",
                     "https://example.com/strata/build-worker");
}

bool artifact_document(struct store *s, const struct digest *digest, const char *kind,
                       struct buf *out, struct err *err)
{
    struct artifact *a = NULL;
    if (!artifact_load(s, digest, &a, err))
        return false;
    AUTO_JSON json_t *doc = strcmp(kind, "sbom") == 0         ? sbom_of(a)
                            : strcmp(kind, "provenance") == 0 ? provenance(a)
                                                              : json_deep_copy(a->lock);
    artifact_free(a);
    if (!doc)
        return err_set(err, ERR_NOT_FOUND, "the artifact has no %s", kind);
    return json_canonical(doc, out, err);
}

/* ---- blobs ---- */

struct builder_blob {
    struct store *store;
    struct artifact *artifact;
    const struct layer *layer; /* NULL: a blob that lies in the store as it is */
    struct layer_reader *reader;
    struct span piece; /* the reader's last one, and where it begins */
    uint64_t piece_at;
    struct io_map map;
};

void artifact_close_blob(struct builder_blob *b)
{
    layer_reader_free(b->reader);
    io_unmap(&b->map);
    artifact_free(b->artifact);
    free(b);
}

static const struct layer *find_layer(const struct artifact *a, const struct digest *d)
{
    for (size_t i = 0; i < a->layer_count; i++)
        if (digest_eq(&a->layers[i].blob, d))
            return &a->layers[i];
    return NULL;
}

static bool open_plain(struct builder_blob *b, const struct digest *d, uint64_t *size,
                       const char **media_type, struct err *err)
{
    bool manifest = digest_eq(d, &b->artifact->digest);
    if (!manifest && !digest_eq(d, &b->artifact->config_digest))
        return err_set(err, ERR_NOT_FOUND, "the artifact has no such blob");
    *media_type = manifest ? "application/vnd.oci.image.manifest.v1+json"
                           : "application/vnd.oci.image.config.v1+json";
    if (!store_map_blob(b->store, d, &b->map, err))
        return false;
    *size = b->map.bytes.len;
    return true;
}

struct builder_blob *artifact_open_blob(struct store *s, const struct digest *artifact,
                                        const struct digest *blob, uint64_t *size,
                                        const char **media_type, struct err *err)
{
    struct builder_blob *b = MEM_NEW(struct builder_blob);
    b->store = s;
    if (!artifact_load(s, artifact, &b->artifact, err)) {
        artifact_close_blob(b);
        return NULL;
    }
    b->layer = find_layer(b->artifact, blob);
    if (b->layer) {
        *size = b->layer->size;
        *media_type = b->layer->compression == COMPRESS_GZIP
                          ? "application/vnd.oci.image.layer.v1.tar+gzip"
                          : "application/vnd.oci.image.layer.v1.tar+zstd";
        return b;
    }
    if (open_plain(b, blob, size, media_type, err))
        return b;
    artifact_close_blob(b);
    return NULL;
}

/* Goes forward to the piece that has the offset; from the start again to go back. */
static bool seek(struct builder_blob *b, uint64_t offset, struct err *err)
{
    if (b->reader && offset < b->piece_at) {
        layer_reader_free(b->reader);
        b->reader = NULL;
    }
    if (!b->reader) {
        b->reader = layer_reader_new(b->store, b->layer, err);
        b->piece = (struct span){0};
        b->piece_at = 0;
    }
    while (b->reader && offset >= b->piece_at + b->piece.len) {
        b->piece_at += b->piece.len;
        if (!layer_reader_next(b->reader, &b->piece, err))
            return false;
        if (b->piece.len == 0)
            return err_set(err, ERR_CORRUPT, "a layer is shorter than its manifest says");
    }
    return b->reader != NULL;
}

int64_t artifact_read_blob(struct builder_blob *b, uint64_t offset, char *out, size_t size,
                           struct err *err)
{
    struct span from = span_skip(b->map.bytes, offset > SIZE_MAX ? SIZE_MAX : (size_t)offset);
    if (b->layer) {
        if (!seek(b, offset, err))
            return -1;
        from = span_skip(b->piece, (size_t)(offset - b->piece_at));
    }
    size_t n = from.len < size ? from.len : size;
    if (n)
        memcpy(out, from.ptr, n);
    return (int64_t)n;
}
