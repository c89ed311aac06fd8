/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/resolvers/archive/plan_text.h"

#include <libdeflate.h>

static int by_path(const void *a, const void *b)
{
    const struct segment_entry *x = *(const struct segment_entry *const *)a;
    const struct segment_entry *y = *(const struct segment_entry *const *)b;
    return span_cmp(x->path, y->path);
}

const char *plan_listing(const struct segment_plan *plan, const char *prefix, struct arena *a)
{
    struct buf out = BUF(1u << 20);
    const struct segment_entry **sorted = arena_array(a, plan->entries.n + 1, sizeof(*sorted));
    for (size_t i = 0; i < plan->entries.n; i++)
        sorted[i] = &plan->entries.v[i];
    qsort(sorted, plan->entries.n, sizeof(*sorted), by_path);
    for (size_t i = 0; i < plan->entries.n; i++) {
        struct span path = sorted[i]->path;
        if (span_starts(path, span_str(prefix)))
            path = span_skip(path, strlen(prefix));
        if (sorted[i]->type == ENTRY_SYMLINK)
            buf_printf(&out, "link %.*s -> %.*s\n", SPAN_ARG(path), SPAN_ARG(sorted[i]->target));
        else
            buf_printf(&out, "%o %.*s%s\n", sorted[i]->mode, SPAN_ARG(path),
                       sorted[i]->type == ENTRY_DIR ? "/" : "");
    }
    const char *text = arena_str(a, buf_span(&out));
    buf_release(&out);
    return text;
}

struct span plan_content(const struct segment_plan *plan, const char *path, struct arena *a)
{
    for (size_t i = 0; i < plan->entries.n; i++) {
        const struct segment_entry *e = &plan->entries.v[i];
        if (e->type != ENTRY_FILE || !span_eq_str(e->path, path))
            continue;
        if (!e->deflated.ptr)
            return e->bytes;
        char *content = arena_alloc(a, e->size + 1);
        struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
        enum libdeflate_result r = libdeflate_deflate_decompress(
            d, e->deflated.ptr, e->deflated.len, content, e->size, NULL);
        libdeflate_free_decompressor(d);
        if (r != LIBDEFLATE_SUCCESS || libdeflate_crc32(0, content, e->size) != e->crc32)
            return span_of(NULL, 0);
        return span_of(content, e->size);
    }
    return span_of(NULL, 0);
}
