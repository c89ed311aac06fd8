/* SPDX-License-Identifier: Apache-2.0 */
/* Tarballs become plans: what is where, with which mode, and what is refused. */
#include "resolvers/npm/install.h"

#include <string.h>

#include "tests/resolvers/archive/make_archive.h"
#include "tests/resolvers/archive/plan_text.h"
#include "tests/test_main.h"

#define MODULES NPM_PREFIX "/lib/node_modules/"

static struct arena *arena;
static struct made_tar made;
static struct segment_plan plan;
static struct err err;
static json_t *package;

static void setup(void)
{
    arena = arena_new();
    made_tar_init(&made, arena);
    segment_plan_init(&plan);
    err_clear(&err);
    package = json_pack("{s:s, s:s, s:s, s:s, s:{}}", "name", "a", "version", "1.0.0", "path",
                        "node_modules/a", "digest", "sha512:00", "bins");
}

static void teardown(void)
{
    segment_plan_release(&plan);
    made_tar_release(&made);
    json_decref(package);
    arena_free(arena);
}

static void add(const char *name, const char *content)
{
    made_tar_add(&made, '0', name, 0644, span_str(content));
}

static void set_bin(const char *name, const char *file)
{
    json_object_set_new(json_object_get(package, "bins"), name, json_string(file));
}

static bool fill_bytes(struct span blob)
{
    const struct install_context c = {0};
    const struct install_unit unit = {.name = "a", .kind = "package", .package = package};
    const struct io_map map = {.bytes = blob};
    return npm_fill(&c, &unit, &map, &plan, &err);
}

static bool fill(void)
{
    made_tar_end(&made);
    return fill_bytes(made_gzip(buf_span(&made.bytes), arena));
}

static const char *listing(const char *prefix)
{
    return plan_listing(&plan, prefix, arena);
}

static const char *content(const char *path)
{
    struct span s = plan_content(&plan, path, arena);
    return s.ptr ? arena_str(arena, s) : NULL;
}

START_TEST(a_tarball_becomes_a_tree_without_its_first_folder)
{
    made_tar_add(&made, '5', "package/", 0700, SPAN(""));
    made_tar_add(&made, '5', "package/empty/", 0700, SPAN(""));
    add("package/package.json", "{}");
    add("other/lib/index.js", "1");
    add("./package/x.js", "2");
    add("loose", "left out: it has no folder");
    made_tar_link(&made, '2', "package/link", "/etc/passwd");
    made_tar_link(&made, '1', "package/hard", "package/package.json");
    made_tar_add(&made, '6', "package/pipe", 0644, SPAN(""));
    ck_assert_msg(fill(), "%s", err.text);
    ck_assert_str_eq(listing(MODULES), "644 a/lib/index.js\n644 a/package.json\n"
                                       "644 a/package/x.js\n");
    ck_assert_str_eq(content(MODULES "a/lib/index.js"), "1");
}
END_TEST

START_TEST(modes_are_readable_by_all_and_never_setuid)
{
    static const struct {
        uint32_t in;
        const char *out;
    } cases[] = {{0, "644"},     {0700, "744"}, {0755, "755"}, {0777, "755"},
                 {04755, "755"}, {0600, "644"}, {0111, "755"}, {0666, "644"}};
    made_tar_add(&made, '0', "p/f", cases[_i].in, SPAN("x"));
    ck_assert_msg(fill(), "%s", err.text);
    ck_assert_str_eq(listing(MODULES), arena_printf(arena, "%s a/f\n", cases[_i].out));
}
END_TEST

START_TEST(gitignore_stands_in_for_npmignore)
{
    add("p/.gitignore", "git");
    add("p/.npmignore", "npm");
    add("p/sub/.gitignore", "git");
    add("p/x.gitignore", "kept");
    ck_assert_msg(fill(), "%s", err.text);
    ck_assert_str_eq(listing(MODULES),
                     "644 a/.npmignore\n644 a/sub/.npmignore\n644 a/x.gitignore\n");
    ck_assert_str_eq(content(MODULES "a/.npmignore"), "npm");
    ck_assert_str_eq(content(MODULES "a/sub/.npmignore"), "git");
}
END_TEST

