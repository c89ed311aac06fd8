/* SPDX-License-Identifier: Apache-2.0 */
/* metadata.h - core metadata: METADATA of wheels, PKG-INFO of sdists.
 *
 * Only the headers are read, the description is not.
 *
 * Source:    the core metadata specification (PEP 241, 314, 345, 566, 643, 685).
 * Ownership: everything lives in the arena given; the text may go afterwards.
 * Errors:    ERR_BAD_ARCHIVE: no such file, a requirement that is malformed, bounds.
 * Threads:   pure functions. */
#ifndef STRATA_RESOLVERS_PIP_METADATA_H
#define STRATA_RESOLVERS_PIP_METADATA_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"
#include "resolvers/pip/requirement.h"

struct pip_metadata {
    struct span metadata_version, name, version;
    struct span requires_python; /* as written; empty: none */
    const struct pip_requirement *requires;
    size_t require_count;
    const struct span *extras; /* normalised, as declared */
    size_t extra_count;
    bool dynamic; /* dependencies, extras or the Python version are computed by a build */
};

bool pip_metadata_parse(struct span text, struct arena *a, struct pip_metadata *out,
                        struct err *err);

/* Does it belong to this project and version? */
bool pip_metadata_is(const struct pip_metadata *m, struct span project,
                     const struct pip_version *version);

/* An sdist's: may its dependencies be used without building it? (PEP 643) */
bool pip_metadata_static(const struct pip_metadata *m);

#endif
