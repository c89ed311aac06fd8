/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/discover_files.h"
#include "resolvers/discover_priv.h"

/* .gemrc is YAML, of which `gem sources` writes
 *     :sources:
 *     - https://gems.example.com/
 * A list in brackets, and quotes, are read too. Without its first colon the key is another. */

static struct span yaml_word(struct span s)
{
    s = span_trim(s);
    if (s.len >= 2 && (s.ptr[0] == '"' || s.ptr[0] == '\'')) {
        size_t end = span_find_char(span_skip(s, 1), s.ptr[0]);
        return span_slice(s, 1, 1 + end);
    }
    return span_trim(span_slice(s, 0, span_find(s, SPAN(" #"))));
}

static bool is_sources_key(struct span line, struct span *rest)
{
    static const char *const keys[] = {":sources:", "\":sources\":", "':sources':"};
    for (size_t i = 0; i < COUNT(keys); i++)
        if (span_starts(line, span_str(keys[i]))) {
            *rest = span_trim(span_skip(line, strlen(keys[i])));
            return true;
        }
    return false;
}

static bool add_flow_list(struct find *f, struct span list, const char *from, struct err *err)
{
    struct span item;
    list = span_slice(list, 1, span_find_char(list, ']'));
    while (span_next(&list, ',', &item)) {
        struct span word = yaml_word(item);
        if (word.len > 0 && !find_add_url(f, word, from, err))
            return false;
    }
    return true;
}

static bool add_sources(struct find *f, struct span text, const char *from, struct err *err)
{
    struct span line, rest;
    bool inside = false;
    while (span_next_line(&text, &line)) {
        struct span word = span_trim(line);
        if (is_sources_key(line, &rest)) {
            inside = true;
            if (rest.len > 0 && rest.ptr[0] == '[' && !add_flow_list(f, rest, from, err))
                return false;
        } else if (inside && span_starts(word, SPAN("- "))) {
            struct span url = yaml_word(span_skip(word, 2));
            if (url.len > 0 && !find_add_url(f, url, from, err))
                return false;
        } else if (word.len > 0 && word.ptr[0] != '#') {
            inside = false;
        }
    }
    return true;
}

static bool read_gemrc(struct find *f, const char *path, struct err *err)
{
    AUTO_BUF struct buf text = BUF(DISCOVER_MAX_FILE);
    if (f->urls.n > 0 || !find_read(f, path, &text))
        return true;
    if (!add_sources(f, buf_span(&text), arena_str(f->arena, span_str(path)), err))
        return false;
    find_note(f, path, f->urls.n > 0 ? "names sources" : "names no sources");
    return true;
}

/* The last file that has sources wins, so the strongest is read first. GEMRC names more. */
static bool read_gemrcs(struct find *f, struct err *err)
{
    const char *home = find_home(f), *xdg = find_config_home(f);
    const char *files[18];
    size_t n = 0;
    struct span more = span_str(find_env(f, "GEMRC")), one;
    while (n < 16 && span_next(&more, ':', &one))
        if (one.len > 0)
            files[n++] = arena_str(f->arena, one);
    while (n > 0)
        if (!read_gemrc(f, files[--n], err))
            return false;
    const char *own = find_join(f, home, ".gemrc");
    return read_gemrc(f, find_real(f, own) ? own : find_join(f, xdg, "gem/gemrc"), err) &&
           read_gemrc(f, find_system(f, "/etc/gemrc"), err);
}

/* rubygems' own:
 *     def self.default_sources
 *       %w[https://gems.example.com/]
 *     end */
static bool take_defaults(struct find *f, struct span text, const char *from, struct err *err)
{
    size_t at = span_find(text, SPAN("def self.default_sources"));
    struct span rest = span_slice(text, at, at + 400), list, word;
    if (at == text.len || !span_cut(rest, SPAN("%w["), &list, &rest) ||
        !span_cut_char(rest, ']', &list, &rest)) {
        find_note(f, from, "names no sources");
        return true;
    }
    find_note(f, from, "rubygems' own default");
    from = arena_printf(f->arena, "rubygems' built-in default (%s)", from);
    while (next_word(&list, &word))
        if (!find_add_url(f, word, from, err))
            return false;
    return true;
}

static bool built_in(struct find *f, struct err *err)
{
    static const char *const patterns[] = {
        "/usr/lib/ruby/vendor_ruby/rubygems/defaults.rb",
        "/usr/lib/ruby/[0-9]*/rubygems/defaults.rb",
        "/usr/local/lib/ruby/[0-9]*/rubygems/defaults.rb",
    };
    AUTO_BUF struct buf text = BUF(DISCOVER_MAX_FILE);
    const char *prefix = find_up(f, find_real(f, find_program(f, "ruby")), 2);
    const char *own = find_join(f, prefix, "lib/ruby/[0-9]*/rubygems/defaults.rb");
    for (size_t i = 0; i <= COUNT(patterns) && f->urls.n == 0; i++) {
        const char *pattern = i < COUNT(patterns) ? find_system(f, patterns[i]) : own;
        const char *const *files = find_glob(f, pattern);
        for (size_t k = 0; files[k] && f->urls.n == 0; k++)
            if (find_read(f, files[k], &text) && !take_defaults(f, buf_span(&text), files[k], err))
                return false;
        if (!files[0] && pattern)
            find_note(f, pattern, "not there");
    }
    return true;
}

static bool ask_gem(struct find *f, struct err *err)
{
    AUTO_BUF struct buf out = BUF(16384);
    const char *argv[] = {find_program(f, "gem"), "sources", "--list", NULL};
    struct span rest, line;
    if (!argv[0]) {
        find_note(f, "gem in PATH", "not there");
        return true;
    }
    if (!find_run(f, argv, "GEM", "/", &out))
        return true;
    const char *from = arena_printf(f->arena, "gem (asked %s)", argv[0]);
    rest = buf_span(&out);
    while (span_next_line(&rest, &line))
        if (find_is_http(line) && !find_add_url(f, line, from, err))
            return false;
    return true;
}

bool discover_gem(struct find *f, struct err *err)
{
    if (!read_gemrcs(f, err))
        return false;
    if (f->urls.n > 0 || f->configured)
        return true;
    return built_in(f, err) && (f->urls.n > 0 || ask_gem(f, err));
}
