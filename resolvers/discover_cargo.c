/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/proc.h"
#include "resolvers/discover_files.h"
#include "resolvers/discover_priv.h"

/* How cargo calls its own registry in its configuration; a name of a table, not a host. */
#define OWN_SOURCE "crates-io"

#define MAX_HOPS       10
#define ASK_TIMEOUT_MS 20000

/* Entries of all configuration files, the strongest file first. */
struct cargo_config {
    struct find *f;
    struct entries all;
    VEC(const char *) from; /* of each entry */
};

static const struct entry *entry_of(const struct cargo_config *c, const char *section,
                                    const char *key, const char **from)
{
    for (size_t i = 0; i < c->all.n; i++)
        if (span_eq_str(c->all.v[i].section, section) && span_eq_str(c->all.v[i].key, key)) {
            if (from)
                *from = c->from.v[i];
            return &c->all.v[i];
        }
    return NULL;
}

static bool read_toml(struct cargo_config *c, const char *path, struct err *err)
{
    struct find *f = c->f;
    AUTO_BUF struct buf text = BUF(DISCOVER_MAX_FILE);
    struct entries entries = {0};
    if (!find_read(f, path, &text))
        return true;
    bool ok = entries_toml(arena_span(f->arena, buf_span(&text)), f->arena, &entries, err);
    for (size_t i = 0; ok && i < entries.n; i++) {
        *VEC_PUSH(&c->all) = entries.v[i];
        *VEC_PUSH(&c->from) = arena_printf(f->arena, "%s (line %zu)", path, entries.v[i].line);
    }
    VEC_FREE(&entries);
    find_note(f, path, "read");
    return ok || err_wrap(err, "%s", path);
}

/* `config` without an ending is the older name, and the one cargo takes when both are there. */
static bool read_folder(struct cargo_config *c, const char *folder, struct err *err)
{
    const char *old = find_join(c->f, folder, "config");
    if (find_real(c->f, old))
        return read_toml(c, old, err);
    return read_toml(c, find_join(c->f, folder, "config.toml"), err);
}

static const char *cargo_home(struct find *f)
{
    const char *home = find_env(f, "CARGO_HOME");
    return home ? home : find_join(f, find_home(f), ".cargo");
}

static bool read_configs(struct cargo_config *c, struct err *err)
{
    struct find *f = c->f;
    const char *dir = find_project(f), *home = cargo_home(f);
    for (int depth = 0; dir && depth < 64; depth++) {
        const char *folder = find_join(f, dir, ".cargo"), *real = find_real(f, folder);
        const char *real_home = find_real(f, home);
        if (real && (!real_home || strcmp(real, real_home) != 0) && !read_folder(c, folder, err))
            return false;
        if (strcmp(dir, "/") == 0)
            break;
        dir = find_up(f, dir, 1);
    }
    if (!home)
        return true;
    const char *old = find_join(f, home, "credentials");
    return read_folder(c, home, err) &&
           read_toml(c, find_real(f, old) ? old : find_join(f, home, "credentials.toml"), err);
}

/* CARGO_REGISTRIES_NAME_INDEX and _TOKEN. */
static const char *registry_variable(struct find *f, const char *name, const char *what)
{
    char *variable = arena_printf(f->arena, "CARGO_REGISTRIES_%s_%s", name, what);
    for (char *p = variable; *p; p++)
        *p = *p == '-' || *p == '.' ? '_' : *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
    return find_env(f, variable);
}

/* The address of a source: its own, or that of the registry of that name. */
static struct span source_url(struct cargo_config *c, const char *name, const char **from)
{
    struct arena *a = c->f->arena;
    const struct entry *e = entry_of(c, arena_printf(a, "source.%s", name), "registry", from);
    if (e)
        return e->value;
    const char *variable = registry_variable(c->f, name, "INDEX");
    if (variable) {
        *from = arena_printf(a, "the variable CARGO_REGISTRIES_..._INDEX of %s", name);
        return span_str(variable);
    }
    e = entry_of(c, arena_printf(a, "registries.%s", name), "index", from);
    return e ? e->value : SPAN("");
}

static bool not_a_registry(struct cargo_config *c, const char *name, struct err *err)
{
    static const char *const kinds[] = {"local-registry", "directory", "git"};
    const char *section = arena_printf(c->f->arena, "source.%s", name), *from;
    for (size_t i = 0; i < COUNT(kinds); i++)
        if (entry_of(c, section, kinds[i], &from))
            return err_set(err, ERR_NO_REGISTRY,
                           "cargo is set up for a %s (%s), which cannot be used here; write "
                           "`registries: {cargo: https://index.example.com/}` into strata.yaml",
                           kinds[i], from);
    return true;
}

