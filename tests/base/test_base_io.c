/* SPDX-License-Identifier: Apache-2.0 */
/* Files and child processes. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/io.h"
#include "base/proc.h"
#include "tests/test_main.h"

static int count_entries(const char *folder)
{
    DIR *d = opendir(folder);
    int n = 0;
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n - 2;
}

START_TEST(replace_leaves_the_old_or_the_new_file_whichever_step_fails)
{
    struct err err = {0};
    AUTO_FREE char *path = mem_printf("%s/f", test_folder());
    ck_assert(io_replace_file(AT_FDCWD, path, SPAN("old"), 0644, true, &err));
    for (int n = 1;; n++) {
        fault_arm(n, ENOSPC);
        bool ok = io_replace_file(AT_FDCWD, path, SPAN("new"), 0644, true, &err);
        bool fired = fault_disarm();
        AUTO_BUF struct buf now = BUF(100);
        ck_assert(io_read_file(AT_FDCWD, path, &now, &(struct err){0}));
        ck_assert_int_eq(count_entries(test_folder()), 1);
        if (!fired) {
            ck_assert_msg(ok, "%s", err.text);
            ck_assert_str_eq(buf_cstr(&now), "new");
            break;
        }
        ck_assert(!ok);
        ck_assert_int_eq(err.code, ERR_NO_SPACE);
    }
}
END_TEST

START_TEST(read_keeps_the_ceiling_and_refuses_folders)
{
    struct err err = {0};
    AUTO_FREE char *path = mem_printf("%s/f", test_folder());
    ck_assert(io_replace_file(AT_FDCWD, path, SPAN("0123456789"), 0600, false, &err));
    AUTO_BUF struct buf small = BUF(9), enough = BUF(10);
    ck_assert(!io_read_file(AT_FDCWD, path, &small, &err) && err.code == ERR_TOO_LARGE);
    ck_assert(io_read_file(AT_FDCWD, path, &enough, &err));
    ck_assert_uint_eq(enough.len, 10);
    ck_assert(!io_read_file(AT_FDCWD, test_folder(), &enough, &err) && err.code == ERR_INVALID);
}
END_TEST

START_TEST(remove_tree_follows_no_link)
{
    struct err err = {0};
    const char *top = test_folder();
    AUTO_FREE char *keep = mem_printf("%s/keep", top), *file = mem_printf("%s/keep/f", top);
    AUTO_FREE char *deep = mem_printf("%s/go/a/b", top), *link = mem_printf("%s/go/a/link", top);
    ck_assert(io_mkdirs(AT_FDCWD, keep, 0755, &err) && io_mkdirs(AT_FDCWD, deep, 0755, &err));
    ck_assert(io_replace_file(AT_FDCWD, file, SPAN("x"), 0644, false, &err));
    ck_assert(symlink(keep, link) == 0);
    AUTO_FD int fd = open(top, O_RDONLY | O_DIRECTORY);
    ck_assert_msg(io_remove_tree(fd, "go", &err), "%s", err.text);
    ck_assert_int_eq(access(file, F_OK), 0);
    ck_assert_int_eq(count_entries(top), 1);
    ck_assert(io_remove_tree(fd, "go", &err));
}
END_TEST

START_TEST(proc_passes_bytes_and_status)
{
    struct err err = {0};
    AUTO_BUF struct buf out = BUF(1 << 20), big = BUF(1 << 20);
    for (int i = 0; i < 200000; i++)
        buf_char(&big, 'x');
    int status = -1;
    const char *const cat[] = {"cat", NULL};
    ck_assert(
        proc_run(&(struct proc){.argv = cat, .input = buf_span(&big), .out = &out}, &status, &err));
    ck_assert_int_eq(status, 0);
    ck_assert(span_eq(buf_span(&out), buf_span(&big)));
    const char *const no[] = {"false", NULL};
    ck_assert(proc_run(&(struct proc){.argv = no}, &status, &err));
    ck_assert_int_eq(status, 1);
    const char *const missing[] = {"no-such-program-here", NULL};
    ck_assert(!proc_run(&(struct proc){.argv = missing}, &status, &err));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
}
END_TEST

START_TEST(proc_is_killed_at_its_deadline)
{
    struct err err = {0};
    int status;
    const char *const sleep[] = {"sleep", "600", NULL};
    ck_assert(!proc_run(&(struct proc){.argv = sleep, .timeout_ms = 50}, &status, &err));
    ck_assert_int_eq(err.code, ERR_TIMEOUT);
}
END_TEST

START_TEST(proc_limits_the_child)
{
    struct err err = {0};
    int status;
    AUTO_BUF struct buf out = BUF(1024);
    const char *const limits[] = {"sh", "-c", "sleep 0.2; ulimit -v; ulimit -t; ulimit -f", NULL};
    struct proc p = {
        .argv = limits, .out = &out, .memory_bytes = 512u << 20, .cpu_s = 7, .no_files = true};
    ck_assert_msg(proc_run(&p, &status, &err), "%s", err.text);
    ck_assert_str_eq(buf_cstr(&out), "524288\n7\n0\n");
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("base_io");
    TCase *tc = tcase_create("io");
    tcase_add_test(tc, replace_leaves_the_old_or_the_new_file_whichever_step_fails);
    tcase_add_test(tc, read_keeps_the_ceiling_and_refuses_folders);
    tcase_add_test(tc, remove_tree_follows_no_link);
    tcase_add_test(tc, proc_passes_bytes_and_status);
    tcase_add_test(tc, proc_is_killed_at_its_deadline);
    tcase_add_test(tc, proc_limits_the_child);
    suite_add_tcase(s, tc);
    return s;
}
