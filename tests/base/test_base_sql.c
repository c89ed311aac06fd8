/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite wrapper: migrations, transactions, errors by name. */
#include <errno.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/sql.h"
#include "tests/test_main.h"

enum { PUT, GET, COUNT_ROWS, CHECK, STATEMENTS };

static const char *const migrations[] = {
    "CREATE TABLE thing (name TEXT PRIMARY KEY, n INTEGER NOT NULL, data BLOB) WITHOUT ROWID",
    "ALTER TABLE thing ADD COLUMN note TEXT; CREATE INDEX thing_n ON thing (n)",
    "this is not SQL",
};
static const char *const statements[STATEMENTS] = {
    [PUT] = "INSERT INTO thing (name, n, data) VALUES (?1, ?2, ?3)",
    [GET] = "SELECT n, data FROM thing WHERE name = ?1",
    [COUNT_ROWS] = "SELECT count(*) FROM thing",
    [CHECK] = "PRAGMA integrity_check",
};
static const struct sql_schema v1 = {"thing", migrations, 1, statements, STATEMENTS};
static const struct sql_schema v2 = {"thing", migrations, 2, statements, STATEMENTS};
static const struct sql_schema broken = {"thing", migrations, 3, statements, STATEMENTS};

static bool put(struct sql_set *set, const char *name, int64_t n, struct err *err)
{
    struct sql_stmt *q = sql_use(set, PUT);
    sql_bind_str(q, 1, name);
    sql_bind_int(q, 2, n);
    sql_bind_blob(q, 3, SPAN("a\0b"));
    return sql_run(q, err);
}

static int64_t rows(struct sql_set *set)
{
    struct sql_stmt *q = sql_use(set, COUNT_ROWS);
    ck_assert(sql_next(q));
    int64_t n = sql_int(q, 0);
    ck_assert(sql_end(q, NULL));
    return n;
}

static struct sql *open_db(const struct sql_options *o)
{
    struct err err = {0};
    AUTO_FREE char *path = mem_printf("%s/db", test_folder());
    struct sql *db = sql_open(path, o, &err);
    ck_assert_msg(db, "%s", err.text);
    return db;
}

static void remove_db(void)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < COUNT(suffixes); i++) {
        AUTO_FREE char *path = mem_printf("%s/db%s", test_folder(), suffixes[i]);
        unlink(path);
    }
}

START_TEST(rows_survive_a_migration_and_older_programs_are_refused)
{
    struct err err = {0};
    struct sql *db = open_db(NULL);
    struct sql_set *set = sql_add(db, &v1, &err);
    ck_assert_msg(set && put(set, "a", 7, &err), "%s", err.text);
    sql_close(db);
    db = open_db(NULL);
    set = sql_add(db, &v2, &err);
    ck_assert_msg(set, "%s", err.text);
    struct sql_stmt *q = sql_use(set, GET);
    sql_bind_str(q, 1, "a");
    ck_assert(sql_next(q));
    ck_assert_int_eq(sql_int(q, 0), 7);
    ck_assert(span_eq(sql_blob(q, 1), SPAN("a\0b")));
    ck_assert(!sql_next(q) && sql_end(q, &err));
    ck_assert(!sql_add(db, &v1, &err));
    ck_assert_int_eq(err.code, ERR_UNSUPPORTED);
    sql_close(db);
}
END_TEST

START_TEST(a_failed_migration_leaves_the_old_version)
{
    struct err err = {0};
    AUTO_SQL struct sql *db = open_db(NULL);
    ck_assert(sql_add(db, &v1, &err));
    ck_assert(!sql_add(db, &broken, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "migration 2"));
    ck_assert(!sql_in_transaction(db));
    ck_assert_msg(sql_add(db, &v2, &err), "%s", err.text);
}
END_TEST

START_TEST(an_inner_rollback_keeps_the_outer_transaction)
{
    struct err err = {0};
    AUTO_SQL struct sql *db = open_db(NULL);
    struct sql_set *set = sql_add(db, &v2, &err);
    ck_assert(sql_begin(db, &err) && put(set, "a", 1, &err));
    ck_assert(sql_begin(db, &err) && put(set, "b", 1, &err));
    sql_rollback(db);
    ck_assert(sql_begin(db, &err) && put(set, "c", 1, &err) && sql_commit(db, &err));
    ck_assert(sql_commit(db, &err));
    ck_assert_int_eq(rows(set), 2);
    ck_assert(sql_begin(db, &err) && put(set, "d", 1, &err));
    sql_rollback(db);
    ck_assert_int_eq(rows(set), 2);
}
END_TEST

