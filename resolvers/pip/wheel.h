/* SPDX-License-Identifier: Apache-2.0 */
/* wheel.h - a wheel in memory, checked, and where each of its files goes in an environment.
 *
 * Refused: links and special files, a dist-info folder or METADATA of another name or version,
 * a Wheel-Version of another major number, files that would replace the environment's own
 * (pyvenv.cfg, the interpreter), two files for one place.
 *
 * Ownership: the bytes stay the caller's; everything else is in the arena.
 * Errors:    ERR_BAD_ARCHIVE, ERR_TOO_LARGE, ERR_UNSUPPORTED, ERR_FILE_CLASH.
 * Threads:   pure functions.
 * Source:    the binary distribution format of the packaging guide (PEP 427, PEP 491). */
#ifndef STRATA_RESOLVERS_PIP_WHEEL_H
#define STRATA_RESOLVERS_PIP_WHEEL_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"
#include "resolvers/archive/zip.h"
#include "resolvers/pip/entry_points.h"

enum pip_place { PIP_LIBRARY, PIP_SCRIPT, PIP_DATA, PIP_HEADER };

struct pip_wheel_file {
    const struct zip_entry *entry;
    enum pip_place place;
    struct span path; /* below the environment: "lib/python3.11/site-packages/a.py" */
};

struct pip_wheel {
    struct zip zip;
    struct span dist_info;     /* "a-1.0.dist-info" */
    struct span site_packages; /* "lib/python3.11/site-packages" */
    struct span warning;       /* ptr NULL: none */
    struct pip_wheel_file *files;
    size_t file_count;
};

/* What the lock says it is, and the interpreter ("3.11") it is installed for. */
struct pip_wheel_want {
    struct span name, version; /* normalised */
    struct span python;
};

bool pip_wheel_open(struct pip_wheel *w, struct span bytes, const struct pip_wheel_want *want,
                    struct arena *a, struct err *err);

/* A file of the dist-info folder; NULL when it is not there. */
const struct zip_entry *pip_wheel_info(const struct pip_wheel *w, const char *name);

/* A path below the environment as RECORD has it: "../../../bin/x", "a.py". */
struct span pip_record_path(const struct pip_wheel *w, struct span path, struct arena *a);

/* The value of a header ("Wheel-Version") in the head of a METADATA or WHEEL file. */
bool pip_header(struct span text, struct span name, struct span *value);

#endif
