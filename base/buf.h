/* SPDX-License-Identifier: Apache-2.0 */
/* buf.h - growing bytes with a ceiling.
 *
 * The ceiling is given at birth. Appending past it sets `overflow` and drops the
 * bytes, so a writer appends freely and checks once at the end.
 *
 *     AUTO_BUF struct buf b = BUF(64 << 10);
 *     buf_printf(&b, "%s/%s", dir, name);
 *     if (b.overflow) ...
 *
 * Ownership: the caller's; buf_release frees, buf_take hands the bytes on.
 * Units:     bytes. The bytes are always followed by a NUL that len excludes.
 * Errors:    only `overflow`; out of memory ends the process (mem.h).
 * Threads:   no shared state. */
#ifndef STRATA_BASE_BUF_H
#define STRATA_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"
#include "base/span.h"

struct buf {
    char *ptr; /* NULL while empty */
    size_t len, cap, max;
    bool overflow;
};

#define BUF(max_bytes) ((struct buf){.max = (max_bytes)})

void buf_release(struct buf *b);
void buf_reset(struct buf *b); /* empties, keeps the memory and the ceiling */

bool buf_append(struct buf *b, struct span s); /* false: overflow */
bool buf_str(struct buf *b, const char *s);
bool buf_char(struct buf *b, char c);
bool buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Room for n more bytes at the end; write there, then add to len. NULL: overflow. */
char *buf_room(struct buf *b, size_t n);

/* The bytes, which the caller frees; the buffer is empty then. Never NULL. */
char *buf_take(struct buf *b);

static inline struct span buf_span(const struct buf *b)
{
    return span_of(b->ptr ? b->ptr : "", b->len);
}

static inline const char *buf_cstr(const struct buf *b)
{
    return b->ptr ? b->ptr : "";
}

#define AUTO_BUF __attribute__((cleanup(buf_release)))

#endif
