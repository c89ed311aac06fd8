/* SPDX-License-Identifier: Apache-2.0 */
/* Host names, configs and their merging, metadata, network policies: the pure parts. */
#include "base/mem.h"
#include "tests/test_main.h"
#include "worker/rules/config.h"
#include "worker/rules/hosts.h"
#include "worker/rules/netpolicy.h"
#include "worker/rules/text.h"

static json_t *json(const char *text)
{
    struct err err = {0};
    json_t *v = json_parse(span_str(text), &err);
    ck_assert_msg(v, "%s in %s", err.text, text);
    return v;
}

/* ---- hosts ---- */

static const struct {
    const char *in, *out, *says; /* out NULL: refused, and the message has `says` */
} host_cases[] = {
    {"example.com", "example.com", NULL},
    {"API.Example.COM", "api.example.com", NULL},
    {"*.example.com", "*.example.com", NULL},
    {"*.Example.COM", "*.example.com", NULL},
    {"mirror", "mirror", NULL},
    {"a-b.c--d.example", "a-b.c--d.example", NULL},
    {"b\xc3\xbc"
     "cher.example",
     "xn--bcher-kva.example", NULL},
    {"*.b\xc3\xbc"
     "cher.example",
     "*.xn--bcher-kva.example", NULL},
    {"xn--bcher-kva.example", "xn--bcher-kva.example", NULL},
    {"\xe4\xbe\x8b\xe3\x81\x88.example", "xn--r8jz45g.example", NULL},
    {"1password.example", "1password.example", NULL},
    {"", NULL, "is empty"},
    {"https://api.example.com/v1", NULL, "is a URL; write \"api.example.com\""},
    {"https://user:pw@api.example.com:8443/", NULL, "write \"api.example.com\""},
    {"ftp://files.example.com", NULL, "write \"files.example.com\""},
    {"example.com/", NULL, "has a path; write \"example.com\""},
    {"example.com?x=1", NULL, "has a path"},
    {"example.com#a", NULL, "has a path"},
    {"example.com\\evil", NULL, "has a path"},
    {"example.com:443", NULL, "has a port; write \"example.com\""},
    {"user@example.com", NULL, "has a user name"},
    {"example.com.", NULL, "ends in a dot; write \"example.com\""},
    {"example.com..", NULL, "ends in a dot"},
    {".example.com", NULL, "is not a host name"},
    {"a..b", NULL, "is not a host name"},
    {"*", NULL, "unrestricted"},
    {"*.", NULL, "ends in a dot"},
    {"*.*.example.com", NULL, "where none can stand"},
    {"foo*.example.com", NULL, "where none can stand"},
    {"a.*.com", NULL, "where none can stand"},
    {"127.0.0.1", NULL, "is an address"},
    {"*.0.0.1", NULL, "is an address"},
    {"10.1", NULL, "is an address"},
    {"0x7f.1", NULL, "is an address"},
    {"0x7f000001", NULL, "is an address"},
    {"2130706433", NULL, "is an address"},
    {"::1", NULL, "is an address"},
    {"[::1]", NULL, "is an address"},
    {"\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1", NULL, "is an address"}, /* full-width digits */
    {"exa mple.com", NULL, "white space"},
    {"example.com\n", NULL, "control characters"},
    {"exam%70le.com", NULL, "percent"},
    {"-a.example", NULL, "is not a host name"},
    {"a-.example", NULL, "is not a host name"},
    {"under_score.example", NULL, "is not a host name"},
    {"\xff\xfe.example", NULL, "not UTF-8"},
    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example", NULL,
     "is not a host name"}, /* 64 in a label */
};

START_TEST(hosts_become_ascii_names_or_are_refused_with_the_name_to_write)
{
    char out[HOST_SIZE];
    struct err err = {0};
    bool ok = host_normalise(span_str(host_cases[_i].in), true, out, &err);
    if (host_cases[_i].out) {
        ck_assert_msg(ok, "%s: %s", host_cases[_i].in, err.text);
        ck_assert_str_eq(out, host_cases[_i].out);
        char again[HOST_SIZE];
        ck_assert(host_normalise(span_str(out), true, again, &err));
        ck_assert_str_eq(out, again);
    } else {
        ck_assert_msg(!ok, "%s gave %s", host_cases[_i].in, out);
        ck_assert_msg(strstr(err.text, host_cases[_i].says), "%s", err.text);
    }
}
END_TEST

