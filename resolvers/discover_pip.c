/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "resolvers/discover_files.h"
#include "resolvers/discover_priv.h"
#include "resolvers/late_archive.h"

/* Options of pip's that matter here, as [global], [install] and the environment set them. */
struct pip_value {
    struct span text;
    const char *from; /* NULL: unset */
};

enum { INDEX_URL, EXTRA_INDEX_URL, NO_INDEX, FIND_LINKS, CERT, OPTIONS };

static const struct {
    const char *key, *variable;
} options[OPTIONS] = {
    [INDEX_URL] = {"index-url", "PIP_INDEX_URL"},
    [EXTRA_INDEX_URL] = {"extra-index-url", "PIP_EXTRA_INDEX_URL"},
    [NO_INDEX] = {"no-index", "PIP_NO_INDEX"},
    [FIND_LINKS] = {"find-links", "PIP_FIND_LINKS"},
    [CERT] = {"cert", "PIP_CERT"},
};

struct pip_config {
    struct pip_value global[OPTIONS], install[OPTIONS], environment[OPTIONS];
};

static void take_entry(struct find *f, struct pip_config *c, const struct entry *e,
                       const char *path)
{
    struct pip_value *set = span_eq(e->section, SPAN("global"))    ? c->global
                            : span_eq(e->section, SPAN("install")) ? c->install
                                                                   : NULL;
    for (int i = 0; set && i < OPTIONS; i++)
        if (span_eq_str(e->key, options[i].key) && e->value.len > 0) {
            set[i].text = arena_span(f->arena, e->value);
            set[i].from = arena_printf(f->arena, "%s (line %zu)", path, e->line);
        }
}

static bool read_config(struct find *f, struct pip_config *c, const char *path, struct err *err)
{
    AUTO_BUF struct buf text = BUF(DISCOVER_MAX_FILE);
    struct entries entries = {0};
    if (!find_read(f, path, &text))
        return true;
    bool ok = entries_pip(buf_span(&text), f->arena, &entries, err);
    for (size_t i = 0; ok && i < entries.n; i++)
        take_entry(f, c, &entries.v[i], path);
    VEC_FREE(&entries);
    find_note(f, path, "read");
    return ok || err_wrap(err, "%s", path);
}

/* The order in which pip lets one file override another: system, user, environment of python,
 * PIP_CONFIG_FILE. That variable's file, when it is there, replaces the user's. */
static bool read_configs(struct find *f, struct pip_config *c, struct err *err)
{
    const char *named = find_env(f, "PIP_CONFIG_FILE");
    const char *prefix = find_env(f, "VIRTUAL_ENV");
    struct span dirs = span_str(find_env(f, "XDG_CONFIG_DIRS")), dir;
    if (named && strcmp(named, "/dev/null") == 0) {
        find_note(f, "PIP_CONFIG_FILE", "is /dev/null: no configuration file is read");
        return true;
    }
    if (dirs.len == 0)
        dirs = span_str(find_system(f, "/etc/xdg"));
    while (span_next(&dirs, ':', &dir))
        if (dir.len > 0 &&
            !read_config(f, c, arena_printf(f->arena, "%.*s/pip/pip.conf", SPAN_ARG(dir)), err))
            return false;
    if (!read_config(f, c, find_system(f, "/etc/pip.conf"), err))
        return false;
    if (!named || access(named, F_OK) != 0)
        if (!read_config(f, c, find_join(f, find_home(f), ".pip/pip.conf"), err) ||
            !read_config(f, c, find_join(f, find_config_home(f), "pip/pip.conf"), err))
            return false;
    return read_config(f, c, find_join(f, prefix ? prefix : find_system(f, "/usr"), "pip.conf"),
                       err) &&
           read_config(f, c, named, err);
}

static const struct pip_value *value_of(const struct pip_config *c, int i)
{
    return c->environment[i].from ? &c->environment[i]
           : c->install[i].from   ? &c->install[i]
                                  : &c->global[i];
}

static bool is_true(struct span s)
{
    static const char *const yes[] = {"1", "true", "yes", "y", "on", "t"};
    for (size_t i = 0; i < COUNT(yes); i++)
        if (span_eq_nocase(s, span_str(yes[i])))
            return true;
    return false;
}

