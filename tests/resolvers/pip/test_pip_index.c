/* SPDX-License-Identifier: Apache-2.0 */
/* Index pages, wheel names and tags, core metadata. */
#include "resolvers/pip/index.h"
#include "resolvers/pip/metadata.h"
#include "tests/resolvers/pip/pip_world.h"
#include "tests/test_main.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char json_page[] =
    "{\"meta\":{\"api-version\":\"1.1\"},\"name\":\"demo\",\"files\":["
    "{\"filename\":\"demo-1.0-py3-none-any.whl\",\"url\":\"../f/demo-1.0-py3-none-any.whl\","
    "\"hashes\":{\"md5\":\"x\",\"sha256\":\"" HEX "\"},\"requires-python\":\">=3.8\",\"size\":123,"
    "\"upload-time\":\"2024-02-29T23:59:59.250Z\",\"yanked\":\"bad \\u00fc\",\"core-metadata\":"
    "{\"sha256\":\"" HEX "\"}},"
    "{\"filename\":\"Demo-1.1.tar.gz\",\"url\":\"https://f.example.com/Demo-1.1.tar.gz#x\","
    "\"hashes\":{},\"requires-python\":null,\"yanked\":false,\"dist-info-metadata\":true},"
    "{\"filename\":\"demo-1.1-py2.7.egg\",\"url\":\"x\",\"hashes\":{}},"
    "{\"filename\":\"demo-x-py3-none-any.whl\",\"url\":\"x\"},"
    "{\"filename\":\"../demo-9-py3-none-any.whl\",\"url\":\"x\"},"
    "{\"filename\":7,\"url\":\"x\"},{\"url\":\"x\"},{\"filename\":\"demo-2.0-py3-none-any.whl\"},"
    "\"text\",{\"filename\":\"demo-3.tar.gz\",\"url\":\"u\",\"hashes\":[1],\"size\":\"big\","
    "\"yanked\":{},"
    "\"requires-python\":3}]}";

static const char html_page[] =
    "<!DOCTYPE html><html><head><meta name='x:repository-version' content='1.3'>"
    "<base href=\"https://f.example.com/base/\"><!-- <a href='demo-7.tar.gz'> --></head><body>"
    "<a href=\"demo-1.0-py3-none-any.whl#sha256=" HEX "\" data-requires-python=\"&gt;=3.8,&lt;4\" "
    "data-yanked=\"a &amp; b\" data-core-metadata='sha256=" HEX "'>x</a>\n"
    "<A HREF=demo-1.1%2Bcpu-py3-none-any.whl data-yanked>x</A>"
    "<a class=x>no href</a><a href='https://f.example.com/other/demo-2.zip?k=v#egg=x'>x</a>"
    "<a href='demo-3.exe'>x</a>";

START_TEST(a_json_page_gives_its_files)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct pip_page page;
    struct digest d;
    ck_assert(pip_page_parse(&page, span_str(json_page), "application/vnd.pypi.simple.v1+json",
                             SPAN("demo"), a, NULL));
    ck_assert_uint_eq(page.files.n, 3);
    ck_assert_uint_eq(page.dropped, 7);
    const struct pip_file *f = &page.files.v[0];
    ck_assert(f->wheel && f->yanked && f->size == 123 && f->metadata == PIP_METADATA_HASHED);
    ck_assert(span_eq(f->yanked_reason, SPAN("bad \xc3\xbc")));
    ck_assert(span_eq(f->requires_python, SPAN(">=3.8")) && pip_file_digest(f, &d));
    ck_assert_int_eq(pip_file_upload_ms(f), 1709251199250);
    ck_assert_str_eq(f->version.text.ptr, "1.0");
    f = &page.files.v[1];
    ck_assert(!f->wheel && !f->yanked && f->size == -1 && f->metadata == PIP_METADATA_YES);
    ck_assert(!pip_file_digest(f, &d) && pip_file_upload_ms(f) == PIP_UPLOAD_UNKNOWN);
    ck_assert(span_eq(f->url, SPAN("https://f.example.com/Demo-1.1.tar.gz")));
    ck_assert(!page.files.v[2].yanked && page.files.v[2].size == -1);
    pip_page_release(&page);
}
END_TEST

