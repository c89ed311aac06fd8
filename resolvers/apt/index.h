/* SPDX-License-Identifier: Apache-2.0 */
/* index.h - finds stanzas by name in a Packages or status file without parsing the rest.
 *
 * Debian main has 60,000 stanzas in 47 MB of text, of which a request looks at some hundreds. The
 * index is a sorted table of where each package's stanza lies and a second one of what is
 * provided by whom; it is built once per file, kept as a blob, and mapped.
 *
 * Ownership: the text and the bytes stay the caller's and must outlive the index.
 * Errors:    ERR_BAD_ARCHIVE: no such file; ERR_TOO_LARGE: over 4 GiB or 10 million stanzas.
 *            Bytes that are not an index of that text give ERR_CORRUPT.
 * Threads:   constant once opened. */
#ifndef STRATA_RESOLVERS_APT_INDEX_H
#define STRATA_RESOLVERS_APT_INDEX_H

#include "base/buf.h"
#include "base/err.h"

struct apt_index {
    struct span text;
    const struct apt_index_row *names, *provides; /* sorted by name, then by place */
    size_t name_count, provide_count;
};

/* Where a name stands, and the stanza it belongs to; 32-bit offsets into the text. */
struct apt_index_row {
    uint32_t name_at, name_len;
    uint32_t stanza_at, stanza_len;
};

bool apt_index_build(struct span text, struct buf *out, struct err *err);
bool apt_index_open(struct span text, struct span bytes, struct apt_index *out, struct err *err);

/* The rows of a name: [*first, *first + returned). */
size_t apt_index_find(const struct apt_index *x, struct span name,
                      const struct apt_index_row **first);
/* The rows of stanzas whose Provides lists the name. */
size_t apt_index_providers(const struct apt_index *x, struct span name,
                           const struct apt_index_row **first);
struct span apt_index_stanza(const struct apt_index *x, const struct apt_index_row *row);

#endif