static void put_list(struct find *f, const char *key, struct span words)
{
    struct span word;
    json_t *list = json_array();
    while (next_word(&words, &word)) {
        AUTO_BUF struct buf clean = BUF(9u << 10);
        if (find_is_http(word)) {
            credentials_strip_url(f->credentials, word, key, &clean);
            word = buf_span(&clean);
        }
        json_t *text = json_span(word);
        if (text)
            json_array_append_new(list, text);
    }
    json_object_set_new(f->details, key, list);
}

static bool take_config(struct find *f, const struct pip_config *c, struct err *err)
{
    const struct pip_value *index = value_of(c, INDEX_URL), *extra = value_of(c, EXTRA_INDEX_URL);
    const struct pip_value *none = value_of(c, NO_INDEX), *links = value_of(c, FIND_LINKS);
    const struct pip_value *cert = value_of(c, CERT);
    struct span words = extra->text, word;
    if (links->from)
        put_list(f, "find_links", links->text);
    if (cert->from)
        json_put_span(f->details, "ca_file", cert->text);
    if (none->from && is_true(none->text) && !f->configured)
        return err_set(err, ERR_NO_REGISTRY,
                       "pip is told to use no index (no-index in %s): unset that, or write "
                       "`registries: {pip: https://pypi.example.com/simple/}` into strata.yaml",
                       none->from);
    if (index->from && !find_add_url(f, index->text, index->from, err))
        return false;
    while (extra->from && next_word(&words, &word))
        if (!find_add_extra(f, NULL, word, extra->from, err))
            return false;
    return true;
}

/* pip's own default stands in its source as
 *     NAME = PackageIndex("URL", file_storage_domain="HOST")
 * of which the first is the public index; its pages are below "simple/". */
static bool take_source(struct find *f, struct span text, const char *from, struct err *err)
{
    struct span url = find_quoted_after(text, SPAN("= PackageIndex("));
    struct span host = find_quoted_after(text, SPAN("file_storage_domain=\""));
    size_t at = span_find(text, SPAN("file_storage_domain=\""));
    if (at < text.len) {
        struct span rest = span_skip(text, at + strlen("file_storage_domain=\"")), after;
        if (!span_cut_char(rest, '"', &host, &after) || host.len > 253)
            host = SPAN("");
    }
    if (!find_is_http(url)) {
        find_note(f, from, "names no index");
        return true;
    }
    const char *simple = arena_printf(f->arena, "%.*s%ssimple/", SPAN_ARG(url),
                                      span_ends(url, SPAN("/")) ? "" : "/");
    if (host.len > 0)
        json_put_span(f->details, "files_host", host);
    find_note(f, from, "pip's own default");
    return find_add_url(f, span_str(simple),
                        arena_printf(f->arena, "pip's built-in default (%s)", from), err);
}

#define INDEX_SOURCE "pip/_internal/models/index.py"

static bool read_wheel_source(struct find *f, const char *path, struct buf *out)
{
    struct err err = {0};
    if (!late_archive_load(&err)) {
        find_note(f, path, arena_printf(f->arena, "cannot be read: %s", err.text));
        return false;
    }
    struct archive *a = archive_read_new();
    struct archive_entry *entry;
    bool found = false;
    archive_read_support_format_zip(a);
    if (archive_read_open_filename(a, path, 1u << 16) == ARCHIVE_OK) {
        for (int n = 0; n < 10000 && archive_read_next_header(a, &entry) == ARCHIVE_OK; n++) {
            const char *name = archive_entry_pathname(entry);
            if (!name || strcmp(name, INDEX_SOURCE) != 0)
                continue;
            char *room = buf_room(out, 1u << 16);
            la_ssize_t got = room ? archive_read_data(a, room, 1u << 16) : -1;
            out->len += got > 0 ? (size_t)got : 0;
            found = got > 0;
            break;
        }
    }
    archive_read_free(a);
    if (!found)
        find_note(f, path, "holds no " INDEX_SOURCE);
    return found;
}

/* Folders whose pip/ may be the installed one. */
static bool from_folders(struct find *f, const char *pattern, struct err *err)
{
    AUTO_BUF struct buf text = BUF(DISCOVER_MAX_FILE);
    const char *const *dirs = find_glob(f, pattern);
    for (size_t i = 0; dirs[i] && f->urls.n == 0; i++) {
        const char *path = find_join(f, dirs[i], INDEX_SOURCE);
        if (access(path, F_OK) == 0 && find_read(f, path, &text) &&
            !take_source(f, buf_span(&text), path, err))
            return false;
    }
    return true;
}

