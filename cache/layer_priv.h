/* SPDX-License-Identifier: Apache-2.0 */
/* layer_priv.h - which segments go into which layer, and what that makes of them. */
#ifndef STRATA_CACHE_LAYER_PRIV_H
#define STRATA_CACHE_LAYER_PRIV_H

#include "base/arena.h"
#include "cache/artifact.h"

/* A layer before its digests are known; parts in order. */
struct planned_layer {
    const char *manager;
    VEC(const struct artifact_part *) parts;
};

struct layer_plan {
    VEC(struct planned_layer) layers;
};

/* Two parts with a number in common bring the same file (equal, or there were a clash); they
 * may not share a layer, where no name may stand twice. */
struct part_shares {
    VEC(uint32_t) v;
};

/* ERR_FILE_CLASH. parts are in order; fills shares[part_count], to be freed by the caller. */
bool layer_check_clashes(struct store *s, const struct artifact_part *const *parts, size_t count,
                         struct part_shares *shares, struct err *err);

/* Does it lie above its manager's other parts, and may it change what they have? */
bool layer_part_is_top(const struct artifact_part *p);

bool layer_plan_make(struct layer_plan *plan, struct store *s, const struct artifact_part *parts,
                     size_t count, struct err *err);
void layer_plan_release(struct layer_plan *plan);

/* Digests and sizes of layers whose segments are filled in; from memos, or by reading them,
 * several at once. */
bool layers_measure(struct store *s, struct layer *layers, size_t count, struct err *err);

/* What layers_measure finds by reading. check: each segment's own digest and that of its tar,
 * too. */
bool layer_hash(struct store *s, const struct layer *l, bool check, struct layer *found,
                struct err *err);

/* The folders of all segments, as the blob that begins their layer. */
bool layer_make_head(struct store *s, struct layer *l, struct err *err);

#endif
