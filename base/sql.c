/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sql.h"

#include <assert.h>
#include <errno.h>
#include <sqlite3.h>

#include "base/mem.h"
#include "base/sql_vfs.h"

struct sql_stmt {
    sqlite3_stmt *handle;
    struct sql_set *set;
    int rc; /* of the last step */
};

struct sql_set {
    struct sql *db;
    const struct sql_schema *schema;
    struct sql_stmt *stmts;
    struct sql_set *next;
};

struct sql {
    sqlite3 *handle;
    struct sql_set *sets;
    int depth; /* of transactions */
    bool read_only;
};

static enum err_code code_of(sqlite3 *h, int rc)
{
    int e = sqlite3_system_errno(h);
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return ERR_BUSY;
    case SQLITE_FULL: return ERR_NO_SPACE;
    case SQLITE_IOERR: return e == ENOSPC || e == EDQUOT ? ERR_NO_SPACE : ERR_IO;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return ERR_CORRUPT;
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_READONLY: return ERR_DENIED;
    case SQLITE_CANTOPEN: return e == EACCES || e == EPERM ? ERR_DENIED : ERR_IO;
    case SQLITE_CONSTRAINT: return ERR_CONFLICT;
    case SQLITE_TOOBIG: return ERR_TOO_LARGE;
    default: return ERR_INTERNAL;
    }
}

static bool fail(const struct sql *db, int rc, const char *what, struct err *err)
{
    assert((rc & 0xff) != SQLITE_MISUSE && (rc & 0xff) != SQLITE_RANGE);
    err_set(err, code_of(db->handle, rc), "database: %s: %s", what, sqlite3_errmsg(db->handle));
    if (err)
        err->sys_errno = sqlite3_system_errno(db->handle);
    return false;
}

bool sql_exec(struct sql *db, const char *text, struct err *err)
{
    int rc = sqlite3_exec(db->handle, text, NULL, NULL, NULL);
    return rc == SQLITE_OK ? true : fail(db, rc, "statement", err);
}

/* Changing to WAL mode, and the recovery after the last connection closed, need the file for
 * themselves; SQLite reports them busy at once, without asking the busy timeout. */
static bool use_wal(struct sql *db, int64_t busy_ms, struct err *err)
{
    for (int64_t waited_ms = 0;; waited_ms += 2) {
        struct err why = {0};
        if (sql_exec(db, "PRAGMA journal_mode = WAL", &why))
            return true;
        if (why.code != ERR_BUSY || waited_ms >= busy_ms) {
            if (err)
                *err = why;
            return false;
        }
        sqlite3_sleep(2);
    }
}

/* Who opens the file first reads all of its log, so that it must not grow long. */
#define KEPT_WAL_PAGES 500

static void keep_wal(struct sql *db)
{
    int on = 1;
    sqlite3_wal_autocheckpoint(db->handle, KEPT_WAL_PAGES);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, on, NULL);
    sqlite3_file_control(db->handle, NULL, SQLITE_FCNTL_PERSIST_WAL, &on);
}

static bool set_up(struct sql *db, const struct sql_options *o, struct err *err)
{
    int64_t busy_ms = o->busy_ms ? o->busy_ms : 10000;
    AUTO_FREE char *pragmas = mem_printf(
        "PRAGMA foreign_keys = ON; PRAGMA cache_size = -%lld; PRAGMA temp_store = MEMORY;"
        " PRAGMA trusted_schema = OFF; %s PRAGMA synchronous = %s;",
        (long long)(o->cache_kib ? o->cache_kib : 16 << 10),
        o->read_only ? "PRAGMA query_only = ON;" : "", o->relaxed ? "NORMAL" : "FULL");
    sqlite3_busy_timeout(db->handle, (int)busy_ms);
    /* Programs that open a relaxed file for a moment leave its write-ahead log as it is: merging
     * it at each close, and making a new one at each open, would cost four waits for the disk. */
    if (o->relaxed)
        keep_wal(db);
    return (o->read_only || use_wal(db, busy_ms, err)) && sql_exec(db, pragmas, err);
}

struct sql *sql_open(const char *path, const struct sql_options *opts, struct err *err)
{
    struct sql_options none = {0};
    const struct sql_options *o = opts ? opts : &none;
    struct sql *db = MEM_NEW(struct sql);
    db->read_only = o->read_only;
    /* Read-only connections open for writing too: a reader of a WAL file may have to make
     * its shared memory file. query_only keeps them from writing rows. */
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                (o->read_only ? 0 : SQLITE_OPEN_CREATE);
    int rc = sqlite3_open_v2(path, &db->handle, flags, sql_vfs_name());
    if (rc != SQLITE_OK)
        fail(db, rc, "open", err);
    if (rc != SQLITE_OK || !set_up(db, o, err)) {
        sql_close(db);
        err_wrap(err, "%s", path);
        return NULL;
    }
    return db;
}

