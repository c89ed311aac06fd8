/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/discover.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "cache/store.h"
#include "tests/resolvers/machine.h"

/* pip. */

#define PIP_SOURCE                                                                                 \
    "class PackageIndex:\n    pass\n\n"                                                            \
    "Main = PackageIndex(\n    \"https://index.example.com/\",\n"                                  \
    "    file_storage_domain=\"files.example.com\"\n)\n"                                           \
    "Other = PackageIndex(\n    \"https://other.example.com/\", "                                  \
    "file_storage_domain=\"x.example.com\"\n)\n"
#define PIP_SOURCE_PATH "/usr/lib/python3/dist-packages/pip/_internal/models/index.py"

START_TEST(pips_default_is_read_out_of_pip)
{
    struct machine m = machine_new();
    machine_file(&m, PIP_SOURCE_PATH, PIP_SOURCE);
    struct discovery *d = machine_start(&m);
    expect_url(d, "pip", "https://index.example.com/simple/");
    AUTO_JSON json_t *hosts = discovery_hosts(d, "pip");
    ck_assert_uint_eq(json_array_size(hosts), 2);
    ck_assert_str_eq(json_string_value(json_array_get(hosts, 0)), "files.example.com");
    struct err err;
    ck_assert_ptr_nonnull(
        strstr(discovery_registry(d, "pip", &err)->from, "pip's built-in default"));
    machine_free(&m);
}
END_TEST

static const struct {
    const char *name;
    const char *etc, *user, *legacy, *site, *named; /* pip.conf texts */
    const char *variables[3];
    const char *expect;
} pip_cases[] = {
    {.name = "etc",
     .etc = "[global]\nindex-url = https://etc.example.com/simple\n",
     .expect = "https://etc.example.com/simple/"},
    {.name = "user over etc",
     .etc = "[global]\nindex-url=https://etc.example.com/s/\n",
     .user = "[global]\nindex_url : https://user.example.com/s/\n",
     .expect = "https://user.example.com/s/"},
    {.name = "install in a weaker file over global in a stronger one",
     .etc = "[install]\nindex-url=https://install.example.com/\n",
     .user = "[global]\nindex-url=https://user.example.com/\n",
     .expect = "https://install.example.com/"},
    {.name = "newer user file over the legacy one",
     .legacy = "[global]\nindex-url=https://legacy.example.com/\n",
     .user = "[global]\nindex-url=https://user.example.com/\n",
     .expect = "https://user.example.com/"},
    {.name = "site over user",
     .user = "[global]\nindex-url=https://user.example.com/\n",
     .site = "[global]\nindex-url=https://site.example.com/\n",
     .expect = "https://site.example.com/"},
    {.name = "PIP_CONFIG_FILE over site, and the user's is left out",
     .user = "[install]\nindex-url=https://user.example.com/\n",
     .site = "[global]\nindex-url=https://site.example.com/\n",
     .named = "[global]\nindex-url=https://named.example.com/\n",
     .expect = "https://named.example.com/"},
    {.name = "the variable over all",
     .named = "[install]\nindex-url=https://n.example.com/\n",
     .variables = {"PIP_INDEX_URL=https://env.example.com/simple"},
     .expect = "https://env.example.com/simple/"},
    {.name = "an empty variable is unset",
     .etc = "[global]\nindex-url=https://e.example.com/\n",
     .variables = {"PIP_INDEX_URL="},
     .expect = "https://e.example.com/"},
    {.name = "PIP_CONFIG_FILE=/dev/null reads no file",
     .etc = "[global]\nindex-url=https://etc.example.com/\n",
     .variables = {"PIP_CONFIG_FILE=/dev/null"},
     .expect = "https://index.example.com/simple/"},
    {.name = "comments and other sections",
     .etc = "# [global]\n[download]\nindex-url=https://d.example.com/\n[global]\n"
            "; index-url = https://no.example.com/\ntimeout = 10\n",
     .expect = "https://index.example.com/simple/"},
};

START_TEST(pips_settings_override_in_pips_order)
{
    struct machine m = machine_new();
    machine_file(&m, PIP_SOURCE_PATH, PIP_SOURCE);
    if (pip_cases[_i].etc)
        machine_file(&m, "/etc/pip.conf", pip_cases[_i].etc);
    if (pip_cases[_i].legacy)
        machine_file(&m, "/user/.pip/pip.conf", pip_cases[_i].legacy);
    if (pip_cases[_i].user)
        machine_file(&m, "/user/.config/pip/pip.conf", pip_cases[_i].user);
    if (pip_cases[_i].site)
        machine_file(&m, "/usr/pip.conf", pip_cases[_i].site);
    if (pip_cases[_i].named) {
        machine_file(&m, "/named.conf", pip_cases[_i].named);
        machine_variable(&m, arena_printf(m.arena, "PIP_CONFIG_FILE=%s/named.conf", m.root));
    }
    for (int i = 0; pip_cases[_i].variables[i]; i++)
        machine_variable(&m, pip_cases[_i].variables[i]);
    struct discovery *d = machine_start(&m);
    expect_url(d, "pip", pip_cases[_i].expect);
    machine_free(&m);
}
END_TEST

