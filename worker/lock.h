/* SPDX-License-Identifier: Apache-2.0 */
/* lock.h - the exact packages that an environment resolved to, whole.
 *
 *   {"lock_version":1, "platform":{...}, "managers":{M:{"requested":[...],"packages":[...]}}}
 *
 * Canonical at rest (json.h), pretty-printed in files. An artifact is a function of the lock
 * without `requested`: who asks for `pytest` and who asks for `pytest==8.3.4` share one artifact
 * when both mean the same packages.
 *
 * Ownership: functions returning json_t give a new reference.
 * Errors:    ERR_LOCK_INVALID naming file and place; ERR_NOT_FOUND: no such file.
 * Threads:   pure, but for the file functions, which block. */
#ifndef STRATA_WORKER_LOCK_H
#define STRATA_WORKER_LOCK_H

#include "base/json.h"
#include "resolvers/platform.h"

#define LOCK_VERSION   1
#define LOCK_MAX_BYTES (64u << 20)

json_t *lock_new(const struct platform *platform);
/* managers[manager] = part (a resolver's result), whose reference is taken. */
void lock_put(json_t *lock, const char *manager, json_t *part);
json_t *lock_part(const json_t *lock, const char *manager); /* borrowed; NULL: not in it */

/* The same without what decides no byte: the specs as requested, sizes, paths below a registry.
 * What an artifact is made from, and what it carries. */
json_t *lock_essence(const json_t *lock);

/* Are there packages that have to be built from source? */
bool lock_has_builds(const json_t *lock);

/* Bounds, types and digests of every field; called on anything read from outside. */
bool lock_check(const json_t *lock, struct err *err);

/* Does it answer exactly these packages ({"pip":["a==1"],...})? */
bool lock_answers(const json_t *lock, const json_t *packages);

bool lock_read_file(const char *path, json_t **out, struct err *err);
bool lock_write_file(const char *path, const json_t *lock, struct err *err);

/* Package entries by manager and name; NULL: none. Borrowed. */
const json_t *lock_find(const json_t *lock, const char *manager, struct span name);

/* What changed from a to b: [{"manager","name","from":version|null,"to":version|null}]. */
json_t *lock_diff(const json_t *a, const json_t *b);

#endif
