/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/platform.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/proc.h"
#include "cache/store.h"
#include "tests/test_main.h"

static char *folder_for(const char *name)
{
    struct err err;
    char *path = mem_printf("%s/%s", test_folder(), name);
    ck_assert(io_mkdirs(AT_FDCWD, path, 0755, &err));
    return path;
}

static void write_file(const char *dir, const char *name, const char *text, mode_t mode)
{
    struct err err;
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    ck_assert_msg(io_replace_file(AT_FDCWD, path, span_str(text), mode, false, &err), "%s",
                  err.text);
    ck_assert_int_eq(chmod(path, mode), 0);
}

#define ANSWER                                                                                     \
    "implementation_name=cpython\nimplementation_version=3.11.2\nos_name=posix\n"                  \
    "platform_machine=x86_64\nplatform_python_implementation=CPython\nplatform_release=6\n"        \
    "platform_system=Linux\nplatform_version=#1\npython_full_version=3.11.2\n"                     \
    "python_version=3.11\nsys_platform=linux\nabiflags=\n"

/* A program that answers with a file beside it, counting how often it was asked. */
static void write_program(const char *dir, const char *name, const char *answer)
{
    AUTO_FREE char *script = mem_printf("#!/bin/sh\necho x >> '%s/%s.asked'\ncat '%s/%s.answer'\n",
                                        dir, name, dir, name);
    AUTO_FREE char *answer_name = mem_printf("%s.answer", name);
    write_file(dir, answer_name, answer, 0644);
    write_file(dir, name, script, 0755);
}

static int times_asked(const char *dir, const char *name)
{
    struct err err;
    AUTO_FREE char *path = mem_printf("%s/%s.asked", dir, name);
    AUTO_BUF struct buf text = BUF(4096);
    return io_read_file(AT_FDCWD, path, &text, &err) ? (int)text.len / 2 : 0;
}

START_TEST(probes_the_interpreters_of_the_folders)
{
    AUTO_FREE char *bin = folder_for("probe/bin");
    const char *dirs[] = {bin, NULL}, *masked[] = {NULL};
    struct platform_options options = {.bin_dirs = dirs, .masked_dirs = masked};
    struct platform *p;
    write_program(bin, "python3", ANSWER);
    write_program(bin, "node", "v20.11.1\n");
    platform_probe(&options, &p, NULL);
    ck_assert_str_eq(p->python, "3.11");
    ck_assert_str_eq(p->python_full, "3.11.2");
    ck_assert_str_eq(p->python_impl, "cpython");
    ck_assert_str_eq(p->node, "20.11.1");
    ck_assert_str_eq(p->libc, "glibc");
    ck_assert_str_eq(json_get_str(p->markers, "sys_platform"), "linux");
    ck_assert_uint_eq(json_object_size(p->markers), 11);
    AUTO_FREE char *real = realpath(bin, NULL), *expect = mem_printf("%s/python3", real);
    ck_assert_str_eq(p->python_program, expect);
    platform_free(p);
}
END_TEST

START_TEST(asks_an_interpreter_once_until_it_changes)
{
    AUTO_FREE char *bin = folder_for("once/bin"), *home = folder_for("once/store");
    const char *dirs[] = {bin, NULL}, *masked[] = {NULL};
    struct store *store;
    struct err err;
    ck_assert_msg(store_open(&store, home, &err), "%s", err.text);
    struct platform_options options = {.store = store, .bin_dirs = dirs, .masked_dirs = masked};
    write_program(bin, "python3", ANSWER);
    for (int i = 0; i < 3; i++) {
        struct platform *p;
        platform_probe(&options, &p, NULL);
        ck_assert_str_eq(p->python_full, "3.11.2");
        platform_free(p);
    }
    ck_assert_int_eq(times_asked(bin, "python3"), 1);
    write_program(bin, "python3", ANSWER); /* another inode */
    struct platform *p;
    platform_probe(&options, &p, NULL);
    platform_free(p);
    ck_assert_int_eq(times_asked(bin, "python3"), 2);
    store_close(store);
}
END_TEST

