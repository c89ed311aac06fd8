/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>

#include "base/io.h"
#include "resolvers/npm/semver.h"
#include "tests/test_main.h"

#define VERSIONS_MAX 512

/* One line of fixtures/npm/semver.tsv (its maker is tests/differential/npm_semver_table.js). */
struct fields {
    struct span v[8];
};

static struct span unescaped(struct arena *a, struct span s)
{
    char *out = arena_alloc(a, s.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\\') {
            i++;
            out[n++] = s.ptr[i] == 't' ? '\t' : s.ptr[i] == 'n' ? '\n' : s.ptr[i];
        } else {
            out[n++] = s.ptr[i];
        }
    }
    return span_of(out, n);
}

static bool bit(struct span hex, size_t i)
{
    char c = hex.ptr[i / 4];
    int digit = c <= '9' ? c - '0' : c - 'a' + 10;
    return digit >> (3 - i % 4) & 1;
}

static const char *version_form(struct arena *a, struct span text, unsigned flags)
{
    struct semver v;
    AUTO_BUF struct buf out = BUF(1024);
    if (!semver_parse(text, flags, &v))
        return "-";
    semver_format(&v, &out);
    return arena_str(a, buf_span(&out));
}

static const char *range_form(struct arena *a, const struct semver_range *r)
{
    AUTO_BUF struct buf out = BUF(64 << 10);
    if (!r)
        return "-";
    semver_range_format(r, &out);
    return arena_str(a, buf_span(&out));
}

static void check_form(struct span text, const char *mode, const char *got, struct span want)
{
    ck_assert_msg(span_eq_str(want, got), "\"%.*s\" (%s): %s, npm says %.*s", SPAN_ARG(text), mode,
                  got, SPAN_ARG(want));
}

static size_t check_range(struct arena *a, const struct fields *f, const struct span *versions,
                          size_t n)
{
    static const char *const modes[] = {"strict", "loose", "pre-releases"};
    static const unsigned flags[] = {SEMVER_STRICT, SEMVER_LOOSE, SEMVER_PRERELEASES};
    struct span text = unescaped(a, f->v[1]);
    for (size_t m = 0; m < COUNT(modes); m++) {
        struct semver_range *r = semver_range_parse(a, text, flags[m]);
        check_form(text, modes[m], range_form(a, r), f->v[2 + m]);
        for (size_t i = 0; i < n; i++) {
            struct semver v;
            bool got = r && semver_parse(versions[i], flags[m], &v) && semver_range_test(r, &v);
            ck_assert_msg(got == bit(f->v[5 + m], i), "\"%.*s\" in \"%.*s\" (%s): %d",
                          SPAN_ARG(versions[i]), SPAN_ARG(text), modes[m], got);
        }
    }
    return COUNT(modes) * n;
}

static int sign(int n)
{
    return (n > 0) - (n < 0);
}

START_TEST(agrees_with_npm_on_every_version_and_range_of_the_table)
{
    AUTO_ARENA struct arena *a = arena_new();
    AUTO_BUF struct buf table = BUF(4 << 20);
    struct err err = {0};
    struct span versions[VERSIONS_MAX], rest, line;
    uint64_t ranks[VERSIONS_MAX];
    bool loose[VERSIONS_MAX];
    size_t n = 0, pairs = 0;
    ck_assert(io_read_file(AT_FDCWD, STRATA_FIXTURES "/npm/semver.tsv", &table, &err));
    rest = buf_span(&table);
    while (span_next_line(&rest, &line)) {
        struct fields f = {0};
        for (size_t i = 0; i < COUNT(f.v); i++)
            span_next(&line, '\t', &f.v[i]);
        if (span_eq(f.v[0], SPAN("r"))) {
            pairs += check_range(a, &f, versions, n);
            continue;
        }
        ck_assert(n < VERSIONS_MAX);
        versions[n] = unescaped(a, f.v[1]);
        check_form(versions[n], "strict", version_form(a, versions[n], SEMVER_STRICT), f.v[2]);
        check_form(versions[n], "loose", version_form(a, versions[n], SEMVER_LOOSE), f.v[3]);
        loose[n] = !span_eq(f.v[3], SPAN("-"));
        ck_assert(span_to_u64(f.v[4], &ranks[n]));
        n++;
    }
    ck_assert_uint_gt(pairs, 10000);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++) {
            struct semver v, w;
            if (!loose[i] || !loose[k])
                continue;
            ck_assert(semver_parse(versions[i], SEMVER_LOOSE, &v));
            ck_assert(semver_parse(versions[k], SEMVER_LOOSE, &w));
            int want = (ranks[i] > ranks[k]) - (ranks[i] < ranks[k]);
            ck_assert_msg(sign(semver_cmp(&v, &w)) == want, "%.*s against %.*s",
                          SPAN_ARG(versions[i]), SPAN_ARG(versions[k]));
        }
    }
}
END_TEST

START_TEST(refuses_what_is_too_long)
{
    AUTO_ARENA struct arena *a = arena_new();
    char *text = arena_alloc(a, 70000);
    struct semver v;
    memset(text, '1', 70000);
    ck_assert(!semver_parse(span_of(text, 70000), SEMVER_LOOSE, &v));
    ck_assert_ptr_null(semver_range_parse(a, span_of(text, 70000), SEMVER_LOOSE));
    memset(text, '|', 70000);
    ck_assert_ptr_null(semver_range_parse(a, span_of(text, 70000), SEMVER_LOOSE));
}
END_TEST

START_TEST(knows_which_ranges_have_no_upper_bound)
{
    static const struct {
        const char *range;
        bool open;
    } cases[] = {{"*", true},       {"", true},          {">=1", true},    {"^1 || >=3", true},
                 {">1 >2", true},   {"^1", false},       {"1 - 2", false}, {"1.2.3", false},
                 {">=1 <3", false}, {"^1 || ^2", false}, {"<5", false},    {"x", true}};
    AUTO_ARENA struct arena *a = arena_new();
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct semver_range *r = semver_range_parse(a, span_str(cases[i].range), SEMVER_LOOSE);
        ck_assert_msg(r && semver_range_open(r) == cases[i].open, "%s", cases[i].range);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("npm_semver");
    TCase *tc = tcase_create("semver");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, agrees_with_npm_on_every_version_and_range_of_the_table);
    tcase_add_test(tc, refuses_what_is_too_long);
    tcase_add_test(tc, knows_which_ranges_have_no_upper_bound);
    suite_add_tcase(s, tc);
    return s;
}
