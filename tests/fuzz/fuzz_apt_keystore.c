/* SPDX-License-Identifier: Apache-2.0 */
/* A store of certificates of any bytes: what comes out is as long, and comes out of itself. */
#include <stdlib.h>

#include "worker/apt_layer/keystore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct span first, second;
    if (keystore_normalise(span_of(data, size), 315532800, a, &first) &&
        (first.len != size || !keystore_normalise(first, 315532800, a, &second) ||
         !span_eq(first, second)))
        abort();
    return 0;
}
