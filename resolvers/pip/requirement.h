/* SPDX-License-Identifier: Apache-2.0 */
/* requirement.h - dependency specifiers: `name[extra]>=1 ; marker`, `name @ url` (PEP 508).
 *
 * Ownership: everything lives in the arena given; raw spans point into the text.
 * Errors:    ERR_INVALID with the offset and what would be allowed there.
 * Threads:   pure functions. */
#ifndef STRATA_RESOLVERS_PIP_REQUIREMENT_H
#define STRATA_RESOLVERS_PIP_REQUIREMENT_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/span.h"
#include "resolvers/pip/marker.h"
#include "resolvers/pip/version.h"

struct pip_requirement {
    struct span raw_name;      /* as written */
    struct span name;          /* normalised */
    const struct span *extras; /* normalised, sorted, each once */
    size_t extra_count;
    struct pip_specs specs;
    struct span url;      /* "name @ url", without its fragment; empty: none */
    struct span url_file; /* last part of the URL's path, percent-decoded */
    bool has_digest;      /* the URL's fragment had a sha256= */
    struct digest digest;
    const struct pip_marker *marker; /* NULL: always */
};

bool pip_requirement_parse(struct span text, struct arena *a, struct pip_requirement *out,
                           struct err *err);

/* Canonical text; parses again to the same requirement. */
void pip_requirement_text(const struct pip_requirement *r, struct buf *out);

/* "numpy>=1.22", without marker: for messages. */
void pip_requirement_short(const struct pip_requirement *r, struct buf *out);

#endif
