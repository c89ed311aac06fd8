/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/proc.h"
#include "tests/test_main.h"
#include "tests/worker/sandbox_run.h"

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})
#define ESCAPE    "/escape"

static const struct sandbox_bind escape_bind[] = {{SANDBOX_ESCAPE, ESCAPE, false}};

static struct box escape_box(int way)
{
    struct box b = {.way = (enum box_way)way};
    b.spec.binds = escape_bind;
    b.spec.bind_count = 1;
    return b;
}

static void ended_well(const struct box *b)
{
    ck_assert_msg(b->result.err.code == ERR_NONE, "%s\n%s%s", b->result.err.text, b->out,
                  b->errout);
    ck_assert_int_eq(b->result.status, 0);
}

static void ended_with(const struct box *b, enum err_code code)
{
    ck_assert_msg(b->result.err.code == code, "%s: %s\n%s%s", err_code_name(b->result.err.code),
                  b->result.err.text, b->out, b->errout);
}

static char *in_folder(const char *name)
{
    return mem_printf("%s/%s", box_folder(), name);
}

static void put(const char *name, const char *content, mode_t mode)
{
    AUTO_FREE char *path = in_folder(name), *parent = mem_dup_str(path);
    struct err err = {0};
    strrchr(parent, '/')[0] = '\0';
    ck_assert_msg(io_mkdirs(AT_FDCWD, parent, 0755, &err) &&
                      io_replace_file(AT_FDCWD, path, span_str(content), mode, false, &err),
                  "%s", err.text);
}

/* --- what a sandbox is for --- */

START_TEST(command_runs_and_its_lines_arrive)
{
    struct box b = {.way = (enum box_way)_i};
    b.spec.argv = ARGV("sh", "-c", "echo one; echo two >&2; printf three; pwd; id -u");
    if (!box_run(&b))
        return;
    ended_well(&b);
    ck_assert_str_eq(b.out, "one\nthree/build\n0\n");
    ck_assert_str_eq(b.errout, "two\n");
    printf("way %d: %lld us to the start, %lld ms in all, ids %d\n", _i,
           (long long)b.result.setup_us, (long long)b.result.wall_ms, b.result.ids);
}
END_TEST

START_TEST(only_the_variables_of_the_spec_are_set)
{
    struct box b = {.way = (enum box_way)_i};
    setenv("STRATA_SECRET", "token", 1);
    b.spec.argv = ARGV("env");
    b.spec.env = ARGV("A=1", "HOME=/build", "PATH=/usr/bin:/bin");
    if (!box_run(&b))
        return;
    ended_well(&b);
    ck_assert_str_eq(b.out, "A=1\nHOME=/build\nPATH=/usr/bin:/bin\nUSER=root\nLOGNAME=root\n"
                            "TMPDIR=/tmp\nLANG=C.UTF-8\n");
}
END_TEST

START_TEST(status_and_missing_programs_are_told_apart)
{
    struct box b = {.way = (enum box_way)_i};
    b.spec.argv = ARGV("sh", "-c", "exit 9");
    if (!box_run(&b))
        return;
    ended_with(&b, ERR_SCRIPT);
    ck_assert_int_eq(b.result.status, 9);
    b.spec.argv = ARGV("sh", "-c", "kill -SEGV $$");
    box_run(&b);
    ended_with(&b, ERR_SCRIPT);
    ck_assert_int_eq(b.result.status, 128 + SIGSEGV);
    b.spec.argv = ARGV("no-such-program");
    box_run(&b);
    ended_with(&b, ERR_NOT_FOUND);
    ck_assert_int_eq(b.result.status, -1);
    b.spec.argv = ARGV("true");
    b.spec.cwd = "/no/such/folder";
    box_run(&b);
    ck_assert(strstr(b.result.err.text, "/no/such/folder") != NULL);
}
END_TEST

