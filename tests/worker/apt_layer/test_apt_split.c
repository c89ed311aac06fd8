/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "tests/test_main.h"
#include "worker/apt_layer/harvest.h"
#include "worker/apt_layer/layer_priv.h"

struct row {
    enum entry_type type;
    const char *path, *text; /* content, or a link's target */
    uint32_t mode;
    struct span capability;
};

/* A stream as harvest_write makes it. */
static void add(struct buf *out, const struct row *r)
{
    bool link = r->type == ENTRY_SYMLINK || r->type == ENTRY_HARDLINK;
    const char *text = r->text ? r->text : "";
    struct harvest_record h = {
        .magic = 0x48525631u,
        .type = r->type,
        .mode = r->mode                ? r->mode
                : r->type == ENTRY_DIR ? 0755
                                       : 0644,
        .path_bytes = (uint32_t)strlen(r->path),
        .target_bytes = link ? (uint32_t)strlen(text) : 0,
        .xattr_bytes = (uint32_t)r->capability.len,
        .mtime = 1234,
        .content_bytes = link ? 0 : strlen(text),
    };
    buf_append(out, span_of(&h, sizeof(h)));
    buf_str(out, r->path);
    if (link)
        buf_str(out, text);
    buf_append(out, r->capability);
    while (out->len % 8)
        buf_char(out, '\0');
    if (!link)
        buf_str(out, text);
    while (out->len % 8)
        buf_char(out, '\0');
}

static const struct row rows[] = {
    {ENTRY_DIR, "etc", NULL, 0, SPAN_INIT("")},
    {ENTRY_FILE, "etc/group", "root:x:0:\n", 0, SPAN_INIT("")},
    {ENTRY_WHITEOUT, "etc/old", NULL, 0, SPAN_INIT("")},
    {ENTRY_FILE, "etc/one.conf", "conf", 0, SPAN_INIT("")},
    {ENTRY_DIR, "usr", NULL, 0, SPAN_INIT("")},
    {ENTRY_DIR, "usr/lib", NULL, 0, SPAN_INIT("")},
    {ENTRY_FILE, "usr/lib/libone.so", "merged", 0, SPAN_INIT("")},
    {ENTRY_DIR, "usr/share", NULL, 0, SPAN_INIT("")},
    {ENTRY_DIR, "usr/share/one", NULL, 0750, SPAN_INIT("")},
    {ENTRY_FILE, "usr/share/one/a", "a", 0, SPAN_INIT("")},
    {ENTRY_HARDLINK, "usr/share/one/b", "usr/share/one/a", 0, SPAN_INIT("")},
    {ENTRY_SYMLINK, "usr/share/one/link", "../../etc", 0, SPAN_INIT("")},
    {ENTRY_DIR, "var", NULL, 0, SPAN_INIT("")},
    {ENTRY_DIR, "var/lib", NULL, 0, SPAN_INIT("")},
    {ENTRY_DIR, "var/lib/dpkg", NULL, 0, SPAN_INIT("")},
    {ENTRY_DIR, "var/lib/dpkg/info", NULL, 0, SPAN_INIT("")},
    {ENTRY_FILE, "var/lib/dpkg/info/one:amd64.list",
     "/.\n/etc\n/etc/one.conf\n/lib/libone.so\n/usr/share/one/a\n/usr/share/one/b\n"
     "/usr/share/one/link\n/etc/group-not-there\n",
     0, SPAN_INIT("")},
    {ENTRY_FILE, "var/lib/dpkg/info/one:amd64.postinst", "#!/bin/sh\n", 0755, SPAN_INIT("")},
    {ENTRY_FILE, "var/lib/dpkg/info/two.list", "/usr/share/two\n/usr/share/one/a\n", 0,
     SPAN_INIT("")},
    {ENTRY_FILE, "var/lib/dpkg/status", "status", 0, SPAN_INIT("")},
    {ENTRY_DIR, "var/lib/dpkg/triggers", NULL, 0, SPAN_INIT("")},
    {ENTRY_FILE, "var/lib/dpkg/triggers/File", "/z z\n/a a\n/m m", 0, SPAN_INIT("")},
};

