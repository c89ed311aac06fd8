/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/archive/zip.h"

#include <string.h>

#include "tests/resolvers/archive/make_archive.h"
#include "tests/test_main.h"

static struct arena *arena;
static struct made_zip made;

static void setup(void)
{
    arena = arena_new();
    made = (struct made_zip){.arena = arena};
}

static void teardown(void)
{
    arena_free(arena);
}

static bool open_made(struct zip *z, struct err *err)
{
    return zip_open(z, made_zip_bytes(&made), &zip_default_limits, arena, err);
}

START_TEST(entries_come_out_as_they_went_in)
{
    struct zip z;
    struct err err = {0};
    struct span got;
    static char zeros[100000];
    made_zip_add(&made, "a/b.py", "print()\n")->mode = 0100755;
    made_zip_add(&made, "a/", "")->stored = true;
    made_zip_add(&made, "stored", "kept as it is")->stored = true;
    made_zip_add(&made, "empty", "");
    made_zip_add(&made, "later", "sizes follow the data")->descriptor = true;
    made_zip_add(&made, "big", "sizes in the extra field")->zip64 = true;
    made_zip_add(&made, "zeros", "")->content = span_of(zeros, sizeof(zeros));
    struct made_entry *both = made_zip_add(&made, "both", "64 bits and later");
    both->zip64 = both->descriptor = true;
    made.zip64_end = true;
    made.comment = "PK is not always an end record";
    ck_assert_msg(open_made(&z, &err), "%s", err.text);
    ck_assert_uint_eq(z.count, made.count);
    for (size_t i = 0; i < z.count; i++) {
        if (z.entries[i].dir)
            continue;
        ck_assert_msg(zip_read(&z.entries[i], arena, &got, &err), "%s", err.text);
        ck_assert(span_eq(got, made.entries[i].content));
    }
    ck_assert(z.entries[1].dir && span_eq(z.entries[1].name, SPAN("a")));
    ck_assert_uint_eq(zip_find(&z, SPAN("a/b.py"))->mode, 0100755);
    ck_assert_ptr_null(zip_find(&z, SPAN("a")));
    ck_assert_ptr_null(zip_find(&z, SPAN("A/b.py")));
}
END_TEST

START_TEST(an_empty_zip_has_no_entries)
{
    struct zip z;
    struct err err = {0};
    ck_assert_msg(open_made(&z, &err), "%s", err.text);
    ck_assert_uint_eq(z.count, 0);
}
END_TEST

START_TEST(peeking_gives_the_first_bytes)
{
    struct zip z;
    struct err err = {0};
    struct span got;
    made_zip_add(&made, "deflated", "#!python\nprint()\n");
    made_zip_add(&made, "stored", "#!python\nprint()\n")->stored = true;
    made_zip_add(&made, "short", "#!");
    ck_assert(open_made(&z, &err));
    ck_assert(zip_peek(&z.entries[0], 8, arena, &got, &err) && span_eq(got, SPAN("#!python")));
    ck_assert(zip_peek(&z.entries[1], 8, arena, &got, &err) && span_eq(got, SPAN("#!python")));
    ck_assert(zip_peek(&z.entries[2], 8, arena, &got, &err) && span_eq(got, SPAN("#!")));
}
END_TEST

START_TEST(names_without_the_utf8_flag_are_code_page_437)
{
    struct zip z;
    struct err err = {0};
    made_zip_add(&made, "gr\x81n", "");
    made_zip_add(&made, "gr\xc3\xbcn2", "")->flags = 1 << 11;
    made_zip_add(&made, "\xb0", "");
    ck_assert_msg(open_made(&z, &err), "%s", err.text);
    ck_assert(span_eq(z.entries[0].name, SPAN("gr\xc3\xbcn")));
    ck_assert(span_eq(z.entries[1].name, SPAN("gr\xc3\xbcn2")));
    ck_assert(span_eq(z.entries[2].name, SPAN("\xe2\x96\x91")));
}
END_TEST

static struct made_entry *second(void)
{
    return &made.entries[1];
}

static void lie_name(void)
{
    second()->local_name = "c";
}
static void lie_size(void)
{
    second()->local_size_xor = 1;
}
static void lie_size_zip64(void)
{
    second()->zip64 = true;
    second()->local_size_xor = 1;
}
static void lie_stored_size(void)
{
    second()->stored = true;
    second()->size = 100;
}
static void impossible_ratio(void)
{
    second()->size = 1u << 30;
}
static void overlap(void)
{
    second()->shares_local = true;
    second()->name = "b2";
    made.entries[0].local_name = NULL;
}
static void listed_twice(void)
{
    second()->twice_central = true;
}
static void same_name(void)
{
    second()->name = "a";
}
static void folder_and_file(void)
{
    second()->name = "a/";
    second()->content = SPAN("");
}
static void folder_with_content(void)
{
    second()->name = "d/";
}
static void gap(void)
{
    second()->gap = "hidden";
}
static void prefix(void)
{
    made.prefix = "#!/bin/sh\n";
}
static void trailer(void)
{
    made.trailer = "x";
}
static void count_low(void)
{
    made.count_off = -1;
}
static void count_high(void)
{
    made.count_off = 1;
}
static void directory_short(void)
{
    made.size_off = -1;
}
static void encrypted(void)
{
    second()->flags = 1;
}
static void strong(void)
{
    second()->flags = 1 << 6;
}
static void bzip2(void)
{
    second()->method = 12;
}
static void bad_utf8(void)
{
    second()->name = "\xff";
    second()->flags = 1 << 11;
}
static void named(void);

