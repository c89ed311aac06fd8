/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/rules/config.h"

#include "base/mem.h"
#include "worker/rules/hosts.h"
#include "worker/rules/text.h"

const char *const config_managers[6] = {"apt", "cargo", "gem", "go", "npm", "pip"};

#define RESERVED_PREFIX "sandbox0.managed_agents."

const char *config_type_name(const json_t *value)
{
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER:
    case JSON_REAL: return "a number";
    case JSON_TRUE:
    case JSON_FALSE: return "a boolean";
    default: return "null";
    }
}

static bool must_be(const char *path, const char *what, const json_t *value, struct problem *p)
{
    return problem_field(p, path, "must be %s, not %s", what, config_type_name(value));
}

bool config_only(const json_t *object, const char *path, const char *const *allowed,
                 struct problem *p)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)object, key, value) {
        bool known = false;
        for (size_t i = 0; allowed[i]; i++)
            known = known || strcmp(key, allowed[i]) == 0;
        if (known)
            continue;
        AUTO_BUF struct buf list = BUF(1024);
        for (size_t i = 0; allowed[i]; i++)
            buf_printf(&list, "%s%s", i ? ", " : "", allowed[i]);
        char shown[80];
        const char *near = text_nearest(key, allowed);
        snprintf(shown, sizeof(shown), "%.64s", key);
        problem_field(p, path[0] ? path : "body", "unknown field \"%s\"%s%s%s; allowed: %s", shown,
                      near ? " (do you mean \"" : "", near ? near : "", near ? "\"?)" : "",
                      buf_cstr(&list));
        snprintf(p->path, sizeof(p->path), "%.60s%s%s", path, path[0] ? "." : "", shown);
        return false;
    }
    return true;
}

json_t *config_default(void)
{
    json_t *packages = json_object();
    for (size_t i = 0; i < COUNT(config_managers); i++)
        json_object_set_new(packages, config_managers[i], json_array());
    return json_pack("{s:s, s:{s:s}, s:o}", "type", "cloud", "networking", "type", "unrestricted",
                     "packages", packages);
}

const json_t *config_packages(const json_t *config)
{
    return json_object_get(config, "packages");
}

bool config_has_packages(const json_t *config)
{
    for (size_t i = 0; i < COUNT(config_managers); i++)
        if (json_array_size(json_object_get(config_packages(config), config_managers[i])))
            return true;
    return false;
}

bool config_forbids_registries(const json_t *config)
{
    const json_t *networking = json_object_get(config, "networking");
    const char *type = json_get_str(networking, "type");
    return type && strcmp(type, "limited") == 0 &&
           !json_get_bool(networking, "allow_package_managers", false);
}

/* ---- packages ---- */

static bool check_spec(const char *manager, const char *path, const json_t *value,
                       spec_check *check, struct problem *p)
{
    if (!json_is_string(value))
        return problem_field(p, path, "must be a string, not %s%s", config_type_name(value),
                             json_is_number(value) ? "; put it in quotes" : "");
    struct span s = span_of(json_string_value(value), json_string_length(value));
    if (s.len == 0)
        return problem_field(p, path, "is empty; write a package, such as \"name\"");
    if (s.len > CONFIG_MAX_SPEC_BYTES)
        return problem_field(p, path, "is %zu bytes long; at most %d are allowed", s.len,
                             CONFIG_MAX_SPEC_BYTES);
    if (s.ptr[0] == '-')
        return problem_field(p, path, "\"%.*s\" starts with \"-\": options are not packages",
                             SPAN_ARG(s));
    if (text_has_control(s))
        return problem_field(p, path, "has control characters");
    struct err why = {0};
    if (check(manager, s, &why))
        return true;
    /* Some grammars quote the spec themselves. */
    struct span text = span_str(why.text);
    if (span_starts(text, SPAN("\"")) && span_starts(span_skip(text, 1), s))
        return problem_field(p, path, "%s", why.text);
    return problem_field(p, path, "\"%.*s\": %s", SPAN_ARG(s), why.text);
}

static bool has_string(const json_t *array, const json_t *value)
{
    size_t i;
    json_t *other;
    json_array_foreach ((json_t *)(uintptr_t)array, i, other)
        if (json_equal(other, value))
            return true;
    return false;
}

