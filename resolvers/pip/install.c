/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/pip/install.h"

#include "resolvers/pip/install_priv.h"

/* "3.11": it becomes part of paths. */
static bool check_python(const struct platform *p, struct err *err)
{
    struct span major, minor;
    if (!p->python || !p->python[0] || !p->python_program || !p->python_program[0])
        return err_set(err, ERR_PLATFORM,
                       "no Python interpreter in the base: install python3, or declare "
                       "platform.python");
    if (!span_cut_char(span_str(p->python), '.', &major, &minor) || !span_is_digits(major) ||
        !span_is_digits(minor))
        return err_set(err, ERR_PLATFORM, "platform.python \"%s\" is not like \"3.11\"", p->python);
    return true;
}

static json_t *key_of(const struct install_context *c, const char *kind)
{
    json_t *key = json_object();
    json_put_str(key, "kind", kind);
    json_put_int(key, "format", PIP_INSTALL_FORMAT);
    json_put_str(key, "mount", "/" PIP_VENV);
    json_put_str(key, "python", c->platform->python);
    return key;
}

static struct install_unit *add_unit(const struct install_context *c, struct install_units *units,
                                     const char *name, const char *kind)
{
    struct install_unit *u = VEC_PUSH(&units->list);
    u->name = arena_str(units->arena, span_str(name));
    u->kind = kind;
    u->key = key_of(c, kind);
    return u;
}

static void add_venv(const struct install_context *c, struct install_units *units)
{
    struct install_unit *u = add_unit(c, units, "venv", "venv");
    json_put_str(u->key, "python_full", c->platform->python_full);
    json_put_str(u->key, "python_program", c->platform->python_program);
    u->weight_bytes = 1;
}

static struct install_unit *add_package(const struct install_context *c,
                                        struct install_units *units, const json_t *package,
                                        const char *kind)
{
    struct install_unit *u = add_unit(c, units, json_get_str(package, "name"), kind);
    int64_t size = json_get_int(package, "size", 0);
    json_put_str(u->key, "name", json_get_str(package, "name"));
    json_put_str(u->key, "version", json_get_str(package, "version"));
    json_put_str(u->key, "digest", json_get_str(package, "digest"));
    if (!span_ends(json_get_span(package, "filename"), SPAN(".whl"))) {
        json_object_set(u->key, "build", json_object_get(package, "build"));
        json_put_str(u->key, "build_inputs", c->build_inputs);
        json_put_str(u->key, "python_full", c->platform->python_full);
    }
    u->package = package;
    u->weight_bytes = size > 0 ? (uint64_t)size : 1u << 20;
    return u;
}

static bool check_package(const struct install_context *c, const json_t *package, struct err *err)
{
    const char *name = json_get_str(package, "name");
    struct span file = json_get_span(package, "filename");
    bool built = c->build_inputs && json_object_get(package, "build");
    if (!name || !name[0] || !json_get_str(package, "version") || !json_get_str(package, "digest"))
        return err_set(err, ERR_LOCK_INVALID,
                       "a package without name, version or digest in the lock");
    if (!span_ends(file, SPAN(".whl")) && !built)
        return err_set(err, ERR_NEEDS_BUILD,
                       "%s: \"%.*s\" is a source distribution, and the lock does not say what it "
                       "is built with: resolve again, or choose a version that has a wheel",
                       name, SPAN_ARG(file));
    return true;
}

bool pip_units(const struct install_context *c, struct install_units *units, struct err *err)
{
    const json_t *packages = json_object_get(c->lock, "packages"), *package;
    size_t i;
    if (!json_is_array(packages))
        return err_set(err, ERR_LOCK_INVALID, "the lock has no packages");
    if (!check_python(c->platform, err))
        return false;
    add_venv(c, units);
    json_array_foreach (packages, i, package) {
        if (!check_package(c, package, err))
            return false;
        struct install_unit *u = add_package(c, units, package, "wheel");
        const char *url = pip_direct_url(package, units->arena);
        json_object_set_new(u->key, "requested",
                            json_boolean(json_get_bool(package, "requested", false)));
        if (url)
            json_put_str(u->key, "url", url);
        if (!c->options.bytecode)
            continue;
        u = add_package(c, units, package, "bytecode");
        json_put_str(u->key, "python_full", c->platform->python_full);
        json_put_str(u->key, "python_impl", c->platform->python_impl);
        u->weight_bytes *= 8; /* compiling costs far more than copying */
    }
    return true;
}

bool pip_fill(const struct install_context *c, const struct install_unit *unit,
              const struct io_map *blob, struct segment_plan *plan, struct err *err)
{
    if (!unit->package)
        return pip_fill_venv(c, plan, err);
    struct pip_wheel_want want = {
        .name = json_get_span(unit->package, "name"),
        .version = json_get_span(unit->package, "version"),
        .python = span_str(c->platform->python),
    };
    struct pip_wheel w;
    bool ok = pip_wheel_open(&w, blob->bytes, &want, plan->arena, err);
    if (ok && strcmp(unit->kind, "bytecode") == 0)
        ok = pip_fill_bytecode(c, &w, plan, err);
    else if (ok)
        ok = pip_fill_wheel(c, unit->package, &w, plan, err);
    if (ok && w.warning.ptr && strcmp(unit->kind, "wheel") == 0)
        log_line(c->log, LOG_WARN, "pip: %s: %.*s", unit->name, SPAN_ARG(w.warning));
    return ok || err_wrap(err, "%s %.*s: %.*s", unit->name, SPAN_ARG(want.version),
                          SPAN_ARG(json_get_span(unit->package, "filename")));
}

void pip_environment(const struct install_context *c, json_t *path, json_t *env, json_t *bins)
{
    json_array_append_new(path, json_string("/" PIP_VENV "/bin"));
    json_put_str(env, "VIRTUAL_ENV", "/" PIP_VENV);
    json_array_append_new(bins, json_string("python"));
    json_array_append_new(bins, json_string("python3"));
    json_array_append_new(bins, json_sprintf("python%s", c->platform->python));
}

const char *pip_direct_url(const json_t *package, struct arena *a)
{
    struct span origin = json_get_span(package, "origin"), scheme, rest, host, path, user;
    if (!origin.ptr || !span_cut(origin, SPAN("://"), &scheme, &rest))
        return NULL;
    rest = span_slice(rest, 0, span_find_char(rest, '#'));
    if (!span_cut_char(rest, '/', &host, &path)) {
        host = rest;
        path = (struct span){"", 0};
    }
    span_cut_last_char(host, '@', &user, &host);
    return arena_printf(a, "%.*s://%.*s/%.*s", SPAN_ARG(scheme), SPAN_ARG(host), SPAN_ARG(path));
}
