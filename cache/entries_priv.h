/* SPDX-License-Identifier: Apache-2.0 */
/* entries_priv.h - a plan's entries made canonical: checked, sorted, completed.
 *
 * Ownership: entry_list_release; spans stay the plan's or lie in its arena. */
#ifndef STRATA_CACHE_ENTRIES_PRIV_H
#define STRATA_CACHE_ENTRIES_PRIV_H

#include "cache/segment.h"

struct entry_item {
    struct segment_entry e; /* a whiteout's path is the one in the tar */
    struct span hidden;     /* the path that a whiteout hides */
    bool implied;           /* a folder that nobody listed */
    uint32_t header_bytes;  /* filled while the tar is made */
};

struct entry_list {
    struct entry_item *v; /* in the order of the tar */
    size_t n;
    size_t folders; /* come first, sorted; then the rest, sorted */
    uint64_t content_bytes;
};

bool entry_list_make(struct entry_list *list, const struct segment_plan *plan, int64_t epoch,
                     struct err *err);
void entry_list_release(struct entry_list *list);

#endif
