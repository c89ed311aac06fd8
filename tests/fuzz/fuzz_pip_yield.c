/* SPDX-License-Identifier: Apache-2.0 */
/* A build's result that reads is tiled by its files: all bytes are either a size or content. */
#include <stdint.h>
#include <stdlib.h>

#include "worker/pip_build/yield.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span stream = span_of(data, size), out[YIELD_COUNT];
    struct err err = {0};
    size_t total = 8 * (size_t)YIELD_COUNT;
    if (!pip_yield_read(stream, out, &err)) {
        if (err.code != ERR_CORRUPT && err.code != ERR_BAD_ARCHIVE && err.code != ERR_TOO_LARGE)
            abort();
        return 0;
    }
    for (int i = 0; i < YIELD_COUNT; i++) {
        if (out[i].ptr && (out[i].ptr < stream.ptr || out[i].ptr + out[i].len > stream.ptr + size))
            abort();
        total += out[i].len;
    }
    if (total != size)
        abort();
    return 0;
}
