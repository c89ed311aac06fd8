/* SPDX-License-Identifier: Apache-2.0 */
/* inside.h - what only a package's tarball can tell while resolving.
 *
 * Its package.json (of a tarball named by URL), its npm-shrinkwrap.json, and which packages it
 * brings in node_modules folders of its own.
 *
 * Ownership: npm_inside_free; all it hands out is its own.
 * Errors:    ERR_BAD_ARCHIVE, ERR_TOO_LARGE.
 * Threads:   _open inflates the whole: on the pool. */
#ifndef STRATA_RESOLVERS_NPM_INSIDE_H
#define STRATA_RESOLVERS_NPM_INSIDE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"

#define NPM_TARBALL_MAX  (512u << 20)  /* bytes, packed */
#define NPM_UNPACKED_MAX (1024u << 20) /* bytes */

struct npm_inner {
    struct span path; /* "node_modules/x" below the package */
    struct span name, version;
};

struct npm_inside {
    struct arena *arena;
    char *tar;
    struct span package_json, shrinkwrap; /* empty: not there */
    VEC(struct npm_inner) packages;       /* in the tarball's order */
    VEC(struct span) files;               /* paths below the package, in the tarball's order */
};

struct npm_inside *npm_inside_open(struct span tarball, struct err *err);
void npm_inside_free(struct npm_inside *in); /* NULL is fine */

#endif
