/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/settings.h"

#include <assert.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/http.h"
#include "base/io.h"
#include "worker/environment_priv.h"
#include "worker/yaml.h"

#define SYSTEM_FILE "/etc/strata/strata.yaml"
#define MAX_FILE    (256u << 10)

enum kind { TEXT, NUMBER, FLAG };

/* One row a key; docs/configuration.md says what each is for. */
static const struct key {
    const char *name;
    enum kind kind;
    const char *standard; /* NULL: unset */
    int64_t least, most;  /* of a NUMBER */
    const char *choices;  /* of a TEXT: "a b c"; NULL: any */
    bool secret;          /* is never shown */
} keys[] = {
    {"bytecode", FLAG, "true", 0, 0, NULL, false},
    {"compression", TEXT, "zstd", 0, 0, "zstd gzip", false},
    {"home", TEXT, NULL, 0, 0, NULL, false},
    {"offline", FLAG, "false", 0, 0, NULL, false},
    {"script_seconds", NUMBER, "1800", 1, 86400, NULL, false},
    {"threads", NUMBER, "0", 0, 256, NULL, false},
    {"server", TEXT, NULL, 0, 0, NULL, false},
    {"api_key", TEXT, NULL, 0, 0, NULL, true},
    /* The worker's. */
    {"listen", TEXT, "127.0.0.1:8470", 0, 0, NULL, false},
    {"jobs", NUMBER, "2", 0, 256, NULL, false},
    {"platform_domains", TEXT, NULL, 0, 0, NULL, false},
    {"drain_seconds", NUMBER, "20", 0, 3600, NULL, false},
    {"keep_days", NUMBER, "30", 0, 36500, NULL, false},
    {"lease_seconds", NUMBER, "30", 3, 3600, NULL, false},
    {"max_attempts", NUMBER, "5", 1, 100, NULL, false},
    {"max_queued", NUMBER, "100000", 1, 100000000, NULL, false},
    {"max_queued_workspace", NUMBER, "10000", 1, 100000000, NULL, false},
    {"max_running_workspace", NUMBER, "0", 0, 1000, NULL, false},
    {"max_body_bytes", NUMBER, "1048576", 1024, 64 << 20, NULL, false},
    {"max_header_bytes", NUMBER, "16384", 1024, 1 << 20, NULL, false},
    {"idle_seconds", NUMBER, "60", 1, 3600, NULL, false},
    {"receive_seconds", NUMBER, "60", 1, 3600, NULL, false},
    {"max_connections", NUMBER, "4096", 1, 60000, NULL, false},
    {"max_connections_address", NUMBER, "1024", 1, 60000, NULL, false},
    {"gc_minutes", NUMBER, "60", 0, 100000, NULL, false},
    {"gc_grace_hours", NUMBER, "24", 0, 100000, NULL, false},
    {"gc_keep_bytes", NUMBER, "0", 0, INT64_MAX, NULL, false},
};

static const char registries_prefix[] = "registries.";

struct settings {
    struct arena *arena;
    struct {
        const char *text; /* NULL: unset */
        const char *from;
    } values[COUNT(keys)];
    json_t *registries;      /* manager -> value */
    json_t *registries_from; /* manager -> where that stands */
};

static size_t key_index(const char *name)
{
    size_t i = 0;
    while (i < COUNT(keys) && strcmp(keys[i].name, name) != 0)
        i++;
    return i;
}

/* Values. */

static bool is_choice(const char *choices, const char *value)
{
    struct span rest = span_str(choices), word;
    while (span_next(&rest, ' ', &word))
        if (span_eq_str(word, value))
            return true;
    return false;
}

static const char *flag_text(const char *value)
{
    static const char *const yes[] = {"true", "1", "yes", "on"};
    static const char *const no[] = {"false", "0", "no", "off"};
    for (size_t i = 0; i < COUNT(yes); i++) {
        if (span_eq_nocase(span_str(value), span_str(yes[i])))
            return "true";
        if (span_eq_nocase(span_str(value), span_str(no[i])))
            return "false";
    }
    return NULL;
}

