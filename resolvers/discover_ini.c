/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/buf.h"
#include "resolvers/discover_files.h"

static struct entry *add(struct entries *out, struct err *err)
{
    if (out->n >= ENTRIES_MAX) {
        err_set(err, ERR_TOO_LARGE, "more than %d entries", ENTRIES_MAX);
        return NULL;
    }
    return VEC_PUSH(out);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v' || c == '\n';
}

bool next_word(struct span *rest, struct span *word)
{
    size_t i = 0, end;
    while (i < rest->len && is_space(rest->ptr[i]))
        i++;
    for (end = i; end < rest->len && !is_space(rest->ptr[end]);)
        end++;
    *word = span_slice(*rest, i, end);
    *rest = span_skip(*rest, end);
    return word->len > 0;
}

bool entries_is_text(struct span text, struct err *err)
{
    size_t nul = span_find_char(text, '\0'), line = 1;
    if (nul == text.len)
        return true;
    for (size_t i = 0; i < nul; i++)
        line += text.ptr[i] == '\n';
    return err_set(err, ERR_INVALID, "line %zu: a NUL character", line);
}

static struct span joined(struct arena *a, struct span first, struct span more)
{
    return span_str(arena_printf(a, "%.*s\n%.*s", SPAN_ARG(first), SPAN_ARG(more)));
}

/* configparser. */

static struct span pip_key(struct arena *a, struct span key)
{
    char *copy = arena_str(a, key);
    for (size_t i = 0; i < key.len; i++) {
        if (copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] = (char)(copy[i] - 'A' + 'a');
        else if (copy[i] == '_')
            copy[i] = '-';
    }
    struct span s = span_of(copy, key.len);
    return span_starts(s, SPAN("--")) ? span_skip(s, 2) : s;
}

static bool pip_option(struct span line, struct span section, size_t number, struct arena *a,
                       struct entries *out, struct err *err)
{
    size_t at = 0;
    while (at < line.len && line.ptr[at] != '=' && line.ptr[at] != ':')
        at++;
    if (at == line.len || section.len == 0)
        return err_set(err, ERR_INVALID,
                       section.len == 0 ? "line %zu: stands before the first [section]"
                                        : "line %zu: not \"name = value\"",
                       number);
    struct entry *e = add(out, err);
    if (!e)
        return false;
    e->section = section;
    e->key = pip_key(a, span_trim(span_slice(line, 0, at)));
    e->value = span_trim(span_skip(line, at + 1));
    e->line = number;
    return true;
}

bool entries_pip(struct span text, struct arena *a, struct entries *out, struct err *err)
{
    struct span line, section = SPAN("");
    size_t number = 0, open_indent = 0;
    bool open = false; /* the last line was an option, which may go on */
    if (!entries_is_text(text, err))
        return false;
    if (span_starts(text, SPAN("\xef\xbb\xbf")))
        text = span_skip(text, 3);
    while (span_next_line(&text, &line)) {
        number++;
        struct span word = span_trim(line);
        if (word.len == 0 || word.ptr[0] == '#' || word.ptr[0] == ';')
            continue;
        size_t indent = (size_t)(word.ptr - line.ptr);
        if (open && indent > open_indent) {
            struct entry *last = &out->v[out->n - 1];
            if (last->value.len + word.len > 1u << 16)
                return err_set(err, ERR_TOO_LARGE, "line %zu: value over 64 KiB", number);
            last->value = joined(a, last->value, word);
            continue;
        }
        open_indent = indent;
        if (word.ptr[0] == '[' && span_has(word, ']')) {
            section = span_slice(word, 1, span_find_char(word, ']'));
            open = false;
            continue;
        }
        if (!pip_option(word, section, number, a, out, err))
            return false;
        open = true;
    }
    return true;
}

/* npm. */

static struct span npm_quoted(struct span s, struct arena *a)
{
    char quote = s.ptr[0];
    struct span inner = span_slice(s, 1, s.len - 1);
    if (quote == '\'' || !span_has(inner, '\\'))
        return inner;
    char *copy = arena_str(a, inner);
    size_t n = 0;
    for (size_t i = 0; i < inner.len; i++) {
        char c = inner.ptr[i];
        if (c == '\\' && i + 1 < inner.len) {
            c = inner.ptr[++i];
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
        }
        copy[n++] = c;
    }
    return span_of(copy, n);
}

/* A bare word: ends at an unescaped ';' or '#'; \\ \; \# lose their backslash. */
static struct span npm_bare(struct span s, struct arena *a)
{
    size_t n = 0;
    char *copy = arena_str(a, s);
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '\\' && i + 1 < s.len && strchr("\\;#", s.ptr[i + 1]))
            c = s.ptr[++i];
        else if (c == ';' || c == '#')
            break;
        copy[n++] = c;
    }
    return span_trim(span_of(copy, n));
}

static struct span npm_word(struct span s, struct arena *a)
{
    s = span_trim(s);
    if (s.len >= 2 && (s.ptr[0] == '"' || s.ptr[0] == '\'') && s.ptr[s.len - 1] == s.ptr[0])
        return npm_quoted(s, a);
    return span_has(s, '\\') || span_has(s, ';') || span_has(s, '#') ? npm_bare(s, a) : s;
}

bool entries_npm(struct span text, struct arena *a, struct entries *out, struct err *err)
{
    struct span line, key, value;
    size_t number = 0;
    bool in_section = false;
    if (!entries_is_text(text, err))
        return false;
    if (span_starts(text, SPAN("\xef\xbb\xbf")))
        text = span_skip(text, 3);
    while (span_next_line(&text, &line)) {
        number++;
        line = span_trim(line);
        if (line.len == 0 || line.ptr[0] == ';' || line.ptr[0] == '#')
            continue;
        if (line.ptr[0] == '[' && line.ptr[line.len - 1] == ']') {
            in_section = true;
            continue;
        }
        if (in_section)
            continue;
        if (!span_cut_char(line, '=', &key, &value)) {
            key = line;
            value = SPAN("true");
        }
        struct entry *e = add(out, err);
        if (!e)
            return false;
        e->key = npm_word(key, a);
        e->value = npm_word(value, a);
        e->line = number;
    }
    return true;
}

struct span npm_expand(struct span value, struct arena *a,
                       const char *(*get)(void *ctx, const char *name), void *ctx)
{
    AUTO_BUF struct buf out = BUF(1u << 16);
    for (size_t i = 0; i < value.len; i++) {
        struct span rest = span_skip(value, i), name, after;
        if (!span_starts(rest, SPAN("${")) ||
            !span_cut_char(span_skip(rest, 2), '}', &name, &after) || name.len == 0 ||
            name.len > 256 || span_has(name, '$') || span_has(name, '{')) {
            buf_char(&out, value.ptr[i]);
            continue;
        }
        if (i > 0 && value.ptr[i - 1] == '\\') { /* \${NAME} stands for itself */
            out.len--;
            buf_append(&out, span_slice(rest, 0, name.len + 3));
            i += name.len + 2;
            continue;
        }
        bool optional = span_ends(name, SPAN("?"));
        const char *found = get(ctx, arena_str(a, span_slice(name, 0, name.len - optional)));
        if (found)
            buf_str(&out, found);
        else if (!optional)
            buf_append(&out, span_slice(rest, 0, name.len + 3));
        i += name.len + 2;
    }
    return out.overflow ? value : arena_span(a, buf_span(&out));
}
