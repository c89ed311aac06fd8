/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "resolvers/discover_files.h"
#include "resolvers/discover_priv.h"

/* The variables of go that say where modules come from and how they are checked. */
enum { GOPROXY, GOSUMDB, GONOSUMDB, GOPRIVATE, GONOPROXY, VARIABLES };

static const char *const names[VARIABLES] = {"GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE",
                                             "GONOPROXY"};

struct go_settings {
    const char *value[VARIABLES], *from[VARIABLES];
};

static void set_once(struct go_settings *s, int i, const char *value, const char *from)
{
    if (s->value[i])
        return;
    s->value[i] = value;
    s->from[i] = from;
}

/* Files of NAME=value lines: the user's, as `go env -w` writes it, and the one in GOROOT. */
static void read_env_file(struct find *f, struct go_settings *s, const char *path)
{
    AUTO_BUF struct buf text = BUF(DISCOVER_MAX_FILE);
    struct span rest, line, key, value;
    if (!find_read(f, path, &text))
        return;
    find_note(f, path, "read");
    rest = buf_span(&text);
    while (span_next_line(&rest, &line)) {
        line = span_trim(line);
        if (line.len == 0 || line.ptr[0] == '#' || !span_cut_char(line, '=', &key, &value))
            continue;
        for (int i = 0; i < VARIABLES; i++)
            if (span_eq_str(key, names[i]))
                set_once(s, i, arena_str(f->arena, value), path);
    }
}

static const char *go_root(struct find *f)
{
    static const char *const usual[] = {"/usr/local/go", "/usr/lib/go"};
    const char *root = find_env(f, "GOROOT");
    if (root)
        return root;
    root = find_up(f, find_real(f, find_program(f, "go")), 2);
    if (root)
        return root;
    for (size_t i = 0; i < COUNT(usual); i++)
        if (find_real(f, find_join(f, find_system(f, usual[i]), "bin/go")))
            return find_system(f, usual[i]);
    return NULL;
}

static void read_settings(struct find *f, struct go_settings *s, const char *root)
{
    const char *file = find_env(f, "GOENV");
    for (int i = 0; i < VARIABLES; i++) {
        const char *value = find_env(f, names[i]);
        if (value)
            set_once(s, i, value, arena_printf(f->arena, "the variable %s", names[i]));
    }
    if (!file)
        file = find_join(f, find_config_home(f), "go/env");
    if (file && strcmp(file, "off") != 0)
        read_env_file(f, s, file);
    read_env_file(f, s, find_join(f, root, "go.env"));
}

/* Go before 1.21 has its defaults in the program. */
static void ask_go(struct find *f, struct go_settings *s)
{
    AUTO_BUF struct buf out = BUF(16384);
    const char *argv[VARIABLES + 3] = {find_program(f, "go"), "env"};
    struct span rest, line;
    for (int i = 0; i < VARIABLES; i++)
        argv[i + 2] = names[i];
    if (!find_run(f, argv, "GO", "/", &out))
        return;
    rest = buf_span(&out);
    for (int i = 0; i < VARIABLES && span_next_line(&rest, &line); i++)
        if (line.len > 0)
            set_once(s, i, arena_str(f->arena, line),
                     arena_printf(f->arena, "go's built-in default (asked %s)", argv[0]));
}

/* "A,B|direct": after a comma the next one is asked when the module is not there, after a bar
 * on any error. */