void sql_close(struct sql *db)
{
    if (!db)
        return;
    while (db->sets) {
        struct sql_set *set = db->sets;
        db->sets = set->next;
        for (size_t i = 0; i < set->schema->statement_count; i++)
            sqlite3_finalize(set->stmts[i].handle);
        free(set->stmts);
        free(set);
    }
    sqlite3_close(db->handle);
    free(db);
}

/* The schema's version in this file; 0 when it has none. */
static bool version_get(struct sql *db, const char *name, int64_t *version, struct err *err)
{
    sqlite3_stmt *q = NULL;
    *version = 0;
    int rc = sqlite3_prepare_v2(db->handle, "SELECT version FROM schema_version WHERE name = ?1",
                                -1, &q, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK && (rc = sqlite3_step(q)) == SQLITE_ROW)
        *version = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? true : fail(db, rc, "schema version", err);
}

static bool version_put(struct sql *db, const char *name, size_t version, struct err *err)
{
    char *text = sqlite3_mprintf("INSERT INTO schema_version (name, version) VALUES (%Q, %lld)"
                                 " ON CONFLICT (name) DO UPDATE SET version = excluded.version",
                                 name, (long long)version);
    bool ok = sql_exec(db, text, err);
    sqlite3_free(text);
    return ok;
}

static bool apply(struct sql *db, const struct sql_schema *schema, struct err *err)
{
    int64_t have = 0;
    if (!version_get(db, schema->name, &have, err))
        return false;
    for (size_t i = (size_t)have; i < schema->migration_count; i++)
        if (!sql_exec(db, schema->migrations[i], err))
            return err_wrap(err, "schema %s: migration %zu", schema->name, i);
    return (size_t)have >= schema->migration_count ||
           version_put(db, schema->name, schema->migration_count, err);
}

static bool migrate(struct sql *db, const struct sql_schema *schema, struct err *err)
{
    int64_t have = 0;
    bool known = version_get(db, schema->name, &have, NULL);
    if (known && have > (int64_t)schema->migration_count)
        return err_set(err, ERR_UNSUPPORTED,
                       "database: schema %s has version %lld and this program knows %zu: it was "
                       "written by a newer one, upgrade this one",
                       schema->name, (long long)have, schema->migration_count);
    if (known && have == (int64_t)schema->migration_count)
        return true;
    if (db->read_only)
        return err_set(err, ERR_NOT_FOUND, "database: schema %s is not there yet", schema->name);
    /* All of it in one transaction: a crash leaves the old version or the new one. */
    if (!sql_begin(db, err))
        return false;
    if (!sql_exec(db,
                  "CREATE TABLE IF NOT EXISTS schema_version"
                  " (name TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID",
                  err) ||
        !apply(db, schema, err)) {
        sql_rollback(db);
        return false;
    }
    return sql_commit(db, err);
}

struct sql_set *sql_add(struct sql *db, const struct sql_schema *schema, struct err *err)
{
    if (!migrate(db, schema, err))
        return NULL;
    struct sql_set *set = MEM_NEW(struct sql_set);
    set->db = db;
    set->schema = schema;
    set->stmts = mem_array(schema->statement_count, sizeof(*set->stmts));
    set->next = db->sets;
    db->sets = set;
    return set;
}

struct sql *sql_set_db(const struct sql_set *set)
{
    return set->db;
}

struct sql_stmt *sql_use(struct sql_set *set, int id)
{
    assert(id >= 0 && (size_t)id < set->schema->statement_count);
    struct sql_stmt *q = &set->stmts[id];
    q->set = set;
    if (q->handle) {
        sqlite3_reset(q->handle);
        sqlite3_clear_bindings(q->handle);
        q->rc = SQLITE_OK;
    } else {
        q->rc = sqlite3_prepare_v3(set->db->handle, set->schema->statements[id], -1,
                                   SQLITE_PREPARE_PERSISTENT, &q->handle, NULL);
        /* A statement that does not parse is our mistake; one that could not read the
         * schema (busy, I/O) reports it from its step. */
        if (q->rc == SQLITE_ERROR)
            fprintf(stderr, "database: %s\n  in: %s\n", sqlite3_errmsg(set->db->handle),
                    set->schema->statements[id]);
        assert(q->rc != SQLITE_ERROR);
    }
    return q;
}

static void bound(const struct sql_stmt *q, int rc)
{
    assert(rc == SQLITE_OK || q->rc != SQLITE_OK);
}

void sql_bind_int(struct sql_stmt *q, int at, int64_t value)
{
    bound(q, sqlite3_bind_int64(q->handle, at, value));
}

void sql_bind_real(struct sql_stmt *q, int at, double value)
{
    bound(q, sqlite3_bind_double(q->handle, at, value));
}

void sql_bind_text(struct sql_stmt *q, int at, struct span text)
{
    bound(q, text.ptr ? sqlite3_bind_text64(q->handle, at, text.ptr, text.len, SQLITE_STATIC,
                                            SQLITE_UTF8)
                      : sqlite3_bind_null(q->handle, at));
}

