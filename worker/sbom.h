/* SPDX-License-Identifier: Apache-2.0 */
/* sbom.h - an artifact's bill of materials, as SPDX 2.3 JSON.
 *
 * One SPDX package for each package of the lock, with its purl (package-url specification) and
 * checksum; the artifact is the document's described element. A pure function of the artifact:
 * the creation time is its own, the namespace its digest.
 *
 * Ownership: a new reference.
 * Threads:   pure. */
#ifndef STRATA_WORKER_SBOM_H
#define STRATA_WORKER_SBOM_H

#include "cache/artifact.h"

json_t *sbom_of(const struct artifact *a);

#endif
