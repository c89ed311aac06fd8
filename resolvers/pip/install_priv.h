/* SPDX-License-Identifier: Apache-2.0 */
/* install_priv.h - the kinds of units of the installer, one file each.
 *
 * A fill function puts the entries of one unit into the plan. `w` is open on the unit's blob,
 * and its memory is the plan's. `unit->package` is the package's entry in the lock.
 *
 * Threads: pool threads; nothing is shared. */
#ifndef STRATA_RESOLVERS_PIP_INSTALL_PRIV_H
#define STRATA_RESOLVERS_PIP_INSTALL_PRIV_H

#include "resolvers/pip/install.h"
#include "resolvers/pip/wheel.h"

/* What is run by scripts: PIP_VENV's interpreter, where the environment is mounted. */
#define PIP_VENV_PYTHON "/" PIP_VENV "/bin/python"

/* Part of every key: raised when the same input would give other bytes. */
#define PIP_INSTALL_FORMAT 1

bool pip_fill_venv(const struct install_context *c, struct segment_plan *plan, struct err *err);
bool pip_fill_wheel(const struct install_context *c, const json_t *package,
                    const struct pip_wheel *w, struct segment_plan *plan, struct err *err);
bool pip_fill_bytecode(const struct install_context *c, const struct pip_wheel *w,
                       struct segment_plan *plan, struct err *err);

/* The URL that the user wrote himself, without credentials and fragment; NULL when the package
 * came from the index. */
const char *pip_direct_url(const json_t *package, struct arena *a);

#endif
