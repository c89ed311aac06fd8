/* SPDX-License-Identifier: Apache-2.0 */
/* db.h - the state's two threads: one writes, one reads.
 *
 * The writer takes whatever tasks wait and runs them in one transaction, each in a savepoint of
 * its own, so that under load many requests share one fsync; a task that fails is undone
 * alone. When the commit itself fails, all of them did. Readers see the last commit and wait
 * for no writer.
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
    void (*done)(struct db_task *t);
    struct problem problem;
    struct db_task *next; /* the db's own */
};

struct db *db_open(uv_loop_t *loop, const char *path, const struct queue_options *options,
                   struct err *err);
void db_write(struct db *d, struct db_task *t);
void db_read(struct db *d, struct db_task *t);
/* Runs what waits, then stops; the loop must run once more. No done() comes after it. */
void db_free(struct db *d);
/* Tasks that wait or run. */
size_t db_pending(const struct db *d);

#endif
