/* SPDX-License-Identifier: Apache-2.0 */
#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/map.h"
#include "cache/frames_priv.h"
#include "cache/segment_index.h"
#include "cache/tar_priv.h"
#include "tests/cache/pack.h"
#include "tests/test_main.h"

#define MIB (1u << 20)

/* Small and big, stored and deflated, on and around the limits of a piece. */
static void fill_plan(struct segment_plan *plan, bool reversed)
{
    static const struct {
        const char *path;
        size_t len;
        bool deflated, noise;
    } files[] = {
        {"opt/a/empty", 0, false, false},
        {"opt/a/one", 1, true, false},
        {"opt/a/text", 100000, true, false},
        {"opt/a/noise", 100000, true, true},
        {"opt/b/almost", 8 * MIB - 4096, false, false},
        {"opt/b/big", 20 * MIB + 5, true, false},
        {"opt/b/big-noise", 9 * MIB, false, true},
        {"opt/b/block", 512, false, true},
        {"opt/b/exact", 8 * MIB - 512, true, false},
        {"opt/b/over", 8 * MIB - 511, false, false},
        {"opt/c/sp ace", 3000, true, false},
        {"opt/c/\xc3\xa4", 30, false, false},
    };
    segment_plan_init(plan);
    for (size_t i = 0; i < COUNT(files); i++) {
        size_t at = reversed ? COUNT(files) - 1 - i : i;
        struct span bytes = files[at].noise ? pack_noise(plan->arena, files[at].len, (unsigned)at)
                                            : pack_text(plan->arena, files[at].len, (unsigned)at);
        struct segment_entry *e =
            files[at].deflated ? pack_add_deflated(plan, files[at].path, bytes)
                               : segment_add_file(plan, span_str(files[at].path), 0644, bytes);
        e->mtime = (int64_t)at * 200000000;
    }
    segment_add_dir(plan, SPAN("opt/b"), 02750)->gid = 7;
    segment_add_symlink(plan, SPAN("opt/link"), SPAN("../etc/passwd"));
}

static char *layer_file(struct store *s, const struct segment *seg)
{
    char *path = mem_printf("%s/layer", test_folder());
    struct err err = {0};
    AUTO_MAPPED struct io_map map = {0};
    ck_assert_msg(store_map_blob(s, &seg->blob, &map, &err), "%s", err.text);
    ck_assert_uint_eq(map.bytes.len, seg->size);
    AUTO_BUF struct buf all = BUF(256 * MIB);
    buf_append(&all, map.bytes);
    buf_append(&all, end_frame(seg->compression));
    struct digest d = digest_of(buf_span(&all));
    ck_assert(digest_eq(&d, &seg->layer_blob));
    ck_assert_uint_eq(all.len, seg->layer_size);
    ck_assert(io_replace_file(AT_FDCWD, path, buf_span(&all), 0600, false, &err));
    return path;
}

static struct archive *open_layer(const char *path)
{
    struct archive *a = archive_read_new();
    archive_read_support_filter_zstd(a);
    archive_read_support_filter_gzip(a);
    archive_read_support_format_tar(a);
    ck_assert_int_eq(archive_read_open_filename(a, path, 65536), ARCHIVE_OK);
    return a;
}

static void assert_content(struct archive *a, struct span want)
{
    AUTO_BUF struct buf got = BUF(64 * MIB);
    char piece[65536];
    ssize_t n;
    while ((n = (ssize_t)archive_read_data(a, piece, sizeof(piece))) > 0)
        buf_append(&got, span_of(piece, (size_t)n));
    ck_assert_int_eq(n, 0);
    ck_assert(span_eq(buf_span(&got), want));
}

