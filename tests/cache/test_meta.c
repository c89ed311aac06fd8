/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"
#include "cache/meta.h"
#include "tests/test_main.h"

#define KEY SPAN("https://h.example.com/p\ntext/x\n")

static struct store *open_store(void)
{
    struct store *s;
    struct err err = {0};
    static int stores; /* tests may share a process */
    AUTO_FREE char *path = mem_printf("%s/store%d", test_folder(), stores++);
    ck_assert_msg(store_open(&s, path, &err), "%s", err.text);
    return s;
}

static void put(struct store *s, struct span body, int64_t checked_ms)
{
    struct err err = {0};
    struct meta m = {.body = body,
                     .status = 200,
                     .url = "https://h.example.com/p2",
                     .asked = "https://h.example.com/p",
                     .etag = "\"e\"",
                     .checked_ms = checked_ms,
                     .max_age_ms = -1};
    ck_assert_msg(meta_put(s, KEY, &m, &err), "%s", err.text);
}

/* The document's only file, below the store. */
static char *file_of(struct store *s)
{
    char hex[DIGEST_HEX_SIZE];
    struct digest d = digest_of(KEY);
    digest_hex(&d, hex);
    return mem_printf("%s/meta/%.2s/%s", store_path(s), hex, hex);
}

START_TEST(what_was_put_is_got)
{
    struct store *s = open_store();
    struct meta m;
    ck_assert(!meta_get(s, KEY, &m));
    put(s, SPAN("body\nwith lines\n"), 1700000000123);
    ck_assert(meta_get(s, KEY, &m));
    ck_assert(span_eq(m.body, SPAN("body\nwith lines\n")));
    ck_assert_int_eq(m.status, 200);
    ck_assert_str_eq(m.url, "https://h.example.com/p2");
    ck_assert_str_eq(m.asked, "https://h.example.com/p");
    ck_assert_str_eq(m.etag, "\"e\"");
    ck_assert(!m.last_modified && !m.content_type && !m.content_range);
    ck_assert(m.checked_ms == 1700000000123 && m.max_age_ms == -1);
    meta_release(&m);
    ck_assert(!meta_get(s, SPAN("another"), &m));
    put(s, SPAN(""), 5000);
    ck_assert(meta_get(s, KEY, &m) && m.body.len == 0 && m.checked_ms == 5000);
    meta_release(&m);
    store_close(s);
}
END_TEST

START_TEST(a_confirmation_changes_time_and_age_only)
{
    struct store *s = open_store();
    struct meta m;
    put(s, SPAN("body"), 1000);
    ck_assert(meta_touch(s, KEY, 2000, -1, NULL));
    ck_assert(meta_get(s, KEY, &m) && m.checked_ms == 2000 && m.max_age_ms == -1);
    meta_release(&m);
    ck_assert(meta_touch(s, KEY, 3000, 60000, NULL));
    ck_assert(meta_get(s, KEY, &m) && m.checked_ms == 3000 && m.max_age_ms == 60000);
    ck_assert(span_eq(m.body, SPAN("body")));
    ck_assert_str_eq(m.etag, "\"e\"");
    meta_release(&m);
    ck_assert(!meta_touch(s, SPAN("another"), 1, 1, NULL));
    store_close(s);
}
END_TEST

START_TEST(a_time_ahead_of_us_counts_as_never)
{
    struct store *s = open_store();
    struct meta m;
    put(s, SPAN("body"), io_now_ms() + 3600000);
    ck_assert(meta_get(s, KEY, &m) && m.checked_ms == 0);
    meta_release(&m);
    store_close(s);
}
END_TEST

START_TEST(a_damaged_file_counts_as_missing)
{
    struct store *s = open_store();
    struct meta m;
    AUTO_BUF struct buf whole = BUF(1u << 20);
    AUTO_FREE char *file = file_of(s);
    put(s, SPAN("some body"), 1000);
    ck_assert(io_read_file(AT_FDCWD, file, &whole, NULL));
    for (size_t i = 0; i < whole.len; i++) { /* every byte changed, and every length */
        whole.ptr[i] ^= 1;
        bool got = meta_parse(buf_span(&whole), KEY, &m);
        whole.ptr[i] ^= 1;
        /* The head has no checksum: a changed URL stays a URL. Body and length do. */
        if (got)
            ck_assert(span_eq(m.body, SPAN("some body")));
        meta_release(&m);
        ck_assert(!meta_parse(span_slice(buf_span(&whole), 0, i), KEY, &m));
    }
    ck_assert(meta_parse(buf_span(&whole), KEY, &m));
    meta_release(&m);
    ck_assert(truncate(file, 40) == 0);
    ck_assert(!meta_get(s, KEY, &m));
    put(s, SPAN("again"), 1000);
    ck_assert(meta_get(s, KEY, &m));
    meta_release(&m);
    ck_assert(unlink(file) == 0 && mkfifo(file, 0600) == 0);
    ck_assert(!meta_get(s, KEY, &m));
    ck_assert(unlink(file) == 0 && symlink("/etc/passwd", file) == 0);
    ck_assert(!meta_get(s, KEY, &m));
    store_close(s);
}
END_TEST

START_TEST(a_failed_put_keeps_the_old_document)
{
    struct store *s = open_store();
    struct meta m, new = {.body = SPAN("new"), .status = 200, .url = "http://h", .max_age_ms = -1};
    for (int n = 1;; n++) {
        struct err err = {0};
        put(s, SPAN("old"), 1000);
        fault_arm(n, ENOSPC);
        bool ok = meta_put(s, KEY, &new, &err);
        if (!fault_disarm()) {
            ck_assert_msg(ok, "%s", err.text);
            break;
        }
        ck_assert(!ok && err.code == ERR_NO_SPACE);
        ck_assert(meta_get(s, KEY, &m) && span_eq(m.body, SPAN("old")));
        meta_release(&m);
    }
    ck_assert(meta_get(s, KEY, &m) && span_eq(m.body, SPAN("new")));
    meta_release(&m);
    store_close(s);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("meta");
    TCase *tc = tcase_create("meta");
    tcase_add_test(tc, what_was_put_is_got);
    tcase_add_test(tc, a_confirmation_changes_time_and_age_only);
    tcase_add_test(tc, a_time_ahead_of_us_counts_as_never);
    tcase_add_test(tc, a_damaged_file_counts_as_missing);
    tcase_add_test(tc, a_failed_put_keeps_the_old_document);
    suite_add_tcase(s, tc);
    return s;
}