static const struct {
    const char *url, *host;
} url_cases[] = {
    {"https://mcp.example.com/sse", "mcp.example.com"},
    {"HTTPS://MCP.Example.com:8443/x?y#z", "mcp.example.com"},
    {"http://user:pw@mcp.example.com", "mcp.example.com"},
    {"https://b\xc3\xbc"
     "cher.example/",
     "xn--bcher-kva.example"},
    {"http://10.0.0.7:3000/mcp", "10.0.0.7"},
    {"http://[2001:db8::1]:80/", "2001:db8::1"},
    {"https://mcp.example.com./", "mcp.example.com"},
    {"ftp://mcp.example.com/", NULL},
    {"mcp.example.com", NULL},
    {"file:///etc/passwd", NULL},
    {"https://", NULL},
    {"https:///x", NULL},
    {"https://a b/", NULL},
    {"javascript:alert(1)", NULL},
};

START_TEST(hosts_of_urls)
{
    char out[HOST_SIZE];
    struct err err = {0};
    bool ok = host_of_url(span_str(url_cases[_i].url), out, &err);
    ck_assert_msg(ok == (url_cases[_i].host != NULL), "%s: %s", url_cases[_i].url,
                  ok ? out : err.text);
    if (ok)
        ck_assert_str_eq(out, url_cases[_i].host);
}
END_TEST

/* ---- config ---- */

static bool check_spec(const char *manager, struct span spec, struct err *err)
{
    (void)manager;
    return span_find(spec, SPAN("= =")) == spec.len
               ? true
               : err_set(err, ERR_INVALID, "a version is expected");
}

#define EMPTY "\"apt\":[],\"cargo\":[],\"gem\":[],\"go\":[],\"npm\":[]"
#define OPEN  "\"networking\":{\"type\":\"unrestricted\"}"
#define LIMITED(hosts, pm, mcp)                                                                    \
    "\"networking\":{\"type\":\"limited\",\"allowed_hosts\":[" hosts                               \
    "],\"allow_package_managers\":" pm ",\"allow_mcp_servers\":" mcp "}"
#define PACKAGES(pip) "\"packages\":{" EMPTY ",\"pip\":[" pip "]}"
#define CLOUD         "\"type\":\"cloud\","

