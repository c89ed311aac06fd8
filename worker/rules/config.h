/* SPDX-License-Identifier: Apache-2.0 */
/* config.h - an environment's body: its config, name, description and metadata, checked.
 *
 * A config is kept whole and normal: {"type":"cloud","networking":{...},"packages":{six
 * lists}}. Creating is an update of the default one.
 *
 * Ownership: results are new references.
 * Errors:    a problem naming the field's path and what is allowed.
 * Threads:   pure, any. */
#ifndef STRATA_WORKER_RULES_CONFIG_H
#define STRATA_WORKER_RULES_CONFIG_H

#include "worker/rules/problem.h"

#define CONFIG_MAX_SPECS      512
#define CONFIG_MAX_SPEC_BYTES 256
#define CONFIG_MAX_HOSTS      512

/* Checks one spec by its manager's grammar; err says what is wrong and what is allowed. */
typedef bool spec_check(const char *manager, struct span spec, struct err *err);

extern const char *const config_managers[6]; /* by name */

json_t *config_default(void);

/* `input`: the member of the body; NULL when it is not there, JSON null resets. `creating`
 * decides how another type is refused. */
bool config_merge(const json_t *current, const json_t *input, bool creating, spec_check *check,
                  json_t **out, struct problem *p);

/* Checks one spec and puts it into its manager's list, once. */
bool config_spec(const char *manager, const char *path, const json_t *spec, spec_check *check,
                 json_t *list, struct problem *p);

/* What a build is made from; borrowed. */
const json_t *config_packages(const json_t *config);
bool config_has_packages(const json_t *config);
/* Do its networking rules keep package registries out? */
bool config_forbids_registries(const json_t *config);

bool config_name(const json_t *input, struct problem *p);
bool config_description(const json_t *input, struct problem *p);
bool config_scope(const json_t *input, struct problem *p);
/* current NULL: creating, where null is refused and "" kept; else both delete the key. */
bool config_metadata(const json_t *current, const json_t *input, json_t **out, struct problem *p);

/* Refuses members of `object` that are not in the NULL-terminated list. `path`: "" for the
 * body itself. */
bool config_only(const json_t *object, const char *path, const char *const *allowed,
                 struct problem *p);
const char *config_type_name(const json_t *value); /* "a string", "null", ... */

#endif
