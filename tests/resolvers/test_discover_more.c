/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "tests/resolvers/machine.h"

/* go. */

#define GO_ENV "GOPROXY=https://proxy.example.com,direct\nGOSUMDB=sum.example.com\n"
#define GO_KEY                                                                                     \
    "var knownGOSUMDB = map[string]string{\n\t\"sum.example.com\": "                               \
    "\"sum.example.com+033de0ae+Ac4zctda0e5e\",\n}\n"

static const char *proxy_at(struct discovery *d, size_t i)
{
    const json_t *list = json_object_get(discovery_details(d, "go"), "proxies");
    const json_t *proxy = json_array_get(list, i);
    const char *url = json_get_str(proxy, "url"), *kind = json_get_str(proxy, "kind");
    return url ? url : kind ? kind : "";
}

START_TEST(gos_defaults_are_in_its_go_env)
{
    struct machine m = machine_new();
    machine_file(&m, "/usr/go.env", GO_ENV);
    machine_program(&m, "/usr/bin/go", "#!/bin/false\n");
    machine_file(&m, "/usr/src/cmd/go/internal/modfetch/key.go", GO_KEY);
    struct discovery *d = machine_start(&m);
    expect_url(d, "go", "https://proxy.example.com/");
    const json_t *details = discovery_details(d, "go");
    ck_assert_str_eq(json_get_str(details, "sumdb"), "sum.example.com");
    ck_assert_str_eq(json_get_str(details, "sumdb_key"), "sum.example.com+033de0ae+Ac4zctda0e5e");
    ck_assert_str_eq(proxy_at(d, 0), "https://proxy.example.com/");
    ck_assert_str_eq(proxy_at(d, 1), "direct");
    AUTO_JSON json_t *hosts = discovery_hosts(d, "go");
    ck_assert_uint_eq(json_array_size(hosts), 2);
    machine_free(&m);
}
END_TEST

static const struct {
    const char *name, *user, *variables[4];
    const char *expect; /* NULL: none */
} go_cases[] = {
    {"user's file over go.env",
     "GOPROXY=https://user.example.com\n",
     {NULL},
     "https://user.example.com/"},
    {"variable over user's file",
     "GOPROXY=https://user.example.com\n",
     {"GOPROXY=https://env.example.com|https://two.example.com"},
     "https://env.example.com/"},
    {"GOENV=off leaves the user's file out",
     "GOPROXY=https://user.example.com\n",
     {"GOENV=off"},
     "https://proxy.example.com/"},
    {"direct alone is no proxy", "GOPROXY=direct\n", {NULL}, NULL},
    {"off is no proxy", NULL, {"GOPROXY=off"}, NULL},
    {"a file is no proxy", NULL, {"GOPROXY=file:///srv/proxy"}, NULL},
};

START_TEST(gos_settings_override_in_gos_order)
{
    struct machine m = machine_new();
    struct err err = {0};
    machine_file(&m, "/usr/go.env", GO_ENV);
    machine_program(&m, "/usr/bin/go", "#!/bin/false\n");
    if (go_cases[_i].user)
        machine_file(&m, "/user/.config/go/env", go_cases[_i].user);
    for (int i = 0; go_cases[_i].variables[i]; i++)
        machine_variable(&m, go_cases[_i].variables[i]);
    struct discovery *d = machine_start(&m);
    if (go_cases[_i].expect)
        expect_url(d, "go", go_cases[_i].expect);
    else
        ck_assert_ptr_null(discovery_registry(d, "go", &err));
    machine_free(&m);
}
END_TEST

START_TEST(an_older_go_is_asked)
{
    struct machine m = machine_new();
    machine_program(&m, "/usr/bin/go",
                    "#!/bin/sh\necho https://asked.example.com,direct\necho sum.example.com\n");
    struct discovery *d = machine_start(&m);
    expect_url(d, "go", "https://asked.example.com/");
    ck_assert_str_eq(json_get_str(discovery_details(d, "go"), "sumdb"), "sum.example.com");
    machine_free(&m);
}
END_TEST

