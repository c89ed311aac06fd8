/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "tests/test_main.h"
#include "tests/worker/apt_layer/deb_build.h"
#include "worker/apt_layer/deb.h"
#include "worker/apt_layer/native.h"

#define MERGED 0x3fu

static const char control[] = "Package: one\nVersion: 1.0\nArchitecture: all\nDescription: x\n y\n";

static const struct deb_row plain[] = {
    {"./", '5', 0755, 0, NULL},
    {"./etc/", '5', 0755, 0, NULL},
    {"./etc/one.conf", '0', 0640, 0, "conf"},
    {"./lib/", '5', 0755, 0, NULL},
    {"./lib/one", '0', 0644, 0, "merged"},
    {"./usr/", '5', 0755, 0, NULL},
    {"./usr/lib/", '5', 0755, 0, NULL},
    {"./usr/lib/two", '1', 0644, 0, "./lib/one"},
    {"./usr/lib/three", '2', 0777, 0, "two"},
    {NULL, 0, 0, 0, NULL},
};

static const struct deb_row controls[] = {
    {"./conffiles", '0', 0644, 0, "/etc/one.conf\n"},
    {"./postinst", '0', 0755, 0, "#!/bin/sh\n"},
    {"./triggers", '0', 0644, 0, "# x\nactivate-noawait ldconfig\ninterest /usr/share/one\n"},
    {NULL, 0, 0, 0, NULL},
};

static struct deb_tree *tree_of(const struct deb_row *ctl, const struct deb_row *data)
{
    struct err err = {0};
    AUTO_BUF struct buf deb = BUF(1u << 20);
    deb_build(&deb, control, ctl, data);
    struct deb_tree *t = deb_tree_read(buf_span(&deb), MERGED, &err);
    ck_assert_msg(t != NULL, "%s", err.text);
    return t;
}

static const struct deb_node *node(const struct deb_tree *t, const char *path)
{
    for (size_t i = 0; i < t->nodes.n; i++)
        if (span_eq_str(t->nodes.v[i].path, path))
            return &t->nodes.v[i];
    return NULL;
}

START_TEST(a_package_is_read_as_dpkg_lays_it_out)
{
    struct deb_tree *t = tree_of(controls, plain);
    ck_assert_msg(!t->why_dpkg, "%s", t->why_dpkg);
    ck_assert(span_eq(t->package, SPAN("one")) && span_eq(t->version, SPAN("1.0")));
    ck_assert(node(t, "etc/one.conf")->conffile && node(t, "etc/one.conf")->mode == 0640);
    ck_assert(!node(t, "lib") && node(t, "usr/lib")->type == ENTRY_DIR);
    ck_assert(span_eq(node(t, "usr/lib/two")->target, SPAN("usr/lib/one")));
    ck_assert(span_eq(node(t, "usr/lib/three")->target, SPAN("two")));
    ck_assert_uint_eq(node(t, "var/lib/dpkg/info/one.postinst")->mode, 0755);
    const struct deb_node *list = node(t, "var/lib/dpkg/info/one.list");
    ck_assert(
        span_eq(list->content, SPAN("/.\n/etc\n/etc/one.conf\n/lib\n/lib/one\n/usr\n/usr/lib\n"
                                    "/usr/lib/two\n/usr/lib/three\n")));
    /* md5sum's of "conf", and twice of "merged" */
    ck_assert(span_eq(node(t, "var/lib/dpkg/info/one.md5sums")->content,
                      SPAN("3a8e4c06e471595f6eb262bb9b5582d9  "
                           "etc/one.conf\nd33b2d33223e1272c8bbe02180876e6f  lib/one\n"
                           "d33b2d33223e1272c8bbe02180876e6f  usr/lib/two\n")));
    deb_tree_free(t);
}
END_TEST

START_TEST(a_list_comes_back_as_it_was_printed)
{
    AUTO_BUF struct buf first = BUF(1u << 20), second = BUF(1u << 20);
    struct deb_tree *t = tree_of(controls, plain);
    struct deb_tree *back = MEM_NEW(struct deb_tree);
    back->arena = arena_new();
    deb_tree_print(t, &first);
    ck_assert(deb_tree_parse(buf_span(&first), back));
    deb_tree_print(back, &second);
    ck_assert(span_eq(buf_span(&first), buf_span(&second)));
    for (size_t cut = 0; cut + 60 < first.len; cut += 7) {
        struct deb_tree *half = MEM_NEW(struct deb_tree);
        half->arena = arena_new();
        ck_assert(!deb_tree_parse(span_slice(buf_span(&first), 0, cut), half));
        deb_tree_free(half);
    }
    deb_tree_free(back);
    deb_tree_free(t);
}
END_TEST

