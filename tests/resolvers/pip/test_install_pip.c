/* SPDX-License-Identifier: Apache-2.0 */
/* Wheels become plans: what is where, with which mode, and what is refused. */
#include "resolvers/pip/install.h"

#include <stdio.h>
#include <string.h>

#include "tests/resolvers/archive/make_archive.h"
#include "tests/resolvers/archive/plan_text.h"
#include "tests/test_main.h"

#define SITE PIP_VENV "/lib/python3.11/site-packages/"

static struct arena *arena;
static struct made_zip made;
static struct segment_plan plan;
static struct err err;
static json_t *package;
static const struct platform platform = {.python = "3.11",
                                         .python_full = "3.11.2",
                                         .python_program = "/usr/bin/python3.11",
                                         .python_impl = "cpython"};

static void setup(void)
{
    arena = arena_new();
    made = (struct made_zip){.arena = arena};
    segment_plan_init(&plan);
    err_clear(&err);
    package = json_pack("{s:s, s:s, s:s, s:s}", "name", "a-b", "version", "1.0", "filename",
                        "a_b-1.0-py3-none-any.whl", "digest", "sha256:00");
}

static void teardown(void)
{
    segment_plan_release(&plan);
    json_decref(package);
    arena_free(arena);
}

/* What every wheel has. */
static void add_info(const char *folder)
{
    made_zip_add(&made, arena_printf(arena, "%s/METADATA", folder),
                 "Metadata-Version: 2.1\nName: A.b\nVersion: 1.0\n\nName: other\n");
    made_zip_add(&made, arena_printf(arena, "%s/WHEEL", folder),
                 "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n");
    made_zip_add(&made, arena_printf(arena, "%s/RECORD", folder), "");
}

static struct made_entry *entry_named(const char *end)
{
    for (size_t i = 0; i < made.count; i++)
        if (span_ends(span_str(made.entries[i].name), span_str(end)))
            return &made.entries[i];
    ck_abort_msg("no %s", end);
    return NULL;
}

static bool fill_with(const char *kind)
{
    const struct install_context c = {.platform = &platform};
    const struct install_unit unit = {.name = "a-b", .kind = kind, .package = package};
    const struct io_map map = {.bytes = made_zip_bytes(&made)};
    return pip_fill(&c, &unit, &map, &plan, &err);
}

static bool fill(void)
{
    return fill_with("wheel");
}

static const char *content(const char *path)
{
    struct span s = plan_content(&plan, path, arena);
    return s.ptr ? arena_str(arena, s) : NULL;
}

START_TEST(a_wheel_becomes_a_tree_in_site_packages)
{
    made_zip_add(&made, "a_b/__init__.py", "x = 1\n");
    made_zip_add(&made, "a_b/tool", "#!/bin/sh\n")->mode = 0100711;
    made_zip_add(&made, "a_b/", "");
    made_zip_add(&made, "a_b/data,1 \"x\".txt", "stored")->stored = true;
    made_zip_add(&made, "a_b.pth", "import a_b\n");
    add_info("a_b-1.0.dist-info");
    ck_assert_msg(fill(), "%s", err.text);
    ck_assert_str_eq(plan_listing(&plan, SITE, arena),
                     "644 a_b-1.0.dist-info/INSTALLER\n644 a_b-1.0.dist-info/METADATA\n"
                     "644 a_b-1.0.dist-info/RECORD\n644 a_b-1.0.dist-info/WHEEL\n644 a_b.pth\n"
                     "644 a_b/__init__.py\n644 a_b/data,1 \"x\".txt\n755 a_b/tool\n");
    ck_assert_str_eq(content(SITE "a_b/__init__.py"), "x = 1\n");
    ck_assert_str_eq(content(SITE "a_b-1.0.dist-info/INSTALLER"), "strata\n");
    ck_assert_str_eq(
        content(SITE "a_b-1.0.dist-info/RECORD"),
        "a_b-1.0.dist-info/INSTALLER,sha256=LfoLqwjn6IHFPTZZtLRVe73TZm8HE7sjWYJS8f9Lwd8,7\n"
        "a_b-1.0.dist-info/METADATA,sha256=h0RvdTboO1AgYWnFv6rJUgSFO9eyqCc5FMjcbZa1YOk,58\n"
        "a_b-1.0.dist-info/RECORD,,\n"
        "a_b-1.0.dist-info/WHEEL,sha256=GOJWfGKy_s7ZRMtmrMyJFvIHxzo0gLZVhGWWyTqB6uo,75\n"
        "a_b.pth,sha256=ir7RJlnxC_FXdMwpEESx38bYV_x-g46cBEmiTL_v1Io,11\n"
        "a_b/__init__.py,sha256=nia_NpkRxFwkPGhBR7I_yeHc_PJX0pmhxjIBam_NM_Q,6\n"
        "\"a_b/data,1 \"\"x\"\".txt\",sha256=h7BOWJYfmpnYU9QEagtbeT58Pku9IfWsqPsXwgzbHYs,6\n"
        "a_b/tool,sha256=qAdtPSjSHgIBKyDq99v3VAmmJ3E0Q5Al8oLjaOMwWr8,10\n");
}
END_TEST