START_TEST(passes_over_what_lies_in_a_masked_folder)
{
    AUTO_FREE char *first = folder_for("mask/first"), *second = folder_for("mask/second");
    AUTO_FREE char *hidden = folder_for("mask/hidden");
    AUTO_FREE char *real_hidden = realpath(hidden, NULL);
    const char *dirs[] = {first, second, NULL}, *masked[] = {real_hidden, NULL};
    struct platform_options options = {.bin_dirs = dirs, .masked_dirs = masked};
    struct platform *p;
    json_t *notes;
    write_program(hidden, "python3", ANSWER);
    write_program(second, "python3", ANSWER);
    AUTO_FREE char *link = mem_printf("%s/python3", first);
    AUTO_FREE char *target = mem_printf("%s/python3", hidden);
    ck_assert_int_eq(symlink(target, link), 0);
    platform_probe(&options, &p, &notes);
    ck_assert_ptr_nonnull(strstr(p->python_program, "/mask/second/python3"));
    ck_assert_uint_eq(json_array_size(notes), 1);
    ck_assert_ptr_nonnull(strstr(json_string_value(json_array_get(notes, 0)), "home directory"));
    json_decref(notes);
    platform_free(p);
}
END_TEST

static const struct {
    const char *answer;
    const char *note;
} bad_answers[] = {
    {"", "markers"},
    {"python_version=3.11\n", "markers"},
    {ANSWER "more=1\n", "markers"},
    {ANSWER "abiflags=t\n", "ABI flags"},
    {"\xff\xfe=\x01\n", "markers"},
};

START_TEST(passes_over_an_interpreter_with_an_odd_answer)
{
    AUTO_FREE char *name = mem_printf("odd%d", _i), *bin = folder_for(name);
    const char *dirs[] = {bin, NULL}, *masked[] = {NULL};
    struct platform_options options = {.bin_dirs = dirs, .masked_dirs = masked};
    struct platform *p;
    json_t *notes;
    write_program(bin, "python3", bad_answers[_i].answer);
    platform_probe(&options, &p, &notes);
    ck_assert_str_eq(p->python, "");
    ck_assert_ptr_nonnull(
        strstr(json_string_value(json_array_get(notes, 0)), bad_answers[_i].note));
    json_decref(notes);
    platform_free(p);
}
END_TEST

#define HEADER                                                                                     \
    "#ifndef A\n#define NODE_MAJOR_VERSION 22\n#define NODE_MINOR_VERSION 3\n"                     \
    "#define NODE_PATCH_VERSION 1\n#endif\n"

START_TEST(reads_nodes_version_from_its_headers_when_they_belong_to_it)
{
    AUTO_FREE char *bin = folder_for("node/bin"), *include = folder_for("node/include/node");
    const char *dirs[] = {bin, NULL}, *masked[] = {NULL};
    struct platform_options options = {.bin_dirs = dirs, .masked_dirs = masked};
    struct platform *p;
    write_program(bin, "node", "v18.0.0\n");
    write_file(include, "node_version.h", HEADER, 0644);
    platform_probe(&options, &p, NULL);
    ck_assert_str_eq(p->node, "22.3.1");
    ck_assert_int_eq(times_asked(bin, "node"), 0);
    platform_free(p);
    /* Left over from another version: two days older than the program. */
    AUTO_FREE char *header = mem_printf("%s/node_version.h", include);
    struct timespec old[2] = {{.tv_sec = time(NULL) - 200000}, {.tv_sec = time(NULL) - 200000}};
    ck_assert_int_eq(utimensat(AT_FDCWD, header, old, 0), 0);
    platform_probe(&options, &p, NULL);
    ck_assert_str_eq(p->node, "18.0.0");
    platform_free(p);
}
END_TEST

START_TEST(the_canonical_form_reads_back_equal)
{
    AUTO_JSON json_t *declared = json_pack("{s:s,s:s,s:s,s:s}", "python", "3.11.2", "node", "20",
                                           "libc", "glibc 2.36", "arch", "arm64");
    struct platform *p, *again;
    struct err err;
    ck_assert_msg(platform_declare(declared, NULL, &p, &err), "%s", err.text);
    AUTO_JSON json_t *json = platform_json(p);
    ck_assert_msg(platform_from_json(json, &again, &err), "%s", err.text);
    AUTO_JSON json_t *json_again = platform_json(again);
    ck_assert(json_equal(json, json_again));
    ck_assert_str_eq(json_get_str(json, "arch"), "aarch64");
    ck_assert_str_eq(json_get_str(json, "python"), "3.11");
    ck_assert_str_eq(json_get_str(json, "node"), "20.0.0");
    ck_assert_ptr_null(json_object_get(json_object_get(json, "markers"), "platform_release"));
    ck_assert_str_eq(json_get_str(again->markers, "platform_release"), "");
    ck_assert_str_eq(json_get_str(again->markers, "platform_machine"), "aarch64");
    platform_free(p);
    platform_free(again);
}
END_TEST

