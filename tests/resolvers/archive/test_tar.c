/* SPDX-License-Identifier: Apache-2.0 */
/* The tar reader, and the gzip wrapper around it. */
#include "resolvers/archive/tar.h"

#include <string.h>

#include "resolvers/archive/gzip.h"
#include "tests/resolvers/archive/make_archive.h"
#include "tests/test_main.h"

static struct arena *arena;
static struct made_tar made;

static void setup(void)
{
    arena = arena_new();
    made_tar_init(&made, arena);
}

static void teardown(void)
{
    made_tar_release(&made);
    arena_free(arena);
}

/* All entries as "type path mode content|target\n" lines, or "error: ...". */
static const char *listing(struct span bytes)
{
    struct tar t = tar_of(bytes, arena);
    struct tar_entry e;
    struct err err = {0};
    struct buf out = BUF(1u << 20);
    while (tar_next(&t, &e, &err))
        buf_printf(&out, "%c %.*s %o %.*s\n", "fdlho"[e.type], SPAN_ARG(e.path), e.mode,
                   SPAN_ARG(e.type == TAR_SYMLINK || e.type == TAR_HARDLINK ? e.target : e.data));
    if (err.code)
        buf_printf(&out, "error: %s", err.text);
    const char *text = arena_str(arena, buf_span(&out));
    buf_release(&out);
    return text;
}

START_TEST(entries_of_every_type_come_out)
{
    char long_name[300] = "p/";
    memset(long_name + 2, 'n', 250);
    made_tar_add(&made, '5', "p/", 0755, SPAN(""));
    made_tar_add(&made, '0', "p/a", 0644, SPAN("content"));
    made_tar_add(&made, '\0', "p/old", 04755, SPAN("x"));
    made_tar_link(&made, '2', "p/s", "../../etc/passwd");
    made_tar_link(&made, '1', "p/h", "p/a");
    made_tar_add(&made, 'L', "././@LongLink", 0, span_str(long_name));
    made_tar_add(&made, '0', "p/nnnn", 0600, SPAN("gnu"));
    made_tar_pax(&made, 'x', "path", "p/pax");
    made_tar_add(&made, '0', "p/short", 0644, SPAN("pax"));
    made_tar_pax(&made, 'g', "comment", "of a commit");
    made_tar_add(&made, '3', "p/device", 0644, SPAN(""));
    made_tar_end(&made);
    ck_assert_str_eq(listing(buf_span(&made.bytes)),
                     arena_printf(arena,
                                  "d p 755 \nf p/a 644 content\nf p/old 4755 x\n"
                                  "l p/s 777 ../../etc/passwd\nh p/h 777 p/a\n"
                                  "f %s 600 gnu\nf p/pax 644 pax\no p/device 644 \n",
                                  long_name));
}
END_TEST

START_TEST(pax_sizes_count)
{
    /* The header says 0, the pax record 7. */
    made_tar_pax(&made, 'x', "size", "7");
    size_t at = made.bytes.len;
    made_tar_add(&made, '0', "p/a", 0644, SPAN("content"));
    char *h = made.bytes.ptr + at;
    unsigned sum = 0;
    memset(h + 124, '0', 11);
    memset(h + 148, ' ', 8);
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)h[i];
    memcpy(h + 148, arena_printf(arena, "%06o", sum), 7);
    made_tar_end(&made);
    ck_assert_str_eq(listing(buf_span(&made.bytes)), "f p/a 644 content\n");
}
END_TEST

static const char *const escaping[] = {"../x", "p/../../x", "/etc/passwd", "p/.."};

START_TEST(paths_that_escape_are_refused)
{
    made_tar_add(&made, '0', escaping[_i], 0644, SPAN("x"));
    made_tar_end(&made);
    ck_assert_ptr_nonnull(strstr(listing(buf_span(&made.bytes)), "not a path below"));
    made_tar_release(&made);
    made_tar_init(&made, arena);
    made_tar_pax(&made, 'x', "path", escaping[_i]);
    made_tar_add(&made, '0', "p/fine", 0644, SPAN("x"));
    made_tar_end(&made);
    ck_assert_ptr_nonnull(strstr(listing(buf_span(&made.bytes)), "not a path below"));
}
END_TEST

START_TEST(broken_pax_records_are_refused)
{
    static const char *const records[] = {
        "0 a=b\n",   "4 a=\n",   "99 a=b\n",           "x a=b\n",
        "6 a=bcc\n", "6 abcd\n", "17 size=-1000000\n", "22 GNU.sparse.major=1\n"};
    made_tar_add(&made, 'x', "pax", 0644, span_str(records[_i]));
    made_tar_add(&made, '0', "p/fine", 0644, SPAN("x"));
    made_tar_end(&made);
    ck_assert_msg(strncmp(listing(buf_span(&made.bytes)), "error: ", 7) == 0, "%d", _i);
}
END_TEST