static const struct {
    const char *current; /* NULL: the default, creating */
    const char *input, *result;
} merge_cases[] = {
    {NULL, "{}", "{" CLOUD OPEN "," PACKAGES("") "}"},
    {NULL, "null", "{" CLOUD OPEN "," PACKAGES("") "}"},
    {NULL, "{\"type\":\"cloud\",\"packages\":{\"type\":\"packages\",\"pip\":[\"a\",\"b\",\"a\"]}}",
     "{" CLOUD OPEN "," PACKAGES("\"a\",\"b\"") "}"},
    {NULL, "{\"networking\":{\"type\":\"limited\"}}",
     "{" CLOUD LIMITED("", "false", "false") "," PACKAGES("") "}"},
    {NULL,
     "{\"networking\":{\"type\":\"limited\",\"allowed_hosts\":[\"A.example\",\"a.example\"],"
     "\"allow_mcp_servers\":true,\"allow_package_managers\":null}}",
     "{" CLOUD LIMITED("\"a.example\"", "false", "true") "," PACKAGES("") "}"},
    /* Networking of the same type merges field by field, of another replaces. */
    {"{" CLOUD LIMITED("\"a.example\"", "true", "false") "," PACKAGES("\"x\"") "}",
     "{\"networking\":{\"type\":\"limited\",\"allow_mcp_servers\":true}}",
     "{" CLOUD LIMITED("\"a.example\"", "true", "true") "," PACKAGES("\"x\"") "}"},
    {"{" CLOUD LIMITED("\"a.example\"", "true", "false") "," PACKAGES("\"x\"") "}",
     "{\"networking\":{\"allowed_hosts\":[\"b.example\"]}}",
     "{" CLOUD LIMITED("\"b.example\"", "true", "false") "," PACKAGES("\"x\"") "}"},
    {"{" CLOUD LIMITED("\"a.example\"", "true", "false") "," PACKAGES("\"x\"") "}",
     "{\"networking\":{\"type\":\"limited\",\"allowed_hosts\":null,"
     "\"allow_package_managers\":null}}",
     "{" CLOUD LIMITED("", "false", "false") "," PACKAGES("\"x\"") "}"},
    {"{" CLOUD LIMITED("\"a.example\"", "true", "false") "," PACKAGES("\"x\"") "}",
     "{\"networking\":{\"type\":\"unrestricted\"}}", "{" CLOUD OPEN "," PACKAGES("\"x\"") "}"},
    {"{" CLOUD LIMITED("\"a.example\"", "true", "false") "," PACKAGES("\"x\"") "}",
     "{\"networking\":null}", "{" CLOUD OPEN "," PACKAGES("\"x\"") "}"},
    {"{" CLOUD OPEN "," PACKAGES("\"x\"") "}", "{\"networking\":{\"type\":\"limited\"}}",
     "{" CLOUD LIMITED("", "false", "false") "," PACKAGES("\"x\"") "}"},
    /* A manager that is named is replaced, one that is not is kept. */
    {"{" CLOUD OPEN "," PACKAGES("\"x\"") "}", "{\"packages\":{\"pip\":[\"y\"]}}",
     "{" CLOUD OPEN "," PACKAGES("\"y\"") "}"},
    {"{" CLOUD OPEN "," PACKAGES("\"x\"") "}", "{\"packages\":{\"npm\":[]}}",
     "{" CLOUD OPEN "," PACKAGES("\"x\"") "}"},
    {"{" CLOUD OPEN "," PACKAGES("\"x\"") "}", "{\"packages\":{\"pip\":null}}",
     "{" CLOUD OPEN "," PACKAGES("") "}"},
    {"{" CLOUD OPEN "," PACKAGES("\"x\"") "}", "{\"packages\":null}",
     "{" CLOUD OPEN "," PACKAGES("") "}"},
    {"{" CLOUD LIMITED("", "true", "false") "," PACKAGES("\"x\"") "}", "null",
     "{" CLOUD OPEN "," PACKAGES("") "}"},
    {"{" CLOUD OPEN "," PACKAGES("\"x\"") "}", "{\"type\":\"cloud\"}",
     "{" CLOUD OPEN "," PACKAGES("\"x\"") "}"},
};

START_TEST(configs_merge_as_the_contract_says)
{
    struct problem p = {0};
    AUTO_JSON json_t *current =
        merge_cases[_i].current ? json(merge_cases[_i].current) : config_default();
    AUTO_JSON json_t *before = json_deep_copy(current);
    AUTO_JSON json_t *input = json(merge_cases[_i].input);
    AUTO_JSON json_t *want = json(merge_cases[_i].result);
    AUTO_JSON json_t *got = NULL;
    ck_assert_msg(config_merge(current, input, !merge_cases[_i].current, check_spec, &got, &p),
                  "%s", p.err.text);
    AUTO_FREE char *text = json_dumps(got, JSON_SORT_KEYS);
    ck_assert_msg(json_equal(got, want), "%s: got %s", merge_cases[_i].input, text);
    ck_assert_msg(json_equal(current, before), "the current config was changed");
}
END_TEST

