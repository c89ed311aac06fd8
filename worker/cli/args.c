/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/cli/args.h"

static const struct cli_option *find(const struct cli_option *const *tables, struct span name,
                                     char letter)
{
    for (; *tables; tables++)
        for (const struct cli_option *o = *tables; o->name; o++)
            if (letter ? o->letter == letter : span_eq_str(name, o->name))
                return o;
    return NULL;
}

/* Levenshtein distance, for short words. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], n = strlen(b);
    if (n >= COUNT(row) || strlen(a) >= COUNT(row))
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[n];
}

const char *cli_nearest(const char *word, const char *const *words, size_t count)
{
    const char *best = NULL;
    size_t least = strlen(word) < 4 ? 2 : 3;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(word, words[i]);
        if (d < least) {
            least = d;
            best = words[i];
        }
    }
    return best;
}

static bool unknown(const struct cli_option *const *tables, const char *word, struct span name,
                    struct err *err)
{
    AUTO_FREE char *bare = mem_dup(name);
    VEC(const char *) names = {0};
    for (; *tables; tables++)
        for (const struct cli_option *o = *tables; o->name; o++)
            *VEC_PUSH(&names) = o->name;
    const char *near = cli_nearest(bare, names.v, names.n);
    VEC_FREE(&names);
    if (near)
        return err_set(err, ERR_USAGE, "unknown option %s; did you mean --%s?", word, near);
    return err_set(err, ERR_USAGE, "unknown option %s", word);
}

static bool take(struct cli_args *out, const struct cli_option *o, const char *attached, int *i,
                 int argc, const char *const *argv, struct err *err)
{
    const char *value = NULL;
    if (!o->argument && attached)
        return err_set(err, ERR_USAGE, "--%s takes no value", o->name);
    if (o->argument) {
        value = attached ? attached : *i + 1 < argc ? argv[++*i] : NULL;
        if (!value)
            return err_set(err, ERR_USAGE, "--%s needs a value: %s", o->name, o->argument);
    }
    *VEC_PUSH(&out->values) = (struct cli_value){o, value};
    return true;
}

static bool parse_long(struct cli_args *out, const struct cli_option *const *tables, int *i,
                       int argc, const char *const *argv, struct err *err)
{
    const char *word = argv[*i];
    struct span name = span_str(word + 2), before, after;
    const char *attached = NULL;
    if (span_cut_char(name, '=', &before, &after)) {
        name = before;
        attached = after.ptr; /* ends where the word ends */
    }
    const struct cli_option *o = find(tables, name, 0);
    return o ? take(out, o, attached, i, argc, argv, err) : unknown(tables, word, name, err);
}

static bool parse_short(struct cli_args *out, const struct cli_option *const *tables, int *i,
                        int argc, const char *const *argv, struct err *err)
{
    const char *word = argv[*i];
    for (const char *p = word + 1; *p; p++) {
        const struct cli_option *o = find(tables, SPAN(""), *p);
        if (!o)
            return err_set(err, ERR_USAGE, "unknown option -%c in %s", *p, word);
        if (o->argument)
            return take(out, o, p[1] ? p + 1 : NULL, i, argc, argv, err);
        if (!take(out, o, NULL, i, argc, argv, err))
            return false;
    }
    return true;
}

bool cli_parse(struct cli_args *out, const struct cli_option *const *tables, int argc,
               const char *const *argv, struct err *err)
{
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        bool ok = true;
        if (strcmp(word, "--") == 0) {
            out->rest = argv + i + 1;
            break;
        }
        if (word[0] == '-' && word[1] == '-')
            ok = parse_long(out, tables, &i, argc, argv, err);
        else if (word[0] == '-' && word[1])
            ok = parse_short(out, tables, &i, argc, argv, err);
        else
            *VEC_PUSH(&out->operands) = word;
        if (!ok)
            return false;
    }
    return true;
}

void cli_args_release(struct cli_args *a)
{
    VEC_FREE(&a->values);
    VEC_FREE(&a->operands);
}

bool cli_flag(const struct cli_args *a, const char *name)
{
    for (size_t i = 0; i < a->values.n; i++)
        if (strcmp(a->values.v[i].option->name, name) == 0)
            return true;
    return false;
}

const char *cli_value(const struct cli_args *a, const char *name)
{
    const char *last = NULL;
    for (size_t i = 0; i < a->values.n; i++)
        if (strcmp(a->values.v[i].option->name, name) == 0)
            last = a->values.v[i].value;
    return last;
}
