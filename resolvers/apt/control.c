/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/apt/control.h"

bool control_stanza(struct span *rest, struct span *stanza)
{
    while (rest->len && rest->ptr[0] == '\n')
        *rest = span_skip(*rest, 1);
    if (rest->len == 0)
        return false;
    struct span after;
    if (!span_cut(*rest, SPAN("\n\n"), stanza, &after)) {
        *stanza = *rest;
        after = span_skip(*rest, rest->len);
    }
    *rest = after;
    return true;
}

/* Where the value that starts here ends: the line's end, unless a line follows that starts with
 * white space. */
static size_t value_end(struct span s)
{
    size_t end = span_find_char(s, '\n');
    while (end + 1 < s.len && (s.ptr[end + 1] == ' ' || s.ptr[end + 1] == '\t'))
        end += 1 + span_find_char(span_skip(s, end + 1), '\n');
    return end;
}

bool control_field(struct span *rest, struct span *name, struct span *value)
{
    while (rest->len) {
        size_t end = value_end(*rest);
        struct span field = span_slice(*rest, 0, end), key, text;
        *rest = span_skip(*rest, end + 1);
        if (!span_cut_char(field, ':', &key, &text) || key.len == 0 || key.ptr[0] == '#' ||
            span_has(key, '\n'))
            continue;
        *name = key;
        *value = span_trim(text);
        return true;
    }
    return false;
}

struct span control_get(struct span stanza, struct span name)
{
    struct span key, value;
    while (control_field(&stanza, &key, &value))
        if (span_eq_nocase(key, name))
            return value;
    return SPAN("");
}

static bool next_piece(struct span *rest, char separator, struct span *out)
{
    while (rest->ptr && rest->len) {
        struct span piece;
        span_next(rest, separator, &piece);
        piece = span_trim(piece);
        if (piece.len) {
            *out = piece;
            return true;
        }
    }
    return false;
}

bool control_group(struct span *rest, struct span *group)
{
    return next_piece(rest, ',', group);
}

static bool parse_relation(struct span text, enum apt_relation *relation, struct span *version)
{
    static const struct {
        struct span sign;
        enum apt_relation relation;
    } signs[] = {
        {SPAN_INIT("<<"), APT_LT},
        {SPAN_INIT("<="), APT_LE},
        {SPAN_INIT(">="), APT_GE},
        {SPAN_INIT(">>"), APT_GT},
        {SPAN_INIT("="), APT_EQ},
        /* Deprecated, and meaning "or equal" (deb-control history): */
        {SPAN_INIT("<"), APT_LE},
        {SPAN_INIT(">"), APT_GE},
    };
    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
        if (span_starts(text, signs[i].sign)) {
            *relation = signs[i].relation;
            *version = span_trim(span_skip(text, signs[i].sign.len));
            return apt_version_valid(*version);
        }
    return false;
}

static bool name_valid(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            !memchr("+-._", c, 4))
            return false;
    }
    return s.len > 0;
}

static bool parse_alternative(struct span text, struct apt_relation_term *out)
{
    size_t end = 0;
    while (end < text.len && !memchr(" \t\n([<", text.ptr[end], 6))
        end++;
    *out = (struct apt_relation_term){.name = span_slice(text, 0, end), .arch = SPAN("")};
    span_cut_char(out->name, ':', &out->name, &out->arch);
    struct span rest = span_trim(span_skip(text, end)), inner, after;
    if (rest.len && rest.ptr[0] == '(' &&
        (!span_cut_char(span_skip(rest, 1), ')', &inner, &after) ||
         !parse_relation(span_trim(inner), &out->relation, &out->version)))
        return false;
    return name_valid(out->name) && (out->arch.len == 0 || name_valid(out->arch));
}

bool control_alternative(struct span *group, struct apt_relation_term *out)
{
    struct span piece;
    while (next_piece(group, '|', &piece))
        if (parse_alternative(piece, out))
            return true;
    return false;
}
