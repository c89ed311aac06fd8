/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/credentials.h"

#include <string.h>

#include "base/mem.h"
#include "tests/test_main.h"

static const char netrc[] = "# a comment machine no.example.com\n"
                            "machine a.example.com login ann password s3cret\n"
                            "machine b.example.com\n  login bob # here too\n  password \"b b\"\n"
                            "macdef init\nmachine evil.example.com login x password y\n\n"
                            "machine c.example.com:8443 login c password d\n"
                            "default login any password any\n";

static struct credentials *make(void)
{
    struct credentials *c = credentials_new(NULL);
    credentials_add_netrc(c, span_str(netrc), "netrc");
    credentials_add_header(c, SPAN("//n.example.com/team/"), SPAN("Bearer team"), "npmrc");
    credentials_add_header(c, SPAN("//n.example.com/"), SPAN("Bearer all"), "npmrc");
    credentials_add_header(c, SPAN("//n.example.com:4873/"), SPAN("Bearer port"), "npmrc");
    credentials_add_header(c, SPAN("http://plain.example.com/x"), SPAN("Bearer plain"), "npmrc");
    credentials_add_header(c, SPAN("//a.example.com/own"), SPAN("Bearer own"), "npmrc");
    credentials_add_header(c, SPAN("//bad.example.com/"), SPAN("Bearer a\r\nX: y"), "npmrc");
    credentials_add_apt(c,
                        SPAN("machine apt.example.com/debian login deb password pw\n"
                             "machine http://aptplain.example.com login p password q\n"),
                        "auth.conf");
    credentials_allow_http(c, SPAN("http://allowed.example.com/"));
    credentials_allow_http(c, SPAN("http://apt.example.com/"));
    credentials_add_header(c, SPAN("//allowed.example.com/"), SPAN("Bearer allowed"), "npmrc");
    return c;
}

static const struct {
    const char *url, *header; /* NULL: none */
} cases[] = {
    {"https://a.example.com/simple/", "Basic YW5uOnMzY3JldA=="},
    {"https://A.EXAMPLE.COM/simple/", "Basic YW5uOnMzY3JldA=="},
    {"https://a.example.com:443/simple/", "Basic YW5uOnMzY3JldA=="},
    {"https://a.example.com:444/simple/", NULL},
    {"http://a.example.com/simple/", NULL},
    {"https://a.example.com/own/x", "Bearer own"},
    {"https://a.example.com/owner", "Basic YW5uOnMzY3JldA=="},
    {"https://a.example.com.evil.com/", NULL},
    {"https://evil.com/a.example.com/", NULL},
    {"https://a.example.com@evil.com/", NULL},
    {"https://evil.example.com/", NULL},
    {"https://no.example.com/", NULL},
    {"https://c.example.com:8443/", "Basic Yzpk"},
    {"https://c.example.com/", NULL},
    {"https://n.example.com/pkg", "Bearer all"},
    {"https://n.example.com/team/pkg", "Bearer team"},
    {"https://n.example.com/team?x=/", "Bearer team"},
    {"https://n.example.com/team/../pkg", "Bearer all"},
    {"https://n.example.com/team/%2e%2e/pkg", "Bearer all"},
    {"https://n.example.com:4873/pkg", "Bearer port"},
    {"http://plain.example.com/x/y", "Bearer plain"},
    {"https://plain.example.com/x/y", NULL},
    {"https://bad.example.com/", NULL},
    {"https://apt.example.com/debian/dists", "Basic ZGViOnB3"},
    {"https://apt.example.com/ubuntu", NULL},
    {"http://apt.example.com/debian/dists", NULL},
    {"http://aptplain.example.com/debian", "Basic cDpx"},
    {"http://allowed.example.com/", "Bearer allowed"},
    {"ftp://a.example.com/", NULL},
    {"", NULL},
};

START_TEST(a_secret_goes_to_its_own_place_alone)
{
    struct credentials *c = make();
    AUTO_BUF struct buf out = BUF(1024);
    bool found = credentials_lookup(c, cases[_i].url, &out);
    ck_assert_msg(found == (cases[_i].header != NULL), "%s: %s", cases[_i].url, buf_cstr(&out));
    ck_assert_int_eq(credentials_has(c, cases[_i].url), found);
    if (found)
        ck_assert_msg(strncmp(buf_cstr(&out), cases[_i].header, strlen(cases[_i].header)) == 0,
                      "%s: %s", cases[_i].url, buf_cstr(&out));
    credentials_free(c);
}
END_TEST

START_TEST(takes_the_user_out_of_an_address)
{
    struct credentials *c = credentials_new(NULL);
    AUTO_BUF struct buf url = BUF(1024), header = BUF(1024);
    credentials_strip_url(c, SPAN("https://user:p%40ss@x.example.com/repo/simple"), "pip.conf",
                          &url);
    ck_assert_str_eq(buf_cstr(&url), "https://x.example.com/repo/simple");
    ck_assert(credentials_lookup(c, "https://x.example.com/files/a.whl", &header));
    ck_assert_str_eq(buf_cstr(&header), "Basic dXNlcjpwQHNz");
    ck_assert_str_eq(credentials_from(c, "https://x.example.com/"), "pip.conf");
    ck_assert(!credentials_has(c, "http://x.example.com/repo/simple"));
    buf_reset(&url);
    credentials_strip_url(c, SPAN("https://plain.example.com/"), "pip.conf", &url);
    ck_assert_str_eq(buf_cstr(&url), "https://plain.example.com/");
    ck_assert(!credentials_has(c, "https://plain.example.com/"));
    credentials_free(c);
}
END_TEST

START_TEST(two_users_of_one_host_keep_their_folders)
{
    struct credentials *c = credentials_new(NULL);
    AUTO_BUF struct buf url = BUF(1024), one = BUF(256), two = BUF(256);
    credentials_strip_url(c, SPAN("https://a:1@x.example.com/one/simple/"), "pip.conf", &url);
    credentials_strip_url(c, SPAN("https://b:2@x.example.com/two/simple/"), "pip.conf", &url);
    ck_assert(credentials_lookup(c, "https://x.example.com/one/simple/p/", &one));
    ck_assert(credentials_lookup(c, "https://x.example.com/two/simple/p/", &two));
    ck_assert_str_ne(buf_cstr(&one), buf_cstr(&two));
    credentials_free(c);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("credentials");
    TCase *t = tcase_create("credentials");
    tcase_add_loop_test(t, a_secret_goes_to_its_own_place_alone, 0, COUNT(cases));
    tcase_add_test(t, takes_the_user_out_of_an_address);
    tcase_add_test(t, two_users_of_one_host_keep_their_folders);
    suite_add_tcase(s, t);
    return s;
}
