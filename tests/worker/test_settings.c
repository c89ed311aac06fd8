/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/settings.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "tests/test_main.h"

static char *write_config(const char *dir, const char *text)
{
    struct err err;
    AUTO_FREE char *folder = mem_printf("%s/%s", test_folder(), dir);
    char *path = mem_printf("%s/strata.yaml", folder);
    ck_assert(io_mkdirs(AT_FDCWD, folder, 0755, &err));
    ck_assert(io_replace_file(AT_FDCWD, path, span_str(text), 0644, false, &err));
    return path;
}

static void clean_environment(void)
{
    setenv("XDG_CONFIG_HOME", test_folder(), 1);
    unsetenv("STRATA_HOME");
    unsetenv("STRATA_COMPRESSION");
    unsetenv("STRATA_THREADS");
    unsetenv("STRATA_REGISTRIES_PIP");
    unsetenv("STRATA_REGISTRIES_GO");
    unsetenv("STRATA_OFFLINE");
}

static const char *from_of(const struct settings *s, const char *key)
{
    static char from[512];
    AUTO_JSON json_t *all = settings_json(s);
    const char *text = json_get_str(json_object_get(all, key), "from");
    snprintf(from, sizeof(from), "%s", text ? text : "");
    return from;
}

START_TEST(has_defaults_with_no_file_at_all)
{
    struct settings *s;
    struct err err;
    clean_environment();
    ck_assert_msg(settings_load(&s, NULL, &err), "%s", err.text);
    ck_assert_str_eq(settings_str(s, "compression"), "zstd");
    ck_assert_ptr_null(settings_str(s, "home"));
    ck_assert(settings_bool(s, "bytecode") && !settings_bool(s, "offline"));
    ck_assert_int_eq(settings_int(s, "threads"), 0);
    ck_assert_ptr_null(settings_registries(s));
    ck_assert_str_eq(from_of(s, "compression"), "the default");
    settings_free(s);
}
END_TEST

START_TEST(later_sources_win_and_say_so)
{
    struct settings *s;
    struct err err;
    clean_environment();
    AUTO_FREE char *user = write_config(
        "strata", "compression: gzip\nthreads: 3\noffline: true\nregistries:\n"
                  "  pip: https://user.example.com/simple\n  npm: https://n.example.com\n");
    AUTO_FREE char *given = write_config("given", "threads: 5\nbytecode: no\nregistries:\n  pip:\n"
                                                  "    - https://given.example.com/simple\n");
    setenv("STRATA_THREADS", "7", 1);
    ck_assert_msg(settings_load(&s, given, &err), "%s", err.text);
    ck_assert_str_eq(settings_str(s, "compression"), "gzip");
    ck_assert_int_eq(settings_int(s, "threads"), 7);
    ck_assert(settings_bool(s, "offline") && !settings_bool(s, "bytecode"));
    ck_assert_str_eq(from_of(s, "threads"), "the variable STRATA_THREADS");
    ck_assert(strstr(from_of(s, "compression"), "strata/strata.yaml:1"));
    ck_assert(strstr(from_of(s, "registries.pip"), "given/strata.yaml:5"));
    ck_assert(json_is_array(json_object_get(settings_registries(s), "pip")));
    ck_assert(json_is_string(json_object_get(settings_registries(s), "npm")));
    ck_assert(settings_override(s, "threads", "2", "--threads", &err));
    ck_assert_int_eq(settings_int(s, "threads"), 2);
    ck_assert_str_eq(from_of(s, "threads"), "--threads");
    settings_free(s);
    unlink(user);
}
END_TEST

START_TEST(registries_may_be_variables)
{
    struct settings *s;
    struct err err;
    clean_environment();
    setenv("STRATA_REGISTRIES_PIP", "https://a.example.com/simple https://b.example.com/simple", 1);
    setenv("STRATA_REGISTRIES_GO", "https://g.example.com,direct", 1);
    ck_assert_msg(settings_load(&s, NULL, &err), "%s", err.text);
    const json_t *r = settings_registries(s);
    ck_assert_uint_eq(json_array_size(json_object_get(r, "pip")), 2);
    ck_assert_str_eq(json_get_str(r, "go"), "https://g.example.com,direct");
    ck_assert_str_eq(json_get_str(settings_registries_from(s), "pip"),
                     "the variable STRATA_REGISTRIES_PIP");
    settings_free(s);
}
END_TEST

