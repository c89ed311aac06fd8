/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/buf.h"
#include "resolvers/discover_files.h"

#define MAX_DEPTH 16
#define MAX_VALUE (256u << 10)

struct toml {
    struct span text;
    size_t at, line;
    struct arena *arena;
    struct entries *out;
    struct err *err;
};

static bool fail(struct toml *t, const char *what)
{
    return err_set(t->err, ERR_INVALID, "line %zu: %s", t->line, what);
}

static char peek(const struct toml *t)
{
    return t->at < t->text.len ? t->text.ptr[t->at] : '\0';
}

static bool at_text(const struct toml *t, const char *s)
{
    return span_starts(span_skip(t->text, t->at), span_str(s));
}

static void step(struct toml *t)
{
    if (peek(t) == '\n')
        t->line++;
    t->at++;
}

static bool accept(struct toml *t, char c)
{
    if (t->at >= t->text.len || peek(t) != c)
        return false;
    step(t);
    return true;
}

static void skip_blanks(struct toml *t)
{
    while (peek(t) == ' ' || peek(t) == '\t')
        t->at++;
}

/* Blanks, line ends and comments. */
static void skip_lines(struct toml *t)
{
    for (;;) {
        skip_blanks(t);
        if (peek(t) == '#') {
            while (t->at < t->text.len && peek(t) != '\n')
                t->at++;
        } else if (peek(t) == '\n' || (peek(t) == '\r' && t->at < t->text.len)) {
            step(t);
        } else {
            return;
        }
    }
}

static void put_utf8(struct buf *b, uint32_t c)
{
    if (c < 0x80) {
        buf_char(b, (char)c);
        return;
    }
    if (c >= 0x10000) {
        buf_char(b, (char)(0xf0 | c >> 18));
        buf_char(b, (char)(0x80 | (c >> 12 & 0x3f)));
    } else if (c >= 0x800) {
        buf_char(b, (char)(0xe0 | c >> 12));
    } else {
        buf_char(b, (char)(0xc0 | c >> 6));
        buf_char(b, (char)(0x80 | (c & 0x3f)));
        return;
    }
    buf_char(b, (char)(0x80 | (c >> 6 & 0x3f)));
    buf_char(b, (char)(0x80 | (c & 0x3f)));
}

static bool hex_escape(struct toml *t, int digits, struct buf *b)
{
    uint32_t c = 0;
    for (int i = 0; i < digits; i++) {
        char d = peek(t);
        int v = d >= '0' && d <= '9'   ? d - '0'
                : d >= 'a' && d <= 'f' ? d - 'a' + 10
                : d >= 'A' && d <= 'F' ? d - 'A' + 10
                                       : -1;
        if (v < 0)
            return fail(t, "an escape without its hexadecimal digits");
        c = c << 4 | (uint32_t)v;
        t->at++;
    }
    if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return fail(t, "an escape that is no character");
    put_utf8(b, c);
    return true;
}

static bool escape(struct toml *t, bool multi, struct buf *b)
{
    static const char from[] = "btnfr\"\\e", to[] = "\b\t\n\f\r\"\\\x1b";
    char c = peek(t);
    const char *found = c ? strchr(from, c) : NULL;
    if (multi && (c == '\n' || c == '\r' || c == ' ' || c == '\t')) {
        /* A line end with a backslash before it, and the blanks of the next line, are nothing. */
        while (t->at < t->text.len && strchr(" \t\r\n", peek(t)))
            step(t);
        return true;
    }
    if (t->at >= t->text.len)
        return fail(t, "a string without its end");
    t->at++;
    if (c == 'u' || c == 'U')
        return hex_escape(t, c == 'u' ? 4 : 8, b);
    if (!found)
        return fail(t, "an unknown escape");
    buf_char(b, to[found - from]);
    return true;
}

static bool string(struct toml *t, struct span *out)
{
    char quote = peek(t);
    const char triple[] = {quote, quote, quote, '\0'};
    AUTO_BUF struct buf b = BUF(MAX_VALUE);
    bool multi = at_text(t, triple);
    t->at += multi ? 3 : 1;
    if (multi && at_text(t, "\r\n"))
        t->at++;
    if (multi && peek(t) == '\n')
        step(t);
    for (;;) {
        if (t->at >= t->text.len || (!multi && peek(t) == '\n'))
            return fail(t, "a string without its end");
        if (multi ? at_text(t, triple) : peek(t) == quote)
            break;
        char c = peek(t);
        step(t);
        if (c != '\\' || quote == '\'')
            buf_char(&b, c);
        else if (!escape(t, multi, &b))
            return false;
    }
    t->at += multi ? 3 : 1;
    /* Up to two more quotes belong to the text. */
    for (int i = 0; multi && i < 2 && peek(t) == quote; i++, t->at++)
        buf_char(&b, quote);
    *out = arena_span(t->arena, buf_span(&b));
    return !b.overflow || fail(t, "a string that is too long");
}