START_TEST(gos_own_checksum_database_may_have_a_key_and_an_address)
{
    struct machine m = machine_new();
    machine_file(&m, "/usr/go.env", GO_ENV);
    machine_program(&m, "/usr/bin/go", "#!/bin/false\n");
    machine_variable(&m, "GOSUMDB=own.example.com+abc+def https://own.example.com/db");
    machine_variable(&m, "GOPRIVATE=corp.example.com/*");
    struct discovery *d = machine_start(&m);
    expect_url(d, "go", "https://proxy.example.com/");
    const json_t *details = discovery_details(d, "go");
    ck_assert_str_eq(json_get_str(details, "sumdb"), "own.example.com");
    ck_assert_str_eq(json_get_str(details, "sumdb_key"), "own.example.com+abc+def");
    ck_assert_str_eq(json_get_str(details, "sumdb_url"), "https://own.example.com/db");
    ck_assert_str_eq(json_get_str(details, "private"), "corp.example.com/*");
    machine_free(&m);
}
END_TEST

/* gem. */

#define RUBY "module Gem\n  def self.default_sources\n    %w[https://gems.example.com/]\n  end\n"

static const struct {
    const char *name, *gemrc, *etc, *expect;
} gem_cases[] = {
    {"rubygems' own", NULL, NULL, "https://gems.example.com/"},
    {"as gem sources writes it",
     "---\n:backtrace: false\n:sources:\n- https://own.example.com/\n- https://b.example.com\n"
     ":update_sources: true\n",
     NULL, "https://own.example.com/"},
    {"in brackets and quotes",
     ":sources: [\"https://flow.example.com\", 'https://x.example.com']\n", NULL,
     "https://flow.example.com/"},
    {"user's over the system's", ":sources:\n  - https://user.example.com\n",
     ":sources:\n  - https://etc.example.com\n", "https://user.example.com/"},
    {"system's", "gem: --no-document\n", ":sources:\n- \"https://etc.example.com\" # ours\n",
     "https://etc.example.com/"},
    {"the key has a colon in front", "sources:\n- https://no.example.com\n", NULL,
     "https://gems.example.com/"},
    {"another list is no source", ":ssl:\n- https://no.example.com\n", NULL,
     "https://gems.example.com/"},
};

START_TEST(gems_sources_are_found)
{
    struct machine m = machine_new();
    machine_file(&m, "/usr/lib/ruby/vendor_ruby/rubygems/defaults.rb", RUBY);
    if (gem_cases[_i].gemrc)
        machine_file(&m, "/user/.gemrc", gem_cases[_i].gemrc);
    if (gem_cases[_i].etc)
        machine_file(&m, "/etc/gemrc", gem_cases[_i].etc);
    expect_url(machine_start(&m), "gem", gem_cases[_i].expect);
    machine_free(&m);
}
END_TEST

/* cargo. */

#define CARGO_PROGRAM                                                                              \
    "\x7f"                                                                                         \
    "ELF sparse+https://hints_of_something more CARGO_RUST_VERSIONsparse+https://"                 \
    "index.example.com/[registry]next string"

static const struct {
    const char *name, *config, *credentials, *variables[3];
    const char *expect; /* NULL: an error */
    const char *says;
} cargo_cases[] = {
    {.name = "in the program", .expect = "https://index.example.com/"},
    {.name = "replaced by a source",
     .config = "[source.crates-io]\nreplace-with = \"m\" # ours\n\n[source.m]\n"
               "registry = \"sparse+https://mirror.example.com/index\"\n",
     .expect = "https://mirror.example.com/index/"},
    {.name = "replaced by a registry, in inline tables and quoted keys",
     .config = "source.\"crates-io\" = { replace-with = 'corp' }\n"
               "registries = { corp = { index = \"sparse+https://corp.example.com/\" } }\n",
     .expect = "https://corp.example.com/"},
    {.name = "replaced twice",
     .config = "[source]\ncrates-io.replace-with='a'\na.replace-with='b'\n"
               "b.registry='sparse+https://b.example.com'\n",
     .expect = "https://b.example.com/"},
    {.name = "a default registry",
     .config = "[registry]\ndefault=\"corp\"\n",
     .variables = {"CARGO_REGISTRIES_CORP_INDEX=sparse+https://env.example.com/"},
     .expect = "https://env.example.com/"},
    {.name = "in a circle",
     .config = "[source.crates-io]\nreplace-with='a'\n[source.a]\nreplace-with='crates-io'\n",
     .says = "circle"},
    {.name = "an index in git",
     .config = "[source.crates-io]\nreplace-with='g'\n[source.g]\n"
               "registry='https://git.example.com/index'\n",
     .says = "only sparse ones"},
    {.name = "a folder",
     .says = "local-registry",
     .config = "[source.crates-io]\nreplace-with='l'\n[source.l]\nlocal-registry='/srv/crates'\n"},
    {.name = "undefined",
     .config = "[source.crates-io]\nreplace-with='x'\n",
     .says = "does not define"},
    {.name = "broken", .config = "[source\n", .says = "line 1"},
};