START_TEST(input_files_and_binds_are_there)
{
    struct box b = {.way = (enum box_way)_i};
    put("ro/file", "bound", 0644);
    put("rw/file", "old", 0666);
    AUTO_FREE char *ro = in_folder("ro"), *rw = in_folder("rw");
    const struct sandbox_bind binds[] = {
        {ro, "/opt/in/ro", false}, {rw, "/build/rw", true}, {ro, "/run/x", false}};
    const struct sandbox_file files[] = {
        {"/usr/sbin/strata-test", SPAN("#!/bin/sh\necho file\n"), 0755},
        {"/build/input/deep", SPAN("deep"), 0600},
        {"/etc/strata-test.d/x", SPAN("etc"), 0644}};
    b.spec.binds = binds;
    b.spec.bind_count = COUNT(binds);
    b.spec.files = files;
    b.spec.file_count = COUNT(files);
    b.spec.input = SPAN("from stdin\n");
    b.spec.argv = ARGV("sh", "-ec",
                       "cat; cat /opt/in/ro/file /run/x/file input/deep /etc/strata-test.d/x; "
                       "/usr/sbin/strata-test; echo new >/build/rw/file; "
                       "echo x 2>/dev/null >/opt/in/ro/file || echo refused");
    if (!box_run(&b))
        return;
    ended_well(&b);
    ck_assert_str_eq(b.out, "from stdin\nboundbounddeepetcfile\nrefused\n");
    AUTO_FREE char *file = in_folder("rw/file");
    AUTO_BUF struct buf text = BUF(100);
    struct err err = {0};
    ck_assert(io_read_file(AT_FDCWD, file, &text, &err));
    ck_assert_str_eq(buf_cstr(&text), "new\n");
}
END_TEST

START_TEST(layers_lie_over_the_base_and_can_be_written_to)
{
    struct box b = {.way = (enum box_way)_i};
    put("dirs/one/opt/managed-env/npm/bin/tool", "#!/bin/sh\necho tool one\n", 0755);
    put("dirs/two/opt/managed-env/npm/bin/tool", "#!/bin/sh\necho tool two\n", 0755);
    put("dirs/two/opt/managed-env/pip/x", "x", 0644);
    put("dirs/two/usr/share/strata-test/y", "y\n", 0644);
    AUTO_FREE char *gone = in_folder("dirs/two/opt/managed-env/npm/gone");
    put("dirs/one/opt/managed-env/npm/gone", "gone", 0644);
    ck_assert(mknod(gone, S_IFCHR, makedev(0, 0)) == 0);
    AUTO_FREE char *one = in_folder("dirs/one"), *two = in_folder("dirs/two");
    const char *dirs[] = {one, two};
    b.spec.lower_dirs = dirs;
    b.spec.lower_count = 2;
    b.spec.argv = ARGV("sh", "-ec",
                       "cd /opt/managed-env; npm/bin/tool; cat /usr/share/strata-test/y; ls npm; "
                       "echo new >pip/new; echo more >>pip/x; cat pip/new pip/x");
    if (!box_run(&b))
        return;
    ended_well(&b);
    ck_assert_str_eq(b.out, "tool two\ny\nbin\nnew\nxmore\n");
    AUTO_FREE char *new = in_folder("dirs/two/opt/managed-env/pip/new");
    ck_assert_int_lt(access(new, F_OK), 0);
}
END_TEST

START_TEST(gateway_is_reached_from_inside)
{
    struct box b = escape_box(_i);
    b.gateway_says = "hello from outside";
    b.spec.gateway_port = 4873;
    b.spec.argv = ARGV(ESCAPE, "talk", "4873");
    if (!box_run(&b))
        return;
    ended_well(&b);
    ck_assert_str_eq(b.out, "hello from outside\n");
}
END_TEST

START_TEST(output_is_bounded)
{
    struct box b = {.way = (enum box_way)_i};
    b.spec.limits.line_bytes = 10;
    b.spec.limits.output_bytes = 100;
    b.spec.argv = ARGV("sh", "-c",
                       "echo 0123456789abcdef; i=0; while [ $i -lt 2000 ]; do echo $i; "
                       "i=$((i+1)); done");
    if (!box_run(&b))
        return;
    ended_well(&b);
    ck_assert(b.result.output_cut);
    ck_assert_uint_le(strlen(b.out), 100);
    ck_assert(strncmp(b.out, "0123456789\n0\n1\n", 15) == 0);
}
END_TEST

/* --- an own base, and installing --- */