START_TEST(schemes_of_data_have_their_places)
{
    made_zip_add(&made, "a_b-1.0.data/purelib/pure.py", "");
    made_zip_add(&made, "a_b-1.0.data/platlib/plat.so", "");
    made_zip_add(&made, "a_b-1.0.data/scripts/run", "#!/bin/sh\n");
    made_zip_add(&made, "a_b-1.0.data/data/etc/a/b.conf", "");
    made_zip_add(&made, "a_b-1.0.data/data/lib64/python3.11/site-packages/late.py", "");
    made_zip_add(&made, "a_b-1.0.data/headers/a.h", "");
    add_info("a_b-1.0.dist-info");
    ck_assert_msg(fill(), "%s", err.text);
    ck_assert_str_eq(plan_listing(&plan, PIP_VENV "/", arena),
                     "755 bin/run\n644 etc/a/b.conf\n644 include/site/python3.11/a-b/a.h\n"
                     "644 lib/python3.11/site-packages/a_b-1.0.dist-info/INSTALLER\n"
                     "644 lib/python3.11/site-packages/a_b-1.0.dist-info/METADATA\n"
                     "644 lib/python3.11/site-packages/a_b-1.0.dist-info/RECORD\n"
                     "644 lib/python3.11/site-packages/a_b-1.0.dist-info/WHEEL\n"
                     "644 lib/python3.11/site-packages/late.py\n"
                     "644 lib/python3.11/site-packages/plat.so\n"
                     "644 lib/python3.11/site-packages/pure.py\n");
    const char *record = content(SITE "a_b-1.0.dist-info/RECORD");
    ck_assert(strstr(record, "\n../../../bin/run,sha256=") ||
              strncmp(record, "../../../bin/run,", 17) == 0);
    ck_assert_ptr_nonnull(strstr(record, "../../../etc/a/b.conf,"));
    ck_assert_ptr_nonnull(strstr(record, "../../../include/site/python3.11/a-b/a.h,"));
    ck_assert_ptr_nonnull(strstr(record, "\nlate.py,"));
}
END_TEST