static const struct {
    const char *input, *says, *code;
} bad_configs[] = {
    {"[]", "config: must be an object, not an array", NULL},
    {"7", "config: must be an object, not a number", NULL},
    {"{\"type\":\"self_hosted\"}", "supported: \"cloud\"", NULL},
    {"{\"type\":3}", "config.type: must be a string, not a number", NULL},
    {"{\"pakages\":{}}",
     "config: unknown field \"pakages\" (do you mean \"packages\"?); allowed: type, networking, "
     "packages",
     NULL},
    {"{\"networking\":[]}", "config.networking: must be an object", NULL},
    {"{\"networking\":{\"type\":\"open\"}}", "allowed: \"unrestricted\", \"limited\"", NULL},
    {"{\"networking\":{\"type\":null}}", "config.networking.type: must be a string, not null",
     NULL},
    {"{\"networking\":{\"type\":\"unrestricted\",\"allowed_hosts\":[]}}",
     "config.networking.allowed_hosts: goes with type \"limited\" only", NULL},
    {"{\"networking\":{\"type\":\"limited\",\"allowed_hosts\":\"a\"}}",
     "config.networking.allowed_hosts: must be a list", NULL},
    {"{\"networking\":{\"type\":\"limited\",\"allowed_hosts\":[\"a.example\",5]}}",
     "config.networking.allowed_hosts[1]: must be a string, not a number", NULL},
    {"{\"networking\":{\"type\":\"limited\",\"allowed_hosts\":[\"https://a.example/\"]}}",
     "config.networking.allowed_hosts[0]: \"https://a.example/\" is a URL; write \"a.example\"",
     NULL},
    {"{\"networking\":{\"type\":\"limited\",\"allow_mcp_servers\":1}}",
     "config.networking.allow_mcp_servers: must be true or false, not a number", NULL},
    {"{\"packages\":[]}", "config.packages: must be an object", NULL},
    {"{\"packages\":{\"brew\":[]}}", "config.packages: unknown field \"brew\"", NULL},
    {"{\"packages\":{\"type\":\"x\"}}", "config.packages.type", NULL},
    {"{\"packages\":{\"pip\":\"a\"}}", "config.packages.pip: must be a list", NULL},
    {"{\"packages\":{\"pip\":[1]}}", "config.packages.pip[0]: must be a string, not a number",
     NULL},
    {"{\"packages\":{\"pip\":[\"\"]}}", "config.packages.pip[0]: is empty", NULL},
    {"{\"packages\":{\"pip\":[\"a\",\"b\",\"foo = = 1\"]}}",
     "config.packages.pip[2]: \"foo = = 1\": a version is expected", NULL},
    {"{\"packages\":{\"apt\":[\"-o\"]}}", "config.packages.apt[0]: \"-o\" starts with \"-\"", NULL},
    {"{\"packages\":{\"go\":[\"a\\nb\"]}}", "config.packages.go[0]: has control characters", NULL},
};

START_TEST(bad_configs_are_refused_at_their_path)
{
    AUTO_PROBLEM struct problem p = {0};
    AUTO_JSON json_t *current = config_default();
    AUTO_JSON json_t *input = json(bad_configs[_i].input);
    AUTO_JSON json_t *got = NULL;
    ck_assert(!config_merge(current, input, true, check_spec, &got, &p));
    ck_assert_msg(strstr(p.err.text, bad_configs[_i].says), "%s", p.err.text);
    ck_assert_int_eq(problem_status(&p), 400);
    ck_assert_ptr_null(got);
}
END_TEST

START_TEST(limits_of_package_lists_are_kept)
{
    AUTO_PROBLEM struct problem p = {0};
    AUTO_JSON json_t *current = config_default();
    AUTO_JSON json_t *input = json("{\"packages\":{\"pip\":[]}}");
    AUTO_JSON json_t *got = NULL;
    json_t *pip = json_object_get(json_object_get(input, "packages"), "pip");
    for (int i = 0; i < CONFIG_MAX_SPECS; i++)
        json_array_append_new(pip, json_sprintf("p%d", i));
    ck_assert(config_merge(current, input, true, check_spec, &got, &p));
    json_array_append_new(pip, json_string("one"));
    json_decref(TAKE(got));
    ck_assert(!config_merge(current, input, true, check_spec, &got, &p));
    ck_assert_ptr_nonnull(strstr(p.err.text, "at most 512"));
    json_array_clear(pip);
    char spec[258] = {0};
    memset(spec, 'a', 256);
    json_array_append_new(pip, json_string(spec));
    ck_assert(config_merge(current, input, true, check_spec, &got, &p));
    spec[256] = 'a';
    json_array_append_new(pip, json_string(spec));
    json_decref(TAKE(got));
    ck_assert(!config_merge(current, input, true, check_spec, &got, &p));
    ck_assert_ptr_nonnull(strstr(p.err.text, "config.packages.pip[1]: is 257 bytes"));
}
END_TEST

