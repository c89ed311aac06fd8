/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "cache/store.h"
#include "tests/test_main.h"

static struct store *open_store(void)
{
    struct store *s;
    struct err err = {0};
    AUTO_FREE char *path = mem_printf("%s/store", test_folder());
    ck_assert_msg(store_open(&s, path, &err), "%s", err.text);
    return s;
}

static int count_entries(struct store *s, const char *folder)
{
    AUTO_FREE char *path = mem_printf("%s/%s", store_path(s), folder);
    DIR *d = opendir(path);
    int n = 0;
    ck_assert_ptr_nonnull(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static char *blob_path(struct store *s, const struct digest *d)
{
    char hex[DIGEST_HEX_SIZE];
    digest_hex(d, hex);
    return mem_printf("%s/blobs/sha256/%.2s/%s", store_path(s), hex, hex);
}

static void assert_blob(struct store *s, const struct digest *d, struct span want)
{
    AUTO_MAPPED struct io_map map = {0};
    struct err err = {0};
    ck_assert_msg(store_map_blob(s, d, &map, &err), "%s", err.text);
    ck_assert(span_eq(map.bytes, want));
}

START_TEST(a_blob_is_found_under_its_digest)
{
    struct store *s = open_store();
    struct err err = {0};
    struct digest d, other = digest_of(SPAN("other"));
    uint64_t size = 0;
    ck_assert(store_put_blob(s, SPAN("hello"), &d, &err));
    struct digest want = digest_of(SPAN("hello"));
    ck_assert(digest_eq(&d, &want));
    ck_assert(store_has_blob(s, &d, &size) && size == 5);
    assert_blob(s, &d, SPAN("hello"));
    ck_assert(store_verify_blob(s, &d, &err));
    ck_assert(!store_has_blob(s, &other, NULL));
    ck_assert_int_eq(store_open_blob(s, &other, &err), -1);
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    ck_assert(store_put_blob(s, SPAN(""), &d, &err));
    assert_blob(s, &d, SPAN(""));
    ck_assert_int_eq(count_entries(s, "staging"), 0);
    store_close(s);
}
END_TEST

START_TEST(put_leaves_the_blob_or_nothing_whichever_step_fails)
{
    struct store *s = open_store();
    struct digest d = digest_of(SPAN("fault"));
    for (int n = 1;; n++) {
        struct err err = {0};
        fault_arm(n, ENOSPC);
        bool ok = store_put_blob(s, SPAN("fault"), &d, &err);
        if (!fault_disarm()) {
            ck_assert_msg(ok, "%s", err.text);
            break;
        }
        ck_assert(!ok);
        ck_assert_int_eq(err.code, ERR_NO_SPACE);
        ck_assert(!store_has_blob(s, &d, NULL));
        ck_assert_int_eq(count_entries(s, "staging"), 0);
    }
    assert_blob(s, &d, SPAN("fault"));
    store_close(s);
}
END_TEST

START_TEST(what_does_not_match_its_promise_is_not_published)
{
    struct store *s = open_store();
    struct err err = {0};
    struct digest d;
    static const enum hash_algo algos[] = {HASH_SHA256, HASH_SHA512, HASH_SHA1, HASH_MD5};
    enum hash_algo algo = algos[_i];
    struct hash right = hash_of_bytes(algo, SPAN("right")), wrong = right;
    wrong.bytes[0] ^= 1;
    for (int good = 0; good < 2; good++) {
        struct blob_writer *w = blob_writer_new(s, &err);
        blob_writer_expect(w, algo);
        ck_assert(blob_writer_add(w, SPAN("some other bytes"), &err));
        ck_assert(blob_writer_restart(w, &err));
        ck_assert(blob_writer_add(w, SPAN("ri"), &err) && blob_writer_add(w, SPAN("ght"), &err));
        ck_assert_uint_eq(blob_writer_size(w), 5);
        bool ok = blob_writer_commit(w, good ? &right : &wrong, &d, &err);
        ck_assert_int_eq(ok, good);
        if (!good) {
            ck_assert_int_eq(err.code, ERR_DIGEST_MISMATCH);
            ck_assert(!store_find_hash(s, &right, &d));
        }
    }
    struct digest found;
    ck_assert(store_find_hash(s, &right, &found) && digest_eq(&found, &d));
    ck_assert(!store_find_hash(s, &wrong, &found));
    assert_blob(s, &d, SPAN("right"));
    /* A blob that was cut short afterwards is not what was promised. */
    AUTO_FREE char *path = blob_path(s, &d);
    ck_assert_int_eq(truncate(path, 3), 0);
    if (algo != HASH_SHA256)
        ck_assert(!store_find_hash(s, &right, &found));
    ck_assert(!store_verify_blob(s, &d, &err) && err.code == ERR_CORRUPT);
    ck_assert(store_drop_blob(s, &d, &err) && !store_has_blob(s, &d, NULL));
    store_close(s);
}
END_TEST

START_TEST(a_damaged_blob_is_replaced_when_written_again)
{
    struct store *s = open_store();
    struct err err = {0};
    struct digest d;
    ck_assert(store_put_blob(s, SPAN("whole"), &d, &err));
    AUTO_FREE char *path = blob_path(s, &d);
    ck_assert_int_eq(truncate(path, 2), 0);
    ck_assert(store_put_blob(s, SPAN("whole"), &d, &err));
    assert_blob(s, &d, SPAN("whole"));
    store_close(s);
}
END_TEST

START_TEST(after_a_restart_only_whole_blobs_are_left)
{
    struct store *s = open_store();
    struct err err = {0};
    struct digest synced, whole, cut;
    struct stat st;
    ck_assert(store_put_blob(s, SPAN("synced"), &synced, &err));
    ck_assert_msg(store_sync_blobs(s, &synced, 1, &err), "%s", err.text);
    ck_assert(store_put_blob(s, SPAN("not synced but whole"), &whole, &err));
    ck_assert(store_put_blob(s, SPAN("not synced and cut"), &cut, &err));
    AUTO_FREE char *synced_path = blob_path(s, &synced), *whole_path = blob_path(s, &whole),
                   *cut_path = blob_path(s, &cut);
    ck_assert(stat(synced_path, &st) == 0 && (st.st_mode & 0777) == 0444);
    ck_assert(stat(whole_path, &st) == 0 && (st.st_mode & 0777) == 0644);
    ck_assert_int_eq(truncate(cut_path, 4), 0);
    ck_assert(io_replace_file(store_dir_fd(s), "boot", SPAN("another boot\n"), 0644, false, &err));
    store_close(s);
    s = open_store();
    assert_blob(s, &synced, SPAN("synced"));
    assert_blob(s, &whole, SPAN("not synced but whole"));
    ck_assert(stat(whole_path, &st) == 0 && (st.st_mode & 0777) == 0444);
    ck_assert(!store_has_blob(s, &cut, NULL));
    store_close(s);
}
END_TEST

START_TEST(sync_fails_with_the_disk_and_names_what_is_missing)
{
    struct store *s = open_store();
    struct err err = {0};
    struct digest d[3], missing = digest_of(SPAN("missing"));
    for (int n = 1;; n++) {
        char text[32];
        for (int i = 0; i < 3; i++) {
            int len = snprintf(text, sizeof(text), "%d of %d", i, n);
            ck_assert(store_put_blob(s, span_of(text, (size_t)len), &d[i], &err));
        }
        fault_arm(n, EIO);
        bool ok = store_sync_blobs(s, d, 3, &err);
        if (!fault_disarm()) {
            ck_assert_msg(ok, "%s", err.text);
            break;
        }
        ck_assert(!ok && err.code == ERR_IO);
    }
    ck_assert(store_sync_blobs(s, d, 3, &err));
    d[1] = missing;
    ck_assert(!store_sync_blobs(s, d, 3, &err));
    ck_assert_int_eq(err.code, ERR_NOT_FOUND);
    store_close(s);
}
END_TEST

START_TEST(memos_are_kept_by_kind_and_key)
{
    struct store *s = open_store();
    struct digest a = digest_of(SPAN("a")), b = digest_of(SPAN("b"));
    AUTO_BUF struct buf out = BUF(100), small = BUF(2);
    int64_t age_ms = -1;
    store_memo_put(s, "segment", &a, SPAN("one"));
    store_memo_put(s, "layer", &a, SPAN("two"));
    store_memo_put(s, "segment", &a, SPAN("three"));
    store_close(s);
    s = open_store();
    ck_assert(store_memo_get(s, "segment", &a, &out, &age_ms));
    ck_assert_str_eq(buf_cstr(&out), "three");
    ck_assert(age_ms >= 0 && age_ms < 300000);
    ck_assert(!store_memo_get(s, "segment", &a, &small, NULL)); /* does not fit */
    ck_assert(!store_memo_get(s, "segment", &b, &out, NULL));
    store_memo_drop(s, "segment", &a);
    ck_assert(!store_memo_get(s, "segment", &a, &out, NULL));
    buf_reset(&out);
    ck_assert(store_memo_get(s, "layer", &a, &out, NULL) && span_eq_str(buf_span(&out), "two"));
    store_close(s);
}
END_TEST

/* A child's part; half of the blobs are written by all children at once. */
static int write_many(int who)
{
    struct store *s;
    struct err err = {0};
    if (!store_open(&s, NULL, &err))
        return fprintf(stderr, "%s\n", err.text), 3;
    for (int i = 0; i < 100; i++) {
        char text[32];
        struct digest d;
        AUTO_BUF struct buf out = BUF(100);
        int n = snprintf(text, sizeof(text), "%d %d", i % 2 ? who : 0, i);
        if (!store_put_blob(s, span_of(text, (size_t)n), &d, &err))
            return 1;
        store_memo_put(s, "test", &d, span_of(text, (size_t)n));
        if (!store_memo_get(s, "test", &d, &out, NULL) || !store_verify_blob(s, &d, &err))
            return 2;
    }
    store_close(s);
    return 0;
}

START_TEST(several_processes_share_a_store)
{
    pid_t pids[4];
    AUTO_FREE char *home = mem_printf("%s/store", test_folder());
    setenv("STRATA_HOME", home, 1);
    for (int i = 0; i < 4; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            _exit(write_many(i));
    }
    for (int i = 0; i < 4; i++) {
        int status;
        ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
        ck_assert_int_eq(status, 0);
    }
}
END_TEST

START_TEST(old_staging_files_are_swept_and_young_ones_are_not)
{
    struct store *s = open_store();
    AUTO_FREE char *old = mem_printf("%s/staging/old", store_path(s));
    AUTO_FREE char *young = mem_printf("%s/staging/young", store_path(s));
    struct err err = {0};
    ck_assert(io_mkdirs(AT_FDCWD, old, 0700, &err));
    ck_assert(io_replace_file(AT_FDCWD, young, SPAN("x"), 0600, false, &err));
    struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    ck_assert_int_eq(utimensat(AT_FDCWD, old, times, 0), 0);
    store_close(s);
    s = open_store();
    ck_assert_int_eq(access(old, F_OK), -1);
    ck_assert_int_eq(access(young, F_OK), 0);
    store_close(s);
}
END_TEST

START_TEST(a_hold_nests_and_marks_what_is_used)
{
    struct store *s = open_store();
    struct err err = {0};
    struct digest d;
    struct stat st;
    ck_assert(store_put_blob(s, SPAN("held"), &d, &err));
    AUTO_FREE char *path = blob_path(s, &d);
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000}};
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
    ck_assert(store_hold(s, &err) && store_hold(s, &err));
    ck_assert_int_eq(count_entries(s, "holds"), 1);
    ck_assert(store_has_blob(s, &d, NULL));
    ck_assert(stat(path, &st) == 0 && st.st_mtim.tv_sec > 1000);
    store_unhold(s);
    ck_assert_int_eq(count_entries(s, "holds"), 1);
    store_unhold(s);
    ck_assert_int_eq(count_entries(s, "holds"), 0);
    store_close(s);
}
END_TEST

