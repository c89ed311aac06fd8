/* SPDX-License-Identifier: Apache-2.0 */
#include "base/io.h"
#include "tests/test_main.h"
#include "worker/apt_layer/keystore.h"

/* "b" of 2 ms and "a" of 1 ms, as Java writes them. */
static const struct span two =
    SPAN_INIT("\xfe\xed\xfe\xed\x00\x00\x00\x02\x00\x00\x00\x02\x00\x00\x00\x02\x00\x01\x62\x00"
              "\x00\x00\x00\x00\x00\x00\x02\x00\x05\x58\x2e\x35\x30\x39\x00\x00\x00\x04\x63\x65"
              "\x72\x74\x00\x00\x00\x02\x00\x01\x61\x00\x00\x00\x00\x00\x00\x00\x01\x00\x05\x58"
              "\x2e\x35\x30\x39\x00\x00\x00\x05\x6f\x74\x68\x65\x72\x1d\x25\x49\x9b\x17\x83\x5c"
              "\xf9\x41\xfe\x99\x76\x4d\x33\x53\xce\x0b\xd9\xd7\x9e");

START_TEST(order_and_times_are_the_same_for_the_same_certificates)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct span out, again;
    ck_assert(keystore_normalise(two, 10, a, &out) && out.len == two.len);
    ck_assert(memcmp(out.ptr + 16, "\0\1a\0\0\0\0\0\0\x27\x10", 11) == 0);
    ck_assert(keystore_normalise(out, 10, a, &again) && span_eq(out, again));
}
END_TEST

START_TEST(what_is_cut_or_altered_stays_as_it_is)
{
    AUTO_ARENA struct arena *a = arena_new();
    char copy[512];
    struct span out;
    for (size_t cut = 0; cut < two.len; cut++)
        ck_assert(!keystore_normalise(span_slice(two, 0, cut), 10, a, &out));
    for (size_t i = 0; i < two.len; i++) {
        memcpy(copy, two.ptr, two.len);
        copy[i] ^= 1;
        ck_assert(!keystore_normalise(span_of(copy, two.len), 10, a, &out));
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("apt_keystore");
    TCase *tc = tcase_create("keystore");
    tcase_add_test(tc, order_and_times_are_the_same_for_the_same_certificates);
    tcase_add_test(tc, what_is_cut_or_altered_stays_as_it_is);
    suite_add_tcase(s, tc);
    return s;
}