START_TEST(an_html_page_gives_its_files)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct pip_page page;
    struct digest d;
    ck_assert(pip_page_parse(&page, span_str(html_page), "text/html", SPAN("demo"), a, NULL));
    ck_assert_uint_eq(page.files.n, 3);
    ck_assert(span_eq(page.base, SPAN("https://f.example.com/base/")));
    const struct pip_file *f = &page.files.v[0];
    ck_assert(span_eq(f->requires_python, SPAN(">=3.8,<4")) && pip_file_digest(f, &d));
    ck_assert(f->yanked && span_eq(f->yanked_reason, SPAN("a & b")));
    ck_assert_int_eq(f->metadata, PIP_METADATA_HASHED);
    f = &page.files.v[1];
    ck_assert(f->yanked && span_eq(f->filename, SPAN("demo-1.1+cpu-py3-none-any.whl")));
    ck_assert_str_eq(f->version.text.ptr, "1.1+cpu");
    ck_assert_str_eq(page.files.v[2].version.text.ptr, "2");
    pip_page_release(&page);
}
END_TEST

START_TEST(broken_pages_are_refused_and_every_cut_of_a_page_is_survived)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct pip_page page;
    for (size_t n = 0; n < sizeof(json_page) - 2; n++) {
        struct err err = {0};
        ck_assert(!pip_page_parse(&page, span_of(json_page, n), "application/json", SPAN("demo"), a,
                                  &err));
        ck_assert_int_eq(err.code, ERR_BAD_ARCHIVE);
    }
    for (size_t n = 0; n < sizeof(html_page); n++)
        if (pip_page_parse(&page, span_of(html_page, n), "text/html", SPAN("demo"), a, NULL))
            pip_page_release(&page);
    ck_assert(!pip_page_parse(&page, SPAN("404"), NULL, SPAN("demo"), a, NULL));
    ck_assert(!pip_page_parse(&page, SPAN("<meta name='p:repository-version' content='2.0'>"), NULL,
                              SPAN("demo"), a, NULL));
}
END_TEST

START_TEST(names_of_sdists_are_taken_apart_in_any_spelling)
{
    static const struct {
        const char *filename, *project, *version;
    } names[] = {{"zope.interface-5.0.tar.gz", "zope-interface", "5.0"},
                 {"zope-interface-5.0.zip", "zope-interface", "5.0"},
                 {"zope_interface-5.0.tar.bz2", "zope-interface", "5.0"},
                 {"Django-4.2.12.tar.gz", "django", "4.2.12"},
                 {"a-b-1.0-1.tar.gz", "a-b", "1.0.post1"},
                 {"a-1.tgz", "a", "1"},
                 {"a-b-1.tar.gz", "a", NULL},
                 {"a-1.exe", "a", NULL},
                 {"a.tar.gz", "a", NULL},
                 {"a-1.0-py3-none-any.whl", "b", NULL}};
    AUTO_ARENA struct arena *a = arena_new();
    for (size_t i = 0; i < COUNT(names); i++) {
        struct pip_file f = {.filename = span_str(names[i].filename)};
        bool ok = pip_file_name(&f, span_str(names[i].project), a);
        ck_assert_msg(ok == (names[i].version != NULL), "%s", names[i].filename);
        if (ok)
            ck_assert_str_eq(f.version.text.ptr, names[i].version);
    }
}
END_TEST

START_TEST(wheel_names_are_checked)
{
    static const char *const good[] = {
        "a-1-py3-none-any.whl", "a_b-1.0-2build-cp311-abi3-linux_x86_64.whl",
        "a-1-py2.py3-none-manylinux1_x86_64.manylinux2010_x86_64.whl"};
    static const char *const bad[] = {"a-1-py3-none.whl",         "a-1-x-py3-none-any.whl",
                                      "a-1-1-2-py3-none-any.whl", "a__b-1-py3-none-any.whl",
                                      "-1-py3-none-any.whl",      "a-1-py3..-none-any.whl",
                                      "a-1-py3-none-any.zip",     "a-1-py3-none-any\xc3.whl"};
    struct pip_wheel_name n;
    for (size_t i = 0; i < COUNT(good); i++)
        ck_assert_msg(pip_wheel_name_parse(span_str(good[i]), &n), "%s", good[i]);
    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert_msg(!pip_wheel_name_parse(span_str(bad[i]), &n), "%s", bad[i]);
}
END_TEST

static uint32_t rank(const struct pip_tags *t, const char *tags)
{
    AUTO_FREE char *name = mem_printf("a-1-%s.whl", tags);
    struct pip_wheel_name n;
    ck_assert(pip_wheel_name_parse(span_str(name), &n));
    return pip_wheel_rank(t, &n);
}

