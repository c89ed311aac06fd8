/* SPDX-License-Identifier: Apache-2.0 */
/* plan_text.h - a segment's plan as text, for tests.
 *
 * Ownership: results are in the arena given. */
#ifndef STRATA_TESTS_RESOLVERS_ARCHIVE_PLAN_TEXT_H
#define STRATA_TESTS_RESOLVERS_ARCHIVE_PLAN_TEXT_H

#include "cache/segment.h"

/* "644 a/b\n755 a/\nlink a/c -> b\n", sorted by path; `prefix` is taken off the paths. */
const char *plan_listing(const struct segment_plan *plan, const char *prefix, struct arena *a);

/* The content of a file, inflated and checked; ptr NULL when there is no such file. */
struct span plan_content(const struct segment_plan *plan, const char *path, struct arena *a);

#endif
