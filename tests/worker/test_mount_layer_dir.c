/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/io.h"
#include "tests/test_main.h"
#include "tests/worker/tar_build.h"

static struct layer_dirs *open_store(void)
{
    static int count;
    struct err err = {0};
    AUTO_FREE char *home = mem_printf("%s/home%d-%d", test_folder(), (int)getpid(), count++);
    struct layer_dirs *d = layer_dirs_open(home, &err);
    ck_assert_msg(d != NULL, "%s", err.text);
    return d;
}

static void build(struct buf *tar, const struct tar_line *lines, size_t n)
{
    for (size_t i = 0; i < n; i++)
        tar_add(tar, &lines[i]);
    tar_end(tar);
}

/* The directory's path, or NULL with *err. */
static char *unpack(struct layer_dirs *d, struct span bytes, struct err *err)
{
    struct tar_bytes b = {.bytes = bytes, .chunk = 777};
    struct layer_source source = tar_source(&b);
    bool ok = layer_dirs_unpack(d, &source, NULL, err);
    ck_assert_int_eq(b.closed, 1);
    ck_assert_int_eq(ok, layer_dirs_has(d, &source.digest));
    return ok ? layer_dirs_path(d, &source.digest) : NULL;
}

static struct stat stat_of(const char *root, const char *name)
{
    AUTO_FREE char *path = mem_printf("%s/%s", root, name);
    struct stat st;
    ck_assert_msg(lstat(path, &st) == 0, "%s: %s", path, strerror(errno));
    return st;
}

static void has_content(const char *root, const char *name, const char *content)
{
    AUTO_FREE char *path = mem_printf("%s/%s", root, name);
    AUTO_BUF struct buf b = BUF(1 << 20);
    struct err err = {0};
    ck_assert_msg(io_read_file(AT_FDCWD, path, &b, &err), "%s", err.text);
    ck_assert_str_eq(buf_cstr(&b), content);
}

static size_t count_names(struct layer_dirs *d, const char *folder)
{
    struct digest none = {0};
    AUTO_FREE char *dir = layer_dirs_path(d, &none);
    strrchr(dir, '/')[0] = '\0';
    AUTO_FREE char *path = mem_printf("%s/../%s", dir, folder);
    struct stat st;
    ck_assert(stat(path, &st) == 0);
    return st.st_nlink - 2;
}

static const struct tar_line sample[] = {
    {.type = '5', .path = "opt/", .mode = 0755, .mtime = 11},
    {.type = '5', .path = "opt/ro/", .mode = 0555, .mtime = 12},
    {.type = '0', .path = "opt/ro/a", .content = "alpha", .mode = 0640, .mtime = 13},
    {.type = '1', .path = "opt/ro/b", .link = "opt/ro/a"},
    {.type = '2', .path = "opt/link", .link = "/etc/../no/where", .mtime = 14},
    {.type = '0', .path = "opt/suid", .content = "x", .mode = 04777, .mtime = 15},
    {.type = '0', .path = "var/deep/er/file", .content = "beta"},
    {.type = '5', .path = "opt", .mode = 0711, .mtime = 16},
};

static void check_sample(const char *dir)
{
    has_content(dir, "opt/ro/a", "alpha");
    has_content(dir, "var/deep/er/file", "beta");
    ck_assert_int_eq(stat_of(dir, "opt").st_mode, S_IFDIR | 0711);
    ck_assert_int_eq(stat_of(dir, "opt").st_mtim.tv_sec, 16);
    ck_assert_int_eq(stat_of(dir, "opt/ro").st_mode, S_IFDIR | 0555);
    ck_assert_int_eq(stat_of(dir, "opt/ro").st_mtim.tv_sec, 12);
    ck_assert_int_eq(stat_of(dir, "opt/ro/a").st_mode, S_IFREG | 0640);
    ck_assert_int_eq(stat_of(dir, "opt/ro/a").st_mtim.tv_sec, 13);
    ck_assert_int_eq(stat_of(dir, "opt/ro/a").st_ino, stat_of(dir, "opt/ro/b").st_ino);
    ck_assert_int_eq(stat_of(dir, "opt/suid").st_mode, S_IFREG | 04777);
    ck_assert(S_ISLNK(stat_of(dir, "opt/link").st_mode));
    ck_assert_int_eq(stat_of(dir, "opt/link").st_mtim.tv_sec, 14);
    ck_assert_int_eq(stat_of(dir, "var/deep").st_mode, S_IFDIR | 0755);
}

