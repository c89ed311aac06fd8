/* SPDX-License-Identifier: Apache-2.0 */
/* install.h - locked Python packages become segments of a virtual environment.
 *
 * Three kinds of units: "venv" (the environment itself: pyvenv.cfg, the interpreter's links),
 * one "wheel" per package (its files, scripts, RECORD), and, with install_options.bytecode,
 * one "bytecode" per package (the .pyc files of a wheel, made by the platform's interpreter).
 * The environment lies at PIP_VENV; nothing of it is made by running pip or python, bytecode
 * excepted.
 *
 * What is read of a package in the lock: name (normalised), version, filename, digest,
 * requested (true: a root), origin (an absolute URL: a direct reference).
 *
 * RECORD never lists .pyc files, so it is the same with and without bytecode; uninstallers
 * remove the .pyc files of the .py files that it lists anyway.
 *
 * Ownership, errors, threads: as resolver.h says of units, fill and environment.
 * Errors:    ERR_BAD_ARCHIVE, ERR_TOO_LARGE, ERR_UNSUPPORTED (wheel major version),
 *            ERR_NEEDS_BUILD (not a wheel), ERR_FILE_CLASH, ERR_PLATFORM (no interpreter).
 * Source:    PEP 427, 376, 610, 627; the entry points and recording installed projects pages
 *            of the packaging guide. */
#ifndef STRATA_RESOLVERS_PIP_INSTALL_H
#define STRATA_RESOLVERS_PIP_INSTALL_H

#include "resolvers/resolver.h"

/* Where an environment is mounted, without the leading '/'. */
#define PIP_VENV "opt/managed-env/pip/venv"

bool pip_units(const struct install_context *c, struct install_units *units, struct err *err);
bool pip_fill(const struct install_context *c, const struct install_unit *unit,
              const struct io_map *blob, struct segment_plan *plan, struct err *err);
void pip_environment(const struct install_context *c, json_t *path, json_t *env, json_t *bins);

#endif
