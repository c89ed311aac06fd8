/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/environment.h"

#include <string.h>

#include "tests/test_main.h"

#define NOW 1767225600000LL /* 2026-01-01T00:00:00Z */
#define DAY 86400000LL

static const char full[] =
    "name: starter\n"
    "description: |\n  two runners\n"
    "config:\n"
    "  type: cloud\n"
    "  networking:\n"
    "    type: limited\n"
    "    allowed_hosts: [API.example.com, '*.example.org', api.example.com]\n"
    "    allow_package_managers: true\n"
    "  packages:\n"
    "    pip:\n      - pytest==8.3.4\n      - pytest==8.3.4\n"
    "    npm: [tsx@4.19.2]\n"
    "    apt: null\n"
    "base: host\n"
    "platform: {python: \"3.11\", node: \"20\"}\n"
    "policy:\n"
    "  exclude_newer: 2025-12-24\n"
    "  prerelease: true\n"
    "  allow_scripts: [esbuild, '@x/y']\n";

START_TEST(reads_a_whole_file)
{
    struct environment *e;
    struct err err;
    ck_assert_msg(environment_parse(span_str(full), "e.yaml", NOW, &e, &err), "%s", err.text);
    ck_assert_str_eq(e->name, "starter");
    ck_assert_str_eq(e->base, "host");
    AUTO_JSON json_t *expect = json_loads(
        "{\"type\":\"cloud\",\"networking\":{\"type\":\"limited\",\"allowed_hosts\":"
        "[\"api.example.com\",\"*.example.org\"],\"allow_package_managers\":true,"
        "\"allow_mcp_servers\":false},\"packages\":{\"apt\":[],\"cargo\":[],\"gem\":[],\"go\":[],"
        "\"npm\":[\"tsx@4.19.2\"],\"pip\":[\"pytest==8.3.4\"]}}",
        0, NULL);
    AUTO_FREE char *got = json_dumps(e->config, JSON_SORT_KEYS);
    ck_assert_msg(json_equal(e->config, expect), "%s", got);
    ck_assert_str_eq(json_get_str(e->platform, "python"), "3.11");
    ck_assert(e->policy.prerelease && !e->policy.only_binary);
    ck_assert_int_eq(e->policy.exclude_newer_ms, NOW - 7 * DAY);
    ck_assert_uint_eq(e->policy.allow_script_count, 2);
    ck_assert_str_eq(e->policy.allow_scripts[1], "@x/y");
    ck_assert(environment_allows_registries(e));
    environment_free(e);
}
END_TEST

START_TEST(json_and_yaml_say_the_same)
{
    struct environment *y, *j;
    struct err err;
    ck_assert(environment_parse(SPAN("name: a\nconfig:\n  packages: {pip: [a, b]}\n"), "y", NOW, &y,
                                &err));
    ck_assert_msg(environment_parse(
                      SPAN(" {\"name\":\"a\",\"config\":{\"type\":\"cloud\",\"networking\":null,"
                           "\"packages\":{\"pip\":[\"a\",\"b\"],\"type\":\"packages\"}}}"),
                      "j", NOW, &j, &err),
                  "%s", err.text);
    ck_assert(json_equal(y->config, j->config));
    ck_assert_str_eq(y->name, j->name);
    ck_assert_ptr_null(y->platform);
    environment_free(y);
    environment_free(j);
}
END_TEST