START_TEST(same_tree_from_plain_gzip_and_zstd_under_any_umask)
{
    struct layer_dirs *d = open_store();
    AUTO_BUF struct buf tar = TAR_BUF, packed = TAR_BUF;
    struct err err = {0};
    mode_t old = umask(_i % 2 ? 077 : 0);
    build(&tar, sample, COUNT(sample));
    switch (_i / 2) {
    case 0: buf_append(&packed, buf_span(&tar)); break;
    case 1: tar_gzip(&tar, 1 << 20, &packed); break;
    case 2: tar_gzip(&tar, 100, &packed); break;
    case 3: tar_zstd(&tar, 1 << 20, &packed); break;
    case 4: tar_zstd(&tar, 100, &packed); break;
    }
    AUTO_FREE char *dir = unpack(d, buf_span(&packed), &err);
    ck_assert_msg(dir != NULL, "%s", err.text);
    check_sample(dir);
    ck_assert_uint_eq(count_names(d, "staging"), 0);
    umask(old);
    layer_dirs_free(d);
}
END_TEST

START_TEST(owners_are_kept_as_root)
{
    if (geteuid() != 0)
        return;
    struct layer_dirs *d = open_store();
    AUTO_BUF struct buf tar = TAR_BUF;
    struct err err = {0};
    static const struct tar_line lines[] = {
        {.type = '5', .path = "d/", .mode = 0750, .uid = 105},
        {.type = '0', .path = "d/f", .content = "", .mode = 06755, .uid = 106},
        {.type = '2', .path = "d/l", .link = "f", .uid = 107},
    };
    build(&tar, lines, COUNT(lines));
    AUTO_FREE char *dir = unpack(d, buf_span(&tar), &err);
    ck_assert_msg(dir != NULL, "%s", err.text);
    ck_assert_uint_eq(stat_of(dir, "d").st_uid, 105);
    ck_assert_uint_eq(stat_of(dir, "d/f").st_uid, 106);
    ck_assert_uint_eq(stat_of(dir, "d/f").st_mode, S_IFREG | 06755);
    ck_assert_uint_eq(stat_of(dir, "d/l").st_uid, 107);
    layer_dirs_free(d);
}
END_TEST

START_TEST(pax_names_times_and_attributes_are_used)
{
    struct layer_dirs *d = open_store();
    AUTO_BUF struct buf tar = TAR_BUF;
    struct err err = {0};
    AUTO_FREE char *longest = mem_alloc(256);
    memset(longest, 'n', 255);
    AUTO_FREE char *path = mem_printf("./a/%s/\xc3\xbc", longest);
    const char *const kv[] = {"path",
                              path,
                              "mtime",
                              "1700000000.25",
                              "SCHILY.xattr.user.k",
                              "v",
                              "SCHILY.xattr.user.overlay.opaque",
                              "y",
                              "comment",
                              "x=y",
                              NULL};
    tar_add_pax(&tar, kv);
    tar_add(&tar, &(struct tar_line){.type = '0', .path = "short", .content = "c"});
    tar_end(&tar);
    AUTO_FREE char *dir = unpack(d, buf_span(&tar), &err);
    ck_assert_msg(dir != NULL, "%s", err.text);
    has_content(dir, path, "c");
    AUTO_FREE char *full = mem_printf("%s/%s", dir, path);
    char value[8] = {0};
    ck_assert_int_eq(stat_of(dir, path).st_mtim.tv_sec, 1700000000);
    ck_assert_int_eq(stat_of(dir, path).st_mtim.tv_nsec, 250000000);
    ck_assert_int_eq(lgetxattr(full, "user.k", value, sizeof(value)), 1);
    ck_assert_int_lt(lgetxattr(full, "user.overlay.opaque", value, sizeof(value)), 0);
    layer_dirs_free(d);
}
END_TEST

