/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/sql.h"
#include "cache/gc.h"
#include "cache/meta.h"
#include "cache/pin.h"
#include "tests/cache/pack.h"
#include "tests/test_main.h"

#define DAY_MS (24ll * 3600 * 1000)

/* Makes everything in the store look unused for so many days. */
static void age(struct store *s, int days)
{
    struct err err = {0};
    AUTO_FREE char *db_path = mem_printf("%s/strata.db", store_path(s));
    AUTO_FREE char *blobs = mem_printf("%s/blobs/sha256", store_path(s));
    AUTO_SQL struct sql *db = sql_open(db_path, NULL, &err);
    AUTO_FREE char *update =
        mem_printf("UPDATE artifact SET used_ms = used_ms - %lld", (long long)(days * DAY_MS));
    ck_assert_msg(sql_exec(db, update, &err), "%s", err.text);
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                {.tv_sec = (io_now_ms() - days * DAY_MS) / 1000}};
    DIR *top = opendir(blobs);
    for (struct dirent *e; (e = readdir(top));) {
        if (e->d_name[0] == '.')
            continue;
        int fd = openat(dirfd(top), e->d_name, O_RDONLY | O_DIRECTORY);
        DIR *dir = fdopendir(fd);
        for (struct dirent *b; (b = readdir(dir));)
            if (b->d_name[0] != '.')
                ck_assert_int_eq(utimensat(fd, b->d_name, times, 0), 0);
        closedir(dir);
    }
    closedir(top);
}

static struct gc_report collect(struct store *s, struct gc_options options)
{
    struct gc_report report;
    struct err err = {0};
    ck_assert_msg(store_gc(s, &options, &report, &err), "%s", err.text);
    ck_assert_uint_eq(json_array_size(report.removed), report.removed_artifacts);
    json_decref(report.removed);
    report.removed = NULL;
    return report;
}

static struct artifact *publish(struct store *s, const char *a, const char *b)
{
    struct err err = {0};
    struct artifact_part parts[2] = {pack_simple(s, "pip", a, 3000, COMPRESS_ZSTD),
                                     pack_simple(s, "npm", b, 3000, COMPRESS_ZSTD)};
    struct artifact *out = pack_publish(s, parts, 2, &err);
    ck_assert_msg(out != NULL, "%s", err.text);
    return out;
}

static size_t count_artifacts(struct store *s)
{
    json_t *list;
    struct err err = {0};
    ck_assert(artifact_list(s, &list, &err));
    size_t n = json_array_size(list);
    json_decref(list);
    return n;
}

START_TEST(only_what_is_pinned_tagged_or_young_stays)
{
    struct store *s = pack_store("store");
    struct err err = {0};
    struct digest loose;
    struct artifact *pinned = publish(s, "a", "shared"), *tagged = publish(s, "b", "shared"),
                    *named = publish(s, "c", "shared"), *idle = publish(s, "d", "shared");
    ck_assert(store_put_blob(s, SPAN("a download"), &loose, &err));
    ck_assert(store_pin_put(s, SPAN("session"), &pinned->digest, &err));
    ck_assert(store_tag_put(s, SPAN("latest"), &tagged->digest, &err));
    age(s, 2);
    struct artifact *young = publish(s, "e", "shared");
    struct gc_options options = {.grace_ms = DAY_MS, .roots = &named->digest, .root_count = 1};
    options.dry_run = true;
    struct gc_report dry = collect(s, options);
    ck_assert_uint_eq(dry.removed_artifacts, 1);
    ck_assert_uint_eq(count_artifacts(s), 5);
    options.dry_run = false;
    struct gc_report wet = collect(s, options);
    ck_assert_uint_eq(wet.removed_blobs, dry.removed_blobs);
    ck_assert_uint_eq(wet.removed_bytes, dry.removed_bytes);
    /* Its own segment and index, recipe, config, manifest; and the download. */
    ck_assert_uint_eq(wet.removed_blobs, 6);
    ck_assert_uint_eq(count_artifacts(s), 4);
    struct artifact *kept[] = {pinned, tagged, named, young};
    for (size_t i = 0; i < COUNT(kept); i++)
        ck_assert_msg(artifact_verify(s, kept[i], &err), "%s", err.text);
    ck_assert(!store_has_blob(s, &idle->digest, NULL) && !store_has_blob(s, &loose, NULL));
    artifact_free(pinned);
    artifact_free(tagged);
    artifact_free(named);
    artifact_free(idle);
    artifact_free(young);
    store_close(s);
}
END_TEST