static bool add_index(struct find *f, struct span url, const char *from, struct err *err)
{
    json_put_span(f->details, "index", url);
    if (span_starts(url, SPAN("sparse+")))
        return find_add_url(f, span_skip(url, 7), from, err);
    return err_set(err, ERR_NO_REGISTRY,
                   "%s: \"%.*s\" is an index in git; only sparse ones (sparse+https://...) can be "
                   "used: set one, or write `registries: {cargo: https://index.example.com/}` into "
                   "strata.yaml",
                   from, (int)(url.len > 200 ? 200 : url.len), url.ptr);
}

/* The token of a registry other than cargo's own, whose token is for publishing. */
static void add_token(struct cargo_config *c, const char *name, struct span url)
{
    const char *from = "a variable of cargo", *token = registry_variable(c->f, name, "TOKEN");
    const struct entry *e =
        entry_of(c, arena_printf(c->f->arena, "registries.%s", name), "token", &from);
    struct span value = token ? span_str(token) : e ? e->value : SPAN("");
    if (span_starts(url, SPAN("sparse+")))
        url = span_skip(url, 7);
    if (value.len > 0 && strcmp(name, OWN_SOURCE) != 0)
        credentials_add_header(c->f->credentials, url, value, from);
}

/* Follows `replace-with` from the default registry on; true with *name the last one. */
static bool follow(struct cargo_config *c, const char **name, struct err *err)
{
    struct arena *a = c->f->arena;
    const struct entry *e = entry_of(c, "registry", "default", NULL);
    *name = e && e->is_string ? arena_str(a, e->value) : OWN_SOURCE;
    for (int hops = 0; hops < MAX_HOPS; hops++) {
        e = entry_of(c, arena_printf(a, "source.%s", *name), "replace-with", NULL);
        if (!e)
            return true;
        *name = arena_str(a, e->value);
    }
    return err_set(err, ERR_INVALID, "cargo's configuration: source replacement goes in a circle");
}

/* cargo's own registry is a constant of the program: "sparse+https://HOST/". What follows it
 * there is another constant, so only a host's name and one '/' are believed. */
static bool scan(struct span program, struct buf *out)
{
    const struct span mark = SPAN("sparse+https://");
    struct span rest = program;
    for (;;) {
        size_t at = span_find(rest, mark), end = 0, dots = 0;
        if (at == rest.len)
            return out->len > 0;
        struct span host = rest = span_skip(rest, at + mark.len);
        while (end < host.len && end < 254 &&
               ((host.ptr[end] >= 'a' && host.ptr[end] <= 'z') || host.ptr[end] == '-' ||
                host.ptr[end] == '.' || (host.ptr[end] >= '0' && host.ptr[end] <= '9')))
            dots += host.ptr[end++] == '.';
        if (dots == 0 || end == host.len || host.ptr[end] != '/')
            continue;
        host = span_slice(host, 0, end);
        if (out->len > 0 && !span_eq(buf_span(out), host))
            return false; /* two of them: which is it? */
        buf_reset(out);
        buf_append(out, host);
    }
}

static bool scan_file(struct find *f, const char *path, struct buf *out)
{
    struct stat st;
    struct err err;
    AUTO_MAPPED struct io_map map = {0};
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size > 512 << 20)
        return false;
    AUTO_FREE char *more =
        mem_printf("%s %llu %lld.%09ld %lld", path, (unsigned long long)st.st_ino,
                   (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (long long)st.st_size);
    if (find_recall(f, "cargo-index", more, out))
        return out->len > 0;
    buf_reset(out);
    if (!io_map_fd(fd, &map, &err))
        return false;
    bool found = scan(map.bytes, out);
    find_remember(f, "cargo-index", more, found ? buf_span(out) : SPAN(""));
    return found;
}