START_TEST(whiteouts_become_the_overlays_own)
{
    struct layer_dirs *d = open_store();
    AUTO_BUF struct buf tar = TAR_BUF;
    struct err err = {0};
    static const struct tar_line lines[] = {
        {.type = '0', .path = "gone/.wh.file", .content = ""},
        {.type = '0', .path = "opaque/.wh..wh..opq", .content = ""},
        {.type = '0', .path = "opaque/kept", .content = "k"},
        {.type = '0', .path = ".wh.replaced", .content = ""},
        {.type = '0', .path = "replaced", .content = "new"},
        {.type = '0', .path = ".wh.tree", .content = ""},
        {.type = '5', .path = "tree", .mode = 0755},
        {.type = '0', .path = "late/file", .content = "l"},
        {.type = '0', .path = ".wh.late", .content = ""},
        {.type = '0', .path = ".wh..wh.plnk", .content = ""},
    };
    build(&tar, lines, COUNT(lines));
    AUTO_FREE char *dir = unpack(d, buf_span(&tar), &err);
    ck_assert_msg(dir != NULL, "%s", err.text);
    struct stat st = stat_of(dir, "gone/file");
    ck_assert(S_ISCHR(st.st_mode) && st.st_rdev == 0);
    has_content(dir, "replaced", "new");
    static const char *const opaque[] = {"opaque", "tree", "late"};
    for (size_t i = 0; i < COUNT(opaque); i++) {
        AUTO_FREE char *path = mem_printf("%s/%s", dir, opaque[i]);
        char y = 0;
        ck_assert_msg(getxattr(path, "user.overlay.opaque", &y, 1) == 1, "%s", opaque[i]);
        ck_assert_int_eq(y, 'y');
        if (geteuid() == 0)
            ck_assert_int_eq(getxattr(path, "trusted.overlay.opaque", &y, 1), 1);
    }
    has_content(dir, "late/file", "l");
    layer_dirs_free(d);
}
END_TEST

static const struct hostile {
    const char *why; /* in the error's text */
    struct tar_line lines[3];
} hostile[] = {
    {"\"..\"", {{.type = '0', .path = "../x", .content = "x"}}},
    {"\"..\"", {{.type = '0', .path = "a/../../x", .content = "x"}}},
    {"\"..\"", {{.type = '5', .path = "a/.."}}},
    {"absolute", {{.type = '0', .path = "/etc/passwd", .content = "x"}}},
    {"symbolic link",
     {{.type = '2', .path = "a", .link = "/"}, {.type = '0', .path = "a/x", .content = "x"}}},
    {"symbolic link",
     {{.type = '5', .path = "b"},
      {.type = '2', .path = "a", .link = "b"},
      {.type = '0', .path = "a/b/c", .content = "x"}}},
    {"symbolic link",
     {{.type = '0', .path = "f", .content = "x"}, {.type = '0', .path = "f/x", .content = "x"}}},
    {"twice",
     {{.type = '2', .path = "a", .link = "/etc/x"}, {.type = '0', .path = "a", .content = "x"}}},
    {"twice",
     {{.type = '0', .path = "a", .content = "x"}, {.type = '0', .path = "./a", .content = "x"}}},
    {"twice", {{.type = '2', .path = "a", .link = "/"}, {.type = '5', .path = "a/"}}},
    {"twice", {{.type = '0', .path = "a", .content = "x"}, {.type = '5', .path = "a/"}}},
    {"twice", {{.type = '5', .path = "a/"}, {.type = '2', .path = "a", .link = "x"}}},
    {"device", {{.type = '3', .path = "null"}}},
    {"device", {{.type = '4', .path = "sda"}}},
    {"device", {{.type = '6', .path = "fifo"}}},
    {"sparse", {{.type = 'S', .path = "s", .content = "x"}}},
    {"unknown type", {{.type = 'Z', .path = "s"}}},
    {"hard link", {{.type = '1', .path = "h", .link = "/etc/shadow"}}},
    {"hard link", {{.type = '1', .path = "h", .link = "../../../etc/shadow"}}},
    {"hard link", {{.type = '1', .path = "h", .link = "nothing"}}},
    {"hard link", {{.type = '5', .path = "d"}, {.type = '1', .path = "h", .link = "d"}}},
    {"hard link",
     {{.type = '2', .path = "d", .link = "/etc"}, {.type = '1', .path = "h", .link = "d/shadow"}}},
    {"hard link",
     {{.type = '0', .path = ".wh.w", .content = ""}, {.type = '1', .path = "h", .link = "w"}}},
    {"no name", {{.type = '0', .path = "", .content = "x"}}},
    {"root is not", {{.type = '0', .path = ".", .content = "x"}}},
    {"without a target", {{.type = '2', .path = "l", .link = ""}}},
    {"size", {{.type = '2', .path = "l", .link = "x", .content = "y"}}},
    {"whiteout of nothing", {{.type = '0', .path = ".wh.", .content = ""}}},
    {"whiteout of nothing", {{.type = '0', .path = "a/.wh...", .content = ""}}},
    {"empty file", {{.type = '0', .path = ".wh.a", .content = "x"}}},
    {"below a whiteout", {{.type = '0', .path = "a/.wh.b/c", .content = "x"}}},
};

