/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/environment.h"

#include <fcntl.h>

#include "base/io.h"
#include "worker/environment_priv.h"
#include "worker/yaml.h"

#define MAX_NAME        256 /* characters */
#define MAX_DESCRIPTION 4096

static struct environment *blank(void)
{
    struct arena *arena = arena_new();
    struct environment *e = ARENA_NEW(arena, struct environment);
    e->arena = arena;
    e->base = "host";
    return e;
}

struct environment *environment_new(void)
{
    struct environment *e = blank();
    struct err err;
    bool ok = environment_config(NULL, &e->config, &err);
    if (!ok)
        abort(); /* nothing given, nothing to refuse */
    return e;
}

void environment_free(struct environment *e)
{
    if (!e)
        return;
    json_decref(e->config);
    json_decref(e->platform);
    arena_free(e->arena);
}

bool environment_add(struct environment *e, const char *manager, const char *spec, struct err *err)
{
    struct complaint c = {.err = err};
    AUTO_FREE char *path = mem_printf("--%s", manager);
    if (!resolver_find(span_str(manager)))
        return err_set(err, ERR_INVALID, "%s: no such manager", manager);
    AUTO_JSON json_t *text = json_span(span_str(spec));
    if (!text)
        return err_set(err, ERR_INVALID, "%s: not UTF-8", path);
    return config_add_spec(&c, json_object_get(json_object_get(e->config, "packages"), manager),
                           manager, path, text);
}

bool environment_allows_registries(const struct environment *e)
{
    const json_t *networking = json_object_get(e->config, "networking");
    const char *type = json_get_str(networking, "type");
    return !type || strcmp(type, "limited") != 0 ||
           json_get_bool(networking, "allow_package_managers", false);
}

/* Members of the file. */

static size_t characters(struct span s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xc0) != 0x80;
    return n;
}

static bool name(struct complaint *c, const json_t *given, struct environment *e)
{
    if (!given || json_is_null(given))
        return true;
    if (!json_is_string(given))
        return complain(c, "name", "%s, not a string", json_kind(given));
    struct span s = span_of(json_string_value(given), json_string_length(given));
    if (s.len == 0 || characters(s) > MAX_NAME)
        return complain(c, "name", "has %zu characters; 1 to %d are allowed", characters(s),
                        MAX_NAME);
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return complain(c, "name", "has a control character");
    e->name = arena_str(e->arena, s);
    return true;
}

/* The API's other members may stand in a file; a build has no use for them. */
static bool unused(struct complaint *c, const json_t *doc)
{
    const json_t *description = json_object_get(doc, "description");
    const json_t *metadata = json_object_get(doc, "metadata");
    const char *key;
    json_t *value;
    if (description && !json_is_null(description) &&
        (!json_is_string(description) || json_string_length(description) > MAX_DESCRIPTION))
        return complain(c, "description", "not a string of at most %d bytes", MAX_DESCRIPTION);
    if (metadata && !json_is_null(metadata) && !json_is_object(metadata))
        return complain(c, "metadata", "%s, not a mapping of strings", json_kind(metadata));
    json_object_foreach ((json_t *)(uintptr_t)metadata, key, value) {
        char path[128];
        snprintf(path, sizeof(path), "metadata.%.100s", key);
        if (!json_is_string(value))
            return complain(c, path, "%s, not a string; put it in quotes", json_kind(value));
    }
    return true;
}

static bool platform(struct complaint *c, const json_t *given, struct environment *e)
{
    struct err why = {0};
    if (!given || json_is_null(given))
        return true;
    if (!platform_check_declared(given, &why)) {
        struct span path, rest;
        AUTO_FREE char *text = mem_dup_str(why.text);
        if (!span_cut(span_str(text), SPAN(": "), &path, &rest))
            return complain(c, "platform", "%s", text);
        AUTO_FREE char *at = mem_dup(path);
        return complain(c, at, "%.*s", SPAN_ARG(rest));
    }
    if (json_object_size(given) > 0)
        e->platform = json_deep_copy(given);
    return true;
}

