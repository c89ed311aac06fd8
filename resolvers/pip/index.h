/* SPDX-License-Identifier: Apache-2.0 */
/* index.h - a project's page in a simple index: its files.
 *
 * Both forms are read: HTML (PEP 503, 592, 629, 658/714) and JSON (PEP 691, 700). An entry
 * that is malformed, or that is none of the project's wheels or sdists, drops itself and
 * nothing else.
 *
 * Ownership: everything points into the body or the arena; the body must live as long.
 * Units:     bytes; ms since the epoch.
 * Errors:    ERR_BAD_ARCHIVE: the page as a whole is broken, or of an unknown version;
 *            ERR_TOO_LARGE.
 * Threads:   pure functions. */
#ifndef STRATA_RESOLVERS_PIP_INDEX_H
#define STRATA_RESOLVERS_PIP_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/span.h"
#include "resolvers/pip/tags.h"
#include "resolvers/pip/version.h"

#define PIP_INDEX_ACCEPT                                                                           \
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, "             \
    "text/html;q=0.1"

#define PIP_UPLOAD_UNKNOWN INT64_MIN

enum pip_metadata_offer {
    PIP_METADATA_NONE,   /* not advertised */
    PIP_METADATA_YES,    /* at url + ".metadata" */
    PIP_METADATA_HASHED, /* and with this digest */
};

struct pip_file {
    struct span filename;
    struct span url; /* absolute or relative, without fragment */
    struct span requires_python;
    struct span yanked_reason;
    bool yanked;
    bool wheel;
    uint8_t source;     /* which index it is from; the reader of several pages sets it */
    struct span sha256; /* 64 hexadecimal digits; empty: none promised */
    enum pip_metadata_offer metadata;
    struct span metadata_sha256;
    int64_t size;            /* -1: not told */
    struct span upload_time; /* as written; see pip_file_upload_ms */
    struct pip_version version;
};

/* A page may list ten thousand files, of which one is chosen: what only that one needs is
 * taken from the text when it is asked for. */
bool pip_file_digest(const struct pip_file *f, struct digest *out);
bool pip_file_metadata_digest(const struct pip_file *f, struct digest *out);
int64_t pip_file_upload_ms(const struct pip_file *f); /* PIP_UPLOAD_UNKNOWN */

struct pip_page {
    VEC(struct pip_file) files;
    size_t dropped;   /* entries that were not understood or of other kinds */
    struct span base; /* HTML's <base href>; empty: the page's own address */
};

/* `project` is the normalised name. content_type NULL: look at the bytes. */
bool pip_page_parse(struct pip_page *page, struct span body, const char *content_type,
                    struct span project, struct arena *a, struct err *err);
void pip_page_release(struct pip_page *page);

/* A file's name taken apart; false: none of the project's wheels and sdists. */
bool pip_file_name(struct pip_file *f, struct span project, struct arena *a);

/* "2023-05-01T12:30:00.123Z" to ms since the epoch. */
bool pip_time_parse(struct span text, int64_t *ms);

#endif
