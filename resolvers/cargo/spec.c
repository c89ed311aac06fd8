/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/cargo/spec.h"

#define SPEC_MAX        256
#define NAME_MAX_BYTES  64
#define MAX_COMPARATORS 32

struct reader {
    struct span text;
    size_t at;
    struct err *err;
};

static bool fail(struct reader *r, size_t at, const char *why)
{
    return err_set(r->err, ERR_INVALID, "\"%.*s\": at offset %zu: %s",
                   (int)(r->text.len > SPEC_MAX ? SPEC_MAX : r->text.len), r->text.ptr, at, why);
}

static char peek(const struct reader *r)
{
    return r->at < r->text.len ? r->text.ptr[r->at] : '\0';
}

static bool accept(struct reader *r, char c)
{
    if (r->at >= r->text.len || r->text.ptr[r->at] != c)
        return false;
    r->at++;
    return true;
}

static void skip_spaces(struct reader *r)
{
    while (accept(r, ' '))
        ;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool number(struct reader *r)
{
    size_t from = r->at;
    uint64_t value;
    while (is_digit(peek(r)))
        r->at++;
    struct span digits = span_slice(r->text, from, r->at);
    if (digits.len == 0)
        return fail(r, from, "expected a number");
    if (digits.len > 1 && digits.ptr[0] == '0')
        return fail(r, from, "a number without leading zeros is expected");
    return span_to_u64(digits, &value) || fail(r, from, "the number is too large");
}

/* Dot-separated words after '-' or '+'; in a pre-release, numbers have no leading zeros. */
static bool identifiers(struct reader *r, bool prerelease)
{
    do {
        size_t from = r->at;
        bool digits = true;
        while (is_digit(peek(r)) || is_letter(peek(r)) || peek(r) == '-') {
            digits = digits && is_digit(peek(r));
            r->at++;
        }
        if (r->at == from)
            return fail(r, from, "expected letters, digits or \"-\"");
        if (prerelease && digits && r->at - from > 1 && r->text.ptr[from] == '0')
            return fail(r, from, "a number without leading zeros is expected");
    } while (accept(r, '.'));
    return true;
}

static bool wildcard(struct reader *r)
{
    if (peek(r) != '*' && peek(r) != 'x' && peek(r) != 'X')
        return false;
    r->at++;
    return true;
}

/* major[.minor[.patch[-pre][+build]]]; with `partial`, numbers may be missing or "*". */
static bool version(struct reader *r, bool partial)
{
    bool wild = false;
    for (int i = 0; i < 3; i++) {
        if (i > 0 && !accept(r, '.'))
            return partial || fail(r, r->at,
                                   "a version has three numbers, like \"1.2.3\"; a "
                                   "range needs an operator, like \"^1.2\"");
        if (partial && i > 0 && wildcard(r))
            wild = true;
        else if (wild)
            return fail(r, r->at, "no number may follow a \"*\"");
        else if (!number(r))
            return false;
    }
    if (wild)
        return true;
    return (!accept(r, '-') || identifiers(r, true)) && (!accept(r, '+') || identifiers(r, false));
}

static void operator_of(struct reader *r)
{
    if (accept(r, '<') || accept(r, '>'))
        accept(r, '=');
    else if (!accept(r, '=') && !accept(r, '^'))
        accept(r, '~');
    skip_spaces(r);
}

static bool range(struct reader *r)
{
    skip_spaces(r);
    if (wildcard(r)) {
        skip_spaces(r);
        return r->at == r->text.len || fail(r, r->at, "\"*\" stands alone");
    }
    for (int n = 0; n < MAX_COMPARATORS; n++) {
        skip_spaces(r);
        operator_of(r);
        if (!version(r, true))
            return false;
        skip_spaces(r);
        if (r->at == r->text.len)
            return true;
        if (!accept(r, ','))
            return fail(r, r->at, "expected \",\" or the end of the range");
    }
    return fail(r, r->at, "more than 32 comparisons");
}

static bool name(struct reader *r, struct cargo_spec *out)
{
    if (!is_letter(peek(r)))
        return fail(r, 0, "a crate's name begins with a letter");
    while (is_letter(peek(r)) || is_digit(peek(r)) || peek(r) == '-' || peek(r) == '_')
        r->at++;
    out->name = span_slice(r->text, 0, r->at);
    if (out->name.len > NAME_MAX_BYTES)
        return fail(r, NAME_MAX_BYTES, "a crate's name has at most 64 characters");
    return r->at == r->text.len || peek(r) == '@' ||
           fail(r, r->at,
                "a crate's name has letters, digits, \"-\" and \"_\"; allowed are "
                "NAME, NAME@1.2.3 and NAME@^1.2");
}

bool cargo_spec_parse(struct span spec, struct cargo_spec *out, struct err *err)
{
    struct reader r = {.text = spec, .err = err};
    *out = (struct cargo_spec){0};
    if (spec.len == 0)
        return err_set(err, ERR_INVALID, "\"\": an empty spec; write a crate's name");
    if (spec.len > SPEC_MAX)
        return err_set(err, ERR_INVALID, "a spec of %zu bytes; at most %d are allowed", spec.len,
                       SPEC_MAX);
    if (!name(&r, out))
        return false;
    if (r.at == spec.len)
        return true;
    r.at++; /* '@' */
    out->version = span_skip(spec, r.at);
    if (out->version.len == 0)
        return fail(&r, r.at, "expected a version after \"@\"");
    out->exact = !strchr("<>=^~ ", out->version.ptr[0]) && !span_has(out->version, '*');
    if (out->exact && !is_digit(peek(&r)))
        return fail(&r, r.at,
                    "expected a version such as \"1.2.3\", or a range with an "
                    "operator, like \"^1.2\"; tags do not exist here");
    if (!out->exact)
        return range(&r);
    return version(&r, false) && (r.at == spec.len || fail(&r, r.at, "expected the end"));
}
