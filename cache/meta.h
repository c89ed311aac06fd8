/* SPDX-License-Identifier: Apache-2.0 */
/* meta.h - registry metadata kept with its validators and age.
 *
 * One file a document: a line of JSON (URL, status, validators, content type, when it was
 * fetched and checked, the body's length and SHA-256), then the body. Replaced whole; a file
 * that is damaged counts as missing.
 *
 * Ownership: meta_release unmaps.
 * Units:     bytes; times in ms since the epoch.
 * Threads:   any; calls block. */
#ifndef STRATA_CACHE_META_H
#define STRATA_CACHE_META_H

#include "cache/store.h"

struct meta {
    struct span body;
    int status;                                                            /* 200, 206 or 404 */
    const char *url, *content_type, *etag, *last_modified, *content_range; /* NULL: none */
    int64_t checked_ms; /* last fetched or confirmed by the server */
    int64_t max_age_ms; /* as the server said; -1: it did not */
    struct io_map map;  /* behind body */
    json_t *head;       /* behind the strings */
};

/* `key` names the document: URL, Accept and range. False: not there. */
bool meta_get(struct store *s, struct span key, struct meta *out);
/* map and head of `m` are ignored. Not fsynced: it can be fetched again. */
bool meta_put(struct store *s, struct span key, const struct meta *m, struct err *err);
/* The server confirmed it: only checked_ms and max_age_ms change. */
bool meta_touch(struct store *s, struct span key, int64_t checked_ms, int64_t max_age_ms,
                struct err *err);
void meta_release(struct meta *m);

#endif
