/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/gem/spec.h"

#define SPEC_MAX 256

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool fail(struct span spec, size_t at, const char *why, struct err *err)
{
    return err_set(err, ERR_INVALID, "\"%.*s\": at offset %zu: %s",
                   (int)(spec.len > SPEC_MAX ? SPEC_MAX : spec.len), spec.ptr, at, why);
}

static bool check_name(struct span spec, struct span name, struct err *err)
{
    bool letter = false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!is_alnum(c) && c != '.' && c != '-' && c != '_')
            return fail(spec, i,
                        "a gem's name has letters, digits, \".\", \"-\" and \"_\"; allowed are "
                        "NAME, NAME:VERSION and \"NAME:~> VERSION\"",
                        err);
        letter = letter || (is_alnum(c) && !is_digit(c));
    }
    if (name.len == 0 || !(is_alnum(name.ptr[0]) || name.ptr[0] == '_'))
        return fail(spec, 0, "a gem's name begins with a letter or a digit", err);
    return letter || fail(spec, 0, "a gem's name has at least one letter", err);
}

static size_t operator_length(struct span s)
{
    static const char *const two[] = {"!=", ">=", "<=", "~>"};
    for (size_t i = 0; i < sizeof(two) / sizeof(two[0]); i++)
        if (span_starts(s, span_str(two[i])))
            return 2;
    return s.len > 0 && s.ptr[0] != '\0' && strchr("=<>", s.ptr[0]) ? 1 : 0;
}

/* 1.2.a3[-pre.1]: the first part is a number, a part is never empty. */
static bool take_version(struct span spec, size_t *at, struct err *err)
{
    bool dashed = false;
    if (*at >= spec.len || !is_digit(spec.ptr[*at]))
        return fail(spec, *at, "expected a version such as \"7.1.0\"", err);
    while (*at < spec.len && is_digit(spec.ptr[*at]))
        ++*at;
    while (*at < spec.len) {
        char c = spec.ptr[*at];
        if (c != '.' && !(c == '-' && !dashed))
            break;
        dashed = dashed || c == '-';
        size_t part = ++*at;
        while (*at < spec.len && (is_alnum(spec.ptr[*at]) || (dashed && spec.ptr[*at] == '-')))
            ++*at;
        if (*at == part)
            return fail(spec, *at, "expected letters or digits", err);
    }
    return true;
}

static void skip_spaces(struct span spec, size_t *at)
{
    while (*at < spec.len && spec.ptr[*at] == ' ')
        ++*at;
}

bool gem_spec_parse(struct span spec, struct gem_spec *out, struct err *err)
{
    size_t at = span_find_char(spec, ':');
    *out = (struct gem_spec){.name = span_slice(spec, 0, at)};
    if (spec.len == 0)
        return err_set(err, ERR_INVALID, "\"\": an empty spec; write a gem's name");
    if (spec.len > SPEC_MAX)
        return err_set(err, ERR_INVALID, "a spec of %zu bytes; at most %d are allowed", spec.len,
                       SPEC_MAX);
    if (!check_name(spec, out->name, err))
        return false;
    if (at == spec.len)
        return true;
    at++;
    skip_spaces(spec, &at);
    size_t op = operator_length(span_skip(spec, at));
    out->op = span_slice(spec, at, at + op);
    at += op;
    skip_spaces(spec, &at);
    size_t from = at;
    if (!take_version(spec, &at, err))
        return false;
    out->version = span_slice(spec, from, at);
    skip_spaces(spec, &at);
    if (at < spec.len && spec.ptr[at] == ',')
        return fail(spec, at,
                    "only one requirement can stand here; \"~> 1.2\" means at least "
                    "1.2 and below 2",
                    err);
    return at == spec.len || fail(spec, at, "expected the end of the version", err);
}
