/* SPDX-License-Identifier: Apache-2.0 */
/* source.h - finds out what wants mean, from the registry, many at once.
 *
 * An exact version is asked for alone (/NAME/VERSION, some KB), and so is what a range without
 * an upper bound most likely means (/NAME/latest); all else needs the whole packument, which
 * also answers where a mirror does not know the short forms.
 *
 * Ownership: npm_source_free after all is settled; it owns packuments and manifests.
 * Errors:    per want. What is no answer about a package (network, offline, ...) is fatal and
 *            goes to npm_source_error.
 * Threads:   loop thread; large documents are read on the pool. */
#ifndef STRATA_RESOLVERS_NPM_SOURCE_H
#define STRATA_RESOLVERS_NPM_SOURCE_H

#include "resolvers/npm/graph.h"
#include "resolvers/npm/inside.h"
#include "resolvers/npm/pick.h"
#include "resolvers/registry.h"

struct npm_source;

struct npm_source_options {
    struct registry_client *registry;
    struct pool *pool;
    const struct npm_target *target;
    const json_t *previous; /* packages of an older lock, whose versions stay where a range
                             * allows them; NULL: none */
    /* A want that could not be answered at once is settled now. */
    void (*settled)(void *ctx, struct npm_want *want);
    /* Nothing is under way any more. */
    void (*idle)(void *ctx);
    void *ctx;
};

struct npm_source *npm_source_new(const struct npm_source_options *o);
void npm_source_free(struct npm_source *s); /* NULL is fine; only when idle */

/* True: the want is settled already. False: settled() will be called. */
bool npm_source_ask(struct npm_source *s, struct npm_want *want);

/* The tarball of a package, opened: done(ctx, inside or NULL, why) later. */
typedef void (*npm_look_fn)(void *ctx, void *about, const struct npm_inside *in,
                            const struct err *why);
void npm_source_look_inside(struct npm_source *s, const struct npm_manifest *m, npm_look_fn done,
                            void *about);

/* The full manifest of one version, where the one at hand lacks something: done(ctx, about,
 * manifest or NULL) later. */
typedef void (*npm_detail_fn)(void *ctx, void *about, const struct npm_manifest *m);
void npm_source_detail(struct npm_source *s, const struct npm_manifest *m, npm_detail_fn done,
                       void *about);

size_t npm_source_pending(const struct npm_source *s);
size_t npm_source_asked(const struct npm_source *s);
const struct err *npm_source_error(const struct npm_source *s); /* NULL: none */
void npm_source_cancel(struct npm_source *s);

/* Where the package's bytes are, below the registry or as an absolute URL of another host. */
struct span npm_source_origin(struct npm_source *s, const struct npm_manifest *m);

#endif
