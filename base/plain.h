/* SPDX-License-Identifier: Apache-2.0 */
/* plain.h - text of others' making, harmless for a terminal.
 *
 * A registry chooses names, ranges and reasons that end up in messages. What would move a
 * cursor, colour, retitle or reorder a terminal's line (control characters of both ranges, the
 * marks that switch the direction of writing) becomes "?", as does what is no UTF-8; a
 * character cut off at the end goes. Errors and log lines pass here when they are made, so
 * that whoever prints or sends them need not.
 *
 * Ownership: changes the caller's text in place; it never grows.
 * Threads:   pure functions, any thread. */
#ifndef STRATA_BASE_PLAIN_H
#define STRATA_BASE_PLAIN_H

#include <stdbool.h>
#include <stddef.h>

enum plain_lines {
    PLAIN_ONE_LINE, /* line ends become spaces */
    PLAIN_LINES,    /* "\n" stays */
};

/* The new length; no terminator is written. */
size_t plain_text(char *text, size_t len, enum plain_lines lines);

/* The same for a terminated text, which stays terminated. */
void plain_str(char *text, enum plain_lines lines);

#endif