static void assert_layer(const char *path)
{
    struct segment_plan plan;
    struct archive_entry *e;
    AUTO_MAP struct map files = {0};
    struct archive *a = open_layer(path);
    size_t seen = 0;
    char last[300] = "";
    bool folders = true;
    fill_plan(&plan, false);
    for (size_t i = 0; i < plan.entries.n; i++)
        map_put(&files, plan.entries.v[i].path, &plan.entries.v[i]);
    while (archive_read_next_header(a, &e) == ARCHIVE_OK) {
        struct span name = span_str(archive_entry_pathname(e));
        bool folder = span_ends(name, SPAN("/"));
        ck_assert(folder ? folders : true); /* folders first, then the rest */
        if (!folder && folders)
            last[0] = '\0';
        folders = folder;
        ck_assert_int_lt(strcmp(last, name.ptr), 0);
        snprintf(last, sizeof(last), "%s", name.ptr);
        if (span_ends(name, SPAN("/")))
            name.len--;
        const struct segment_entry *want = map_get(&files, name);
        ck_assert_uint_eq(archive_entry_filetype(e), !want || want->type == ENTRY_DIR ? AE_IFDIR
                                                     : want->type == ENTRY_FILE       ? AE_IFREG
                                                                                      : AE_IFLNK);
        ck_assert_uint_eq(archive_entry_perm(e), want ? want->mode : 0755);
        ck_assert_int_eq(archive_entry_gid(e), want ? want->gid : 0);
        int64_t mtime = want ? want->mtime : 0;
        ck_assert_int_eq(archive_entry_mtime(e), mtime > 1700000000 ? 1700000000 : mtime);
        if (want && want->type == ENTRY_SYMLINK)
            ck_assert_str_eq(archive_entry_symlink(e), want->target.ptr);
        if (want && want->type == ENTRY_FILE && !want->deflated.ptr)
            assert_content(a, want->bytes);
        seen += want != NULL;
    }
    ck_assert_msg(!archive_error_string(a), "%s", archive_error_string(a));
    ck_assert_uint_eq(seen, plan.entries.n);
    archive_read_free(a);
    segment_plan_release(&plan);
}

START_TEST(a_layer_reads_back_as_the_plan)
{
    struct store *s = pack_store("store");
    struct segment_plan plan;
    struct segment seg;
    struct err err = {0};
    setlocale(LC_ALL, "C.UTF-8");
    fill_plan(&plan, false);
    ck_assert_msg(pack_build(s, &plan, (enum compression)_i, 2, &seg, &err), "%s", err.text);
    AUTO_FREE char *path = layer_file(s, &seg);
    assert_layer(path);
    store_close(s);
}
END_TEST

START_TEST(equal_entries_give_equal_bytes_at_any_number_of_threads)
{
    static const unsigned threads[] = {1, 2, 3, 8, 2};
    struct store *s = pack_store("store");
    struct segment first = {0};
    for (size_t i = 0; i < COUNT(threads); i++) {
        struct segment_plan plan;
        struct segment seg;
        struct err err = {0};
        fill_plan(&plan, i % 2);
        ck_assert_msg(pack_build(s, &plan, (enum compression)_i, threads[i], &seg, &err), "%s",
                      err.text);
        if (i == 0)
            first = seg;
        AUTO_JSON json_t *a = segment_json(&first), *b = segment_json(&seg);
        ck_assert_int_eq(json_equal(a, b), 1);
        struct segment back;
        ck_assert(segment_from_json(a, &back) && memcmp(&back, &first, sizeof(back)) == 0);
    }
    store_close(s);
}
END_TEST

START_TEST(the_index_tells_what_is_in_the_segment)
{
    struct store *s = pack_store("store");
    struct segment_plan plan;
    struct segment seg;
    struct err err = {0};
    AUTO_INDEX struct segment_index index = {0};
    fill_plan(&plan, false);
    size_t listed = plan.entries.n;
    ck_assert(pack_build(s, &plan, (enum compression)_i, 2, &seg, &err));
    ck_assert_msg(segment_index_load(s, &seg, &index, &err), "%s", err.text);
    ck_assert_uint_eq(index.entries.n, seg.entry_count);
    ck_assert_uint_eq(index.entries.n, listed + 3); /* opt, opt/a, opt/c */
    const struct index_entry *e = segment_index_find(&index, SPAN("opt/b/big"));
    ck_assert(e && e->type == ENTRY_FILE && e->size == 20 * MIB + 5);
    e = segment_index_find(&index, SPAN("opt/a"));
    ck_assert(e && e->implied && e->type == ENTRY_DIR);
    e = segment_index_find(&index, SPAN("opt/b"));
    ck_assert(e && !e->implied && e->mode == 02750 && e->gid == 7);
    e = segment_index_find(&index, SPAN("opt/link"));
    ck_assert(e && span_eq(e->target, SPAN("../etc/passwd")));
    ck_assert_ptr_null(segment_index_find(&index, SPAN("opt/none")));
    store_close(s);
}
END_TEST

START_TEST(a_segment_without_entries_is_an_empty_layer)
{
    struct store *s = pack_store("store");
    struct segment_plan plan;
    struct segment seg;
    struct err err = {0};
    segment_plan_init(&plan);
    ck_assert_msg(pack_build(s, &plan, (enum compression)_i, 1, &seg, &err), "%s", err.text);
    ck_assert_uint_eq(seg.size, 0);
    AUTO_FREE char *path = layer_file(s, &seg);
    struct archive *a = open_layer(path);
    struct archive_entry *e;
    ck_assert_int_eq(archive_read_next_header(a, &e), ARCHIVE_EOF);
    archive_read_free(a);
    AUTO_INDEX struct segment_index index = {0};
    ck_assert_msg(segment_index_load(s, &seg, &index, &err), "%s", err.text);
    store_close(s);
}
END_TEST

