/* SPDX-License-Identifier: Apache-2.0 */
/* A build that is killed at any step, or that others make at the same time. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "cache/artifact.h"
#include "cache/gc.h"
#include "cache/pin.h"
#include "tests/cache/pack.h"
#include "tests/test_main.h"

#define PARTS 6

/* Builds and publishes as a worker does; the artifact's digest. */
static struct digest build(struct store *s, const char *salt, enum compression c)
{
    struct artifact_part parts[PARTS];
    static char names[PARTS][40];
    struct err err = {0};
    struct digest d, key = digest_of(span_str(salt));
    for (size_t i = 0; i < PARTS; i++) {
        snprintf(names[i], sizeof(names[i]), "%.20s-%zu", salt, i);
        parts[i] = pack_simple(s, i % 2 ? "npm" : "pip", names[i], 2000 * i, c);
    }
    struct artifact *a = pack_publish(s, parts, PARTS, &err);
    ck_assert_msg(a != NULL, "%s", err.text);
    d = a->digest;
    ck_assert(artifact_put_key(s, &key, &d, &err));
    artifact_free(a);
    return d;
}

/* A child's whole life; it may be killed anywhere in it. */
static int child(const char *path, const char *salt, int kill_at)
{
    struct store *s;
    struct err err = {0};
    AUTO_FREE char *fault = mem_printf("kill:%d", kill_at);
    setenv("STRATA_FAULT", fault, 1);
    if (!store_open(&s, path, &err))
        return 1;
    fault_arm_from_env();
    if (!store_hold(s, &err))
        return 2;
    build(s, salt, COMPRESS_ZSTD);
    store_unhold(s);
    store_close(s);
    return 0;
}

static size_t assert_all_whole(struct store *s)
{
    json_t *list;
    struct err err = {0};
    ck_assert(artifact_list(s, &list, &err));
    size_t n = json_array_size(list);
    for (size_t i = 0; i < n; i++) {
        struct artifact *a;
        struct digest d;
        ck_assert(json_get_digest(json_array_get(list, i), "digest", &d));
        ck_assert_msg(artifact_load(s, &d, &a, &err), "%s", err.text);
        ck_assert_msg(artifact_verify(s, a, &err), "%s", err.text);
        artifact_free(a);
    }
    json_decref(list);
    return n;
}

START_TEST(a_killed_build_leaves_whole_artifacts_or_none)
{
    struct store *s = pack_store("store");
    struct err err = {0};
    AUTO_FREE char *path = mem_dup_str(store_path(s));
    size_t had = 0;
    int status = 0, steps = 0;
    for (int n = 1;; n++) {
        AUTO_FREE char *salt = mem_printf("salt%d", n);
        struct digest key = digest_of(span_str(salt)), d;
        pid_t pid = fork();
        if (pid == 0)
            _exit(child(path, salt, n));
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        ck_assert(killed || status == 0);
        size_t now = assert_all_whole(s);
        ck_assert(now == had || now == had + 1);
        if (artifact_find_key(s, &key, &d))
            ck_assert_uint_eq(now, had + 1);
        had = now;
        steps = n;
        if (!killed)
            break;
        /* The next one finishes what this one began. */
        if (n % 10 == 0) {
            build(s, salt, COMPRESS_ZSTD);
            had = assert_all_whole(s);
        }
    }
    ck_assert_int_gt(steps, 2 * PARTS);
    /* What they left behind is collected, and nothing of the rest. */
    struct gc_report report;
    struct gc_options options = {.grace_ms = 24ll * 3600 * 1000};
    ck_assert_msg(store_gc(s, &options, &report, &err), "%s", err.text);
    json_decref(report.removed);
    ck_assert_uint_eq(assert_all_whole(s), had);
    store_close(s);
}
END_TEST

START_TEST(the_same_build_in_several_processes_is_one_artifact)
{
    struct store *s = pack_store("store");
    AUTO_FREE char *path = mem_dup_str(store_path(s));
    pid_t pids[4];
    for (size_t i = 0; i < COUNT(pids); i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            struct store *own;
            struct err err = {0};
            if (!store_open(&own, path, &err))
                _exit(1);
            for (int round = 0; round < 5; round++) {
                AUTO_FREE char *salt = mem_printf("round%d", round);
                struct digest d = build(own, salt, COMPRESS_GZIP);
                AUTO_FREE char *owner = mem_printf("session %zu %d", i, round);
                if (!store_pin_put(own, span_str(owner), &d, &err))
                    _exit(2);
            }
            store_close(own);
            _exit(0);
        }
    }
    for (size_t i = 0; i < COUNT(pids); i++) {
        int status;
        ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
        ck_assert_int_eq(status, 0);
    }
    ck_assert_uint_eq(assert_all_whole(s), 5);
    json_t *pins;
    struct err err = {0};
    ck_assert(store_pin_list(s, &pins, &err));
    ck_assert_uint_eq(json_array_size(pins), 20);
    json_decref(pins);
    store_close(s);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("fault_publish");
    TCase *tc = tcase_create("fault_publish");
    tcase_set_timeout(tc, 280);
    tcase_add_test(tc, a_killed_build_leaves_whole_artifacts_or_none);
    tcase_add_test(tc, the_same_build_in_several_processes_is_one_artifact);
    suite_add_tcase(s, tc);
    return s;
}
