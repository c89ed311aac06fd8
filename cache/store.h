/* SPDX-License-Identifier: Apache-2.0 */
/* store.h - the state folder: blobs by digest, registry metadata, and the index.
 *
 *   $STRATA_HOME/
 *     blobs/sha256/ab/<64 hex>   immutable bytes: packages, segments, manifests, configs
 *     meta/ab/<64 hex>           registry metadata with its validators (meta.h)
 *     dirs/sha256/<64 hex>/      layers unpacked for mounting
 *     staging/                   files being written; swept at start by age
 *     strata.db                  SQLite: memos, artifacts, pins, and the worker's tables
 *
 * A blob is staged, hashed while written, then renamed: readers see a whole blob or none.
 * Several processes share one store; nothing here needs a daemon.
 *
 * Waiting for the disk after each of some hundred files would cost more than downloading
 * them, so a blob is at first only handed to the kernel, and its file mode (writable) says so.
 * What an artifact is made of is fsynced before the artifact is published and becomes
 * read-only. The first store_open after a reboot re-hashes what is still writable and removes
 * what the power cut spoilt: a blob that can be opened is whole.
 *
 * Memos are facts worth remembering that can be found again: what a request resolved to, which
 * segment a key became, which blob has a promised SHA-512. Losing one costs time, not
 * correctness.
 *
 * Ownership: descriptors and maps returned are the caller's.
 * Units:     bytes; times in ms since the epoch.
 * Errors:    ERR_IO, ERR_NO_SPACE, ERR_DENIED, ERR_NOT_FOUND, ERR_CORRUPT, ERR_BUSY.
 * Threads:   every call from any thread; they block (files, SQLite). */
#ifndef STRATA_CACHE_STORE_H
#define STRATA_CACHE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/io.h"
#include "base/json.h"

struct store;

/* Opens, making what is missing. path NULL: $STRATA_HOME; else /var/lib/strata for root; else
 * $XDG_DATA_HOME/strata or ~/.local/share/strata. */
bool store_open(struct store **out, const char *path, struct err *err);
void store_close(struct store *s); /* NULL is fine */
const char *store_path(const struct store *s);
int store_dir_fd(const struct store *s); /* the folder, for openat */

/* While it holds the store, nothing that a build uses or makes is collected, whatever the
 * grace time: a build begins one before its first look-up and ends it once its artifact is
 * pinned or may go. Ends by itself with the process. They nest. */
bool store_hold(struct store *s, struct err *err);
void store_unhold(struct store *s);

/* Blobs. */
bool store_has_blob(struct store *s, const struct digest *d, uint64_t *size); /* size may be NULL */
int store_open_blob(struct store *s, const struct digest *d, struct err *err); /* -1 on error */
bool store_map_blob(struct store *s, const struct digest *d, struct io_map *out, struct err *err);
bool store_put_blob(struct store *s, struct span bytes, struct digest *out, struct err *err);
/* Reads all of it and compares: ERR_CORRUPT when it does not match. */
bool store_verify_blob(struct store *s, const struct digest *d, struct err *err);
/* Removes a bad blob, so that it is fetched or made again. */
bool store_drop_blob(struct store *s, const struct digest *d, struct err *err);
/* Makes blobs survive a power cut. ERR_NOT_FOUND names the one that is not there. */
bool store_sync_blobs(struct store *s, const struct digest *blobs, size_t count, struct err *err);

/* A blob being written, by one thread at a time. */
struct blob_writer;
struct blob_writer *blob_writer_new(struct store *s, struct err *err);
bool blob_writer_add(struct blob_writer *w, struct span bytes, struct err *err);
bool blob_writer_restart(struct blob_writer *w, struct err *err); /* from the first byte again */
uint64_t blob_writer_size(const struct blob_writer *w);
/* Checks `expect` (NULL or algo HASH_NONE: nothing) of any algorithm, then publishes. Frees
 * *w whatever happens. ERR_DIGEST_MISMATCH tells both hashes. */
bool blob_writer_commit(struct blob_writer *w, const struct hash *expect, struct digest *out,
                        struct err *err);
void blob_writer_free(struct blob_writer *w); /* drops it; NULL is fine */
/* To be called before the first byte when `expect` is not SHA-256, so both are hashed at once. */
void blob_writer_expect(struct blob_writer *w, enum hash_algo algo);

/* Memos: (kind, key) -> text. */
bool store_memo_get(struct store *s, const char *kind, const struct digest *key, struct buf *out,
                    int64_t *age_ms); /* false: not there. age_ms may be NULL */
void store_memo_put(struct store *s, const char *kind, const struct digest *key, struct span text);
void store_memo_drop(struct store *s, const char *kind, const struct digest *key);

/* Which blob has this hash (any algorithm); remembered by blob_writer_commit. */
bool store_find_hash(struct store *s, const struct hash *h, struct digest *out);

#endif