static const char *bad_name;

static const struct {
    const char *what;
    void (*lie)(void);
    const char *name;
    enum err_code code;
    const char *says;
} hostile[] = {
    {"local name", lie_name, 0, ERR_BAD_ARCHIVE, "another name"},
    {"local size", lie_size, 0, ERR_BAD_ARCHIVE, "another size"},
    {"local ZIP64 size", lie_size_zip64, 0, ERR_BAD_ARCHIVE, "another size"},
    {"stored size", lie_stored_size, 0, ERR_BAD_ARCHIVE, "two sizes differ"},
    {"impossible size", impossible_ratio, 0, ERR_BAD_ARCHIVE, "than deflate can hold"},
    {"overlap", overlap, 0, ERR_BAD_ARCHIVE, "another name"},
    {"listed twice", listed_twice, 0, ERR_BAD_ARCHIVE, "twice"},
    {"same name", same_name, 0, ERR_BAD_ARCHIVE, "twice"},
    {"folder and file", folder_and_file, 0, ERR_BAD_ARCHIVE, "twice"},
    {"folder with content", folder_with_content, 0, ERR_BAD_ARCHIVE, "folder with content"},
    {"gap", gap, 0, ERR_BAD_ARCHIVE, "bytes of no entry"},
    {"prefix", prefix, 0, ERR_BAD_ARCHIVE, "before the first entry"},
    {"trailer", trailer, 0, ERR_BAD_ARCHIVE, "comment does not reach"},
    {"count too low", count_low, 0, ERR_BAD_ARCHIVE, "more in the central directory"},
    {"count too high", count_high, 0, ERR_BAD_ARCHIVE, "more entries than fit"},
    {"directory short", directory_short, 0, ERR_BAD_ARCHIVE, "does not reach"},
    {"encrypted", encrypted, 0, ERR_UNSUPPORTED, "encrypted"},
    {"strong encryption", strong, 0, ERR_UNSUPPORTED, "encrypted"},
    {"bzip2", bzip2, 0, ERR_UNSUPPORTED, "neither stored nor deflated"},
    {"UTF-8", bad_utf8, 0, ERR_BAD_ARCHIVE, "not UTF-8"},
    {"parent", named, "../x", ERR_BAD_ARCHIVE, "plain relative path"},
    {"parent inside", named, "a/../../x", ERR_BAD_ARCHIVE, "plain relative path"},
    {"absolute", named, "/etc/passwd", ERR_BAD_ARCHIVE, "plain relative path"},
    {"dot", named, "./x", ERR_BAD_ARCHIVE, "plain relative path"},
    {"two slashes", named, "x//y", ERR_BAD_ARCHIVE, "plain relative path"},
    {"no name", named, "", ERR_BAD_ARCHIVE, "plain relative path"},
    {"only a slash", named, "/", ERR_BAD_ARCHIVE, "plain relative path"},
    {"backslash", named, "x\\..\\y", ERR_BAD_ARCHIVE, "backslash"},
};

static void named(void)
{
    second()->name = bad_name;
    second()->content = SPAN("");
}

START_TEST(a_lie_is_refused)
{
    struct zip z;
    struct err err = {0};
    made_zip_add(&made, "a", "first");
    made_zip_add(&made, "b", "the second file");
    made_zip_add(&made, "z", "third");
    bad_name = hostile[_i].name;
    hostile[_i].lie();
    ck_assert_msg(!open_made(&z, &err), "%s", hostile[_i].what);
    ck_assert_msg(err.code == hostile[_i].code && strstr(err.text, hostile[_i].says), "%s: %s",
                  hostile[_i].what, err.text);
}
END_TEST

START_TEST(data_shared_by_two_entries_is_refused)
{
    struct zip z;
    struct err err = {0};
    struct made_entry *e = made_zip_add(&made, "a", "first");
    made_zip_add(&made, "a2", "first")->shares_local = true;
    e->local_name = NULL;
    /* Same name in both would be "twice"; a reader that trusted the directory's name alone
     * would take this one. */
    ck_assert(!open_made(&z, &err) && err.code == ERR_BAD_ARCHIVE);

    /* An entry whose data holds another entry, header and all. */
    made.count = 0;
    made_zip_add(&made, "inner", "inner content")->stored = true;
    struct span inner = made_zip_bytes(&made);
    made.count = 0;
    made_zip_add(&made, "outer", "")->content = inner;
    made.entries[0].stored = true;
    struct span whole = made_zip_bytes(&made);
    ck_assert_msg(open_made(&z, &err), "%s", err.text);
    /* The inner archive's own records are content, found by nobody. */
    ck_assert_uint_eq(z.count, 1);
    ck_assert(whole.len > inner.len);
}
END_TEST

