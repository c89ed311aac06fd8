/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/platform.h"

#include <sys/utsname.h>

#include "resolvers/platform_priv.h"

const char *const platform_markers[PLATFORM_MARKERS] = {
    "implementation_name",
    "implementation_version",
    "os_name",
    "platform_machine",
    "platform_python_implementation",
    "platform_release",
    "platform_system",
    "platform_version",
    "python_full_version",
    "python_version",
    "sys_platform",
};

/* What a machine without a declared libc is taken for: Debian 12's. */
#define DEFAULT_GLIBC "2.36"

#define MAX_TEXT 256

struct platform_box *platform_box_new(void)
{
    struct arena *arena = arena_new();
    struct platform_box *b = ARENA_NEW(arena, struct platform_box);
    b->arena = arena;
    b->p = (struct platform){
        .os = "linux",
        .arch = "",
        .libc = "",
        .libc_version = "",
        .python = "",
        .python_full = "",
        .python_program = "",
        .python_impl = "",
        .node = "",
        .node_program = "",
        .npm = "",
    };
    b->p.markers = b->markers = json_object();
    return b;
}

void platform_free(struct platform *p)
{
    if (!p)
        return;
    struct platform_box *b = container_of(p, struct platform_box, p);
    json_decref(b->markers);
    arena_free(b->arena);
}

void platform_kernel_markers(json_t *markers)
{
    struct utsname u;
    if (uname(&u) != 0)
        return;
    json_put_str(markers, "platform_release", u.release);
    json_put_str(markers, "platform_version", u.version);
    json_put_str(markers, "platform_system", u.sysname);
    json_put_str(markers, "platform_machine", u.machine);
}

bool platform_take_markers(struct platform_box *b, json_t *markers)
{
    for (size_t i = 0; i < PLATFORM_MARKERS; i++) {
        const char *value = json_get_str(markers, platform_markers[i]);
        if (!value || strlen(value) > MAX_TEXT)
            return false;
    }
    if (json_object_size(markers) != PLATFORM_MARKERS)
        return false;
    b->p.python = arena_str(b->arena, json_get_span(markers, "python_version"));
    b->p.python_full = arena_str(b->arena, json_get_span(markers, "python_full_version"));
    b->p.python_impl = arena_str(b->arena, json_get_span(markers, "implementation_name"));
    json_decref(b->markers);
    b->p.markers = b->markers = json_incref(markers);
    return true;
}

static bool is_kernel_build(const char *marker)
{
    return strcmp(marker, "platform_release") == 0 || strcmp(marker, "platform_version") == 0;
}

/* The members of the canonical form that are plain strings. */
static const struct member {
    const char *name;
    size_t offset;
    bool needed;
} members[] = {
    {"os", offsetof(struct platform, os), true},
    {"arch", offsetof(struct platform, arch), true},
    {"libc", offsetof(struct platform, libc), false},
    {"libc_version", offsetof(struct platform, libc_version), false},
    {"python", offsetof(struct platform, python), false},
    {"python_full", offsetof(struct platform, python_full), false},
    {"python_program", offsetof(struct platform, python_program), false},
    {"python_impl", offsetof(struct platform, python_impl), false},
    {"node", offsetof(struct platform, node), false},
    {"node_program", offsetof(struct platform, node_program), false},
};

static const char **member_of(const struct platform *p, size_t i)
{
    return (const char **)(void *)((char *)(uintptr_t)p + members[i].offset);
}

json_t *platform_json(const struct platform *p)
{
    json_t *json = json_object();
    for (size_t i = 0; i < COUNT(members); i++) {
        const char *value = *member_of(p, i);
        if (value && *value)
            json_put_str(json, members[i].name, value);
    }
    if (!p->markers || json_object_size(p->markers) == 0)
        return json;
    json_t *markers = json_object();
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)p->markers, key, value) {
        if (!is_kernel_build(key))
            json_object_set(markers, key, value);
    }
    json_object_set_new(json, "markers", markers);
    return json;
}

static bool read_markers(const json_t *from, struct platform_box *b, struct err *err)
{
    const json_t *given = json_object_get(from, "markers");
    if (!given)
        return true;
    for (size_t i = 0; i < PLATFORM_MARKERS; i++) {
        struct span value = json_get_span(given, platform_markers[i]);
        if (is_kernel_build(platform_markers[i]))
            value = SPAN("");
        if (!value.ptr || value.len > MAX_TEXT)
            return err_set(err, ERR_INVALID, "platform.markers.%s: missing or not a short string",
                           platform_markers[i]);
        json_put_span(b->markers, platform_markers[i], value);
    }
    return true;
}

