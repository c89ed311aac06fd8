/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static void *must(void *p)
{
    if (!p) {
        static const char text[] = "strata: out of memory\n";
        (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
        abort();
    }
    return p;
}

void *mem_alloc(size_t size_bytes)
{
    return must(calloc(1, size_bytes ? size_bytes : 1));
}

void *mem_array(size_t count, size_t size_bytes)
{
    return must(calloc(count ? count : 1, size_bytes ? size_bytes : 1));
}

void *mem_grow(void *ptr, size_t count, size_t size_bytes)
{
    return must(reallocarray(ptr, count ? count : 1, size_bytes));
}

char *mem_dup(struct span s)
{
    char *p = must(malloc(s.len + 1));
    if (s.len)
        memcpy(p, s.ptr, s.len);
    p[s.len] = '\0';
    return p;
}

char *mem_dup_str(const char *s)
{
    return s ? mem_dup(span_str(s)) : NULL;
}

char *mem_printf(const char *fmt, ...)
{
    char *out = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&out, fmt, ap);
    va_end(ap);
    return must(n < 0 ? NULL : out);
}

void mem_close_fd(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

void *vec_room(void *v, size_t n, size_t *cap, size_t size_bytes)
{
    if (n == *cap) {
        *cap = n ? n + n / 2 + 1 : 8;
        v = mem_grow(v, *cap, size_bytes);
    }
    memset((char *)v + n * size_bytes, 0, size_bytes);
    return v;
}
