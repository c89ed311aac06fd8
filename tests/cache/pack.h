/* SPDX-License-Identifier: Apache-2.0 */
/* pack.h - what the tests of cache/ share: a store, plans, and segments built at once. */
#ifndef STRATA_TESTS_CACHE_PACK_H
#define STRATA_TESTS_CACHE_PACK_H

#include "cache/artifact.h"

/* The store at NAME below the test's folder; ends the test on an error. */
struct store *pack_store(const char *name);

/* Runs a loop until the segment is there. The plan is released. */
bool pack_build(struct store *s, struct segment_plan *plan, enum compression c, unsigned threads,
                struct segment *out, struct err *err);

/* The raw deflate stream of bytes, in the plan's arena. */
struct span pack_deflate(struct arena *a, struct span bytes);
struct segment_entry *pack_add_deflated(struct segment_plan *plan, const char *path,
                                        struct span bytes);

/* So many bytes that look like text or like noise, the same for the same seed. */
struct span pack_text(struct arena *a, size_t len, unsigned seed);
struct span pack_noise(struct arena *a, size_t len, unsigned seed);

/* A package of one segment; the plan is released. */
struct artifact_part pack_part(struct store *s, const char *manager, const char *name,
                               struct segment_plan *plan, enum compression c);
/* One with a file of so many bytes at opt/MANAGER/NAME. */
struct artifact_part pack_simple(struct store *s, const char *manager, const char *name, size_t len,
                                 enum compression c);
/* Publishes them with a small lock, PATH and variables. */
struct artifact *pack_publish(struct store *s, const struct artifact_part *parts, size_t count,
                              struct err *err);

#endif
