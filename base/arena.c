/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdio.h>

#define BLOCK_BYTES (64u * 1024)

struct block {
    struct block *next;
    size_t used, size;
    alignas(max_align_t) char bytes[];
};

struct arena {
    struct block *blocks; /* newest first; the first is the one being filled */
    size_t used_bytes;
};

struct arena *arena_new(void)
{
    return MEM_NEW(struct arena);
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    for (struct block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(a);
}

static struct block *block_new(size_t size)
{
    struct block *b = mem_grow(NULL, 1, sizeof(*b) + size);
    b->next = NULL;
    b->used = 0;
    b->size = size;
    return b;
}

void *arena_alloc(struct arena *a, size_t size_bytes)
{
    size_t align = alignof(max_align_t);
    size_t need = (size_bytes + align - 1) / align * align;
    need = need < size_bytes || need == 0 ? align : need;
    struct block *b = a->blocks;
    if (!b || b->size - b->used < need) {
        b = block_new(need > BLOCK_BYTES / 4 ? need : BLOCK_BYTES);
        if (a->blocks && b->size == need) { /* a big one goes behind the one being filled */
            b->next = a->blocks->next;
            a->blocks->next = b;
        } else {
            b->next = a->blocks;
            a->blocks = b;
        }
    }
    void *p = b->bytes + b->used;
    b->used += need;
    a->used_bytes += need;
    return memset(p, 0, size_bytes);
}

void *arena_array(struct arena *a, size_t count, size_t size_bytes)
{
    size_t total;
    if (__builtin_mul_overflow(count, size_bytes, &total))
        abort();
    return arena_alloc(a, total);
}

size_t arena_used_bytes(const struct arena *a)
{
    return a->used_bytes;
}

struct span arena_span(struct arena *a, struct span s)
{
    char *p = arena_alloc(a, s.len + 1);
    if (s.len)
        memcpy(p, s.ptr, s.len);
    return span_of(p, s.len);
}

char *arena_str(struct arena *a, struct span s)
{
    return (char *)(uintptr_t)arena_span(a, s).ptr;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    size_t size = n < 0 ? 1 : (size_t)n + 1;
    char *p = arena_alloc(a, size);
    vsnprintf(p, size, fmt, again);
    va_end(again);
    return p;
}
