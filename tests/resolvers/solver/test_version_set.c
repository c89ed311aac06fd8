/* SPDX-License-Identifier: Apache-2.0 */
/* The algebra of version sets, against sets of the letters a to h kept as bits. */
#include "resolvers/solver/version_set.h"
#include "tests/test_main.h"

static const char *const letters[] = {"a", "b", "c", "d", "e", "f", "g", "h"};

static unsigned bits_of(const struct version_set *s)
{
    unsigned bits = 0;
    for (size_t i = 0; i < COUNT(letters); i++)
        bits |= (unsigned)version_set_has(s, span_str(letters[i])) << i;
    return bits;
}

static const struct version_set *set_of(struct arena *a, unsigned bits)
{
    const struct version_set *s = version_set_none();
    for (size_t i = 0; i < COUNT(letters); i++)
        if (bits >> i & 1)
            s = version_set_union(a, s, version_set_one(a, span_str(letters[i])));
    return s;
}

START_TEST(operations_agree_with_bits)
{
    AUTO_ARENA struct arena *a = arena_new();
    for (unsigned x = 0; x < 256; x += 5) {
        for (unsigned y = 0; y < 256; y += 3) {
            const struct version_set *p = set_of(a, x), *q = set_of(a, y);
            const struct version_set *both = version_set_intersect(a, p, q);
            ck_assert_uint_eq(bits_of(version_set_union(a, p, q)), x | y);
            ck_assert_uint_eq(bits_of(both), x & y);
            ck_assert_uint_eq(bits_of(version_set_complement(a, p)), ~x & 255);
            ck_assert_int_eq(version_set_within(p, q), (x & ~y) == 0);
            ck_assert_int_eq(version_set_disjoint(p, q), (x & y) == 0);
            ck_assert_int_eq(version_set_eq(p, q), x == y);
            ck_assert(version_set_eq(both, version_set_intersect(a, q, p)));
            const struct version_set *twice =
                version_set_complement(a, version_set_complement(a, p));
            ck_assert(version_set_eq(twice, p));
        }
    }
}
END_TEST

START_TEST(everything_and_nothing)
{
    AUTO_ARENA struct arena *a = arena_new();
    const struct version_set *all = version_set_all(), *none = version_set_none();
    ck_assert(version_set_is_all(all) && !version_set_is_all(none));
    ck_assert(version_set_has(all, SPAN("")) && version_set_has(all, SPAN("\xff\xff")));
    ck_assert(version_set_eq(version_set_complement(a, all), none));
    ck_assert(version_set_eq(version_set_complement(a, none), all));
    ck_assert(version_set_within(none, none) && version_set_within(none, all));
    ck_assert(!version_set_within(all, none) && version_set_disjoint(none, all));
    ck_assert(version_set_range(a, SPAN("b"), SPAN("b"))->n == 0);
    ck_assert(version_set_range(a, SPAN("c"), SPAN("b"))->n == 0);
}
END_TEST

START_TEST(touching_ranges_become_one)
{
    AUTO_ARENA struct arena *a = arena_new();
    const struct version_set *s = version_set_union(a, version_set_range(a, SPAN("a"), SPAN("c")),
                                                    version_set_range(a, SPAN("c"), SPAN("d")));
    ck_assert_uint_eq(s->n, 1);
    s = version_set_union(a, version_set_before(a, SPAN("c")), version_set_from(a, SPAN("b")));
    ck_assert(version_set_is_all(s));
}
END_TEST

START_TEST(a_single_version_is_known_as_one)
{
    AUTO_ARENA struct arena *a = arena_new();
    ck_assert(span_eq(version_set_single(version_set_one(a, SPAN("k\0y"))), SPAN("k\0y")));
    ck_assert(version_set_single(version_set_one(a, SPAN(""))).ptr != NULL);
    ck_assert(version_set_single(version_set_from(a, SPAN("k"))).ptr == NULL);
    ck_assert(version_set_single(version_set_range(a, SPAN("k"), SPAN("k\1"))).ptr == NULL);
    ck_assert(version_set_single(version_set_all()).ptr == NULL);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("version_set");
    TCase *tc = tcase_create("version_set");
    tcase_add_test(tc, operations_agree_with_bits);
    tcase_add_test(tc, everything_and_nothing);
    tcase_add_test(tc, touching_ranges_become_one);
    tcase_add_test(tc, a_single_version_is_known_as_one);
    suite_add_tcase(s, tc);
    return s;
}