static void make_base(void)
{
    static const char script[] =
        "cd \"$1\" && mkdir -p usr/bin etc var/lib usr/lib && ln -s usr/bin bin && ln -s usr/lib "
        "lib && ln -s usr/lib lib64 && for p in sh cat ls id chown stat touch mkdir ln rm chmod "
        "env mv; do cp -L $(command -v $p) usr/bin/; done && for l in $(ldd usr/bin/* | grep -o "
        "'/[^ ]*\\.so[^ ]*' | sort -u); do cp -L $l usr/lib/; mkdir -p usr/lib/$(uname "
        "-m)-linux-gnu; cp -L $l usr/lib/$(uname -m)-linux-gnu/; done && echo base >etc/name";
    AUTO_FREE char *base = in_folder("dirs/base");
    struct err err = {0};
    int status = -1;
    ck_assert(io_mkdirs(AT_FDCWD, base, 0755, &err));
    const char *argv[] = {"sh", "-c", script, "sh", base, NULL};
    struct proc p = {.argv = argv};
    ck_assert_msg(proc_run(&p, &status, &err) && status == 0, "%s", err.text);
}

static int harvest_owner(void *ctx, int upper_fd)
{
    struct stat st;
    (void)ctx;
    return fstatat(upper_fd, "var/lib/owned", &st, 0) == 0 && st.st_uid == 105 && st.st_gid == 106
               ? 0
               : 4;
}

static void install_box(struct box *b, const char **base, const char *upper)
{
    make_base();
    AUTO_FREE char *made = in_folder("upper");
    ck_assert(mkdir(made, 0755) == 0);
    static char path[4200];
    snprintf(path, sizeof(path), "%s/dirs/base", box_folder());
    base[0] = path;
    b->spec.role = SANDBOX_INSTALL;
    b->spec.base_dirs = base;
    b->spec.base_count = 1;
    b->spec.upper_dir = upper;
    b->spec.limits.wall_ms = 60000;
}