START_TEST(cargos_registry_is_found)
{
    struct machine m = machine_new();
    struct err err = {0};
    machine_program(&m, "/usr/bin/cargo", CARGO_PROGRAM);
    m.options.no_run = true;
    if (cargo_cases[_i].config)
        machine_file(&m, "/user/.cargo/config.toml", cargo_cases[_i].config);
    for (int i = 0; cargo_cases[_i].variables[i]; i++)
        machine_variable(&m, cargo_cases[_i].variables[i]);
    struct discovery *d = machine_start(&m);
    if (cargo_cases[_i].expect) {
        expect_url(d, "cargo", cargo_cases[_i].expect);
    } else {
        ck_assert_ptr_null(discovery_registry(d, "cargo", &err));
        ck_assert_msg(strstr(err.text, cargo_cases[_i].says) != NULL, "%s", err.text);
    }
    machine_free(&m);
}
END_TEST

START_TEST(cargos_token_goes_to_its_registry)
{
    struct machine m = machine_new();
    AUTO_BUF struct buf header = BUF(256);
    machine_file(
        &m, "/user/.cargo/config.toml",
        "[registry]\ndefault='corp'\n[registries.corp]\nindex='sparse+https://c.example.com/i/'\n");
    machine_file(&m, "/user/.cargo/credentials.toml",
                 "[registries.corp]\ntoken = \"Bearer t0k\"\n[registry]\ntoken = \"publish\"\n");
    struct discovery *d = machine_start(&m);
    expect_url(d, "cargo", "https://c.example.com/i/");
    ck_assert(credentials_lookup(discovery_credentials(d), "https://c.example.com/i/config.json",
                                 &header));
    ck_assert_str_eq(buf_cstr(&header), "Bearer t0k");
    machine_free(&m);
}
END_TEST

START_TEST(two_indexes_in_a_program_are_not_guessed_between)
{
    struct machine m = machine_new();
    struct err err = {0};
    machine_program(&m, "/usr/bin/cargo",
                    "sparse+https://one.example.com/ sparse+https://two.example.com/");
    m.options.no_run = true;
    ck_assert_ptr_null(discovery_registry(machine_start(&m), "cargo", &err));
    ck_assert_int_eq(err.code, ERR_NO_REGISTRY);
    machine_free(&m);
}
END_TEST

START_TEST(a_cargo_without_the_constant_tells_what_it_could_not_reach)
{
    struct machine m = machine_new();
    machine_program(&m, "/usr/bin/cargo",
                    "#!/bin/sh\n[ \"$CARGO_HTTP_PROXY\" ] || exit 1\n"
                    "echo 'error: failed to download from `https://told.example.com/config.json`' "
                    ">&2\nexit 101\n");
    expect_url(machine_start(&m), "cargo", "https://told.example.com/");
    machine_free(&m);
}
END_TEST

/* apt. */

START_TEST(apts_sources_are_read_in_both_forms)
{
    struct machine m = machine_new();
    struct err err;
    machine_file(
        &m, "/etc/apt/sources.list",
        "# old\ndeb [arch=amd64,i386 signed-by=/usr/share/k.gpg] http://a.example.com/debian "
        "bookworm main contrib\ndeb-src http://a.example.com/debian bookworm main\n"
        "deb cdrom:[Debian 12]/ bookworm main\ndeb http://flat.example.com/repo ./\n");
    machine_file(&m, "/etc/apt/sources.list.d/b.sources",
                 "Types: deb deb-src\nURIs: https://b.example.com/debian\n https://c.example.com\n"
                 "Suites: bookworm bookworm-updates\nComponents: main\nArchitectures: amd64\n"
                 "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n\n"
                 "Types: deb\nURIs: https://off.example.com\nSuites: x\nComponents: y\n"
                 "Enabled: no\n");
    machine_file(&m, "/etc/apt/sources.list.d/no.list.off", "deb http://no.example.com a b\n");
    machine_file(&m, "/etc/apt/auth.conf.d/b.conf",
                 "machine b.example.com/debian login ann password pw\n");
    struct discovery *d = machine_start(&m);
    const struct registry *r = discovery_registry(d, "apt", &err);
    ck_assert_msg(r != NULL, "%s", err.text);
    ck_assert_uint_eq(r->url_count, 4);
    ck_assert_str_eq(r->urls[0], "http://a.example.com/debian/");
    ck_assert_str_eq(r->urls[3], "https://c.example.com/");
    const json_t *sources = json_object_get(discovery_details(d, "apt"), "sources");
    ck_assert_uint_eq(json_array_size(sources), 6);
    const json_t *first = json_array_get(sources, 0);
    ck_assert_str_eq(json_get_str(first, "signed_by"), "/usr/share/k.gpg");
    ck_assert_uint_eq(json_array_size(json_object_get(first, "architectures")), 2);
    ck_assert_uint_eq(json_array_size(json_object_get(first, "components")), 2);
    ck_assert_str_eq(json_get_str(json_array_get(sources, 1), "suite"), "./");
    ck_assert_ptr_nonnull(strstr(json_get_str(json_array_get(sources, 2), "signed_by"), "BEGIN"));
    ck_assert(credentials_has(discovery_credentials(d), "https://b.example.com/debian/dists/x"));
    machine_free(&m);
}
END_TEST

