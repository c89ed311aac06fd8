/* SPDX-License-Identifier: Apache-2.0 */
/* url.h - http(s) URLs in pieces, relative references, percent coding (RFC 3986).
 *
 * Ownership: pieces point into the URL they were cut from.
 * Units:     a URL is at most URL_MAX_BYTES long.
 * Errors:    false: not an http(s) URL that may be asked for.
 * Threads:   pure functions. */
#ifndef STRATA_BASE_URL_H
#define STRATA_BASE_URL_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/span.h"

#define URL_MAX_BYTES (8u << 10)

/* Parts of an absolute http(s) URL, without percent-decoding; false when it is not one, has
 * control characters, white space or more than 8 KiB. Absent parts are empty. The host is
 * letters, digits, '-', '.', '_', or an IPv6 address in brackets. */
struct url_parts {
    struct span scheme, userinfo, host, port;
    struct span path; /* from '/' (or '?'), with the query, no fragment */
    struct span fragment;
};
bool url_split(struct span url, struct url_parts *out);

/* Resolves a reference against an absolute base (RFC 3986 section 5), dropping any fragment
 * unless keep_fragment. False: the result is not http(s); out is as before. A base's userinfo
 * stays with references that name no host of their own. */
bool url_join(struct span base, struct span reference, bool keep_fragment, struct buf *out);

/* Scheme, host and port agree, default ports understood. */
bool url_same_origin(struct span a, struct span b);

/* Appends "host:port/path" without userinfo, query or fragment: for messages. */
void url_show(struct span url, struct buf *out);

void url_percent_decode(struct span text, struct buf *out); /* a stray '%' stays */
/* The same as a span: the text itself when nothing is coded, else the arena's. */
struct span url_percent_decoded(struct span text, struct arena *a);
/* All but letters, digits, "-._~" and what is in also_safe becomes %XX. */
void url_percent_encode(struct span text, const char *also_safe, struct buf *out);

#endif
