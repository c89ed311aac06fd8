/* SPDX-License-Identifier: Apache-2.0 */
/* engine_artifact.h - an artifact of the store as the API tells it: manifest, documents, blobs.
 *
 * Ownership: results are new references or the caller's to close.
 * Errors:    ERR_NOT_FOUND: no such artifact (any more), no such blob in it; those of the store.
 * Threads:   any; calls block on files. */
#ifndef STRATA_WORKER_API_ENGINE_ARTIFACT_H
#define STRATA_WORKER_API_ENGINE_ARTIFACT_H

#include "cache/artifact.h"
#include "worker/api/builder.h"

json_t *artifact_manifest_json(const struct artifact *a);
bool artifact_document(struct store *s, const struct digest *digest, const char *kind,
                       struct buf *out, struct err *err);
struct builder_blob *artifact_open_blob(struct store *s, const struct digest *artifact,
                                        const struct digest *blob, uint64_t *size,
                                        const char **media_type, struct err *err);
int64_t artifact_read_blob(struct builder_blob *b, uint64_t offset, char *out, size_t size,
                           struct err *err);
void artifact_close_blob(struct builder_blob *b);

#endif
