/* SPDX-License-Identifier: Apache-2.0 */
/* meta.h - registry metadata kept with its validators and age.
 *
 * One file a document, meta/ab/<64 hex> named by its key's SHA-256:
 *
 *     {"v":1,"key":...,"url":...,"status":200,"etag":...,"length":N,"crc32":C,...}\n
 *     body, N bytes
 *
 * Replaced whole, not fsynced: it can be fetched again. The file's mtime is when the server last
 * confirmed it. A file that is damaged, or another key's, counts as missing.
 *
 * Ownership: meta_release unmaps.
 * Units:     bytes; times in ms since the epoch.
 * Threads:   any; calls block. */
#ifndef STRATA_CACHE_META_H
#define STRATA_CACHE_META_H

#include "cache/store.h"

struct meta {
    struct span body;
    int status;        /* 200, 206, 404, 410 or 451 */
    const char *url;   /* after redirects */
    const char *asked; /* the URL that was asked for: the validators are its server's */
    const char *content_type, *etag, *last_modified, *content_range; /* NULL: none */
    int64_t checked_ms; /* last fetched or confirmed by the server; 0 when that lies ahead */
    int64_t max_age_ms; /* as the server said; -1: it did not */
    struct io_map map;  /* behind body */
    json_t *head;       /* behind the strings */
};

/* `key` names the document: URL, Accept and range. False: not there. */
bool meta_get(struct store *s, struct span key, struct meta *out);
/* map and head of `m` are ignored. */
bool meta_put(struct store *s, struct span key, const struct meta *m, struct err *err);
/* The server confirmed what meta_get gave: only checked_ms and max_age_ms change. */
bool meta_touch(struct store *s, struct span key, int64_t checked_ms, int64_t max_age_ms,
                struct err *err);
void meta_release(struct meta *m); /* all zero is fine */

/* Cuts a file's bytes into head and body, as meta_get does after reading it; `out` borrows both
 * the bytes and, until meta_release, a head of its own. */
bool meta_parse(struct span file, struct span key, struct meta *out);
/* What meta_put writes. False: something is not UTF-8. */
bool meta_print(struct span key, const struct meta *m, struct buf *head);

#endif
