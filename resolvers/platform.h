/* SPDX-License-Identifier: Apache-2.0 */
/* platform.h - the machine that an environment is resolved and packed for.
 *
 * Found by probing a base's interpreters (platform_probe) or declared in the environment file
 * (`platform: {python: "3.11", node: "20"}`), so that a machine without them can resolve too.
 * It is part of the artifact's key: equal platforms, equal bytes.
 *
 * Ownership: platform_free; strings belong to the platform. Empty strings mean "not there".
 * Threads:   constant once made. */
#ifndef STRATA_RESOLVERS_PLATFORM_H
#define STRATA_RESOLVERS_PLATFORM_H

#include <stdbool.h>

#include "base/err.h"
#include "base/json.h"

struct platform {
    const char *os;           /* "linux" */
    const char *arch;         /* as uname -m: "x86_64", "aarch64" */
    const char *libc;         /* "glibc" or "musl" */
    const char *libc_version; /* "2.36" */

    const char *python;         /* "3.11" */
    const char *python_full;    /* "3.11.2" */
    const char *python_program; /* "/usr/bin/python3.11": in the base, never in a masked home */
    const char *python_impl;    /* "cpython" */
    /* The eleven marker variables of PEP 508, name to value, as the interpreter says. */
    const json_t *markers;

    const char *node;         /* "20.20.2" */
    const char *node_program; /* "/usr/bin/node" */
    const char *npm;          /* "11.19.1" */
};

/* The canonical form that is hashed into keys and stands in locks. New reference. */
json_t *platform_json(const struct platform *p);
bool platform_from_json(const json_t *json, struct platform **out, struct err *err);
void platform_free(struct platform *p); /* NULL is fine */

#endif
