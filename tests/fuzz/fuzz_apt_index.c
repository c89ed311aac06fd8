/* SPDX-License-Identifier: Apache-2.0 */
/* An index of any bytes is refused, or all that it points to lies in its text. The first two bytes
 * say how much of the input is the text. */
#include <stdlib.h>

#include "resolvers/apt/index.h"

static void check(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t n = (size_t)(data[0] << 8 | data[1]);
    n = n > size - 2 ? size - 2 : n;
    struct span text = span_of(data + 2, n);
    /* Where a map would put it. */
    AUTO_FREE char *copy = mem_alloc(size);
    struct span bytes = span_of(copy, size - 2 - n);
    memcpy(copy, data + 2 + n, bytes.len);
    struct apt_index x;
    struct err err = {0};
    if (!apt_index_open(text, bytes, &x, &err)) {
        check(err.code == ERR_CORRUPT);
        return 0;
    }
    const struct apt_index_row *row;
    size_t found = apt_index_find(&x, SPAN("a"), &row);
    for (size_t i = 0; i < found; i++) {
        struct span s = apt_index_stanza(&x, row + i);
        check(s.len == 0 || (s.ptr >= text.ptr && s.ptr + s.len <= text.ptr + text.len));
    }
    found = apt_index_providers(&x, SPAN("v"), &row);
    for (size_t i = 0; i < found; i++)
        apt_index_stanza(&x, row + i);
    return 0;
}