START_TEST(only_python_shebangs_are_rewritten)
{
    static const char big[100000] = "#!python\n";
    static const struct {
        const char *name, *before, *after;
    } cases[] = {
        {"plain", "#!python\nx\n", "#!/opt/managed-env/pip/venv/bin/python\nx\n"},
        {"args", "#!pythonw -u\r\nx\n", "#!/opt/managed-env/pip/venv/bin/python\nx\n"},
        {"versioned", "#!python3", "#!/opt/managed-env/pip/venv/bin/python\n"},
        {"other", "#!/usr/bin/env python\nx\n", "#!/usr/bin/env python\nx\n"},
        {"space", "#! python\nx\n", "#! python\nx\n"},
        {"binary",
         "\x7f"
         "ELF",
         "\x7f"
         "ELF"},
        {"empty", "", ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        made_zip_add(&made, arena_printf(arena, "a_b-1.0.data/scripts/%s", cases[i].name),
                     cases[i].before);
    made_zip_add(&made, "a_b-1.0.data/scripts/big", "")->content = span_of(big, sizeof(big));
    add_info("a_b-1.0.dist-info");
    ck_assert_msg(fill(), "%s", err.text);
    for (size_t i = 0; i < COUNT(cases); i++)
        ck_assert_str_eq(content(arena_printf(arena, PIP_VENV "/bin/%s", cases[i].name)),
                         cases[i].after);
    ck_assert_uint_eq(plan_content(&plan, PIP_VENV "/bin/big", arena).len,
                      sizeof(big) + strlen("/opt/managed-env/pip/venv/bin/"));
}
END_TEST

START_TEST(entry_points_become_scripts)
{
    made_zip_add(&made, "a_b-1.0.data/scripts/tool", "replaced by the wrapper");
    made_zip_add(&made, "a_b-1.0.data/scripts/tool.exe", "and so is this");
    add_info("a_b-1.0.dist-info");
    made_zip_add(&made, "a_b-1.0.dist-info/entry_points.txt",
                 "# comment\n[console_scripts]\ntool = a_b.cli:Main.run [extra]\nTool=a_b:main\n\n"
                 "[other]\nx = not a script\n[gui_scripts]\nx.y = a_b:gui\n");
    ck_assert_msg(fill(), "%s", err.text);
    ck_assert_str_eq(content(PIP_VENV "/bin/tool"),
                     "#!/opt/managed-env/pip/venv/bin/python\nimport sys\n\n"
                     "from a_b.cli import Main\n\nif __name__ == \"__main__\":\n"
                     "    sys.exit(Main.run())\n");
    ck_assert_ptr_nonnull(content(PIP_VENV "/bin/Tool"));
    ck_assert_ptr_nonnull(content(PIP_VENV "/bin/x.y"));
    ck_assert_ptr_null(content(PIP_VENV "/bin/tool.exe"));
    ck_assert_ptr_nonnull(strstr(plan_listing(&plan, PIP_VENV "/", arena), "755 bin/tool\n"));
    ck_assert_ptr_nonnull(strstr(content(SITE "a_b-1.0.dist-info/RECORD"), "../../../bin/x.y,"));
}
END_TEST

START_TEST(scripts_of_pip_are_named_after_this_python)
{
    add_info("a_b-1.0.dist-info");
    made_zip_add(&made, "a_b-1.0.dist-info/entry_points.txt",
                 "[console_scripts]\npip = p:main\npip3 = p:main\npip3.9 = p:main\npipx = p:x\n");
    ck_assert_msg(fill(), "%s", err.text);
    const char *listing = plan_listing(&plan, PIP_VENV "/", arena);
    ck_assert_msg(strncmp(listing, "755 bin/pip\n755 bin/pip3\n755 bin/pip3.11\n755 bin/pipx\n",
                          strlen("755 bin/pip\n755 bin/pip3\n755 bin/pip3.11\n755 bin/pipx\n")) ==
                      0,
                  "%s", listing);
}
END_TEST

START_TEST(rows_of_the_wheels_record_are_kept_when_they_fit)
{
    made_zip_add(&made, "kept.py", "x");
    made_zip_add(&made, "size.py", "x");
    made_zip_add(&made, "weak.py", "x");
    made_zip_add(&made, "long.py", "x");
    add_info("a_b-1.0.dist-info");
    made_zip_add(&made, "a_b-1.0.dist-info/RECORD.jws", "{}");
    entry_named("/RECORD")->content =
        SPAN("kept.py,sha256=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA,1\r\n"
             "size.py,sha256=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA,2\r\n"
             "weak.py,md5=AAAAAAAAAAAAAAAAAAAAAA,1\r\ngone.py,,\r\n"
             "long.py,sha512=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
             "AAAAAAAAAAAAAAAAAA,1\r\n");
    ck_assert_msg(fill(), "%s", err.text);
    const char *record = content(SITE "a_b-1.0.dist-info/RECORD");
    ck_assert_ptr_nonnull(strstr(record, "kept.py,sha256=AAAA"));
    ck_assert_ptr_nonnull(
        strstr(record, "size.py,sha256=LXEWQrcmsEQBYnyp-6wy9chTD7GQPMTbAiWHF5IaSIE,1\n"));
    ck_assert_ptr_nonnull(strstr(record, "weak.py,sha256=LXEWQ"));
    ck_assert_ptr_nonnull(strstr(record, "long.py,sha512=AAAA"));
    ck_assert_ptr_nonnull(strstr(record, "a_b-1.0.dist-info/RECORD.jws,,\n"));
    ck_assert_ptr_null(strstr(record, "gone.py"));
}
END_TEST

START_TEST(roots_and_direct_references_are_marked)
{
    add_info("a_b-1.0.dist-info");
    made_zip_add(&made, "a_b-1.0.dist-info/REQUESTED", "not the wheel's to say");
    made_zip_add(&made, "a_b-1.0.dist-info/direct_url.json", "{}");
    ck_assert_msg(fill(), "%s", err.text);
    ck_assert_ptr_null(content(SITE "a_b-1.0.dist-info/REQUESTED"));
    ck_assert_ptr_null(content(SITE "a_b-1.0.dist-info/direct_url.json"));
    segment_plan_release(&plan);
    segment_plan_init(&plan);
    json_object_set_new(package, "requested", json_true());
    json_object_set_new(package, "origin",
                        json_string("https://user:secret@example.com/x/a_b.whl#sha256=00"));
    ck_assert_msg(fill(), "%s", err.text);
    ck_assert_str_eq(content(SITE "a_b-1.0.dist-info/REQUESTED"), "");
    ck_assert_str_eq(content(SITE "a_b-1.0.dist-info/direct_url.json"),
                     "{\"archive_info\":{\"hashes\":{\"sha256\":\"00\"}},"
                     "\"url\":\"https://example.com/x/a_b.whl\"}");
    ck_assert_ptr_nonnull(strstr(content(SITE "a_b-1.0.dist-info/RECORD"), "/REQUESTED,"));
}
END_TEST

START_TEST(equal_versions_may_be_spelled_differently)
{
    static const char *const spelled[][3] = {{"1.0", "1.0.0", "1"},
                                             {"1.0.post1", "1.0_1", "1.0-1"},
                                             {"1.0rc1", "1.0.RC.1", "1.0c1"},
                                             {"1.0+a.b", "1.0+a.b", "1.0+A-b"}};
    json_object_set_new(package, "version", json_string(spelled[_i][0]));
    add_info(arena_printf(arena, "A.b-%s.dist-info", spelled[_i][1]));
    entry_named("/METADATA")->content = span_str(
        arena_printf(arena, "Metadata-Version: 2.1\nname: a_b\nversion: %s\n", spelled[_i][2]));
    ck_assert_msg(fill(), "%s", err.text);
}
END_TEST

/* Each spoils an ordinary wheel. */
static void symlink_entry(void)
{
    made_zip_add(&made, "a_b/link", "/etc/passwd")->mode = 0120777;
}
static void device(void)
{
    made_zip_add(&made, "a_b/null", "")->mode = 0020666;
}
static void second_info(void)
{
    made_zip_add(&made, "c-2.dist-info/METADATA", "");
}
static void wrong_version(void)
{
    json_object_set_new(package, "version", json_string("1.1"));
}
static void wrong_name(void)
{
    json_object_set_new(package, "name", json_string("a-c"));
}
static void wrong_metadata(void)
{
    entry_named("METADATA")->content = SPAN("Name: a-b\nVersion: 1.0.1\n");
}
static void no_metadata_name(void)
{
    entry_named("METADATA")->content = SPAN("Version: 1.0\n\nName: a-b\n");
}
static void no_metadata(void)
{
    entry_named("METADATA")->name = "a_b-1.0.dist-info/METADATUM";
}
static void no_wheel(void)
{
    entry_named("WHEEL")->name = "a_b-1.0.dist-info/WHEAL";
}
static void no_record(void)
{
    entry_named("/RECORD")->name = "a_b-1.0.dist-info/RECORDS";
}
static void wheel_2(void)
{
    entry_named("WHEEL")->content = SPAN("Wheel-Version: 2.0\nRoot-Is-Purelib: true\n");
}
static void no_purelib(void)
{
    entry_named("WHEEL")->content = SPAN("Wheel-Version: 1.0\n");
}
static void broken_record(void)
{
    entry_named("/RECORD")->content = SPAN("a,,\n\"b,,\n");
}
static void pyvenv(void)
{
    made_zip_add(&made, "a_b-1.0.data/data/pyvenv.cfg", "home = /tmp\n");
}
static void interpreter(void)
{
    made_zip_add(&made, "a_b-1.0.data/scripts/python3.11", "#!/bin/sh\n");
}
static void interpreter_entry(void)
{
    made_zip_add(&made, "a_b-1.0.dist-info/entry_points.txt",
                 "[console_scripts]\npython = a_b:main\n");
}
static void scheme(void)
{
    made_zip_add(&made, "a_b-1.0.data/stdlib/os.py", "");
}
static void loose(void)
{
    made_zip_add(&made, "a_b-1.0.data/loose", "");
}
static void two_for_one(void)
{
    made_zip_add(&made, "x.py", "1");
    made_zip_add(&made, "a_b-1.0.data/purelib/x.py", "2");
}
static void file_as_folder(void)
{
    made_zip_add(&made, "x", "");
    made_zip_add(&made, "x/y.py", "");
}
static void escaping_script(void)
{
    made_zip_add(&made, "a_b-1.0.dist-info/entry_points.txt",
                 "[console_scripts]\n../../x = a_b:main\n");
}
static void injected_script(void)
{
    made_zip_add(&made, "a_b-1.0.dist-info/entry_points.txt",
                 "[console_scripts]\nx = a_b:main() or evil\n");
}
static void no_function(void)
{
    made_zip_add(&made, "a_b-1.0.dist-info/entry_points.txt", "[gui_scripts]\nx = a_b\n");
}
static void wrong_crc(void)
{
    made_zip_add(&made, "stored", "x")->crc_xor = 1;
    entry_named("stored")->stored = true;
}

static const struct {
    void (*spoil)(void);
    enum err_code code;
    const char *says;
} spoiled[] = {
    {symlink_entry, ERR_BAD_ARCHIVE, "a symbolic link"},
    {device, ERR_BAD_ARCHIVE, "a special file"},
    {second_info, ERR_BAD_ARCHIVE, "more than one .dist-info"},
    {wrong_version, ERR_BAD_ARCHIVE, "the lock has a-b 1.1"},
    {wrong_name, ERR_BAD_ARCHIVE, "the lock has a-c 1.0"},
    {wrong_metadata, ERR_BAD_ARCHIVE, "METADATA says it is a-b 1.0.1"},
    {no_metadata_name, ERR_BAD_ARCHIVE, "no Name"},
    {no_metadata, ERR_BAD_ARCHIVE, "no METADATA"},
    {no_wheel, ERR_BAD_ARCHIVE, "no WHEEL"},
    {no_record, ERR_BAD_ARCHIVE, "no RECORD"},
    {wheel_2, ERR_UNSUPPORTED, "Wheel-Version 2.0"},
    {no_purelib, ERR_BAD_ARCHIVE, "Root-Is-Purelib"},
    {broken_record, ERR_BAD_ARCHIVE, "RECORD: line 2"},
    {pyvenv, ERR_FILE_CLASH, "pyvenv.cfg"},
    {interpreter, ERR_FILE_CLASH, "bin/python3.11"},
    {interpreter_entry, ERR_FILE_CLASH, "interpreter"},
    {scheme, ERR_BAD_ARCHIVE, "unknown scheme"},
    {loose, ERR_BAD_ARCHIVE, "outside the schemes"},
    {two_for_one, ERR_FILE_CLASH, "one place"},
    {file_as_folder, ERR_BAD_ARCHIVE, "x is a file and a folder"},
    {escaping_script, ERR_BAD_ARCHIVE, "no file name"},
    {injected_script, ERR_BAD_ARCHIVE, "no \"module:function\""},
    {no_function, ERR_BAD_ARCHIVE, "no \"module:function\""},
    {wrong_crc, ERR_BAD_ARCHIVE, "CRC-32"},
};

START_TEST(a_spoiled_wheel_is_refused)
{
    made_zip_add(&made, "a_b/__init__.py", "");
    add_info("a_b-1.0.dist-info");
    spoiled[_i].spoil();
    ck_assert_msg(!fill(), "%s", spoiled[_i].says);
    ck_assert_msg(err.code == spoiled[_i].code && strstr(err.text, spoiled[_i].says), "%s: %s",
                  spoiled[_i].says, err.text);
    ck_assert_ptr_nonnull(strstr(err.text, "a-b 1."));
}
END_TEST

START_TEST(bytes_that_are_no_wheel_are_refused)
{
    made_zip_add(&made, "readme", "a zip, but no wheel");
    ck_assert(!fill() && strstr(err.text, "no .dist-info"));
    const struct install_context c = {.platform = &platform};
    const struct install_unit unit = {.name = "a-b", .kind = "wheel", .package = package};
    const struct io_map map = {.bytes = SPAN("not a zip")};
    ck_assert(!pip_fill(&c, &unit, &map, &plan, &err) && err.code == ERR_BAD_ARCHIVE);
}
END_TEST

START_TEST(the_environment_needs_no_python_to_be_made)
{
    const struct install_context c = {.platform = &platform};
    const struct install_unit unit = {.name = "venv", .kind = "venv"};
    ck_assert_msg(pip_fill(&c, &unit, NULL, &plan, &err), "%s", err.text);
    ck_assert_str_eq(plan_listing(&plan, PIP_VENV "/", arena),
                     "link bin/python -> /usr/bin/python3.11\nlink bin/python3 -> python\n"
                     "link bin/python3.11 -> python\n755 lib/python3.11/site-packages/\n"
                     "link lib64 -> lib\n644 pyvenv.cfg\n");
    ck_assert_str_eq(content(PIP_VENV "/pyvenv.cfg"),
                     "home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11.2\n");
}
END_TEST

/* The keys of all units, canonical, one a line; or the error. */
static const char *units_of(json_t *lock, const struct platform *p, bool bytecode)
{
    const struct install_context c = {
        .lock = lock, .platform = p, .options = {.bytecode = bytecode}};
    struct install_units units = {.arena = arena};
    struct buf out = BUF(1u << 16);
    if (!pip_units(&c, &units, &err))
        buf_printf(&out, "%s: %s", err_code_name(err.code), err.text);
    for (size_t i = 0; i < units.list.n; i++) {
        const struct install_unit *u = &units.list.v[i];
        struct buf key = BUF(1u << 16);
        ck_assert(json_canonical(u->key, &key, &err));
        ck_assert(u->weight_bytes > 0 && (strcmp(u->kind, "venv") == 0) == !u->package);
        if (err.code == ERR_NONE)
            buf_printf(&out, "%s %s %s\n", u->name, u->kind, buf_cstr(&key));
        buf_release(&key);
        json_decref(u->key);
    }
    VEC_FREE(&units.list);
    json_decref(lock);
    const char *text = arena_str(arena, buf_span(&out));
    buf_release(&out);
    return text;
}

START_TEST(units_name_all_their_inputs)
{
    json_object_set_new(package, "requested", json_true());
    ck_assert_str_eq(
        units_of(json_pack("{s:[O]}", "packages", package), &platform, true),
        "venv venv {\"format\":1,\"kind\":\"venv\",\"mount\":\"/opt/managed-env/pip/venv\","
        "\"python\":\"3.11\",\"python_full\":\"3.11.2\",\"python_program\":"
        "\"/usr/bin/python3.11\"}\n"
        "a-b wheel {\"digest\":\"sha256:00\",\"format\":1,\"kind\":\"wheel\",\"mount\":"
        "\"/opt/managed-env/pip/venv\",\"name\":\"a-b\",\"python\":\"3.11\",\"requested\":true,"
        "\"version\":\"1.0\"}\n"
        "a-b bytecode {\"digest\":\"sha256:00\",\"format\":1,\"kind\":\"bytecode\",\"mount\":"
        "\"/opt/managed-env/pip/venv\",\"name\":\"a-b\",\"python\":\"3.11\",\"python_full\":"
        "\"3.11.2\",\"python_impl\":\"cpython\",\"version\":\"1.0\"}\n");
}
END_TEST

START_TEST(units_refuse_what_cannot_be_installed)
{
    struct platform none = platform, odd = platform;
    none.python_program = "";
    odd.python = "../..";
    ck_assert_ptr_nonnull(strstr(units_of(json_pack("{s:[O]}", "packages", package), &none, false),
                                 "platform_missing: "));
    ck_assert_ptr_nonnull(strstr(units_of(json_pack("{s:[O]}", "packages", package), &odd, false),
                                 "platform_missing: "));
    ck_assert_ptr_nonnull(strstr(units_of(json_object(), &platform, false), "lock_invalid: "));
    ck_assert_ptr_nonnull(
        strstr(units_of(json_pack("{s:[{}]}", "packages"), &platform, false), "lock_invalid: "));
    json_object_set_new(package, "filename", json_string("a_b-1.0.tar.gz"));
    ck_assert_ptr_nonnull(strstr(
        units_of(json_pack("{s:[O]}", "packages", package), &platform, false), "needs_build: a-b"));
}
END_TEST

START_TEST(sessions_find_the_environment)
{
    const struct install_context c = {.platform = &platform};
    AUTO_JSON json_t *all = json_pack("[[],{},[]]");
    AUTO_BUF struct buf text = BUF(4096);
    pip_environment(&c, json_array_get(all, 0), json_array_get(all, 1), json_array_get(all, 2));
    ck_assert(json_canonical(all, &text, &err));
    ck_assert_str_eq(buf_cstr(&text), "[[\"/opt/managed-env/pip/venv/bin\"],{\"VIRTUAL_ENV\":"
                                      "\"/opt/managed-env/pip/venv\"},"
                                      "[\"python\",\"python3\",\"python3.11\"]]");
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("install_pip");
    TCase *tc = tcase_create("wheel");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_wheel_becomes_a_tree_in_site_packages);
    tcase_add_test(tc, schemes_of_data_have_their_places);
    tcase_add_test(tc, only_python_shebangs_are_rewritten);
    tcase_add_test(tc, entry_points_become_scripts);
    tcase_add_test(tc, scripts_of_pip_are_named_after_this_python);
    tcase_add_test(tc, rows_of_the_wheels_record_are_kept_when_they_fit);
    tcase_add_test(tc, roots_and_direct_references_are_marked);
    tcase_add_loop_test(tc, equal_versions_may_be_spelled_differently, 0, 4);
    tcase_add_loop_test(tc, a_spoiled_wheel_is_refused, 0, COUNT(spoiled));
    tcase_add_test(tc, bytes_that_are_no_wheel_are_refused);
    tcase_add_test(tc, the_environment_needs_no_python_to_be_made);
    tcase_add_test(tc, units_name_all_their_inputs);
    tcase_add_test(tc, units_refuse_what_cannot_be_installed);
    tcase_add_test(tc, sessions_find_the_environment);
    suite_add_tcase(s, tc);
    return s;
}
