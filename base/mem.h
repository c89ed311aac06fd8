/* SPDX-License-Identifier: Apache-2.0 */
/* mem.h - allocation, and the cleanup attributes.
 *
 * Running out of memory ends the process with a message. Every size that comes
 * from outside is bounded before it gets here, so this only happens when the
 * machine itself has nothing left; and since a crash at any point leaves whole
 * artifacts or none, dying is as safe as an error path nobody has ever run.
 *
 * Ownership: free() what these return.
 * Threads:   any. */
#ifndef STRATA_BASE_MEM_H
#define STRATA_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/span.h"

#define MEM_NONNULL __attribute__((returns_nonnull))

void *mem_alloc(size_t size_bytes) MEM_NONNULL;               /* zeroed */
void *mem_array(size_t count, size_t size_bytes) MEM_NONNULL; /* zeroed, overflow checked */
void *mem_grow(void *ptr, size_t count, size_t size_bytes) MEM_NONNULL;
char *mem_dup(struct span s) MEM_NONNULL; /* NUL-terminated copy */
char *mem_dup_str(const char *s);         /* NULL stays NULL */
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define MEM_NEW(type) ((type *)mem_alloc(sizeof(type)))

/* The value of a pointer variable, leaving NULL in it: hands ownership on. */
#define TAKE(p)                                                                                    \
    __extension__({                                                                                \
        __typeof__(p) take_ = (p);                                                                 \
        (p) = NULL;                                                                                \
        take_;                                                                                     \
    })

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Cleanup at the end of the scope. Initialise where declared; no goto. */
static inline void mem_free_ptr(void *p)
{
    void *v;
    memcpy(&v, p, sizeof(v));
    free(v);
}
#define AUTO_FREE __attribute__((cleanup(mem_free_ptr)))

void mem_close_fd(const int *fd); /* ignores negative values */
#define AUTO_FD __attribute__((cleanup(mem_close_fd)))

/* A growing array: VEC(struct span) names = {0}; *VEC_PUSH(&names) = s; free(names.v). */
#define VEC(type)                                                                                  \
    struct {                                                                                       \
        type *v;                                                                                   \
        size_t n, cap;                                                                             \
    }

void *vec_room(void *v, size_t n, size_t *cap, size_t size_bytes) MEM_NONNULL;

/* Address of a new, zeroed last element. */
#define VEC_PUSH(vec)                                                                              \
    ((vec)->v = vec_room((vec)->v, (vec)->n, &(vec)->cap, sizeof(*(vec)->v)), (vec)->n++,          \
     &(vec)->v[(vec)->n - 1])

#define VEC_FREE(vec) (free((vec)->v), (vec)->v = NULL, (vec)->n = (vec)->cap = 0)

#endif