START_TEST(pips_extra_indexes_and_users_are_kept_apart)
{
    struct machine m = machine_new();
    struct err err;
    AUTO_BUF struct buf header = BUF(256);
    machine_file(&m, "/etc/pip.conf",
                 "[global]\nindex-url = https://ann:pw@main.example.com/simple\n"
                 "extra-index-url =\n    https://one.example.com/simple\n"
                 "    https://b:c@two.example.com/simple/\n");
    struct discovery *d = machine_start(&m);
    expect_url(d, "pip", "https://main.example.com/simple/");
    const struct registry *r = discovery_registry(d, "pip", &err);
    ck_assert_uint_eq(r->extra_count, 2);
    ck_assert_str_eq(r->extra[0].url, "https://one.example.com/simple/");
    ck_assert_str_eq(r->extra[1].url, "https://two.example.com/simple/");
    ck_assert_ptr_null(r->extra[1].scope);
    ck_assert(credentials_lookup(discovery_credentials(d), r->urls[0], &header));
    ck_assert(!credentials_has(discovery_credentials(d), r->extra[0].url));
    ck_assert(credentials_has(discovery_credentials(d), r->extra[1].url));
    AUTO_JSON json_t *report = discovery_report(d, "pip");
    AUTO_FREE char *text = json_dumps(report, 0);
    ck_assert_ptr_null(strstr(text, "ann"));
    ck_assert_ptr_null(strstr(text, "b:c"));
    machine_free(&m);
}
END_TEST

static const struct {
    const char *conf;
    enum err_code code;
    const char *says;
} pip_bad[] = {
    {"[global]\nindex-url = file:///srv/wheels\n", ERR_INVALID, "not an http or https URL"},
    {"[global]\nindex-url = user:hunter2@x.example.com/s\n", ERR_INVALID, "...@x.example.com"},
    {"[global]\nindex-url\n", ERR_INVALID, "line 2"},
    {"index-url = https://x.example.com\n", ERR_INVALID, "line 1"},
    {"[global]\nno-index = yes\n", ERR_NO_REGISTRY, "no-index"},
};

START_TEST(a_bad_pip_conf_is_named_with_file_and_line)
{
    struct machine m = machine_new();
    struct err err = {0};
    machine_file(&m, PIP_SOURCE_PATH, PIP_SOURCE);
    machine_file(&m, "/etc/pip.conf", pip_bad[_i].conf);
    struct discovery *d = machine_start(&m);
    ck_assert_ptr_null(discovery_registry(d, "pip", &err));
    ck_assert_int_eq(err.code, pip_bad[_i].code);
    ck_assert_msg(strstr(err.text, pip_bad[_i].says) && strstr(err.text, "pip.conf"), "%s",
                  err.text);
    ck_assert_ptr_null(strstr(err.text, "hunter2"));
    machine_free(&m);
}
END_TEST

START_TEST(finding_none_says_where_it_looked_and_what_to_write)
{
    static const char *const managers[] = {"pip", "npm"};
    struct machine m = machine_new();
    struct discovery *d = machine_start(&m);
    for (size_t i = 0; i < COUNT(managers); i++) {
        struct err err = {0};
        ck_assert_ptr_null(discovery_registry(d, managers[i], &err));
        ck_assert_int_eq(err.code, ERR_NO_REGISTRY);
        ck_assert_msg(strstr(err.text, managers[i]) && strstr(err.text, "registries: {") &&
                          strstr(err.text, "looked in"),
                      "%s", err.text);
    }
    machine_free(&m);
}
END_TEST

/* npm. */

#define NPM_SOURCE                                                                                 \
    "  'proxy-x': new Definition('x', {\n    default: 'https://no.example.com/',\n  }),\n"         \
    "  registry: new Definition('registry', {\n    default: 'https://npm.example.com/',\n"         \
    "    type: url,\n  }),\n"
#define NPM "/usr/lib/node_modules/npm"

static void install_npm(struct machine *m)
{
    machine_file(m, NPM "/package.json", "{\"name\":\"npm\",\"version\":\"10.0.0\"}");
    machine_file(m, NPM "/node_modules/@npmcli/config/lib/definitions/definitions.js", NPM_SOURCE);
}

START_TEST(npms_default_is_read_out_of_npm)
{
    struct machine m = machine_new();
    install_npm(&m);
    struct discovery *d = machine_start(&m);
    expect_url(d, "npm", "https://npm.example.com/");
    machine_free(&m);
}
END_TEST

