/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/pip/requirement.h"

#include "base/url.h"
#include "resolvers/pip/name.h"

#define MAX_EXTRAS 64

struct parser {
    struct span text;
    size_t at;
    struct arena *arena;
    struct err *err;
};

static bool wrong(const struct parser *p, const char *expected)
{
    return err_set(p->err, ERR_INVALID, "\"%.*s\": at offset %zu: expected %s",
                   (int)(p->text.len > 256 ? 256 : p->text.len), p->text.ptr, p->at, expected);
}

static void white(struct parser *p)
{
    while (p->at < p->text.len && (p->text.ptr[p->at] == ' ' || p->text.ptr[p->at] == '\t'))
        p->at++;
}

static char next_char(const struct parser *p)
{
    return p->at < p->text.len ? p->text.ptr[p->at] : '\0';
}

static bool take_char(struct parser *p, char c)
{
    white(p);
    if (next_char(p) != c)
        return false;
    p->at++;
    return true;
}

static bool identifier_char(char c)
{
    return c == '.' || c == '-' || c == '_' || (c >= '0' && c <= '9') ||
           ((c | 32) >= 'a' && (c | 32) <= 'z');
}

static bool take_identifier(struct parser *p, struct span *out)
{
    white(p);
    struct span r = span_skip(p->text, p->at);
    size_t n = 0;
    while (n < r.len && identifier_char(r.ptr[n]))
        n++;
    *out = span_slice(r, 0, n);
    /* pip lets a name end in "_", and old metadata relies on it. */
    struct span core = *out;
    while (core.len > 1 && core.ptr[core.len - 1] == '_')
        core.len--;
    if (!pip_name_valid(core))
        return false;
    p->at += n;
    return true;
}

static bool parse_extras(struct parser *p, struct pip_requirement *out)
{
    struct span list[MAX_EXTRAS], name;
    size_t n = 0;
    if (!take_char(p, '['))
        return true;
    if (!take_char(p, ']')) {
        do {
            if (!take_identifier(p, &name))
                return wrong(p, "the name of an extra");
            if (n == MAX_EXTRAS)
                return wrong(p, "fewer extras");
            list[n++] = pip_name_normalise(name, p->arena);
        } while (take_char(p, ','));
        if (!take_char(p, ']'))
            return wrong(p, "\",\" or \"]\" after the name of an extra");
    }
    qsort(list, n, sizeof(list[0]), span_cmp_ptr);
    struct span *kept = arena_array(p->arena, n, sizeof(*kept));
    for (size_t i = 0; i < n; i++)
        if (i == 0 || !span_eq(list[i], list[i - 1]))
            kept[out->extra_count++] = list[i];
    out->extras = kept;
    return true;
}

/* Up to the end of the specifiers: ";" or, inside parentheses, ")". */
static bool parse_specifiers(struct parser *p, struct pip_requirement *out)
{
    bool open = take_char(p, '(');
    white(p);
    size_t from = p->at;
    while (p->at < p->text.len && next_char(p) != ';' && !(open && next_char(p) == ')'))
        p->at++;
    struct span text = span_slice(p->text, from, p->at);
    struct span trimmed = span_trim(text);
    size_t end = p->at;
    p->at = from;
    if (trimmed.len && !strchr("=<>!~", trimmed.ptr[0]))
        return wrong(p, "a version specifier (such as ==1.2), \"[\", \"@\", \";\" or the end");
    struct err why = {0};
    if (!pip_specs_parse(text, p->arena, &out->specs, &why))
        return err_set(p->err, why.code, "\"%.*s\": at offset %zu: %s",
                       (int)(p->text.len > 256 ? 256 : p->text.len), p->text.ptr, from, why.text);
    p->at = end;
    if (open && !take_char(p, ')'))
        return wrong(p, "\")\"");
    return true;
}

static bool bad_url_char(char c)
{
    return (unsigned char)c <= ' ' || c == 0x7f || c == '"' || c == '<' || c == '>' || c == '\\';
}