START_TEST(the_folder_comes_from_the_environment)
{
    struct store *s;
    struct err err = {0};
    AUTO_FREE char *home = mem_printf("%s/a", test_folder());
    setenv("STRATA_HOME", home, 1);
    ck_assert_msg(store_open(&s, NULL, &err), "%s", err.text);
    ck_assert_str_eq(store_path(s), home);
    store_close(s);
    if (geteuid() == 0)
        return; /* the other defaults are for ordinary users */
    unsetenv("STRATA_HOME");
    setenv("XDG_DATA_HOME", home, 1);
    ck_assert_msg(store_open(&s, NULL, &err), "%s", err.text);
    ck_assert(span_ends(span_str(store_path(s)), SPAN("/a/strata")));
    store_close(s);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("store");
    TCase *tc = tcase_create("store");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_blob_is_found_under_its_digest);
    tcase_add_test(tc, put_leaves_the_blob_or_nothing_whichever_step_fails);
    tcase_add_loop_test(tc, what_does_not_match_its_promise_is_not_published, 0, 4);
    tcase_add_test(tc, a_damaged_blob_is_replaced_when_written_again);
    tcase_add_test(tc, after_a_restart_only_whole_blobs_are_left);
    tcase_add_test(tc, sync_fails_with_the_disk_and_names_what_is_missing);
    tcase_add_test(tc, memos_are_kept_by_kind_and_key);
    tcase_add_test(tc, several_processes_share_a_store);
    tcase_add_test(tc, old_staging_files_are_swept_and_young_ones_are_not);
    tcase_add_test(tc, a_hold_nests_and_marks_what_is_used);
    tcase_add_test(tc, the_folder_comes_from_the_environment);
    suite_add_tcase(s, tc);
    return s;
}
