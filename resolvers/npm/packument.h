/* SPDX-License-Identifier: Apache-2.0 */
/* packument.h - all versions of a package, as the registry tells them in one document.
 *
 * Documents reach 10 MB with thousands of versions, of which one or two matter: opening one
 * notes where each version's object stands, and an object is read when it is looked at. Both
 * the abbreviated form and the full one serve. A version that is malformed counts as absent;
 * the others stay.
 *
 * Ownership: the packument owns its text and all it hands out; npm_packument_free.
 * Errors:    ERR_BAD_ARCHIVE: it is not JSON, or no packument; ERR_NO_PACKAGE: no versions.
 * Threads:   _open from any thread; the rest from one thread at a time.
 * Source:    the registry's "package metadata" document. */
#ifndef STRATA_RESOLVERS_NPM_PACKUMENT_H
#define STRATA_RESOLVERS_NPM_PACKUMENT_H

#include <stdbool.h>

#include "base/err.h"
#include "resolvers/npm/manifest.h"

struct npm_packument;

struct npm_packument_version {
    struct span key;       /* as the registry calls it */
    struct semver version; /* of the key */
    struct span json;
    struct npm_manifest *manifest; /* once looked at */
    bool malformed;
};

/* Takes over *text (malloc'ed), also on failure. */
struct npm_packument *npm_packument_open(char *text, size_t len, struct err *err);
void npm_packument_free(struct npm_packument *p); /* NULL is fine */

size_t npm_packument_count(const struct npm_packument *p);
struct npm_packument_version *npm_packument_at(struct npm_packument *p, size_t i);

/* By its exact key; NULL: not there. */
struct npm_packument_version *npm_packument_find(struct npm_packument *p, struct span key);

/* The version a tag names; an empty span: no such tag. */
struct span npm_packument_tag(const struct npm_packument *p, struct span tag);

/* The manifest of a version; NULL when it is malformed. */
const struct npm_manifest *npm_packument_manifest(struct npm_packument *p,
                                                  struct npm_packument_version *v);

/* Was it published at or before `before_ms`? True when the document does not tell. */
bool npm_packument_before(struct npm_packument *p, struct span key, int64_t before_ms);

#endif
