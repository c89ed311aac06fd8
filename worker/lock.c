/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/lock.h"

#include <fcntl.h>

#include "base/io.h"
#include "base/map.h"
#include "resolvers/resolver.h"

#define MAX_PACKAGES    20000u
#define MAX_BUILD_DEPTH 8 /* of packages to build packages with */

json_t *lock_new(const struct platform *platform)
{
    json_t *lock = json_object();
    json_put_int(lock, "lock_version", LOCK_VERSION);
    json_object_set_new(lock, "platform", platform_json(platform));
    json_object_set_new(lock, "managers", json_object());
    return lock;
}

void lock_put(json_t *lock, const char *manager, json_t *part)
{
    json_object_set_new(json_object_get(lock, "managers"), manager, part);
}

json_t *lock_part(const json_t *lock, const char *manager)
{
    return json_object_get(json_object_get(lock, "managers"), manager);
}

/* Where a package was found and how big its file is say nothing about what it is, and mirrors
 * differ in both. An URL that the user wrote is part of what was asked. */
static json_t *part_essence(const json_t *part, int depth);

/* A package that is built has what it is built with, again a manager's part. */
static json_t *package_essence(const json_t *package, int depth)
{
    const json_t *build = json_object_get(package, "build");
    json_t *out = json_copy((json_t *)(uintptr_t)package);
    json_object_del(out, "size");
    if (span_find(json_get_span(package, "origin"), SPAN("://")) ==
        json_get_span(package, "origin").len)
        json_object_del(out, "origin");
    if (build)
        json_object_set_new(out, "build", part_essence(build, depth + 1));
    return out;
}

static json_t *part_essence(const json_t *part, int depth)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)part), *packages = json_array(), *package;
    size_t i;
    json_array_foreach (json_object_get(part, "packages"), i, package) {
        if (depth <= MAX_BUILD_DEPTH)
            json_array_append_new(packages, package_essence(package, depth));
    }
    json_object_set_new(copy, "packages", packages);
    json_object_del(copy, "requested");
    return copy;
}

json_t *lock_essence(const json_t *lock)
{
    json_t *out = json_copy((json_t *)(uintptr_t)lock), *managers = json_object();
    const char *manager;
    json_t *part;
    json_object_foreach (json_object_get(lock, "managers"), manager, part) {
        json_object_set_new(managers, manager, part_essence(part, 0));
    }
    json_object_set_new(out, "managers", managers);
    return out;
}

bool lock_has_builds(const json_t *lock)
{
    size_t i;
    json_t *package;
    json_array_foreach (json_object_get(lock_part(lock, "pip"), "packages"), i, package) {
        if (json_object_get(package, "build"))
            return true;
    }
    return false;
}

static bool strings_only(const json_t *list)
{
    size_t i;
    json_t *v;
    if (!json_is_array(list))
        return false;
    json_array_foreach (list, i, v)
        if (!json_is_string(v))
            return false;
    return true;
}

/* A path below a registry (or an URL the user wrote): nothing that climbs or hides. */
static bool origin_is_safe(struct span origin)
{
    struct span rest = origin, piece;
    for (size_t i = 0; i < origin.len; i++)
        if ((unsigned char)origin.ptr[i] <= ' ' || origin.ptr[i] == '\\')
            return false;
    while (span_next(&rest, '/', &piece))
        if (span_eq(piece, SPAN("..")))
            return false;
    return origin.len < 8192;
}

static bool check_packages(const json_t *part, int depth, struct err *err);

static bool check_package(const json_t *package, int depth, struct err *err)
{
    struct span name = json_get_span(package, "name"), digest = json_get_span(package, "digest");
    struct hash hash;
    if (!name.len || name.len > 512)
        return err_set(err, ERR_LOCK_INVALID, "a package has no name");
    if (!json_get_span(package, "version").len)
        return err_set(err, ERR_LOCK_INVALID, "%.*s has no version", SPAN_ARG(name));
    if (digest.ptr && !hash_parse_text(digest, &hash))
        return err_set(err, ERR_LOCK_INVALID, "%.*s: digest is not \"ALGORITHM:HEX\"",
                       SPAN_ARG(name));
    if (!origin_is_safe(json_get_span(package, "origin")))
        return err_set(err, ERR_LOCK_INVALID, "%.*s: origin is no plain path or URL",
                       SPAN_ARG(name));
    const json_t *requires = json_object_get(package, "requires");
    if (requires && !strings_only(requires))
        return err_set(err, ERR_LOCK_INVALID, "%.*s: requires must be a list of names",
                       SPAN_ARG(name));
    const json_t *build = json_object_get(package, "build");
    if (build && (!json_is_object(build) || depth >= MAX_BUILD_DEPTH))
        return err_set(err, ERR_LOCK_INVALID,
                       "%.*s: build must be an object with packages, at most %d deep",
                       SPAN_ARG(name), MAX_BUILD_DEPTH);
    return !build || check_packages(build, depth + 1, err) ||
           err_wrap(err, "%.*s: build", SPAN_ARG(name));
}