START_TEST(hostile_entry_is_refused_and_nothing_published)
{
    struct layer_dirs *d = open_store();
    AUTO_BUF struct buf tar = TAR_BUF;
    struct err err = {0};
    for (size_t i = 0; i < 3 && hostile[_i].lines[i].path; i++)
        tar_add(&tar, &hostile[_i].lines[i]);
    tar_end(&tar);
    ck_assert(!unpack(d, buf_span(&tar), &err));
    ck_assert_int_eq(err.code, ERR_BAD_ARCHIVE);
    ck_assert_msg(strstr(err.text, hostile[_i].why) != NULL, "%s: %s", hostile[_i].why, err.text);
    ck_assert_uint_eq(count_names(d, "sha256"), 0);
    ck_assert_uint_eq(count_names(d, "staging"), 0);
    layer_dirs_free(d);
}
END_TEST

START_TEST(pax_cannot_smuggle)
{
    static const char *const bad[][3] = {
        {"path", "/abs", "absolute"},
        {"path", "x/../..", "\"..\""},
        {"size", "99999999999999999999", "malformed"},
        {"size", "-1", "malformed"},
        {"uid", "4294967295", "owner"},
        {"mtime", "soon", "malformed"},
        {"GNU.sparse.major", "1", "sparse"},
        {"size", "100000", "early"},
    };
    struct layer_dirs *d = open_store();
    AUTO_BUF struct buf tar = TAR_BUF;
    struct err err = {0};
    const char *const kv[] = {bad[_i][0], bad[_i][1], NULL};
    tar_add_pax(&tar, kv);
    tar_add(&tar, &(struct tar_line){.type = '0', .path = "f", .content = "x"});
    tar_end(&tar);
    ck_assert(!unpack(d, buf_span(&tar), &err));
    ck_assert_msg(strstr(err.text, bad[_i][2]) != NULL, "%s", err.text);
    layer_dirs_free(d);
}
END_TEST

START_TEST(every_truncation_is_refused_or_a_front_of_the_entries)
{
    struct layer_dirs *d = open_store();
    AUTO_BUF struct buf tar = TAR_BUF;
    build(&tar, sample, COUNT(sample));
    for (size_t cut = 1; cut + 1024 < tar.len; cut += 37) {
        AUTO_BUF struct buf gz = TAR_BUF, zst = TAR_BUF;
        struct err err = {0};
        AUTO_FREE char *plain = unpack(d, span_of(tar.ptr, cut), &err);
        ck_assert_msg((plain != NULL) == (cut % 512 == 0), "%zu: %s", cut, err.text);
        tar_gzip(&tar, 700, &gz);
        tar_zstd(&tar, 700, &zst);
        size_t gz_cut = gz.len * cut / tar.len, zst_cut = zst.len * cut / tar.len;
        AUTO_FREE char *a = unpack(d, span_of(gz.ptr, gz_cut), &err);
        AUTO_FREE char *b = unpack(d, span_of(zst.ptr, zst_cut), &err);
        if (!a || !b)
            ck_assert_int_eq(err.code, ERR_BAD_ARCHIVE);
    }
    layer_dirs_free(d);
}
END_TEST

