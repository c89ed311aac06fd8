/* SPDX-License-Identifier: Apache-2.0 */
/* A harvest of any bytes: entries lie in the stream, one after the other; the reader ends. What
 * is taken apart completely is split into parts that hold every entry. */
#include <stdlib.h>

#include "worker/apt_layer/harvest.h"
#include "worker/apt_layer/layer_priv.h"

static void check(bool ok)
{
    if (!ok)
        abort();
}

static bool inside(struct span s, const uint8_t *from, const uint8_t *to)
{
    const uint8_t *p = (const uint8_t *)s.ptr;
    return s.len == 0 || (p >= from && p + s.len <= to);
}

static void check_split(struct span all, size_t count)
{
    struct apt_layer_job job = {0};
    struct err err = {0};
    check(apt_split(&job, NULL, all, &err));
    size_t entries = 0;
    for (size_t i = 0; i < job.part_count; i++)
        entries += job.parts[i].plan.entries.n;
    check(count == 0 || entries > 0);
    apt_layer_release(&job);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span all = span_of(data, size), rest = all;
    struct harvest_entry e;
    struct err err = {0};
    size_t count = 0;
    const uint8_t *at = data;
    while (harvest_next(&rest, &e, &err)) {
        const uint8_t *next = data + (size - rest.len);
        check(next > at && inside(e.path, at, next) && inside(e.target, at, next));
        check(inside(e.content, at, next) && inside(e.capability, at, next));
        check(e.path.len > 0 && e.content.len == e.head.content_bytes);
        check(e.head.type <= ENTRY_WHITEOUT);
        at = next;
        count++;
    }
    check(err.code == ERR_NONE || err.code == ERR_CORRUPT);
    if (err.code == ERR_NONE)
        check_split(all, count);
    return 0;
}