static bool set_value(struct settings *s, size_t i, const char *value, const char *from,
                      struct err *err)
{
    uint64_t n = 0;
    const char *flag = flag_text(value);
    if (keys[i].kind == FLAG && !flag)
        return err_set(err, ERR_INVALID, "%s: \"%.64s\" (from %s) is not true or false",
                       keys[i].name, value, from);
    if (keys[i].kind == NUMBER && (!span_to_u64(span_str(value), &n) ||
                                   n > (uint64_t)keys[i].most || (int64_t)n < keys[i].least))
        return err_set(err, ERR_INVALID,
                       "%s: \"%.64s\" (from %s) is not a number from %lld to %lld", keys[i].name,
                       value, from, (long long)keys[i].least, (long long)keys[i].most);
    if (keys[i].choices && !is_choice(keys[i].choices, value))
        return err_set(err, ERR_INVALID, "%s: \"%.64s\" (from %s) is not one of: %s", keys[i].name,
                       value, from, keys[i].choices);
    if (keys[i].kind == TEXT && *value == '\0')
        return err_set(err, ERR_INVALID, "%s: empty (from %s)", keys[i].name, from);
    s->values[i].text = arena_str(s->arena, span_str(keys[i].kind == FLAG ? flag : value));
    s->values[i].from = arena_str(s->arena, span_str(from));
    return true;
}

static void set_registry(struct settings *s, const char *manager, json_t *value, const char *from)
{
    json_object_set(s->registries, manager, value);
    json_put_str(s->registries_from, manager, from);
}

/* From a variable or a flag: addresses separated by white space; apt's are lines. */
static json_t *address_list(const char *manager, const char *text)
{
    bool lines = strcmp(manager, "apt") == 0;
    if (strcmp(manager, "go") == 0)
        return json_string(text);
    json_t *list = json_array();
    struct span rest = span_str(text);
    while (rest.len > 0) {
        size_t end = 0;
        while (end < rest.len &&
               (lines ? rest.ptr[end] != '\n' : !strchr(" \t\r\n", rest.ptr[end])))
            end++;
        struct span one = span_trim(span_slice(rest, 0, end));
        json_t *value = one.len > 0 ? json_span(one) : NULL;
        if (value)
            json_array_append_new(list, value);
        rest = span_skip(rest, end + 1);
    }
    return list;
}

/* Files. */

static bool file_registries(struct settings *s, struct complaint *c, const json_t *given,
                            const struct yaml *y)
{
    const char *known[RESOLVER_COUNT + 1] = {0}, *manager;
    json_t *value;
    for (size_t i = 0; i < RESOLVER_COUNT; i++)
        known[i] = resolvers[i]->manager;
    if (json_is_null(given))
        return true;
    if (!json_is_object(given))
        return complain(c, "registries", "%s, not a mapping of managers to addresses",
                        json_kind(given));
    if (!check_members(c, given, "registries", known))
        return false;
    json_object_foreach ((json_t *)(uintptr_t)given, manager, value) {
        char path[64];
        snprintf(path, sizeof(path), "registries.%s", manager);
        if (json_is_null(value))
            continue;
        if (!json_is_string(value) && !json_is_array(value) && !json_is_object(value))
            return complain(c, path, "%s, not an address, a list of them or a mapping",
                            json_kind(value));
        const struct yaml_place *place = yaml_place_of(y, span_str(path));
        set_registry(s, manager, value,
                     arena_printf(s->arena, "%s:%zu", y->file, place ? place->line : 1));
    }
    return true;
}

static bool file_value(struct settings *s, struct complaint *c, size_t i, const json_t *value,
                       const struct yaml *y)
{
    struct err why = {0};
    const struct yaml_place *place = yaml_place_of(y, span_str(keys[i].name));
    const char *from = arena_printf(s->arena, "%s:%zu", y->file, place ? place->line : 1);
    AUTO_FREE char *text = NULL;
    if (json_is_null(value))
        return true;
    if (json_is_string(value))
        text = mem_dup_str(json_string_value(value));
    else if (json_is_integer(value))
        text = mem_printf("%lld", (long long)json_integer_value(value));
    else if (json_is_boolean(value))
        text = mem_dup_str(json_is_true(value) ? "true" : "false");
    else
        return complain(c, keys[i].name, "%s cannot stand here", json_kind(value));
    if (set_value(s, i, text, from, &why))
        return true;
    snprintf(c->path, sizeof(c->path), "%s", keys[i].name);
    return err_set(c->err, why.code, "%s", why.text);
}

