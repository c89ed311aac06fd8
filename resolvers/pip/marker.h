/* SPDX-License-Identifier: Apache-2.0 */
/* marker.h - environment markers: `python_version < "3.12" and extra == "test"`.
 *
 * Source:    PEP 508 and its successor page, PEP 685 for extras; evaluation as pip does it:
 *            the four version variables compare as versions when the other side is a
 *            specifier, everything else compares as text, where < and > are never true.
 * Ownership: markers live in the arena they were parsed into and point into the text.
 * Errors:    ERR_INVALID with the offset of what was not understood.
 * Threads:   pure functions. */
#ifndef STRATA_RESOLVERS_PIP_MARKER_H
#define STRATA_RESOLVERS_PIP_MARKER_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/span.h"
#include "resolvers/pip/version.h"

enum pip_variable {
    PIP_VAR_IMPLEMENTATION_NAME,
    PIP_VAR_IMPLEMENTATION_VERSION,
    PIP_VAR_OS_NAME,
    PIP_VAR_PLATFORM_MACHINE,
    PIP_VAR_PLATFORM_PYTHON_IMPLEMENTATION,
    PIP_VAR_PLATFORM_RELEASE,
    PIP_VAR_PLATFORM_SYSTEM,
    PIP_VAR_PLATFORM_VERSION,
    PIP_VAR_PYTHON_FULL_VERSION,
    PIP_VAR_PYTHON_VERSION,
    PIP_VAR_SYS_PLATFORM,
    PIP_VAR_COUNT,
    PIP_VAR_EXTRA = PIP_VAR_COUNT,
};

struct pip_environment {
    struct span value[PIP_VAR_COUNT];
    struct pip_version version[PIP_VAR_COUNT]; /* of the version variables */
    bool is_version[PIP_VAR_COUNT];
};

/* From the platform's object {name: value}; false: a variable is missing. */
bool pip_environment_init(struct pip_environment *e, const json_t *markers, struct arena *a,
                          struct err *err);

struct pip_marker;

/* `offset` is where text begins in what the user wrote, for messages. */
bool pip_marker_parse(struct span text, size_t offset, struct arena *a,
                      const struct pip_marker **out, struct err *err);

/* `extra` is the normalised extra that is being evaluated for; empty: none. NULL is true. */
bool pip_marker_eval(const struct pip_marker *m, const struct pip_environment *e,
                     struct span extra);

bool pip_marker_uses_extra(const struct pip_marker *m);

void pip_marker_text(const struct pip_marker *m, struct buf *out);

#endif
