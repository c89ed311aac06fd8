/* SPDX-License-Identifier: Apache-2.0 */
/* content_priv.h - a file's bytes out of a plan's entry, front to back, checked at the end.
 *
 * Errors: ERR_BAD_ARCHIVE: not a deflate stream of exactly that size, length and CRC-32. */
#ifndef STRATA_CACHE_CONTENT_PRIV_H
#define STRATA_CACHE_CONTENT_PRIV_H

#include "cache/frames_priv.h"

struct content {
    struct packer *packer;
    const struct segment_entry *e;
    uint64_t done;  /* bytes handed out */
    uint32_t crc32; /* of those */
    struct span whole;
    bool has_room;
    void *stream; /* z_stream, for what is not inflated at once */
};

/* All of it at once into `out`, which has room for e->size bytes. */
bool content_whole(struct kit *k, const struct segment_entry *e, char *out, uint32_t *crc32,
                   struct err *err);

/* In parts: begin, then fill until e->size bytes were asked for. */
void content_begin(struct content *c, struct packer *p, const struct segment_entry *e);
bool content_fill(struct content *c, struct kit *k, char *out, size_t len, struct err *err);
void content_end(struct content *c); /* all zero is fine */

#endif
