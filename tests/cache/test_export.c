/* SPDX-License-Identifier: Apache-2.0 */
/* What is exported is read by other programs; each is skipped when it is not installed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/proc.h"
#include "cache/artifact.h"
#include "cache/frames_priv.h"
#include "tests/cache/pack.h"
#include "tests/test_main.h"

#define MIB (1u << 20)

/* False: the program is not there. Ends the test when it fails. */
static bool run_out(const char *const argv[], struct buf *out)
{
    AUTO_BUF struct buf said = BUF(64u << 10);
    AUTO_FREE char *program = proc_find(argv[0]);
    struct err err = {0};
    int status;
    if (!program) {
        fprintf(stderr, "skipped: %s is not installed\n", argv[0]);
        return false;
    }
    struct proc p = {.argv = argv, .out = out, .errout = &said, .timeout_ms = 60000};
    ck_assert_msg(proc_run(&p, &status, &err), "%s", err.text);
    ck_assert_msg(status == 0, "%s: status %d: %s", argv[0], status, buf_cstr(&said));
    return true;
}

#define RUN(out, ...) run_out((const char *const[]){__VA_ARGS__, NULL}, out)

static void fill_odd(struct segment_plan *plan)
{
    char deep[400];
    size_t n = 0;
    while (n < 300)
        n += (size_t)snprintf(deep + n, sizeof(deep) - n, "%s%.40s", n ? "/" : "",
                              "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
    segment_plan_init(plan);
    segment_add_file(plan, span_str(arena_str(plan->arena, span_str(deep))), 0755, SPAN("deep"));
    segment_add_file(plan, SPAN("opt/\xc3\xa4 b"), 0644, SPAN("text"));
    segment_add_symlink(plan, SPAN("opt/link"), SPAN("../deep"));
    struct segment_entry *e = segment_add_file(plan, SPAN("opt/a-hard"), 0644, SPAN(""));
    e->type = ENTRY_HARDLINK;
    e->target = SPAN("opt/b-file");
    segment_add_file(plan, SPAN("opt/b-file"), 0640, SPAN("hard content"));
    pack_add_deflated(plan, "opt/large", pack_text(plan->arena, 10 * MIB, 3));
    segment_add_dir(plan, SPAN("opt/empty"), 0700);
}

static struct artifact *publish_odd(struct store *s, enum compression c)
{
    struct err err = {0};
    struct segment_plan plan;
    fill_odd(&plan);
    struct artifact_part parts[6] = {pack_part(s, "pip", "odd", &plan, c)};
    static const char *const names[] = {"one", "two", "three", "four", "five"};
    for (size_t i = 0; i < 5; i++)
        parts[i + 1] = pack_simple(s, "npm", names[i], 500 + i, c);
    struct artifact *a = pack_publish(s, parts, COUNT(parts), &err);
    ck_assert_msg(a != NULL, "%s", err.text);
    return a;
}

static bool same_file(const char *a, const char *b)
{
    AUTO_BUF struct buf x = BUF(64 * MIB), y = BUF(64 * MIB);
    struct err err = {0};
    ck_assert_msg(io_read_file(AT_FDCWD, a, &x, &err), "%s", err.text);
    ck_assert_msg(io_read_file(AT_FDCWD, b, &y, &err), "%s", err.text);
    return span_eq(buf_span(&x), buf_span(&y));
}

START_TEST(skopeo_inspects_and_copies_the_layout)
{
    struct store *s = pack_store("store");
    struct err err = {0};
    struct artifact *a = publish_odd(s, (enum compression)_i);
    AUTO_FREE char *dir = mem_printf("%s/layout", test_folder());
    AUTO_FREE char *file = mem_printf("%s/archive.tar", test_folder());
    AUTO_FREE char *from = mem_printf("oci:%s:v1", dir),
                   *to = mem_printf("dir:%s/copy", test_folder());
    AUTO_FREE char *from_file = mem_printf("oci-archive:%s:v1", file);
    AUTO_FREE char *copied = mem_printf("%s/copy/manifest.json", test_folder());
    char text[DIGEST_TEXT_SIZE];
    AUTO_BUF struct buf out = BUF(MIB);
    ck_assert_msg(artifact_export_oci(s, a, dir, "v1", &err), "%s", err.text);
    ck_assert_msg(artifact_export_oci(s, a, dir, "v2", &err), "%s", err.text);
    ck_assert_msg(artifact_export_oci(s, a, dir, "v1", &err), "%s", err.text);
    ck_assert_msg(artifact_export_oci_archive(s, a, file, "v1", &err), "%s", err.text);
    AUTO_FREE char *index_path = mem_printf("%s/index.json", dir);
    AUTO_BUF struct buf index = BUF(MIB);
    ck_assert(io_read_file(AT_FDCWD, index_path, &index, &err));
    AUTO_JSON json_t *json = json_parse(buf_span(&index), &err);
    ck_assert_uint_eq(json_array_size(json_object_get(json, "manifests")), 2);
    if (!RUN(&out, "skopeo", "inspect", from))
        return;
    AUTO_JSON json_t *seen = json_parse(buf_span(&out), &err);
    ck_assert_str_eq(json_get_str(seen, "Digest"), digest_text(&a->digest, text));
    ck_assert_str_eq(json_get_str(seen, "Architecture"), "amd64");
    ck_assert_uint_eq(json_array_size(json_object_get(seen, "Layers")), a->layer_count);
    RUN(NULL, "skopeo", "copy", "--insecure-policy", "-q", from, to);
    AUTO_BUF struct buf manifest = BUF(MIB);
    ck_assert(io_read_file(AT_FDCWD, copied, &manifest, &err));
    struct digest d = digest_of(buf_span(&manifest));
    ck_assert(digest_eq(&d, &a->digest));
    buf_reset(&out);
    RUN(&out, "skopeo", "inspect", "--raw", from_file);
    d = digest_of(buf_span(&out));
    ck_assert(digest_eq(&d, &a->digest));
    artifact_free(a);
    store_close(s);
}
END_TEST

START_TEST(umoci_unpacks_and_checks_the_diff_ids)
{
    struct store *s = pack_store("store");
    struct err err = {0};
    struct artifact *a = publish_odd(s, COMPRESS_GZIP);
    AUTO_FREE char *dir = mem_printf("%s/layout", test_folder());
    AUTO_FREE char *image = mem_printf("%s:v1", dir),
                   *bundle = mem_printf("%s/bundle", test_folder());
    ck_assert_msg(artifact_export_oci(s, a, dir, "v1", &err), "%s", err.text);
    if (RUN(NULL, "umoci", "unpack", "--rootless", "--image", image, bundle)) {
        AUTO_FREE char *one = mem_printf("%s/rootfs/opt/npm/one", bundle);
        AUTO_FREE char *hard = mem_printf("%s/rootfs/opt/a-hard", bundle);
        AUTO_FREE char *file = mem_printf("%s/rootfs/opt/b-file", bundle);
        struct stat st, st2;
        ck_assert(stat(one, &st) == 0 && st.st_size == 500);
        ck_assert(stat(hard, &st) == 0 && stat(file, &st2) == 0 && st.st_ino == st2.st_ino);
        ck_assert_uint_eq(st.st_mode & 07777, 0640);
    }
    artifact_free(a);
    store_close(s);
}
END_TEST

static const char python_check[] =
    "import sys, tarfile\n"
    "t = tarfile.open(sys.argv[1])\n"
    "names = {m.name: m for m in t}\n"
    "assert names['opt/\\u00e4 b'].size == 4, names\n"
    "assert names['opt/link'].linkname == '../deep'\n"
    "assert names['opt/b-file'].islnk() and names['opt/b-file'].linkname == 'opt/a-hard'\n"
    "assert t.extractfile('opt/a-hard').read() == b'hard content'\n"
    "assert names['opt/empty'].isdir() and names['opt/empty'].mode == 0o700\n"
    "assert names['opt/large'].size == 10 << 20\n"
    "deep = [n for n in names if len(n) > 250 and names[n].isfile()]\n"
    "assert len(deep) == 1 and t.extractfile(deep[0]).read() == b'deep'\n"
    "assert len([n for n in names if n.startswith('opt/npm/')]) == 5\n"
    "assert all(m.uid == 0 and m.uname == '' for m in names.values())\n";

START_TEST(the_merged_tree_is_a_plain_tar)
{
    struct store *s = pack_store("store");
    struct err err = {0};
    struct artifact *a = publish_odd(s, (enum compression)_i);
    AUTO_FREE char *file = mem_printf("%s/tree.tar", test_folder());
    AUTO_FREE char *x = mem_printf("%s/x", test_folder()), *y = mem_printf("%s/y", test_folder());
    ck_assert_msg(artifact_export_tar(s, a, file, &err), "%s", err.text);
    ck_assert(io_mkdirs(AT_FDCWD, x, 0755, &err) && io_mkdirs(AT_FDCWD, y, 0755, &err));
    RUN(NULL, "python3", "-c", python_check, file);
    bool gnu = RUN(NULL, "tar", "-xf", file, "-C", x);
    bool bsd = RUN(NULL, "bsdtar", "-xf", file, "-C", y);
    if (gnu && bsd)
        RUN(NULL, "diff", "-r", "--no-dereference", x, y);
    if (gnu) {
        AUTO_FREE char *one = mem_printf("%s/opt/large", x);
        struct stat st;
        ck_assert(stat(one, &st) == 0 && st.st_size == 10 * MIB);
    }
    artifact_free(a);
    store_close(s);
}
END_TEST

/* A layer of another's making, as it may come from a registry. */
static struct digest put_layer(struct store *s, const char *const *files, size_t n)
{
    struct segment_plan plan;
    struct segment seg;
    struct err err = {0};
    struct digest d;
    segment_plan_init(&plan);
    for (size_t i = 0; i < n; i++) {
        struct segment_entry *e =
            segment_add_file(&plan, span_str(files[i] + 1), 0644, span_str(files[i]));
        if (files[i][0] == '-') {
            e->type = ENTRY_WHITEOUT;
        } else if (files[i][0] == '/') {
            e->type = ENTRY_DIR;
            e->size = 0;
            e->mode = 0755;
        }
    }
    ck_assert_msg(pack_build(s, &plan, COMPRESS_GZIP, 1, &seg, &err), "%s", err.text);
    AUTO_MAPPED struct io_map map = {0};
    ck_assert(store_map_blob(s, &seg.blob, &map, &err));
    struct blob_writer *w = blob_writer_new(s, &err);
    ck_assert(blob_writer_add(w, map.bytes, &err) &&
              blob_writer_add(w, end_frame(COMPRESS_GZIP), &err));
    ck_assert(blob_writer_commit(w, NULL, &d, &err));
    ck_assert(digest_eq(&d, &seg.layer_blob));
    return d;
}

START_TEST(upper_layers_replace_and_remove)
{
    struct store *s = pack_store("store");
    struct err err = {0};
    static const char *const low[] = {"1a", "1dir/gone", "1dir/stays", "1was/dir", "1other"},
                             *const high[] = {"2a", "-dir/gone", "-other", "2was2", "2new"};
    struct layer layers[2] = {{.compression = COMPRESS_GZIP, .manager = ""},
                              {.compression = COMPRESS_GZIP, .manager = ""}};
    layers[0].blob = put_layer(s, low, COUNT(low));
    layers[1].blob = put_layer(s, high, COUNT(high));
    for (size_t i = 0; i < 2; i++)
        ck_assert(store_has_blob(s, &layers[i].blob, &layers[i].size));
    struct artifact a = {.layers = layers, .layer_count = 2};
    AUTO_FREE char *file = mem_printf("%s/tree.tar", test_folder());
    ck_assert_msg(artifact_export_tar(s, &a, file, &err), "%s", err.text);
    AUTO_BUF struct buf out = BUF(64u << 10);
    if (RUN(&out, "tar", "-tf", file))
        ck_assert_str_eq(buf_cstr(&out), "dir/\na\nnew\nwas2\nwas/\ndir/stays\nwas/dir\n");
    buf_reset(&out);
    if (RUN(&out, "tar", "-xOf", file, "a"))
        ck_assert_str_eq(buf_cstr(&out), "2a");
    store_close(s);
}
END_TEST

static size_t count_entries(const char *path)
{
    DIR *d = opendir(path);
    size_t n = 0;
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

START_TEST(an_export_that_fails_leaves_no_index_and_no_file)
{
    struct store *s = pack_store("store");
    struct err err = {0};
    struct artifact_part part = pack_simple(s, "pip", "one", 5000, COMPRESS_GZIP);
    struct artifact *a = pack_publish(s, &part, 1, &err);
    AUTO_FREE char *top = mem_printf("%s/out", test_folder());
    AUTO_FREE char *archive = mem_printf("%s/a.tar", top), *tree = mem_printf("%s/t.tar", top);
    ck_assert(io_mkdirs(AT_FDCWD, top, 0755, &err));
    for (int n = 1;; n++) {
        AUTO_FREE char *dir = mem_printf("%s/d%d", test_folder(), n);
        AUTO_FREE char *index = mem_printf("%s/index.json", dir);
        fault_arm(n, ENOSPC);
        bool ok = artifact_export_oci(s, a, dir, NULL, &err);
        bool fired = fault_disarm();
        ck_assert_int_eq(access(index, F_OK) == 0, ok);
        if (!fired) {
            ck_assert(ok);
            break;
        }
    }
    for (int n = 1, left = 2; left; n++) {
        fault_arm(n, ENOSPC);
        bool ok = left == 2 ? artifact_export_oci_archive(s, a, archive, NULL, &err)
                            : artifact_export_tar(s, a, tree, &err);
        bool fired = fault_disarm();
        ck_assert_uint_eq(count_entries(top), 2u + (left == 1) + (!fired));
        if (!fired) {
            ck_assert(ok);
            left--;
            n = 0;
        }
    }
    artifact_free(a);
    store_close(s);
}
END_TEST

START_TEST(exports_are_the_same_bytes_each_time)
{
    struct store *s = pack_store("store");
    struct err err = {0};
    struct artifact *a = publish_odd(s, COMPRESS_ZSTD);
    const char *top = test_folder();
    AUTO_FREE char *a1 = mem_printf("%s/1.tar", top), *a2 = mem_printf("%s/2.tar", top);
    AUTO_FREE char *t1 = mem_printf("%s/3.tar", top), *t2 = mem_printf("%s/4.tar", top);
    ck_assert(artifact_export_oci_archive(s, a, a1, "t", &err));
    ck_assert(artifact_export_oci_archive(s, a, a2, "t", &err));
    ck_assert(artifact_export_tar(s, a, t1, &err) && artifact_export_tar(s, a, t2, &err));
    ck_assert(same_file(a1, a2) && same_file(t1, t2));
    static const char *const tags[] = {"", "-x", ".x", "a b", "a/b", "a:b", "\n"};
    for (size_t i = 0; i < COUNT(tags); i++)
        ck_assert(!artifact_export_oci(s, a, top, tags[i], &err) && err.code == ERR_INVALID);
    artifact_free(a);
    store_close(s);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("export");
    TCase *tc = tcase_create("export");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, skopeo_inspects_and_copies_the_layout, 0, 2);
    tcase_add_test(tc, umoci_unpacks_and_checks_the_diff_ids);
    tcase_add_loop_test(tc, the_merged_tree_is_a_plain_tar, 0, 2);
    tcase_add_test(tc, upper_layers_replace_and_remove);
    tcase_add_test(tc, an_export_that_fails_leaves_no_index_and_no_file);
    tcase_add_test(tc, exports_are_the_same_bytes_each_time);
    suite_add_tcase(s, tc);
    return s;
}