bool discover_go_proxies(struct find *f, struct span list, const char *from, struct err *err)
{
    json_t *proxies = json_object_get(f->details, "proxies");
    if (!proxies) {
        proxies = json_array();
        json_object_set_new(f->details, "proxies", proxies);
    }
    for (int n = 0; list.len > 0 && n < 64; n++) {
        size_t end = 0;
        while (end < list.len && list.ptr[end] != ',' && list.ptr[end] != '|')
            end++;
        struct span one = span_trim(span_slice(list, 0, end));
        bool any_error = end < list.len && list.ptr[end] == '|';
        list = span_skip(list, end + 1);
        if (one.len == 0)
            continue;
        json_t *proxy = json_object();
        json_array_append_new(proxies, proxy);
        json_object_set_new(proxy, "fall_through", json_boolean(any_error));
        if (span_eq(one, SPAN("direct")) || span_eq(one, SPAN("off"))) {
            json_put_span(proxy, "kind", one);
            continue;
        }
        const char *clean;
        if (!find_clean_url(f, one, from, &clean, err) || !find_add_url(f, one, from, err))
            return false;
        json_put_str(proxy, "kind", "url");
        json_put_str(proxy, "url", clean);
    }
    return true;
}

/* GOSUMDB is "off", a name, or "name+hash+key [URL]". */
void discover_go_sumdb(struct find *f, struct span value)
{
    struct span key = SPAN(""), url = SPAN(""), name, hash;
    next_word(&value, &key);
    next_word(&value, &url);
    if (key.len == 0)
        return;
    name = key;
    if (span_cut_char(key, '+', &name, &hash))
        json_put_span(f->details, "sumdb_key", key);
    json_put_span(f->details, "sumdb", name);
    if (find_is_http(url))
        json_put_span(f->details, "sumdb_url", url);
}

/* The keys of known checksum databases stand in the toolchain as "NAME": "NAME+hash+key". */
void discover_go_keys(struct find *f)
{
    AUTO_BUF struct buf text = BUF(DISCOVER_MAX_FILE);
    AUTO_BUF struct buf needle = BUF(512);
    const char *name = json_get_str(f->details, "sumdb");
    const char *path = find_join(f, go_root(f), "src/cmd/go/internal/modfetch/key.go");
    if (!name || strcmp(name, "off") == 0 || json_get_str(f->details, "sumdb_key") ||
        !find_read(f, path, &text))
        return;
    buf_printf(&needle, "\"%.200s+", name);
    size_t at = span_find(buf_span(&text), buf_span(&needle));
    struct span rest = span_skip(buf_span(&text), at + 1), key, after;
    if (at < text.len && span_cut_char(rest, '"', &key, &after) && key.len < 300)
        json_put_span(f->details, "sumdb_key", key);
    else
        find_note(f, path, "has no key of the checksum database");
}

static void put_pattern(struct find *f, const struct go_settings *s, int i, const char *key)
{
    if (s->value[i])
        json_put_str(f->details, key, s->value[i]);
}

bool discover_go(struct find *f, struct err *err)
{
    struct go_settings s = {0};
    const char *root = go_root(f);
    read_settings(f, &s, root);
    if (!root)
        find_note(f, "go in PATH", "not there");
    if (!s.value[GOPROXY] && !f->configured)
        ask_go(f, &s);
    /* Modules that GOPRIVATE names are neither fetched through the proxy nor checked. */
    put_pattern(f, &s, GOPRIVATE, "private");
    put_pattern(f, &s, GONOSUMDB, "nosumdb");
    put_pattern(f, &s, GONOPROXY, "noproxy");
    if (s.value[GOSUMDB] && !json_get_str(f->details, "sumdb"))
        discover_go_sumdb(f, span_str(s.value[GOSUMDB]));
    discover_go_keys(f);
    if (f->configured || !s.value[GOPROXY])
        return true;
    if (!discover_go_proxies(f, span_str(s.value[GOPROXY]), s.from[GOPROXY], err))
        return false;
    if (f->urls.n > 0)
        return true;
    return err_set(err, ERR_NO_REGISTRY,
                   "GOPROXY is \"%.200s\" (%s), which names no proxy: fetching from version "
                   "control is not supported; set GOPROXY, or write `registries: {go: "
                   "https://proxy.example.com}` into strata.yaml",
                   s.value[GOPROXY], s.from[GOPROXY]);
}
