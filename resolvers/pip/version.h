/* SPDX-License-Identifier: Apache-2.0 */
/* version.h - Python versions and version specifiers (PEP 440).
 *
 * A parsed version carries a key: bytes whose order is the order of versions. The key is made
 * of self-delimiting parts: epoch, release without trailing zeros, suffix (pre, post, dev),
 * local label, and last a byte that counts the dropped zeros, so that "1.0" and "1.0.0" are
 * equal as versions (pip_version_cmp) and still different keys, as === needs them.
 * Specifiers become version sets over these keys, so a resolver needs no other comparison.
 *
 * Ownership: texts and keys live in the arena given.
 * Errors:    false; specifiers also say what is wrong and what is allowed. Numbers of more
 *            than 38 digits and texts of more than 256 bytes are no versions here.
 * Threads:   pure functions.
 * Source:    PEP 440 as the version specifiers page of the packaging guide has it; where pip
 *            is more precise (ranges of <, > and their exclusions), pip. */
#ifndef STRATA_RESOLVERS_PIP_VERSION_H
#define STRATA_RESOLVERS_PIP_VERSION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"
#include "resolvers/solver/version_set.h"

struct pip_version {
    struct span text; /* normalised: "1.0rc1+cu118" */
    struct span key;
    bool prerelease; /* a, b, rc or dev */
    bool local;
};

bool pip_version_parse(struct span text, struct arena *a, struct pip_version *out);

/* <0, 0, >0; trailing zeros do not count. */
int pip_version_cmp(const struct pip_version *a, const struct pip_version *b);

/* A key without what tells 1.0 from 1.0.0. */
struct span pip_key_order(struct span key);

/* A readable version for a key, or for a bound made from one. */
const char *pip_key_text(struct span key, struct arena *a);

enum pip_op {
    PIP_EQ,         /* == */
    PIP_NE,         /* != */
    PIP_LE,         /* <= */
    PIP_GE,         /* >= */
    PIP_LT,         /* < */
    PIP_GT,         /* > */
    PIP_COMPATIBLE, /* ~= */
    PIP_ARBITRARY,  /* === */
};

struct pip_spec {
    enum pip_op op;
    bool wildcard;       /* == and != with .* */
    bool prerelease;     /* names a pre-release, which lets pip take them */
    struct span version; /* as written, without operator and .* */
    const struct version_set *set;
};

struct pip_specs {
    const struct pip_spec *v;
    size_t n;
    const struct version_set *set; /* of all together; all versions when n is 0 */
    bool prerelease;               /* one of them names a pre-release */
    bool pinned;                   /* == without .*, or === */
    struct span text;              /* ">=1.0,<2", canonical spacing */
};

/* Comma-separated specifiers; empty pieces are ignored, as pip does. */
bool pip_specs_parse(struct span text, struct arena *a, struct pip_specs *out, struct err *err);

bool pip_specs_match(const struct pip_specs *specs, const struct pip_version *v);

#endif