#define ODD(...)                                                                                   \
    {                                                                                              \
        {"./", '5', 0755, 0, NULL}, __VA_ARGS__,                                                   \
        {                                                                                          \
            NULL, 0, 0, 0, NULL                                                                    \
        }                                                                                          \
    }

/* What is dpkg's to judge. */
static const struct deb_row odd[][6] = {
    ODD({"./dev", '3', 0644, 0, NULL}),
    ODD({"./missing/above", '0', 0644, 0, "x"}),
    ODD({"./a", '2', 0777, 0, "/etc"}, {"./a/b", '0', 0644, 0, "through a link"}),
    ODD({"./a", '0', 0644, 0, "x"}, {"./a", '0', 0644, 0, "again"}),
    ODD({"./a", '1', 0644, 0, "./not/there"}),
    ODD({"./a\nb", '0', 0644, 0, "x"}),
    ODD({"./.wh.a", '0', 0644, 0, "x"}),
    ODD({"./../a", '0', 0644, 0, "x"}),
    ODD({"./a.dpkg-new", '0', 0644, 0, "x"}),
};

START_TEST(odd_contents_are_left_to_dpkg)
{
    struct deb_tree *t = tree_of(NULL, odd[_i]);
    ck_assert_msg(t->why_dpkg != NULL, "case %d", _i);
    deb_tree_free(t);
}
END_TEST

START_TEST(a_script_before_unpacking_is_left_to_dpkg)
{
    static const struct deb_row preinst[] = {{"./preinst", '0', 0755, 0, "#!/bin/sh\n"},
                                             {NULL, 0, 0, 0, NULL}};
    struct deb_tree *t = tree_of(preinst, plain);
    ck_assert(t->why_dpkg != NULL && t->nodes.n == 0);
    deb_tree_free(t);
}
END_TEST

START_TEST(cut_and_broken_packages_are_refused)
{
    struct err err = {0};
    AUTO_BUF struct buf deb = BUF(1u << 20);
    deb_build(&deb, control, controls, plain);
    for (size_t cut = 0; cut < 3000; cut += 13)
        ck_assert(!deb_tree_read(span_slice(buf_span(&deb), 0, cut), MERGED, &err));
    ck_assert(!deb_tree_read(SPAN("!<arch>\n"), MERGED, &err));
    ck_assert_int_eq(err.code, ERR_BAD_ARCHIVE);
}
END_TEST

static void put(const char *base, const char *path, const char *text)
{
    struct err err = {0};
    AUTO_FREE char *file = mem_printf("%s/%s", base, path);
    AUTO_FREE char *folder =
        mem_dup(span_slice(span_str(file), 0, span_find_last_char(span_str(file), '/')));
    ck_assert(io_mkdirs(AT_FDCWD, folder, 0755, &err));
    ck_assert_msg(io_replace_file(AT_FDCWD, file, span_str(text), 0644, false, &err), "%s",
                  err.text);
}

static bool chosen_over(const char *path, const char *text)
{
    static int number;
    struct err err = {0};
    struct apt_native n;
    AUTO_FREE char *base = mem_printf("%s/base%d", test_folder(), number++);
    struct deb_tree *t = tree_of(controls, plain);
    put(base, "usr/lib/x", "");
    put(base, path, text);
    ck_assert_msg(apt_native_plan(&t, 1, base, MERGED, &n, &err), "%s", err.text);
    bool chosen = n.chosen[0];
    ck_assert(!chosen || (span_find(buf_span(&n.rest.status),
                                    SPAN("Conffiles:\n /etc/one.conf new")) < n.rest.status.len &&
                          span_eq(buf_span(&n.rest.pending), SPAN("ldconfig -\n")) &&
                          span_eq(buf_span(&n.rest.interests), SPAN("/usr/share/one one\n")) &&
                          map_has(&n.conffiles, SPAN("etc/one.conf"))));
    apt_native_release(&n);
    deb_tree_free(t);
    return chosen;
}