START_TEST(bins_of_roots_are_linked_from_the_prefix)
{
    json_object_set_new(package, "path", json_string("node_modules/@s/a"));
    add("p/package.json", "{\"bin\":{\"lost\":\"lost.js\",\"tool\":\"cli.js\"}}");
    add("p/cli.js", "#!/usr/bin/env node\r\nx\r\n");
    add("p/lost.js", "#!/usr/bin/env node\r\n");
    add("p/dir/file", "");
    set_bin("tool", "./cli.js");
    set_bin("@s/scoped", "cli.js");
    set_bin("../../evil", "../../cli.js");
    set_bin("missing", "missing.js");
    set_bin("folder", "dir");
    set_bin("..", "cli.js");
    set_bin("whole", ".");
    ck_assert_msg(fill(), "%s", err.text);
    ck_assert_str_eq(listing(NPM_PREFIX "/"), "link bin/evil -> ../lib/node_modules/@s/a/cli.js\n"
                                              "link bin/folder -> ../lib/node_modules/@s/a/dir\n"
                                              "link bin/scoped -> ../lib/node_modules/@s/a/cli.js\n"
                                              "link bin/tool -> ../lib/node_modules/@s/a/cli.js\n"
                                              "755 lib/node_modules/@s/a/cli.js\n"
                                              "644 lib/node_modules/@s/a/dir/file\n"
                                              "644 lib/node_modules/@s/a/lost.js\n"
                                              "644 lib/node_modules/@s/a/package.json\n");
    ck_assert_str_eq(content(MODULES "@s/a/cli.js"), "#!/usr/bin/env node\nx\r\n");
    ck_assert_str_eq(content(MODULES "@s/a/lost.js"), "#!/usr/bin/env node\r\n");
}
END_TEST

START_TEST(bins_of_nested_packages_are_linked_beside_them)
{
    json_object_set_new(package, "path", json_string("node_modules/b/node_modules/@s/a"));
    add("p/cli.js", "x");
    add("p/man/a.1", "");
    add("p/package.json", "{\"man\":[\"man/a.1\"]}");
    set_bin("tool", "cli.js");
    ck_assert_msg(fill(), "%s", err.text);
    ck_assert_str_eq(listing(MODULES "b/node_modules/"),
                     "link .bin/tool -> ../@s/a/cli.js\n755 @s/a/cli.js\n644 @s/a/man/a.1\n"
                     "644 @s/a/package.json\n");
}
END_TEST

START_TEST(manual_pages_of_roots_with_bins_are_linked)
{
    add("p/cli.js", "x");
    add("p/man/a.1", "");
    add("p/man/b.3.gz", "");
    add("p/readme.md", "");
    add("p/package.json", "{\"man\":[\"./man/a.1\",\"man/b.3.gz\",\"readme.md\",\"gone.1\","
                          "\"/man/a.1\",7,\"../../a.1\"]}");
    set_bin("tool", "cli.js");
    ck_assert_msg(fill(), "%s", err.text);
    ck_assert_ptr_nonnull(
        strstr(listing(NPM_PREFIX "/"),
               "link share/man/man1/a.1 -> ../../../lib/node_modules/a/man/a.1\n"
               "link share/man/man3/b.3.gz -> ../../../lib/node_modules/a/man/b.3.gz\n"));
    ck_assert_ptr_null(strstr(listing(NPM_PREFIX "/"), "gone"));
    ck_assert_ptr_null(strstr(listing(NPM_PREFIX "/"), "man1/readme"));
}
END_TEST

START_TEST(bundled_packages_get_their_links)
{
    add("p/package.json", "{\"bundleDependencies\":[\"b\"]}");
    add("p/node_modules/b/package.json", "{\"name\":\"b\",\"bin\":\"b.js\"}");
    add("p/node_modules/b/b.js", "#!node\r\n");
    add("p/node_modules/@s/c/package.json",
        "{\"name\":\"@s/c\",\"directories\":{\"bin\":\"./cmds\"}}");
    add("p/node_modules/@s/c/cmds/c1", "");
    add("p/node_modules/@s/c/cmds/.hidden", "");
    add("p/node_modules/b/test/package.json", "{\"name\":\"no\",\"bin\":\"b.js\"}");
    add("p/test/node_modules/d/package.json", "{\"name\":\"d\",\"bin\":\"d.js\"}");
    add("p/test/node_modules/d/d.js", "");
    ck_assert_msg(fill(), "%s", err.text);
    ck_assert_str_eq(listing(MODULES "a/"),
                     "link node_modules/.bin/b -> ../b/b.js\n"
                     "link node_modules/.bin/c1 -> ../@s/c/cmds/c1\n"
                     "644 node_modules/@s/c/cmds/.hidden\n755 node_modules/@s/c/cmds/c1\n"
                     "644 node_modules/@s/c/package.json\n"
                     "755 node_modules/b/b.js\n644 node_modules/b/package.json\n"
                     "644 node_modules/b/test/package.json\n644 package.json\n"
                     "644 test/node_modules/d/d.js\n644 test/node_modules/d/package.json\n");
}
END_TEST

