/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/doctor.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/test_main.h"

static const char *const bare[] = {"HOME=/nonexistent", "PATH=/nonexistent", NULL};

static json_t *report_of(const char *configured, bool *healthy)
{
    struct settings *settings;
    struct store *store;
    struct err err;
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    AUTO_FREE char *home = mem_printf("%s/store", test_folder());
    AUTO_FREE char *root = mem_printf("%s/root", test_folder());
    AUTO_JSON json_t *registries = json_loads(configured, 0, NULL);
    ck_assert_msg(store_open(&store, home, &err), "%s", err.text);
    ck_assert_msg(settings_load(&settings, NULL, &err), "%s", err.text);
    struct discovery_options options = {
        .store = store, .configured = registries, .env = bare, .root = root, .no_run = true};
    struct discovery *d = discovery_new(&options);
    json_t *report = doctor_report(store, d, settings, healthy);
    discovery_free(d);
    settings_free(settings);
    store_close(store);
    return report;
}

#define BOTH                                                                                       \
    "{\"pip\":\"https://ann:hunter2@p.example.com/simple\",\"npm\":\"http://n.example.com\"}"

START_TEST(shows_registries_and_where_they_are_from)
{
    bool healthy;
    AUTO_JSON json_t *report = report_of(BOTH, &healthy);
    AUTO_BUF struct buf text = BUF(1u << 20);
    const json_t *all = json_object_get(report, "registries");
    ck_assert_uint_eq(json_object_size(all), 6);
    const json_t *pip = json_object_get(all, "pip");
    ck_assert_str_eq(json_get_str(pip, "from"), "registries.pip in the configuration");
    ck_assert(json_get_bool(pip, "credentials", false));
    doctor_text(report, &text);
    ck_assert(!text.overflow);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&text), "https://p.example.com/simple/"));
    ck_assert_ptr_nonnull(strstr(buf_cstr(&text), "has credentials"));
    ck_assert_ptr_nonnull(strstr(buf_cstr(&text), "plain http"));
    AUTO_FREE char *json = json_dumps(report, 0);
    ck_assert_ptr_null(strstr(json, "hunter2"));
    ck_assert_ptr_null(strstr(buf_cstr(&text), "hunter2"));
}
END_TEST

START_TEST(a_missing_registry_is_a_problem_with_a_remedy)
{
    bool healthy = true;
    AUTO_JSON json_t *report = report_of("{}", &healthy);
    AUTO_BUF struct buf text = BUF(1u << 20);
    ck_assert(json_get_bool(report, "healthy", true) == healthy);
    size_t serious = 0, i;
    json_t *one;
    json_array_foreach (json_object_get(report, "problems"), i, one) {
        ck_assert_ptr_nonnull(json_get_str(one, "what"));
        ck_assert_ptr_nonnull(json_get_str(one, "fix"));
        serious += json_get_bool(one, "serious", false);
    }
    ck_assert(healthy == (serious == 0));
    doctor_text(report, &text);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&text), "Problems"));
    ck_assert_ptr_nonnull(strstr(buf_cstr(&text), "no registry is known for pip"));
}
END_TEST

START_TEST(names_platform_settings_and_store)
{
    bool healthy;
    AUTO_JSON json_t *report = report_of(BOTH, &healthy);
    ck_assert_str_eq(json_get_str(json_object_get(report, "platform"), "os"), "linux");
    ck_assert_ptr_nonnull(json_get_str(json_object_get(report, "store"), "path"));
    ck_assert_ptr_nonnull(json_object_get(json_object_get(report, "settings"), "compression"));
    ck_assert_ptr_nonnull(json_get_str(report, "version"));
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("doctor");
    TCase *t = tcase_create("doctor");
    tcase_add_test(t, shows_registries_and_where_they_are_from);
    tcase_add_test(t, a_missing_registry_is_a_problem_with_a_remedy);
    tcase_add_test(t, names_platform_settings_and_store);
    suite_add_tcase(s, t);
    return s;
}
