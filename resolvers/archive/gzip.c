/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/archive/gzip.h"

#include <libdeflate.h>

#include "base/mem.h"

struct output {
    char *ptr;
    size_t len, cap, max;
};

static const char magic[2] = {'\x1f', '\x8b'};

bool gzip_is(struct span bytes)
{
    return bytes.len >= 2 && memcmp(bytes.ptr, magic, 2) == 0;
}

/* The last four bytes of a file of one member tell its size; no more than a guess, which is
 * bounded by what deflate can hold in so few bytes. */
static size_t guess(struct span bytes, size_t max)
{
    size_t n = 4096;
    if (bytes.len >= 4) {
        const uint8_t *p = (const uint8_t *)bytes.ptr + bytes.len - 4;
        n = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
    }
    size_t most = bytes.len > SIZE_MAX / 1033 ? SIZE_MAX : bytes.len * 1033;
    n = n < most ? n : most;
    n = n < max ? n : max;
    return n < 4096 ? 4096 : n;
}

static bool member(struct libdeflate_decompressor *d, struct span *rest, struct output *o,
                   struct err *err)
{
    for (;;) {
        size_t in = 0, out = 0;
        enum libdeflate_result r = libdeflate_gzip_decompress_ex(
            d, rest->ptr, rest->len, o->ptr + o->len, o->cap - o->len, &in, &out);
        if (r == LIBDEFLATE_SUCCESS) {
            o->len += out;
            *rest = span_skip(*rest, in);
            return o->len <= o->max ||
                   err_set(err, ERR_TOO_LARGE, "gzip: more than %zu bytes", o->max);
        }
        if (r != LIBDEFLATE_INSUFFICIENT_SPACE)
            return err_set(err, ERR_BAD_ARCHIVE, "gzip: broken or cut off");
        if (o->cap > o->max)
            return err_set(err, ERR_TOO_LARGE, "gzip: more than %zu bytes", o->max);
        size_t cap = o->cap > o->max / 2 ? o->max + 1 : o->cap * 2;
        o->ptr = mem_grow(o->ptr, cap, 1);
        o->cap = cap;
    }
}

bool gzip_inflate(struct span bytes, uint64_t max_bytes, char **out, size_t *out_bytes,
                  struct err *err)
{
    size_t max = max_bytes < SIZE_MAX / 4 ? (size_t)max_bytes : SIZE_MAX / 4;
    struct output o = {.cap = guess(bytes, max), .max = max};
    if (!gzip_is(bytes))
        return err_set(err, ERR_BAD_ARCHIVE, "not a gzip file");
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    if (!d)
        return err_set(err, ERR_INTERNAL, "out of memory for inflating");
    o.ptr = mem_grow(NULL, o.cap, 1);
    bool ok = true;
    while (ok && gzip_is(bytes))
        ok = member(d, &bytes, &o, err);
    libdeflate_free_decompressor(d);
    if (!ok) {
        free(o.ptr);
        return false;
    }
    *out = o.ptr;
    *out_bytes = o.len;
    return true;
}
