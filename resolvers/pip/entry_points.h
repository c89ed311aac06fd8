/* SPDX-License-Identifier: Apache-2.0 */
/* entry_points.h - entry_points.txt: the commands that a Python package declares.
 *
 *     [console_scripts]
 *     pytest = pytest:console_main [extra]
 *
 * Only console_scripts and gui_scripts are kept (alike on Linux); of one name the last stands,
 * as a dictionary would have it. Names are case-sensitive and may contain dots.
 *
 * Ownership: spans point into the text.
 * Errors:    ERR_BAD_ARCHIVE with the line: a script that is no "module:function", or whose
 *            name is no file name; ERR_TOO_LARGE.
 * Threads:   pure functions.
 * Source:    entry points specification of the packaging guide; lines as importlib.metadata
 *            reads them. */
#ifndef STRATA_RESOLVERS_PIP_ENTRY_POINTS_H
#define STRATA_RESOLVERS_PIP_ENTRY_POINTS_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/span.h"

struct pip_entry_point {
    struct span name;
    struct span module;   /* "a.b" */
    struct span function; /* "main", "Class.main" */
};

struct pip_entry_points { /* all zero is an empty list */
    VEC(struct pip_entry_point) list;
};

bool pip_entry_points_parse(struct span text, struct pip_entry_points *out, struct err *err);
void pip_entry_points_release(struct pip_entry_points *p);
const struct pip_entry_point *pip_entry_point_find(const struct pip_entry_points *p,
                                                   struct span name);

/* The file in bin/ that runs it with `interpreter` (an absolute path of at most 125 bytes,
 * which is what a "#!" line takes). */
struct span pip_entry_point_script(const struct pip_entry_point *e, const char *interpreter,
                                   struct arena *a);

#endif