START_TEST(a_pinned_artifact_goes_only_after_its_pin)
{
    struct store *s = pack_store("store");
    struct err err = {0};
    struct artifact *a = publish(s, "a", "b");
    struct digest key = digest_of(SPAN("key")), found;
    ck_assert(artifact_put_key(s, &key, &a->digest, &err));
    ck_assert(store_pin_put(s, SPAN("session"), &a->digest, &err));
    for (int i = 0; i < 3; i++) {
        age(s, 1000);
        ck_assert_uint_eq(collect(s, (struct gc_options){0}).removed_blobs, 0);
    }
    ck_assert(store_pin_drop(s, SPAN("session"), &err));
    age(s, 1);
    struct gc_report report = collect(s, (struct gc_options){0});
    ck_assert_uint_eq(report.removed_blobs, report.blobs);
    ck_assert(!artifact_find_key(s, &key, &found));
    ck_assert_uint_eq(count_artifacts(s), 0);
    artifact_free(a);
    store_close(s);
}
END_TEST

START_TEST(what_a_build_uses_stays_while_it_holds_the_store)
{
    struct store *s = pack_store("store"), *other = pack_store("store");
    struct err err = {0};
    struct digest used, unused;
    ck_assert(store_put_blob(s, SPAN("used"), &used, &err));
    ck_assert(store_put_blob(s, SPAN("unused"), &unused, &err));
    age(s, 5);
    ck_assert(store_hold(s, &err));
    ck_assert(store_has_blob(s, &used, NULL));
    struct artifact *made = publish(s, "a", "b");
    usleep(20000);
    collect(other, (struct gc_options){0});
    ck_assert(store_has_blob(s, &used, NULL) && !store_has_blob(s, &unused, NULL));
    ck_assert_msg(artifact_verify(s, made, &err), "%s", err.text);
    store_unhold(s);
    usleep(20000);
    ck_assert_uint_eq(collect(other, (struct gc_options){0}).removed_artifacts, 1);
    ck_assert(!store_has_blob(s, &used, NULL));
    artifact_free(made);
    store_close(s);
    store_close(other);
}
END_TEST