static const struct {
    const char *yaml, *says;
} bad[] = {
    {"", "e.yaml: empty, not a mapping"},
    {"- a\n", "e.yaml:1:1: a list, not a mapping"},
    {"name: a\nconfg: {}\n", "e.yaml:2:8: confg: not known here; do you mean \"config\"?"},
    {"name: ''\n", "e.yaml:1:7: name: has 0 characters"},
    {"name: 7\n", "name: a number, not a string"},
    {"packages: {pip: [a]}\n", "packages: belongs below \"config\""},
    {"pip: [a]\n", "pip: belongs below \"config\""},
    {"config: []\n", "e.yaml:1:9: config: must be an object, not an array"},
    {"config: {type: docker}\n", "config.type: \"docker\" is not supported; supported: \"cloud\""},
    {"config: {packages: {yum: [a]}}\n",
     "e.yaml:1:26: config.packages: unknown field \"yum\"; allowed: apt"},
    {"config: {packages: {pipp: [a]}}\n", "do you mean \"pip\"?"},
    {"config: {packages: {pip: requests}}\n",
     "config.packages.pip: must be a list of strings, not a string"},
    {"config:\n  packages:\n    pip:\n      - a\n      - 3.11\n",
     "e.yaml:5:9: config.packages.pip[1]: must be a string, not a number; put it in quotes"},
    {"config:\n  packages:\n    go:\n    - x.example.com/y@latest\n    - x.example.com/y\n",
     "e.yaml:5:7: config.packages.go[1]: \"x.example.com/y\": at offset 15: a version is missing"},
    {"config: {packages: {pip: ['--index-url=x']}}\n", "starts with \"-\""},
    {"config: {packages: {pip: [\"a\\nb\"]}}\n", "has control characters"},
    {"config: {packages: {pip: ['']}}\n", "config.packages.pip[0]"},
    {"config: {networking: []}\n", "config.networking: must be an object"},
    {"config: {networking: {type: open}}\n", "config.networking.type: \"open\""},
    {"config: {networking: {type: unrestricted, allowed_hosts: []}}\n",
     "config.networking.allowed_hosts: goes with type \"limited\" only"},
    {"config: {networking: {type: limited, allow_hosts: []}}\n", "do you mean \"allowed_hosts\"?"},
    {"config: {networking: {type: limited, allow_package_managers: yes}}\n",
     "allow_package_managers: must be true or false, not a string"},
    {"config: {networking: {type: limited, allowed_hosts: [a.com, 'https://b.com/x']}}\n",
     "config.networking.allowed_hosts[1]: \"https://b.com/x\" is a URL; write "
     "\"b.com\""},
    {"base: ubuntu\n", "base: \"ubuntu\" is not one of host, oci:"},
    {"base: 'oci:-x'\n", "base:"},
    {"base: 'debian:../x'\n", "base:"},
    {"platform: {python: 3.11}\n", "e.yaml:1:20: platform.python: not a string"},
    {"platform: {ruby: '3'}\n", "platform.ruby: not known"},
    {"platform: '3.11'\n", "platform: not a mapping"},
    {"policy: {exclude_newer: soon}\n", "policy.exclude_newer: \"soon\" is neither a date"},
    {"policy: {exclude_newer: 7}\n", "policy.exclude_newer: a number"},
    {"policy: {prereleases: true}\n", "do you mean \"prerelease\"?"},
    {"policy: {only_binary: 1}\n", "policy.only_binary: a number, not true or false"},
    {"policy: {allow_scripts: [-x]}\n", "policy.allow_scripts[0]"},
    {"policy: {allow_scripts: all}\n", "policy.allow_scripts: not a list"},
    {"metadata: {a: 1}\n", "metadata.a: a number, not a string"},
    {"name: a\nname: b\n", "e.yaml:2:1: \"name\" is given twice"},
    {"{\"name\": 1}", "e.yaml: name: a number"},
    {"{\"name\": \"a\"", "e.yaml: JSON line 1"},
    {"{\"name\": \"a\", \"name\": \"b\"}", "e.yaml: JSON line 1"},
    {"name: \xff\n", "e.yaml: not UTF-8"},
};

START_TEST(refuses_with_file_place_and_path)
{
    struct environment *e;
    struct err err = {0};
    ck_assert_msg(!environment_parse(span_str(bad[_i].yaml), "e.yaml", NOW, &e, &err), "%s",
                  bad[_i].yaml);
    ck_assert_int_eq(err.code, ERR_INVALID);
    ck_assert_msg(strstr(err.text, bad[_i].says) != NULL, "%s", err.text);
}
END_TEST