START_TEST(links_of_bundled_packages_replace_files_and_each_other)
{
    add("p/package.json", "{\"bundleDependencies\":[\"b\",\"c\"],\"name\":1,\"name\":\"a\"}");
    add("p/node_modules/.bin/tool", "a copy of the command");
    add("p/node_modules/c/package.json", "{\"name\":\"c\",\"bin\":{\"tool\":\"c.js\"}}");
    add("p/node_modules/c/c.js", "");
    add("p/node_modules/b/package.json", "{\"name\":\"b\",\"bin\":{\"tool\":\"b.js\"}}");
    add("p/node_modules/b/b.js", "");
    ck_assert_msg(fill(), "%s", err.text);
    ck_assert_str_eq(listing(MODULES "a/"),
                     "link node_modules/.bin/tool -> ../b/b.js\n755 node_modules/b/b.js\n"
                     "644 node_modules/b/package.json\n644 node_modules/c/c.js\n"
                     "644 node_modules/c/package.json\n644 package.json\n");
}
END_TEST

START_TEST(a_plain_tar_and_equal_duplicates_are_taken)
{
    add("p/x", "1");
    made_tar_add(&made, '0', "q/x", 0755, SPAN("1"));
    made_tar_end(&made);
    ck_assert_msg(fill_bytes(buf_span(&made.bytes)), "%s", err.text);
    ck_assert_str_eq(listing(MODULES), "755 a/x\n");
}
END_TEST

static void duplicate(void)
{
    add("p/x", "2");
}
static void file_as_folder(void)
{
    add("p/x/y", "");
}
static void parent(void)
{
    add("p/../../y", "");
}
static void absolute(void)
{
    add("/etc/passwd", "");
}
static void latin1(void)
{
    add("p/\xe9", "");
}
static void cut(void)
{
    made.bytes.len -= 600;
}

static const struct {
    void (*spoil)(void);
    const char *says;
} spoiled[] = {
    {duplicate, "x twice, with different content"},
    {file_as_folder, "x is a file and a folder"},
    {parent, "not a path below"},
    {absolute, "not a path below"},
    {latin1, "not UTF-8"},
    {cut, "cut off"},
};

START_TEST(a_spoiled_tarball_is_refused)
{
    add("p/x", "1");
    spoiled[_i].spoil();
    if (spoiled[_i].spoil == cut)
        ck_assert(!fill_bytes(made_gzip(buf_span(&made.bytes), arena)));
    else
        ck_assert_msg(!fill(), "%s", spoiled[_i].says);
    ck_assert_msg(err.code == ERR_BAD_ARCHIVE && strstr(err.text, spoiled[_i].says), "%s: %s",
                  spoiled[_i].says, err.text);
    ck_assert_ptr_nonnull(strstr(err.text, "a 1.0.0: "));
}
END_TEST

START_TEST(bytes_that_are_no_tarball_are_refused)
{
    ck_assert(!fill_bytes(SPAN("")) && err.code == ERR_BAD_ARCHIVE);
    segment_plan_release(&plan);
    segment_plan_init(&plan);
    ck_assert(!fill_bytes(SPAN("PK\3\4 not a tar")) && err.code == ERR_BAD_ARCHIVE);
    segment_plan_release(&plan);
    segment_plan_init(&plan);
    struct span zeros = span_of(arena_alloc(arena, 100u << 20), 100u << 20);
    ck_assert(!fill_bytes(made_gzip(zeros, arena)) && err.code == ERR_TOO_LARGE);
}
END_TEST

