/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/go/spec.h"

#define SPEC_MAX 256

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool fail(struct span spec, size_t at, const char *why, struct err *err)
{
    return err_set(err, ERR_INVALID, "\"%.*s\": at offset %zu: %s",
                   (int)(spec.len > SPEC_MAX ? SPEC_MAX : spec.len), spec.ptr, at, why);
}

static bool is_path_char(char c)
{
    return is_digit(c) || is_letter(c) || (c != '\0' && strchr("-._~+", c));
}

/* Names that some file systems cannot hold, whatever follows a dot. */
static bool is_reserved(struct span element)
{
    static const char *const names[] = {
        "con",  "prn",  "aux",  "nul",  "com1", "com2", "com3", "com4", "com5", "com6", "com7",
        "com8", "com9", "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9"};
    struct span stem = span_slice(element, 0, span_find_char(element, '.'));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (span_eq_nocase(stem, span_str(names[i])))
            return true;
    return false;
}

/* "x~1": the short names of one file system; digits alone after the last tilde. */
static bool is_short_name(struct span element)
{
    struct span stem = span_slice(element, 0, span_find_char(element, '.')), before, digits;
    return span_cut_last_char(stem, '~', &before, &digits) && span_is_digits(digits);
}

static const char *element_problem(struct span element, size_t *bad)
{
    *bad = 0;
    if (element.len == 0)
        return "an empty path element";
    for (size_t i = 0; i < element.len; i++)
        if (!is_path_char(element.ptr[i])) {
            *bad = i;
            return "a path has letters, digits and - . _ ~ + only";
        }
    size_t dots = 0;
    while (dots < element.len && element.ptr[dots] == '.')
        dots++;
    if (dots == element.len)
        return "an element of dots only";
    if (element.ptr[element.len - 1] == '.') {
        *bad = element.len - 1;
        return "an element that ends in a dot";
    }
    if (is_reserved(element))
        return "a name that some file systems reserve";
    if (is_short_name(element))
        return "an element that ends in \"~\" and digits";
    return NULL;
}

static const char *host_problem(struct span host, size_t *bad)
{
    *bad = 0;
    if (!span_has(host, '.'))
        return "the first element is a host's name, with a dot; packages of the standard "
               "library cannot be installed";
    if (host.ptr[0] == '-' || host.ptr[0] == '.')
        return "a host's name begins with a letter or a digit";
    for (size_t i = 0; i < host.len; i++)
        if (!is_digit(host.ptr[i]) && !(host.ptr[i] >= 'a' && host.ptr[i] <= 'z') &&
            host.ptr[i] != '-' && host.ptr[i] != '.') {
            *bad = i;
            return "a host's name has lower-case letters, digits, \"-\" and \".\" only";
        }
    return NULL;
}

const char *go_path_problem(struct span path, size_t *at)
{
    struct span rest = path, element;
    const char *problem;
    bool first = true;
    size_t bad = 0;
    *at = 0;
    if (path.len == 0)
        return "the path of a package is missing";
    while (span_next(&rest, '/', &element)) {
        *at = (size_t)(element.ptr - path.ptr);
        problem = element_problem(element, &bad);
        if (!problem && first)
            problem = host_problem(element, &bad);
        if (problem) {
            *at += bad;
            return problem;
        }
        first = false;
    }
    return NULL;
}

/* v1, v1.2, v1.2.3[-pre][+build]; *numbers: how many of the three there are. */
static bool is_semver(struct span v, int *numbers)
{
    size_t at = 1;
    *numbers = 0;
    if (v.len < 2 || v.ptr[0] != 'v')
        return false;
    while (*numbers < 3) {
        size_t from = at;
        while (at < v.len && is_digit(v.ptr[at]))
            at++;
        if (at == from || (at - from > 1 && v.ptr[from] == '0'))
            return false;
        ++*numbers;
        if (at == v.len)
            return true;
        if (*numbers < 3 && v.ptr[at++] != '.')
            return false;
    }
    if (v.ptr[at] != '-' && v.ptr[at] != '+')
        return false;
    for (size_t i = at + 1; i < v.len; i++)
        if (!is_path_char(v.ptr[i]) || v.ptr[i] == '_' || v.ptr[i] == '~')
            return false;
    return at + 1 < v.len && v.ptr[v.len - 1] != '.';
}

static bool is_bare_number(struct span v)
{
    size_t dots = 0;
    for (size_t i = 0; i < v.len; i++) {
        if (!is_digit(v.ptr[i]) && v.ptr[i] != '.')
            return false;
        dots += v.ptr[i] == '.';
    }
    return dots > 0 || v.len < 7; /* seven digits may be a commit */
}

static bool take_version(struct span spec, struct go_spec *out, struct err *err)
{
    size_t at = (size_t)(out->version.ptr - spec.ptr);
    struct span v = out->version;
    int numbers;
    if (v.len > 0 && (v.ptr[0] == '<' || v.ptr[0] == '>')) {
        size_t op = v.len > 1 && v.ptr[1] == '=' ? 2 : 1;
        out->query = GO_COMPARE;
        out->op = span_slice(v, 0, op);
        out->version = v = span_skip(v, op);
        return is_semver(v, &numbers) ||
               fail(spec, at + op, "expected a version such as \"v1.2.3\" after the operator", err);
    }
    if (v.len == 0)
        return fail(spec, at, "expected a version after \"@\", such as \"v1.2.3\" or \"latest\"",
                    err);
    if (span_eq(v, SPAN("patch")) || span_eq(v, SPAN("none")))
        return fail(spec, at,
                    "\"patch\" and \"none\" mean nothing here; write \"latest\" or a "
                    "version",
                    err);
    if (span_eq(v, SPAN("latest")) || span_eq(v, SPAN("upgrade"))) {
        out->query = GO_LATEST;
        return true;
    }
    if (is_bare_number(v))
        return fail(spec, at, "a version begins with \"v\", like \"v1.2.3\"", err);
    if (is_semver(v, &numbers)) {
        out->query = numbers == 3 ? GO_EXACT : GO_PREFIX;
        return true;
    }
    for (size_t i = 0; i < v.len; i++)
        if (!is_path_char(v.ptr[i]))
            return fail(spec, at + i, "a branch or commit has letters, digits and - . _ ~ + only",
                        err);
    if (v.ptr[0] == '-' || v.ptr[0] == '.' || v.ptr[v.len - 1] == '.')
        return fail(spec, at,
                    "a branch or commit neither begins nor ends with a dot, nor "
                    "begins with \"-\"",
                    err);
    out->query = GO_REVISION;
    return true;
}

bool go_spec_parse(struct span spec, struct go_spec *out, struct err *err)
{
    size_t at;
    *out = (struct go_spec){0};
    if (spec.len == 0)
        return err_set(err, ERR_INVALID, "\"\": an empty spec; write PATH@VERSION");
    if (spec.len > SPEC_MAX)
        return err_set(err, ERR_INVALID, "a spec of %zu bytes; at most %d are allowed", spec.len,
                       SPEC_MAX);
    bool versioned = span_cut_char(spec, '@', &out->path, &out->version);
    struct span path = versioned ? out->path : spec;
    out->all_below = span_ends(path, SPAN("/..."));
    const char *problem =
        go_path_problem(out->all_below ? span_slice(path, 0, path.len - 4) : path, &at);
    if (problem)
        return fail(spec, at, problem, err);
    if (!versioned)
        return fail(spec, spec.len, "a version is missing: write PATH@VERSION or PATH@latest", err);
    return take_version(spec, out, err);
}
