/* SPDX-License-Identifier: Apache-2.0 */
#include "base/late.h"

#include <check.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "tests/test_main.h"

#define ZLIB_FUNCTIONS(X) X(crc32) X(zlibVersion)
LATE_DECLARE(late_zlib, ZLIB_FUNCTIONS)

#define MISSING_FUNCTIONS(X) X(zlibCompileFlags)
LATE_DECLARE(late_missing, MISSING_FUNCTIONS)
#define crc32       (late_zlib()->crc32)
#define zlibVersion (late_zlib()->zlibVersion)

LATE_DEFINE(late_zlib, LATE_ZLIB, ZLIB_FUNCTIONS)
LATE_DEFINE(late_missing, "libstrata-is-not-there.so.7", MISSING_FUNCTIONS)

START_TEST(a_function_is_bound_when_it_is_first_called)
{
    ck_assert_uint_eq(crc32(0, (const unsigned char *)"123456789", 9), 0xcbf43926);
    ck_assert_int_eq(zlibVersion()[0], ZLIB_VERSION[0]);
    ck_assert(late_zlib_load(NULL));
}
END_TEST

START_TEST(a_missing_library_is_named_each_time)
{
    for (int i = 0; i < 2; i++) {
        struct err err = {0};
        ck_assert(!late_missing_load(&err));
        ck_assert_int_eq(err.code, ERR_UNSUPPORTED);
        ck_assert_ptr_nonnull(strstr(err.text, "libstrata-is-not-there.so.7"));
    }
}
END_TEST

START_TEST(a_call_into_a_missing_library_ends_the_process)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        late_missing()->zlibCompileFlags();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}
END_TEST

START_TEST(a_library_without_a_function_is_refused)
{
    static const char *const names[] = {"crc32", "zlibIsNotThatNew"};
    void *functions[2];
    struct late_library l = {LATE_ZLIB, names, functions, 2, false};
    struct err err = {0};
    ck_assert(!late_load(&l, &err));
    ck_assert_int_eq(err.code, ERR_UNSUPPORTED);
    ck_assert_ptr_nonnull(strstr(err.text, "zlibIsNotThatNew"));
    ck_assert_ptr_nonnull(strstr(err.text, LATE_ZLIB));
}
END_TEST

static void *count_up(void *ctx)
{
    uintptr_t *sum = ctx;
    for (int i = 0; i < 1000; i++)
        *sum += crc32(0, (const unsigned char *)"a", 1) == 0xe8b7be43;
    return NULL;
}

START_TEST(threads_may_be_the_first_together)
{
    pthread_t threads[8];
    uintptr_t sums[8] = {0};
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, count_up, &sums[i]), 0);
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_uint_eq(sums[i], 1000);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("late");
    TCase *tc = tcase_create("late");
    tcase_add_test(tc, a_function_is_bound_when_it_is_first_called);
    tcase_add_test(tc, a_missing_library_is_named_each_time);
    tcase_add_test(tc, a_call_into_a_missing_library_ends_the_process);
    tcase_add_test(tc, a_library_without_a_function_is_refused);
    tcase_add_test(tc, threads_may_be_the_first_together);
    suite_add_tcase(s, tc);
    return s;
}
