/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>

#include "base/map.h"
#include "worker/environment_priv.h"

#define MAX_HOSTS 1024

bool complain(struct complaint *c, const char *path, const char *fmt, ...)
{
    char text[900];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    snprintf(c->path, sizeof(c->path), "%s", path);
    return err_set(c->err, ERR_INVALID, "%s%s%s", path, *path ? ": " : "", text);
}

const char *json_kind(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "a mapping";
    case JSON_ARRAY: return "a list";
    case JSON_STRING: return "a string";
    case JSON_INTEGER:
    case JSON_REAL: return "a number";
    case JSON_TRUE:
    case JSON_FALSE: return "true or false";
    case JSON_NULL: return "null";
    }
    return "nothing";
}

/* How many letters must change, be added or left out (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
    size_t row[33], la = strlen(a), lb = strlen(b);
    if (la > 32 || lb > 32)
        return SIZE_MAX;
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t change = corner + (a[i - 1] != b[j - 1]);
            size_t drop = row[j] + 1, put = row[j - 1] + 1;
            corner = row[j];
            row[j] = change < drop ? change : drop;
            row[j] = row[j] < put ? row[j] : put;
        }
    }
    return row[lb];
}

static const char *nearest(const char *key, const char *const *known)
{
    const char *best = NULL;
    size_t best_distance = strlen(key) < 4 ? 2 : 3; /* below this */
    for (size_t i = 0; known[i]; i++) {
        size_t d = distance(key, known[i]);
        if (d < best_distance) {
            best = known[i];
            best_distance = d;
        }
    }
    return best;
}

bool check_members(struct complaint *c, const json_t *object, const char *path,
                   const char *const *known)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)object, key, value) {
        size_t i = 0;
        while (known[i] && strcmp(known[i], key) != 0)
            i++;
        if (known[i])
            continue;
        AUTO_BUF struct buf at = BUF(512), list = BUF(512);
        const char *near = nearest(key, known);
        buf_printf(&at, "%s%s%.64s", path, *path ? "." : "", key);
        for (size_t k = 0; known[k]; k++)
            buf_printf(&list, "%s%s", k ? ", " : "", known[k]);
        if (near)
            return complain(c, buf_cstr(&at), "not known here; do you mean \"%s\"? Allowed are %s",
                            near, buf_cstr(&list));
        return complain(c, buf_cstr(&at), "not known here; allowed are %s", buf_cstr(&list));
    }
    return true;
}

/* Packages. */

