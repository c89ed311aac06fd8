/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "tests/test_main.h"
#include "worker/mount/run.h"

#define USER_ID  54321
#define MANAGED  "opt/managed-env"
#define MAX_DIRS 64

/* _i 0: as who we are, 1: as an ordinary user. */
enum { AS_SELF, AS_USER, WAYS };

static char work_path[4200];

static const char *work_folder(void)
{
    return work_path;
}

static void fresh_folder(void)
{
    static int count;
    snprintf(work_path, sizeof(work_path), "%s/run-%d-%d", test_folder(), (int)getpid(), count++);
    ck_assert(mkdir(work_path, 0755) == 0 && chmod(test_folder(), 0755) == 0);
}

static void put_in(const char *layer, const char *file, const char *content, mode_t mode)
{
    struct err err = {0};
    AUTO_FREE char *folder = mem_printf("%s/%s/%s", work_folder(), layer, file);
    AUTO_FREE char *path = mem_dup_str(folder);
    strrchr(folder, '/')[0] = '\0';
    ck_assert_msg(io_mkdirs(AT_FDCWD, folder, 0755, &err), "%s", err.text);
    ck_assert_msg(io_replace_file(AT_FDCWD, path, span_str(content), mode, false, &err), "%s",
                  err.text);
}

struct case_ {
    struct run_spec spec;
    const char *dirs[MAX_DIRS], *base[MAX_DIRS];
    int way;
    const char *cwd;
    char out[8192]; /* of the command */
    int status;
    struct err err;
    bool ok;
    double ms; /* the call of run_command */
};

static const char *dir(const char *layer)
{
    static char *kept[1024]; /* until the end of the process */
    static size_t n;
    ck_assert_uint_lt(n, COUNT(kept));
    return kept[n++] = mem_printf("%s/%s", work_folder(), layer);
}

static void add_layer(struct case_ *c, const char *layer)
{
    c->dirs[c->spec.lower_count++] = dir(layer);
    c->spec.lower_dirs = c->dirs;
}

static void become_user(int way)
{
    if (way != AS_USER || geteuid() != 0)
        return;
    ck_assert(setgroups(0, NULL) == 0 && setresgid(USER_ID, USER_ID, USER_ID) == 0 &&
              setresuid(USER_ID, USER_ID, USER_ID) == 0);
    /* A user's own process owns its files in /proc; one that has changed its id does not. */
    prctl(PR_SET_DUMPABLE, 1);
}

static bool no_namespaces(int way)
{
    pid_t pid = fork();
    int raw = 0;
    if (pid == 0) {
        become_user(way);
        _exit(unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) < 0);
    }
    ck_assert_int_eq(waitpid(pid, &raw, 0), pid);
    if (raw)
        printf("skipped: this machine allows no namespaces\n");
    return raw != 0;
}

static int give_to_user(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return lchown(path, USER_ID, USER_ID);
}