START_TEST(a_declared_platform_keeps_what_the_machine_has_besides)
{
    AUTO_FREE char *bin = folder_for("declare/bin");
    const char *dirs[] = {bin, NULL}, *masked[] = {NULL};
    struct platform_options options = {.bin_dirs = dirs, .masked_dirs = masked};
    struct platform *host, *p;
    struct err err;
    write_program(bin, "python3", ANSWER);
    write_program(bin, "node", "v20.11.1\n");
    platform_probe(&options, &host, NULL);
    AUTO_JSON json_t *same = json_pack("{s:s}", "python", "3.11");
    ck_assert(platform_declare(same, host, &p, &err));
    ck_assert_str_eq(p->python_full, "3.11.0");
    ck_assert_str_eq(p->python_program, host->python_program);
    ck_assert_str_eq(p->node, "20.11.1");
    platform_free(p);
    AUTO_JSON json_t *other = json_pack("{s:s}", "python", "3.13.1");
    ck_assert(platform_declare(other, host, &p, &err));
    ck_assert_str_eq(p->python_program, "/usr/bin/python3.13");
    ck_assert_str_eq(json_get_str(p->markers, "python_full_version"), "3.13.1");
    platform_free(p);
    platform_free(host);
}
END_TEST

static const struct {
    const char *json, *says;
} bad_declared[] = {
    {"[]", "not a mapping"},
    {"{\"python\":3.11}", "platform.python: not a string"},
    {"{\"python\":\"3\"}", "platform.python: \"3\""},
    {"{\"python\":\"2.7\"}", "platform.python"},
    {"{\"python\":\"3.11.2.1\"}", "platform.python"},
    {"{\"python\":\"3.\"}", "platform.python"},
    {"{\"python\":\"3.011\"}", "platform.python"},
    {"{\"python\":\">=3.11\"}", "platform.python"},
    {"{\"node\":\"\"}", "platform.node"},
    {"{\"node\":\"v20\"}", "platform.node"},
    {"{\"libc\":\"uclibc\"}", "platform.libc"},
    {"{\"libc\":\"glibc x\"}", "platform.libc"},
    {"{\"arch\":\"mips\"}", "platform.arch"},
    {"{\"os\":\"darwin\"}", "platform.os"},
    {"{\"ruby\":\"3.1\"}", "platform.ruby: not known"},
};

START_TEST(refuses_an_odd_declaration_by_the_members_name)
{
    struct err err = {0};
    AUTO_JSON json_t *json = json_parse(span_str(bad_declared[_i].json), &err);
    ck_assert(!platform_check_declared(json, &err));
    ck_assert_int_eq(err.code, ERR_INVALID);
    ck_assert_msg(strstr(err.text, bad_declared[_i].says) != NULL, "%s", err.text);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("platform");
    TCase *t = tcase_create("platform");
    tcase_add_test(t, probes_the_interpreters_of_the_folders);
    tcase_add_test(t, asks_an_interpreter_once_until_it_changes);
    tcase_add_test(t, passes_over_what_lies_in_a_masked_folder);
    tcase_add_loop_test(t, passes_over_an_interpreter_with_an_odd_answer, 0, COUNT(bad_answers));
    tcase_add_test(t, reads_nodes_version_from_its_headers_when_they_belong_to_it);
    tcase_add_test(t, the_canonical_form_reads_back_equal);
    tcase_add_test(t, a_declared_platform_keeps_what_the_machine_has_besides);
    tcase_add_loop_test(t, refuses_an_odd_declaration_by_the_members_name, 0, COUNT(bad_declared));
    suite_add_tcase(s, t);
    return s;
}
