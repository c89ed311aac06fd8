/* SPDX-License-Identifier: Apache-2.0 */
/* platform.h - the machine that an environment is resolved and packed for.
 *
 * Found by probing a base's interpreters (platform_probe) or declared in the environment file
 * (`platform: {python: "3.11", node: "20"}`), so that a machine without them can resolve too.
 * It is part of the artifact's key: equal platforms, equal bytes.
 *
 * Ownership: platform_free; strings belong to the platform. Empty strings mean "not there".
 * Threads:   constant once made. Probing blocks.
 * Source:    PEP 508 (markers). */
#ifndef STRATA_RESOLVERS_PLATFORM_H
#define STRATA_RESOLVERS_PLATFORM_H

#include <stdbool.h>

#include "base/err.h"
#include "base/json.h"

struct store;

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

/* The canonical form that is hashed into keys and stands in locks. New reference. The two
 * marker variables that tell the running kernel's build are left out: else every kernel
 * update would make another platform. platform_from_json gives them as empty strings. */
json_t *platform_json(const struct platform *p);
bool platform_from_json(const json_t *json, struct platform **out, struct err *err);
void platform_free(struct platform *p); /* NULL is fine */

/* How to look at a machine. All zero: this one. */
struct platform_options {
    struct store *store; /* remembers what interpreters said; NULL: ask them each time */
    /* Folders where programs are looked for, in order, NULL-terminated. NULL: /usr/bin,
     * /usr/local/bin, /bin, then PATH. */
    const char *const *bin_dirs;
    /* Folders that a session does not see; a program whose real path lies in one is passed
     * over. NULL-terminated. NULL: the home directories. */
    const char *const *masked_dirs;
};

/* This machine as the base `host` shows it. A missing interpreter is no error: its fields are
 * empty. Costs two look-ups in the store when the interpreters are known, else one run of
 * python and, where node's headers do not tell its version, one of node. `notes` (may be NULL)
 * gets an array of strings: programs that were passed over, and why. */
void platform_probe(const struct platform_options *options, struct platform **out, json_t **notes);

/* The platform that an environment file declares: an object with any of python, node, libc,
 * arch, os. What it leaves out is taken from `host` (may be NULL: a glibc 2.36 machine of our
 * architecture). A version without its last parts means their lowest: "3.11" is 3.11.0. Errors
 * name the member: "platform.python: ...". */
bool platform_declare(const json_t *declared, const struct platform *host, struct platform **out,
                      struct err *err);
/* Checks the object alone. */
bool platform_check_declared(const json_t *declared, struct err *err);

#endif