/* "#sha256=...&egg=...": the hash, if there is one. */
static bool parse_fragment(struct parser *p, struct span fragment, struct pip_requirement *out)
{
    struct span piece;
    while (span_next(&fragment, '&', &piece)) {
        if (!span_starts(piece, SPAN("sha256=")))
            continue;
        if (!digest_parse_hex(span_skip(piece, 7), &out->digest))
            return wrong(p, "64 hexadecimal digits after #sha256=");
        out->has_digest = true;
    }
    return true;
}

static bool parse_url(struct parser *p, struct pip_requirement *out)
{
    white(p);
    size_t from = p->at;
    while (p->at < p->text.len && next_char(p) != ' ' && next_char(p) != '\t') {
        if (bad_url_char(next_char(p)))
            return wrong(p, "an URL of printable ASCII characters");
        p->at++;
    }
    struct span url = span_slice(p->text, from, p->at), fragment;
    if (url.len == 0)
        return wrong(p, "an URL after \"@\"");
    if (url.ptr[url.len - 1] == ';')
        return wrong(p, "white space between the URL and \";\"");
    out->url = url;
    if (span_cut_char(url, '#', &url, &fragment)) {
        out->url = url;
        if (!parse_fragment(p, fragment, out))
            return false;
    }
    struct span path = span_slice(url, 0, span_find_char(url, '?'));
    size_t slash = span_find_last_char(path, '/');
    out->url_file =
        slash < path.len ? url_percent_decoded(span_skip(path, slash + 1), p->arena) : SPAN("");
    return true;
}

bool pip_requirement_parse(struct span text, struct arena *a, struct pip_requirement *out,
                           struct err *err)
{
    struct parser p = {.text = text, .arena = a, .err = err};
    *out = (struct pip_requirement){.specs = {.set = version_set_all()}};
    for (p.at = 0; p.at < text.len; p.at++)
        if ((unsigned char)text.ptr[p.at] < ' ' && text.ptr[p.at] != '\t')
            return wrong(&p, "no control characters");
    p.at = 0;
    if (!take_identifier(&p, &out->raw_name))
        return wrong(&p, "a package name (letters, digits and \"-_.\" between them)");
    out->name = pip_name_normalise(out->raw_name, a);
    if (!parse_extras(&p, out))
        return false;
    if (take_char(&p, '@') ? !parse_url(&p, out) : !parse_specifiers(&p, out))
        return false;
    white(&p);
    if (p.at == text.len)
        return true;
    if (!take_char(&p, ';'))
        return wrong(&p, "\",\", \";\" or the end");
    return pip_marker_parse(span_skip(text, p.at), p.at, a, &out->marker, err) ||
           err_wrap(err, "\"%.*s\"", (int)(text.len > 256 ? 256 : text.len), text.ptr);
}

void pip_requirement_short(const struct pip_requirement *r, struct buf *out)
{
    buf_append(out, r->name);
    if (span_ends(r->name, SPAN("-"))) { /* a name may end in "_" only; both mean the same */
        out->len -= out->overflow ? 0 : 1;
        buf_char(out, '_');
    }
    for (size_t i = 0; i < r->extra_count; i++) {
        buf_char(out, i ? ',' : '[');
        buf_append(out, r->extras[i]);
    }
    if (r->extra_count)
        buf_char(out, ']');
    if (r->url.len)
        buf_printf(out, " @ %.*s", SPAN_ARG(r->url));
    buf_append(out, r->specs.text.ptr ? r->specs.text : SPAN(""));
}

void pip_requirement_text(const struct pip_requirement *r, struct buf *out)
{
    pip_requirement_short(r, out);
    if (r->has_digest) {
        char hex[DIGEST_HEX_SIZE];
        buf_printf(out, "#sha256=%s", digest_hex(&r->digest, hex));
    }
    if (r->marker) {
        buf_str(out, " ; ");
        pip_marker_text(r->marker, out);
    }
}