static bool file_document(struct settings *s, struct complaint *c, const struct yaml *y)
{
    const char *known[COUNT(keys) + 2] = {0}, *name;
    json_t *value;
    for (size_t i = 0; i < COUNT(keys); i++)
        known[i] = keys[i].name;
    known[COUNT(keys)] = "registries";
    if (json_is_null(y->value))
        return true;
    if (!json_is_object(y->value))
        return complain(c, "", "%s, not a mapping of keys to values", json_kind(y->value));
    if (!check_members(c, y->value, "", known))
        return false;
    json_object_foreach (y->value, name, value) {
        size_t i = key_index(name);
        if (!(i < COUNT(keys) ? file_value(s, c, i, value, y) : file_registries(s, c, value, y)))
            return false;
    }
    return true;
}

static bool read_file(struct settings *s, const char *path, bool needed, struct err *err)
{
    AUTO_BUF struct buf text = BUF(MAX_FILE);
    AUTO_YAML struct yaml y = {0};
    struct complaint c = {.err = err};
    if (!needed && access(path, F_OK) != 0)
        return true;
    if (!io_read_file(AT_FDCWD, path, &text, err)) {
        if (needed && err->code == ERR_NOT_FOUND)
            return err_set(err, ERR_INVALID, "--config %s: there is no such file", path);
        return false;
    }
    if (!yaml_parse(buf_span(&text), arena_str(s->arena, span_str(path)), &y, err))
        return false;
    if (file_document(s, &c, &y))
        return true;
    const struct yaml_place *place = yaml_place_of(&y, span_str(c.path));
    return place ? err_wrap(err, "%s:%zu:%zu", path, place->line, place->column)
                 : err_wrap(err, "%s", path);
}

/* Variables. */

static const char *variable_of(struct arena *a, const char *key)
{
    char *name = arena_printf(a, "STRATA_%s", key);
    for (char *p = name; *p; p++)
        *p = *p == '.' ? '_' : *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
    return name;
}

static bool read_variable(struct settings *s, const char *key, struct err *err)
{
    const char *name = variable_of(s->arena, key), *value = getenv(name);
    if (!value || !*value)
        return true;
    return settings_override(s, key, value, arena_printf(s->arena, "the variable %s", name), err);
}

static bool read_variables(struct settings *s, struct err *err)
{
    for (size_t i = 0; i < COUNT(keys); i++)
        if (!read_variable(s, keys[i].name, err))
            return false;
    for (size_t i = 0; i < RESOLVER_COUNT; i++)
        if (!read_variable(
                s, arena_printf(s->arena, "%s%s", registries_prefix, resolvers[i]->manager), err))
            return false;
    return true;
}

static const char *user_file(struct arena *a)
{
    const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (xdg && *xdg == '/')
        return arena_printf(a, "%s/strata/strata.yaml", xdg);
    return home && *home ? arena_printf(a, "%s/.config/strata/strata.yaml", home) : NULL;
}

static bool load(struct settings *s, const char *config_file, struct err *err)
{
    const char *user = user_file(s->arena);
    for (size_t i = 0; i < COUNT(keys); i++) {
        s->values[i].text = keys[i].standard;
        s->values[i].from = "the default";
    }
    return read_file(s, SYSTEM_FILE, false, err) && (!user || read_file(s, user, false, err)) &&
           (!config_file || read_file(s, config_file, true, err)) && read_variables(s, err);
}

bool settings_load(struct settings **out, const char *config_file, struct err *err)
{
    struct arena *arena = arena_new();
    struct settings *s = ARENA_NEW(arena, struct settings);
    s->arena = arena;
    s->registries = json_object();
    s->registries_from = json_object();
    if (!load(s, config_file, err)) {
        settings_free(s);
        return false;
    }
    *out = s;
    return true;
}

void settings_free(struct settings *s)
{
    if (!s)
        return;
    json_decref(s->registries);
    json_decref(s->registries_from);
    arena_free(s->arena);
}

