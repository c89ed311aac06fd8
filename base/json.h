/* SPDX-License-Identifier: Apache-2.0 */
/* json.h - JSON values (jansson) with bounds, canonical output and short getters.
 *
 * Canonical (what locks, keys and manifests hash): object keys sorted by bytes, no
 * insignificant space, UTF-8 unescaped, integers only (no reals: json_canonical fails).
 * For big registry documents of which little is needed, see jscan.h.
 *
 * Ownership: json_t is reference counted; AUTO_JSON drops one reference. Getters borrow.
 * Errors:    ERR_INVALID with line and column; ERR_TOO_LARGE.
 * Threads:   reading one value from several threads is fine while nobody changes it. */
#ifndef STRATA_BASE_JSON_H
#define STRATA_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/span.h"

/* Refuses duplicate keys, trailing bytes, NUL in strings, depth over 64. */
json_t *json_parse(struct span text, struct err *err);

bool json_canonical(const json_t *value, struct buf *out, struct err *err);
bool json_canonical_digest(const json_t *value, struct digest *out, struct err *err);
bool json_pretty(const json_t *value, struct buf *out); /* sorted, two spaces, final newline */

/* Members of an object; the fallback when missing or of another type. */
struct span json_get_span(const json_t *object, const char *key); /* ptr NULL: missing */
const char *json_get_str(const json_t *object, const char *key);  /* NULL: missing */
int64_t json_get_int(const json_t *object, const char *key, int64_t fallback);
bool json_get_bool(const json_t *object, const char *key, bool fallback);

json_t *json_span(struct span s); /* a string value; NULL when not UTF-8 */
/* object[key] = the string; does nothing when s is NULL. */
void json_put_str(json_t *object, const char *key, const char *s);
void json_put_span(json_t *object, const char *key, struct span s);
void json_put_int(json_t *object, const char *key, int64_t n);
void json_put_digest(json_t *object, const char *key, const struct digest *d);
bool json_get_digest(const json_t *object, const char *key, struct digest *out);

static inline void json_decref_ptr(json_t **v)
{
    json_decref(*v);
}
#define AUTO_JSON __attribute__((cleanup(json_decref_ptr)))

#endif
