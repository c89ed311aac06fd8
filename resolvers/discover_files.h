/* SPDX-License-Identifier: Apache-2.0 */
/* discover_files.h - the formats of the package clients' own files.
 *
 * Each parser gives the entries of a text in order; what they mean is the finders' business.
 * Keys and values point into the text or, where something had to be put together, into the
 * arena.
 *
 * Ownership: the list's memory is the caller's: VEC_FREE(list).
 * Errors:    ERR_INVALID with the line, and for any NUL; ERR_TOO_LARGE past ENTRIES_MAX.
 * Threads:   pure.
 * Source:    configparser (pip), npm's ini and npmrc(5), deb822(5), sources.list(5), TOML 1.0,
 *            YAML 1.1 as far as .gemrc goes. */
#ifndef STRATA_RESOLVERS_DISCOVER_FILES_H
#define STRATA_RESOLVERS_DISCOVER_FILES_H

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/span.h"

#define ENTRIES_MAX 20000

struct entry {
    struct span section; /* ini: [section]; toml: a.b; deb822: empty, `group` counts stanzas */
    struct span key, value;
    size_t group, line;
    bool is_string; /* toml: the value was a string */
};

struct entries {
    struct entry *v;
    size_t n, cap;
};

/* configparser's ini: continuation lines are joined by a newline, keys are lower-cased and '_'
 * in them is '-'. */
bool entries_pip(struct span text, struct arena *a, struct entries *out, struct err *err);

/* npm's ini: what stands in a [section] is left out, as npm does; quotes and backslashes are
 * undone, `key[]` appends; a line without '=' means "true". Odd lines are no error. */
bool entries_npm(struct span text, struct arena *a, struct entries *out, struct err *err);

/* ${NAME} and ${NAME?} by `get`; an unset one stays as written, or is empty with '?'. */
struct span npm_expand(struct span value, struct arena *a,
                       const char *(*get)(void *ctx, const char *name), void *ctx);

/* Stanzas of "Key: value" with folded lines; '#' lines are comments. */
bool entries_deb822(struct span text, struct arena *a, struct entries *out, struct err *err);

/* Tables, dotted and quoted keys, strings of four kinds, one-line inline tables and arrays
 * (given raw). Values other than strings are given raw. Arrays of tables count up `group`. */
bool entries_toml(struct span text, struct arena *a, struct entries *out, struct err *err);

/* A raw list of strings (TOML), over several lines and with comments or not. */
bool toml_strings(struct span list, struct arena *a, struct span **out, size_t *count,
                  struct err *err);

/* One `deb [options] uri suite components` line of sources.list(5). False without an error:
 * an empty line or a comment. Lists are separated by single spaces. */
struct apt_line {
    struct span type, uri, suite, components; /* components: the rest of the line */
    struct span options;                      /* between the brackets */
};
bool apt_line_parse(struct span line, struct apt_line *out, struct err *err);
/* Takes "name=value" off the front of *options; values may be in quotes. */
bool apt_line_option(struct span *options, struct span *name, struct span *value);

/* False, with the line in *err, when there is a NUL: then it is no text. */
bool entries_is_text(struct span text, struct err *err);

/* Takes the next word (split at white space) off the front. */
bool next_word(struct span *rest, struct span *word);

#endif