static bool base(struct complaint *c, const json_t *given, struct environment *e)
{
    if (!given || json_is_null(given))
        return true;
    if (!json_is_string(given))
        return complain(c, "base", "%s, not a string", json_kind(given));
    struct span s = span_of(json_string_value(given), json_string_length(given));
    e->base = arena_str(e->arena, s);
    return base_check(c, s);
}

static bool document(struct complaint *c, const json_t *doc, int64_t now_ms, struct environment *e)
{
    static const char *const known[] = {"name",   "config",      "base",     "platform",
                                        "policy", "description", "metadata", NULL};
    static const char *const inner[] = {"packages", "networking", "type"};
    if (!json_is_object(doc))
        return complain(c, "", "%s, not a mapping; `build-env init` writes an example",
                        json_is_null(doc) ? "empty" : json_kind(doc));
    for (size_t i = 0; i < COUNT(inner); i++)
        if (json_object_get(doc, inner[i]))
            return complain(c, inner[i], "belongs below \"config\"; write config: {%s: ...}",
                            inner[i]);
    for (size_t i = 0; i < RESOLVER_COUNT; i++)
        if (json_object_get(doc, resolvers[i]->manager))
            return complain(c, resolvers[i]->manager,
                            "belongs below \"config\"; write config: {packages: {%s: [...]}}",
                            resolvers[i]->manager);
    return check_members(c, doc, "", known) && name(c, json_object_get(doc, "name"), e) &&
           unused(c, doc) && config_check(c, json_object_get(doc, "config"), &e->config) &&
           base(c, json_object_get(doc, "base"), e) &&
           platform(c, json_object_get(doc, "platform"), e) &&
           policy_check(c, json_object_get(doc, "policy"), now_ms, e);
}

/* Files. */

static bool from_json(struct span text, const char *file, int64_t now_ms, struct environment *e,
                      struct err *err)
{
    struct complaint c = {.err = err};
    AUTO_JSON json_t *doc = json_parse(text, err);
    return (doc && document(&c, doc, now_ms, e)) || err_wrap(err, "%s", file);
}

static bool from_yaml(struct span text, const char *file, int64_t now_ms, struct environment *e,
                      struct err *err)
{
    struct complaint c = {.err = err};
    AUTO_YAML struct yaml y = {0};
    if (!yaml_parse(text, file, &y, err))
        return false;
    if (document(&c, y.value, now_ms, e))
        return true;
    const struct yaml_place *place = yaml_place_of(&y, span_str(c.path));
    return place ? err_wrap(err, "%s:%zu:%zu", file, place->line, place->column)
                 : err_wrap(err, "%s", file);
}

bool environment_parse(struct span text, const char *file, int64_t now_ms, struct environment **out,
                       struct err *err)
{
    if (text.len > ENVIRONMENT_MAX_BYTES)
        return err_set(err, ERR_TOO_LARGE, "%s: larger than %u bytes", file, ENVIRONMENT_MAX_BYTES);
    if (!span_is_utf8(text))
        return err_set(err, ERR_INVALID, "%s: not UTF-8", file);
    struct environment *e = blank();
    bool json = span_starts(span_trim(text), SPAN("{"));
    bool ok = json ? from_json(text, file, now_ms, e, err) : from_yaml(text, file, now_ms, e, err);
    if (!ok) {
        environment_free(e);
        return false;
    }
    *out = e;
    return true;
}

bool environment_read(const char *path, int64_t now_ms, struct environment **out, struct err *err)
{
    AUTO_BUF struct buf text = BUF(ENVIRONMENT_MAX_BYTES);
    if (!io_read_file(AT_FDCWD, path, &text, err)) {
        if (err->code == ERR_NOT_FOUND)
            return err_set(err, ERR_INVALID,
                           "%s: there is no such file; `build-env init` writes one", path);
        return false;
    }
    return environment_parse(buf_span(&text), path, now_ms, out, err);
}