START_TEST(an_older_npms_default_is_found_too)
{
    struct machine m = machine_new();
    machine_file(&m, NPM "/package.json", "{}");
    machine_file(&m, NPM "/lib/config/defaults.js",
                 "  defaults = {\n    proxy: null,\n    registry: 'https://six.example.com/',\n");
    struct discovery *d = machine_start(&m);
    expect_url(d, "npm", "https://six.example.com/");
    machine_free(&m);
}
END_TEST

static const struct {
    const char *name, *project, *user, *global, *builtin;
    const char *variables[3];
    const char *expect;
} npm_cases[] = {
    {.name = "builtin",
     .builtin = "registry=https://builtin.example.com\n",
     .expect = "https://builtin.example.com/"},
    {.name = "global over builtin",
     .builtin = "registry=https://builtin.example.com\n",
     .global = "registry = https://global.example.com/\n",
     .expect = "https://global.example.com/"},
    {.name = "user over global",
     .global = "registry=https://global.example.com/\n",
     .user = "; registry=https://no.example.com\nregistry=\"https://user.example.com/\" \n",
     .expect = "https://user.example.com/"},
    {.name = "project over user",
     .user = "registry=https://user.example.com/\n",
     .project = "registry=https://project.example.com/path\n",
     .expect = "https://project.example.com/path/"},
    {.name = "variable over project",
     .project = "registry=https://project.example.com/\n",
     .variables = {"npm_config_registry=https://env.example.com"},
     .expect = "https://env.example.com/"},
    {.name = "variable in capitals",
     .variables = {"NPM_CONFIG_REGISTRY=https://e.example.com/"},
     .expect = "https://e.example.com/"},
    {.name = "a section's keys do not count",
     .user = "[x]\nregistry=https://section.example.com/\n",
     .expect = "https://npm.example.com/"},
    {.name = "the last of two counts",
     .user = "registry=https://one.example.com/\nregistry=https://two.example.com/\n",
     .expect = "https://two.example.com/"},
    {.name = "a variable in a value",
     .user = "registry=https://${WHERE}.example.com/${NO?}\n",
     .variables = {"WHERE=var"},
     .expect = "https://var.example.com/"},
    {.name = "a comment behind a value",
     .user = "registry=https://c.example.com/ ; ours\n",
     .expect = "https://c.example.com/"},
};

START_TEST(npms_settings_override_in_npms_order)
{
    struct machine m = machine_new();
    install_npm(&m);
    if (npm_cases[_i].project) {
        machine_file(&m, "/project/.npmrc", npm_cases[_i].project);
        m.options.project_dir = arena_printf(m.arena, "%s/project", m.root);
    }
    if (npm_cases[_i].user)
        machine_file(&m, "/user/.npmrc", npm_cases[_i].user);
    if (npm_cases[_i].global)
        machine_file(&m, "/usr/etc/npmrc", npm_cases[_i].global);
    if (npm_cases[_i].builtin)
        machine_file(&m, NPM "/npmrc", npm_cases[_i].builtin);
    for (int i = 0; npm_cases[_i].variables[i]; i++)
        machine_variable(&m, npm_cases[_i].variables[i]);
    struct discovery *d = machine_start(&m);
    expect_url(d, "npm", npm_cases[_i].expect);
    machine_free(&m);
}
END_TEST

START_TEST(npms_scopes_have_registries_and_tokens_of_their_own)
{
    struct machine m = machine_new();
    struct err err;
    AUTO_BUF struct buf header = BUF(256), other = BUF(256), old = BUF(256);
    install_npm(&m);
    machine_file(&m, "/user/.npmrc",
                 "@corp:registry=https://corp.example.com/npm\n"
                 "//corp.example.com/npm/:_authToken=${CORP_TOKEN}\n"
                 "//npm.example.com/:_auth=YTpi\n"
                 "//old.example.com/:username=ann\n//old.example.com/:_password=cHc=\n");
    machine_variable(&m, "CORP_TOKEN=t0ken");
    struct discovery *d = machine_start(&m);
    expect_url(d, "npm", "https://npm.example.com/");
    const struct registry *r = discovery_registry(d, "npm", &err);
    ck_assert_uint_eq(r->extra_count, 1);
    ck_assert_str_eq(r->extra[0].scope, "@corp");
    ck_assert_str_eq(r->extra[0].url, "https://corp.example.com/npm/");
    struct credentials *c = discovery_credentials(d);
    ck_assert(credentials_lookup(c, "https://corp.example.com/npm/@corp%2fx", &header));
    ck_assert_str_eq(buf_cstr(&header), "Bearer t0ken");
    ck_assert(credentials_lookup(c, "https://npm.example.com/x", &other));
    ck_assert_str_eq(buf_cstr(&other), "Basic YTpi");
    ck_assert(credentials_lookup(c, "https://old.example.com/x", &old));
    ck_assert_str_eq(buf_cstr(&old), "Basic YW5uOnB3");
    AUTO_JSON json_t *report = discovery_report(d, "npm");
    AUTO_FREE char *text = json_dumps(report, 0);
    ck_assert_ptr_null(strstr(text, "t0ken"));
    machine_free(&m);
}
END_TEST