START_TEST(another_type_on_update_has_its_own_code)
{
    AUTO_PROBLEM struct problem p = {0};
    AUTO_JSON json_t *current = config_default();
    AUTO_JSON json_t *input = json("{\"type\":\"self_hosted\"}");
    AUTO_JSON json_t *got = NULL;
    ck_assert(!config_merge(current, input, false, check_spec, &got, &p));
    ck_assert_str_eq(p.code, "invalid_config_type_change");
}
END_TEST

/* ---- metadata ---- */

#define S64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
    const char *current, *input, *result; /* result NULL: refused */
} metadata_cases[] = {
    {NULL, "{\"a\":\"1\"}", "{\"a\":\"1\"}"},
    {NULL, "{\"a\":\"\"}", "{\"a\":\"\"}"},
    {NULL, "null", "{}"},
    {NULL, "{\"a\":null}", NULL},
    {NULL, "{\"a\":1}", NULL},
    {NULL, "[]", NULL},
    {NULL, "{\"\":\"x\"}", NULL},
    {NULL, "{\"" S64 "\":\"x\"}", "{\"" S64 "\":\"x\"}"},
    {NULL, "{\"" S64 "b\":\"x\"}", NULL},
    {NULL, "{\"sandbox0.managed_agents.x\":\"1\"}", NULL},
    {NULL, "{\"sandbox0.managed_agent\":\"1\"}", "{\"sandbox0.managed_agent\":\"1\"}"},
    {"{\"a\":\"1\",\"b\":\"2\"}", "{\"a\":null}", "{\"b\":\"2\"}"},
    {"{\"a\":\"1\",\"b\":\"2\"}", "{\"a\":\"\"}", "{\"b\":\"2\"}"},
    {"{\"a\":\"1\"}", "{\"c\":\"3\"}", "{\"a\":\"1\",\"c\":\"3\"}"},
    {"{\"a\":\"1\"}", "{\"a\":\"2\"}", "{\"a\":\"2\"}"},
    {"{\"a\":\"1\"}", "{\"zz\":null}", "{\"a\":\"1\"}"},
    {"{\"a\":\"1\"}", "{\"sandbox0.managed_agents.x\":null}", NULL},
};

START_TEST(metadata_merges_within_its_bounds)
{
    AUTO_PROBLEM struct problem p = {0};
    AUTO_JSON json_t *current =
        metadata_cases[_i].current ? json(metadata_cases[_i].current) : NULL;
    AUTO_JSON json_t *input = json(metadata_cases[_i].input);
    AUTO_JSON json_t *got = NULL;
    bool ok = config_metadata(current, input, &got, &p);
    ck_assert_msg(ok == (metadata_cases[_i].result != NULL), "%s: %s", metadata_cases[_i].input,
                  p.err.text);
    if (ok) {
        AUTO_JSON json_t *want = json(metadata_cases[_i].result);
        ck_assert(json_equal(got, want));
    }
}
END_TEST