/* In a process of its own, as `build-env run` is one. */
static void run(struct case_ *c)
{
    int out[2], report[2], raw;
    size_t n = 0;
    ck_assert(pipe2(out, O_CLOEXEC) == 0 && pipe2(report, O_CLOEXEC) == 0);
    fflush(stdout);
    if (c->way == AS_USER && geteuid() == 0) /* a user's store is the user's own */
        ck_assert_int_eq(nftw(work_folder(), give_to_user, 16, FTW_PHYS), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        become_user(c->way);
        dup2(out[1], 1);
        if (c->cwd && chdir(c->cwd) < 0)
            _exit(99);
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        c->ok = run_command(&c->spec, &c->status, &c->err);
        clock_gettime(CLOCK_MONOTONIC, &b);
        c->ms = (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6;
        _exit(write(report[1], c, sizeof(*c)) != sizeof(*c));
    }
    close(out[1]);
    close(report[1]);
    AUTO_BUF struct buf got = BUF(sizeof(c->out) - 1);
    char bytes[1024];
    for (ssize_t r; (r = read(out[0], bytes, sizeof(bytes))) > 0;)
        buf_append(&got, span_of(bytes, (size_t)r));
    for (ssize_t r; (r = read(report[0], (char *)c + n, sizeof(*c) - n)) > 0;)
        n += (size_t)r;
    close(out[0]);
    close(report[0]);
    ck_assert_int_eq(waitpid(pid, &raw, 0), pid);
    ck_assert_uint_eq(n, sizeof(*c));
    memset(c->out, 0, sizeof(c->out));
    memcpy(c->out, buf_cstr(&got), got.len);
}

static void says(struct case_ *c, const char *const *argv, const char *want)
{
    c->spec.argv = argv;
    run(c);
    ck_assert_msg(c->ok, "%s: %s", argv[0], c->err.text);
    ck_assert_str_eq(c->out, want);
    ck_assert_int_eq(c->status, 0);
}

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

static void managed_layers(struct case_ *c)
{
    put_in("one", MANAGED "/bin/hello", "#!/bin/sh\necho hello \"$@\"\n", 0755);
    put_in("one", MANAGED "/share/text", "one", 0644);
    put_in("one", MANAGED "/share/under", "below", 0644);
    put_in("two", MANAGED "/share/text", "two", 0644);
    add_layer(c, "one");
    add_layer(c, "two");
}

START_TEST(later_layers_cover_earlier_ones)
{
    if (no_namespaces(_i))
        return;
    struct case_ c = {.way = _i};
    managed_layers(&c);
    says(&c, ARGV("cat", "/" MANAGED "/share/text", "/" MANAGED "/share/under"), "twobelow");
    says(&c, ARGV("ls", "/" MANAGED), "bin\nshare\n");
}
END_TEST

START_TEST(one_layer_alone_is_enough)
{
    if (no_namespaces(_i))
        return;
    struct case_ c = {.way = _i};
    put_in("one", MANAGED "/text", "one", 0644);
    put_in("one", MANAGED "/.gone", "", 0644);
    add_layer(&c, "one");
    says(&c, ARGV("cat", "/" MANAGED "/text"), "one");
}
END_TEST

START_TEST(variables_and_path_are_set)
{
    if (no_namespaces(_i))
        return;
    struct case_ c = {.way = _i};
    managed_layers(&c);
    setenv("STRATA_TEST_A", "old", 1);
    setenv("STRATA_TEST_B", "kept", 1);
    setenv("PATH", "/usr/bin:/bin", 1);
    c.spec.env_set = ARGV("STRATA_TEST_A=new", "STRATA_TEST_C=a=b");
    c.spec.path_prepend = ARGV("/" MANAGED "/bin", "/second");
    says(&c, ARGV("hello", "a b", "*"), "hello a b *\n");
    says(&c, ARGV("printenv", "PATH", "STRATA_TEST_A", "STRATA_TEST_B", "STRATA_TEST_C"),
         "/" MANAGED "/bin:/second:/usr/bin:/bin\nnew\nkept\na=b\n");
}
END_TEST

START_TEST(identity_working_folder_and_files_are_kept)
{
    if (no_namespaces(_i))
        return;
    struct case_ c = {.way = _i};
    managed_layers(&c);
    AUTO_FREE char *mine = mem_printf("%s/mine", work_folder());
    ck_assert(mkdir(mine, 0777) == 0 && chmod(mine, 0777) == 0);
    c.cwd = mine;
    AUTO_FREE char *here = mem_printf("%s\n", mine);
    AUTO_FREE char *id = mem_printf("%d\n", _i == AS_USER && geteuid() == 0 ? USER_ID : geteuid());
    says(&c, ARGV("pwd", "-P"), here);
    says(&c, ARGV("id", "-u"), id);
    says(&c, ARGV("touch", "made"), "");
    AUTO_FREE char *made = mem_printf("%s/made", mine);
    ck_assert_int_eq(access(made, F_OK), 0);
}
END_TEST

START_TEST(exit_status_and_signals_pass_through)
{
    if (no_namespaces(_i))
        return;
    struct case_ c = {.way = _i};
    managed_layers(&c);
    static const struct {
        const char *script;
        int status;
    } cases[] = {{"exit 0", 0},
                 {"exit 7", 7},
                 {"exit 255", 255},
                 {"kill -TERM $$", 128 + SIGTERM},
                 {"kill -KILL $$", 128 + SIGKILL},
                 {"trap 'exit 5' TERM; kill -TERM $PPID; sleep 5 >/dev/null & wait; exit 6", 5},
                 {"trap 'exit 5' INT; kill -INT $PPID; sleep 5 >/dev/null & wait; exit 6", 5}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        c.spec.argv = ARGV("/bin/sh", "-c", cases[i].script);
        run(&c);
        ck_assert_msg(c.ok, "%s", c.err.text);
        ck_assert_msg(c.status == cases[i].status, "%s: %d", cases[i].script, c.status);
    }
}
END_TEST

START_TEST(missing_commands_are_errors_in_words)
{
    if (no_namespaces(_i))
        return;
    struct case_ c = {.way = _i};
    managed_layers(&c);
    put_in("one", MANAGED "/bin/plain", "no program", 0644);
    c.spec.path_prepend = ARGV("/" MANAGED "/bin");
    static const struct {
        const char *name;
        enum err_code code;
        int status;
    } cases[] = {{"no-such-command", ERR_NOT_FOUND, RUN_NOT_FOUND},
                 {"/no/such/file", ERR_NOT_FOUND, RUN_NOT_FOUND},
                 {"plain", ERR_DENIED, RUN_NOT_STARTED}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        c.spec.argv = ARGV(cases[i].name);
        run(&c);
        ck_assert(!c.ok);
        ck_assert_msg(c.err.code == cases[i].code, "%s: %s", cases[i].name, c.err.text);
        ck_assert_int_eq(c.status, cases[i].status);
        ck_assert_msg(strstr(c.err.text, cases[i].name) != NULL, "%s", c.err.text);
    }
}
END_TEST

START_TEST(shell_is_run_without_a_command)
{
    if (no_namespaces(_i))
        return;
    struct case_ c = {.way = _i};
    managed_layers(&c);
    setenv("SHELL", "/" MANAGED "/bin/hello", 1);
    c.spec.argv = NULL;
    run(&c);
    ck_assert_msg(c.ok, "%s", c.err.text);
    ck_assert_str_eq(c.out, "hello\n");
}
END_TEST

START_TEST(environment_is_read_only_unless_asked_and_writes_are_dropped)
{
    if (no_namespaces(_i))
        return;
    struct case_ c = {.way = _i};
    managed_layers(&c);
    AUTO_FREE char *folder = mem_printf("%s/one/" MANAGED "/share", work_folder());
    ck_assert(chmod(folder, 0777) == 0);
    AUTO_FREE char *two = mem_printf("%s/two/" MANAGED "/share", work_folder());
    ck_assert(chmod(two, 0777) == 0);
    c.spec.argv = ARGV("touch", "/" MANAGED "/share/new");
    run(&c);
    ck_assert(c.ok && c.status == 1);
    c.spec.writable = true;
    says(&c,
         ARGV("/bin/sh", "-c",
              "cd /" MANAGED "/share && echo new >new && rm under && echo more >>new && "
              "cat new && ls"),
         "new\nmore\nnew\ntext\n");
    AUTO_FREE char *left = mem_printf("%s/new", folder);
    ck_assert_int_lt(access(left, F_OK), 0);
    c.spec.writable = false;
    says(&c, ARGV("ls", "/" MANAGED "/share"), "text\nunder\n");
}
END_TEST

START_TEST(folders_of_the_machine_show_through_layers_at_the_root)
{
    if (no_namespaces(_i))
        return;
    struct case_ c = {.way = _i};
    put_in("apt", "usr/share/strata-test/file", "from apt", 0644);
    put_in("apt", "usr/bin/strata-test-command", "#!/bin/sh\necho ran\n", 0755);
    put_in("apt", "etc/strata-test.conf", "conf", 0644);
    put_in("apt", "strata-new-top/file", "top", 0644);
    put_in("pip", MANAGED "/x", "managed", 0644);
    add_layer(&c, "apt");
    add_layer(&c, "pip");
    setenv("PATH", "/usr/bin:/bin", 1);
    says(&c, ARGV("strata-test-command"), "ran\n");
    says(&c,
         ARGV("cat", "/usr/share/strata-test/file", "/etc/strata-test.conf", "/strata-new-top/file",
              "/" MANAGED "/x"),
         "from aptconftopmanaged");
    says(&c,
         ARGV("/bin/sh", "-c",
              "test -s /etc/passwd && test -e /usr/bin/env && test -e "
              "/proc/self/status && test -c /dev/null && echo all"),
         "all\n");
    /* Nothing of it is left on the machine. */
    ck_assert(access("/usr/share/strata-test", F_OK) < 0 && access("/strata-new-top", F_OK) < 0);
}
END_TEST

START_TEST(layers_inside_a_covered_folder_work)
{
    if (no_namespaces(_i))
        return;
    /* The test's folder as part of the machine's tree: its top folder gets a layer. */
    struct case_ c = {.way = _i};
    struct span top = span_str(work_folder() + 1), rest;
    span_cut_char(top, '/', &top, &rest);
    AUTO_FREE char *file = mem_printf("%.*s/strata-inside/file", SPAN_ARG(top));
    put_in("inside", file, "inside", 0644);
    put_in("inside2", MANAGED "/f", "two", 0644);
    put_in(".", "visible", "seen", 0644);
    AUTO_FREE char *visible = mem_printf("%s/visible", work_folder());
    AUTO_FREE char *gone = mem_printf("%s/inside2%s", work_folder(), visible);
    put_in("inside2", visible + 1, "", 0644);
    ck_assert(unlink(gone) == 0 && mknod(gone, S_IFCHR, makedev(0, 0)) == 0);
    add_layer(&c, "inside");
    add_layer(&c, "inside2");
    AUTO_FREE char *path = mem_printf("/%s", file);
    says(&c, ARGV("cat", path, "/" MANAGED "/f"), "insidetwo");
    c.spec.argv = ARGV("cat", visible);
    run(&c);
    ck_assert(c.ok && c.status == 1);
}
END_TEST

START_TEST(working_folder_below_a_covered_one_stays_writable)
{
    if (geteuid() != 0 || no_namespaces(_i))
        return;
    struct case_ c = {.way = _i};
    put_in("apt", "var/lib/strata-test/x", "x", 0644);
    add_layer(&c, "apt");
    char here[] = "/var/tmp/strata-test-XXXXXX";
    ck_assert(mkdtemp(here) && chmod(here, 0777) == 0);
    c.cwd = here;
    says(&c, ARGV("touch", "made"), "");
    says(&c, ARGV("cat", "/var/lib/strata-test/x"), "x");
    AUTO_FREE char *made = mem_printf("%s/made", here);
    ck_assert_int_eq(access(made, F_OK), 0);
    ck_assert(unlink(made) == 0 && rmdir(here) == 0);
}
END_TEST

START_TEST(whiteouts_and_opaque_folders_hide)
{
    if (no_namespaces(_i))
        return;
    struct case_ c = {.way = _i};
    managed_layers(&c);
    put_in("three", MANAGED "/share/x", "", 0644);
    put_in("three", MANAGED "/bin/new", "", 0755);
    AUTO_FREE char *under = mem_printf("%s/three/" MANAGED "/share/under", work_folder());
    AUTO_FREE char *bin = mem_printf("%s/three/" MANAGED "/bin", work_folder());
    ck_assert(mknod(under, S_IFCHR, makedev(0, 0)) == 0);
    ck_assert(setxattr(bin, "user.overlay.opaque", "y", 1, 0) == 0);
    if (geteuid() == 0)
        ck_assert(setxattr(bin, "trusted.overlay.opaque", "y", 1, 0) == 0);
    add_layer(&c, "three");
    says(&c, ARGV("ls", "/" MANAGED "/share", "/" MANAGED "/bin"),
         "/" MANAGED "/bin:\nnew\n\n/" MANAGED "/share:\ntext\nx\n");
}
END_TEST

START_TEST(own_root_is_used_instead_of_the_machines)
{
    if (no_namespaces(_i))
        return;
    struct case_ c = {.way = _i};
    managed_layers(&c);
    /* A root that borrows the machine's programs: libraries and tools are copied. */
    put_in("base", "etc/hostname", "base", 0644);
    put_in("base", "usr/share/only-here", "yes", 0644);
    AUTO_FREE char *copy =
        mem_printf("mkdir -p %s/base/bin && cp /bin/cat /bin/ls /bin/pwd %s/base/bin/ && for f in "
                   "$(ldd /bin/ls /bin/cat | grep -o '/[^ ]*' | sort -u | grep '\\.so'); do "
                   "mkdir -p %s/base/$(dirname $f) && cp -L $f %s/base/$f; done",
                   work_folder(), work_folder(), work_folder(), work_folder());
    struct case_ host = {.way = AS_SELF};
    says(&host, ARGV("/bin/sh", "-c", copy), "");
    c.base[0] = dir("base");
    c.spec.base_dirs = c.base;
    c.spec.base_count = 1;
    c.spec.env_set = ARGV("HOME=/");
    says(&c, ARGV("/bin/cat", "/etc/hostname", "/usr/share/only-here", "/" MANAGED "/share/text"),
         "baseyestwo");
    c.spec.argv = ARGV("/bin/cat", "/etc/passwd");
    run(&c);
    ck_assert(c.ok && c.status == 1);
    size_t layers = c.spec.lower_count;
    c.spec.lower_count = 0;
    says(&c, ARGV("/bin/cat", "/etc/hostname", "/usr/share/only-here"), "baseyes");
    c.spec.lower_count = layers;
    AUTO_FREE char *here = mem_printf("%s\n", work_folder());
    c.cwd = work_folder();
    says(&c, ARGV("/bin/pwd"), here);
}
END_TEST

START_TEST(nothing_is_mounted_for_others_and_it_dies_with_us)
{
    if (no_namespaces(_i))
        return;
    struct case_ c = {.way = _i};
    managed_layers(&c);
    AUTO_BUF struct buf before = BUF(16u << 20), after = BUF(16u << 20);
    struct err err = {0};
    ck_assert(io_read_file(AT_FDCWD, "/proc/self/mountinfo", &before, &err));
    int alive[2];
    ck_assert(pipe(alive) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        become_user(_i);
        close(alive[0]);
        fcntl(alive[1], F_SETFD, 0);
        c.spec.argv = ARGV("/bin/sh", "-c", "echo started; exec sleep 100");
        dup2(alive[1], 1);
        run_command(&c.spec, &c.status, &c.err);
        _exit(0);
    }
    close(alive[1]);
    char line[8];
    ck_assert_int_eq(read(alive[0], line, sizeof(line)), 8);
    ck_assert(io_read_file(AT_FDCWD, "/proc/self/mountinfo", &after, &err));
    ck_assert_str_eq(buf_cstr(&before), buf_cstr(&after));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    /* The end of the pipe comes only with the end of the command. */
    ck_assert_int_eq(read(alive[0], line, sizeof(line)), 0);
    close(alive[0]);
}
END_TEST

START_TEST(sixty_layers_are_mounted_in_milliseconds)
{
    if (no_namespaces(_i))
        return;
    struct case_ c = {.way = _i};
    for (int i = 0; i < 60; i++) {
        AUTO_FREE char *layer = mem_printf("many%d", i);
        AUTO_FREE char *file = mem_printf(MANAGED "/lib/p%d/f", i);
        put_in(layer, file, "x", 0644);
        add_layer(&c, layer);
    }
    double best = 1e9;
    for (int i = 0; i < 5; i++) {
        says(&c, ARGV("true"), "");
        best = c.ms < best ? c.ms : best;
    }
    printf("60 layers, as %s: start to end of `true` %.1f ms\n", _i ? "user" : "self", best);
    says(&c, ARGV("/bin/sh", "-c", "ls /" MANAGED "/lib | wc -l"), "60\n");
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("mount_run");
    TCase *tc = tcase_create("run");
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, fresh_folder, NULL);
    tcase_add_loop_test(tc, later_layers_cover_earlier_ones, 0, WAYS);
    tcase_add_loop_test(tc, one_layer_alone_is_enough, 0, WAYS);
    tcase_add_loop_test(tc, variables_and_path_are_set, 0, WAYS);
    tcase_add_loop_test(tc, identity_working_folder_and_files_are_kept, 0, WAYS);
    tcase_add_loop_test(tc, exit_status_and_signals_pass_through, 0, WAYS);
    tcase_add_loop_test(tc, missing_commands_are_errors_in_words, 0, WAYS);
    tcase_add_loop_test(tc, shell_is_run_without_a_command, 0, WAYS);
    tcase_add_loop_test(tc, environment_is_read_only_unless_asked_and_writes_are_dropped, 0, WAYS);
    tcase_add_loop_test(tc, folders_of_the_machine_show_through_layers_at_the_root, 0, WAYS);
    tcase_add_loop_test(tc, layers_inside_a_covered_folder_work, 0, WAYS);
    tcase_add_loop_test(tc, working_folder_below_a_covered_one_stays_writable, 0, WAYS);
    tcase_add_loop_test(tc, whiteouts_and_opaque_folders_hide, 0, WAYS);
    tcase_add_loop_test(tc, own_root_is_used_instead_of_the_machines, 0, WAYS);
    tcase_add_loop_test(tc, nothing_is_mounted_for_others_and_it_dies_with_us, 0, WAYS);
    tcase_add_loop_test(tc, sixty_layers_are_mounted_in_milliseconds, 0, WAYS);
    suite_add_tcase(s, tc);
    return s;
}
