/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "tests/test_main.h"
#include "worker/mount/overlay.h"
#include "worker/mount/user_ns.h"

#define LAYERS 120

/* Lower folders l0, l1, ... with a file of each one's name, and "same" in all of them. */
static bool make_layers(const char *at, int fds[LAYERS], struct err *err)
{
    if (!tmpfs_mount(at, 0755, 0, err))
        return false;
    for (int i = 0; i < LAYERS; i++) {
        AUTO_FREE char *dir = mem_printf("%s/l%d", at, i), *file = mem_printf("%s/f%d", dir, i),
                       *same = mem_printf("%s/same", dir), *text = mem_printf("%d", i);
        if (mkdir(dir, 0755) < 0 ||
            !io_replace_file(AT_FDCWD, file, span_str(text), 0644, false, err) ||
            !io_replace_file(AT_FDCWD, same, span_str(text), 0644, false, err))
            return false;
        fds[i] = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
    AUTO_FREE char *to = mem_printf("%s/to", at);
    return mkdir(to, 0755) == 0;
}

static bool shows(const char *at, const char *name, const char *want)
{
    AUTO_FREE char *path = mem_printf("%s/to/%s", at, name);
    AUTO_BUF struct buf b = BUF(100);
    return io_read_file(AT_FDCWD, path, &b, NULL) && strcmp(buf_cstr(&b), want) == 0;
}

/* In a process and a namespace of its own; 0: all as it should be, 99: no namespaces here. */
static int try_overlay(const char *at, int lowers, bool writable, bool one_line)
{
    struct err err = {0};
    int fds[LAYERS];
    bool user_ns;
    if (!mount_ns_enter(&user_ns, &err))
        return 99;
    if (!make_layers(at, fds, &err))
        return 1;
    AUTO_FREE char *to = mem_printf("%s/to", at), *made = mem_printf("%s/new", to),
                   *last = mem_printf("f%d", lowers - 1), *want = mem_printf("%d", lowers - 1);
    struct overlay o = {.lower_fds = fds,
                        .lower_count = (size_t)lowers,
                        .upper_fd = -1,
                        .work_fd = -1,
                        .user_ns = user_ns,
                        .one_line = one_line,
                        .attrs = MOUNT_ATTR_NOSUID};
    if (!(writable ? overlay_mount_scratch(&o, to, fds[0], 1 << 20, &err)
                   : overlay_mount(&o, to, &err))) {
        fprintf(stderr, "%s\n", err.text);
        return 2;
    }
    if (!shows(at, "same", "0") || !shows(at, last, want))
        return 3;
    return (mkdir(made, 0755) == 0) == writable ? 0 : 4;
}

static const struct {
    int lowers;
    bool writable, one_line;
} cases[] = {
    {1, false, false},      {1, true, false},      {2, false, false},
    {LAYERS, false, false}, {60, true, false},     {1, false, true},
    {1, true, true},        {LAYERS, false, true}, {60, true, true},
};

START_TEST(folders_lie_over_each_other)
{
    int raw;
    pid_t pid = fork();
    if (pid == 0)
        _exit(try_overlay(test_folder(), cases[_i].lowers, cases[_i].writable, cases[_i].one_line));
    ck_assert_int_eq(waitpid(pid, &raw, 0), pid);
    if (WEXITSTATUS(raw) == 99)
        printf("skipped: %s\n", user_ns_hint());
    else
        ck_assert_int_eq(raw, 0);
}
END_TEST

START_TEST(none_and_too_many_are_refused)
{
    struct overlay o = {.lower_count = 0, .upper_fd = -1, .work_fd = -1};
    struct err err = {0};
    ck_assert(!overlay_mount(&o, "/nowhere", &err));
    ck_assert_int_eq(err.code, ERR_UNSUPPORTED);
    o.lower_count = OVERLAY_MAX_LOWER + 1;
    ck_assert(!overlay_mount(&o, "/nowhere", &err));
    ck_assert_int_eq(err.code, ERR_UNSUPPORTED);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("mount_overlay");
    TCase *tc = tcase_create("overlay");
    tcase_add_loop_test(tc, folders_lie_over_each_other, 0, COUNT(cases));
    tcase_add_test(tc, none_and_too_many_are_refused);
    suite_add_tcase(s, tc);
    return s;
}
