/* SPDX-License-Identifier: Apache-2.0 */
/* packer.c - big buffers and compression contexts, used again and again.
 *
 * Memory that is touched for the first time costs more than what is done with it, and a build
 * passes hundreds of megabytes through: each thread works in one kit, and the kits stay. */
#include <libdeflate.h>
#include <stdio.h>
#include <sys/mman.h>
#include <zstd.h>

#include "cache/frames_priv.h"

#define ZSTD_LEVEL    3
#define DEFLATE_LEVEL 6

struct packer {
    struct pool *pool;
    uv_mutex_t mutex;
    uv_cond_t given;
    struct kit *kits;           /* free ones */
    VEC(char *) packed;         /* free ones */
    unsigned packed_out, limit; /* in use; how many may be */
    char *room;
    bool room_taken;
};

static char *map_memory(size_t size)
{
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        fputs("strata: out of memory\n", stderr);
        abort();
    }
    madvise(p, size, MADV_HUGEPAGE); /* a hint: fewer first touches */
    return p;
}

struct packer *packer_new(struct pool *pool)
{
    struct packer *p = MEM_NEW(struct packer);
    p->pool = pool;
    p->limit = pool_threads(pool) + 2;
    if (uv_mutex_init(&p->mutex) || uv_cond_init(&p->given))
        abort();
    return p;
}

struct pool *packer_pool(const struct packer *p)
{
    return p->pool;
}

static struct kit *kit_new(void)
{
    struct kit *k = MEM_NEW(struct kit);
    ZSTD_CCtx *zstd = ZSTD_createCCtx();
    k->zstd = zstd;
    k->inflater = libdeflate_alloc_decompressor();
    k->deflater = libdeflate_alloc_compressor(DEFLATE_LEVEL);
    k->raw = map_memory(PIECE_BYTES);
    if (!zstd || !k->inflater || !k->deflater ||
        ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_contentSizeFlag, 1)) ||
        ZSTD_isError(ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 0)))
        abort();
    return k;
}

static void kit_free(struct kit *k)
{
    ZSTD_freeCCtx(k->zstd);
    libdeflate_free_decompressor(k->inflater);
    libdeflate_free_compressor(k->deflater);
    munmap(k->raw, PIECE_BYTES);
    free(k);
}

void frame_alone(enum compression c, struct span plain, struct buf *out)
{
    struct kit *k = kit_new();
    while (plain.len) {
        struct span piece = span_slice(plain, 0, PIECE_BYTES);
        char *room = buf_room(out, PACKED_BYTES);
        if (!room)
            break;
        memcpy(k->raw, piece.ptr, piece.len);
        k->packed = room;
        out->len += c == COMPRESS_GZIP
                        ? member_gzip(k, span_of(k->raw, piece.len), room, PACKED_BYTES)
                        : frame_zstd(k, piece.len);
        plain = span_skip(plain, piece.len);
    }
    kit_free(k);
}

void packer_free(struct packer *p)
{
    if (!p)
        return;
    while (p->kits) {
        struct kit *k = p->kits;
        p->kits = k->next;
        kit_free(k);
    }
    for (size_t i = 0; i < p->packed.n; i++)
        munmap(p->packed.v[i], PACKED_BYTES);
    VEC_FREE(&p->packed);
    if (p->room)
        munmap(p->room, WHOLE_MAX_BYTES);
    uv_cond_destroy(&p->given);
    uv_mutex_destroy(&p->mutex);
    free(p);
}

/* Nobody waits forever: a piece has all it needs from the start, so the one that the others
 * wait for, to be written in order, goes on. */
struct kit *packer_take(struct packer *p)
{
    uv_mutex_lock(&p->mutex);
    while (p->packed_out >= p->limit)
        uv_cond_wait(&p->given, &p->mutex);
    p->packed_out++;
    char *packed = p->packed.n ? p->packed.v[--p->packed.n] : NULL;
    struct kit *k = p->kits;
    if (k)
        p->kits = k->next;
    uv_mutex_unlock(&p->mutex);
    if (!k)
        k = kit_new();
    k->packed = packed ? packed : map_memory(PACKED_BYTES);
    return k;
}

void packer_give_packed(struct packer *p, char *packed)
{
    if (!packed)
        return;
    uv_mutex_lock(&p->mutex);
    *VEC_PUSH(&p->packed) = packed;
    p->packed_out--;
    uv_cond_signal(&p->given);
    uv_mutex_unlock(&p->mutex);
}

void packer_give(struct packer *p, struct kit *k)
{
    packer_give_packed(p, TAKE(k->packed));
    uv_mutex_lock(&p->mutex);
    k->next = p->kits;
    p->kits = k;
    uv_mutex_unlock(&p->mutex);
}

char *packer_take_room(struct packer *p, uint64_t size)
{
    if (size > WHOLE_MAX_BYTES)
        return NULL;
    uv_mutex_lock(&p->mutex);
    bool mine = !p->room_taken;
    p->room_taken = true;
    if (mine && !p->room)
        p->room = map_memory(WHOLE_MAX_BYTES);
    uv_mutex_unlock(&p->mutex);
    return mine ? p->room : NULL;
}

void packer_give_room(struct packer *p)
{
    uv_mutex_lock(&p->mutex);
    p->room_taken = false;
    uv_mutex_unlock(&p->mutex);
}