static bool read_platform(const json_t *json, struct platform_box *b, struct err *err)
{
    if (!json_is_object(json))
        return err_set(err, ERR_INVALID, "platform: not an object");
    for (size_t i = 0; i < COUNT(members); i++) {
        struct span value = json_get_span(json, members[i].name);
        if (json_object_get(json, members[i].name) && (!value.ptr || value.len > MAX_TEXT))
            return err_set(err, ERR_INVALID, "platform.%s: not a short string", members[i].name);
        if (!value.ptr && members[i].needed)
            return err_set(err, ERR_INVALID, "platform.%s: missing", members[i].name);
        if (value.ptr)
            *member_of(&b->p, i) = arena_str(b->arena, value);
    }
    return read_markers(json, b, err);
}

bool platform_from_json(const json_t *json, struct platform **out, struct err *err)
{
    struct platform_box *b = platform_box_new();
    if (!read_platform(json, b, err)) {
        platform_free(&b->p);
        return false;
    }
    *out = &b->p;
    return true;
}

/* Declared platforms. */

/* "3.11" or "3.11.2" with `least` to `most` numbers of at most four digits. */
static bool version_numbers(struct span text, size_t least, size_t most, unsigned out[3])
{
    struct span rest = text, piece;
    size_t n = 0;
    out[0] = out[1] = out[2] = 0;
    while (span_next(&rest, '.', &piece)) {
        uint64_t number;
        if (n == most || piece.len > 4 || !span_to_u64(piece, &number) ||
            (piece.len > 1 && piece.ptr[0] == '0'))
            return false;
        out[n++] = (unsigned)number;
    }
    return n >= least;
}

struct declared {
    unsigned python[3], node[3];
    struct span libc, libc_version, arch;
    bool has_python, has_node;
};

static bool take_libc(struct span text, struct declared *d, struct err *err)
{
    unsigned numbers[3];
    struct span version = SPAN("");
    d->libc = text;
    size_t at = text.len;
    for (size_t i = 0; i < text.len && at == text.len; i++)
        if (strchr(" -_", text.ptr[i]))
            at = i;
    if (at < text.len) {
        d->libc = span_slice(text, 0, at);
        version = span_skip(text, at + 1);
    }
    if (!span_eq(d->libc, SPAN("glibc")) && !span_eq(d->libc, SPAN("musl")))
        return err_set(err, ERR_INVALID,
                       "platform.libc: \"%.*s\" is not known; write \"glibc 2.36\" or \"musl 1.2\"",
                       SPAN_ARG(text));
    if (at < text.len && !version_numbers(version, 2, 3, numbers))
        return err_set(err, ERR_INVALID,
                       "platform.libc: \"%.*s\" is no version; write it like \"glibc 2.36\"",
                       SPAN_ARG(version));
    d->libc_version = version;
    return true;
}

static bool take_arch(struct span text, struct declared *d, struct err *err)
{
    static const struct {
        const char *given, *arch;
    } known[] = {{"x86_64", "x86_64"},
                 {"amd64", "x86_64"},
                 {"x64", "x86_64"},
                 {"aarch64", "aarch64"},
                 {"arm64", "aarch64"}};
    for (size_t i = 0; i < COUNT(known); i++)
        if (span_eq_str(text, known[i].given)) {
            d->arch = span_str(known[i].arch);
            return true;
        }
    return err_set(err, ERR_INVALID, "platform.arch: \"%.*s\" is not one of x86_64, aarch64",
                   SPAN_ARG(text));
}

static bool take_member(const char *key, struct span text, struct declared *d, struct err *err)
{
    if (strcmp(key, "python") == 0) {
        d->has_python = true;
        if (version_numbers(text, 2, 3, d->python) && d->python[0] == 3)
            return true;
        return err_set(err, ERR_INVALID,
                       "platform.python: \"%.*s\" is not a version of Python 3; write it like "
                       "\"3.11\" or \"3.11.2\", in quotes",
                       SPAN_ARG(text));
    }
    if (strcmp(key, "node") == 0) {
        d->has_node = true;
        if (version_numbers(text, 1, 3, d->node))
            return true;
        return err_set(err, ERR_INVALID,
                       "platform.node: \"%.*s\" is not a version; write it like \"20\" or "
                       "\"20.11.1\", in quotes",
                       SPAN_ARG(text));
    }
    if (strcmp(key, "libc") == 0)
        return take_libc(text, d, err);
    if (strcmp(key, "arch") == 0)
        return take_arch(text, d, err);
    if (strcmp(key, "os") != 0)
        return err_set(err, ERR_INVALID,
                       "platform.%s: not known; allowed are arch, libc, node, os, python", key);
    if (span_eq(text, SPAN("linux")))
        return true;
    return err_set(err, ERR_INVALID, "platform.os: only \"linux\" can be built for");
}

