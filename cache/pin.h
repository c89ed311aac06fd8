/* SPDX-License-Identifier: Apache-2.0 */
/* pin.h - what keeps an artifact from being collected: pins and tags.
 *
 * A pin is one owner's hold on one artifact (a session's); a tag is a name that people give.
 * Both survive restarts and power cuts.
 *
 * Errors:  ERR_NOT_FOUND: no such artifact (or pin, or tag); ERR_INVALID: the name; those of
 *          the index: ERR_IO, ERR_NO_SPACE, ERR_BUSY.
 * Threads: any; calls block. */
#ifndef STRATA_CACHE_PIN_H
#define STRATA_CACHE_PIN_H

#include "cache/store.h"

#define PIN_OWNER_MAX 256u /* bytes, printable UTF-8 */

/* An owner's new pin replaces its old one. */
bool store_pin_put(struct store *s, struct span owner, const struct digest *artifact,
                   struct err *err);
/* The same, but over a power cut it lasts only once store_sync came after it: for who puts many. */
bool store_pin_put_soon(struct store *s, struct span owner, const struct digest *artifact,
                        struct err *err);
bool store_sync(struct store *s, struct err *err);
bool store_pin_drop(struct store *s, struct span owner, struct err *err);
bool store_pin_get(struct store *s, struct span owner, struct digest *artifact);
/* {"owner","artifact","at_ms"} objects, by owner. */
bool store_pin_list(struct store *s, json_t **out, struct err *err);

bool store_tag_put(struct store *s, struct span name, const struct digest *artifact,
                   struct err *err);
bool store_tag_drop(struct store *s, struct span name, struct err *err);
bool store_tag_get(struct store *s, struct span name, struct digest *artifact);
/* {"name","artifact","at_ms"} objects, by name. */
bool store_tag_list(struct store *s, json_t **out, struct err *err);

#endif
