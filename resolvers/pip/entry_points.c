/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/pip/entry_points.h"

#define MAX_LINES   100000u
#define MAX_SCRIPTS 2000u
#define MAX_NAME    255u

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           (unsigned char)c >= 0x80;
}

/* Identifiers joined by dots; these go into Python source, so nothing else may pass. */
static bool is_dotted_name(struct span s)
{
    struct span part;
    if (s.len == 0 || s.len > 1024 || !span_is_utf8(s))
        return false;
    while (span_next(&s, '.', &part)) {
        if (part.len == 0 || (part.ptr[0] >= '0' && part.ptr[0] <= '9'))
            return false;
        for (size_t i = 0; i < part.len; i++)
            if (!is_word(part.ptr[i]))
                return false;
    }
    return true;
}

static bool is_file_name(struct span s)
{
    if (s.len == 0 || s.len > MAX_NAME || span_eq(s, SPAN(".")) || span_eq(s, SPAN("..")) ||
        !span_is_utf8(s))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] == '/' || s.ptr[i] == '\\' || (unsigned char)s.ptr[i] < 0x20 ||
            s.ptr[i] == 0x7f)
            return false;
    return true;
}

/* "module:function [extras]" */
static bool parse_value(struct span value, struct pip_entry_point *out)
{
    struct span extras;
    if (span_cut_char(value, '[', &value, &extras) && !span_ends(extras, SPAN("]")))
        return false;
    if (!span_cut_char(value, ':', &out->module, &out->function))
        return false;
    out->module = span_trim(out->module);
    out->function = span_trim(out->function);
    return is_dotted_name(out->module) && is_dotted_name(out->function);
}

static bool put_script(struct pip_entry_points *out, struct span line, size_t number,
                       struct err *err)
{
    struct pip_entry_point e, *old;
    struct span value;
    if (!span_cut_char(line, '=', &e.name, &value))
        return err_set(err, ERR_BAD_ARCHIVE, "entry_points.txt: line %zu: no \"=\"", number);
    e.name = span_trim(e.name);
    if (!is_file_name(e.name))
        return err_set(err, ERR_BAD_ARCHIVE,
                       "entry_points.txt: line %zu: the script's name is no file name", number);
    if (!parse_value(span_trim(value), &e))
        return err_set(err, ERR_BAD_ARCHIVE,
                       "entry_points.txt: line %zu: script %.*s is no \"module:function\"", number,
                       SPAN_ARG(e.name));
    old = (struct pip_entry_point *)(uintptr_t)pip_entry_point_find(out, e.name);
    if (old)
        *old = e;
    else if (out->list.n == MAX_SCRIPTS)
        return err_set(err, ERR_TOO_LARGE, "entry_points.txt: more than %u scripts", MAX_SCRIPTS);
    else
        *VEC_PUSH(&out->list) = e;
    return true;
}

bool pip_entry_points_parse(struct span text, struct pip_entry_points *out, struct err *err)
{
    struct span line;
    bool scripts = false;
    if (span_starts(text, SPAN("\xef\xbb\xbf")))
        text = span_skip(text, 3);
    for (size_t number = 1; span_next_line(&text, &line); number++) {
        line = span_trim(line);
        if (number > MAX_LINES)
            return err_set(err, ERR_TOO_LARGE, "entry_points.txt: more than %u lines", MAX_LINES);
        if (line.len == 0 || line.ptr[0] == '#' || line.ptr[0] == ';')
            continue;
        if (line.ptr[0] == '[' && span_ends(line, SPAN("]"))) {
            struct span section = span_trim(span_slice(line, 1, line.len - 1));
            scripts =
                span_eq(section, SPAN("console_scripts")) || span_eq(section, SPAN("gui_scripts"));
            continue;
        }
        if (scripts && !put_script(out, line, number, err))
            return false;
    }
    return true;
}

void pip_entry_points_release(struct pip_entry_points *p)
{
    VEC_FREE(&p->list);
}

const struct pip_entry_point *pip_entry_point_find(const struct pip_entry_points *p,
                                                   struct span name)
{
    for (size_t i = 0; i < p->list.n; i++)
        if (span_eq(p->list.v[i].name, name))
            return &p->list.v[i];
    return NULL;
}

struct span pip_entry_point_script(const struct pip_entry_point *e, const char *interpreter,
                                   struct arena *a)
{
    struct span first = span_slice(e->function, 0, span_find_char(e->function, '.'));
    return span_str(arena_printf(a,
                                 "#!%s\n"
                                 "import sys\n"
                                 "\n"
                                 "from %.*s import %.*s\n"
                                 "\n"
                                 "if __name__ == \"__main__\":\n"
                                 "    sys.exit(%.*s())\n",
                                 interpreter, SPAN_ARG(e->module), SPAN_ARG(first),
                                 SPAN_ARG(e->function)));
}
