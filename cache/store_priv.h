/* SPDX-License-Identifier: Apache-2.0 */
/* store_priv.h - what the files of cache/ know of a store. */
#ifndef STRATA_CACHE_STORE_PRIV_H
#define STRATA_CACHE_STORE_PRIV_H

#include <stdatomic.h>
#include <sys/stat.h>
#include <uv.h>

#include "cache/cache_sql_priv.h"
#include "cache/store.h"

struct store {
    char *path;
    int dir_fd, blobs_fd, staging_fd, holds_fd;
    mode_t dir_mode;  /* 0755 for root, else 0700 */
    uv_mutex_t mutex; /* around db and the hold */
    struct sql *db;
    struct sql_set *sql;
    int hold_fd, hold_count;
    char hold_name[40];
    _Atomic int64_t hold_start_ns; /* 0: none */
};

#define BLOB_NAME_SIZE 68 /* "ab/" + hex + NUL */

/* The blob's path below blobs_fd. */
const char *blob_name(const struct digest *d, char out[BLOB_NAME_SIZE]);
/* stat, and marks it as used now; false with errno. */
bool blob_use(struct store *s, const char *name, struct stat *st);

/* Without marking it as used, for a collector. */
bool blob_is_there(struct store *s, const struct digest *d);
bool blob_map_quietly(struct store *s, const struct digest *d, struct io_map *out, struct err *err);

/* Several spans at once, of what an artifact will hold: the disk begins to write them. */
bool blob_writer_addv(struct blob_writer *w, const struct span *bytes, size_t count,
                      struct err *err);
/* What the blob's digest would be if `tail` followed. */
struct digest blob_writer_digest_with(const struct blob_writer *w, struct span tail);

/* durable.c: called once by store_open. */
bool store_check_after_boot(struct store *s, struct err *err);

/* The statement with the mutex held; store_sql_end gives it back. */
struct sql_stmt *store_sql(struct store *s, enum cache_sql id);
bool store_sql_run(struct store *s, struct sql_stmt *q, struct err *err); /* runs, gives back */
bool store_sql_end(struct store *s, struct sql_stmt *q, struct err *err); /* gives back */

static inline struct span digest_span(const struct digest *d)
{
    return span_of(d->bytes, DIGEST_BYTES);
}
/* A column holding a digest. */
bool store_sql_digest(const struct sql_stmt *q, int column, struct digest *out);

/* A random name "PREFIX-<16 letters>" into out. */
void store_random_name(const char *prefix, char out[40]);

static inline int64_t stat_mtime_ns(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

#endif
