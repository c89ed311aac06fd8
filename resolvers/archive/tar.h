/* SPDX-License-Identifier: Apache-2.0 */
/* tar.h - reads a tar archive that lies in memory, trusting nothing in it.
 *
 * Understands v7, ustar, pax (path, linkpath, size; global records too) and GNU long names
 * and base-256 numbers. Every header's checksum is verified.
 *
 * Paths come out as written, UTF-8 not required; they are relative, without NUL and ".."
 * parts. What they mean below a folder is the caller's (tar_strip).
 *
 * Ownership: spans point into the archive or, for pax and long names, into the arena.
 * Units:     bytes.
 * Errors:    ERR_BAD_ARCHIVE (broken or hostile), ERR_TOO_LARGE (a limit).
 * Threads:   a reader is one thread's.
 * Source:    POSIX.1-2017 pax, "ustar Interchange Format" and "pax Header Block"; GNU tar. */
#ifndef STRATA_RESOLVERS_ARCHIVE_TAR_H
#define STRATA_RESOLVERS_ARCHIVE_TAR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"

#define TAR_MAX_ENTRIES 200000u

enum tar_type { TAR_FILE, TAR_DIR, TAR_SYMLINK, TAR_HARDLINK, TAR_OTHER };

struct tar_entry {
    struct span path; /* trailing '/' removed */
    enum tar_type type;
    uint32_t mode; /* permission bits, setuid and the like included */
    /* What the header says; 0 or empty where it says nothing that can be read. */
    uint64_t uid, gid;
    int64_t mtime; /* seconds */
    struct span uname, gname;
    struct span target;
    struct span data;
};

struct tar {
    struct span bytes;
    size_t at;
    struct arena *arena;
    struct span global_path, global_target; /* of a pax global header; ptr NULL: none */
    uint32_t count;
    uint64_t name_bytes; /* of all paths so far */
};

struct tar tar_of(struct span bytes, struct arena *a);

/* The next entry. False: the end (err->code ERR_NONE), or an error. */
bool tar_next(struct tar *t, struct tar_entry *e, struct err *err);

/* The path without its first `parts` parts, and without empty and "." parts in the rest; empty
 * when nothing is left. */
struct span tar_strip(struct span path, unsigned parts, struct arena *a);

#endif