START_TEST(the_configuration_wins_and_the_clients_tokens_still_count)
{
    struct machine m = machine_new();
    struct err err;
    AUTO_JSON json_t *configured = json_parse(
        SPAN("{\"pip\":[\"https://one.example.com/simple\",\"https://two.example.com/simple\"],"
             "\"npm\":{\"url\":\"https://mirror.example.com/npm\",\"scopes\":{\"@a\":"
             "\"https://a.example.com\"}}}"),
        &err);
    install_npm(&m);
    machine_file(&m, "/user/.npmrc",
                 "registry=https://user.example.com/\n@b:registry=https://b.example.com/\n"
                 "@a:registry=https://other.example.com/\n"
                 "//mirror.example.com/npm/:_authToken=tok\n");
    machine_file(&m, "/etc/pip.conf", "[global]\nno-index = true\n");
    m.options.configured = configured;
    AUTO_JSON json_t *from = json_pack("{s:s}", "pip", "strata.yaml:3");
    m.options.configured_from = from;
    struct discovery *d = machine_start(&m);
    expect_url(d, "pip", "https://one.example.com/simple/");
    const struct registry *r = discovery_registry(d, "pip", &err);
    ck_assert_uint_eq(r->url_count, 2);
    ck_assert_str_eq(r->from, "registries.pip in strata.yaml:3");
    expect_url(d, "npm", "https://mirror.example.com/npm/");
    r = discovery_registry(d, "npm", &err);
    ck_assert_uint_eq(r->url_count, 1);
    ck_assert_uint_eq(r->extra_count, 2);
    ck_assert_str_eq(r->extra[0].url, "https://a.example.com/");
    ck_assert_str_eq(r->extra[1].url, "https://b.example.com/");
    ck_assert(credentials_has(discovery_credentials(d), "https://mirror.example.com/npm/x"));
    machine_free(&m);
}
END_TEST

START_TEST(a_client_that_must_run_is_asked_once)
{
    struct machine m = machine_new();
    struct store *store;
    struct err err;
    ck_assert(store_open(&store, arena_printf(m.arena, "%s/store", m.root), &err));
    machine_program(&m, "/usr/bin/npm",
                    "#!/bin/sh\necho x >> \"$HOME/asked\"\necho https://asked.example.com/\n");
    machine_file(&m, "/user/seen", "");
    m.options.store = store;
    expect_url(machine_start(&m), "npm", "https://asked.example.com/");
    for (int i = 0; i < 2; i++) {
        discovery_free(m.d);
        m.d = discovery_new(&m.options);
        expect_url(m.d, "npm", "https://asked.example.com/");
    }
    AUTO_BUF struct buf asked = BUF(64);
    ck_assert(io_read_file(AT_FDCWD, arena_printf(m.arena, "%s/user/asked", m.root), &asked, &err));
    ck_assert_uint_eq(asked.len, 2);
    machine_free(&m);
    store_close(store);
}
END_TEST

static void add_pip(TCase *t)
{
    tcase_add_test(t, pips_default_is_read_out_of_pip);
    tcase_add_loop_test(t, pips_settings_override_in_pips_order, 0, COUNT(pip_cases));
    tcase_add_test(t, pips_extra_indexes_and_users_are_kept_apart);
    tcase_add_loop_test(t, a_bad_pip_conf_is_named_with_file_and_line, 0, COUNT(pip_bad));
}

static void add_npm(TCase *t)
{
    tcase_add_test(t, npms_default_is_read_out_of_npm);
    tcase_add_test(t, an_older_npms_default_is_found_too);
    tcase_add_loop_test(t, npms_settings_override_in_npms_order, 0, COUNT(npm_cases));
    tcase_add_test(t, npms_scopes_have_registries_and_tokens_of_their_own);
}

Suite *test_suite(void)
{
    Suite *s = suite_create("discover");
    TCase *t = tcase_create("discover");
    add_pip(t);
    add_npm(t);
    tcase_add_test(t, finding_none_says_where_it_looked_and_what_to_write);
    tcase_add_test(t, the_configuration_wins_and_the_clients_tokens_still_count);
    tcase_add_test(t, a_client_that_must_run_is_asked_once);
    suite_add_tcase(s, t);
    return s;
}
