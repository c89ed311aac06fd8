/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "resolvers/discover_files.h"

#define MAX_FIELD (256u << 10)

static struct span unfolded(struct arena *a, struct span value, struct span more)
{
    more = span_trim(more);
    if (value.len == 0)
        return more;
    return span_str(arena_printf(a, "%.*s\n%.*s", SPAN_ARG(value), SPAN_ARG(more)));
}

static bool is_field_name(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
            return false;
    return s.len > 0 && s.ptr[0] != '-' && s.ptr[0] != '#';
}

bool entries_deb822(struct span text, struct arena *a, struct entries *out, struct err *err)
{
    struct span line, key, value;
    size_t number = 0, group = 0;
    bool open = false; /* within a stanza */
    if (!entries_is_text(text, err))
        return false;
    while (span_next_line(&text, &line)) {
        number++;
        if (line.len > 0 && line.ptr[0] == '#')
            continue;
        if (span_trim(line).len == 0) {
            group += open;
            open = false;
            continue;
        }
        if (line.ptr[0] == ' ' || line.ptr[0] == '\t') {
            if (!open)
                return err_set(err, ERR_INVALID, "line %zu: goes on with nothing before it",
                               number);
            struct entry *last = &out->v[out->n - 1];
            if (last->value.len + line.len > MAX_FIELD)
                return err_set(err, ERR_TOO_LARGE, "line %zu: a field over 256 KiB", number);
            last->value = unfolded(a, last->value, line);
            continue;
        }
        if (!span_cut_char(line, ':', &key, &value) || !is_field_name(key))
            return err_set(err, ERR_INVALID, "line %zu: not \"Field: value\"", number);
        if (out->n >= ENTRIES_MAX)
            return err_set(err, ERR_TOO_LARGE, "more than %d fields", ENTRIES_MAX);
        *VEC_PUSH(out) =
            (struct entry){.key = key, .value = span_trim(value), .group = group, .line = number};
        open = true;
    }
    return true;
}

/* A word of sources.list: ends at a blank, but not within brackets or quotes. */
static bool next_part(struct span *rest, struct span *part)
{
    *rest = span_trim(*rest);
    size_t end = 0;
    bool bracket = false, quote = false;
    while (end < rest->len) {
        char c = rest->ptr[end];
        if (c == '"')
            quote = !quote;
        else if (c == '[')
            bracket = true;
        else if (c == ']')
            bracket = false;
        else if ((c == ' ' || c == '\t') && !bracket && !quote)
            break;
        end++;
    }
    *part = span_slice(*rest, 0, end);
    *rest = span_skip(*rest, end);
    return part->len > 0 && !bracket && !quote;
}

bool apt_line_parse(struct span line, struct apt_line *out, struct err *err)
{
    struct span rest = span_trim(span_slice(line, 0, span_find_char(line, '#')));
    *out = (struct apt_line){0};
    if (!entries_is_text(rest, err))
        return false;
    if (rest.len == 0) {
        err_clear(err);
        return false;
    }
    if (!next_part(&rest, &out->type) ||
        (!span_eq(out->type, SPAN("deb")) && !span_eq(out->type, SPAN("deb-src"))))
        return err_set(err, ERR_INVALID, "begins with neither \"deb\" nor \"deb-src\"");
    rest = span_trim(rest);
    if (rest.len > 0 && rest.ptr[0] == '[') {
        size_t end = span_find_char(rest, ']');
        if (end == rest.len)
            return err_set(err, ERR_INVALID, "options without their \"]\"");
        out->options = span_trim(span_slice(rest, 1, end));
        rest = span_skip(rest, end + 1);
    }
    if (!next_part(&rest, &out->uri) || !next_part(&rest, &out->suite))
        return err_set(err, ERR_INVALID, "has no address or no suite");
    out->components = span_trim(rest);
    /* A suite that ends in '/' is a folder, and has no components; any other has some. */
    if (out->components.len == 0 && !span_ends(out->suite, SPAN("/")))
        return err_set(err, ERR_INVALID, "has no component");
    return true;
}

bool apt_line_option(struct span *options, struct span *name, struct span *value)
{
    *options = span_trim(*options);
    size_t eq = span_find_char(*options, '=');
    if (eq == options->len) {
        *options = SPAN("");
        return false;
    }
    *name = span_trim(span_slice(*options, 0, eq));
    struct span rest = span_skip(*options, eq + 1);
    size_t end = 0;
    if (rest.len > 0 && rest.ptr[0] == '"') {
        rest = span_skip(rest, 1);
        end = span_find_char(rest, '"');
        *value = span_slice(rest, 0, end);
        *options = span_skip(rest, end + 1);
        return name->len > 0;
    }
    while (end < rest.len && rest.ptr[end] != ' ' && rest.ptr[end] != '\t')
        end++;
    *value = span_slice(rest, 0, end);
    *options = span_skip(rest, end);
    return name->len > 0;
}