/* ensurepip's wheel brings the same file when pip itself is not installed. */
static bool from_wheels(struct find *f, const char *pattern, struct err *err)
{
    AUTO_BUF struct buf text = BUF(DISCOVER_MAX_FILE);
    const char *const *wheels = find_glob(f, pattern);
    for (size_t i = 0; wheels[i] && f->urls.n == 0; i++) {
        buf_reset(&text);
        if (read_wheel_source(f, wheels[i], &text) &&
            !take_source(f, buf_span(&text), wheels[i], err))
            return false;
    }
    return true;
}

static bool built_in(struct find *f, struct err *err)
{
    static const char *const names[] = {"pip", "pip3", "python3"};
    static const char *const folders[] = {
        "/usr/lib/python3/dist-packages",
        "/usr/local/lib/python3.*/dist-packages",
        "/usr/local/lib/python3.*/site-packages",
        "/usr/lib/python3.*/site-packages",
    };
    static const char *const wheels[] = {
        "/usr/share/python-wheels/pip-*.whl",
        "/usr/lib/python3.*/ensurepip/_bundled/pip-*.whl",
        "/usr/local/lib/python3.*/ensurepip/_bundled/pip-*.whl",
    };
    if (!from_folders(f, find_join(f, find_env(f, "VIRTUAL_ENV"), "lib/python3.*/site-packages"),
                      err))
        return false;
    for (size_t i = 0; i < COUNT(folders) && f->urls.n == 0; i++) {
        if (!from_folders(f, find_system(f, folders[i]), err))
            return false;
        if (f->urls.n == 0)
            find_note(f, find_system(f, folders[i]), "no pip there");
    }
    for (size_t i = 0; i < COUNT(names) && f->urls.n == 0; i++) {
        const char *prefix = find_up(f, find_real(f, find_program(f, names[i])), 2);
        if (!from_folders(f, find_join(f, prefix, "lib/python3.*/site-packages"), err) ||
            (f->urls.n == 0 &&
             !from_wheels(f, find_join(f, prefix, "lib/python3.*/ensurepip/_bundled/pip-*.whl"),
                          err)))
            return false;
    }
    for (size_t i = 0; i < COUNT(wheels) && f->urls.n == 0; i++)
        if (!from_wheels(f, find_system(f, wheels[i]), err))
            return false;
    return true;
}

/* Whatever python3 or pip finds: the module itself is asked. */
static bool ask_python(struct find *f, struct err *err)
{
    static const char script[] = "from pip._internal.models.index import PyPI as p\n"
                                 "print(p.simple_url)\n"
                                 "print(getattr(p, 'file_storage_domain', ''))\n";
    AUTO_BUF struct buf out = BUF(8192);
    const char *argv[] = {find_program(f, "python3"), "-c", script, NULL};
    struct span rest, url, host;
    if (!argv[0]) {
        find_note(f, "python3 in PATH", "not there");
        return true;
    }
    if (!find_run(f, argv, "PYTHON", "/", &out))
        return true;
    rest = buf_span(&out);
    if (!span_next_line(&rest, &url) || !find_is_http(url)) {
        find_note(f, argv[0], "its pip names no index");
        return true;
    }
    if (span_next_line(&rest, &host) && host.len > 0 && host.len < 254)
        json_put_span(f->details, "files_host", host);
    return find_add_url(f, url,
                        arena_printf(f->arena, "pip's built-in default (asked %s)", argv[0]), err);
}

bool discover_pip(struct find *f, struct err *err)
{
    struct pip_config config = {0};
    for (int i = 0; i < OPTIONS; i++) {
        const char *value = find_env(f, options[i].variable);
        if (value)
            config.environment[i] = (struct pip_value){
                span_str(value), arena_printf(f->arena, "the variable %s", options[i].variable)};
    }
    if (!config.environment[INDEX_URL].from)
        find_note(f, "the variable PIP_INDEX_URL", "not set");
    if (!read_configs(f, &config, err) || !take_config(f, &config, err))
        return false;
    if (f->urls.n > 0 || f->configured)
        return true;
    return built_in(f, err) && (f->urls.n > 0 || ask_python(f, err));
}