START_TEST(metadata_has_at_most_16_pairs_of_at_most_512_characters)
{
    AUTO_PROBLEM struct problem p = {0};
    AUTO_JSON json_t *input = json_object();
    AUTO_JSON json_t *got = NULL;
    char key[8];
    for (int i = 0; i < 16; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        json_object_set_new(input, key, json_string("v"));
    }
    ck_assert(config_metadata(NULL, input, &got, &p));
    json_object_set_new(input, "k16", json_string("v"));
    AUTO_JSON json_t *more = NULL;
    ck_assert(!config_metadata(NULL, input, &more, &p));
    ck_assert_str_eq(p.code, "invalid_metadata");
    /* Replacing a pair by another in one update stays within the bound. */
    AUTO_JSON json_t *swap = json("{\"k0\":null,\"new\":\"v\"}");
    ck_assert(config_metadata(got, swap, &more, &p));
    ck_assert_uint_eq(json_object_size(more), 16);
    /* Characters, not bytes. */
    AUTO_BUF struct buf value = BUF(4096);
    for (int i = 0; i < 512; i++)
        buf_str(&value, "\xc3\xbc");
    AUTO_JSON json_t *wide = json_object(), *fits = NULL, *too = NULL;
    json_object_set_new(wide, "k", json_string(buf_cstr(&value)));
    ck_assert(config_metadata(NULL, wide, &fits, &p));
    buf_char(&value, 'x');
    json_object_set_new(wide, "k", json_string(buf_cstr(&value)));
    ck_assert(!config_metadata(NULL, wide, &too, &p));
}
END_TEST

/* ---- policies ---- */

static const struct {
    const char *networking, *packages, *mcp, *platform, *vault, *policy;
} policy_cases[] = {
    {"{\"type\":\"unrestricted\"}", "{\"pip\":[\"a\"]}", "[\"m.example\"]", "[\"p.example\"]",
     "[\"v.example\"]", "{\"mode\":\"allow-all\"}"},
    {"{\"type\":\"limited\",\"allowed_hosts\":[]}", "{}", "[]", "[]", "[]",
     "{\"mode\":\"block-all\",\"allowed_domains\":[]}"},
    {"{\"type\":\"limited\",\"allowed_hosts\":[\"z.example\",\"a.example\"]}", "{\"pip\":[\"a\"]}",
     "[\"m.example\"]", "[]", "[]",
     "{\"mode\":\"block-all\",\"allowed_domains\":[\"a.example\",\"z.example\"]}"},
    {"{\"type\":\"limited\",\"allowed_hosts\":[],\"allow_package_managers\":true}",
     "{\"pip\":[\"a\"],\"npm\":[]}", "[]", "[]", "[]",
     "{\"mode\":\"block-all\",\"allowed_domains\":[\"files.example\",\"pip.example\"]}"},
    {"{\"type\":\"limited\",\"allowed_hosts\":[],\"allow_package_managers\":true}",
     "{\"pip\":[\"a\"],\"npm\":[\"b\"]}", "[]", "[]", "[]",
     "{\"mode\":\"block-all\",\"allowed_domains\":[\"files.example\",\"npm.example\","
     "\"pip.example\"]}"},
    {"{\"type\":\"limited\",\"allowed_hosts\":[\"m.example\"],\"allow_mcp_servers\":true}", "{}",
     "[\"m.example\",\"n.example\",\"n.example\"]", "[\"p.example\"]", "[\"m.example\"]",
     "{\"mode\":\"block-all\",\"allowed_domains\":[\"m.example\",\"n.example\",\"p.example\"]}"},
    {"{\"type\":\"limited\",\"allowed_hosts\":[\"*.b.example\"]}", "{\"gem\":[\"x\"]}", "[]",
     "[\"p.example\"]", "[\"v.example\"]",
     "{\"mode\":\"block-all\",\"allowed_domains\":[\"*.b.example\",\"p.example\","
     "\"v.example\"]}"},
};

