/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite back end: conformance, and what only it can show. */
#include <unistd.h>

#include "base/mem.h"
#include "base/sql.h"
#include "tests/queue/conformance.h"
#include "tests/test_main.h"

static char *db_path(void)
{
    return mem_printf("%s/queue.db", test_folder());
}

static void reset(void)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < COUNT(suffixes); i++) {
        AUTO_FREE char *path = db_path();
        AUTO_FREE char *file = mem_printf("%s%s", path, suffixes[i]);
        unlink(file);
    }
}

static struct queue *open_queue(const struct queue_options *options)
{
    struct err err = {0};
    AUTO_FREE char *path = db_path();
    struct queue *q = queue_sqlite_open(path, options, &err);
    ck_assert_msg(q, "%s", err.text);
    return q;
}

START_TEST(two_workers_on_one_file_never_get_one_job)
{
    reset();
    struct err err = {0};
    struct queue *a = open_queue(NULL), *b = open_queue(NULL);
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%d", i);
        struct queue_new n = {.workspace = "ws", .build_key = key, .payload = "{}"};
        struct queue_added out;
        ck_assert(a->ops->enqueue(a, &n, i, &out, &err));
        job_release(&out.job);
    }
    bool seen[100] = {false};
    for (int i = 0; i < 100; i++) {
        struct queue *q = i % 3 ? a : b;
        AUTO_JOB struct job j = {0};
        ck_assert(q->ops->lease(q, i % 3 ? "a" : "b", 1000, &j, &err) && j.id[0]);
        int n = atoi(j.build_key);
        ck_assert(!seen[n]);
        seen[n] = true;
    }
    queue_close(a);
    queue_close(b);
}
END_TEST

static const struct backend sqlite = {reset, open_queue};

Suite *test_suite(void)
{
    Suite *s = suite_create("queue_sqlite");
    suite_add_tcase(s, conformance_case(&sqlite));
    TCase *tc = tcase_create("sqlite");
    tcase_add_test(tc, two_workers_on_one_file_never_get_one_job);
    suite_add_tcase(s, tc);
    return s;
}