bool settings_override(struct settings *s, const char *key, const char *value, const char *from,
                       struct err *err)
{
    size_t i = key_index(key);
    if (i < COUNT(keys))
        return set_value(s, i, value, from, err);
    const char *manager = key + strlen(registries_prefix);
    if (strncmp(key, registries_prefix, strlen(registries_prefix)) != 0 ||
        !resolver_find(span_str(manager)))
        return err_set(err, ERR_USAGE, "%s: there is no such setting", key);
    AUTO_JSON json_t *list = address_list(manager, value);
    if (!list)
        return err_set(err, ERR_INVALID, "%s: not UTF-8 (from %s)", key, from);
    set_registry(s, manager, list, from);
    return true;
}

/* Asking. */

static const char *value_of(const struct settings *s, const char *key, enum kind kind)
{
    size_t i = key_index(key);
    assert(i < COUNT(keys) && keys[i].kind == kind);
    return s->values[i].text;
}

const char *settings_str(const struct settings *s, const char *key)
{
    return value_of(s, key, TEXT);
}

const char *settings_from(const struct settings *s, const char *key)
{
    size_t i = key_index(key);
    assert(i < COUNT(keys));
    return s->values[i].from;
}

int64_t settings_int(const struct settings *s, const char *key)
{
    uint64_t n = 0;
    span_to_u64(span_str(value_of(s, key, NUMBER)), &n);
    return (int64_t)n;
}

bool settings_bool(const struct settings *s, const char *key)
{
    const char *text = value_of(s, key, FLAG);
    return text && strcmp(text, "true") == 0;
}

const json_t *settings_registries(const struct settings *s)
{
    return json_object_size(s->registries) > 0 ? s->registries : NULL;
}

const json_t *settings_registries_from(const struct settings *s)
{
    return s->registries_from;
}

/* Addresses without their user part, at any depth. */
static json_t *without_secrets(const json_t *value)
{
    const char *key;
    json_t *item;
    size_t i;
    if (json_is_object(value)) {
        json_t *out = json_object();
        json_object_foreach ((json_t *)(uintptr_t)value, key, item) {
            json_object_set_new(out, key, without_secrets(item));
        }
        return out;
    }
    if (json_is_array(value)) {
        json_t *out = json_array();
        json_array_foreach ((json_t *)(uintptr_t)value, i, item) {
            json_array_append_new(out, without_secrets(item));
        }
        return out;
    }
    if (!json_is_string(value))
        return json_deep_copy(value);
    struct span s = span_str(json_string_value(value)), before, after;
    size_t at = span_find(s, SPAN("://"));
    if (at == s.len || !span_cut_last_char(span_skip(s, at + 3), '@', &before, &after))
        return json_deep_copy(value);
    AUTO_FREE char *text =
        mem_printf("%.*s://...@%.*s", SPAN_ARG(span_slice(s, 0, at)), SPAN_ARG(after));
    return json_string(text);
}

static json_t *typed(const struct key *key, const char *text)
{
    uint64_t n = 0;
    if (!text)
        return json_null();
    if (key->kind == FLAG)
        return json_boolean(strcmp(text, "true") == 0);
    if (key->secret)
        return json_string("(set, not shown)");
    if (key->kind == TEXT)
        return json_string(text);
    span_to_u64(span_str(text), &n);
    return json_integer((json_int_t)n);
}

static void put(json_t *all, const char *key, json_t *value, const char *from)
{
    json_t *one = json_object();
    json_object_set_new(one, "value", value);
    json_put_str(one, "from", from);
    json_object_set_new(all, key, one);
}

json_t *settings_json(const struct settings *s)
{
    json_t *all = json_object(), *value;
    const char *manager;
    for (size_t i = 0; i < COUNT(keys); i++)
        put(all, keys[i].name, typed(&keys[i], s->values[i].text), s->values[i].from);
    json_object_foreach (s->registries, manager, value) {
        AUTO_FREE char *key = mem_printf("%s%s", registries_prefix, manager);
        put(all, key, without_secrets(value), json_get_str(s->registries_from, manager));
    }
    return all;
}