static const struct {
    const char *host, *ascii; /* NULL: refused */
    const char *says;
} hosts[] = {
    {"example.com", "example.com", NULL},
    {"EXAMPLE.com", "example.com", NULL},
    {"*.Example.com", "*.example.com", NULL},
    {"localhost", "localhost", NULL},
    {"a-b.c1.example", "a-b.c1.example", NULL},
    {"xn--bcher-kva.example", "xn--bcher-kva.example", NULL},
    {"b\xc3\xbc"
     "cher.example",
     "xn--bcher-kva.example", NULL},
    {"*.B\xc3\x9c"
     "CHER.example",
     "*.xn--bcher-kva.example", NULL},
    {"", NULL, "empty"},
    {"*", NULL, "unrestricted"},
    {"*.", NULL, "ends in a dot"},
    {"*example.com", NULL, "where none can stand"},
    {"a.*.com", NULL, "where none can stand"},
    {"**.com", NULL, "where none can stand"},
    {"https://example.com", NULL, "write \"example.com\""},
    {"https://user:pw@example.com:8443/path?q#f", NULL, "write \"example.com\""},
    {"example.com:443", NULL, "write \"example.com\""},
    {"example.com/path", NULL, "write \"example.com\""},
    {"example.com.", NULL, "write \"example.com\""},
    {"10.0.0.1", NULL, "address"},
    {"[::1]", NULL, "address"},
    {"::1", NULL, "address"},
    {"0x7f000001", NULL, "address"},
    {"1.2.3.4.5", NULL, "address"},
    {"a..b", NULL, "empty label"},
    {".example.com", NULL, "empty label"},
    {"-a.example.com", NULL, "begins or ends"},
    {"a-.example.com", NULL, "begins or ends"},
    {"a_b.example.com", NULL, "character"},
    {"a b.example.com", NULL, "white space"},
    {"a%2eb.example.com", NULL, "percent sign"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example", NULL, "63"},
};

START_TEST(allowed_hosts_are_bare_names)
{
    struct err err = {0};
    AUTO_JSON json_t *config = json_pack("{s:{s:s,s:[s]}}", "networking", "type", "limited",
                                         "allowed_hosts", hosts[_i].host);
    json_t *out = NULL;
    bool ok = environment_config(config, &out, &err);
    ck_assert_msg(ok == (hosts[_i].ascii != NULL), "%s: %s", hosts[_i].host, err.text);
    if (ok) {
        const json_t *list = json_object_get(json_object_get(out, "networking"), "allowed_hosts");
        ck_assert_str_eq(json_string_value(json_array_get(list, 0)), hosts[_i].ascii);
    } else {
        ck_assert_msg(strstr(err.text, hosts[_i].says) != NULL, "%s", err.text);
    }
    json_decref(out);
}
END_TEST

static const struct {
    const char *text;
    int64_t ms; /* 0: refused */
} times[] = {
    {"2025-12-24", NOW - 7 * DAY},
    {"2025-12-31T23:59:59Z", NOW - 1000},
    {"2025-12-31t23:59:59.250z", NOW - 750},
    {"2026-01-01T01:00:00+01:00", NOW},
    {"2025-12-31 19:00:00-05:00", NOW},
    {"2024-02-29", 1709251200000LL},
    {"1970-01-01", DAY},
    {"7d", NOW - 7 * DAY},
    {"2w", NOW - 14 * DAY},
    {"12h", NOW + 3600000LL - 12 * 3600000LL},
    {"2025-02-29", 0},
    {"2025-13-01", 0},
    {"2025-00-10", 0},
    {"2025-1-1", 0},
    {"2025-12-24T", 0},
    {"2025-12-24T24:00:00Z", 0},
    {"2025-12-24T10:00:00", 0},
    {"2025-12-24T10:00:00+1:00", 0},
    {"2025-12-24T10:00:00.Z", 0},
    {"0d", 0},
    {"7", 0},
    {"d", 0},
    {"-7d", 0},
    {"7m", 0},
    {"999999d", 0},
    {"", 0},
};

START_TEST(an_as_of_time_is_a_date_a_time_or_an_age)
{
    struct environment *e = environment_new();
    struct err err = {0};
    int64_t now = NOW + 3600000LL + 61234; /* ages count from the begun day or hour */
    bool ok = environment_exclude_newer(e, span_str(times[_i].text), now, &err);
    ck_assert_msg(ok == (times[_i].ms != 0), "%s: %s", times[_i].text, err.text);
    if (ok)
        ck_assert_int_eq(e->policy.exclude_newer_ms, times[_i].ms);
    environment_free(e);
}
END_TEST

START_TEST(takes_specs_from_a_command_line)
{
    struct environment *e = environment_new();
    struct err err = {0};
    const json_t *packages = json_object_get(e->config, "packages");
    ck_assert(environment_add(e, "pip", "requests", &err));
    ck_assert(environment_add(e, "pip", "requests", &err));
    ck_assert(environment_add(e, "cargo", "ripgrep@14.1.1", &err));
    ck_assert_uint_eq(json_array_size(json_object_get(packages, "pip")), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(packages, "cargo")), 1);
    ck_assert(!environment_add(e, "cargo", "ripgrep@14", &err));
    ck_assert_msg(strstr(err.text, "--cargo: \"ripgrep@14\": at offset 10"), "%s", err.text);
    ck_assert(!environment_add(e, "pip", "-r", &err));
    ck_assert(!environment_add(e, "yum", "a", &err));
    ck_assert(!environment_add(e, "pip", "\xff", &err));
    ck_assert(environment_allows_registries(e));
    environment_free(e);
}
END_TEST