static const struct segment_entry *find(const struct apt_layer_job *job, const char *part,
                                        const char *path)
{
    for (size_t i = 0; i < job->part_count; i++)
        for (size_t k = 0; k < job->parts[i].plan.entries.n; k++)
            if (strcmp(job->parts[i].name, part) == 0 &&
                span_eq_str(job->parts[i].plan.entries.v[k].path, path))
                return &job->parts[i].plan.entries.v[k];
    return NULL;
}

static bool split(struct apt_layer_job *job, struct buf *stream, const struct row *list, size_t n,
                  struct err *err)
{
    *stream = BUF(1 << 20);
    *job = (struct apt_layer_job){.merged = 0x3f};
    for (size_t i = 0; i < n; i++)
        add(stream, &list[i]);
    return apt_split(job, NULL, buf_span(stream), err);
}

START_TEST(files_go_to_the_package_that_lists_them)
{
    struct apt_layer_job job;
    struct err err = {0};
    AUTO_BUF struct buf stream = {0};
    ck_assert_msg(split(&job, &stream, rows, COUNT(rows), &err), "%s", err.text);
    ck_assert_uint_eq(job.part_count, 3);
    ck_assert_str_eq(job.parts[0].name, "one");
    ck_assert_str_eq(job.parts[1].name, "two");
    ck_assert_str_eq(job.parts[2].name, "configured");
    /* /lib is /usr/lib here. */
    ck_assert(find(&job, "one", "usr/lib/libone.so") && find(&job, "one", "etc/one.conf"));
    ck_assert(find(&job, "one", "usr/share/one/b")->type == ENTRY_HARDLINK);
    ck_assert(find(&job, "one", "usr/share/one/a") && find(&job, "one", "usr/share/one/link"));
    ck_assert(find(&job, "one", "var/lib/dpkg/info/one:amd64.postinst"));
    ck_assert(find(&job, "two", "var/lib/dpkg/info/two.list"));
    /* What no list has is of the configuring; so is what was removed. */
    ck_assert(find(&job, "configured", "etc/group") &&
              find(&job, "configured", "var/lib/dpkg/status"));
    ck_assert(find(&job, "configured", "etc/old")->type == ENTRY_WHITEOUT);
    apt_layer_release(&job);
}
END_TEST

START_TEST(folders_above_are_as_they_are)
{
    struct apt_layer_job job;
    struct err err = {0};
    AUTO_BUF struct buf stream = {0};
    ck_assert(split(&job, &stream, rows, COUNT(rows), &err));
    const struct segment_entry *dir = find(&job, "one", "usr/share/one");
    ck_assert(dir && dir->type == ENTRY_DIR && dir->mode == 0750 && dir->mtime == 0);
    ck_assert(find(&job, "one", "usr") && !find(&job, "two", "usr"));
    ck_assert_int_eq(find(&job, "one", "usr/share/one/a")->mtime, 1234);
    ck_assert_int_eq(find(&job, "configured", "var/lib/dpkg/status")->mtime, 0);
    apt_layer_release(&job);
}
END_TEST

START_TEST(no_entry_is_lost_or_in_two_parts)
{
    struct apt_layer_job job;
    struct err err = {0};
    AUTO_BUF struct buf stream = {0};
    ck_assert(split(&job, &stream, rows, COUNT(rows), &err));
    for (size_t i = 0; i < COUNT(rows); i++) {
        int times = 0;
        for (size_t k = 0; k < job.part_count; k++)
            times += find(&job, job.parts[k].name, rows[i].path) != NULL;
        ck_assert_msg(rows[i].type == ENTRY_DIR ? times >= 1 : times == 1, "%s: %d", rows[i].path,
                      times);
    }
    apt_layer_release(&job);
}
END_TEST

START_TEST(triggers_are_sorted)
{
    struct apt_layer_job job;
    struct err err = {0};
    AUTO_BUF struct buf stream = {0};
    ck_assert(split(&job, &stream, rows, COUNT(rows), &err));
    const struct segment_entry *e = find(&job, "configured", "var/lib/dpkg/triggers/File");
    ck_assert(span_eq(e->bytes, SPAN("/a a\n/m m\n/z z\n")) && e->size == e->bytes.len);
    apt_layer_release(&job);
}
END_TEST

