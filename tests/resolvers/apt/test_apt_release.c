/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/apt/release.h"

#include "tests/test_main.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

START_TEST(a_release_is_read)
{
    struct apt_release *r = NULL;
    struct err err = {0};
    ck_assert_msg(apt_release_parse(SPAN("Origin: Some where\nSuite: stable\nCodename: book\n"
                                         "Date: Sat, 15 Nov 2025 10:04:52 UTC\n"
                                         "Valid-Until: Sat, 22 Nov 2025 10:04:52 UTC\n"
                                         "Acquire-By-Hash: yes\nNotAutomatic: yes\n"
                                         "MD5Sum:\n 00 1 main/x\n"
                                         "SHA256:\n " HEX "   120 main/binary-amd64/Packages\n"
                                         " " HEX " 7 main/binary-amd64/Packages.xz\n"),
                                    &r, &err),
                  "%s", err.text);
    ck_assert(span_eq(r->origin, SPAN("Some where")) && span_eq(r->codename, SPAN("book")));
    ck_assert(r->by_hash && r->not_automatic && !r->but_automatic_upgrades);
    ck_assert_int_eq(apt_release_pin(r), 1);
    ck_assert_int_eq(r->valid_until_ms - r->date_ms, 7 * 86400000LL);
    ck_assert_uint_eq(r->files.n, 2);
    ck_assert_uint_eq(apt_release_file(r, "main/binary-amd64/Packages")->size, 120);
    ck_assert(apt_release_file(r, "main/x") == NULL);
    apt_release_free(r);
}
END_TEST

START_TEST(paths_that_lead_out_and_bad_sums_are_passed_over)
{
    struct apt_release *r = NULL;
    struct err err = {0};
    ck_assert(
        apt_release_parse(SPAN("SHA256:\n " HEX " 1 ../../etc/passwd\n " HEX " 1 /etc\n "
                               "12 1 short\n " HEX " -1 minus\n " HEX " 1\n " HEX " 1 good\n"),
                          &r, &err));
    ck_assert_uint_eq(r->files.n, 1);
    ck_assert(apt_release_file(r, "good"));
    apt_release_free(r);
    ck_assert(!apt_release_parse(SPAN("SHA256:\n " HEX " 1 ../x\n"), &r, &err));
    ck_assert_int_eq(err.code, ERR_BAD_ARCHIVE);
    ck_assert(!apt_release_parse(SPAN(""), &r, &err));
}
END_TEST

START_TEST(only_the_first_stanza_counts)
{
    struct apt_release *r = NULL;
    struct err err = {0};
    ck_assert(apt_release_parse(SPAN("Suite: a\nSHA256:\n " HEX " 1 good\n\n"
                                     "Suite: b\nSHA256:\n " HEX " 1 evil\n"),
                                &r, &err));
    ck_assert(span_eq(r->suite, SPAN("a")) && !apt_release_file(r, "evil"));
    apt_release_free(r);
}
END_TEST

START_TEST(dates_are_understood_or_nothing)
{
    ck_assert_int_eq(apt_date_ms(SPAN("Thu, 01 Jan 1970 00:00:10 UTC")), 10000);
    ck_assert_int_eq(apt_date_ms(SPAN("Thu,  1 Jan 1970 00:00:10 +0000")), 10000);
    ck_assert_int_eq(apt_date_ms(SPAN("Sat, 15 Nov 2025 10:04:52 GMT")), 1763201092000);
    ck_assert_int_eq(apt_date_ms(SPAN("Sat, 15 Nov 2025 10:04:52 +0200")), 0);
    ck_assert_int_eq(apt_date_ms(SPAN("2025-11-15")), 0);
    ck_assert_int_eq(apt_date_ms(SPAN("")), 0);
}
END_TEST

START_TEST(armour_comes_off)
{
    AUTO_BUF struct buf out = BUF(1 << 16);
    ck_assert(apt_dearmour(SPAN("-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: x\n\naGVs\nbG8=\n"
                                "=njUN\n-----END PGP PUBLIC KEY BLOCK-----\n"),
                           &out));
    ck_assert(span_eq(buf_span(&out), SPAN("hello")));
    buf_reset(&out);
    /* As in a deb822 field: a dot for the empty line, each line indented; and two blocks. */
    ck_assert(apt_dearmour(SPAN(" -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n aGVsbG8=\n"
                                " -----END PGP PUBLIC KEY BLOCK-----\n"
                                " -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n aGVsbG8=\n"
                                " -----END PGP PUBLIC KEY BLOCK-----\n"),
                           &out));
    ck_assert(span_eq(buf_span(&out), SPAN("hellohello")));
    buf_reset(&out);
    ck_assert(!apt_dearmour(SPAN("\x99\x01\x0d binary"), &out));
    ck_assert(!apt_dearmour(SPAN("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\naGVsbG8="), &out));
    ck_assert(!apt_dearmour(SPAN("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!!!\n"
                                 "-----END PGP PUBLIC KEY BLOCK-----\n"),
                            &out));
}
END_TEST

START_TEST(what_is_not_signed_or_has_no_keys_is_refused)
{
    static const char *const none[] = {"not a path"};
    AUTO_BUF struct buf out = BUF(1 << 16);
    struct err err = {0};
    struct span text = SPAN("-----BEGIN PGP SIGNED MESSAGE-----\n\nSuite: x\n");
    ck_assert(!apt_release_verify(SPAN("Suite: x\n"), none, 1, &out, &err));
    ck_assert_int_eq(err.code, ERR_SIGNATURE);
    ck_assert(!apt_release_verify(text, none, 0, &out, &err));
    ck_assert_int_eq(err.code, ERR_SIGNATURE);
    ck_assert(!apt_release_verify(text, none, 1, &out, &err));
    ck_assert_int_eq(err.code, ERR_SIGNATURE);
    ck_assert_uint_eq(out.len, 0);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("apt_release");
    TCase *tc = tcase_create("release");
    tcase_add_test(tc, a_release_is_read);
    tcase_add_test(tc, paths_that_lead_out_and_bad_sums_are_passed_over);
    tcase_add_test(tc, only_the_first_stanza_counts);
    tcase_add_test(tc, dates_are_understood_or_nothing);
    tcase_add_test(tc, armour_comes_off);
    tcase_add_test(tc, what_is_not_signed_or_has_no_keys_is_refused);
    suite_add_tcase(s, tc);
    return s;
}
