/* SPDX-License-Identifier: Apache-2.0 */
/* How SQLite would run each statement: none may look at all rows of a table that grows. */
#include <sqlite3.h>
#include <stdio.h>

#include "base/mem.h"
#include "queue/queue_sqlite_priv.h"
#include "tests/test_main.h"
#include "worker/api/state_priv.h"

static const char *const big[] = {"environment", "version", "pin", "artifact", "artifact_seen",
                                  "event",       "lock",    "job", "e",        "v",
                                  "idempotency"};

/* What may: each with its reason. */
static const struct {
    const struct sql_schema *schema;
    int id;
} exempt[] = {
    {&state_schema, SQL_PIN_EACH},              /* all pins, once at start */
    {&state_schema, SQL_KEY_LIST},              /* keys are few */
    {&queue_sqlite_schema, SQL_LIST_ALL},       /* the newest of all, by key, with a limit */
    {&queue_sqlite_schema, SQL_LIST_ALL_STATE}, /* no client can ask for all workspaces */
    {&queue_sqlite_schema, SQL_STATS},          /* counts the dead, by an index of them alone */
};

static bool is_exempt(const struct sql_schema *schema, int id)
{
    for (size_t i = 0; i < COUNT(exempt); i++)
        if (exempt[i].schema == schema && exempt[i].id == id)
            return true;
    return false;
}

/* "SCAN pin", "SCAN job USING INDEX job_list": every row, in whatever order. Sorting is as bad:
 * it happens before the limit. */
static bool is_bad(const char *step)
{
    struct span words = span_str(step), verb, table, rest;
    if (span_starts(words, SPAN("USE TEMP B-TREE")))
        return true;
    if (!span_cut_char(words, ' ', &verb, &rest) || !span_eq(verb, SPAN("SCAN")))
        return false;
    if (!span_cut_char(rest, ' ', &table, &rest))
        table = span_skip(words, verb.len + 1);
    for (size_t i = 0; i < COUNT(big); i++)
        if (span_eq_str(table, big[i]))
            return true;
    return false;
}

static void check(sqlite3 *db, const struct sql_schema *schema, int id)
{
    AUTO_FREE char *text = mem_printf("EXPLAIN QUERY PLAN %s", schema->statements[id]);
    sqlite3_stmt *q = NULL;
    ck_assert_msg(sqlite3_prepare_v2(db, text, -1, &q, NULL) == SQLITE_OK, "%s: %s",
                  sqlite3_errmsg(db), text);
    while (sqlite3_step(q) == SQLITE_ROW) {
        const char *step = (const char *)sqlite3_column_text(q, 3);
        ck_assert_msg(!is_bad(step) || is_exempt(schema, id), "%s\nin: %s", step, text);
    }
    sqlite3_finalize(q);
}

START_TEST(no_statement_looks_at_all_rows_of_a_table_that_grows)
{
    AUTO_FREE char *path = mem_printf("%s/worker.db", test_folder());
    struct state s;
    struct err err = {0};
    sqlite3 *db = NULL;
    ck_assert_msg(state_open(&s, path, false, NULL, &err), "%s", err.text);
    state_close(&s);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    for (int i = 0; i < STATE_SQL_COUNT; i++)
        check(db, &state_schema, i);
    for (int i = 0; i < QUEUE_SQL_COUNT; i++)
        check(db, &queue_sqlite_schema, i);
    sqlite3_close(db);
}
END_TEST

START_TEST(scans_and_sorts_are_seen)
{
    ck_assert(is_bad("SCAN pin") && is_bad("SCAN job USING COVERING INDEX job_list"));
    ck_assert(is_bad("SCAN e USING INDEX environment_list") &&
              is_bad("USE TEMP B-TREE FOR ORDER BY"));
    ck_assert(!is_bad("SCAN lane") && !is_bad("SEARCH pin USING INDEX pin_waiting (build=?)"));
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("state_plan");
    TCase *tc = tcase_create("plan");
    tcase_add_test(tc, no_statement_looks_at_all_rows_of_a_table_that_grows);
    tcase_add_test(tc, scans_and_sorts_are_seen);
    suite_add_tcase(s, tc);
    return s;
}