static bool read_declared(const json_t *json, struct declared *d, struct err *err)
{
    if (!json_is_object(json))
        return err_set(err, ERR_INVALID,
                       "platform: not a mapping; write it like platform: {python: \"3.11\"}");
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)json, key, value) {
        if (!json_is_string(value))
            return err_set(err, ERR_INVALID, "platform.%s: not a string; put it in quotes", key);
        if (!take_member(key, json_get_span(json, key), d, err))
            return false;
    }
    return true;
}

bool platform_check_declared(const json_t *declared, struct err *err)
{
    struct declared d = {0};
    return read_declared(declared, &d, err);
}

static void declare_python(struct platform_box *b, const struct declared *d,
                           const struct platform *host)
{
    struct arena *a = b->arena;
    const char *full = arena_printf(a, "%u.%u.%u", d->python[0], d->python[1], d->python[2]);
    const char *minor = arena_printf(a, "%u.%u", d->python[0], d->python[1]);
    json_t *m = json_object();
    json_put_str(m, "implementation_name", "cpython");
    json_put_str(m, "implementation_version", full);
    json_put_str(m, "os_name", "posix");
    json_put_str(m, "platform_machine", b->p.arch);
    json_put_str(m, "platform_python_implementation", "CPython");
    json_put_str(m, "platform_release", "");
    json_put_str(m, "platform_system", "Linux");
    json_put_str(m, "platform_version", "");
    json_put_str(m, "python_full_version", full);
    json_put_str(m, "python_version", minor);
    json_put_str(m, "sys_platform", "linux");
    platform_take_markers(b, m);
    json_decref(m);
    /* Where the base keeps it: known when this machine has that very series, else where
     * distributions put it. */
    b->p.python_program = host && strcmp(host->python, minor) == 0
                              ? arena_str(a, span_str(host->python_program))
                              : arena_printf(a, "/usr/bin/python%s", minor);
}

static void declare_node(struct platform_box *b, const struct declared *d,
                         const struct platform *host)
{
    b->p.node = arena_printf(b->arena, "%u.%u.%u", d->node[0], d->node[1], d->node[2]);
    b->p.node_program = host && *host->node_program
                            ? arena_str(b->arena, span_str(host->node_program))
                            : "/usr/bin/node";
}

static void take_host(struct platform_box *b, const struct platform *host)
{
    for (size_t i = 0; i < COUNT(members); i++)
        *member_of(&b->p, i) = arena_str(b->arena, span_str(*member_of(host, i)));
    b->p.npm = arena_str(b->arena, span_str(host->npm));
    json_decref(b->markers);
    b->p.markers = b->markers = json_deep_copy(host->markers);
}

bool platform_declare(const json_t *declared, const struct platform *host, struct platform **out,
                      struct err *err)
{
    struct declared d = {0};
    struct utsname u;
    if (!read_declared(declared, &d, err))
        return false;
    struct platform_box *b = platform_box_new();
    if (host) {
        take_host(b, host);
    } else {
        b->p.libc = "glibc";
        b->p.libc_version = DEFAULT_GLIBC;
        b->p.arch = uname(&u) == 0 ? arena_str(b->arena, span_str(u.machine)) : "x86_64";
    }
    if (d.arch.len > 0)
        b->p.arch = arena_str(b->arena, d.arch);
    if (d.libc.len > 0) {
        b->p.libc = arena_str(b->arena, d.libc);
        b->p.libc_version = d.libc_version.len > 0           ? arena_str(b->arena, d.libc_version)
                            : span_eq(d.libc, SPAN("glibc")) ? DEFAULT_GLIBC
                                                             : "1.2";
    }
    if (d.has_python)
        declare_python(b, &d, host);
    else if (json_object_size(b->markers) > 0)
        json_put_str(b->markers, "platform_machine", b->p.arch);
    if (d.has_node)
        declare_node(b, &d, host);
    *out = &b->p;
    return true;
}