START_TEST(checksums_and_cuts_are_noticed)
{
    made_tar_add(&made, '0', "p/a", 0644, SPAN("content"));
    made_tar_add(&made, '0', "p/b", 0644, SPAN("content"));
    made.bytes.ptr[0] = 'q';
    ck_assert_ptr_nonnull(strstr(listing(buf_span(&made.bytes)), "wrong checksum"));
    made.bytes.ptr[0] = 'p';
    for (size_t n = 1; n < made.bytes.len; n++) {
        AUTO_FREE char *copy = mem_dup(span_slice(buf_span(&made.bytes), 0, n));
        bool whole = n == 1024 || (n >= 519 && n < 1024) || n >= 1543;
        bool failed = strstr(listing(span_of(copy, n)), "error: ");
        ck_assert_msg(failed == !whole, "%zu", n); /* padding at the very end may lack */
    }
}
END_TEST

START_TEST(only_files_have_content)
{
    static const struct {
        char type;
        const char *name;
    } cases[] = {{'0', "p/folder/"}, {'1', "p/h"}, {'2', "p/s"}, {'3', "p/c"}, {'6', "p/f"}};
    made_tar_add(&made, cases[_i].type, cases[_i].name, 0644, SPAN("content"));
    made_tar_end(&made);
    ck_assert_ptr_nonnull(strstr(listing(buf_span(&made.bytes)), "with content"));
}
END_TEST

START_TEST(long_and_deep_names_are_refused)
{
    static char name[5000];
    for (int deep = 0; deep < 2; deep++) {
        memset(name, 'n', deep ? 400 : 4097);
        name[deep ? 400 : 4097] = '\0';
        for (size_t i = 1; deep && i < 398; i += 2)
            name[i] = '/';
        made_tar_pax(&made, 'x', "path", name);
        made_tar_add(&made, '0', "p/fine", 0644, SPAN("x"));
        const char *got = listing(buf_span(&made.bytes));
        ck_assert_msg(strstr(got, "too long or nested") != NULL, "%s", got);
        made.bytes.len = 0;
    }
}
END_TEST

START_TEST(an_extended_header_at_the_end_is_refused)
{
    made_tar_pax(&made, 'x', "path", "p/a");
    made_tar_end(&made);
    ck_assert_ptr_nonnull(strstr(listing(buf_span(&made.bytes)), "cut off after"));
}
END_TEST

START_TEST(stripping_leaves_plain_paths)
{
    static const struct {
        const char *path;
        unsigned parts;
        const char *left;
    } cases[] = {{"package/a/b", 1, "a/b"}, {"./package/a", 1, "package/a"}, {"node/a", 1, "a"},
                 {"package", 1, ""},        {"p//a/./b", 1, "a/b"},          {"a", 0, "a"}};
    for (size_t i = 0; i < COUNT(cases); i++)
        ck_assert(
            span_eq_str(tar_strip(span_str(cases[i].path), cases[i].parts, arena), cases[i].left));
}
END_TEST

START_TEST(gzip_members_are_joined_and_bounded)
{
    struct err err = {0};
    char *out;
    size_t n;
    struct buf b = BUF(1u << 20);
    buf_append(&b, made_gzip(SPAN("one "), arena));
    buf_append(&b, made_gzip(SPAN(""), arena));
    buf_append(&b, made_gzip(SPAN("two"), arena));
    ck_assert_msg(gzip_inflate(buf_span(&b), 7, &out, &n, &err), "%s", err.text);
    ck_assert(span_eq(span_of(out, n), SPAN("one two")));
    free(out);
    ck_assert(!gzip_inflate(buf_span(&b), 6, &out, &n, &err) && err.code == ERR_TOO_LARGE);
    size_t whole = b.len;
    buf_str(&b, "padding");
    ck_assert(gzip_inflate(buf_span(&b), 100, &out, &n, &err) && n == 7);
    free(out);
    buf_str(&b, "");
    for (size_t cut = 1; cut < 20; cut++)
        ck_assert(!gzip_inflate(span_slice(buf_span(&b), 0, whole - cut), 100, &out, &n, &err));
    ck_assert(!gzip_inflate(SPAN("PK"), 100, &out, &n, &err) && err.code == ERR_BAD_ARCHIVE);
    buf_release(&b);
}
END_TEST

START_TEST(a_gzip_bomb_stops_at_the_bound)
{
    struct err err = {0};
    char *out;
    size_t n;
    struct span zeros = span_of(arena_alloc(arena, 32u << 20), 32u << 20);
    struct span bomb = made_gzip(zeros, arena);
    ck_assert(!gzip_inflate(bomb, 1u << 20, &out, &n, &err) && err.code == ERR_TOO_LARGE);
    ck_assert(gzip_inflate(bomb, 32u << 20, &out, &n, &err) && n == 32u << 20);
    free(out);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("tar");
    TCase *tc = tcase_create("tar");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, entries_of_every_type_come_out);
    tcase_add_test(tc, pax_sizes_count);
    tcase_add_loop_test(tc, paths_that_escape_are_refused, 0, COUNT(escaping));
    tcase_add_loop_test(tc, broken_pax_records_are_refused, 0, 8);
    tcase_add_test(tc, checksums_and_cuts_are_noticed);
    tcase_add_loop_test(tc, only_files_have_content, 0, 5);
    tcase_add_test(tc, long_and_deep_names_are_refused);
    tcase_add_test(tc, an_extended_header_at_the_end_is_refused);
    tcase_add_test(tc, stripping_leaves_plain_paths);
    tcase_add_test(tc, gzip_members_are_joined_and_bounded);
    tcase_add_test(tc, a_gzip_bomb_stops_at_the_bound);
    suite_add_tcase(s, tc);
    return s;
}
