/* SPDX-License-Identifier: Apache-2.0 */
/* frames_priv.h - compressed pieces: made by the packer's contexts, read back in order.
 *
 * Threads: a kit belongs to one thread between packer_take and packer_give. */
#ifndef STRATA_CACHE_FRAMES_PRIV_H
#define STRATA_CACHE_FRAMES_PRIV_H

#include "cache/segment.h"

#define PIECE_BYTES (8u << 20)
/* What a piece may become at most: ZSTD_COMPRESSBOUND(8 MiB), and libdeflate's bound for it
 * with a gzip header and trailer around each of its entries. */
#define PACKED_BYTES ((8u << 20) + (512u << 10))
/* Larger entries are inflated as a stream, and smaller ones too while another holds the room. */
#define WHOLE_MAX_BYTES (40u << 20)

struct libdeflate_decompressor;
struct libdeflate_compressor;

/* What one piece needs while it is made. */
struct kit {
    void *zstd; /* ZSTD_CCtx */
    struct libdeflate_decompressor *inflater;
    struct libdeflate_compressor *deflater;
    char *raw;    /* PIECE_BYTES */
    char *packed; /* PACKED_BYTES; handed on with the piece */
    struct kit *next;
};

struct pool *packer_pool(const struct packer *p);
/* Waits while too many packed pieces wait to be written. */
struct kit *packer_take(struct packer *p);
/* Its `packed` must be NULL or unused. */
void packer_give(struct packer *p, struct kit *k);
/* Gives back memory that a kit's `packed` was. */
void packer_give_packed(struct packer *p, char *packed);

/* Room for one entry as a whole, one at a time; NULL: another has it. */
char *packer_take_room(struct packer *p, uint64_t size);
void packer_give_room(struct packer *p);

/* A part of a piece: tar bytes to compress, or a raw deflate stream to take as it is. */
struct stretch {
    struct span plain; /* in the raw piece; ptr NULL: a splice */
    struct span deflated;
    uint32_t crc32; /* with deflated */
    uint64_t size;
};

/* The whole raw piece as one frame in k->packed: its length. */
size_t frame_zstd(struct kit *k, size_t raw_len);
#define GZIP_HEADER_BYTES  10u
#define GZIP_TRAILER_BYTES 8u
/* One member; its length. */
size_t member_gzip(struct kit *k, struct span plain, char *out, size_t room);
void gzip_header(char out[GZIP_HEADER_BYTES]);
void gzip_trailer(char out[GZIP_TRAILER_BYTES], uint32_t crc32, uint64_t size);

/* The same bytes as a piece with this content has, without a packer. */
void frame_alone(enum compression c, struct span plain, struct buf *out);

/* The compressed end of an archive: two zero blocks. */
struct span end_frame(enum compression c);

#endif
