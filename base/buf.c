/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

void buf_release(struct buf *b)
{
    free(b->ptr);
    b->ptr = NULL;
    b->len = b->cap = 0;
    b->overflow = false;
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->overflow = false;
    if (b->ptr)
        b->ptr[0] = '\0';
}

char *buf_room(struct buf *b, size_t n)
{
    if (b->overflow || n > b->max - b->len || b->len > b->max) {
        b->overflow = true;
        return NULL;
    }
    if (b->cap < b->len + n + 1) {
        size_t cap = b->cap ? b->cap * 2 : 64;
        cap = cap > b->max + 1 ? b->max + 1 : cap;
        cap = cap < b->len + n + 1 ? b->len + n + 1 : cap;
        b->ptr = mem_grow(b->ptr, cap, 1);
        b->cap = cap;
    }
    b->ptr[b->len + n] = '\0';
    return b->ptr + b->len;
}

bool buf_append(struct buf *b, struct span s)
{
    char *to = buf_room(b, s.len);
    if (!to)
        return false;
    if (s.len)
        memcpy(to, s.ptr, s.len);
    b->len += s.len;
    return true;
}

bool buf_str(struct buf *b, const char *s)
{
    return buf_append(b, span_str(s));
}

bool buf_char(struct buf *b, char c)
{
    return buf_append(b, span_of(&c, 1));
}

bool buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *to = n < 0 ? NULL : buf_room(b, (size_t)n);
    if (to) {
        vsnprintf(to, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return to != NULL;
}

char *buf_take(struct buf *b)
{
    if (!b->ptr)
        b->ptr = mem_dup(SPAN(""));
    char *p = TAKE(b->ptr);
    b->len = b->cap = 0;
    b->overflow = false;
    return p;
}