void sql_bind_str(struct sql_stmt *q, int at, const char *text)
{
    sql_bind_text(q, at, text ? span_str(text) : (struct span){0});
}

void sql_bind_blob(struct sql_stmt *q, int at, struct span bytes)
{
    bound(q, bytes.ptr ? sqlite3_bind_blob64(q->handle, at, bytes.ptr, bytes.len, SQLITE_STATIC)
                       : sqlite3_bind_null(q->handle, at));
}

void sql_bind_null(struct sql_stmt *q, int at)
{
    bound(q, sqlite3_bind_null(q->handle, at));
}

bool sql_next(struct sql_stmt *q)
{
    if (q->handle && (q->rc == SQLITE_OK || q->rc == SQLITE_ROW))
        q->rc = sqlite3_step(q->handle);
    return q->rc == SQLITE_ROW;
}

bool sql_end(struct sql_stmt *q, struct err *err)
{
    int rc = q->rc;
    bool ok = rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE;
    if (!ok)
        fail(q->set->db, rc, "statement", err);
    sqlite3_reset(q->handle);
    q->rc = SQLITE_OK;
    return ok;
}

bool sql_run(struct sql_stmt *q, struct err *err)
{
    while (sql_next(q))
        ;
    return sql_end(q, err);
}

int64_t sql_int(const struct sql_stmt *q, int column)
{
    return sqlite3_column_int64(q->handle, column);
}

double sql_real(const struct sql_stmt *q, int column)
{
    return sqlite3_column_double(q->handle, column);
}

struct span sql_text(const struct sql_stmt *q, int column)
{
    const char *p = (const char *)sqlite3_column_text(q->handle, column);
    return span_of(p, p ? (size_t)sqlite3_column_bytes(q->handle, column) : 0);
}

struct span sql_blob(const struct sql_stmt *q, int column)
{
    if (sql_is_null(q, column))
        return (struct span){0};
    const char *p = sqlite3_column_blob(q->handle, column);
    return span_of(p ? p : "", (size_t)sqlite3_column_bytes(q->handle, column));
}

bool sql_is_null(const struct sql_stmt *q, int column)
{
    return sqlite3_column_type(q->handle, column) == SQLITE_NULL;
}

int64_t sql_changes(const struct sql *db)
{
    return sqlite3_changes64(db->handle);
}

int64_t sql_last_id(const struct sql *db)
{
    return sqlite3_last_insert_rowid(db->handle);
}

/* Statements still at a row would keep a read transaction open past its end. */
static void end_statements(struct sql *db)
{
    for (sqlite3_stmt *s = NULL; (s = sqlite3_next_stmt(db->handle, s));)
        if (sqlite3_stmt_busy(s))
            sqlite3_reset(s);
}

static bool step_in(struct sql *db, const char *verb, int depth, struct err *err)
{
    char text[64];
    snprintf(text, sizeof(text), "%s s%d", verb, depth);
    return sql_exec(db, text, err);
}

bool sql_begin(struct sql *db, struct err *err)
{
    bool ok =
        db->depth ? step_in(db, "SAVEPOINT", db->depth, err) : sql_exec(db, "BEGIN IMMEDIATE", err);
    db->depth += ok;
    return ok;
}

bool sql_begin_read(struct sql *db, struct err *err)
{
    assert(!db->depth);
    bool ok = sql_exec(db, "BEGIN", err);
    db->depth += ok;
    return ok;
}

bool sql_commit(struct sql *db, struct err *err)
{
    assert(db->depth > 0);
    /* SQLite ends a transaction by itself after some errors (a full disk); what the caller
     * believes to commit is then gone. */
    if (sqlite3_get_autocommit(db->handle)) {
        db->depth--;
        return err_set(err, ERR_IO, "database: the transaction was lost to an earlier error");
    }
    if (db->depth > 1 ? step_in(db, "RELEASE", db->depth - 1, err) : sql_exec(db, "COMMIT", err)) {
        db->depth--;
        return true;
    }
    sql_rollback(db);
    return false;
}

void sql_rollback(struct sql *db)
{
    assert(db->depth > 0);
    db->depth--;
    end_statements(db);
    if (sqlite3_get_autocommit(db->handle))
        return;
    if (db->depth) {
        step_in(db, "ROLLBACK TO", db->depth, NULL);
        step_in(db, "RELEASE", db->depth, NULL);
    } else {
        sql_exec(db, "ROLLBACK", NULL);
    }
}

bool sql_in_transaction(const struct sql *db)
{
    return db->depth > 0;
}

void sql_merge_after(struct sql *db, int pages)
{
    sqlite3_wal_autocheckpoint(db->handle, pages);
}

bool sql_merge(struct sql *db, struct err *err)
{
    int rc = sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return rc == SQLITE_OK || rc == SQLITE_BUSY || fail(db, rc, "merge the log", err);
}
