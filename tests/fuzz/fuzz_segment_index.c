/* SPDX-License-Identifier: Apache-2.0 */
/* What parses as an index encodes to the same bytes, and its records tile the tar. */
#include <assert.h>

#include "cache/segment_index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct segment_index index;
    AUTO_BUF struct buf again = BUF(SEGMENT_INDEX_MAX_BYTES);
    uint64_t at = 0;
    if (!segment_index_parse(span_of(data, size), &index, NULL))
        return 0;
    segment_index_encode(&index, &again);
    assert(span_eq(buf_span(&again), span_of(data, size)));
    for (size_t i = 0; i < index.entries.n; i++) {
        const struct index_entry *e = &index.entries.v[i];
        assert(e->offset == at && e->path.len > 0 && e->path.ptr[0] != '/');
        at += e->header_bytes + (e->size + 511) / 512 * 512;
    }
    assert(at == index.tar_size);
    segment_index_release(&index);
    return 0;
}
