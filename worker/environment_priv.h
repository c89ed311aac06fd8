/* SPDX-License-Identifier: Apache-2.0 */
/* environment_priv.h - what checks the members of an environment, and how it complains.
 *
 * A check names the path of the member in front of its message; environment_parse puts file,
 * line and column before that, which it knows from the path.
 *
 * Threads:   pure. */
#ifndef STRATA_WORKER_ENVIRONMENT_PRIV_H
#define STRATA_WORKER_ENVIRONMENT_PRIV_H

#include "worker/environment.h"

/* The member a check was at when it failed. */
struct complaint {
    char path[160];
    struct err *err;
};

/* "PATH: message"; remembers the path. Always false. */
bool complain(struct complaint *c, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Refuses members that are not in `known` (NULL-terminated), proposing the nearest one. `path`
 * "" is the document itself. */
bool check_members(struct complaint *c, const json_t *object, const char *path,
                   const char *const *known);

const char *json_kind(const json_t *value); /* "a number", for messages */

bool config_check(struct complaint *c, const json_t *config, json_t **out);
/* One spec for its list: true also when it is there already. */
bool config_add_spec(struct complaint *c, json_t *list, const char *manager, const char *path,
                     const json_t *spec);

bool policy_check(struct complaint *c, const json_t *policy, int64_t now_ms, struct environment *e);
bool base_check(struct complaint *c, struct span base);

#endif
