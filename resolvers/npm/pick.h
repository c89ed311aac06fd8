/* SPDX-License-Identifier: Apache-2.0 */
/* pick.h - which version a spec means, and whether a package suits the machine.
 *
 * npm's order of preference: an exact version is that one; a tag is what it points at; a range
 * takes the version tagged latest when it is in the range, suits the engines and is not
 * deprecated, even when higher ones are in the range too; else the best of (suits and not
 * deprecated, suits, not deprecated, highest).
 *
 * Ownership: the target's strings are the caller's; parsed versions point into them.
 * Errors:    ERR_UNRESOLVABLE: nothing matches; it lists what there is.
 * Threads:   no shared state. */
#ifndef STRATA_RESOLVERS_NPM_PICK_H
#define STRATA_RESOLVERS_NPM_PICK_H

#include <stdbool.h>

#include "base/err.h"
#include "resolvers/npm/manifest.h"
#include "resolvers/npm/packument.h"
#include "resolvers/npm/spec.h"
#include "resolvers/platform.h"

/* The machine in npm's words. */
struct npm_target {
    struct span os, cpu, libc; /* "linux", "x64", "glibc" */
    bool has_node, has_npm;    /* else engines are not checked */
    struct semver node, npm;
    int64_t before_ms; /* only what was published by then; 0: no limit */
};

/* "20" stands for the newest 20: the environment file may name only a line. */
void npm_target_init(struct npm_target *t, const struct platform *platform, int64_t before_ms,
                     struct arena *a);

bool npm_engines_ok(const struct npm_target *t, const struct npm_manifest *m);

/* False: err says which of os, cpu, libc it wants. err may be NULL. */
bool npm_platform_ok(const struct npm_target *t, const struct npm_manifest *m, struct err *err);

/* NULL on error. The manifest is the packument's. */
const struct npm_manifest *npm_pick(struct npm_packument *p, const struct npm_spec *spec,
                                    const struct npm_target *t, struct err *err);

/* Is this version (the one tagged latest) what a range would take, so that the others need not
 * be known? */
bool npm_pick_latest_serves(const struct npm_manifest *latest, const struct npm_spec *spec,
                            const struct npm_target *t);

#endif