bool config_spec(const char *manager, const char *path, const json_t *spec, spec_check *check,
                 json_t *list, struct problem *p)
{
    if (!check_spec(manager, path, spec, check, p))
        return false;
    if (has_string(list, spec))
        return true;
    if (json_array_size(list) >= CONFIG_MAX_SPECS)
        return problem_field(p, path, "is one too many: at most %d packages are allowed",
                             CONFIG_MAX_SPECS);
    json_array_append(list, (json_t *)(uintptr_t)spec);
    return true;
}

static bool merge_specs(const char *manager, const json_t *input, spec_check *check, json_t *out,
                        struct problem *p)
{
    char path[64];
    snprintf(path, sizeof(path), "config.packages.%s", manager);
    AUTO_JSON json_t *list = json_array();
    if (!json_is_null(input) && !json_is_array(input))
        return must_be(path, "a list of strings", input, p);
    if (json_array_size(input) > CONFIG_MAX_SPECS)
        return problem_field(p, path, "has %zu packages; at most %d are allowed",
                             json_array_size(input), CONFIG_MAX_SPECS);
    size_t i;
    json_t *spec;
    json_array_foreach ((json_t *)(uintptr_t)input, i, spec) {
        snprintf(path, sizeof(path), "config.packages.%s[%zu]", manager, i);
        if (!config_spec(manager, path, spec, check, list, p))
            return false;
    }
    json_object_set(out, manager, list);
    return true;
}

static bool merge_packages(json_t *config, const json_t *input, spec_check *check,
                           struct problem *p)
{
    static const char *const allowed[] = {"apt", "cargo", "gem", "go", "npm", "pip", "type", NULL};
    AUTO_JSON json_t *fresh = config_default();
    if (json_is_null(input)) {
        json_object_set(config, "packages", json_object_get(fresh, "packages"));
        return true;
    }
    if (!json_is_object(input))
        return must_be("config.packages", "an object", input, p);
    if (!config_only(input, "config.packages", allowed, p))
        return false;
    const json_t *type = json_object_get(input, "type");
    if (type && (!json_is_string(type) || strcmp(json_string_value(type), "packages") != 0))
        return problem_field(p, "config.packages.type", "can only be \"packages\"");
    AUTO_JSON json_t *packages = json_copy(json_object_get(config, "packages"));
    for (size_t i = 0; i < COUNT(config_managers); i++) {
        const json_t *list = json_object_get(input, config_managers[i]);
        if (list && !merge_specs(config_managers[i], list, check, packages, p))
            return false;
    }
    json_object_set(config, "packages", packages);
    return true;
}

/* ---- networking ---- */

static json_t *limited_default(void)
{
    return json_pack("{s:s, s:[], s:b, s:b}", "type", "limited", "allowed_hosts",
                     "allow_package_managers", 0, "allow_mcp_servers", 0);
}

static bool merge_hosts(json_t *networking, const json_t *input, struct problem *p)
{
    static const char path[] = "config.networking.allowed_hosts";
    AUTO_JSON json_t *list = json_array();
    if (!json_is_null(input) && !json_is_array(input))
        return must_be(path, "a list of host names", input, p);
    if (json_array_size(input) > CONFIG_MAX_HOSTS)
        return problem_field(p, path, "has %zu hosts; at most %d are allowed",
                             json_array_size(input), CONFIG_MAX_HOSTS);
    size_t i;
    json_t *host;
    json_array_foreach ((json_t *)(uintptr_t)input, i, host) {
        char at[64], name[HOST_SIZE];
        struct err why = {0};
        snprintf(at, sizeof(at), "%s[%zu]", path, i);
        if (!json_is_string(host))
            return must_be(at, "a string", host, p);
        if (!host_normalise(span_of(json_string_value(host), json_string_length(host)), true, name,
                            &why))
            return problem_field(p, at, "%s", why.text);
        AUTO_JSON json_t *normal = json_string(name);
        if (!has_string(list, normal))
            json_array_append(list, normal);
    }
    json_object_set(networking, "allowed_hosts", list);
    return true;
}

