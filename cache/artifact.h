/* SPDX-License-Identifier: Apache-2.0 */
/* artifact.h - layers, and the OCI manifest whose SHA-256 is the artifact's digest.
 *
 * A layer is a list of segments followed by the end-of-archive frame; its bytes are put together
 * when somebody reads them, so nothing is stored twice. Where there are several, one head with
 * the folders of all takes the place of each one's own, for no name may stand in a layer twice
 * (containers/storage refuses that). A big segment is a layer of its own;
 * a manager's small ones go into one of BUCKETS by a hash of the package's name, so that where
 * a package goes depends on itself. At most 100 layers: when there would be more, the size at
 * which a segment counts as big doubles until they fit. What configuring packages changed in them
 * is a layer above them.
 *
 * The manifest is an OCI image manifest v1 (canonical JSON) with its config; each layer is
 * annotated with its manager (dev.strata.manager). What we say of an artifact beyond OCI
 * stands in the config, below "dev.strata": {"lock","bins","platform","path","env"}; so
 * whoever has the image has its lock. The recipe (dev.strata.recipe, a blob of ours alone)
 * lists each layer's segments; an artifact that came from a registry has none, and its layers
 * are blobs. Media types: application/vnd.oci.image.layer.v1.tar+zstd or +gzip.
 *
 * Ownership: artifact_free. Spans and JSON in it are its own.
 * Errors:    ERR_FILE_CLASH when two segments bring different content for one path.
 * Threads:   any; calls block. */
#ifndef STRATA_CACHE_ARTIFACT_H
#define STRATA_CACHE_ARTIFACT_H

#include "cache/segment.h"

#define ARTIFACT_MAX_LAYERS 100
#define LAYER_BUCKETS       8          /* a manager's */
#define LAYER_BIG_BYTES     (4u << 20) /* a tar this big is a layer of its own */

/* The kind of a part that makes a layer of its own above its manager's others: what it has counts,
 * where they have the same path. */
#define PART_CONFIGURED "configured"

/* A segment with what decides where it goes. */
struct artifact_part {
    const char *manager;
    const char *name; /* of the package */
    const char *kind; /* PART_CONFIGURED: on top */
    struct segment segment;
};

struct layer {
    const char *manager;
    struct digest blob, tar; /* digest and diff_id */
    uint64_t size, tar_size;
    enum compression compression;
    struct digest head; /* blob, with several segments */
    uint64_t head_size;
    size_t segment_count;     /* 0: the layer is a blob of its own */
    struct segment *segments; /* in order */
};

struct artifact {
    struct digest digest; /* of the manifest */
    struct layer *layers;
    size_t layer_count;
    json_t *manifest, *config;
    /* Into the config; NULL where an image of others has none. */
    const json_t *lock; /* whole: {"lock_version","platform","managers"} */
    const json_t *bins, *platform, *path, *env;
    /* Blobs that are no layers. */
    struct digest config_digest, recipe_digest; /* recipe_digest all zero: none */
};

struct artifact_spec {
    const char *name; /* for lists, no part of the artifact; NULL: none */
    const struct artifact_part *parts;
    size_t part_count;
    const json_t *lock;
    const json_t *path, *env; /* PATH entries and variables for the config */
    const json_t *bins;
    const json_t *platform; /* platform_json */
    int64_t source_date_epoch;
    enum compression compression;
};

/* Plans layers, checks for clashes, writes config and manifest blobs, has all of it reach the
 * disk, then writes the index row. */
bool artifact_publish(struct store *s, const struct artifact_spec *spec, struct artifact **out,
                      struct err *err);
bool artifact_load(struct store *s, const struct digest *digest, struct artifact **out,
                   struct err *err);
void artifact_free(struct artifact *a); /* NULL is fine */
/* It is there, and counts as used from now on. False: it is not, or is being collected. */
bool artifact_use(struct store *s, const struct digest *digest);

/* Reads a layer's compressed bytes in order: from its segments, then the end frame. */
struct layer_reader;
struct layer_reader *layer_reader_new(struct store *s, const struct layer *l, struct err *err);
/* Next piece, empty at the end; valid until the next call. False: err. */
bool layer_reader_next(struct layer_reader *r, struct span *piece, struct err *err);
void layer_reader_free(struct layer_reader *r);

/* Re-hashes everything the artifact is made of. */
bool artifact_verify(struct store *s, const struct artifact *a, struct err *err);

/* An artifact whose blobs are all in the store already (pulled, imported): the row alone. */
bool artifact_adopt(struct store *s, const struct digest *digest, const char *name,
                    struct err *err);

/* Build keys: what a canonical (lock, platform, packer version, compression, options) became. */
bool artifact_find_key(struct store *s, const struct digest *key, struct digest *artifact);
bool artifact_put_key(struct store *s, const struct digest *key, const struct digest *artifact,
                      struct err *err);

/* `reference`: "sha256:HEX" or an unambiguous prefix of at least 6 letters of it. */
bool artifact_lookup(struct store *s, struct span reference, struct digest *out, struct err *err);

/* Newest first: {"digest","created_ms","used_ms","size","layers","name"} objects. */
bool artifact_list(struct store *s, json_t **out, struct err *err);

/* Exports; nothing of the store's is changed. */
bool artifact_export_oci(struct store *s, const struct artifact *a, const char *dir,
                         const char *tag, struct err *err); /* OCI image layout folder */
bool artifact_export_oci_archive(struct store *s, const struct artifact *a, const char *file,
                                 const char *tag, struct err *err); /* the same, as a tar */
bool artifact_export_tar(struct store *s, const struct artifact *a, const char *file,
                         struct err *err); /* the merged tree, uncompressed; "-": stdout */

#endif
