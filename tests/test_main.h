/* SPDX-License-Identifier: Apache-2.0 */
/* test_main.h - what every test program shares.
 *
 * A test file defines test_suite(); main() runs it, in one process under a sanitizer or
 * debugger (CK_FORK=no in the environment), else each test in a fork of its own. */
#ifndef STRATA_TESTS_TEST_MAIN_H
#define STRATA_TESTS_TEST_MAIN_H

#include <check.h>

Suite *test_suite(void);

/* A fresh folder below $TMPDIR, removed at exit. */
const char *test_folder(void);

#endif
