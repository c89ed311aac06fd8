/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/apt_layer/harvest.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/io.h"
#include "cache/segment.h"
#include "tests/test_main.h"

static const char *const nothing[] = {NULL};

static int fresh(const char *name)
{
    struct err err = {0};
    AUTO_FREE char *path = mem_printf("%s/%s", test_folder(), name);
    ck_assert(io_remove_tree(AT_FDCWD, path, &err) && mkdir(path, 0755) == 0);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    return fd;
}

static void put(int dir, const char *path, const char *text, mode_t mode)
{
    struct err err = {0};
    ck_assert_msg(io_replace_file(dir, path, span_str(text), 0600, false, &err), "%s", err.text);
    ck_assert_int_eq(fchmodat(dir, path, mode, 0), 0);
}

/* The harvest of a folder, mapped. */
static struct io_map harvest_of(int dir, const char *const *leave_out)
{
    struct err err = {0};
    struct io_map map = {0};
    AUTO_FD int fd = open(test_folder(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    ck_assert_msg(harvest_write(dir, leave_out, fd, &err), "%s", err.text);
    ck_assert(io_map_fd(fd, &map, &err));
    return map;
}

static bool find(struct span stream, const char *path, struct harvest_entry *out)
{
    struct err err = {0};
    while (harvest_next(&stream, out, &err))
        if (span_eq_str(out->path, path))
            return true;
    ck_assert_int_eq(err.code, ERR_NONE);
    return false;
}

static const char *listing(struct arena *a, struct span stream)
{
    struct harvest_entry e;
    struct err err = {0};
    const char *all = "";
    while (harvest_next(&stream, &e, &err))
        all = arena_printf(a, "%s%c %.*s|", all, "fdlhw"[e.head.type], SPAN_ARG(e.path));
    ck_assert_int_eq(err.code, ERR_NONE);
    return all;
}

START_TEST(names_are_sorted_and_kinds_told_apart)
{
    AUTO_ARENA struct arena *a = arena_new();
    AUTO_FD int dir = fresh("kinds");
    struct harvest_entry e;
    ck_assert_int_eq(mkdirat(dir, "b", 0750), 0);
    put(dir, "b/z", "zz", 04711);
    put(dir, "b/a", "", 0644);
    put(dir, "a", "first", 0600);
    ck_assert_int_eq(symlinkat("../etc/shadow", dir, "b/link"), 0);
    ck_assert_int_eq(linkat(dir, "a", dir, "c", 0), 0);
    ck_assert_int_eq(linkat(dir, "a", dir, "b/hard", 0), 0);
    ck_assert_int_eq(mkfifoat(dir, "pipe", 0644), 0);
    AUTO_MAPPED struct io_map map = harvest_of(dir, nothing);
    ck_assert_str_eq(listing(a, map.bytes), "f a|d b|f b/a|h b/hard|l b/link|f b/z|h c|");
    ck_assert(find(map.bytes, "b/z", &e) && e.head.mode == 04711 && span_eq(e.content, SPAN("zz")));
    ck_assert(find(map.bytes, "b/hard", &e) && span_eq(e.target, SPAN("a")));
    ck_assert(find(map.bytes, "b/link", &e) && span_eq(e.target, SPAN("../etc/shadow")));
    ck_assert(find(map.bytes, "b", &e) && e.head.mode == 0750);
}
END_TEST

START_TEST(whiteouts_are_told_and_devices_are_not)
{
    AUTO_ARENA struct arena *a = arena_new();
    AUTO_FD int dir = fresh("whiteouts");
    if (mknodat(dir, "gone", S_IFCHR, makedev(0, 0)) < 0) {
        ck_assert_int_eq(errno, EPERM);
        return; /* an ordinary user of an old kernel */
    }
    if (mknodat(dir, "device", S_IFCHR | 0666, makedev(1, 3)) < 0)
        ck_assert_int_eq(errno, EPERM);
    AUTO_MAPPED struct io_map map = harvest_of(dir, nothing);
    ck_assert_str_eq(listing(a, map.bytes), "w gone|");
}
END_TEST

START_TEST(what_is_left_out_is_left_out)
{
    static const char *const out[] = {"var/log/", "etc/passwd-", "var/cache/x", NULL};
    AUTO_ARENA struct arena *a = arena_new();
    AUTO_FD int dir = fresh("left");
    struct err err = {0};
    ck_assert(io_mkdirs(dir, "var/log/deep/er", 0755, &err) && mkdirat(dir, "etc", 0755) == 0);
    put(dir, "var/log/deep/er/file", "x", 0644);
    put(dir, "var/logo", "x", 0644);
    put(dir, "etc/passwd-", "x", 0600);
    put(dir, "etc/passwd", "x", 0644);
    AUTO_MAPPED struct io_map map = harvest_of(dir, out);
    ck_assert_str_eq(listing(a, map.bytes), "d etc|f etc/passwd|d var|d var/log|f var/logo|");
}
END_TEST

START_TEST(hostile_names_and_long_links_come_through_whole)
{
    AUTO_FD int dir = fresh("hostile");
    struct harvest_entry e;
    char target[4096], name[256];
    memset(target, 't', sizeof(target));
    memset(name, 'n', sizeof(name));
    target[4095] = name[255] = '\0';
    put(dir, "line\nbreak", "1", 0644);
    put(dir, "-rf", "2", 0644);
    put(dir, "\xff\xfe", "3", 0644);
    put(dir, "...", "4", 0644);
    put(dir, name, "5", 0644);
    ck_assert_int_eq(symlinkat(target, dir, "long"), 0);
    AUTO_MAPPED struct io_map map = harvest_of(dir, nothing);
    ck_assert(find(map.bytes, "line\nbreak", &e) && span_eq(e.content, SPAN("1")));
    ck_assert(find(map.bytes, "-rf", &e) && find(map.bytes, "\xff\xfe", &e));
    ck_assert(find(map.bytes, "...", &e) && find(map.bytes, name, &e));
    ck_assert(find(map.bytes, "long", &e) && e.target.len == 4095);
}
END_TEST

START_TEST(folders_nested_without_end_are_refused)
{
    AUTO_FD int top = fresh("deep");
    AUTO_FD int dir = dup(top);
    struct err err = {0};
    for (int i = 0; i < 250; i++) {
        ck_assert_int_eq(mkdirat(dir, "d", 0755), 0);
        int next = openat(dir, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(dir);
        dir = next;
    }
    AUTO_FD int out = open(test_folder(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    ck_assert(!harvest_write(top, nothing, out, &err) && err.code == ERR_TOO_LARGE);
}
END_TEST

START_TEST(capabilities_of_files_are_kept)
{
    /* cap_net_raw=ep, version 2, as the kernel writes it. */
    static const unsigned char value[20] = {1, 0, 0, 2, 0, 0x20};
    AUTO_FD int dir = fresh("caps");
    struct harvest_entry e;
    put(dir, "ping", "x", 0755);
    AUTO_FD int fd = openat(dir, "ping", O_RDONLY | O_CLOEXEC);
    if (fsetxattr(fd, "security.capability", value, sizeof(value), 0) < 0)
        return; /* not root, or a file system without attributes */
    AUTO_MAPPED struct io_map map = harvest_of(dir, nothing);
    ck_assert(find(map.bytes, "ping", &e));
    ck_assert(span_eq(e.capability, span_of(value, sizeof(value))));
    ck_assert(span_eq(e.content, SPAN("x")));
}
END_TEST

START_TEST(a_stream_cut_anywhere_is_told)
{
    AUTO_FD int dir = fresh("cut");
    put(dir, "a", "some content", 0644);
    put(dir, "b", "more", 0644);
    AUTO_MAPPED struct io_map map = harvest_of(dir, nothing);
    size_t whole = 0;
    for (size_t n = 0; n < map.bytes.len; n++) {
        struct span rest = span_slice(map.bytes, 0, n);
        struct harvest_entry e;
        struct err err = {0};
        while (harvest_next(&rest, &e, &err)) {
        }
        whole += err.code == ERR_NONE; /* at the start, and between the two */
        ck_assert(err.code == ERR_NONE || err.code == ERR_CORRUPT);
    }
    ck_assert_uint_eq(whole, 2);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("apt_harvest");
    TCase *tc = tcase_create("harvest");
    tcase_add_test(tc, names_are_sorted_and_kinds_told_apart);
    tcase_add_test(tc, whiteouts_are_told_and_devices_are_not);
    tcase_add_test(tc, what_is_left_out_is_left_out);
    tcase_add_test(tc, hostile_names_and_long_links_come_through_whole);
    tcase_add_test(tc, folders_nested_without_end_are_refused);
    tcase_add_test(tc, capabilities_of_files_are_kept);
    tcase_add_test(tc, a_stream_cut_anywhere_is_told);
    suite_add_tcase(s, tc);
    return s;
}
