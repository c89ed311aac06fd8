/* SPDX-License-Identifier: Apache-2.0 */
/* bytecode_priv.h - compiles Python sources with the platform's interpreter.
 *
 * The interpreter gets sources on its standard input and answers with .pyc files (PEP 552,
 * hash-based and unchecked: no time of any file is in them) on its standard output. A file's
 * result depends on the file, its path and the interpreter alone, not on what is compiled
 * beside it, so the work is cut into chunks that run in several processes.
 *
 * Ownership: sources stay the caller's; results are in the arena.
 * Errors:    ERR_PLATFORM (no interpreter, or another version than the platform says),
 *            ERR_TIMEOUT, ERR_SCRIPT.
 * Threads:   pip_compile blocks, and starts threads of its own that end before it returns. */
#ifndef STRATA_RESOLVERS_PIP_BYTECODE_PRIV_H
#define STRATA_RESOLVERS_PIP_BYTECODE_PRIV_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"
#include "resolvers/platform.h"

struct pip_source {
    struct span path;   /* as tracebacks will show it */
    struct span source; /* the file's bytes */
    struct span pyc;    /* result; ptr NULL: it does not compile */
};

bool pip_compile(const struct platform *p, struct pip_source *sources, size_t count,
                 unsigned processes, struct arena *a, struct err *err);

extern const char pip_bytecode_script[];

#endif