START_TEST(tags_are_pips_in_number_and_order)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct platform *p = world_platform();
    struct pip_tags t;
    static const char *const order[] = {"cp311-cp311-manylinux_2_36_x86_64",
                                        "cp311-cp311-manylinux_2_17_x86_64",
                                        "cp311-cp311-manylinux2014_x86_64",
                                        "cp311-cp311-manylinux_2_5_x86_64",
                                        "cp311-cp311-manylinux1_x86_64",
                                        "cp311-cp311-linux_x86_64",
                                        "cp311-abi3-linux_x86_64",
                                        "cp311-none-manylinux1_x86_64",
                                        "cp310-abi3-manylinux_2_36_x86_64",
                                        "cp32-abi3-linux_x86_64",
                                        "py311-none-linux_x86_64",
                                        "py3-none-linux_x86_64",
                                        "py310-none-linux_x86_64",
                                        "py30-none-linux_x86_64",
                                        "cp311-none-any",
                                        "py311-none-any",
                                        "py3-none-any",
                                        "py310-none-any",
                                        "py30-none-any"};
    ck_assert(pip_tags_init(&t, p, a, NULL));
    ck_assert_uint_eq(t.ranks.n, 914);
    for (size_t i = 1; i < COUNT(order); i++)
        ck_assert_msg(rank(&t, order[i - 1]) < rank(&t, order[i]), "%s", order[i]);
    ck_assert_uint_eq(rank(&t, order[COUNT(order) - 1]), 913);
    ck_assert_uint_eq(rank(&t, "cp311-cp311-manylinux_2_37_x86_64"), PIP_NO_RANK);
    ck_assert_uint_eq(rank(&t, "cp312-cp312-linux_x86_64"), PIP_NO_RANK);
    ck_assert_uint_eq(rank(&t, "cp310-cp310-linux_x86_64"), PIP_NO_RANK);
    ck_assert_uint_eq(rank(&t, "py2-none-any"), PIP_NO_RANK);
    ck_assert_uint_eq(rank(&t, "py2.py3-none-any"), rank(&t, "py3-none-any"));
    ck_assert_uint_eq(rank(&t, "CP311-CP311-Linux_x86_64"), rank(&t, "cp311-cp311-linux_x86_64"));
    pip_tags_release(&t);
    platform_free(p);
}
END_TEST

START_TEST(other_platforms_have_other_tags)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct pip_tags t;
    struct platform arm = {.os = "linux",
                           .arch = "aarch64",
                           .libc = "glibc",
                           .libc_version = "2.17",
                           .python = "3.13",
                           .python_impl = "cpython"};
    ck_assert(pip_tags_init(&t, &arm, a, NULL));
    ck_assert_uint_lt(rank(&t, "cp313-cp313-manylinux2014_aarch64"), PIP_NO_RANK);
    ck_assert_uint_eq(rank(&t, "cp313-cp313-manylinux_2_12_aarch64"), PIP_NO_RANK);
    ck_assert_uint_eq(rank(&t, "cp313-cp313-manylinux2014_x86_64"), PIP_NO_RANK);
    pip_tags_release(&t);
    struct platform musl = {.os = "linux",
                            .arch = "x86_64",
                            .libc = "musl",
                            .libc_version = "1.2.3",
                            .python = "3.7",
                            .python_impl = "cpython"};
    ck_assert(pip_tags_init(&t, &musl, a, NULL));
    ck_assert_uint_lt(rank(&t, "cp37-cp37m-musllinux_1_1_x86_64"), PIP_NO_RANK);
    ck_assert_uint_eq(rank(&t, "cp37-cp37m-manylinux1_x86_64"), PIP_NO_RANK);
    pip_tags_release(&t);
    static const struct platform bad[] = {
        {.os = "linux", .arch = "x86_64", .libc_version = "2.36", .python = ""},
        {.os = "linux", .arch = "x86_64", .libc_version = "2.36", .python = "2.7"},
        {.os = "linux", .arch = "x86_64", .libc_version = "?", .python = "3.11"},
        {.os = "darwin", .arch = "x86_64", .libc_version = "2.36", .python = "3.11"},
        {.os = "linux",
         .arch = "x86_64",
         .libc_version = "2.36",
         .python = "3.11",
         .python_impl = "pypy"}};
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct err err = {0};
        ck_assert(!pip_tags_init(&t, &bad[i], a, &err));
        ck_assert_int_eq(err.code, ERR_PLATFORM);
        pip_tags_release(&t);
    }
}
END_TEST

