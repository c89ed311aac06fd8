/* SPDX-License-Identifier: Apache-2.0 */
/* map.h - a hash map from byte strings to pointers, in order of insertion.
 *
 *     struct map m = {0};
 *     map_put(&m, name, pkg);
 *     for (size_t i = 0; i < m.n; i++) use(m.v[i].key, m.v[i].value);
 *
 * Ownership: keys and values stay the caller's and must outlive the map;
 *            map_release frees only the table.
 * Threads:   readers may share it while nobody writes. */
#ifndef STRATA_BASE_MAP_H
#define STRATA_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct map_entry {
    struct span key;
    void *value;
    uint64_t hash;
};

struct map { /* all zero is an empty map */
    struct map_entry *v;
    size_t n, cap;
    uint32_t *slots; /* index + 1 into v, 0 empty */
    size_t slot_count;
};

void *map_get(const struct map *m, struct span key); /* NULL: not there */
bool map_has(const struct map *m, struct span key);

/* Adds, or replaces the value of a key that is there (its place stays). True: new. */
bool map_put(struct map *m, struct span key, void *value);

/* Where the value of key is kept, added as NULL if it was not there. The address is
 * good until the next insertion. */
void **map_at(struct map *m, struct span key);

void map_release(struct map *m);

#define AUTO_MAP __attribute__((cleanup(map_release)))

#endif
