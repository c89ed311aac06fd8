/* SPDX-License-Identifier: Apache-2.0 */
/* tar_walk_priv.h - walks the records of a tar that is read front to back, ours or another's.
 *
 * ustar, pax (path, linkpath, size) and GNU long names; what changes later records for good
 * (global pax headers) and sparse files are refused.
 *
 * Ownership: the record's spans are valid until the next call.
 * Errors:    ERR_BAD_ARCHIVE; ERR_UNSUPPORTED; those of read(). */
#ifndef STRATA_CACHE_TAR_WALK_PRIV_H
#define STRATA_CACHE_TAR_WALK_PRIV_H

#include "cache/segment.h"

struct tar_record {
    struct span path;   /* without a trailing '/' or a leading "./" */
    struct span target; /* of links */
    char type;          /* the type flag; '0' for all kinds of files */
    uint64_t size;      /* of the content that follows */
    struct span header; /* all header blocks, as they stand */
};

struct tar_walk {
    /* Exactly len bytes; *got fewer only at the end. */
    bool (*read)(void *ctx, char *out, size_t len, size_t *got, struct err *err);
    void *ctx;
    struct buf header, path, target;
    uint64_t left; /* of the last record's content and padding */
};

void tar_walk_init(struct tar_walk *w);
void tar_walk_release(struct tar_walk *w);
/* *more false: the end. What is left of the last record's content is skipped. */
bool tar_walk_next(struct tar_walk *w, struct tar_record *r, bool *more, struct err *err);
/* The next bytes of content and padding, up to room; *got 0: that was all. */
bool tar_walk_content(struct tar_walk *w, char *out, size_t room, size_t *got, struct err *err);

#endif
