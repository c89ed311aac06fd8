/* SPDX-License-Identifier: Apache-2.0 */
/* jscan.h - a pull scanner for big JSON documents (RFC 8259), copying nothing.
 *
 * A packument can be 10 MB of which twenty lines matter. The scanner walks the text once,
 * skips what is not asked for, and hands out raw slices that can be scanned later.
 *
 *     struct jscan j = jscan_of(text);
 *     struct span key, version;
 *     if (jscan_object(&j))
 *         while (jscan_key(&j, arena, &key))
 *             if (span_eq(key, SPAN("version"))) jscan_string(&j, arena, &version);
 *             else jscan_skip(&j, NULL);
 *     if (jscan_failed(&j)) ...
 *
 * After the first error every call returns false, so loops end and one check at the end
 * is enough. After jscan_key or jscan_item exactly one value must be consumed.
 *
 * Ownership: spans point into the text, or, for strings with escapes, into the arena.
 * Errors:    jscan_failed; jscan_error_at gives the byte offset.
 * Threads:   no shared state. */
#ifndef STRATA_BASE_JSCAN_H
#define STRATA_BASE_JSCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/span.h"

#define JSCAN_MAX_DEPTH 64

enum jscan_type {
    JSCAN_END, /* nothing there, or an error */
    JSCAN_OBJECT,
    JSCAN_ARRAY,
    JSCAN_STRING,
    JSCAN_NUMBER,
    JSCAN_TRUE,
    JSCAN_FALSE,
    JSCAN_NULL,
};

struct jscan {
    const char *begin, *p, *end;
    int depth;
    bool failed;
    bool first; /* no comma is due in the innermost container */
};

struct jscan jscan_of(struct span text);
enum jscan_type jscan_peek(struct jscan *j); /* type of the next value */

/* Enters an object or array; false, consuming nothing, when the next value is another type. */
bool jscan_object(struct jscan *j);
bool jscan_array(struct jscan *j);

/* The next member's key; false after the last one (the object is left then). */
bool jscan_key(struct jscan *j, struct arena *a, struct span *key);
/* True: an item follows; false after the last one (the array is left then). */
bool jscan_item(struct jscan *j);

/* Each consumes one value. A value of another type is skipped and gives false, which is
 * no error: registries put odd types into fields nobody reads. */
bool jscan_string(struct jscan *j, struct arena *a, struct span *out);
bool jscan_bool(struct jscan *j, bool *out);
bool jscan_int(struct jscan *j, int64_t *out);
bool jscan_skip(struct jscan *j, struct span *raw); /* any value; raw may be NULL */

bool jscan_done(struct jscan *j); /* only white space is left, and no error was met */
bool jscan_failed(const struct jscan *j);
size_t jscan_error_at(const struct jscan *j);

#endif
