/* SPDX-License-Identifier: Apache-2.0 */
/* args.h - command lines from tables: one table gives the parser, --help and the completion.
 *
 * Long options (--name VALUE, --name=VALUE), short ones (-o VALUE, -oVALUE), "--" ends them.
 * Options may stand before or after the operands, except for commands that pass the rest on
 * (`run`): there the first operand after "--" belongs to the other program.
 *
 * Ownership: values point into argv.
 * Errors:    ERR_USAGE, naming the word and, for a misspelt option, the nearest one. */
#ifndef STRATA_WORKER_CLI_ARGS_H
#define STRATA_WORKER_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

struct cli_option {
    const char *name;
    char letter;          /* 0: none */
    const char *argument; /* what --help calls its value; NULL: a flag */
    const char *help;
};

struct cli_value {
    const struct cli_option *option;
    const char *value; /* NULL: a flag */
};

struct cli_args {
    VEC(struct cli_value) values; /* in order; an option may be there several times */
    VEC(const char *) operands;
    const char *const *rest; /* after "--", NULL-terminated; NULL: there was none */
};

/* `tables` is NULL-terminated; each table ends with an option without a name. */
bool cli_parse(struct cli_args *out, const struct cli_option *const *tables, int argc,
               const char *const *argv, struct err *err);
void cli_args_release(struct cli_args *a);

bool cli_flag(const struct cli_args *a, const char *name);
const char *cli_value(const struct cli_args *a, const char *name); /* the last one; NULL: none */

/* The nearest of `count` words to a misspelt one, or NULL when none is near. */
const char *cli_nearest(const char *word, const char *const *words, size_t count);

#endif
