/* SPDX-License-Identifier: Apache-2.0 */
/* arena.h - memory that lives as long as its arena and is freed at once.
 *
 * What lives as long as a build (names, versions, paths) is allocated here.
 *
 * Ownership: arena_free frees all; nothing from an arena is freed singly.
 * Errors:    out of memory ends the process (mem.h).
 * Threads:   one arena, one thread at a time. */
#ifndef STRATA_BASE_ARENA_H
#define STRATA_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/mem.h"
#include "base/span.h"

struct arena;

struct arena *arena_new(void) MEM_NONNULL;
void arena_free(struct arena *a); /* NULL is fine */

void *arena_alloc(struct arena *a,
                  size_t size_bytes) MEM_NONNULL; /* zeroed, aligned for any type */
void *arena_array(struct arena *a, size_t count, size_t size_bytes) MEM_NONNULL;
size_t arena_used_bytes(const struct arena *a);

#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))

char *arena_str(struct arena *a, struct span s) MEM_NONNULL; /* NUL-terminated copy */
struct span arena_span(struct arena *a, struct span s);      /* copy, NUL-terminated too */
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline void arena_free_ptr(struct arena **a)
{
    arena_free(*a);
}
#define AUTO_ARENA __attribute__((cleanup(arena_free_ptr)))

#endif
