/* SPDX-License-Identifier: Apache-2.0 */
/* pip_world.h - a registry of Python packages made from a few lines of text, in place of the
 * real client (it defines registry_get and the others of registry.h itself).
 *
 * Each line that does not begin with a space is a file of a project, or a whole page:
 *
 *     demo-1.0-py3-none-any.whl yanked=broken python=>=3.8 time=2024-01-01T00:00:00Z
 *      Requires-Dist: other>=1 ; extra == 'x'      lines of its METADATA or PKG-INFO
 *     =demo  raw text of the page of demo           (=demo! status 404 .. none)
 *
 * Words after a file's name: yanked=REASON (underscores are spaces), python=SPECIFIERS,
 * time=T, meta (advertised metadata), badmeta (advertised, with a wrong hash), nohash, noranges
 * (the server sends all), pad=N (bytes in front of METADATA), behind=N (bytes behind it),
 * extra (in the second index only), gone (404), name=N, version=V (what its metadata says), corrupt
 * (METADATA is damaged).
 *
 * Answers come from the loop, in an order drawn from `seed`. */
#ifndef STRATA_TESTS_PIP_WORLD_H
#define STRATA_TESTS_PIP_WORLD_H

#include "resolvers/resolver.h"

struct world;

struct world *world_new(const char *text, unsigned seed);
void world_free(struct world *w);
void world_fail(struct world *w, const char *path, enum err_code code); /* that request fails */

struct world_result {
    json_t *lock;
    json_t *warnings;
    struct err err;
    char text[16384];  /* "a==1.0 b==2.0", or "unresolvable: ..." */
    char chosen[4096]; /* what was announced before the end: "a==1.0 ..." */
    size_t requests;
};

/* From now on sdists are built: their metadata has these lines ("": builds fail). */
void world_builds(struct world *w, const char *metadata);

/* specs: separated by "|". */
void world_resolve(struct world *w, const char *specs, const struct policy *policy,
                   const json_t *previous, struct world_result *out);
void world_result_release(struct world_result *r);

/* Where a locked package is; free() it. NULL and *err. */
char *world_locate(struct world *w, const json_t *package, struct err *err);

/* Cancels after so many answers. */
void world_cancel_after(struct world *w, int answers);

/* A test's platform: CPython 3.11.2, glibc 2.36, x86_64. */
struct platform *world_platform(void);

#endif
