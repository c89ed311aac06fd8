/* SPDX-License-Identifier: Apache-2.0 */
/* artifact_priv.h - what the files about artifacts share. */
#ifndef STRATA_CACHE_ARTIFACT_PRIV_H
#define STRATA_CACHE_ARTIFACT_PRIV_H

#include "cache/artifact.h"
#include "cache/store_priv.h"

#define OCI_MANIFEST     "application/vnd.oci.image.manifest.v1+json"
#define OCI_CONFIG       "application/vnd.oci.image.config.v1+json"
#define OCI_INDEX        "application/vnd.oci.image.index.v1+json"
#define OCI_LAYER_ZSTD   "application/vnd.oci.image.layer.v1.tar+zstd"
#define OCI_LAYER_GZIP   "application/vnd.oci.image.layer.v1.tar+gzip"
#define NOTE_MANAGER     "dev.strata.manager"
#define NOTE_RECIPE      "dev.strata.recipe"
#define CONFIG_EXTENSION "dev.strata"

/* Registries and readers refuse larger ones (4 MiB). */
#define OCI_JSON_MAX_BYTES (4u << 20)
#define RECIPE_MAX_BYTES   (256u << 20)

/* {"mediaType","digest","size"} */
json_t *oci_descriptor(const char *media_type, const struct digest *d, uint64_t size);

/* The digests of all blobs that the artifact is made of; free() them. */
size_t artifact_blobs(const struct artifact *a, struct digest **out);

/* Fills what is borrowed from the config. */
void artifact_take_extension(struct artifact *a);

/* Without noting a use; manifest, config and recipe are checked against their digests. */
bool artifact_read(struct store *s, const struct digest *digest, struct artifact **out,
                   struct err *err);

/* The row; survives a power cut when it returns. */
bool artifact_put_row(struct store *s, const struct artifact *a, const char *name, struct err *err);
void artifact_note_use(struct store *s, const struct digest *digest);

/* Runs the statement with the disk waited for, and gives the mutex back. */
bool store_sql_run_durably(struct store *s, struct sql_stmt *q, struct err *err);

#endif
