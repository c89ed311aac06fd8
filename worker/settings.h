/* SPDX-License-Identifier: Apache-2.0 */
/* settings.h - the configuration in force, and where each value came from.
 *
 * Read from strata.yaml in /etc/strata, then the user's configuration folder, then --config; an
 * environment variable STRATA_KEY (dots become underscores) wins over files, a flag over all.
 * docs/configuration.md lists the keys.
 *
 * Ownership: settings_free; strings belong to the settings.
 * Errors:    ERR_INVALID naming file, line, key and what is allowed.
 * Threads:   constant once loaded and overridden. */
#ifndef STRATA_WORKER_SETTINGS_H
#define STRATA_WORKER_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

struct settings;

/* config_file NULL: only the usual places (missing files are fine there). */
bool settings_load(struct settings **out, const char *config_file, struct err *err);
void settings_free(struct settings *s);

/* From the command line: `from` is for people ("--home"). The key "registries.MANAGER" takes
 * addresses separated by white space; go's is a GOPROXY list, apt's are lines. */
bool settings_override(struct settings *s, const char *key, const char *value, const char *from,
                       struct err *err);

/* NULL, the key's default, or false when it is not set. An unknown key asserts. */
const char *settings_str(const struct settings *s, const char *key);
int64_t settings_int(const struct settings *s, const char *key);
bool settings_bool(const struct settings *s, const char *key);
/* Where its value stands: "strata.yaml:3", "the variable STRATA_SERVER", "the default". */
const char *settings_from(const struct settings *s, const char *key);
const json_t *settings_registries(const struct settings *s); /* NULL: none configured */
/* Manager to the place its registries are configured at ("strata.yaml:3"). */
const json_t *settings_registries_from(const struct settings *s);

/* {"key":{"value":…,"from":"…"}} of all keys, without secrets. New reference. */
json_t *settings_json(const struct settings *s);

#endif
