/* SPDX-License-Identifier: Apache-2.0 */
/* semver.h - versions and ranges as npm understands them.
 *
 * Semantic Versioning 2.0.0 with npm's additions: a leading "v" or "=", and, when loose,
 * leading zeros and pre-releases without their hyphen ("1.0.0beta"). Ranges are branches
 * joined by "||", each a list of comparators that must all hold: >= <= > < =, hyphen ranges
 * "1 - 2", x-ranges "1.x", tilde and caret. A pre-release is in a range only when a
 * comparator of the same branch has a pre-release of the same x.y.z (unless the range was
 * made with SEMVER_PRERELEASES).
 *
 * Ownership: a version points into the text it was parsed from; a range lives in its arena
 *            and keeps no pointer to its text.
 * Errors:    false or NULL: not a version, not a range.
 * Threads:   no shared state.
 * Source:    semver.org, and the documentation of npm's ranges. */
#ifndef STRATA_RESOLVERS_NPM_SEMVER_H
#define STRATA_RESOLVERS_NPM_SEMVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/span.h"

#define SEMVER_MAX_LENGTH       256  /* of a version */
#define SEMVER_RANGE_MAX_LENGTH 1024 /* of a range */

/* The biggest number in a version: 2^53 - 1. */
#define SEMVER_MAX_NUMBER 9007199254740991u

enum semver_flags {
    SEMVER_STRICT = 0,
    SEMVER_LOOSE = 1,
    SEMVER_PRERELEASES = 2, /* ranges: take pre-releases like any other version */
};

struct semver {
    uint64_t major, minor, patch;
    struct span pre;   /* "rc.1", empty: none */
    struct span build; /* "sha.5", empty: none; never compared */
};

/* White space around it is ignored. */
bool semver_parse(struct span text, unsigned flags, struct semver *out);
int semver_cmp(const struct semver *a, const struct semver *b);

/* The normal form, without build: "1.2.3-rc.1". */
void semver_format(const struct semver *v, struct buf *out);

struct semver_range;

/* NULL: not a range. "" is any version. */
struct semver_range *semver_range_parse(struct arena *a, struct span text, unsigned flags);
bool semver_range_test(const struct semver_range *r, const struct semver *v);

/* Does a branch have no upper bound (">=1", "*", "1 || >3")? */
bool semver_range_open(const struct semver_range *r);

/* The comparators it became: ">=1.2.0 <2.0.0-0||3.0.0"; "*" for any version. */
void semver_range_format(const struct semver_range *r, struct buf *out);

/* Parses both; false when either is malformed. */
bool semver_satisfies(struct arena *a, struct span version, struct span range, unsigned flags);

#endif