START_TEST(shows_no_passwords)
{
    struct settings *s;
    struct err err;
    clean_environment();
    AUTO_FREE char *given =
        write_config("secret", "registries:\n  pip: https://ann:hunter2@p.example.com/simple\n"
                               "  npm: {url: 'https://b:hunter2@n.example.com', scopes: {'@x': "
                               "'https://tok:hunter2@x.example.com'}}\n");
    ck_assert_msg(settings_load(&s, given, &err), "%s", err.text);
    AUTO_JSON json_t *all = settings_json(s);
    AUTO_FREE char *text = json_dumps(all, 0);
    ck_assert_ptr_null(strstr(text, "hunter2"));
    ck_assert_ptr_nonnull(strstr(text, "https://...@p.example.com/simple"));
    settings_free(s);
}
END_TEST

static const struct {
    const char *text, *says;
} bad[] = {
    {"- a\n", "strata.yaml:1:1: a list, not a mapping"},
    {"threds: 2\n", "strata.yaml:1:9: threds: not known here; do you mean \"threads\"?"},
    {"a: 1\nthreads: 2\n", "a: not known here; allowed are bytecode, compression"},
    {"threads: many\n", "strata.yaml:1:10: threads: \"many\""},
    {"offline: true\nthreads: 257\n", "strata.yaml:2:10: threads: \"257\""},
    {"threads: -1\n", "not a number from 0 to 256"},
    {"threads: [1]\n", "a list cannot stand here"},
    {"compression: xz\n", "not one of: zstd gzip"},
    {"bytecode: maybe\n", "not true or false"},
    {"home: ''\n", "home: empty"},
    {"registries: [a]\n", "registries: a list, not a mapping"},
    {"registries: {pypi: x}\n", "registries.pypi: not known here"},
    {"registries: {pip: 7}\n", "registries.pip: a number"},
    {"threads: &a 1\n", "anchors"},
    {"threads: 1\nthreads: 2\n", "given twice"},
};

START_TEST(refuses_a_bad_file_with_its_place)
{
    struct settings *s;
    struct err err = {0};
    clean_environment();
    AUTO_FREE char *given = write_config("bad", bad[_i].text);
    ck_assert_msg(!settings_load(&s, given, &err), "%s", bad[_i].text);
    ck_assert_int_eq(err_exit_status(err.code), 2);
    ck_assert_msg(strstr(err.text, bad[_i].says) != NULL, "%s", err.text);
}
END_TEST

START_TEST(refuses_a_bad_variable_and_a_missing_file)
{
    struct settings *s;
    struct err err;
    clean_environment();
    setenv("STRATA_COMPRESSION", "rar", 1);
    ck_assert(!settings_load(&s, NULL, &err));
    ck_assert_msg(strstr(err.text, "the variable STRATA_COMPRESSION"), "%s", err.text);
    clean_environment();
    AUTO_FREE char *none = mem_printf("%s/none.yaml", test_folder());
    ck_assert(!settings_load(&s, none, &err));
    ck_assert_msg(strstr(err.text, "there is no such file"), "%s", err.text);
    ck_assert(settings_load(&s, NULL, &err));
    ck_assert(!settings_override(s, "nothing", "1", "--nothing", &err));
    ck_assert(!settings_override(s, "registries.yum", "1", "--x", &err));
    settings_free(s);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("settings");
    TCase *t = tcase_create("settings");
    tcase_add_test(t, has_defaults_with_no_file_at_all);
    tcase_add_test(t, later_sources_win_and_say_so);
    tcase_add_test(t, registries_may_be_variables);
    tcase_add_test(t, shows_no_passwords);
    tcase_add_loop_test(t, refuses_a_bad_file_with_its_place, 0, COUNT(bad));
    tcase_add_test(t, refuses_a_bad_variable_and_a_missing_file);
    suite_add_tcase(s, t);
    return s;
}
