/* SPDX-License-Identifier: Apache-2.0 */
/* text.h - small texts of the wire: times, cursors, identifiers, lengths in characters.
 *
 * Units:   microseconds since the epoch; ms where the name says so.
 * Threads: pure, any; text_now_us reads the clock. */
#ifndef STRATA_WORKER_RULES_TEXT_H
#define STRATA_WORKER_RULES_TEXT_H

#include "base/buf.h"
#include "base/json.h"
#include "base/span.h"

#define TEXT_TIME_SIZE   40
#define TEXT_CURSOR_SIZE 48

int64_t text_now_us(void);

/* RFC 3339 in UTC with microseconds; returns out. */
const char *text_time(int64_t us, char out[TEXT_TIME_SIZE]);
/* object[key] = the time, or null for 0. */
void text_put_time_us(json_t *object, const char *key, int64_t us);
void text_put_time_ms(json_t *object, const char *key, int64_t ms);

/* A place in a list, opaque to clients. `list` is a letter for each kind of list, so that one
 * list's cursor is refused by another. */
const char *text_cursor(char list, int64_t seq, char out[TEXT_CURSOR_SIZE]);
bool text_cursor_parse(char list, struct span text, int64_t *seq);

/* prefix + 24 base-58 characters? */
bool text_is_id(struct span text, const char *prefix);
/* 1 to 128 of A-Z a-z 0-9 . _ : @ - and not "." or "..": what a session may be called. */
bool text_is_session(struct span text);

/* Decodes %XX, and '+' as a space when it is a query's; appended to out. False: a malformed or
 * NUL escape, no UTF-8, or more than out takes. */
bool text_percent_decode(struct span text, bool query, struct buf *out);

/* The word of a NULL-terminated list that `key` was probably meant to be; NULL: none is near. */
const char *text_nearest(const char *key, const char *const *known);

size_t text_characters(struct span utf8); /* code points of valid UTF-8 */
bool text_has_control(struct span text);  /* C0, DEL */

#endif