START_TEST(installing_keeps_owners_modes_and_what_is_removed)
{
    struct box b = {.way = (enum box_way)_i};
    const char *base[1];
    AUTO_FREE char *upper = in_folder("upper");
    install_box(&b, base, upper);
    b.spec.argv = ARGV("sh", "-ec",
                       "touch /var/lib/owned /usr/bin/suid; chown 105:106 /var/lib/owned; "
                       "chmod 4755 /usr/bin/suid; rm /etc/name; ln /usr/bin/suid /usr/bin/hard; "
                       "mkdir /var/lib/d; chown 33 /var/lib/d; ls /usr/bin/cat");
    b.spec.harvest = _i == BOX_SINGLE ? NULL : harvest_owner;
    if (!box_run(&b))
        return;
    ended_well(&b);
    struct stat st, hard;
    AUTO_FREE char *owned = in_folder("upper/upper/var/lib/owned"),
                   *suid = in_folder("upper/upper/usr/bin/suid"),
                   *link = in_folder("upper/upper/usr/bin/hard"),
                   *gone = in_folder("upper/upper/etc/name");
    ck_assert(stat(owned, &st) == 0);
    if (_i == BOX_SELF && geteuid() == 0) {
        ck_assert_int_eq(b.result.ids, SANDBOX_IDS_MAPPED);
        ck_assert(st.st_uid == 105 && st.st_gid == 106);
    } else if (b.result.ids == SANDBOX_IDS_SUBUID) {
        ck_assert(st.st_uid == 300000 + 104 && st.st_gid == 300000 + 105);
    }
    ck_assert(stat(suid, &st) == 0 && stat(link, &hard) == 0);
    ck_assert(st.st_ino == hard.st_ino && (st.st_mode & 07777) == 04755);
    ck_assert(stat(gone, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0);
    ck_assert(access(upper, F_OK) == 0);
    /* A second one goes on with what is there. */
    b.spec.argv = ARGV("sh", "-ec",
                       "test -e /var/lib/owned && test ! -e /etc/name && rm -r "
                       "/var/lib/owned /var/lib/d && echo gone on");
    b.spec.harvest = NULL;
    ck_assert(box_run(&b));
    ended_well(&b);
    ck_assert_str_eq(b.out, "gone on\n");
}
END_TEST

/* Nothing on an overlay can be shown with other ids: then root keeps those it has. */
static bool base_on_overlay(void)
{
    make_base();
    AUTO_FREE char *dirs = in_folder("dirs"), *other = in_folder("other");
    AUTO_FREE char *options = mem_printf("lowerdir=%s:%s", dirs, other);
    return mkdir(other, 0755) == 0 && unshare(CLONE_NEWNS) == 0 &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("overlay", dirs, "overlay", 0, options) == 0;
}

START_TEST(ids_are_kept_where_they_cannot_be_mapped)
{
    struct box b = escape_box(BOX_SELF);
    AUTO_FREE char *upper = in_folder("upper"), *base = in_folder("dirs/base");
    const char *bases[] = {base};
    if (geteuid() != 0 || !base_on_overlay()) {
        printf("skipped: only root can mount an overlay to try it on\n");
        return;
    }
    ck_assert(mkdir(upper, 0755) == 0);
    b.spec.role = SANDBOX_INSTALL;
    b.spec.base_dirs = bases;
    b.spec.base_count = 1;
    b.spec.upper_dir = upper;
    b.spec.argv = ARGV("sh", "-ec", "touch /var/lib/owned; chown 105:106 /var/lib/owned");
    b.spec.harvest = harvest_owner;
    if (!box_run(&b))
        return;
    ended_well(&b);
    struct stat st;
    AUTO_FREE char *owned = in_folder("upper/upper/var/lib/owned");
    ck_assert(stat(owned, &st) == 0 && st.st_uid == 105 && st.st_gid == 106);
    b.spec.harvest = NULL;
    static const char *const ways[] = {"sockets", "mount",   "namespaces", "kernel",
                                       "ptrace",  "devices", "setuid"};
    for (size_t i = 0; i < COUNT(ways); i++) {
        b.spec.argv = ARGV(ESCAPE, ways[i]);
        ck_assert(box_run(&b));
        ck_assert_msg(b.result.status == 0, "%s: %s", ways[i], b.out);
    }
}
END_TEST

START_TEST(failing_harvest_is_an_error)
{
    struct box b = {.way = (enum box_way)_i};
    const char *base[1];
    AUTO_FREE char *upper = in_folder("upper");
    install_box(&b, base, upper);
    b.spec.argv = ARGV("touch", "/var/lib/other");
    b.spec.harvest = harvest_owner;
    if (!box_run(&b))
        return;
    ended_with(&b, ERR_IO);
}
END_TEST

START_TEST(upper_is_removed_whoever_owns_it)
{
    struct box b = {.way = (enum box_way)_i};
    const char *base[1];
    AUTO_FREE char *upper = in_folder("upper");
    install_box(&b, base, upper);
    b.spec.argv = ARGV("sh", "-ec",
                       "mkdir -p /var/lib/a/b; touch /var/lib/a/b/c; "
                       "chown 1:1 /var/lib/a/b /var/lib/a; chmod 700 /var/lib/a/b");
    b.remove_upper = true;
    if (!box_run(&b))
        return;
    ended_well(&b);
    AUTO_FREE char *left = in_folder("upper/upper"), *work = in_folder("upper/work");
    ck_assert(access(left, F_OK) < 0 && access(work, F_OK) < 0);
}
END_TEST

START_TEST(installing_over_this_machine_shows_no_passwords)
{
    struct box b = {.way = (enum box_way)_i};
    AUTO_FREE char *upper = in_folder("upper");
    ck_assert(mkdir(upper, 0755) == 0);
    b.spec.role = SANDBOX_INSTALL;
    b.spec.upper_dir = upper;
    b.spec.argv = ARGV("sh", "-ec",
                       "cut -d: -f2 /etc/shadow | sort -u; echo x >/usr/local/strata-test; "
                       "echo y >/var/lib/strata-test; mkdir /opt/strata-test; ls -A /root /home");
    if (!box_run(&b))
        return;
    if (_i != BOX_SELF || geteuid() != 0) {
        ended_with(&b, ERR_UNSUPPORTED);
        return;
    }
    ended_well(&b);
    ck_assert_str_eq(b.out, "*\n/home:\n\n/root:\n");
    AUTO_FREE char *made = in_folder("upper/upper/usr/local/strata-test"),
                   *var = in_folder("upper/upper/var/lib/strata-test");
    struct stat st;
    ck_assert(stat(made, &st) == 0 && st.st_uid == 0 && stat(var, &st) == 0);
    ck_assert(access("/usr/local/strata-test", F_OK) < 0);
    /* What is hidden stays so under layers. */
    put("dirs/one/usr/share/strata-test/y", "y\n", 0644);
    AUTO_FREE char *one = in_folder("dirs/one");
    const char *dirs[] = {one};
    b.spec.lower_dirs = dirs;
    b.spec.lower_count = 1;
    b.spec.argv = ARGV("sh", "-ec",
                       "cut -d: -f2 /etc/shadow | sort -u; cat /usr/share/strata-test/y; "
                       "ls -d /etc/shadow- /var/log/* /etc/ssl/private/* /mnt /srv 2>/dev/null || "
                       "cat /usr/local/strata-test");
    ck_assert(box_run(&b));
    ended_well(&b);
    ck_assert_str_eq(b.out, "*\ny\nx\n");
}
END_TEST

/* --- ways out --- */

static const char *const closed_ways[] = {"sockets", "mount",   "namespaces", "kernel",
                                          "ptrace",  "devices", "setuid"};

START_TEST(way_out_is_closed)
{
    struct box b = escape_box(_i % BOX_WAYS);
    b.spec.role = SANDBOX_BUILD;
    b.spec.argv = ARGV(ESCAPE, closed_ways[_i / BOX_WAYS]);
    if (!box_run(&b))
        return;
    ck_assert_msg(b.result.status == 0, "%s: %d %s %s", closed_ways[_i / BOX_WAYS], b.result.status,
                  b.out, b.result.err.text);
}
END_TEST

START_TEST(way_out_is_closed_to_installers_too)
{
    struct box b = escape_box(_i % BOX_WAYS);
    const char *base[1];
    install_box(&b, base, NULL);
    b.spec.argv = ARGV(ESCAPE, closed_ways[_i / BOX_WAYS]);
    if (!box_run(&b))
        return;
    ck_assert_msg(b.result.status == 0, "%s: %d %s %s", closed_ways[_i / BOX_WAYS], b.result.status,
                  b.out, b.result.err.text);
}
END_TEST

START_TEST(services_of_the_machine_cannot_be_reached)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0strata-test-abstract"};
    socklen_t len = sizeof(at);
    AUTO_FD int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    AUTO_FD int local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert(bind(tcp, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(tcp, 5) == 0 &&
              getsockname(tcp, (struct sockaddr *)&at, &len) == 0);
    ck_assert(bind(local, (struct sockaddr *)&name, sizeof(sa_family_t) + 21) == 0 &&
              listen(local, 5) == 0);
    AUTO_FREE char *port = mem_printf("%d", ntohs(at.sin_port));
    struct box b = escape_box(_i);
    b.spec.argv = ARGV(ESCAPE, "connect", port);
    if (!box_run(&b))
        return;
    ck_assert_msg(b.result.status == 0, "%s", b.out);
    b.spec.argv = ARGV(ESCAPE, "abstract", "strata-test-abstract");
    box_run(&b);
    ck_assert_msg(b.result.status == 0, "%s", b.out);
}
END_TEST

START_TEST(secrets_of_the_machine_are_not_there)
{
    const char *home = getenv("HOME") ? getenv("HOME") : "/root";
    char canary[4096];
    snprintf(canary, sizeof(canary), "%s/.strata-test-XXXXXX", home);
    int fd = mkstemp(canary);
    put("canary", "secret", 0644);
    AUTO_FREE char *stored = in_folder("canary");
    AUTO_FREE char *tmp = mem_printf("/proc/%d/root%s", getpid(), stored);
    const char *const paths[] = {canary, stored, tmp, "/run/systemd", "/etc/shadow-"};
    for (size_t i = 0; i < COUNT(paths); i++) {
        struct box b = escape_box(_i);
        b.spec.argv = ARGV(ESCAPE, "file", paths[i]);
        if (!box_run(&b))
            break;
        ck_assert_msg(b.result.status == 0, "%s: %s %s", paths[i], b.out, b.result.err.text);
    }
    if (fd >= 0) {
        close(fd);
        unlink(canary);
    }
}
END_TEST

START_TEST(nothing_is_written_to_the_machine)
{
    struct box b = {.way = (enum box_way)_i};
    b.spec.argv = ARGV("sh", "-c",
                       "for d in / /etc /usr /usr/bin /var/lib /opt /tmp /root /home /boot /dev "
                       "/proc/self/root/etc /srv /mnt; do echo x 2>/dev/null >$d/strata-canary; "
                       "done; rm -rf /usr/share/doc 2>/dev/null; true");
    if (!box_run(&b))
        return;
    ended_well(&b);
    static const char *const folders[] = {"/",    "/etc",  "/usr",  "/usr/bin", "/var/lib", "/opt",
                                          "/tmp", "/root", "/home", "/boot",    "/dev"};
    for (size_t i = 0; i < COUNT(folders); i++) {
        AUTO_FREE char *path = mem_printf("%s/strata-canary", folders[i]);
        ck_assert_msg(access(path, F_OK) < 0, "%s", path);
    }
    ck_assert_int_eq(access("/usr/share/doc", F_OK), 0);
}
END_TEST

/* --- limits --- */

START_TEST(processes_are_bounded)
{
    struct box b = escape_box(_i);
    b.spec.limits.processes = 40;
    b.spec.argv = ARGV(ESCAPE, "fork-bomb", "40");
    if (!box_run(&b))
        return;
    ck_assert_msg(b.result.status == 0, "%s", b.out);
}
END_TEST

START_TEST(memory_is_bounded)
{
    struct box b = escape_box(_i);
    b.spec.limits.memory_bytes = 64u << 20;
    b.spec.argv = ARGV(ESCAPE, "memory-bomb", "64");
    if (!box_run(&b))
        return;
    ck_assert_msg(b.result.err.code == ERR_TOO_LARGE || b.result.status == 77, "%d %s",
                  b.result.status, b.result.err.text);
    /* Several processes together, too. */
    b.spec.argv =
        ARGV("sh", "-c", "for i in 1 2 3 4 5 6; do " ESCAPE " memory-bomb 7 & done; wait; sleep 1");
    b.spec.limits.memory_bytes = 48u << 20;
    box_run(&b);
    ck_assert_msg(b.result.err.code == ERR_TOO_LARGE || b.result.status == 0, "%d %s",
                  b.result.status, b.result.err.text);
}
END_TEST

static const char *const writable_folders[] = {"/tmp", "/build",   "/root",
                                               "/run", "/dev/shm", "/var/tmp"};

START_TEST(disk_is_bounded)
{
    struct box b = escape_box(_i % BOX_WAYS);
    b.spec.limits.disk_bytes = 16u << 20;
    b.spec.argv = ARGV(ESCAPE, "fill", writable_folders[_i / BOX_WAYS]);
    if (!box_run(&b))
        return;
    ck_assert_msg(b.result.status == 0, "%s: %d %s", writable_folders[_i / BOX_WAYS],
                  b.result.status, b.out);
}
END_TEST

START_TEST(kept_upper_is_bounded)
{
    struct box b = escape_box(_i);
    const char *base[1];
    AUTO_FREE char *upper = in_folder("upper");
    install_box(&b, base, upper);
    b.spec.limits.disk_bytes = 24u << 20;
    b.spec.argv = ARGV("sh", "-c", ESCAPE " fill /var/lib; while true; do :; done");
    if (!box_run(&b))
        return;
    ended_with(&b, ERR_TOO_LARGE);
}
END_TEST

START_TEST(cpu_time_is_bounded)
{
    struct box b = escape_box(_i);
    b.spec.limits.cpu_ms = 1000;
    b.spec.limits.wall_ms = 60000;
    b.spec.argv = ARGV(ESCAPE, "cpu");
    if (!box_run(&b))
        return;
    ended_with(&b, ERR_TOO_LARGE);
    ck_assert_int_lt(b.result.wall_ms, 30000);
}
END_TEST

/* --- the end --- */

START_TEST(what_never_ends_is_ended)
{
    struct box b = escape_box(_i);
    b.spec.limits.wall_ms = 300;
    b.spec.argv = ARGV(ESCAPE, "hang");
    if (!box_run(&b))
        return;
    ended_with(&b, ERR_TIMEOUT);
    ck_assert_str_eq(b.out, "lingering\n");
}
END_TEST

START_TEST(cancel_ends_it)
{
    struct box b = escape_box(_i);
    b.cancel_after_ms = 100;
    b.spec.argv = ARGV(ESCAPE, "hang");
    if (!box_run(&b))
        return;
    ended_with(&b, ERR_CANCELLED);
    ck_assert_int_lt(b.result.wall_ms, 5000);
}
END_TEST

/* Processes of ours that run the helper or keep it. */
static int left_over(void)
{
    int n = 0;
    DIR *proc = opendir("/proc");
    ck_assert(proc != NULL);
    for (struct dirent *e; (e = readdir(proc));) {
        AUTO_FREE char *exe = mem_printf("/proc/%s/exe", e->d_name);
        AUTO_FREE char *status = mem_printf("/proc/%s/root", e->d_name);
        char target[4096] = {0};
        if (!span_is_digits(span_str(e->d_name)) || readlink(exe, target, sizeof(target) - 1) < 0)
            continue;
        n += strstr(target, "sandbox_escape") != NULL || strcmp(target, ESCAPE) == 0;
    }
    closedir(proc);
    return n;
}

/* Groups that nobody looks after: other sandboxes of this machine are no concern of ours. */
static int groups_left(void)
{
    int n = 0;
    static const char find[] =
        "find /sys/fs/cgroup -name 'strata-*' -type d -printf '%f\\n' 2>/dev/null | "
        "while IFS=- read -r _ pid _; do [ -d /proc/$pid ] || echo $pid; done | wc -l";
    AUTO_BUF struct buf out = BUF(100);
    struct proc p = {.argv = ARGV("sh", "-c", find), .out = &out};
    struct err err = {0};
    ck_assert(proc_run(&p, &n, &err));
    return atoi(buf_cstr(&out));
}

static bool all_gone(int groups_before)
{
    for (int i = 0; i < 300; i++) {
        if (left_over() == 0 && groups_left() <= groups_before)
            return true;
        poll(NULL, 0, 10);
    }
    return false;
}

START_TEST(background_processes_end_with_the_command)
{
    struct box b = escape_box(_i);
    int groups = groups_left();
    b.spec.argv = ARGV(ESCAPE, "linger");
    if (!box_run(&b))
        return;
    ended_well(&b);
    ck_assert(all_gone(groups));
}
END_TEST

START_TEST(killed_worker_leaves_nothing)
{
    struct box b = escape_box(_i);
    struct err err = {0};
    AUTO_BUF struct buf before = BUF(16u << 20), after = BUF(16u << 20);
    int groups = groups_left();
    ck_assert(io_read_file(AT_FDCWD, "/proc/self/mountinfo", &before, &err));
    b.spec.argv = ARGV(ESCAPE, "hang");
    b.kill_worker = true;
    if (!box_run(&b))
        return;
    ck_assert_msg(all_gone(groups), "%d processes, %d groups", left_over(), groups_left());
    ck_assert(io_read_file(AT_FDCWD, "/proc/self/mountinfo", &after, &err));
    ck_assert_str_eq(buf_cstr(&before), buf_cstr(&after));
}
END_TEST

START_TEST(killed_keeper_leaves_nothing_after_the_next_start)
{
    struct box b = escape_box(_i % BOX_WAYS);
    int groups = groups_left();
    struct err err = {0};
    b.spec.argv = ARGV(ESCAPE, "hang");
    b.kill_keeper = true;
    b.kill_worker = _i >= BOX_WAYS;
    if (!box_run(&b))
        return;
    if (!b.kill_worker)
        ended_with(&b, ERR_INTERNAL);
    for (int i = 0; i < 300 && left_over(); i++)
        poll(NULL, 0, 10);
    ck_assert_int_eq(left_over(), 0);
    /* A group is free only some time after its last process. */
    for (int i = 0; i < 100 && groups_left() > groups; i++) {
        sandbox_host_free(sandbox_host_new(box_folder(), &err));
        poll(NULL, 0, 10);
    }
    ck_assert_int_le(groups_left(), groups);
}
END_TEST

/* --- several at once, in one process --- */

struct many {
    uv_loop_t loop;
    int done, well;
};

static void many_done(void *ctx, const struct sandbox_result *result)
{
    struct many *m = ctx;
    m->done++;
    m->well += result->err.code == ERR_NONE;
}

START_TEST(sandboxes_run_side_by_side)
{
    struct many m = {.done = 0};
    struct err err = {0};
    struct sandbox_host *host = sandbox_host_new(box_folder(), &err);
    ck_assert_msg(host != NULL, "%s", err.text);
    ck_assert(uv_loop_init(&m.loop) == 0);
    struct sandbox_spec spec = {.host = host,
                                .loop = &m.loop,
                                .argv = ARGV("sh", "-c", "sleep 0.2"),
                                .on_done = many_done,
                                .ctx = &m};
    if (sandbox_host_usable(host, &err)) {
        for (int i = 0; i < 6; i++)
            ck_assert_msg(sandbox_start(&spec, &err) != NULL, "%s", err.text);
        uv_run(&m.loop, UV_RUN_DEFAULT);
        ck_assert_int_eq(m.done, 6);
        ck_assert_int_eq(m.well, 6);
    }
    ck_assert(uv_loop_close(&m.loop) == 0);
    sandbox_host_free(host);
}
END_TEST

START_TEST(host_says_what_it_allows)
{
    struct err err = {0};
    size_t n;
    struct sandbox_host *host = sandbox_host_new(box_folder(), &err);
    ck_assert_msg(host != NULL, "%s", err.text);
    const struct sandbox_check *checks = sandbox_host_checks(host, &n);
    ck_assert_uint_ge(n, 6);
    for (size_t i = 0; i < n; i++) {
        printf("%-20s %-3s %s %s\n", checks[i].name, checks[i].ok ? "ok" : "no", checks[i].found,
               checks[i].fix);
        ck_assert(checks[i].found[0] && (checks[i].ok || checks[i].fix[0]));
    }
    sandbox_host_free(host);
}
END_TEST

Suite *test_suite(void)
{
    const struct {
        const char *name;
        const TTest *test;
        int cases;
    } tests[] = {
        {"commands", command_runs_and_its_lines_arrive, BOX_WAYS},
        {"commands", only_the_variables_of_the_spec_are_set, BOX_WAYS},
        {"commands", status_and_missing_programs_are_told_apart, BOX_WAYS},
        {"commands", input_files_and_binds_are_there, BOX_WAYS},
        {"commands", layers_lie_over_the_base_and_can_be_written_to, BOX_WAYS},
        {"commands", gateway_is_reached_from_inside, BOX_WAYS},
        {"commands", output_is_bounded, BOX_WAYS},
        {"install", installing_keeps_owners_modes_and_what_is_removed, BOX_WAYS},
        {"install", ids_are_kept_where_they_cannot_be_mapped, 1},
        {"install", failing_harvest_is_an_error, BOX_WAYS},
        {"install", upper_is_removed_whoever_owns_it, BOX_WAYS},
        {"install", installing_over_this_machine_shows_no_passwords, BOX_WAYS},
        {"ways out", way_out_is_closed, BOX_WAYS * (int)COUNT(closed_ways)},
        {"ways out", way_out_is_closed_to_installers_too, BOX_WAYS * (int)COUNT(closed_ways)},
        {"ways out", services_of_the_machine_cannot_be_reached, BOX_WAYS},
        {"ways out", secrets_of_the_machine_are_not_there, BOX_WAYS},
        {"ways out", nothing_is_written_to_the_machine, BOX_WAYS},
        {"limits", processes_are_bounded, BOX_WAYS},
        {"limits", memory_is_bounded, BOX_WAYS},
        {"limits", disk_is_bounded, BOX_WAYS * (int)COUNT(writable_folders)},
        {"limits", kept_upper_is_bounded, BOX_WAYS},
        {"limits", cpu_time_is_bounded, BOX_WAYS},
        {"end", what_never_ends_is_ended, BOX_WAYS},
        {"end", cancel_ends_it, BOX_WAYS},
        {"end", background_processes_end_with_the_command, BOX_WAYS},
        {"end", killed_worker_leaves_nothing, BOX_WAYS},
        {"end", killed_keeper_leaves_nothing_after_the_next_start, BOX_WAYS * 2},
        {"side", sandboxes_run_side_by_side, 1},
        {"side", host_says_what_it_allows, 1},
    };
    Suite *s = suite_create("sandbox");
    for (size_t i = 0; i < COUNT(tests); i++) {
        TCase *tc = tcase_create(tests[i].name);
        tcase_set_timeout(tc, 120);
        tcase_add_checked_fixture(tc, box_fresh, NULL);
        tcase_add_loop_test(tc, tests[i].test, 0, tests[i].cases);
        suite_add_tcase(s, tc);
    }
    return s;
}