START_TEST(a_hard_link_stays_with_its_target)
{
    static const struct row crossed[] = {
        {ENTRY_FILE, "usr/a", "x", 0, SPAN_INIT("")},
        {ENTRY_HARDLINK, "usr/b", "usr/a", 0, SPAN_INIT("")},
        {ENTRY_HARDLINK, "usr/c", "usr/a", 0, SPAN_INIT("")},
        {ENTRY_FILE, "var/lib/dpkg/info/one.list", "/usr/a\n", 0, SPAN_INIT("")},
        {ENTRY_FILE, "var/lib/dpkg/info/two.list", "/usr/b\n", 0, SPAN_INIT("")},
    };
    struct apt_layer_job job;
    struct err err = {0};
    AUTO_BUF struct buf stream = {0};
    ck_assert(split(&job, &stream, crossed, COUNT(crossed), &err));
    ck_assert(find(&job, "one", "usr/a") && find(&job, "one", "usr/b") &&
              find(&job, "one", "usr/c"));
    apt_layer_release(&job);
}
END_TEST

START_TEST(what_each_run_makes_anew_is_noted)
{
    static const struct row keys[] = {
        {ENTRY_FILE, "etc/ssh/ssh_host_rsa_key", "secret", 0600, SPAN_INIT("")}};
    struct apt_layer_job job;
    struct err err = {0};
    AUTO_BUF struct buf stream = {0};
    ck_assert(split(&job, &stream, keys, 1, &err));
    ck_assert_uint_eq(json_array_size(job.notes), 1);
    apt_layer_release(&job);
}
END_TEST

START_TEST(capabilities_lose_the_namespace_they_were_set_in)
{
#define BITS "\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    static const struct row files[] = {
        {ENTRY_FILE, "two", "x", 0, SPAN_INIT("\1\0\0\2" BITS)},
        {ENTRY_FILE, "three", "x", 0, SPAN_INIT("\1\0\0\3" BITS "\0\0\1\0")},
        {ENTRY_FILE, "short", "x", 0, SPAN_INIT("\1\0\0\2")},
        {ENTRY_FILE, "strange", "x", 0, SPAN_INIT("\1\0\0\7" BITS)},
    };
    struct apt_layer_job job;
    struct err err = {0};
    AUTO_BUF struct buf stream = {0};
    struct span want = SPAN("\1\0\0\2" BITS);
    ck_assert(split(&job, &stream, files, COUNT(files), &err));
    ck_assert(span_eq(find(&job, "configured", "two")->capability, want));
    ck_assert(span_eq(find(&job, "configured", "three")->capability, want));
    ck_assert_uint_eq(find(&job, "configured", "short")->capability.len, 0);
    ck_assert_uint_eq(find(&job, "configured", "strange")->capability.len, 0);
    apt_layer_release(&job);
}
END_TEST

START_TEST(a_damaged_stream_gives_no_parts)
{
    struct apt_layer_job job = {0};
    struct err err = {0};
    AUTO_BUF struct buf stream = BUF(1 << 20);
    for (size_t i = 0; i < COUNT(rows); i++)
        add(&stream, &rows[i]);
    for (size_t n = 1; n < stream.len; n += 13) {
        bool ok = apt_split(&job, NULL, span_slice(buf_span(&stream), 0, n), &err);
        ck_assert(ok || (err.code == ERR_CORRUPT && job.part_count == 0));
        apt_layer_release(&job);
    }
}
END_TEST

START_TEST(nothing_gives_nothing)
{
    struct apt_layer_job job;
    struct err err = {0};
    AUTO_BUF struct buf stream = {0};
    ck_assert(split(&job, &stream, rows, 0, &err));
    ck_assert_uint_eq(job.part_count, 0);
    apt_layer_release(&job);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("apt_split");
    TCase *tc = tcase_create("split");
    tcase_add_test(tc, files_go_to_the_package_that_lists_them);
    tcase_add_test(tc, folders_above_are_as_they_are);
    tcase_add_test(tc, no_entry_is_lost_or_in_two_parts);
    tcase_add_test(tc, triggers_are_sorted);
    tcase_add_test(tc, a_hard_link_stays_with_its_target);
    tcase_add_test(tc, what_each_run_makes_anew_is_noted);
    tcase_add_test(tc, capabilities_lose_the_namespace_they_were_set_in);
    tcase_add_test(tc, a_damaged_stream_gives_no_parts);
    tcase_add_test(tc, nothing_gives_nothing);
    suite_add_tcase(s, tc);
    return s;
}
