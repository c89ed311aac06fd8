/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/pip/build_system.h"

#include "resolvers/discover_files.h"
#include "resolvers/pip/requirement.h"

#define LEGACY_BACKEND "setuptools.build_meta:__legacy__"

static bool bad(struct err *err, const char *what, const char *why)
{
    return err_set(err, ERR_BAD_ARCHIVE, "pyproject.toml: build-system.%s: %s", what, why);
}

static bool is_identifier(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '_' &&
            !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return s.len > 0;
}

static bool is_dotted(struct span s)
{
    struct span part;
    while (span_next(&s, '.', &part))
        if (!is_identifier(part))
            return false;
    return true;
}

static bool is_backend(struct span s)
{
    struct span module, object;
    if (s.len > 512)
        return false;
    return span_cut_char(s, ':', &module, &object) ? is_dotted(module) && is_dotted(object)
                                                   : is_dotted(s);
}

/* "." and relative folders that do not climb. */
static bool is_inside(struct span path)
{
    struct span part;
    if (path.len == 0 || path.len > 1024 || path.ptr[0] == '/' || span_has(path, '\0'))
        return false;
    while (span_next(&path, '/', &part))
        if (span_eq(part, SPAN("..")))
            return false;
    return true;
}

static bool take_list(const struct entry *e, const char *what, struct arena *a, struct span **out,
                      size_t *count, struct err *err)
{
    struct err why = {0};
    if (e->is_string || !toml_strings(e->value, a, out, count, &why))
        return bad(err, what, why.code ? why.text : "not a list of strings");
    return *count <= PIP_BUILD_REQUIRES_MAX || bad(err, what, "too many entries");
}

static bool check_requires(const struct pip_build_system *b, struct arena *a, struct err *err)
{
    struct err why = {0};
    struct pip_requirement q;
    for (size_t i = 0; i < b->require_count; i++)
        if (!pip_requirement_parse(b->requires[i], a, &q, &why))
            return bad(err, "requires", why.text);
    return true;
}

static bool check_paths(const struct pip_build_system *b, struct err *err)
{
    for (size_t i = 0; i < b->path_count; i++)
        if (!is_inside(b->paths[i]))
            return bad(err, "backend-path", "not a folder of the source");
    return true;
}

static void use_setuptools(struct pip_build_system *b, struct arena *a)
{
    b->requires = arena_array(a, 2, sizeof(*b->requires));
    b->requires[0] = SPAN("setuptools>=40.8.0");
    b->requires[1] = SPAN("wheel");
    b->require_count = 2;
    b->backend = SPAN(LEGACY_BACKEND);
}

static bool take_entries(const struct entries *list, struct arena *a, struct pip_build_system *b,
                         struct err *err)
{
    bool table = false, requires = false;
    for (size_t i = 0; i < list->n; i++) {
        const struct entry *e = &list->v[i];
        if (!span_eq(e->section, SPAN("build-system")))
            continue;
        table = true;
        if (span_eq(e->key, SPAN("requires"))) {
            requires = true;
            if (!take_list(e, "requires", a, &b->requires, &b->require_count, err))
                return false;
        } else if (span_eq(e->key, SPAN("backend-path"))) {
            if (!take_list(e, "backend-path", a, &b->paths, &b->path_count, err))
                return false;
        } else if (span_eq(e->key, SPAN("build-backend"))) {
            if (!e->is_string || !is_backend(e->value))
                return bad(err, "build-backend", "not like \"module\" or \"module:object\"");
            b->backend = e->value;
        }
    }
    if (!table) {
        use_setuptools(b, a);
        return true;
    }
    if (!requires)
        return bad(err, "requires", "is missing");
    if (b->backend.len == 0)
        b->backend = SPAN(LEGACY_BACKEND);
    return check_requires(b, a, err) && check_paths(b, err);
}

bool pip_build_system_parse(struct span text, struct arena *a, struct pip_build_system *out,
                            struct err *err)
{
    struct entries list = {0};
    struct err why = {0};
    *out = (struct pip_build_system){0};
    if (!text.ptr) {
        use_setuptools(out, a);
        return true;
    }
    bool ok = entries_toml(text, a, &list, &why);
    if (!ok)
        err_set(err, ERR_BAD_ARCHIVE, "pyproject.toml: %s", why.text);
    else
        ok = take_entries(&list, a, out, err);
    VEC_FREE(&list);
    return ok;
}