START_TEST(a_dead_builds_hold_counts_no_more)
{
    struct store *s = pack_store("store");
    struct err err = {0};
    struct digest d;
    pid_t pid = fork();
    if (pid == 0) {
        AUTO_FREE char *path = mem_dup_str(store_path(s));
        struct store *own;
        if (!store_open(&own, path, &err) || !store_hold(own, &err))
            _exit(1);
        raise(SIGKILL);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(WTERMSIG(status), SIGKILL);
    ck_assert(store_put_blob(s, SPAN("bytes"), &d, &err));
    usleep(20000);
    ck_assert_uint_eq(collect(s, (struct gc_options){0}).removed_blobs, 1);
    store_close(s);
}
END_TEST

START_TEST(keep_bytes_removes_the_longest_unused_first)
{
    struct store *s = pack_store("store");
    struct err err = {0};
    struct artifact *old = publish(s, "a", "b");
    struct digest oldest, newest;
    age(s, 3);
    ck_assert(store_put_blob(s, SPAN("oldest"), &oldest, &err));
    age(s, 3); /* now the artifact is 6 days old */
    ck_assert(store_put_blob(s, SPAN("newest"), &newest, &err));
    age(s, 1);
    uint64_t bytes = collect(s, (struct gc_options){.dry_run = true}).bytes;
    struct gc_report none = collect(s, (struct gc_options){.keep_bytes = bytes});
    ck_assert_uint_eq(none.removed_blobs + none.removed_artifacts, 0);
    struct gc_report one = collect(s, (struct gc_options){.keep_bytes = bytes - 1});
    ck_assert_uint_eq(one.removed_blobs, 1);
    ck_assert(store_has_blob(s, &newest, NULL));
    uint64_t left = one.bytes - one.removed_bytes;
    ck_assert_uint_le(left, bytes - 1);
    collect(s, (struct gc_options){.keep_bytes = 6, .grace_ms = DAY_MS / 2});
    ck_assert(store_has_blob(s, &newest, NULL) && !store_has_blob(s, &oldest, NULL));
    ck_assert_uint_eq(count_artifacts(s), 0);
    artifact_free(old);
    store_close(s);
}
END_TEST

static void keep_meta(struct store *s, const char *key, int days)
{
    struct err err = {0};
    struct meta m = {.body = SPAN("a page of packages"),
                     .status = 200,
                     .url = "https://example.com/",
                     .checked_ms = io_now_ms() - days * DAY_MS,
                     .max_age_ms = -1};
    ck_assert_msg(meta_put(s, span_str(key), &m, &err), "%s", err.text);
}

static bool has_meta(struct store *s, const char *key)
{
    struct meta m;
    bool found = meta_get(s, span_str(key), &m);
    meta_release(&m);
    return found;
}

START_TEST(metadata_goes_when_nobody_confirmed_it)
{
    struct store *s = pack_store("store");
    struct err err = {0};
    keep_meta(s, "old", 31);
    keep_meta(s, "middle", 29);
    keep_meta(s, "new", 0);
    /* What a writer that died left is no document. */
    AUTO_FREE char *folder = mem_printf("%s/meta/00", store_path(s));
    AUTO_FREE char *leftover = mem_printf("%s/.staged-0123", folder);
    struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    mkdir(folder, 0755);
    ck_assert(io_replace_file(AT_FDCWD, leftover, SPAN("half"), 0600, false, &err));
    ck_assert_int_eq(utimensat(AT_FDCWD, leftover, long_ago, 0), 0);
    struct gc_report dry = collect(s, (struct gc_options){.dry_run = true});
    ck_assert_uint_eq(dry.metadata, 4);
    ck_assert(has_meta(s, "old"));
    struct gc_report wet = collect(s, (struct gc_options){0});
    ck_assert_uint_eq(wet.removed_metadata, 2);
    ck_assert_uint_eq(wet.removed_metadata_bytes, dry.removed_metadata_bytes);
    ck_assert(!has_meta(s, "old") && has_meta(s, "middle") && has_meta(s, "new"));
    ck_assert_int_eq(access(leftover, F_OK), -1);
    store_close(s);
}
END_TEST

START_TEST(keep_bytes_bounds_blobs_and_metadata_together)
{
    struct store *s = pack_store("store");
    struct err err = {0};
    struct digest blob;
    ck_assert(store_put_blob(s, SPAN("a blob"), &blob, &err));
    age(s, 3);
    keep_meta(s, "older", 5);
    keep_meta(s, "newer", 2);
    struct gc_report all = collect(s, (struct gc_options){.dry_run = true});
    uint64_t bytes = all.bytes + all.metadata_bytes;
    struct gc_report one = collect(s, (struct gc_options){.keep_bytes = bytes - 1});
    ck_assert(one.removed_metadata == 1 && one.removed_blobs == 0);
    ck_assert(!has_meta(s, "older") && has_meta(s, "newer") && store_has_blob(s, &blob, NULL));
    bytes -= one.removed_metadata_bytes;
    age(s, 3); /* looking at it was a use */
    struct gc_report two = collect(s, (struct gc_options){.keep_bytes = bytes - 1});
    ck_assert(two.removed_metadata == 0 && two.removed_blobs == 1);
    /* Within the grace time it stays, whatever the bound. */
    collect(s, (struct gc_options){.keep_bytes = 1, .grace_ms = 4 * DAY_MS});
    ck_assert(has_meta(s, "newer"));
    collect(s, (struct gc_options){.keep_bytes = 1, .grace_ms = DAY_MS});
    ck_assert(!has_meta(s, "newer"));
    store_close(s);
}
END_TEST

START_TEST(an_unreadable_pinned_artifact_stops_the_collection)
{
    struct store *s = pack_store("store");
    struct err err = {0};
    struct gc_report report;
    struct digest loose;
    struct artifact *a = publish(s, "a", "b");
    ck_assert(store_pin_put(s, SPAN("session"), &a->digest, &err));
    ck_assert(store_put_blob(s, SPAN("loose"), &loose, &err));
    age(s, 3);
    ck_assert(store_drop_blob(s, &a->config_digest, &err));
    ck_assert(!store_gc(s, &(struct gc_options){0}, &report, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "nothing was removed"));
    ck_assert(store_has_blob(s, &loose, NULL));
    ck_assert(store_pin_drop(s, SPAN("session"), &err));
    age(s, 3);
    ck_assert_uint_eq(collect(s, (struct gc_options){0}).removed_artifacts, 1);
    artifact_free(a);
    store_close(s);
}
END_TEST

START_TEST(a_failing_disk_removes_nothing_that_is_needed)
{
    struct store *s = pack_store("store");
    struct err err = {0};
    struct artifact *keep = publish(s, "keep", "shared");
    ck_assert(store_pin_put(s, SPAN("session"), &keep->digest, &err));
    for (int n = 1;; n++) {
        AUTO_FREE char *name = mem_printf("p%d", n);
        artifact_free(publish(s, name, "shared"));
        age(s, 3);
        struct gc_report report;
        fault_arm(n, EIO);
        bool ok = store_gc(s, &(struct gc_options){0}, &report, &err);
        bool fired = fault_disarm();
        if (ok)
            json_decref(report.removed);
        ck_assert_msg(artifact_verify(s, keep, &err), "%s", err.text);
        if (!fired)
            break;
        ck_assert(!ok);
    }
    artifact_free(keep);
    store_close(s);
}
END_TEST

/* Builds and collections at once, in several processes, with no grace at all. */
static int build_often(const char *path, int who)
{
    struct store *s;
    struct err err = {0};
    if (!store_open(&s, path, &err))
        return 1;
    for (int i = 0; i < 12; i++) {
        AUTO_FREE char *name = mem_printf("p%d", (who + i) % 4);
        if (!store_hold(s, &err))
            return 2;
        struct artifact *a = publish(s, name, "shared");
        if (!artifact_verify(s, a, &err))
            return fprintf(stderr, "%s\n", err.text), 3;
        store_unhold(s);
        artifact_free(a);
    }
    store_close(s);
    return 0;
}

START_TEST(collections_beside_builds_harm_none)
{
    struct store *s = pack_store("store");
    pid_t pids[3];
    int status, left = 3;
    for (int i = 0; i < 3; i++) {
        AUTO_FREE char *path = mem_dup_str(store_path(s));
        pids[i] = fork();
        if (pids[i] == 0)
            _exit(build_often(path, i));
    }
    while (left) {
        struct gc_report report;
        struct err err = {0};
        ck_assert_msg(store_gc(s, &(struct gc_options){0}, &report, &err), "%s", err.text);
        json_decref(report.removed);
        usleep(1000);
        for (int i = 0; i < 3; i++)
            if (pids[i] && waitpid(pids[i], &status, WNOHANG) == pids[i]) {
                ck_assert_int_eq(status, 0);
                pids[i] = 0;
                left--;
            }
    }
    store_close(s);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("gc");
    TCase *tc = tcase_create("gc");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, only_what_is_pinned_tagged_or_young_stays);
    tcase_add_test(tc, a_pinned_artifact_goes_only_after_its_pin);
    tcase_add_test(tc, what_a_build_uses_stays_while_it_holds_the_store);
    tcase_add_test(tc, a_dead_builds_hold_counts_no_more);
    tcase_add_test(tc, metadata_goes_when_nobody_confirmed_it);
    tcase_add_test(tc, keep_bytes_bounds_blobs_and_metadata_together);
    tcase_add_test(tc, keep_bytes_removes_the_longest_unused_first);
    tcase_add_test(tc, an_unreadable_pinned_artifact_stops_the_collection);
    tcase_add_test(tc, a_failing_disk_removes_nothing_that_is_needed);
    tcase_add_test(tc, collections_beside_builds_harm_none);
    suite_add_tcase(s, tc);
    return s;
}