static bool merge_flag(json_t *networking, const char *name, const json_t *input, struct problem *p)
{
    if (!input)
        return true;
    char path[64];
    snprintf(path, sizeof(path), "config.networking.%s", name);
    if (!json_is_boolean(input) && !json_is_null(input))
        return must_be(path, "true or false", input, p);
    json_object_set_new(networking, name, json_boolean(json_is_true(input)));
    return true;
}

static bool merge_limited(json_t *networking, const json_t *input, struct problem *p)
{
    static const char *const allowed[] = {"type", "allowed_hosts", "allow_package_managers",
                                          "allow_mcp_servers", NULL};
    const json_t *hosts = json_object_get(input, "allowed_hosts");
    return config_only(input, "config.networking", allowed, p) &&
           (!hosts || merge_hosts(networking, hosts, p)) &&
           merge_flag(networking, "allow_package_managers",
                      json_object_get(input, "allow_package_managers"), p) &&
           merge_flag(networking, "allow_mcp_servers", json_object_get(input, "allow_mcp_servers"),
                      p);
}

/* Fields that only the other type has are no typing mistakes. */
static bool only_of_limited(const json_t *input, struct problem *p)
{
    static const char *const names[] = {"allowed_hosts", "allow_package_managers",
                                        "allow_mcp_servers"};
    for (size_t i = 0; i < COUNT(names); i++)
        if (json_object_get(input, names[i])) {
            char path[64];
            snprintf(path, sizeof(path), "config.networking.%s", names[i]);
            return !problem_field(p, path, "goes with type \"limited\" only");
        }
    return false;
}

static bool merge_networking(json_t *config, const json_t *input, struct problem *p)
{
    static const char *const unrestricted[] = {"type", NULL};
    if (json_is_null(input)) {
        AUTO_JSON json_t *fresh = config_default();
        json_object_set(config, "networking", json_object_get(fresh, "networking"));
        return true;
    }
    if (!json_is_object(input))
        return must_be("config.networking", "an object", input, p);
    const json_t *current = json_object_get(config, "networking");
    const json_t *type = json_object_get(input, "type");
    if (type && !json_is_string(type))
        return must_be("config.networking.type", "a string", type, p);
    const char *had = json_get_str(current, "type");
    const char *name = type ? json_string_value(type) : had;
    bool limited = strcmp(name, "limited") == 0;
    if (!limited && strcmp(name, "unrestricted") != 0)
        return problem_field(p, "config.networking.type",
                             "\"%.40s\" is not known; allowed: \"unrestricted\", \"limited\"",
                             name);
    AUTO_JSON json_t *networking = strcmp(name, had) == 0 ? json_deep_copy(current)
                                   : limited              ? limited_default()
                                                          : json_pack("{s:s}", "type", name);
    if (limited ? !merge_limited(networking, input, p)
                : only_of_limited(input, p) ||
                      !config_only(input, "config.networking", unrestricted, p))
        return false;
    json_object_set(config, "networking", networking);
    return true;
}

/* ---- the whole ---- */

static bool check_type(const json_t *input, bool creating, struct problem *p)
{
    const json_t *type = json_object_get(input, "type");
    if (!type)
        return true;
    if (!json_is_string(type))
        return must_be("config.type", "a string", type, p);
    if (strcmp(json_string_value(type), "cloud") == 0)
        return true;
    char shown[48];
    snprintf(shown, sizeof(shown), "%.40s", json_string_value(type));
    if (creating)
        return problem_field(p, "config.type", "\"%s\" is not supported; supported: \"cloud\"",
                             shown);
    return problem_set(p, ERR_INVALID, "invalid_config_type_change",
                       "config.type: \"%s\" differs from the environment's \"cloud\", and a type "
                       "cannot change; create another environment",
                       shown);
}