START_TEST(policies_are_a_function_of_what_is_declared)
{
    AUTO_JSON json_t *config = json_object(), *packages = json_object();
    AUTO_JSON json_t *registries = json("{\"pip\":[\"pip.example\",\"files.example\"],\"npm\":["
                                        "\"npm.example\"],\"apt\":[\"apt.example\"]}");
    json_object_set_new(config, "networking", json(policy_cases[_i].networking));
    json_object_set_new(config, "packages", json(policy_cases[_i].packages));
    AUTO_JSON json_t *mcp = json(policy_cases[_i].mcp), *platform = json(policy_cases[_i].platform),
                     *vault = json(policy_cases[_i].vault), *want = json(policy_cases[_i].policy);
    AUTO_JSON json_t *got = netpolicy_build(&(struct netpolicy_input){.config = config,
                                                                      .registries = registries,
                                                                      .mcp_hosts = mcp,
                                                                      .platform_domains = platform,
                                                                      .vault_hosts = vault});
    AUTO_FREE char *text = json_dumps(got, 0);
    ck_assert_msg(json_equal(got, want), "%s", text);
}
END_TEST

/* ---- texts ---- */

START_TEST(cursors_belong_to_their_list_and_cannot_be_made_up)
{
    static const int64_t seqs[] = {1, 9, 123456789, INT64_MAX};
    static const char *const bad[] = {"", "x", "AAAA", "ZTEu", "ZTEuZw", "!!!!", "ZTEuMA"};
    char text[TEXT_CURSOR_SIZE];
    int64_t seq;
    for (size_t i = 0; i < COUNT(seqs); i++) {
        ck_assert(text_cursor_parse('e', span_str(text_cursor('e', seqs[i], text)), &seq));
        ck_assert_int_eq(seq, seqs[i]);
        ck_assert(!text_cursor_parse('b', span_str(text), &seq));
    }
    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert_msg(!text_cursor_parse('e', span_str(bad[i]), &seq), "%s", bad[i]);
}
END_TEST

START_TEST(times_have_microseconds)
{
    char text[TEXT_TIME_SIZE];
    ck_assert_str_eq(text_time(1767225600000001, text), "2026-01-01T00:00:00.000001Z");
    ck_assert_str_eq(text_time(1709164799999999, text), "2024-02-28T23:59:59.999999Z");
}
END_TEST

START_TEST(escapes_decode_or_are_refused)
{
    static const struct {
        const char *in, *out;
        bool query;
    } cases[] = {{"a%2Fb", "a/b", false},      {"a+b", "a b", true}, {"a+b", "a+b", false},
                 {"%41%42", "AB", true},       {"%", NULL, true},    {"%4", NULL, true},
                 {"%zz", NULL, true},          {"%00", NULL, true},  {"%ff", NULL, true},
                 {"%c3%bc", "\xc3\xbc", true}, {"", "", true}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        AUTO_BUF struct buf out = BUF(64);
        bool ok = text_percent_decode(span_str(cases[i].in), cases[i].query, &out);
        ck_assert_msg(ok == (cases[i].out != NULL), "%s", cases[i].in);
        if (ok)
            ck_assert_str_eq(buf_cstr(&out), cases[i].out);
    }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("rules_config");
    TCase *tc = tcase_create("pure");
    tcase_add_loop_test(tc, hosts_become_ascii_names_or_are_refused_with_the_name_to_write, 0,
                        COUNT(host_cases));
    tcase_add_loop_test(tc, hosts_of_urls, 0, COUNT(url_cases));
    tcase_add_loop_test(tc, configs_merge_as_the_contract_says, 0, COUNT(merge_cases));
    tcase_add_loop_test(tc, bad_configs_are_refused_at_their_path, 0, COUNT(bad_configs));
    tcase_add_test(tc, limits_of_package_lists_are_kept);
    tcase_add_test(tc, another_type_on_update_has_its_own_code);
    tcase_add_loop_test(tc, metadata_merges_within_its_bounds, 0, COUNT(metadata_cases));
    tcase_add_test(tc, metadata_has_at_most_16_pairs_of_at_most_512_characters);
    tcase_add_loop_test(tc, policies_are_a_function_of_what_is_declared, 0, COUNT(policy_cases));
    tcase_add_test(tc, cursors_belong_to_their_list_and_cannot_be_made_up);
    tcase_add_test(tc, times_have_microseconds);
    tcase_add_test(tc, escapes_decode_or_are_refused);
    suite_add_tcase(s, tc);
    return s;
}