START_TEST(metadata_headers_are_read)
{
    static const char text[] = "Metadata-Version: 2.1\r\nNAME: Demo.Pkg\r\nVersion: 1.0\r\n"
                               "License: long\r\n        text: of it\r\nRequires-Dist: b (>=1)\r\n"
                               "Requires-Dist: c ;\r\n extra == 'X_y'\r\nProvides-Extra: X_y\r\n"
                               "Requires-Python: >=3.8\r\n\r\nRequires-Dist: not-this\r\n";
    AUTO_ARENA struct arena *a = arena_new();
    struct pip_metadata m;
    struct pip_version v;
    ck_assert(pip_metadata_parse(span_str(text), a, &m, NULL));
    ck_assert_uint_eq(m.require_count, 2);
    ck_assert(span_eq(m.requires[1].name, SPAN("c")) && m.requires[1].marker);
    ck_assert(m.extra_count == 1 && span_eq(m.extras[0], SPAN("x-y")));
    ck_assert(span_eq(m.requires_python, SPAN(">=3.8")) && !pip_metadata_static(&m));
    ck_assert(pip_version_parse(SPAN("1.0.0"), a, &v) && pip_metadata_is(&m, SPAN("demo-pkg"), &v));
    ck_assert(!pip_metadata_is(&m, SPAN("demo"), &v));
    for (size_t n = 0; n < sizeof(text); n++)
        pip_metadata_parse(span_of(text, n), a, &m, NULL);
}
END_TEST

START_TEST(only_new_and_fixed_metadata_is_static)
{
    static const struct {
        const char *text;
        bool is_static;
    } texts[] = {{"Metadata-Version: 2.1\nName: a\nVersion: 1\n", false},
                 {"Metadata-Version: 2.2\nName: a\nVersion: 1\n", true},
                 {"Metadata-Version: 2.10\nName: a\nVersion: 1\n", true},
                 {"Metadata-Version: 2.4\nName: a\nVersion: 1\nDynamic: license\n", true},
                 {"Metadata-Version: 2.4\nName: a\nVersion: 1\nDynamic: requires-dist\n", false},
                 {"Metadata-Version: 2.4\nName: a\nVersion: 1\nDynamic: Requires-Python\n", false},
                 {"Metadata-Version: x\nName: a\nVersion: 1\n", false}};
    AUTO_ARENA struct arena *a = arena_new();
    struct pip_metadata m;
    for (size_t i = 0; i < COUNT(texts); i++) {
        ck_assert(pip_metadata_parse(span_str(texts[i].text), a, &m, NULL));
        ck_assert_msg(pip_metadata_static(&m) == texts[i].is_static, "%s", texts[i].text);
    }
}
END_TEST

START_TEST(times_are_read)
{
    int64_t ms;
    ck_assert(pip_time_parse(SPAN("1970-01-01T00:00:00Z"), &ms) && ms == 0);
    ck_assert(pip_time_parse(SPAN("2024-02-29T12:00:00.5Z"), &ms) && ms == 1709208000500);
    ck_assert(pip_time_parse(SPAN("2000-03-01T00:00:00.123456Z"), &ms) && ms == 951868800123);
    ck_assert(pip_time_parse(SPAN("2024-02-29T12:00:00+02:00"), &ms) && ms == 1709200800000);
    ck_assert(!pip_time_parse(SPAN("2024-02-29"), &ms) && !pip_time_parse(SPAN(""), &ms));
    ck_assert(!pip_time_parse(SPAN("2024-13-29T12:00:00Z"), &ms));
    ck_assert(!pip_time_parse(SPAN("2024-02-29T12:00:00X"), &ms));
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("pip_index");
    TCase *tc = tcase_create("pip_index");
    tcase_add_test(tc, a_json_page_gives_its_files);
    tcase_add_test(tc, an_html_page_gives_its_files);
    tcase_add_test(tc, broken_pages_are_refused_and_every_cut_of_a_page_is_survived);
    tcase_add_test(tc, names_of_sdists_are_taken_apart_in_any_spelling);
    tcase_add_test(tc, wheel_names_are_checked);
    tcase_add_test(tc, tags_are_pips_in_number_and_order);
    tcase_add_test(tc, other_platforms_have_other_tags);
    tcase_add_test(tc, metadata_headers_are_read);
    tcase_add_test(tc, only_new_and_fixed_metadata_is_static);
    tcase_add_test(tc, times_are_read);
    suite_add_tcase(s, tc);
    return s;
}