START_TEST(bounds_the_number_and_length_of_specs)
{
    struct err err = {0};
    AUTO_JSON json_t *list = json_array();
    for (int i = 0; i < 513; i++) {
        AUTO_FREE char *spec = mem_printf("p%d", i);
        json_array_append_new(list, json_string(spec));
    }
    AUTO_JSON json_t *config = json_pack("{s:{s:O}}", "packages", "pip", list);
    json_t *out = NULL;
    ck_assert(!environment_config(config, &out, &err));
    ck_assert_msg(strstr(err.text, "has 513 packages; at most 512"), "%s", err.text);
    json_array_remove(list, 512);
    ck_assert_msg(environment_config(config, &out, &err), "%s", err.text);
    json_decref(out);
    AUTO_BUF struct buf spec = BUF(300);
    for (int i = 0; i < 257; i++)
        buf_char(&spec, 'a');
    json_array_set_new(list, 0, json_string(buf_cstr(&spec)));
    ck_assert(!environment_config(config, &out, &err));
    ck_assert_msg(strstr(err.text, "config.packages.pip[0]: is 257 bytes"), "%s", err.text);
}
END_TEST

START_TEST(limited_networking_keeps_from_registries_unless_it_allows_them)
{
    struct environment *e;
    struct err err;
    ck_assert(environment_parse(SPAN("config: {networking: {type: limited}}"), "e", NOW, &e, &err));
    ck_assert(!environment_allows_registries(e));
    environment_free(e);
}
END_TEST

START_TEST(a_missing_file_is_named)
{
    struct environment *e;
    struct err err;
    AUTO_FREE char *path = mem_printf("%s/none.yaml", test_folder());
    ck_assert(!environment_read(path, NOW, &e, &err));
    ck_assert_msg(strstr(err.text, "none.yaml"), "%s", err.text);
    ck_assert_int_eq(err_exit_status(err.code), 2);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("environment");
    TCase *t = tcase_create("environment");
    tcase_add_test(t, reads_a_whole_file);
    tcase_add_test(t, json_and_yaml_say_the_same);
    tcase_add_loop_test(t, refuses_with_file_place_and_path, 0, COUNT(bad));
    tcase_add_loop_test(t, allowed_hosts_are_bare_names, 0, COUNT(hosts));
    tcase_add_loop_test(t, an_as_of_time_is_a_date_a_time_or_an_age, 0, COUNT(times));
    tcase_add_test(t, takes_specs_from_a_command_line);
    tcase_add_test(t, bounds_the_number_and_length_of_specs);
    tcase_add_test(t, limited_networking_keeps_from_registries_unless_it_allows_them);
    tcase_add_test(t, a_missing_file_is_named);
    suite_add_tcase(s, t);
    return s;
}
