/* SPDX-License-Identifier: Apache-2.0 */
/* unframe.h - compressed layers and segments read back, front to back.
 *
 * Any sequence of zstd frames (RFC 8878) or gzip members (RFC 1952), also what others made.
 *
 * Ownership: the bytes are the caller's and outlive the reader.
 * Errors:    ERR_CORRUPT: damaged, or cut short.
 * Threads:   no shared state. */
#ifndef STRATA_CACHE_UNFRAME_H
#define STRATA_CACHE_UNFRAME_H

#include "cache/segment.h"

struct unframe;
struct unframe *unframe_new(enum compression c);
void unframe_free(struct unframe *u); /* NULL is fine */

/* The bytes that follow; call it when unframe_read wants more, or at the beginning. */
void unframe_feed(struct unframe *u, struct span packed);
/* Up to `room` bytes. *n 0: all that was fed is used up. */
bool unframe_read(struct unframe *u, void *out, size_t room, size_t *n, struct err *err);
/* Nothing more comes: ERR_CORRUPT when a frame was left unfinished. */
bool unframe_end(const struct unframe *u, struct err *err);

#endif