bool config_merge(const json_t *current, const json_t *input, bool creating, spec_check *check,
                  json_t **out, struct problem *p)
{
    static const char *const allowed[] = {"type", "networking", "packages", NULL};
    *out = NULL;
    if (!input) {
        *out = json_deep_copy(current);
        return true;
    }
    if (json_is_null(input)) {
        *out = config_default();
        return true;
    }
    if (!json_is_object(input))
        return must_be("config", "an object", input, p);
    const json_t *networking = json_object_get(input, "networking");
    const json_t *packages = json_object_get(input, "packages");
    if (!check_type(input, creating, p) || !config_only(input, "config", allowed, p))
        return false;
    AUTO_JSON json_t *config = json_deep_copy(current);
    if ((networking && !merge_networking(config, networking, p)) ||
        (packages && !merge_packages(config, packages, check, p)))
        return false;
    *out = json_incref(config);
    return true;
}

/* ---- what is around it ---- */

bool config_name(const json_t *input, struct problem *p)
{
    if (!json_is_string(input))
        return must_be("name", "a string of 1 to 256 characters", input, p);
    struct span s = span_of(json_string_value(input), json_string_length(input));
    size_t n = text_characters(s);
    if (n < 1 || n > 256)
        return problem_field(p, "name", "has %zu characters; 1 to 256 are allowed", n);
    return text_has_control(s) ? problem_field(p, "name", "has control characters") : true;
}

bool config_description(const json_t *input, struct problem *p)
{
    if (!input || json_is_null(input))
        return true;
    if (!json_is_string(input))
        return must_be("description", "a string or null", input, p);
    size_t n = text_characters(span_of(json_string_value(input), json_string_length(input)));
    return n <= 4096
               ? true
               : problem_field(p, "description", "has %zu characters; at most 4096 are allowed", n);
}

bool config_scope(const json_t *input, struct problem *p)
{
    if (!input || json_is_null(input))
        return true;
    if (!json_is_string(input))
        return must_be("scope", "a string", input, p);
    return strcmp(json_string_value(input), "organization") == 0
               ? true
               : problem_field(p, "scope", "only \"organization\" is supported");
}

static bool bad_metadata(struct problem *p, const char *key, const char *fmt, size_t n)
{
    char text[200], shown[80];
    snprintf(shown, sizeof(shown), "%.64s", key);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof(text), fmt, n);
#pragma GCC diagnostic pop
    return problem_set(p, ERR_INVALID, "invalid_metadata", "metadata[\"%s\"]: %s", shown, text);
}

static bool check_pair(const char *key, const json_t *value, bool creating, struct problem *p)
{
    size_t n = text_characters(span_str(key));
    if (span_starts(span_str(key), SPAN(RESERVED_PREFIX)))
        return bad_metadata(p, key, "keys that start with \"" RESERVED_PREFIX "\" are reserved", 0);
    if (n < 1 || n > 64)
        return bad_metadata(p, key, "the key has %zu characters; 1 to 64 are allowed", n);
    if (json_is_null(value) && !creating)
        return true;
    if (!json_is_string(value)) {
        char path[100];
        snprintf(path, sizeof(path), "metadata[\"%.64s\"]", key);
        return must_be(path, "a string", value, p);
    }
    n = text_characters(span_of(json_string_value(value), json_string_length(value)));
    return n <= 512
               ? true
               : bad_metadata(p, key, "the value has %zu characters; at most 512 are allowed", n);
}

bool config_metadata(const json_t *current, const json_t *input, json_t **out, struct problem *p)
{
    *out = NULL;
    if (input && !json_is_null(input) && !json_is_object(input))
        return must_be("metadata", "an object of strings", input, p);
    if (json_object_size(input) > 512)
        return problem_set(p, ERR_INVALID, "invalid_metadata",
                           "metadata: has more than 16 pairs, at most 16 are allowed");
    AUTO_JSON json_t *merged = current ? json_copy((json_t *)(uintptr_t)current) : json_object();
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)input, key, value) {
        if (!check_pair(key, value, !current, p))
            return false;
        if (current && (json_is_null(value) || json_string_length(value) == 0))
            json_object_del(merged, key);
        else
            json_object_set(merged, key, value);
    }
    if (json_object_size(merged) > 16)
        return problem_set(p, ERR_INVALID, "invalid_metadata",
                           "metadata: would have %zu pairs; at most 16 are allowed",
                           json_object_size(merged));
    *out = json_incref(merged);
    return true;
}
