/* SPDX-License-Identifier: Apache-2.0 */
/* http_header.h - values of the few HTTP headers that are acted on (RFC 9110, 9111).
 *
 * Units:     milliseconds; the clock is passed in.
 * Errors:    -1 or false: the value is absent or makes no sense; it is ignored then.
 * Threads:   pure functions. */
#ifndef STRATA_BASE_HTTP_HEADER_H
#define STRATA_BASE_HTTP_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

#define HTTP_MAX_AGE_MS ((int64_t)366 * 24 * 3600 * 1000) /* what is longer is cut to this */

/* "name: value\r\n" into trimmed pieces. */
bool http_header_split(struct span line, struct span *name, struct span *value);

/* Seconds or a date: how long to wait from now, 0 for a time gone by; -1: not understood. */
int64_t http_retry_after_ms(struct span value, int64_t now_ms);

/* "Sun, 06 Nov 1994 08:49:37 GMT" and the two older forms, ms since the epoch; -1: none. */
int64_t http_date_ms(struct span value);

/* How long an answer stays fresh: max-age (a private cache's, so not s-maxage); 0 for
 * no-store, no-cache and must-revalidate without an age; -1: it does not say. */
int64_t http_max_age_ms(struct span cache_control);

/* "bytes FIRST-LAST/TOTAL"; TOTAL may be '*' (total_bytes is UINT64_MAX then). */
bool http_content_range(struct span value, uint64_t *first, uint64_t *last, uint64_t *total_bytes);

/* "0-99", "100-" or "-65536", nothing else. */
bool http_range_valid(struct span range);

/* An ETag that may be used with If-Range: quoted, not weak. */
bool http_etag_strong(struct span etag);

#endif
