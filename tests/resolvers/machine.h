/* SPDX-License-Identifier: Apache-2.0 */
/* machine.h - a small machine below the test's folder, for discovery to look at.
 *
 * Files and an environment that points to them; no client of the real machine is seen.
 *
 * Ownership: machine_free. */
#ifndef STRATA_TESTS_RESOLVERS_MACHINE_H
#define STRATA_TESTS_RESOLVERS_MACHINE_H

#include "base/arena.h"
#include "resolvers/discover.h"
#include "tests/test_main.h"

struct machine {
    char *root;
    VEC(const char *) env;
    struct discovery_options options;
    struct discovery *d;
    struct arena *arena;
};

struct machine machine_new(void);
void machine_free(struct machine *m);

void machine_file(struct machine *m, const char *path, const char *text);
void machine_program(struct machine *m, const char *path, const char *text);
void machine_variable(struct machine *m, const char *variable);

/* Its discovery; nothing may be added after that. */
struct discovery *machine_start(struct machine *m);

void expect_url(struct discovery *d, const char *manager, const char *url);

#endif