START_TEST(a_constraint_is_a_conflict_and_the_statement_is_usable_after_it)
{
    struct err err = {0};
    AUTO_SQL struct sql *db = open_db(NULL);
    struct sql_set *set = sql_add(db, &v2, &err);
    ck_assert(put(set, "a", 1, &err) && !put(set, "a", 2, &err));
    ck_assert_int_eq(err.code, ERR_CONFLICT);
    ck_assert(put(set, "b", 2, &err));
}
END_TEST

START_TEST(a_second_writer_is_told_busy_and_a_reader_is_not_held_up)
{
    struct err err = {0};
    AUTO_SQL struct sql *a = open_db(NULL);
    struct sql_set *set_a = sql_add(a, &v2, &err);
    AUTO_SQL struct sql *b = open_db(&(struct sql_options){.busy_ms = 1});
    AUTO_SQL struct sql *r = open_db(&(struct sql_options){.read_only = true});
    ck_assert(sql_add(b, &v2, &err));
    struct sql_set *set_r = sql_add(r, &v2, &err);
    ck_assert_msg(set_r, "%s", err.text);
    ck_assert(sql_begin(a, &err) && put(set_a, "a", 1, &err));
    ck_assert(!sql_begin(b, &err));
    ck_assert_int_eq(err.code, ERR_BUSY);
    ck_assert_int_eq(rows(set_r), 0);
    ck_assert(sql_commit(a, &err));
    ck_assert_int_eq(rows(set_r), 1);
    ck_assert(!put(set_r, "z", 1, &err));
}
END_TEST

/* Each durable step of a commit in turn: the row is there or it is not, and the file is whole. */
START_TEST(a_commit_whose_nth_step_fails_leaves_all_or_nothing)
{
    struct err err = {0};
    for (int n = 1;; n++) {
        struct sql *db = open_db(NULL);
        struct sql_set *set = sql_add(db, &v2, &err);
        ck_assert_msg(set, "%s", err.text);
        int64_t before = rows(set);
        char first[16], second[16];
        snprintf(first, sizeof(first), "a%d", n);
        snprintf(second, sizeof(second), "b%d", n);
        err_clear(&err);
        fault_arm(n, ENOSPC);
        bool ok = sql_begin(db, &err);
        if (ok && (!put(set, first, n, &err) || !put(set, second, n, &err))) {
            sql_rollback(db);
            ok = false;
        } else if (ok) {
            ok = sql_commit(db, &err);
        }
        bool fired = fault_disarm();
        if (!ok)
            ck_assert_msg(err.code == ERR_NO_SPACE || err.code == ERR_IO, "%s", err.text);
        sql_close(db);
        db = open_db(NULL);
        set = sql_add(db, &v2, &err);
        int64_t after = rows(set);
        ck_assert_msg(after == before || after == before + 2, "step %d: %d rows became %d", n,
                      (int)before, (int)after);
        ck_assert(!ok || after == before + 2);
        struct sql_stmt *q = sql_use(set, CHECK);
        ck_assert(sql_next(q));
        ck_assert(span_eq(sql_text(q, 0), SPAN("ok")));
        sql_end(q, NULL);
        sql_close(db);
        if (!fired) {
            ck_assert_msg(ok, "%s", err.text);
            ck_assert_int_gt(n, 2);
            break;
        }
    }
}
END_TEST

START_TEST(a_file_that_is_no_database_is_corrupt)
{
    struct err err = {0};
    AUTO_FREE char *path = mem_printf("%s/not", test_folder());
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 4096; i++)
        fputc('x', f);
    fclose(f);
    ck_assert(!sql_open(path, NULL, &err));
    ck_assert_int_eq(err.code, ERR_CORRUPT);
    AUTO_FREE char *missing = mem_printf("%s/no/such", test_folder());
    ck_assert(!sql_open(missing, NULL, &err));
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("base_sql");
    TCase *tc = tcase_create("sql");
    tcase_add_checked_fixture(tc, remove_db, NULL);
    tcase_add_test(tc, rows_survive_a_migration_and_older_programs_are_refused);
    tcase_add_test(tc, a_failed_migration_leaves_the_old_version);
    tcase_add_test(tc, an_inner_rollback_keeps_the_outer_transaction);
    tcase_add_test(tc, a_constraint_is_a_conflict_and_the_statement_is_usable_after_it);
    tcase_add_test(tc, a_second_writer_is_told_busy_and_a_reader_is_not_held_up);
    tcase_add_test(tc, a_commit_whose_nth_step_fails_leaves_all_or_nothing);
    tcase_add_test(tc, a_file_that_is_no_database_is_corrupt);
    suite_add_tcase(s, tc);
    return s;
}