static bool is_bare(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

static bool simple_key(struct toml *t, struct span *out)
{
    size_t from = t->at;
    if (peek(t) == '"' || peek(t) == '\'')
        return string(t, out);
    while (is_bare(peek(t)))
        t->at++;
    *out = span_slice(t->text, from, t->at);
    return out->len > 0 || fail(t, "a key is missing");
}

static struct span joined(struct toml *t, struct span a, struct span b)
{
    if (a.len == 0)
        return b;
    return a.len + b.len > 4096
               ? a
               : span_str(arena_printf(t->arena, "%.*s.%.*s", SPAN_ARG(a), SPAN_ARG(b)));
}

/* a.b.c: *section grows by a.b, *key is c. */
static bool dotted_key(struct toml *t, struct span *section, struct span *key)
{
    for (int depth = 0; depth < MAX_DEPTH; depth++) {
        if (!simple_key(t, key))
            return false;
        skip_blanks(t);
        if (!accept(t, '.'))
            return true;
        skip_blanks(t);
        *section = joined(t, *section, *key);
    }
    return fail(t, "a key of too many parts");
}

static bool key_value(struct toml *t, struct span section, size_t group, int depth);

static bool inline_table(struct toml *t, struct span section, size_t group, int depth)
{
    step(t); /* '{' */
    skip_lines(t);
    if (accept(t, '}'))
        return true;
    for (;;) {
        skip_lines(t);
        if (!key_value(t, section, group, depth + 1))
            return false;
        skip_lines(t);
        if (accept(t, '}'))
            return true;
        if (!accept(t, ','))
            return fail(t, "expected \",\" or \"}\"");
    }
}

/* Numbers, dates and lists are given raw: to the end of the line, or to the closing bracket. */
static bool raw_value(struct toml *t, struct span *out)
{
    size_t from = t->at;
    int open = 0;
    struct span ignored;
    while (t->at < t->text.len) {
        char c = peek(t);
        if (c == '"' || c == '\'') {
            if (!string(t, &ignored))
                return false;
            continue;
        }
        if (open == 0 && strchr("\n\r,}#", c))
            break;
        if (c == '#') {
            skip_lines(t);
            continue;
        }
        open += c == '[' || c == '{' ? 1 : c == ']' || c == '}' ? -1 : 0;
        if (open < 0 || open > MAX_DEPTH)
            return fail(t, "brackets that do not match");
        step(t);
    }
    *out = span_trim(span_slice(t->text, from, t->at));
    return (out->len > 0 && open == 0) || fail(t, "a value is missing or has no end");
}

static bool key_value(struct toml *t, struct span section, size_t group, int depth)
{
    struct span key, value;
    size_t line = t->line;
    if (depth > MAX_DEPTH)
        return fail(t, "tables within tables are too deep");
    if (!dotted_key(t, &section, &key))
        return false;
    if (!accept(t, '='))
        return fail(t, "expected \"=\" after the key");
    skip_blanks(t);
    if (peek(t) == '{')
        return inline_table(t, joined(t, section, key), group, depth);
    bool is_string = peek(t) == '"' || peek(t) == '\'';
    if (!(is_string ? string(t, &value) : raw_value(t, &value)))
        return false;
    if (t->out->n >= ENTRIES_MAX)
        return err_set(t->err, ERR_TOO_LARGE, "more than %d entries", ENTRIES_MAX);
    *VEC_PUSH(t->out) = (struct entry){.section = section,
                                       .key = key,
                                       .value = value,
                                       .group = group,
                                       .line = line,
                                       .is_string = is_string};
    return true;
}

static bool header(struct toml *t, struct span *section, size_t *group)
{
    struct span key;
    step(t);
    bool array = accept(t, '[');
    *section = SPAN("");
    skip_blanks(t);
    if (!dotted_key(t, section, &key))
        return false;
    *section = joined(t, *section, key);
    *group += array;
    skip_blanks(t);
    if (!accept(t, ']') || (array && !accept(t, ']')))
        return fail(t, "expected \"]\" after the table's name");
    return true;
}

bool entries_toml(struct span text, struct arena *a, struct entries *out, struct err *err)
{
    struct toml t = {.text = text, .line = 1, .arena = a, .out = out, .err = err};
    struct span section = SPAN("");
    size_t group = 0;
    if (!entries_is_text(text, err))
        return false;
    if (span_starts(text, SPAN("\xef\xbb\xbf")))
        t.at = 3;
    for (;;) {
        skip_lines(&t);
        if (t.at >= text.len)
            return true;
        size_t line = t.line;
        if (!(peek(&t) == '[' ? header(&t, &section, &group) : key_value(&t, section, group, 0)))
            return false;
        size_t after = t.at;
        skip_lines(&t);
        if (t.at < text.len && t.line == line && t.at >= after)
            return fail(&t, "expected the end of the line");
    }
}

bool toml_strings(struct span list, struct arena *a, struct span **out, size_t *count,
                  struct err *err)
{
    struct toml t = {.text = list, .line = 1, .arena = a, .err = err};
    VEC(struct span) strings = {0};
    bool ok = accept(&t, '[') || fail(&t, "expected a list");
    while (ok) {
        skip_lines(&t);
        if (accept(&t, ']'))
            break;
        ok = (peek(&t) == '"' || peek(&t) == '\'') || fail(&t, "expected a string or \"]\"");
        ok = ok && strings.n < ENTRIES_MAX && string(&t, VEC_PUSH(&strings));
        skip_lines(&t);
        if (ok && !accept(&t, ',') && peek(&t) != ']')
            ok = fail(&t, "expected \",\" or \"]\"");
    }
    if (ok && t.at < list.len)
        ok = fail(&t, "text after the list");
    *count = ok ? strings.n : 0;
    *out = arena_array(a, strings.n + 1, sizeof(**out));
    if (strings.n)
        memcpy(*out, strings.v, strings.n * sizeof(**out));
    VEC_FREE(&strings);
    return ok;
}
