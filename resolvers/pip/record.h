/* SPDX-License-Identifier: Apache-2.0 */
/* record.h - RECORD, the list of an installed project's files.
 *
 * CSV, one row a file: path relative to site-packages with '/', "sha256=<URL-safe base64>",
 * size; hash and size may be empty. Rows are written sorted by path, each ended by "\n", with
 * quotes only where a field needs them.
 *
 * Ownership: spans point into the text or, for quoted fields, into the arena.
 * Errors:    ERR_BAD_ARCHIVE with the line; ERR_TOO_LARGE.
 * Threads:   pure functions.
 * Source:    recording installed projects (PEP 376, PEP 627); RFC 4180 as Python's csv reads it. */
#ifndef STRATA_RESOLVERS_PIP_RECORD_H
#define STRATA_RESOLVERS_PIP_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/span.h"

#define PIP_RECORD_MAX_ROWS 500000u

struct pip_record_row {
    struct span path, hash, size; /* hash and size as written, empty when not told */
};

struct pip_record { /* all zero is an empty one */
    VEC(struct pip_record_row) rows;
};

bool pip_record_parse(struct span text, struct arena *a, struct pip_record *out, struct err *err);
void pip_record_release(struct pip_record *r);

/* Adds a row with the SHA-256 of `content`. */
void pip_record_add(struct pip_record *r, struct span path, struct span content, struct arena *a);

/* Sorts the rows by path and prints them; a span in the arena. */
struct span pip_record_print(struct pip_record *r, struct arena *a);

/* Does the row tell a well-formed hash of a strong algorithm, and that size? */
bool pip_record_row_tells(const struct pip_record_row *row, uint64_t size_bytes);

#endif