START_TEST(what_meets_something_of_the_base_is_left_to_dpkg)
{
    ck_assert(chosen_over("etc/passwd", "root:x:0:0:\n"));
    ck_assert(!chosen_over("etc/one.conf", "there already"));
    ck_assert(!chosen_over("etc", "no folder"));
    ck_assert(!chosen_over("var/lib/dpkg/status",
                           "Package: one\nStatus: install ok installed\nVersion: 0.9\n"));
    ck_assert(chosen_over("var/lib/dpkg/status",
                          "Package: two\nStatus: install ok installed\nVersion: 0.9\n"));
    ck_assert(!chosen_over("var/lib/dpkg/diversions", "/usr/lib/one\n/usr/lib/one.x\nother\n"));
    ck_assert(!chosen_over("var/lib/dpkg/statoverride", "root root 755 /usr/lib/one\n"));
    ck_assert(!chosen_over("etc/dpkg/dpkg.cfg.d/docs", "path-exclude /usr/share/doc/*\n"));
}
END_TEST

START_TEST(two_that_bring_one_file_are_left_to_dpkg)
{
    struct err err = {0};
    struct apt_native n;
    struct deb_tree *trees[] = {tree_of(NULL, plain), tree_of(NULL, plain)};
    AUTO_FREE char *base = mem_printf("%s/base", test_folder());
    put(base, "etc/passwd", "");
    ck_assert(apt_native_plan(trees, 2, base, MERGED, &n, &err));
    ck_assert(!n.chosen[0] && !n.chosen[1] && n.chosen_count == 0);
    apt_native_release(&n);
    deb_tree_free(trees[0]);
    deb_tree_free(trees[1]);
}
END_TEST

START_TEST(a_folder_is_made_once_and_swept_with_its_package)
{
    struct err err = {0};
    struct store *store;
    struct digest blob;
    struct stat st;
    AUTO_FREE char *home = mem_printf("%s/home", test_folder());
    AUTO_BUF struct buf deb = BUF(1u << 20);
    deb_build(&deb, control, controls, plain);
    ck_assert_msg(store_open(&store, home, &err), "%s", err.text);
    ck_assert(store_put_blob(store, buf_span(&deb), &blob, &err));
    struct deb_tree *t = deb_tree_open(store, &blob, MERGED, true, &err);
    ck_assert_msg(t && !t->why_dpkg && node(t, "etc/one.conf")->content.len == 4, "%s", err.text);
    AUTO_FREE char *conf = mem_printf("%s/etc/one.conf.dpkg-new", t->folder);
    AUTO_FREE char *folder = mem_dup_str(t->folder);
    ck_assert(stat(conf, &st) == 0 && (st.st_mode & 07777) == 0640 && st.st_mtime == 1000000000);
    deb_tree_free(t);
    t = deb_tree_open(store, &blob, MERGED, false, &err);
    ck_assert(t && strcmp(t->folder, folder) == 0 && node(t, "etc/one.conf")->content.len == 0);
    deb_tree_free(t);
    ck_assert(deb_trees_sweep(store, &err) && stat(conf, &st) == 0);
    ck_assert(store_drop_blob(store, &blob, &err) && deb_trees_sweep(store, &err));
    ck_assert(stat(folder, &st) < 0);
    store_close(store);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("apt_deb");
    TCase *tc = tcase_create("deb");
    tcase_add_test(tc, a_package_is_read_as_dpkg_lays_it_out);
    tcase_add_test(tc, a_list_comes_back_as_it_was_printed);
    tcase_add_loop_test(tc, odd_contents_are_left_to_dpkg, 0, COUNT(odd));
    tcase_add_test(tc, a_script_before_unpacking_is_left_to_dpkg);
    tcase_add_test(tc, cut_and_broken_packages_are_refused);
    tcase_add_test(tc, what_meets_something_of_the_base_is_left_to_dpkg);
    tcase_add_test(tc, two_that_bring_one_file_are_left_to_dpkg);
    tcase_add_test(tc, a_folder_is_made_once_and_swept_with_its_package);
    suite_add_tcase(s, tc);
    return s;
}
