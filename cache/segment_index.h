/* SPDX-License-Identifier: Apache-2.0 */
/* segment_index.h - what is in a segment, without unpacking it.
 *
 * Kept as a blob beside the segment's own: every entry with its attributes and the length of
 * its tar record, and where the compressed pieces begin, so that one file can be read alone.
 * One text has one meaning and the other way round: parsing and encoding give equal bytes.
 *
 * Ownership: segment_index_release; paths and targets lie in its arena.
 * Errors:    ERR_CORRUPT for an index that is none (it comes from a store that others write
 *            to, or from another machine).
 * Threads:   no shared state; constant once made. */
#ifndef STRATA_CACHE_SEGMENT_INDEX_H
#define STRATA_CACHE_SEGMENT_INDEX_H

#include "cache/segment.h"

struct index_entry {
    struct span path; /* what a whiteout hides, else the path */
    enum entry_type type;
    bool implied; /* a folder that the package itself does not list */
    uint32_t mode, uid, gid;
    int64_t mtime;
    struct span target; /* of links */
    uint64_t size;      /* of a file's content */
    uint32_t crc32;     /* of a file's content */
    uint32_t header_bytes;
    uint64_t offset; /* of the record in the tar */
};

/* A part that can be decompressed alone. */
struct index_piece {
    uint64_t tar_bytes, packed_bytes;
};

struct segment_index {
    struct arena *arena;
    enum compression compression;
    VEC(struct index_entry) entries; /* in the order of the tar */
    VEC(struct index_piece) pieces;
    uint64_t tar_size, packed_size; /* sums */
};

#define SEGMENT_INDEX_MAX_BYTES (512u << 20)

void segment_index_encode(const struct segment_index *index, struct buf *out);
bool segment_index_parse(struct span bytes, struct segment_index *out, struct err *err);
/* Reads it from the store and compares it with what the segment says of itself. */
bool segment_index_load(struct store *s, const struct segment *segment, struct segment_index *out,
                        struct err *err);
void segment_index_release(struct segment_index *index); /* all zero is fine */

/* By path; NULL: not there. */
const struct index_entry *segment_index_find(const struct segment_index *index, struct span path);

#define AUTO_INDEX __attribute__((cleanup(segment_index_release)))

#endif
