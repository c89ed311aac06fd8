/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/apt_layer/keystore.h"

#include <stdlib.h>

#include "base/digest.h"

#define MAGIC       0xfeedfeedu
#define VERSION     2
#define TRUSTED     2
#define HEAD_BYTES  12
#define DATE_BYTES  8
#define MAX_ENTRIES 10000
#define SHA1_BYTES  20

struct entry {
    struct span alias, rest; /* rest: behind the date */
};

static bool take(struct span *in, size_t n, struct span *out)
{
    if (n > in->len)
        return false;
    *out = span_slice(*in, 0, n);
    *in = span_skip(*in, n);
    return true;
}

static bool take_number(struct span *in, size_t bytes, uint64_t *out)
{
    struct span s;
    *out = 0;
    if (!take(in, bytes, &s))
        return false;
    for (size_t i = 0; i < bytes; i++)
        *out = *out << 8 | (uint8_t)s.ptr[i];
    return true;
}

static char *put_number(char *to, size_t bytes, uint64_t n)
{
    for (size_t i = bytes; i > 0; i--, n >>= 8)
        to[i - 1] = (char)(n & 0xff);
    return to + bytes;
}

static char *put(char *to, struct span s)
{
    if (s.len)
        memcpy(to, s.ptr, s.len);
    return to + s.len;
}

static bool take_entry(struct span *in, struct entry *e)
{
    uint64_t n;
    struct span skipped;
    if (!take_number(in, 4, &n) || n != TRUSTED || !take_number(in, 2, &n) ||
        !take(in, (size_t)n, &e->alias) || !take(in, DATE_BYTES, &skipped))
        return false;
    struct span start = *in;
    if (!take_number(in, 2, &n) || !take(in, (size_t)n, &skipped) || !take_number(in, 4, &n) ||
        !take(in, (size_t)n, &skipped))
        return false;
    e->rest = span_slice(start, 0, start.len - in->len);
    return true;
}

static struct hash seal(struct span bytes)
{
    static const struct span password = SPAN_INIT("\0c\0h\0a\0n\0g\0e\0i\0t");
    struct hasher h;
    hasher_init(&h, HASH_SHA1);
    hasher_update(&h, password);
    hasher_update(&h, SPAN("Mighty Aphrodite"));
    hasher_update(&h, bytes);
    return hasher_final(&h);
}

static int by_alias(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int c = span_cmp(x->alias, y->alias);
    return c ? c : span_cmp(x->rest, y->rest);
}

bool keystore_normalise(struct span bytes, int64_t epoch, struct arena *a, struct span *out)
{
    uint64_t magic, version, count;
    if (bytes.len < HEAD_BYTES + SHA1_BYTES)
        return false;
    struct span body = span_slice(bytes, 0, bytes.len - SHA1_BYTES), in = body;
    struct hash sum = seal(body);
    if (memcmp(sum.bytes, body.ptr + body.len, SHA1_BYTES) != 0 || !take_number(&in, 4, &magic) ||
        !take_number(&in, 4, &version) || !take_number(&in, 4, &count) || magic != MAGIC ||
        version != VERSION || count > MAX_ENTRIES)
        return false;
    struct entry *entries = arena_array(a, (size_t)count + 1, sizeof(*entries));
    for (size_t i = 0; i < count; i++)
        if (!take_entry(&in, &entries[i]))
            return false;
    if (in.len)
        return false;
    if (count)
        qsort(entries, (size_t)count, sizeof(*entries), by_alias);
    char *start = arena_alloc(a, bytes.len), *to = put(start, span_slice(body, 0, HEAD_BYTES));
    for (size_t i = 0; i < count; i++) {
        to = put_number(to, 4, TRUSTED);
        to = put_number(to, 2, entries[i].alias.len);
        to = put(to, entries[i].alias);
        to = put_number(to, DATE_BYTES, (uint64_t)epoch * 1000);
        to = put(to, entries[i].rest);
    }
    sum = seal(span_of(start, (size_t)(to - start)));
    put(to, span_of(sum.bytes, SHA1_BYTES));
    *out = span_of(start, bytes.len);
    return true;
}