/* The programs that may be cargo itself: what PATH has is often rustup's launcher. */
static const char *const *programs(struct find *f)
{
    static const char *const usual[] = {"/usr/bin/cargo", "/usr/local/bin/cargo",
                                        "/usr/lib/rust-*/bin/cargo"};
    const char *rustup = find_env(f, "RUSTUP_HOME"), *chosen = find_env(f, "RUSTUP_TOOLCHAIN");
    const char **list = arena_array(f->arena, 64, sizeof(*list));
    size_t n = 0;
    const char *own = find_real(f, find_program(f, "cargo"));
    if (own && !span_ends(span_str(own), SPAN("/rustup")))
        list[n++] = own;
    if (!rustup)
        rustup = find_join(f, find_home(f), ".rustup");
    if (chosen && !strchr(chosen, '/') && !strchr(chosen, '*'))
        list[n++] = find_join(f, rustup, arena_printf(f->arena, "toolchains/%s/bin/cargo", chosen));
    const char *const *toolchains =
        find_glob(f, find_join(f, rustup, "toolchains/stable*/bin/cargo"));
    for (size_t i = 0; toolchains[i] && n < 20; i++)
        list[n++] = toolchains[i];
    toolchains = find_glob(f, find_join(f, rustup, "toolchains/*/bin/cargo"));
    for (size_t i = 0; toolchains[i] && n < 40; i++)
        list[n++] = toolchains[i];
    for (size_t k = 0; k < COUNT(usual); k++) {
        const char *const *found = find_glob(f, find_system(f, usual[k]));
        for (size_t i = 0; found[i] && n < 60; i++)
            list[n++] = found[i];
    }
    return list;
}

/* Where no constant is found: cargo tells the address that it could not reach. It is sent to a
 * proxy that does not exist, with an empty home of its own, so nothing leaves the machine. */
static bool ask_cargo(struct find *f, const char *program, struct buf *out)
{
    AUTO_BUF struct buf said = BUF(64u << 10);
    const char *tmp = find_env(f, "TMPDIR");
    AUTO_FREE char *home = mem_printf("%s/strata-cargo-XXXXXX", tmp ? tmp : "/tmp");
    struct err err;
    struct span before, url, after;
    int status = 0;
    if (!mkdtemp(home))
        return false;
    const char *argv[] = {program, "install", "--root", home, "strata-asks-for-the-index", NULL};
    const char *env[] = {arena_printf(f->arena, "CARGO_HOME=%s", home),
                         "CARGO_HTTP_PROXY=http://127.0.0.1:1",
                         "CARGO_NET_RETRY=0",
                         "PATH=/usr/bin:/bin",
                         "LC_ALL=C",
                         NULL};
    struct proc p = {
        .argv = argv, .env = env, .cwd = home, .errout = &said, .timeout_ms = ASK_TIMEOUT_MS};
    bool ran = proc_run(&p, &status, &err);
    io_remove_tree(AT_FDCWD, home, &err);
    if (!ran || !span_cut(buf_span(&said), SPAN("download from `"), &before, &url) ||
        !span_cut(url, SPAN("config.json`"), &url, &after) || !find_is_http(url))
        return false;
    buf_reset(out);
    return buf_append(out, url);
}

static bool built_in(struct find *f, struct err *err)
{
    AUTO_BUF struct buf found = BUF(8192);
    const char *const *list = programs(f);
    for (size_t i = 0; list[i]; i++) {
        buf_reset(&found);
        if (!scan_file(f, list[i], &found)) {
            find_note(f, list[i], "names no sparse index");
            continue;
        }
        find_note(f, list[i], "cargo's own default");
        const char *url = arena_printf(f->arena, "sparse+https://%s/", buf_cstr(&found));
        return add_index(f, span_str(url),
                         arena_printf(f->arena, "cargo's built-in default (%s)", list[i]), err);
    }
    if (!list[0])
        find_note(f, "cargo in PATH", "not there");
    for (size_t i = 0; list[i] && !discover_options(f->d)->no_run; i++) {
        buf_reset(&found);
        if (!ask_cargo(f, list[i], &found))
            continue;
        const char *url = arena_printf(f->arena, "sparse+%s", buf_cstr(&found));
        return add_index(f, span_str(url),
                         arena_printf(f->arena, "cargo's built-in default (asked %s)", list[i]),
                         err);
    }
    return true;
}

static bool look(struct cargo_config *c, struct err *err)
{
    struct find *f = c->f;
    const char *name, *from = NULL;
    if (!read_configs(c, err) || !follow(c, &name, err))
        return false;
    struct span url = source_url(c, name, &from);
    if (url.len > 0)
        add_token(c, name, url);
    if (f->configured)
        return true;
    json_put_str(f->details, "source", name);
    if (url.len > 0)
        return add_index(f, url, from, err);
    if (!not_a_registry(c, name, err))
        return false;
    if (strcmp(name, OWN_SOURCE) != 0)
        return err_set(
            err, ERR_INVALID,
            "cargo's configuration names the source \"%.100s\", which it does not define", name);
    return built_in(f, err);
}

bool discover_cargo(struct find *f, struct err *err)
{
    struct cargo_config c = {.f = f};
    bool ok = look(&c, err);
    VEC_FREE(&c.all);
    VEC_FREE(&c.from);
    return ok;
}
