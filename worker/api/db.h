/* SPDX-License-Identifier: Apache-2.0 */
/* db.h - the state's two threads: one writes, one reads.
 *
 * The writer takes what waits, for a few milliseconds, and runs it in one transaction, each task in
 * a savepoint of its own, so that under load many requests share one fsync; a task that fails
 * is undone alone. When the commit itself fails, all of them did. Readers see the last commit
 * and wait for no writer; each of their tasks is done as soon as it was run.
 *
 * Ownership: a task is the caller's memory until its done() ran.
 * Errors:    a task sets its problem; db sets it when the transaction could not begin or commit.
 * Threads:   db_write, db_read, db_free: loop thread. work() runs on a db thread, done() on
 *            the loop thread, once, never from inside db_write or db_read. */
#ifndef STRATA_WORKER_API_DB_H
#define STRATA_WORKER_API_DB_H

#include <uv.h>

#include "worker/api/state.h"

struct db;

struct db_task {
    void (*work)(struct db_task *t, struct state *s);
    /* After db_read: what the writer shall run next, unless work() left a problem; straight from
     * one thread to the other. NULL: nothing. */
    void (*write)(struct db_task *t, struct state *s);
    void (*done)(struct db_task *t);
    struct problem problem;
    /* The db's own: */
    struct db_task *next;
    int64_t since_us;
};

struct db *db_open(uv_loop_t *loop, const char *path, const struct queue_options *options,
                   struct err *err);
/* Called by the writer before a commit: what its tasks did elsewhere must last as long as their
 * rows. False (with err): none of them is kept. */
void db_before_commit(struct db *d, bool (*settle)(void *ctx, struct err *err), void *ctx);
void db_write(struct db *d, struct db_task *t);
void db_read(struct db *d, struct db_task *t);
/* Runs what waits, then stops; the loop must run once more. No done() comes after it. */
void db_free(struct db *d);
/* Tasks that wait or run. */
size_t db_pending(const struct db *d);

/* How long things took, in buckets of at most DB_BUCKET_US[i] microseconds; the last one: more. */
#define DB_BUCKETS 10
extern const int64_t db_bucket_us[DB_BUCKETS - 1];
struct db_times {
    uint64_t buckets[DB_BUCKETS], us, count;
};
void db_times_add(struct db_times *t, int64_t us);
struct db_stats {
    struct db_times read_wait, write_wait; /* from handing a task over to its work() */
    struct db_times commit;                /* settling and committing a batch */
    uint64_t written;                      /* tasks in those batches */
};
struct db_stats db_stats(struct db *d); /* any thread */

#endif
