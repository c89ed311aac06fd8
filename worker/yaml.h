/* SPDX-License-Identifier: Apache-2.0 */
/* yaml.h - a YAML document as a JSON value, with the place of each value.
 *
 * The part of YAML that people write by hand: mappings with string keys, sequences, plain,
 * quoted and block scalars. Aliases, anchors, explicit tags, a second document and a key given
 * twice are refused: none of them is needed, and each has been used to make small files huge or
 * to hide what they say. Plain scalars are resolved by YAML 1.2's core schema: null, true and
 * false, numbers; all else, "yes" and dates among it, is a string.
 *
 * Ownership: yaml_release frees the document.
 * Errors:    ERR_INVALID with "FILE:LINE:COLUMN: "; ERR_TOO_LARGE for depth and counts.
 * Threads:   pure.
 * Source:    YAML 1.2.2, section 10.3. */
#ifndef STRATA_WORKER_YAML_H
#define STRATA_WORKER_YAML_H

#include "base/arena.h"
#include "base/json.h"

#define YAML_MAX_DEPTH  32
#define YAML_MAX_VALUES 100000

struct yaml_place {
    struct span path; /* "config.packages.pip[2]"; empty: the document */
    size_t line, column;
};

struct yaml {
    json_t *value;
    const char *file;
    struct arena *arena;
    struct yaml_place *places; /* in the document's order */
    size_t place_count, place_cap;
};

/* An empty document is null. `file` must outlive it. */
bool yaml_parse(struct span text, const char *file, struct yaml *out, struct err *err);
void yaml_release(struct yaml *y); /* all zero is fine */

/* Where the value of a path stands; that of the nearest one above when it has none of its own
 * (a missing member). NULL only without any. */
const struct yaml_place *yaml_place_of(const struct yaml *y, struct span path);

#define AUTO_YAML __attribute__((cleanup(yaml_release)))

#endif