START_TEST(data_after_the_end_and_garbage_are_refused)
{
    struct layer_dirs *d = open_store();
    for (int i = 0; i < 4; i++) {
        AUTO_BUF struct buf tar = TAR_BUF, packed = TAR_BUF;
        struct err err = {0};
        build(&tar, sample, COUNT(sample));
        if (i == 0)
            tar_add(&tar, &sample[2]);
        if (i == 1)
            tar.ptr[148]++;
        if (i < 2)
            buf_append(&packed, buf_span(&tar));
        if (i == 2)
            tar_gzip(&tar, 1 << 20, &packed);
        if (i == 3)
            tar_zstd(&tar, 1 << 20, &packed);
        if (i >= 2)
            buf_str(&packed, "garbage");
        ck_assert(!unpack(d, buf_span(&packed), &err));
        ck_assert_int_eq(err.code, ERR_BAD_ARCHIVE);
    }
    layer_dirs_free(d);
}
END_TEST

START_TEST(wrong_digest_publishes_nothing)
{
    struct layer_dirs *d = open_store();
    AUTO_BUF struct buf tar = TAR_BUF, gz = TAR_BUF;
    build(&tar, sample, COUNT(sample));
    tar_gzip(&tar, 1000, &gz);
    for (int i = 0; i < 3; i++) {
        struct tar_bytes b = {.bytes = buf_span(&gz)};
        struct layer_source source = tar_source(&b);
        struct err err = {0};
        source.diff_id = digest_of(buf_span(&tar));
        (i ? &source.digest : &source.diff_id)->bytes[7] ^= i < 2;
        bool ok = layer_dirs_unpack(d, &source, NULL, &err);
        ck_assert_int_eq(ok, i == 2);
        ck_assert_int_eq(err.code, i == 2 ? ERR_NONE : ERR_DIGEST_MISMATCH);
        ck_assert_uint_eq(count_names(d, "sha256"), i == 2);
    }
    layer_dirs_free(d);
}
END_TEST

START_TEST(limits_are_kept)
{
    struct layer_dirs *d = open_store();
    AUTO_BUF struct buf tar = TAR_BUF;
    build(&tar, sample, COUNT(sample));
    static const struct layer_limits limits[] = {{.max_bytes = 9}, {.max_entries = 7}};
    for (size_t i = 0; i < 2; i++) {
        struct tar_bytes b = {.bytes = buf_span(&tar)};
        struct layer_source source = tar_source(&b);
        struct err err = {0};
        ck_assert(!layer_dirs_unpack(d, &source, &limits[i], &err));
        ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    }
    layer_dirs_free(d);
}
END_TEST

START_TEST(put_leaves_nothing_behind_when_any_step_fails)
{
    struct layer_dirs *d = open_store();
    AUTO_BUF struct buf tar = TAR_BUF;
    build(&tar, sample, COUNT(sample));
    for (int n = 1;; n++) {
        struct err err = {0};
        fault_arm(n, ENOSPC);
        AUTO_FREE char *dir = unpack(d, buf_span(&tar), &err);
        if (!fault_disarm()) {
            ck_assert_msg(dir != NULL, "%s", err.text);
            ck_assert_int_gt(n, 4);
            break;
        }
        ck_assert(!dir);
        ck_assert_int_eq(err.code, ERR_NO_SPACE);
        ck_assert_uint_eq(count_names(d, "staging"), 0);
    }
    layer_dirs_free(d);
}
END_TEST

START_TEST(directory_in_use_is_not_removed)
{
    struct layer_dirs *d = open_store();
    AUTO_BUF struct buf tar = TAR_BUF;
    struct err err = {0};
    build(&tar, sample, COUNT(sample));
    struct digest digest = digest_of(buf_span(&tar));
    ck_assert_int_eq(layer_dirs_use(d, &digest, &err), -1);
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    AUTO_FREE char *dir = unpack(d, buf_span(&tar), &err);
    int fd = layer_dirs_use(d, &digest, &err);
    ck_assert_int_ge(fd, 0);
    ck_assert(!layer_dirs_remove(d, &digest, &err));
    ck_assert_int_eq(err.code, ERR_BUSY);
    close(fd);
    err_clear(&err);
    ck_assert_msg(layer_dirs_remove(d, &digest, &err), "%s", err.text);
    ck_assert(!layer_dirs_has(d, &digest));
    ck_assert_uint_eq(count_names(d, "staging"), 0);
    ck_assert(layer_dirs_remove(d, &digest, &err));
    layer_dirs_free(d);
}
END_TEST