/* "name kind key" of each unit, or the error. */
static const char *units_of(json_t *lock)
{
    const struct install_context c = {.lock = lock};
    struct install_units units = {.arena = arena};
    struct buf out = BUF(1u << 16);
    if (!npm_units(&c, &units, &err))
        buf_printf(&out, "%s: %s", err_code_name(err.code), err.text);
    for (size_t i = 0; i < units.list.n; i++) {
        struct buf key = BUF(1u << 16);
        struct err ignored = {0};
        ck_assert(json_canonical(units.list.v[i].key, &key, &ignored));
        if (!out.len || err.code == ERR_NONE)
            buf_printf(&out, "%s %s %s\n", units.list.v[i].name, units.list.v[i].kind,
                       buf_cstr(&key));
        buf_release(&key);
        json_decref(units.list.v[i].key);
    }
    VEC_FREE(&units.list);
    json_decref(lock);
    const char *text = arena_str(arena, buf_span(&out));
    buf_release(&out);
    return text;
}

START_TEST(units_name_all_their_inputs)
{
    set_bin("tool", "cli.js");
    ck_assert_str_eq(units_of(json_pack("{s:[O]}", "packages", package)),
                     "a package {\"bins\":{\"tool\":\"cli.js\"},\"digest\":\"sha512:00\","
                     "\"format\":1,\"kind\":\"package\",\"mount\":\"/opt/managed-env/npm\","
                     "\"path\":\"node_modules/a\"}\n");
}
END_TEST

static const char *const bad_paths[] = {
    "",
    "a",
    "node_modules",
    "node_modules/",
    "node_modules/..",
    "node_modules/../../etc",
    "/node_modules/a",
    "node_modules/a/b",
    "node_modules/@s",
    "node_modules/@s/../a",
    "node_modules/@s/@t",
    "node_modules/.bin",
    "node_modules/a/node_modules",
    "node_modules//a",
    "node_modules/a\\b",
};

START_TEST(units_refuse_other_places)
{
    json_object_set_new(package, "path", json_string(bad_paths[_i]));
    ck_assert_msg(
        strncmp(units_of(json_pack("{s:[O]}", "packages", package)), "lock_invalid: ", 14) == 0,
        "%s", bad_paths[_i]);
}
END_TEST

START_TEST(sessions_find_the_tree)
{
    json_t *nested = json_deep_copy(package);
    AUTO_JSON json_t *lock = json_pack("{s:[O,o]}", "packages", package, nested);
    const struct install_context c = {.lock = lock};
    AUTO_JSON json_t *all = json_pack("[[],{},[]]");
    AUTO_BUF struct buf text = BUF(4096);
    set_bin("tool", "cli.js");
    json_object_set_new(nested, "path", json_string("node_modules/a/node_modules/b"));
    json_object_set_new(json_object_get(nested, "bins"), "hidden", json_string("x.js"));
    npm_environment(&c, json_array_get(all, 0), json_array_get(all, 1), json_array_get(all, 2));
    ck_assert(json_canonical(all, &text, &err));
    ck_assert_str_eq(buf_cstr(&text), "[[\"/opt/managed-env/npm/bin\"],{\"NODE_PATH\":"
                                      "\"/opt/managed-env/npm/lib/node_modules\"},[\"tool\"]]");
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("install_npm");
    TCase *tc = tcase_create("tarball");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_tarball_becomes_a_tree_without_its_first_folder);
    tcase_add_loop_test(tc, modes_are_readable_by_all_and_never_setuid, 0, 8);
    tcase_add_test(tc, gitignore_stands_in_for_npmignore);
    tcase_add_test(tc, bins_of_roots_are_linked_from_the_prefix);
    tcase_add_test(tc, bins_of_nested_packages_are_linked_beside_them);
    tcase_add_test(tc, manual_pages_of_roots_with_bins_are_linked);
    tcase_add_test(tc, bundled_packages_get_their_links);
    tcase_add_test(tc, links_of_bundled_packages_replace_files_and_each_other);
    tcase_add_test(tc, a_plain_tar_and_equal_duplicates_are_taken);
    tcase_add_loop_test(tc, a_spoiled_tarball_is_refused, 0, COUNT(spoiled));
    tcase_add_test(tc, bytes_that_are_no_tarball_are_refused);
    tcase_add_test(tc, units_name_all_their_inputs);
    tcase_add_loop_test(tc, units_refuse_other_places, 0, COUNT(bad_paths));
    tcase_add_test(tc, sessions_find_the_tree);
    suite_add_tcase(s, tc);
    return s;
}