static const struct {
    const char *line, *says;
} apt_bad[] = {
    {"dep http://a.example.com x y\n", "begins with neither"},
    {"deb http://a.example.com\n", "no suite"},
    {"deb http://a.example.com x\n", "no component"},
    {"deb [arch=amd64 http://a.example.com x y\n", "without their"},
};

START_TEST(a_bad_line_of_apts_is_named)
{
    struct machine m = machine_new();
    struct err err = {0};
    machine_file(&m, "/etc/apt/sources.list", apt_bad[_i].line);
    ck_assert_ptr_null(discovery_registry(machine_start(&m), "apt", &err));
    ck_assert_msg(strstr(err.text, "sources.list (line 1)") && strstr(err.text, apt_bad[_i].says),
                  "%s", err.text);
    machine_free(&m);
}
END_TEST

START_TEST(the_configuration_has_its_own_form_for_apt_go_and_cargo)
{
    struct machine m = machine_new();
    struct err err;
    AUTO_JSON json_t *configured = json_parse(
        SPAN("{\"apt\":[\"deb [signed-by=/k.gpg] https://a.example.com/debian bookworm main\"],"
             "\"go\":{\"url\":\"https://g.example.com|direct\",\"sumdb\":\"s.example.com+1+2\"},"
             "\"cargo\":\"sparse+https://c.example.com/\",\"gem\":\"https://r.example.com\"}"),
        &err);
    m.options.configured = configured;
    machine_file(&m, "/etc/apt/sources.list", "deb http://no.example.com bookworm main\n");
    struct discovery *d = machine_start(&m);
    expect_url(d, "apt", "https://a.example.com/debian/");
    ck_assert_uint_eq(discovery_registry(d, "apt", &err)->url_count, 1);
    const json_t *sources = json_object_get(discovery_details(d, "apt"), "sources");
    ck_assert_uint_eq(json_array_size(sources), 1);
    ck_assert_str_eq(json_get_str(json_array_get(sources, 0), "suite"), "bookworm");
    expect_url(d, "go", "https://g.example.com/");
    ck_assert_str_eq(json_get_str(discovery_details(d, "go"), "sumdb_key"), "s.example.com+1+2");
    ck_assert_str_eq(proxy_at(d, 1), "direct");
    expect_url(d, "cargo", "https://c.example.com/");
    expect_url(d, "gem", "https://r.example.com/");
    machine_free(&m);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("discover_more");
    TCase *t = tcase_create("discover_more");
    tcase_add_test(t, gos_defaults_are_in_its_go_env);
    tcase_add_loop_test(t, gos_settings_override_in_gos_order, 0, COUNT(go_cases));
    tcase_add_test(t, an_older_go_is_asked);
    tcase_add_test(t, gos_own_checksum_database_may_have_a_key_and_an_address);
    tcase_add_loop_test(t, gems_sources_are_found, 0, COUNT(gem_cases));
    tcase_add_loop_test(t, cargos_registry_is_found, 0, COUNT(cargo_cases));
    tcase_add_test(t, cargos_token_goes_to_its_registry);
    tcase_add_test(t, two_indexes_in_a_program_are_not_guessed_between);
    tcase_add_test(t, a_cargo_without_the_constant_tells_what_it_could_not_reach);
    tcase_add_test(t, apts_sources_are_read_in_both_forms);
    tcase_add_loop_test(t, a_bad_line_of_apts_is_named, 0, COUNT(apt_bad));
    tcase_add_test(t, the_configuration_has_its_own_form_for_apt_go_and_cargo);
    suite_add_tcase(s, t);
    return s;
}
