/* SPDX-License-Identifier: Apache-2.0 */
/* zip.h - reads a zip archive that lies in memory, trusting nothing in it.
 *
 * zip_open checks the whole structure before it hands out an entry: the central directory, the
 * local header of every entry against it, and that headers and data tile the archive from its
 * first byte to the directory without gap or overlap, so that no byte means two things and
 * readers of other kinds see the same entries. Entries are handed out as they lie there, raw
 * deflate streams included; zip_read inflates one.
 *
 * Names are relative UTF-8 paths without empty, "." or ".." parts, NUL or backslash, unique;
 * letter case is kept. (Without the UTF-8 flag a name is code page 437, as the format has it.)
 *
 * Ownership: the archive's bytes stay the caller's and must outlive the zip and its entries;
 *            everything else is in the arena given.
 * Units:     bytes.
 * Errors:    ERR_BAD_ARCHIVE (broken or hostile), ERR_TOO_LARGE (a limit), ERR_UNSUPPORTED
 *            (encrypted, split, or a compression method other than stored and deflate).
 * Threads:   an open zip is constant; zip_read from any thread, each with its own arena.
 * Source:    PKWARE APPNOTE 6.3.10, ZIP64 included. */
#ifndef STRATA_RESOLVERS_ARCHIVE_ZIP_H
#define STRATA_RESOLVERS_ARCHIVE_ZIP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/map.h"
#include "base/span.h"

struct zip_limits {
    uint32_t max_entries;
    uint64_t max_entry_bytes; /* of one file, uncompressed */
    uint64_t max_total_bytes; /* of all files, uncompressed */
    uint32_t max_ratio;       /* total uncompressed to archive size, once above 64 MiB */
};

extern const struct zip_limits zip_default_limits;

struct zip_entry {
    struct span name; /* a folder's without its '/' */
    bool dir;
    bool deflated; /* data is a raw deflate stream, else the content itself */
    uint32_t mode; /* Unix st_mode; 0 when the archive does not tell */
    uint32_t crc32;
    uint64_t size; /* uncompressed */
    struct span data;
};

struct zip {
    struct span bytes;
    struct zip_entry *entries; /* in the order of the central directory */
    size_t count;
};

bool zip_open(struct zip *z, struct span bytes, const struct zip_limits *limits, struct arena *a,
              struct err *err);

/* The file of that name; NULL when there is none. Linear; for many look-ups make a map. */
const struct zip_entry *zip_find(const struct zip *z, struct span name);

/* The whole content, its size and CRC-32 checked. Stored content is not copied. */
bool zip_read(const struct zip_entry *e, struct arena *a, struct span *out, struct err *err);

/* Its first bytes, at most `max`, without inflating the rest; the CRC-32 is not checked. */
bool zip_peek(const struct zip_entry *e, size_t max, struct arena *a, struct span *out,
              struct err *err);

#endif
