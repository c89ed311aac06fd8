/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte chooses the format. Lines are counted upwards; what was read says the same
 * when it is written in the plainest form and read again. */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "resolvers/discover_files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef bool parse_fn(struct span text, struct arena *a, struct entries *out, struct err *err);

static void toml_string(struct buf *out, struct span s)
{
    buf_char(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c == '"' || c == '\\' || c == '\n')
            buf_printf(out, "\\%c", c == '\n' ? 'n' : c);
        else
            buf_char(out, (char)c);
    }
    buf_str(out, "\"");
}

/* False: it has no plain form. */
static bool print_toml(const struct entry *e, struct buf *out)
{
    if (!e->is_string)
        return false;
    toml_string(out, e->key);
    buf_str(out, " = ");
    toml_string(out, e->value);
    return buf_char(out, '\n');
}

static bool is_plain(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789.-_/:@", s.ptr[i]) || !s.ptr[i])
            return false;
    return s.len > 0;
}

static bool print_npm(const struct entry *e, struct buf *out)
{
    return is_plain(e->key) && is_plain(e->value) &&
           buf_printf(out, "%.*s = %.*s\n", SPAN_ARG(e->key), SPAN_ARG(e->value));
}

static bool print_pip(const struct entry *e, struct buf *out)
{
    return is_plain(e->key) && !span_has(e->key, ':') && is_plain(e->value) &&
           !span_starts(e->key, SPAN("--")) && !span_has(e->key, '_') &&
           buf_printf(out, "[x]\n%.*s = %.*s\n", SPAN_ARG(e->key), SPAN_ARG(e->value));
}

static bool print_deb822(const struct entry *e, struct buf *out)
{
    struct span rest = e->value, line;
    size_t n = 0;
    if (span_has(e->value, '\r'))
        return false;
    buf_printf(out, "%.*s:", SPAN_ARG(e->key));
    while (span_next(&rest, '\n', &line))
        buf_printf(out, "%s%.*s\n", n++ ? " " : "", SPAN_ARG(line));
    return true;
}

static void check_again(parse_fn *parse, const struct entry *e,
                        bool (*print)(const struct entry *e, struct buf *out), struct arena *a)
{
    struct entries again = {0};
    struct err err = {0};
    AUTO_BUF struct buf text = BUF(1u << 20);
    if (!print(e, &text) || text.overflow)
        return;
    if (!parse(buf_span(&text), a, &again, &err) || again.n != 1 ||
        !span_eq(again.v[0].key, e->key) || !span_eq(again.v[0].value, e->value))
        abort();
    VEC_FREE(&again);
}

static const char *get(void *ctx, const char *name)
{
    (void)ctx;
    return *name == 'A' ? "value" : NULL;
}

static void check_line(struct span text)
{
    struct apt_line line;
    struct err err = {0};
    struct span name, value;
    if (!apt_line_parse(span_slice(text, 0, span_find_char(text, '\n')), &line, &err))
        return;
    if (line.uri.len == 0 || line.suite.len == 0)
        abort();
    for (size_t n = 0; apt_line_option(&line.options, &name, &value); n++)
        if (n > text.len || name.len == 0)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        parse_fn *parse;
        bool (*print)(const struct entry *e, struct buf *out);
    } formats[] = {{entries_toml, print_toml},
                   {entries_npm, print_npm},
                   {entries_pip, print_pip},
                   {entries_deb822, print_deb822}};
    if (size == 0 || size > 1u << 16)
        return 0;
    struct span text = span_of(data + 1, size - 1);
    size_t kind = data[0] % 5;
    if (kind == 4) {
        check_line(text);
        return 0;
    }
    struct arena *a = arena_new();
    struct entries e = {0};
    struct err err = {0};
    bool ok = formats[kind].parse(text, a, &e, &err);
    if (!ok && (err.code == ERR_NONE || err.text[0] == '\0'))
        abort();
    for (size_t i = 0; i < e.n; i++) {
        if (e.v[i].line == 0 || (i > 0 && e.v[i].line < e.v[i - 1].line))
            abort();
        if (ok && i < 50)
            check_again(formats[kind].parse, &e.v[i], formats[kind].print, a);
        if (kind == 1)
            npm_expand(e.v[i].value, a, get, NULL);
    }
    VEC_FREE(&e);
    arena_free(a);
    return 0;
}
