/* SPDX-License-Identifier: Apache-2.0 */
/* sql.h - SQLite: a connection, statements by number, transactions, migrations.
 *
 * Each folder that keeps rows describes them once, as a schema: its migrations in order and
 * its statements, indexed by an enum of its own. Several schemas may share one file and one
 * connection, so that one transaction can span them.
 *
 *     struct sql_set *set = sql_add(db, &pin_schema, err);       // migrates, prepares
 *     struct sql_stmt *q = sql_use(set, SQL_PIN_ADD);
 *     sql_bind_text(q, 1, session);
 *     if (!sql_run(q, err)) return err_wrap(err, "pin");
 *
 *     q = sql_use(set, SQL_PIN_LIST);
 *     while (sql_next(q)) use(sql_text(q, 0));                   // spans die at the next step
 *     if (!sql_end(q, err)) ...
 *
 * A statement is prepared when first used and stays prepared. sql_begin takes the write
 * mutex at once (BEGIN IMMEDIATE), so a transaction never fails half-way for another writer;
 * inside a transaction it nests (a savepoint). Files are in WAL mode: readers on other
 * connections see the last commit and never wait.
 *
 * Ownership: sets and statements belong to the connection. Bound texts and blobs are not
 *            copied: they must live until the statement ends.
 * Units:     milliseconds.
 * Errors:    ERR_BUSY (another process writes), ERR_NO_SPACE, ERR_IO, ERR_CORRUPT,
 *            ERR_DENIED, ERR_CONFLICT (a constraint), ERR_UNSUPPORTED (the file was made by
 *            a newer version). Binding and reading cannot fail; a wrong number asserts.
 * Threads:   one connection, one thread at a time. */
#ifndef STRATA_BASE_SQL_H
#define STRATA_BASE_SQL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

struct sql;
struct sql_set;
struct sql_stmt;

struct sql_schema {
    const char *name;              /* its row in the table of schema versions */
    const char *const *migrations; /* [i]: from version i to i + 1, any number of statements */
    size_t migration_count;
    const char *const *statements; /* one statement each, by the enum */
    size_t statement_count;
};

struct sql_options {
    bool read_only;    /* the file must be there and migrated */
    bool relaxed;      /* a commit survives a crash of ours, not always a power cut */
    int64_t busy_ms;   /* how long a writer waits for another; 0: 10 s */
    int64_t cache_kib; /* page cache; 0: 16 MiB */
};

/* opts NULL: the defaults. path ":memory:" is a private database. */
struct sql *sql_open(const char *path, const struct sql_options *opts, struct err *err);
void sql_close(struct sql *db); /* NULL is fine; an open transaction is rolled back */

struct sql_set *sql_add(struct sql *db, const struct sql_schema *schema, struct err *err);
struct sql *sql_set_db(const struct sql_set *set);

/* The statement, ready for binding; what it was at before is ended. */
struct sql_stmt *sql_use(struct sql_set *set, int id);

void sql_bind_int(struct sql_stmt *q, int at, int64_t value); /* at: from 1 */
void sql_bind_real(struct sql_stmt *q, int at, double value);
void sql_bind_text(struct sql_stmt *q, int at, struct span text); /* ptr NULL: NULL */
void sql_bind_str(struct sql_stmt *q, int at, const char *text);  /* NULL: NULL */
void sql_bind_blob(struct sql_stmt *q, int at, struct span bytes);
void sql_bind_null(struct sql_stmt *q, int at);

bool sql_next(struct sql_stmt *q);                 /* true: a row; false: no more, or an error */
bool sql_end(struct sql_stmt *q, struct err *err); /* must follow; false: what went wrong */
bool sql_run(struct sql_stmt *q, struct err *err); /* to the end, rows dropped */

/* Columns of the row, from 0. */
int64_t sql_int(const struct sql_stmt *q, int column);
double sql_real(const struct sql_stmt *q, int column);
struct span sql_text(const struct sql_stmt *q, int column); /* ptr NULL: NULL */
struct span sql_blob(const struct sql_stmt *q, int column);
bool sql_is_null(const struct sql_stmt *q, int column);

int64_t sql_changes(const struct sql *db); /* rows of the last INSERT, UPDATE or DELETE */
int64_t sql_last_id(const struct sql *db);

bool sql_begin(struct sql *db, struct err *err);
/* False: nothing of it is kept and the transaction (or savepoint) is over. */
bool sql_commit(struct sql *db, struct err *err);
void sql_rollback(struct sql *db);
bool sql_in_transaction(const struct sql *db);

/* A read transaction: what follows sees one state of the file. Ended by sql_commit. */
bool sql_begin_read(struct sql *db, struct err *err);

/* The write-ahead log is merged into the file by commits, when it has grown by so many pages, which
 * then take long; 0: not by commits of this connection. */
void sql_merge_after(struct sql *db, int pages);
/* Merges what of it can be merged without anybody waiting, as another connection may do. */
bool sql_merge(struct sql *db, struct err *err);

/* Statements outside any set, for tests and maintenance; rows are dropped. */
bool sql_exec(struct sql *db, const char *text, struct err *err);

static inline void sql_close_ptr(struct sql **db)
{
    sql_close(*db);
}
#define AUTO_SQL __attribute__((cleanup(sql_close_ptr)))

#endif
