/* SPDX-License-Identifier: Apache-2.0 */
/* test_main.h - what every test program shares.
 *
 * A test file defines test_suite(); main() runs it, each test in a fork of its own (all in one
 * process with CK_FORK=no in the environment, for a debugger). */
#ifndef STRATA_TESTS_TEST_MAIN_H
#define STRATA_TESTS_TEST_MAIN_H

#include <check.h>

Suite *test_suite(void);

/* A fresh folder below $TMPDIR, removed at exit. */
const char *test_folder(void);

#endif
