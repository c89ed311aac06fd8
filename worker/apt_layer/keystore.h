/* SPDX-License-Identifier: Apache-2.0 */
/* keystore.h - Java's store of trusted certificates, in one form.
 *
 *   magic 0xFEEDFEED | version 2 | count | entry* | SHA-1 over password, phrase and all before
 *   entry: tag 2 | alias | date in ms | type | length | certificate      (numbers big-endian)
 *
 * Each installation writes the times at which it added certificates, in the order of a hash table.
 * Here they are sorted by alias and have the epoch's time. A store with private keys, with another
 * password than Java's "changeit", or of another form is left as it is.
 *
 * Ownership: the result is in the arena.
 * Threads:   pure function.
 * Source:    OpenJDK, sun.security.provider.JavaKeyStore. */
#ifndef STRATA_WORKER_APT_LAYER_KEYSTORE_H
#define STRATA_WORKER_APT_LAYER_KEYSTORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"

/* False: not one of those. epoch in seconds. */
bool keystore_normalise(struct span bytes, int64_t epoch, struct arena *a, struct span *out);

#endif