static bool check_packages(const json_t *part, int depth, struct err *err)
{
    const json_t *packages = json_object_get(part, "packages");
    size_t i;
    json_t *package;
    if (!json_is_array(packages) || json_array_size(packages) > MAX_PACKAGES)
        return err_set(err, ERR_LOCK_INVALID, "packages: must be a list of at most %u",
                       MAX_PACKAGES);
    if (json_object_get(part, "requested") && !strings_only(json_object_get(part, "requested")))
        return err_set(err, ERR_LOCK_INVALID, "requested: must be a list of specs");
    json_array_foreach (packages, i, package) {
        if (!check_package(package, depth, err))
            return err_wrap(err, "packages[%zu]", i);
    }
    return true;
}

static bool check_part(const char *manager, const json_t *part, struct err *err)
{
    if (!resolver_find(span_str(manager)))
        return err_set(err, ERR_LOCK_INVALID, "managers.%s: no such manager", manager);
    return check_packages(part, 0, err) || err_wrap(err, "managers.%s", manager);
}

bool lock_check(const json_t *lock, struct err *err)
{
    const json_t *managers = json_object_get(lock, "managers");
    const char *manager;
    json_t *part;
    if (json_get_int(lock, "lock_version", 0) != LOCK_VERSION)
        return err_set(err, ERR_LOCK_INVALID, "lock_version must be %d", LOCK_VERSION);
    if (!json_is_object(json_object_get(lock, "platform")) || !json_is_object(managers))
        return err_set(err, ERR_LOCK_INVALID, "platform and managers must be objects");
    json_object_foreach ((json_t *)(uintptr_t)managers, manager, part) {
        if (!check_part(manager, part, err))
            return false;
    }
    return true;
}

bool lock_answers(const json_t *lock, const json_t *packages)
{
    for (size_t i = 0; i < RESOLVER_COUNT; i++) {
        const char *manager = resolvers[i]->manager;
        const json_t *asked = json_object_get(packages, manager);
        const json_t *part = lock_part(lock, manager);
        if (json_array_size(asked) == 0 && !part)
            continue;
        if (!part || !json_equal(asked, json_object_get(part, "requested")))
            return false;
    }
    return true;
}

bool lock_read_file(const char *path, json_t **out, struct err *err)
{
    AUTO_BUF struct buf text = BUF(LOCK_MAX_BYTES);
    if (!io_read_file(AT_FDCWD, path, &text, err))
        return false;
    AUTO_JSON json_t *lock = json_parse(buf_span(&text), err);
    if (!lock) {
        err->code = ERR_LOCK_INVALID;
        return err_wrap(err, "%s", path);
    }
    if (!lock_check(lock, err))
        return err_wrap(err, "%s", path);
    *out = TAKE(lock);
    return true;
}

bool lock_write_file(const char *path, const json_t *lock, struct err *err)
{
    AUTO_BUF struct buf text = BUF(LOCK_MAX_BYTES);
    if (!json_pretty(lock, &text))
        return err_set(err, ERR_TOO_LARGE, "%s: lock is larger than %u bytes", path,
                       LOCK_MAX_BYTES);
    return io_replace_file(AT_FDCWD, path, buf_span(&text), 0644, true, err);
}

const json_t *lock_find(const json_t *lock, const char *manager, struct span name)
{
    size_t i;
    json_t *package;
    json_array_foreach (json_object_get(lock_part(lock, manager), "packages"), i, package) {
        if (span_eq(json_get_span(package, "name"), name))
            return package;
    }
    return NULL;
}

/* Versions of a manager's packages by name; a name that is there more than once (npm nests)
 * has them all, joined. Keys and values from `a`. */
static void versions_by_name(const json_t *lock, const char *manager, struct arena *a,
                             struct map *out)
{
    size_t i;
    json_t *package;
    json_array_foreach (json_object_get(lock_part(lock, manager), "packages"), i, package) {
        struct span name = json_get_span(package, "name"),
                    version = json_get_span(package, "version");
        const char *had = map_get(out, name);
        if (!had)
            map_put(out, name, arena_str(a, version));
        else
            map_put(out, name, arena_printf(a, "%s, %.*s", had, SPAN_ARG(version)));
    }
}

static void put_change(json_t *list, const char *manager, struct span name, const char *from,
                       const char *to)
{
    json_t *change = json_object();
    json_put_str(change, "manager", manager);
    json_put_span(change, "name", name);
    json_object_set_new(change, "from", from ? json_string(from) : json_null());
    json_object_set_new(change, "to", to ? json_string(to) : json_null());
    json_array_append_new(list, change);
}

json_t *lock_diff(const json_t *a, const json_t *b)
{
    json_t *out = json_array();
    AUTO_ARENA struct arena *arena = arena_new();
    for (size_t m = 0; m < RESOLVER_COUNT; m++) {
        const char *manager = resolvers[m]->manager;
        AUTO_MAP struct map old = {0}, new = {0};
        versions_by_name(a, manager, arena, &old);
        versions_by_name(b, manager, arena, &new);
        for (size_t i = 0; i < old.n; i++) {
            const char *to = map_get(&new, old.v[i].key);
            if (!to || strcmp(to, old.v[i].value) != 0)
                put_change(out, manager, old.v[i].key, old.v[i].value, to);
        }
        for (size_t i = 0; i < new.n; i++)
            if (!map_has(&old, new.v[i].key))
                put_change(out, manager, new.v[i].key, NULL, new.v[i].value);
    }
    return out;
}
