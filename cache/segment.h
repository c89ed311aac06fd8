/* SPDX-License-Identifier: Apache-2.0 */
/* segment.h - one package's finished part of a layer: a canonical tar, compressed once.
 *
 * The tar (POSIX.1-2001 ustar, pax records only where a field does not fit) has the folders
 * first, then the rest, both sorted by path. It has no end-of-archive blocks, uid and gid as the
 * entry says, and mtimes clamped to SOURCE_DATE_EPOCH. It is cut at entry boundaries into pieces of
 * about 8 MiB (an entry larger than that is cut inside), each compressed as an independent zstd
 * frame (level 3) or gzip member; with gzip, an entry that comes as a raw deflate stream is spliced
 * in as a member of its own with nothing recompressed. Where the cuts are depends on the entries
 * alone: same entries, same bytes, at any number of threads.
 *
 * Folders above an entry that are not listed are added (0755, root).
 *
 * Ownership: the plan owns its arena; the entries' bytes stay the owner's until release().
 * Units:     bytes; mtimes in seconds.
 * Errors:    ERR_BAD_ARCHIVE (deflate stream or CRC wrong), ERR_TOO_LARGE, ERR_IO, ERR_NO_SPACE,
 *            ERR_INVALID (paths: absolute, "..", duplicate, a file or link as a folder; a hard
 *            link to what is not a file of the plan). A folder may be listed twice.
 * Threads:   segment_plan_*: one thread. segment_build: loop thread, work on the pool. */
#ifndef STRATA_CACHE_SEGMENT_H
#define STRATA_CACHE_SEGMENT_H

#include "base/arena.h"
#include "base/mem.h"
#include "base/pool.h"
#include "cache/store.h"

#define SEGMENT_MAX_ENTRIES 500000u
#define SEGMENT_MAX_BYTES   (16ull << 30)
#define SEGMENT_PATH_MAX    4096u

/* A whiteout hides `path` of the layers below (OCI image layer: the file ".wh.NAME"); a plain
 * entry of such a name is refused. */
enum entry_type { ENTRY_FILE, ENTRY_DIR, ENTRY_SYMLINK, ENTRY_HARDLINK, ENTRY_WHITEOUT };

struct segment_entry {
    struct span path; /* relative to the root, no leading or trailing '/': "opt/managed-env/..." */
    enum entry_type type;
    uint32_t mode; /* permission bits */
    uint32_t uid, gid;
    int64_t mtime;          /* seconds; clamped to SOURCE_DATE_EPOCH; 0 is fine */
    struct span target;     /* of a link; a hard link's is a path like `path` */
    struct span capability; /* of a file: security.capability as the kernel keeps it; or empty */
    uint64_t size;          /* of the content, uncompressed */
    /* Content: bytes (stored), or a raw deflate stream (RFC 1951) of exactly `size` bytes
     * whose CRC-32 is `crc32`. */
    struct span bytes;
    struct span deflated; /* ptr NULL: `bytes` holds the content */
    uint32_t crc32;       /* with deflated */
};

struct segment_plan {
    struct arena *arena;                        /* for paths and generated content */
    VEC(struct segment_entry) entries;          /* in any order */
    void (*release)(struct segment_plan *plan); /* frees what `owner` holds; may be NULL */
    void *owner;
};

void segment_plan_init(struct segment_plan *plan);
void segment_plan_release(struct segment_plan *plan); /* all zero is fine */
struct segment_entry *segment_add_file(struct segment_plan *plan, struct span path, uint32_t mode,
                                       struct span bytes); /* bytes not copied */
struct segment_entry *segment_add_dir(struct segment_plan *plan, struct span path, uint32_t mode);
struct segment_entry *segment_add_symlink(struct segment_plan *plan, struct span path,
                                          struct span target);

enum compression { COMPRESS_ZSTD, COMPRESS_GZIP };

/* What all builds of a program share: big buffers and compression contexts, used again instead
 * of being faulted in anew, and the bound on how many are in use at once (about 16 MiB of
 * memory for each thread and two more). Jobs wait for one another's buffers, biggest first. */
struct packer;
struct packer *packer_new(struct pool *pool); /* loop thread */
void packer_free(struct packer *p);           /* after all done()s; NULL is fine */

/* What is known of a finished segment; kept as a memo under its key. */
struct segment {
    struct digest blob; /* the compressed bytes */
    uint64_t size;
    struct digest tar; /* the uncompressed ones */
    uint64_t tar_size;
    uint64_t head_size, head_tar_size; /* how much of either the folders take */
    struct digest index; /* blob listing the entries (path, type, mode, size, crc32 or target) */
    /* The same segment followed by the end-of-archive frame: a layer of its own. */
    struct digest layer_blob, layer_tar; /* layer digest and diff_id */
    uint64_t layer_size;
    uint64_t entry_count;
    enum compression compression;
};

struct segment_job {
    struct store *store;
    struct packer *packer;
    struct segment_plan *plan; /* released by the job when it ends */
    enum compression compression;
    int64_t source_date_epoch;             /* seconds */
    void (*done)(struct segment_job *job); /* loop thread */
    void *ctx;
    struct segment segment; /* result */
    struct err err;
    void *state; /* the builder's own */
};

void segment_build(struct segment_job *job);
/* No new pieces are started; done() follows with ERR_CANCELLED. */
void segment_build_cancel(struct segment_job *job);

json_t *segment_json(const struct segment *s);
bool segment_from_json(const json_t *json, struct segment *out);

#endif