static const struct {
    const char *path, *second;
} bad_paths[] = {
    {"", NULL},        {"/etc/passwd", NULL},  {"a/../b", NULL}, {"..", NULL},
    {"a/", NULL},      {"a//b", NULL},         {"./a", NULL},    {"a/.", NULL},
    {"a/.wh.b", NULL}, {".wh..wh..opq", NULL}, {"a", "a"},       {"a", "a/b"},
    {"a/b/c", "a/b"},
};

START_TEST(hostile_paths_are_refused)
{
    struct store *s = pack_store("store");
    struct segment_plan plan;
    struct segment seg;
    struct err err = {0};
    segment_plan_init(&plan);
    segment_add_file(&plan, span_str(bad_paths[_i].path), 0644, SPAN("x"));
    if (bad_paths[_i].second)
        segment_add_file(&plan, span_str(bad_paths[_i].second), 0644, SPAN("x"));
    ck_assert(!pack_build(s, &plan, COMPRESS_ZSTD, 2, &seg, &err));
    ck_assert_int_eq(err.code, ERR_INVALID);
    store_close(s);
}
END_TEST

START_TEST(odd_but_honest_entries_are_written)
{
    struct store *s = pack_store("store");
    struct segment_plan plan;
    struct segment seg;
    struct err err = {0};
    char deep[3000], name255[260];
    memset(name255, 'n', 255);
    name255[255] = '\0';
    size_t n = 0;
    while (n < 2700)
        n += (size_t)snprintf(deep + n, sizeof(deep) - n, "%s%.*s", n ? "/" : "", 100, name255);
    setlocale(LC_ALL, "C.UTF-8");
    segment_plan_init(&plan);
    segment_add_file(&plan, span_str(deep), 0644, SPAN("deep"));
    segment_add_file(&plan, span_str(name255), 0644, SPAN("long"));
    segment_add_file(&plan, SPAN("new\nline"), 04755, SPAN("x"))->uid = UINT32_MAX;
    segment_add_file(&plan, SPAN("la\xe9tin"), 0644, SPAN("x"));
    segment_add_file(&plan, SPAN("..."), 0, SPAN("x"));
    segment_add_symlink(&plan, SPAN("s"), span_str(deep));
    segment_add_dir(&plan, SPAN("d"), 0700);
    segment_add_dir(&plan, SPAN("d"), 0700);
    ck_assert_msg(pack_build(s, &plan, COMPRESS_ZSTD, 2, &seg, &err), "%s", err.text);
    AUTO_FREE char *path = layer_file(s, &seg);
    struct archive *a = open_layer(path);
    struct archive_entry *e;
    size_t found = 0;
    while (archive_read_next_header(a, &e) == ARCHIVE_OK) {
        const char *p = archive_entry_pathname(e);
        ck_assert_ptr_nonnull(p);
        found += !strcmp(p, deep) || !strcmp(p, name255) || !strcmp(p, "la\xe9tin") ||
                 !strcmp(p, "...") || !strcmp(p, "d/");
        if (!strcmp(p, "new\nline"))
            found += archive_entry_uid(e) == UINT32_MAX && archive_entry_perm(e) == 04755;
        if (!strcmp(p, "s"))
            found += !strcmp(archive_entry_symlink(e), deep);
    }
    ck_assert_uint_eq(found, 7);
    archive_read_free(a);
    store_close(s);
}
END_TEST

