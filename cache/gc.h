/* SPDX-License-Identifier: Apache-2.0 */
/* gc.h - collecting what nothing needs any more, while builds run.
 *
 * Roots: pins, tags, artifacts used within the grace time, whatever builds under way hold
 * (store_hold), and the caller's own. From them everything they are made of is marked. The
 * rest goes when it was not used within the grace time; with keep_bytes, only as much of it,
 * the longest unused first, as brings blobs and metadata together below that size. An artifact
 * goes as a whole: first its row and keys, then blobs that no other needs. Registry metadata
 * that no server confirmed for 30 days goes too, and with keep_bytes what was not confirmed
 * within the grace time, in the same order as blobs.
 *
 * Units:   bytes, milliseconds.
 * Errors:  those of store.h; ERR_CORRUPT: a root that cannot be read (nothing is removed then).
 * Threads: blocks; several at once, also in several processes, take turns. */
#ifndef STRATA_CACHE_GC_H
#define STRATA_CACHE_GC_H

#include "cache/store.h"

struct gc_options {
    int64_t grace_ms;           /* unused for less: stays */
    uint64_t keep_bytes;        /* 0: remove all that may go */
    bool dry_run;               /* only the report */
    const struct digest *roots; /* further artifacts to keep */
    size_t root_count;
    /* Called for each layer that an artifact which stays is made of: what else is kept for
     * layers (their unpacked folders) stays too. May be NULL. */
    void (*keep_layer)(void *ctx, const struct digest *layer);
    void *ctx;
};

struct gc_report {
    uint64_t blobs, bytes;                 /* there were */
    uint64_t marked_blobs, marked_bytes;   /* of those, needed */
    uint64_t removed_blobs, removed_bytes; /* (would be) removed */
    uint64_t artifacts, removed_artifacts;
    uint64_t removed_memos;
    uint64_t metadata, metadata_bytes; /* files of it */
    uint64_t removed_metadata, removed_metadata_bytes;
    json_t *removed; /* digests of removed artifacts, as texts; the caller's to free */
};

bool store_gc(struct store *s, const struct gc_options *options, struct gc_report *report,
              struct err *err);

#endif
