/* SPDX-License-Identifier: Apache-2.0 */
/* build_system.h - how a source distribution wants to be built: pyproject.toml's [build-system].
 *
 * Without the file or the table: setuptools, as it worked before there was one. With a table
 * that names no back end, the same over the table's requirements.
 *
 * Ownership: everything lives in the arena given.
 * Errors:    ERR_BAD_ARCHIVE: not TOML, or a member that is no such thing.
 * Threads:   pure functions.
 * Source:    PEP 517, PEP 518. */
#ifndef STRATA_RESOLVERS_PIP_BUILD_SYSTEM_H
#define STRATA_RESOLVERS_PIP_BUILD_SYSTEM_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"

#define PIP_BUILD_REQUIRES_MAX 200

struct pip_build_system {
    struct span *requires; /* requirements as written */
    size_t require_count;
    struct span backend; /* "module" or "module:object" */
    struct span *paths;  /* below the source: where the back end lies; none: it is installed */
    size_t path_count;
};

/* text.ptr NULL: there is no file. */
bool pip_build_system_parse(struct span text, struct arena *a, struct pip_build_system *out,
                            struct err *err);

/* An sdist, looked through whole: every entry lies below one folder, and no link leaves it. */
struct pip_sdist {
    struct span top;       /* "NAME-VERSION" */
    struct span pyproject; /* the file's text; ptr NULL: none */
};
/* ERR_BAD_ARCHIVE, ERR_TOO_LARGE; ERR_NEEDS_BUILD: a kind of archive that is not read. */
bool pip_sdist_open(struct span filename, struct span bytes, struct arena *a, struct pip_sdist *out,
                    struct err *err);

#endif