START_TEST(the_first_name_of_hard_links_carries_the_content)
{
    struct store *s = pack_store("store");
    struct segment_plan plan;
    struct segment seg;
    struct err err = {0};
    AUTO_INDEX struct segment_index index = {0};
    segment_plan_init(&plan);
    static const char *const names[] = {"bin/b", "bin/a", "bin/d"}, *const to[] = {"bin/c", "bin/b",
                                                                                   "bin/c"};
    for (size_t i = 0; i < 3; i++) {
        struct segment_entry *e = segment_add_file(&plan, span_str(names[i]), 0644, SPAN(""));
        e->type = ENTRY_HARDLINK;
        e->target = span_str(to[i]);
    }
    segment_add_file(&plan, SPAN("bin/c"), 0755, SPAN("content"));
    ck_assert_msg(pack_build(s, &plan, COMPRESS_GZIP, 2, &seg, &err), "%s", err.text);
    ck_assert(segment_index_load(s, &seg, &index, &err));
    const struct index_entry *a = segment_index_find(&index, SPAN("bin/a"));
    ck_assert(a->type == ENTRY_FILE && a->size == 7 && a->mode == 0755);
    for (const char *p = "bcd"; *p; p++) {
        char path[] = {'b', 'i', 'n', '/', *p};
        const struct index_entry *e = segment_index_find(&index, span_of(path, 5));
        ck_assert(e->type == ENTRY_HARDLINK && span_eq(e->target, SPAN("bin/a")));
        ck_assert_uint_eq(e->mode, 0755);
    }
    segment_plan_init(&plan);
    struct segment_entry *e = segment_add_file(&plan, SPAN("x"), 0644, SPAN(""));
    e->type = ENTRY_HARDLINK;
    e->target = SPAN("x");
    ck_assert(!pack_build(s, &plan, COMPRESS_GZIP, 2, &seg, &err) && err.code == ERR_INVALID);
    store_close(s);
}
END_TEST

START_TEST(a_whiteout_is_named_as_oci_has_it)
{
    struct store *s = pack_store("store");
    struct segment_plan plan;
    struct segment seg;
    struct err err = {0};
    segment_plan_init(&plan);
    segment_add_file(&plan, SPAN("etc/motd"), 0, SPAN(""))->type = ENTRY_WHITEOUT;
    segment_add_file(&plan, SPAN("top"), 0, SPAN(""))->type = ENTRY_WHITEOUT;
    ck_assert_msg(pack_build(s, &plan, COMPRESS_ZSTD, 1, &seg, &err), "%s", err.text);
    AUTO_FREE char *path = layer_file(s, &seg);
    struct archive *a = open_layer(path);
    struct archive_entry *e;
    static const char *const want[] = {"etc/", ".wh.top", "etc/.wh.motd"};
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(archive_read_next_header(a, &e), ARCHIVE_OK);
        ck_assert_str_eq(archive_entry_pathname(e), want[i]);
    }
    archive_read_free(a);
    AUTO_INDEX struct segment_index index = {0};
    ck_assert(segment_index_load(s, &seg, &index, &err));
    ck_assert_int_eq(segment_index_find(&index, SPAN("etc/motd"))->type, ENTRY_WHITEOUT);
    store_close(s);
}
END_TEST

/* Breaks one thing of a deflated file. */
static void spoil(struct segment_plan *plan, struct segment_entry *e, int how)
{
    char *copy = arena_alloc(plan->arena, e->deflated.len + 8);
    memcpy(copy, e->deflated.ptr, e->deflated.len);
    e->deflated.ptr = copy;
    switch (how) {
    case 0: e->crc32 ^= 1; break;
    case 1: e->size++; break;
    case 2: e->size--; break;
    case 3: e->deflated.len--; break;
    case 4: e->deflated.len += 8; break;
    case 5: copy[e->deflated.len / 2] ^= 0x55; break;
    case 6: e->deflated.len = 0; break;
    case 7: copy[0] = 7; break; /* a block of no known type */
    }
}
#define SPOIL_COUNT 8

START_TEST(a_damaged_deflate_stream_is_refused_by_name)
{
    static const size_t sizes[] = {3000, 12 * MIB, 41 * MIB};
    struct store *s = pack_store("store");
    size_t len = sizes[_i / SPOIL_COUNT % 3];
    for (int c = 0; c < 2; c++) {
        struct segment_plan plan;
        struct segment seg;
        struct err err = {0};
        segment_plan_init(&plan);
        segment_add_file(&plan, SPAN("opt/first"), 0644, SPAN("x"));
        struct segment_entry *e =
            pack_add_deflated(&plan, "opt/hurt", pack_text(plan.arena, len, 1));
        spoil(&plan, e, _i % SPOIL_COUNT);
        ck_assert(!pack_build(s, &plan, (enum compression)c, 2, &seg, &err));
        ck_assert_msg(err.code == ERR_BAD_ARCHIVE, "%s", err.text);
        ck_assert_ptr_nonnull(strstr(err.text, "opt/hurt"));
    }
    store_close(s);
}
END_TEST

static int count_files(struct store *s, const char *folder)
{
    AUTO_FREE char *path = mem_printf("%s/%s", store_path(s), folder);
    DIR *d = opendir(path);
    int n = 0;
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n - 2;
}