START_TEST(limits_hold)
{
    struct zip z;
    struct err err = {0};
    made_zip_add(&made, "a", "12345");
    made_zip_add(&made, "b", "1234567890");
    struct span bytes = made_zip_bytes(&made);
    struct zip_limits l = zip_default_limits;
    l.max_entries = 1;
    ck_assert(!zip_open(&z, bytes, &l, arena, &err) && err.code == ERR_TOO_LARGE);
    l = zip_default_limits;
    l.max_entry_bytes = 9;
    ck_assert(!zip_open(&z, bytes, &l, arena, &err) && err.code == ERR_TOO_LARGE);
    ck_assert_ptr_nonnull(strstr(err.text, "\"b\""));
    l = zip_default_limits;
    l.max_total_bytes = 14;
    ck_assert(!zip_open(&z, bytes, &l, arena, &err) && err.code == ERR_TOO_LARGE);
    l.max_total_bytes = 15;
    ck_assert(zip_open(&z, bytes, &l, arena, &err));
}
END_TEST

START_TEST(a_bomb_is_refused_before_anything_is_inflated)
{
    struct zip z;
    struct err err = {0};
    struct span zeros = span_of(arena_alloc(arena, 8u << 20), 8u << 20);
    static const char *const names[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
    for (size_t i = 0; i < 10; i++)
        made_zip_add(&made, names[i], "")->content = zeros;
    ck_assert(!open_made(&z, &err) && err.code == ERR_TOO_LARGE);
    ck_assert_ptr_nonnull(strstr(err.text, "bomb"));
}
END_TEST

START_TEST(wrong_content_fails_when_read)
{
    struct zip z;
    struct err err = {0};
    struct span got;
    made_zip_add(&made, "crc", "content")->crc_xor = 1;
    made_zip_add(&made, "stored", "content")->crc_xor = 1;
    made_zip_add(&made, "longer", "content")->size = 8;
    made_zip_add(&made, "shorter", "content")->size = 6;
    made.entries[1].stored = true;
    ck_assert_msg(open_made(&z, &err), "%s", err.text);
    for (size_t i = 0; i < z.count; i++)
        ck_assert(!zip_read(&z.entries[i], arena, &got, &err) && err.code == ERR_BAD_ARCHIVE);
    ck_assert(!zip_peek(&z.entries[2], 8, arena, &got, &err));
}
END_TEST

static void make_some(void)
{
    made_zip_add(&made, "a", "first");
    made_zip_add(&made, "b/c", "the second file, deflated, deflated, deflated")->descriptor = true;
    made_zip_add(&made, "z", "third")->stored = true;
    made_zip_add(&made, "w", "wide")->zip64 = true;
    made.zip64_end = true;
    made.comment = "a comment";
}

START_TEST(every_cut_is_noticed)
{
    struct zip z;
    struct err err = {0};
    make_some();
    struct span bytes = made_zip_bytes(&made);
    for (size_t n = 0; n < bytes.len; n++) {
        AUTO_FREE char *copy = mem_dup(span_slice(bytes, 0, n));
        ck_assert_msg(!zip_open(&z, span_of(copy, n), &zip_default_limits, arena, &err), "%zu", n);
    }
}
END_TEST

START_TEST(a_flipped_bit_is_noticed_or_harmless)
{
    make_some();
    struct span bytes = made_zip_bytes(&made);
    AUTO_FREE char *copy = mem_dup(bytes);
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        struct zip z;
        struct err err = {0};
        struct span got;
        copy[bit / 8] ^= (char)(1 << bit % 8);
        AUTO_ARENA struct arena *a = arena_new();
        if (zip_open(&z, span_of(copy, bytes.len), &zip_default_limits, a, &err)) {
            ck_assert_uint_eq(z.count, made.count);
            for (size_t i = 0; i < z.count; i++)
                if (zip_read(&z.entries[i], a, &got, &err))
                    ck_assert(span_eq(got, made.entries[i].content) &&
                              span_eq_str(z.entries[i].name, made.entries[i].name));
        }
        copy[bit / 8] ^= (char)(1 << bit % 8);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("zip");
    TCase *tc = tcase_create("zip");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, entries_come_out_as_they_went_in);
    tcase_add_test(tc, an_empty_zip_has_no_entries);
    tcase_add_test(tc, peeking_gives_the_first_bytes);
    tcase_add_test(tc, names_without_the_utf8_flag_are_code_page_437);
    tcase_add_loop_test(tc, a_lie_is_refused, 0, COUNT(hostile));
    tcase_add_test(tc, data_shared_by_two_entries_is_refused);
    tcase_add_test(tc, limits_hold);
    tcase_add_test(tc, a_bomb_is_refused_before_anything_is_inflated);
    tcase_add_test(tc, wrong_content_fails_when_read);
    tcase_add_test(tc, every_cut_is_noticed);
    tcase_add_test(tc, a_flipped_bit_is_noticed_or_harmless);
    suite_add_tcase(s, tc);
    return s;
}
