/* SPDX-License-Identifier: Apache-2.0 */
/* tags.h - which wheels a platform takes, and which it likes best.
 *
 * Source:    PEP 425 (tags), 427 (file names), 600 and its forerunners (manylinux), 656
 *            (musllinux). The order is pip's: interpreter and ABI before platform.
 * Ownership: a table is the arena's; wheel names point into the file name.
 * Threads:   constant once made. */
#ifndef STRATA_RESOLVERS_PIP_TAGS_H
#define STRATA_RESOLVERS_PIP_TAGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "base/span.h"
#include "resolvers/platform.h"

#define PIP_NO_RANK UINT32_MAX

struct pip_tags {
    struct map ranks; /* "cp311-cp311-linux_x86_64" to its place, the best first */
    struct arena *arena;
};

/* ERR_PLATFORM: no CPython 3, or a libc or architecture that has no tags. */
bool pip_tags_init(struct pip_tags *t, const struct platform *p, struct arena *a, struct err *err);
void pip_tags_release(struct pip_tags *t);

struct pip_wheel_name {
    struct span name, version;            /* as in the file name */
    struct span pythons, abis, platforms; /* dot-separated */
    bool has_build;
    uint64_t build;
    struct span build_text; /* what follows the build number */
};

/* False: no valid name of a wheel. */
bool pip_wheel_name_parse(struct span filename, struct pip_wheel_name *out);

/* The best place any of the wheel's tags has; PIP_NO_RANK: it does not fit. */
uint32_t pip_wheel_rank(const struct pip_tags *t, const struct pip_wheel_name *w);

/* By build tag: none, then number, then text. */
int pip_build_cmp(const struct pip_wheel_name *a, const struct pip_wheel_name *b);

#endif
