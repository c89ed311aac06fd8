/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include <sys/random.h>

#include "base/mem.h"

/* FNV-1a with a seed drawn once per process, finished with a strong mix: keys come from
 * registries, and nobody there must be able to aim for one slot. */
static uint64_t hash_of(struct span s)
{
    static uint64_t seed;
    uint64_t seen = __atomic_load_n(&seed, __ATOMIC_RELAXED);
    if (seen == 0) {
        uint64_t fresh = 0;
        if (getrandom(&fresh, sizeof(fresh), 0) != sizeof(fresh) || fresh == 0)
            fresh = 0x9e3779b97f4a7c15u;
        if (!__atomic_compare_exchange_n(&seed, &seen, fresh, false, __ATOMIC_RELAXED,
                                         __ATOMIC_RELAXED))
            fresh = seen;
        seen = fresh;
    }
    uint64_t h = 0xcbf29ce484222325u ^ seen;
    for (size_t i = 0; i < s.len; i++) {
        h = (h ^ (unsigned char)s.ptr[i]) * 0x100000001b3u;
        h ^= h >> 29;
    }
    h = (h ^ (h >> 32)) * 0xd6e8feb86659fd93u;
    return h ^ (h >> 32);
}

static size_t find_slot(const struct map *m, struct span key, uint64_t hash)
{
    size_t mask = m->slot_count - 1, at = (size_t)hash & mask;
    while (m->slots[at]) {
        const struct map_entry *e = &m->v[m->slots[at] - 1];
        if (e->hash == hash && span_eq(e->key, key))
            break;
        at = (at + 1) & mask;
    }
    return at;
}

static void widen(struct map *m)
{
    size_t count = m->slot_count ? m->slot_count * 2 : 16;
    free(m->slots);
    m->slots = mem_array(count, sizeof(*m->slots));
    m->slot_count = count;
    for (size_t i = 0; i < m->n; i++)
        m->slots[find_slot(m, m->v[i].key, m->v[i].hash)] = (uint32_t)i + 1;
}

bool map_has(const struct map *m, struct span key)
{
    return m->n && m->slots[find_slot(m, key, hash_of(key))];
}

void *map_get(const struct map *m, struct span key)
{
    if (!m->n)
        return NULL;
    uint32_t slot = m->slots[find_slot(m, key, hash_of(key))];
    return slot ? m->v[slot - 1].value : NULL;
}

void **map_at(struct map *m, struct span key)
{
    if (m->n * 2 >= m->slot_count)
        widen(m);
    uint64_t hash = hash_of(key);
    size_t at = find_slot(m, key, hash);
    if (!m->slots[at]) {
        m->v = vec_room(m->v, m->n, &m->cap, sizeof(*m->v));
        m->v[m->n] = (struct map_entry){key, NULL, hash};
        m->slots[at] = (uint32_t)++m->n;
    }
    return &m->v[m->slots[at] - 1].value;
}

bool map_put(struct map *m, struct span key, void *value)
{
    size_t before = m->n;
    *map_at(m, key) = value;
    return m->n > before;
}

void map_release(struct map *m)
{
    free(m->v);
    free(m->slots);
    *m = (struct map){0};
}
