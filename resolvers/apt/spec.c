/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/apt/spec.h"

#define SPEC_MAX 256

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_name_char(char c)
{
    return is_alnum(c) || c == '+' || c == '-' || c == '.';
}

static bool is_version_char(char c)
{
    return is_alnum(c) || (c >= 'A' && c <= 'Z') || strchr(".+-~:", c);
}

static bool is_suite_char(char c)
{
    return is_alnum(c) || (c >= 'A' && c <= 'Z') || strchr(".-_+", c);
}

static bool is_arch_char(char c)
{
    return is_alnum(c) || c == '-';
}

static bool fail(struct span spec, size_t at, const char *why, struct err *err)
{
    return err_set(err, ERR_INVALID, "\"%.*s\": at offset %zu: %s",
                   (int)(spec.len > SPEC_MAX ? SPEC_MAX : spec.len), spec.ptr, at, why);
}

/* The longest run of such characters from *at on. */
static struct span take(struct span spec, size_t *at, bool (*is)(char c))
{
    size_t from = *at;
    while (*at < spec.len && spec.ptr[*at] != '\0' && is(spec.ptr[*at]))
        ++*at;
    return span_slice(spec, from, *at);
}

static bool take_name(struct span spec, size_t *at, struct apt_spec *out, struct err *err)
{
    out->name = take(spec, at, is_name_char);
    if (out->name.len == 0)
        return fail(spec, 0, "a package's name begins with a lower-case letter or a digit", err);
    if (!is_alnum(out->name.ptr[0]))
        return fail(spec, 0, "a package's name begins with a lower-case letter or a digit", err);
    if (out->name.len < 2)
        return fail(spec, 0, "a package's name has at least two characters", err);
    if (span_ends(out->name, SPAN("-")))
        return fail(spec, out->name.len - 1,
                    "a \"-\" at the end asks apt to remove a package, which cannot be done here",
                    err);
    return true;
}

/* [epoch:]upstream[-revision], where upstream begins with a digit. */
static bool check_version(struct span spec, struct span v, struct err *err)
{
    size_t at = (size_t)(v.ptr - spec.ptr);
    struct span epoch, rest = v;
    if (span_cut_char(v, ':', &epoch, &rest) && (!span_is_digits(epoch) || epoch.len > 9))
        return fail(spec, at, "the epoch before \":\" is a number", err);
    if (rest.len == 0 || rest.ptr[0] < '0' || rest.ptr[0] > '9')
        return fail(spec, (size_t)(rest.ptr - spec.ptr), "a version begins with a digit", err);
    if (span_ends(rest, SPAN("-")))
        return fail(spec, spec.len - 1, "nothing after the \"-\" before the revision", err);
    return true;
}

static bool take_end(struct span spec, size_t *at, struct apt_spec *out, struct err *err)
{
    if (*at < spec.len && spec.ptr[*at] == ':') {
        ++*at;
        out->arch = take(spec, at, is_arch_char);
        if (out->arch.len == 0 || !is_alnum(out->arch.ptr[0]))
            return fail(spec, *at, "expected an architecture such as \"amd64\" after \":\"", err);
    }
    if (*at < spec.len && spec.ptr[*at] == '=') {
        ++*at;
        out->version = take(spec, at, is_version_char);
        if (*at < spec.len)
            return fail(spec, *at, "a version has letters, digits and . + - ~ : only", err);
        if (out->version.len == 0)
            return fail(spec, *at, "expected a version after \"=\"", err);
        return check_version(spec, out->version, err);
    }
    if (*at < spec.len && spec.ptr[*at] == '/') {
        ++*at;
        out->suite = take(spec, at, is_suite_char);
        if (out->suite.len == 0 || out->suite.ptr[0] == '-' || out->suite.ptr[0] == '.')
            return fail(spec, *at, "expected a suite such as \"bookworm-backports\" after \"/\"",
                        err);
    }
    return *at == spec.len ||
           fail(spec, *at, "allowed are NAME, NAME=VERSION, NAME/SUITE and NAME:ARCH", err);
}

bool apt_spec_parse(struct span spec, struct apt_spec *out, struct err *err)
{
    size_t at = 0;
    *out = (struct apt_spec){0};
    if (spec.len == 0)
        return err_set(err, ERR_INVALID, "\"\": an empty spec; write a package's name");
    if (spec.len > SPEC_MAX)
        return err_set(err, ERR_INVALID, "a spec of %zu bytes; at most %d are allowed", spec.len,
                       SPEC_MAX);
    return take_name(spec, &at, out, err) && take_end(spec, &at, out, err);
}