START_TEST(a_full_disk_leaves_nothing_behind)
{
    struct store *s = pack_store("store");
    for (int n = 1;; n++) {
        struct segment_plan plan;
        struct segment seg;
        struct err err = {0};
        segment_plan_init(&plan);
        for (int i = 0; i < 4; i++)
            segment_add_file(&plan, span_str(arena_printf(plan.arena, "f%d", i)), 0644,
                             pack_text(plan.arena, 5 * MIB, (unsigned)(n * 10 + i)));
        fault_arm(n, ENOSPC);
        bool ok = pack_build(s, &plan, (enum compression)_i, 2, &seg, &err);
        ck_assert_int_eq(count_files(s, "staging"), 0);
        if (!fault_disarm()) {
            ck_assert_msg(ok, "%s", err.text);
            ck_assert(store_verify_blob(s, &seg.blob, &err));
            break;
        }
        ck_assert(!ok && err.code == ERR_NO_SPACE);
    }
    store_close(s);
}
END_TEST

static void on_cancelled(struct segment_job *job)
{
    *(int *)job->ctx += 1;
}

START_TEST(cancelling_ends_the_job_once)
{
    struct store *s = pack_store("store");
    uv_loop_t loop;
    int done = 0;
    struct segment_plan plans[3];
    struct segment_job jobs[3];
    uv_loop_init(&loop);
    struct pool *pool = pool_new(&loop, 2);
    struct packer *packer = packer_new(pool);
    for (int i = 0; i < 3; i++) {
        fill_plan(&plans[i], i == 1);
        jobs[i] = (struct segment_job){.store = s,
                                       .packer = packer,
                                       .plan = &plans[i],
                                       .done = on_cancelled,
                                       .source_date_epoch = i,
                                       .ctx = &done};
        segment_build(&jobs[i]);
    }
    segment_build_cancel(&jobs[0]);
    usleep(20000 * (unsigned)_i);
    segment_build_cancel(&jobs[1]);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(done, 3);
    ck_assert_int_eq(jobs[0].err.code, ERR_CANCELLED);
    ck_assert(jobs[1].err.code == ERR_CANCELLED || _i > 0);
    ck_assert_int_eq(jobs[2].err.code, ERR_NONE);
    pool_close(pool);
    packer_free(packer);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    ck_assert_int_eq(count_files(s, "staging"), 0);
    store_close(s);
}
END_TEST

START_TEST(the_end_frames_hold_two_zero_blocks)
{
    AUTO_FREE char *path = mem_printf("%s/end", test_folder());
    struct err err = {0};
    ck_assert(io_replace_file(AT_FDCWD, path, end_frame((enum compression)_i), 0600, false, &err));
    struct archive *a = archive_read_new();
    struct archive_entry *e;
    archive_read_support_filter_all(a);
    archive_read_support_format_raw(a);
    ck_assert_int_eq(archive_read_open_filename(a, path, 512), ARCHIVE_OK);
    ck_assert_int_eq(archive_read_next_header(a, &e), ARCHIVE_OK);
    char got[2048], zeros[TAR_END_BYTES] = {0};
    ck_assert_int_eq(archive_read_data(a, got, sizeof(got)), TAR_END_BYTES);
    ck_assert_mem_eq(got, zeros, sizeof(zeros));
    archive_read_free(a);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("segment");
    TCase *tc = tcase_create("segment");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, a_layer_reads_back_as_the_plan, 0, 2);
    tcase_add_loop_test(tc, equal_entries_give_equal_bytes_at_any_number_of_threads, 0, 2);
    tcase_add_loop_test(tc, the_index_tells_what_is_in_the_segment, 0, 2);
    tcase_add_loop_test(tc, a_segment_without_entries_is_an_empty_layer, 0, 2);
    tcase_add_loop_test(tc, hostile_paths_are_refused, 0, COUNT(bad_paths));
    tcase_add_test(tc, odd_but_honest_entries_are_written);
    tcase_add_test(tc, the_first_name_of_hard_links_carries_the_content);
    tcase_add_test(tc, a_whiteout_is_named_as_oci_has_it);
    tcase_add_loop_test(tc, a_damaged_deflate_stream_is_refused_by_name, 0, 3 * SPOIL_COUNT);
    tcase_add_loop_test(tc, a_full_disk_leaves_nothing_behind, 0, 2);
    tcase_add_loop_test(tc, cancelling_ends_the_job_once, 0, 3);
    tcase_add_loop_test(tc, the_end_frames_hold_two_zero_blocks, 0, 2);
    suite_add_tcase(s, tc);
    return s;
}