bool config_add_spec(struct complaint *c, json_t *list, const struct resolver_ops *ops,
                     const char *path, const json_t *spec)
{
    struct err why = {0};
    size_t i;
    json_t *there;
    if (!json_is_string(spec))
        return complain(c, path, "%s, not a string%s", json_kind(spec),
                        json_is_number(spec) ? "; put it in quotes" : "");
    struct span s = span_of(json_string_value(spec), json_string_length(spec));
    if (s.len > ENVIRONMENT_MAX_SPEC)
        return complain(c, path, "%zu bytes; a spec has at most %u", s.len, ENVIRONMENT_MAX_SPEC);
    if (s.len > 0 && s.ptr[0] == '-')
        return complain(c, path,
                        "\"%.*s\": begins with \"-\": options of a client cannot be given here",
                        SPAN_ARG(s));
    for (i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return complain(c, path, "a control character at offset %zu", i);
    if (!ops->parse(s, &why))
        return complain(c, path, "%s", why.text);
    json_array_foreach (list, i, there) {
        if (json_equal(there, spec))
            return true;
    }
    if (json_array_size(list) >= ENVIRONMENT_MAX_SPECS)
        return complain(c, path, "more than %u specs for one manager", ENVIRONMENT_MAX_SPECS);
    json_array_append(list, (json_t *)(uintptr_t)spec);
    return true;
}

static bool spec_list(struct complaint *c, const json_t *given, const struct resolver_ops *ops,
                      json_t *list)
{
    char path[128];
    size_t i;
    json_t *spec;
    snprintf(path, sizeof(path), "config.packages.%s", ops->manager);
    if (!given || json_is_null(given))
        return true;
    if (!json_is_array(given))
        return complain(c, path, "%s, not a list; write it like [\"name\"]", json_kind(given));
    if (json_array_size(given) > ENVIRONMENT_MAX_SPECS)
        return complain(c, path, "%zu specs; at most %u are allowed", json_array_size(given),
                        ENVIRONMENT_MAX_SPECS);
    json_array_foreach ((json_t *)(uintptr_t)given, i, spec) {
        snprintf(path, sizeof(path), "config.packages.%s[%zu]", ops->manager, i);
        if (!config_add_spec(c, list, ops, path, spec))
            return false;
    }
    return true;
}

static bool packages(struct complaint *c, const json_t *given, json_t *config)
{
    /* The SDK may send the object's own type. */
    const char *known[RESOLVER_COUNT + 2] = {0};
    json_t *lists = json_object();
    json_object_set_new(config, "packages", lists);
    for (size_t i = 0; i < RESOLVER_COUNT; i++)
        known[i] = resolvers[i]->manager;
    known[RESOLVER_COUNT] = "type";
    if (given && !json_is_null(given) && !json_is_object(given))
        return complain(c, "config.packages", "%s, not a mapping of managers to lists",
                        json_kind(given));
    const json_t *type = json_object_get(given, "type");
    if (type && (!json_is_string(type) || strcmp(json_string_value(type), "packages") != 0))
        return complain(c, "config.packages.type", "only \"packages\" may stand here");
    if (!check_members(c, given, "config.packages", known))
        return false;
    for (size_t i = 0; i < RESOLVER_COUNT; i++) {
        json_t *list = json_array();
        json_object_set_new(lists, resolvers[i]->manager, list);
        if (!spec_list(c, json_object_get(given, resolvers[i]->manager), resolvers[i], list))
            return false;
    }
    return true;
}

/* Networking. */

static bool flag(struct complaint *c, const json_t *given, const char *name, json_t *out)
{
    char path[128];
    const json_t *value = json_object_get(given, name);
    snprintf(path, sizeof(path), "config.networking.%s", name);
    if (value && !json_is_null(value) && !json_is_boolean(value))
        return complain(c, path, "%s, not true or false", json_kind(value));
    json_object_set_new(out, name, json_boolean(json_is_true(value)));
    return true;
}

static bool host_list(struct complaint *c, const json_t *given, json_t *out)
{
    char path[128];
    size_t i;
    json_t *host;
    AUTO_JSON json_t *seen = json_object();
    json_t *list = json_array();
    json_object_set_new(out, "allowed_hosts", list);
    if (!given || json_is_null(given))
        return true;
    if (!json_is_array(given))
        return complain(c, "config.networking.allowed_hosts", "%s, not a list of host names",
                        json_kind(given));
    if (json_array_size(given) > MAX_HOSTS)
        return complain(c, "config.networking.allowed_hosts", "%zu hosts; at most %d are allowed",
                        json_array_size(given), MAX_HOSTS);
    json_array_foreach ((json_t *)(uintptr_t)given, i, host) {
        AUTO_BUF struct buf ascii = BUF(300);
        snprintf(path, sizeof(path), "config.networking.allowed_hosts[%zu]", i);
        if (!json_is_string(host))
            return complain(c, path, "%s, not a string", json_kind(host));
        struct span s = span_of(json_string_value(host), json_string_length(host));
        if (!config_host(c, path, s, &ascii))
            return false;
        if (json_object_get(seen, buf_cstr(&ascii)))
            continue;
        json_object_set_new(seen, buf_cstr(&ascii), json_true());
        json_array_append_new(list, json_string(buf_cstr(&ascii)));
    }
    return true;
}

static bool limited(struct complaint *c, const json_t *given, json_t *out)
{
    static const char *const known[] = {"type", "allowed_hosts", "allow_package_managers",
                                        "allow_mcp_servers", NULL};
    return check_members(c, given, "config.networking", known) &&
           host_list(c, json_object_get(given, "allowed_hosts"), out) &&
           flag(c, given, "allow_package_managers", out) &&
           flag(c, given, "allow_mcp_servers", out);
}

static bool unrestricted(struct complaint *c, const json_t *given)
{
    static const char *const members[] = {"allowed_hosts", "allow_package_managers",
                                          "allow_mcp_servers"};
    static const char *const known[] = {"type", NULL};
    char path[128];
    for (size_t i = 0; i < COUNT(members); i++) {
        if (!json_object_get(given, members[i]))
            continue;
        snprintf(path, sizeof(path), "config.networking.%s", members[i]);
        return complain(c, path, "means something with type \"limited\" only");
    }
    return check_members(c, given, "config.networking", known);
}

static bool networking(struct complaint *c, const json_t *given, json_t *config)
{
    json_t *out = json_object();
    const json_t *type = json_object_get(given, "type");
    json_object_set_new(config, "networking", out);
    if (given && !json_is_null(given) && !json_is_object(given))
        return complain(c, "config.networking", "%s, not a mapping; write {type: unrestricted}",
                        json_kind(given));
    if (json_is_object(given) && !json_is_string(type))
        return complain(c, "config.networking.type",
                        "missing or not a string; write \"unrestricted\" or \"limited\"");
    const char *name = type ? json_string_value(type) : "unrestricted";
    json_object_set_new(out, "type", json_string(name));
    if (strcmp(name, "limited") == 0)
        return limited(c, given, out);
    if (strcmp(name, "unrestricted") == 0)
        return unrestricted(c, given);
    return complain(c, "config.networking.type",
                    "\"%.64s\" is not known; allowed are \"unrestricted\" and \"limited\"", name);
}

bool config_check(struct complaint *c, const json_t *config, json_t **out)
{
    static const char *const known[] = {"type", "networking", "packages", NULL};
    AUTO_JSON json_t *made = json_object();
    if (config && !json_is_null(config) && !json_is_object(config))
        return complain(c, "config", "%s, not a mapping", json_kind(config));
    const json_t *type = json_object_get(config, "type");
    if (type && !json_is_string(type))
        return complain(c, "config.type", "%s, not a string; only \"cloud\" is supported",
                        json_kind(type));
    if (type && strcmp(json_string_value(type), "cloud") != 0)
        return complain(c, "config.type", "\"%.64s\" is not supported; only \"cloud\" is",
                        json_string_value(type));
    json_object_set_new(made, "type", json_string("cloud"));
    if (!check_members(c, config, "config", known) ||
        !networking(c, json_object_get(config, "networking"), made) ||
        !packages(c, json_object_get(config, "packages"), made))
        return false;
    *out = TAKE(made);
    return true;
}

bool environment_config(const json_t *config, json_t **out, struct err *err)
{
    struct complaint c = {.err = err};
    return config_check(&c, config, out);
}