START_TEST(killed_unpacking_is_swept_and_a_running_one_is_not)
{
    struct layer_dirs *d = open_store();
    AUTO_BUF struct buf tar = TAR_BUF;
    struct err err = {0};
    build(&tar, sample, COUNT(sample));
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        setenv("STRATA_FAULT", "kill:3", 1);
        fault_arm_from_env();
        free(unpack(d, buf_span(&tar), &err));
        _exit(0);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
    ck_assert_uint_eq(count_names(d, "staging"), 1);
    ck_assert_msg(layer_dirs_sweep(d, &err), "%s", err.text);
    ck_assert_uint_eq(count_names(d, "staging"), 0);
    ck_assert_uint_eq(count_names(d, "sha256"), 0);
    layer_dirs_free(d);
}
END_TEST

struct outcome {
    int calls;
    struct err err;
};

static void on_done(void *ctx, const struct err *err)
{
    struct outcome *o = ctx;
    o->calls++;
    o->err = *err;
}

/* n layers, the bad-th of which is damaged (n: none). */
static void unpack_many(struct layer_dirs *d, size_t n, size_t bad, struct outcome *o)
{
    uv_loop_t loop;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    struct pool *pool = pool_new(&loop, 3);
    struct buf tars[40] = {{0}};
    struct tar_bytes bytes[40];
    struct layer_source sources[40];
    for (size_t i = 0; i < n; i++) {
        AUTO_FREE char *name = mem_printf("file%zu", i);
        tars[i] = TAR_BUF;
        tar_add(&tars[i], &(struct tar_line){.type = '0', .path = name, .content = name});
        tar_end(&tars[i]);
        bytes[i] = (struct tar_bytes){.bytes = buf_span(&tars[i])};
        sources[i] = tar_source(&bytes[i]);
        sources[i].digest.bytes[0] ^= i == bad;
    }
    layer_dirs_unpack_all(d, pool, sources, n, on_done, o);
    ck_assert_int_eq(o->calls, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    for (size_t i = 0; i < n; i++) {
        ck_assert_int_eq(bytes[i].closed, 1);
        ck_assert_int_eq(layer_dirs_has(d, &sources[i].digest), bad == n);
        buf_release(&tars[i]);
    }
    pool_close(pool);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
}

START_TEST(layers_are_unpacked_together_or_none_is_published)
{
    struct layer_dirs *d = open_store();
    struct outcome bad = {0}, good = {0}, again = {0}, none = {0};
    unpack_many(d, 40, 17, &bad);
    ck_assert_int_eq(bad.calls, 1);
    ck_assert_int_eq(bad.err.code, ERR_DIGEST_MISMATCH);
    ck_assert_uint_eq(count_names(d, "staging"), 0);
    unpack_many(d, 40, 40, &good);
    ck_assert_int_eq(good.calls, 1);
    ck_assert_msg(good.err.code == ERR_NONE, "%s", good.err.text);
    unpack_many(d, 40, 40, &again);
    ck_assert_msg(again.err.code == ERR_NONE, "%s", again.err.text);
    unpack_many(d, 0, 0, &none);
    ck_assert_int_eq(none.calls, 1);
    layer_dirs_free(d);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("mount_layer_dir");
    TCase *tc = tcase_create("layer_dir");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, same_tree_from_plain_gzip_and_zstd_under_any_umask, 0, 10);
    tcase_add_test(tc, owners_are_kept_as_root);
    tcase_add_test(tc, pax_names_times_and_attributes_are_used);
    tcase_add_test(tc, whiteouts_become_the_overlays_own);
    tcase_add_loop_test(tc, hostile_entry_is_refused_and_nothing_published, 0, COUNT(hostile));
    tcase_add_loop_test(tc, pax_cannot_smuggle, 0, 8);
    tcase_add_test(tc, every_truncation_is_refused_or_a_front_of_the_entries);
    tcase_add_test(tc, data_after_the_end_and_garbage_are_refused);
    tcase_add_test(tc, wrong_digest_publishes_nothing);
    tcase_add_test(tc, limits_are_kept);
    tcase_add_test(tc, put_leaves_nothing_behind_when_any_step_fails);
    tcase_add_test(tc, directory_in_use_is_not_removed);
    tcase_add_test(tc, killed_unpacking_is_swept_and_a_running_one_is_not);
    tcase_add_test(tc, layers_are_unpacked_together_or_none_is_published);
    suite_add_tcase(s, tc);
    return s;
}
