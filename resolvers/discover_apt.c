/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "resolvers/discover_files.h"
#include "resolvers/discover_priv.h"

#define MAX_SOURCES 512

/* One archive of one suite, as it stands in the details. */
struct source {
    struct span type, uri, suite, components, architectures, signed_by, trusted;
    const char *file;
};

/* deb822 separates by blanks, the options of sources.list by commas; no word has either. */
static void put_words(json_t *object, const char *key, struct span words)
{
    json_t *list = json_array();
    size_t end = 0;
    for (; words.len > 0; words = span_skip(words, end + 1)) {
        for (end = 0; end < words.len && !strchr(" \t\r\n,", words.ptr[end]);)
            end++;
        json_t *text = end > 0 ? json_span(span_slice(words, 0, end)) : NULL;
        if (text)
            json_array_append_new(list, text);
    }
    json_object_set_new(object, key, list);
}

static bool add_source(struct find *f, const struct source *s, struct err *err)
{
    const char *clean;
    json_t *sources = json_object_get(f->details, "sources");
    if (!sources) {
        sources = json_array();
        json_object_set_new(f->details, "sources", sources);
    }
    if (!find_is_http(s->uri)) {
        /* cdrom:, file:, mirror+file: and the like are other methods of apt's. */
        AUTO_FREE char *what = mem_printf("left out %.*s: only http and https can be used here",
                                          (int)(s->uri.len > 100 ? 100 : s->uri.len), s->uri.ptr);
        find_note(f, s->file, what);
        return true;
    }
    if (!find_clean_url(f, s->uri, s->file, &clean, err))
        return false;
    if (f->configured || !span_eq(s->type, SPAN("deb")))
        return true;
    if (json_array_size(sources) >= MAX_SOURCES)
        return err_set(err, ERR_TOO_LARGE, "%s: more than %d sources", s->file, MAX_SOURCES);
    json_t *one = json_object();
    json_array_append_new(sources, one);
    json_put_span(one, "type", s->type);
    json_put_str(one, "uri", clean);
    json_put_span(one, "suite", s->suite);
    put_words(one, "components", s->components);
    if (s->architectures.len > 0)
        put_words(one, "architectures", s->architectures);
    if (s->signed_by.len > 0)
        json_put_span(one, "signed_by", s->signed_by);
    if (s->trusted.len > 0)
        json_put_span(one, "trusted", s->trusted);
    json_put_str(one, "file", s->file);
    return find_add_url(f, s->uri, s->file, err);
}

bool discover_apt_line(struct find *f, struct span line, const char *from, struct err *err)
{
    struct apt_line parsed;
    struct err why = {0};
    struct span name, value;
    if (!apt_line_parse(line, &parsed, &why))
        return why.code == ERR_NONE || err_set(err, why.code, "%s: %s", from, why.text);
    struct source s = {.type = parsed.type,
                       .uri = parsed.uri,
                       .suite = parsed.suite,
                       .components = parsed.components,
                       .file = from};
    while (apt_line_option(&parsed.options, &name, &value)) {
        if (span_eq_nocase(name, SPAN("arch")))
            s.architectures = value;
        else if (span_eq_nocase(name, SPAN("signed-by")))
            s.signed_by = value;
        else if (span_eq_nocase(name, SPAN("trusted")))
            s.trusted = value;
    }
    return add_source(f, &s, err);
}

static bool read_list(struct find *f, const char *path, struct err *err)
{
    AUTO_BUF struct buf text = BUF(DISCOVER_MAX_FILE);
    struct span rest, line;
    size_t number = 0;
    if (!find_read(f, path, &text))
        return true;
    find_note(f, path, "read");
    rest = arena_span(f->arena, buf_span(&text));
    while (span_next_line(&rest, &line)) {
        number++;
        if (!discover_apt_line(f, line, arena_printf(f->arena, "%s (line %zu)", path, number), err))
            return false;
    }
    return true;
}

/* Stanzas: each pair of an address and a suite is a source. */
static struct span field(const struct entries *e, size_t group, const char *name, size_t *line)
{
    for (size_t i = 0; i < e->n; i++)
        if (e->v[i].group == group && span_eq_nocase(e->v[i].key, span_str(name))) {
            if (line)
                *line = e->v[i].line;
            return e->v[i].value;
        }
    return SPAN("");
}

static bool add_stanza(struct find *f, const struct entries *e, size_t group, const char *path,
                       struct err *err)
{
    size_t line = 0;
    struct span enabled = field(e, group, "Enabled", NULL);
    struct span types = field(e, group, "Types", &line), type;
    struct span uris, uri, suites, suite;
    if (span_eq_nocase(enabled, SPAN("no")) || span_eq_nocase(enabled, SPAN("false")) ||
        span_eq(enabled, SPAN("0")) || types.len == 0)
        return true;
    struct source s = {
        .components = field(e, group, "Components", NULL),
        .architectures = field(e, group, "Architectures", NULL),
        .signed_by = field(e, group, "Signed-By", NULL),
        .trusted = field(e, group, "Trusted", NULL),
        .file = arena_printf(f->arena, "%s (line %zu)", path, line),
    };
    while (next_word(&types, &type)) {
        uris = field(e, group, "URIs", NULL);
        while (next_word(&uris, &uri)) {
            suites = field(e, group, "Suites", NULL);
            while (next_word(&suites, &suite)) {
                s.type = type;
                s.uri = uri;
                s.suite = suite;
                if (!add_source(f, &s, err))
                    return false;
            }
        }
    }
    return true;
}

static bool read_sources(struct find *f, const char *path, struct err *err)
{
    AUTO_BUF struct buf text = BUF(DISCOVER_MAX_FILE);
    struct entries entries = {0};
    if (!find_read(f, path, &text))
        return true;
    bool ok = entries_deb822(arena_span(f->arena, buf_span(&text)), f->arena, &entries, err) ||
              err_wrap(err, "%s", path);
    size_t last = entries.n > 0 ? entries.v[entries.n - 1].group : 0;
    for (size_t group = 0; ok && group <= last; group++)
        ok = add_stanza(f, &entries, group, path, err);
    VEC_FREE(&entries);
    find_note(f, path, "read");
    return ok;
}

static void read_auth(struct find *f, const char *path)
{
    AUTO_BUF struct buf text = BUF(DISCOVER_MAX_FILE);
    if (find_read(f, path, &text)) {
        find_note(f, path, "read");
        credentials_add_apt(f->credentials, buf_span(&text), path);
    }
}

bool discover_apt(struct find *f, struct err *err)
{
    const char *const *auth = find_glob(f, find_system(f, "/etc/apt/auth.conf.d/*.conf"));
    const char *const *lists = find_glob(f, find_system(f, "/etc/apt/sources.list.d/*.list"));
    const char *const *stanzas = find_glob(f, find_system(f, "/etc/apt/sources.list.d/*.sources"));
    for (size_t i = 0; auth[i]; i++)
        read_auth(f, auth[i]);
    read_auth(f, find_system(f, "/etc/apt/auth.conf"));
    if (!read_list(f, find_system(f, "/etc/apt/sources.list"), err))
        return false;
    for (size_t i = 0; lists[i]; i++)
        if (!read_list(f, lists[i], err))
            return false;
    for (size_t i = 0; stanzas[i]; i++)
        if (!read_sources(f, stanzas[i], err))
            return false;
    if (!lists[0] && !stanzas[0])
        find_note(f, find_system(f, "/etc/apt/sources.list.d"), "has no *.list or *.sources");
    return true;
}
