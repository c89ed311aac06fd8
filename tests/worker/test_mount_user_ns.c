/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "tests/test_main.h"
#include "worker/mount/user_ns.h"

static char root[4200];

static bool table_mentions(const char *word)
{
    AUTO_BUF struct buf table = BUF(16u << 20);
    struct err err = {0};
    ck_assert_msg(io_read_file(AT_FDCWD, "/proc/self/mountinfo", &table, &err), "%s", err.text);
    return span_find(buf_span(&table), span_str(word)) < table.len;
}

static void fresh_root(void)
{
    static int count;
    snprintf(root, sizeof(root), "%s/user-ns-%d-%d", test_folder(), (int)getpid(), count++);
    AUTO_FREE char *proc = mem_printf("%s/proc", root);
    AUTO_FREE char *in = mem_printf("%s/in", root);
    ck_assert(mkdir(root, 0755) == 0 && mkdir(proc, 0755) == 0 && mkdir(in, 0755) == 0);
}

/* In the child: the steps of a command in a chroot; the number of the one that failed. */
static int enter_from_chroot(struct err *err)
{
    bool user_ns;
    struct stat st;
    if (chroot(root) < 0 || chdir("/in") < 0)
        return 1;
    if (!mount_ns_enter(&user_ns, err))
        return 2;
    char cwd[64];
    if (!getcwd(cwd, sizeof(cwd)) || strcmp(cwd, "/in") != 0)
        return 3;
    if (mount("secret", "/in", "tmpfs", 0, NULL) < 0 || mkdir("/in/side", 0755) < 0)
        return 4;
    if (stat("/proc/self/status", &st) < 0 || stat("/in/side", &st) < 0)
        return 5;
    return 0;
}

static int in_child(struct err *err)
{
    int fds[2], status;
    ck_assert(pipe2(fds, O_CLOEXEC) == 0);
    pid_t pid = fork();
    ck_assert(pid >= 0);
    if (pid == 0) {
        int step = enter_from_chroot(err);
        _exit(write(fds[1], err, sizeof(*err)) == sizeof(*err) ? step : 99);
    }
    ck_assert(read(fds[0], err, sizeof(*err)) == sizeof(*err));
    ck_assert(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    close(fds[0]);
    close(fds[1]);
    return WEXITSTATUS(status);
}

START_TEST(a_chroot_into_a_plain_folder_can_be_entered)
{
    struct err err = {0};
    if (geteuid() != 0) {
        puts("skipped: chroot needs root");
        return;
    }
    fresh_root();
    AUTO_FREE char *proc = mem_printf("%s/proc", root);
    ck_assert_msg(mount("proc", proc, "proc", 0, NULL) == 0, "%s", strerror(errno));
    int step = in_child(&err);
    bool seen = table_mentions("/user-ns-") && table_mentions("/in ");
    ck_assert(umount2(proc, MNT_DETACH) == 0);
    ck_assert_msg(step == 0, "step %d: %s", step, err.text);
    ck_assert(!seen);
}
END_TEST

START_TEST(a_chroot_with_nothing_mounted_says_what_to_do)
{
    struct err err = {0};
    if (geteuid() != 0) {
        puts("skipped: chroot needs root");
        return;
    }
    fresh_root();
    ck_assert_int_eq(in_child(&err), 2);
    ck_assert_msg(strstr(err.text, "mount /proc"), "%s", err.text);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("mount_user_ns");
    TCase *tc = tcase_create("chroot");
    tcase_add_test(tc, a_chroot_into_a_plain_folder_can_be_entered);
    tcase_add_test(tc, a_chroot_with_nothing_mounted_says_what_to_do);
    suite_add_tcase(s, tc);
    return s;
}
