/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_meta.c - a metadata file. What is accepted, written again, is accepted and equal. */
#include <assert.h>

#include "cache/meta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void check(struct span file, struct span key)
{
    struct meta m, again;
    AUTO_BUF struct buf copy = BUF(16u << 20);
    if (!meta_parse(file, key, &m))
        return;
    assert(m.url && m.body.ptr >= file.ptr && m.body.ptr + m.body.len == file.ptr + file.len);
    if (meta_print(key, &m, &copy)) {
        buf_append(&copy, m.body);
        assert(meta_parse(buf_span(&copy), key, &again));
        assert(span_eq(again.body, m.body) && again.status == m.status);
        assert(same(again.url, m.url) && same(again.asked, m.asked) && same(again.etag, m.etag));
        assert(same(again.last_modified, m.last_modified));
        assert(same(again.content_type, m.content_type));
        assert(same(again.content_range, m.content_range));
        assert(again.max_age_ms == m.max_age_ms);
        meta_release(&again);
    }
    meta_release(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span all = span_of(data, size);
    struct meta m = {.status = 200, .url = "http://h", .max_age_ms = -1};
    AUTO_BUF struct buf file = BUF(16u << 20);
    check(all, SPAN("k"));
    /* The checksum keeps random bodies out: let the input be the body, and cut it short. */
    m.body = all;
    assert(meta_print(SPAN("k"), &m, &file));
    size_t head = file.len;
    buf_append(&file, all);
    check(buf_span(&file), SPAN("k"));
    assert(meta_parse(buf_span(&file), SPAN("k"), &m) && span_eq(m.body, all));
    meta_release(&m);
    assert(!meta_parse(span_slice(buf_span(&file), 0, head - 1), SPAN("k"), &m));
    assert(!meta_parse(buf_span(&file), SPAN("j"), &m));
    return 0;
}
