/* SPDX-License-Identifier: Apache-2.0 */
/* remote_zip.h - METADATA out of a wheel of which only pieces are fetched.
 *
 *     pip_remote_init(&z, size, filename);
 *     do fetch pip_remote_range(&z, a); pip_remote_add(&z, reply);
 *     while (pip_remote_step(&z, a, &text, err) == PIP_REMOTE_MORE);
 *
 * The end of the file holds the directory's place and mostly the directory; the entry may be
 * anywhere. One to three requests are enough; a server that answers with the whole file ends
 * it at once.
 *
 * Ownership: pieces are copied into the arena, the text points there.
 * Errors:    ERR_BAD_ARCHIVE, ERR_TOO_LARGE.
 * Threads:   pure but for the struct.
 * Source:    PKWARE APPNOTE 6.3.10 (ZIP64 included), PEP 427, RFC 9110 section 14. */
#ifndef STRATA_RESOLVERS_PIP_REMOTE_ZIP_H
#define STRATA_RESOLVERS_PIP_REMOTE_ZIP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"

#define PIP_REMOTE_PIECES 8

struct pip_piece {
    uint64_t from;
    struct span bytes;
};

struct pip_remote {
    struct span filename;
    int64_t told_size; /* by the index; -1: not */
    uint64_t total;    /* by the server; 0: not yet */
    struct pip_piece pieces[PIP_REMOTE_PIECES];
    size_t piece_count;
    uint64_t want_from, want_len; /* of the next request, once total is known */
    unsigned tail_bytes;          /* of the first request */
    unsigned needed_tail;         /* how much of the end would have been enough; 0: not known */
};

enum pip_remote_answer { PIP_REMOTE_DONE, PIP_REMOTE_MORE, PIP_REMOTE_BAD };

/* `tail_hint`: needed_tail of another release of the project; 0: none. */
void pip_remote_init(struct pip_remote *z, int64_t size, struct span filename, unsigned tail_hint);
const char *pip_remote_range(const struct pip_remote *z, struct arena *a);
bool pip_remote_add(struct pip_remote *z, int status, const char *content_range, struct span body,
                    struct arena *a, struct err *err);
enum pip_remote_answer pip_remote_step(struct pip_remote *z, struct arena *a, struct span *text,
                                       struct err *err);

#endif
