/* SPDX-License-Identifier: Apache-2.0 */
/* A Release: no path that it lists leads out; what it lists, written anew, is read the same. And
 * armour: what comes off is no longer than what it was written with. */
#include <stdlib.h>

#include "resolvers/apt/release.h"

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_again(const struct apt_release *r)
{
    AUTO_BUF struct buf b = BUF(4u << 20);
    struct apt_release *again = NULL;
    struct err err = {0};
    buf_str(&b, "SHA256:\n");
    for (size_t i = 0; i < r->files.n; i++) {
        const struct apt_release_file *f = r->files.v[i].value;
        char hex[DIGEST_HEX_SIZE];
        struct span path = r->files.v[i].key;
        check(path.len > 0 && path.ptr[0] != '/' && span_find(path, SPAN("..")) == path.len);
        check(!span_has(path, '\n'));
        buf_printf(&b, " %s %llu %.*s\n", digest_hex(&f->sha256, hex), (unsigned long long)f->size,
                   SPAN_ARG(path));
    }
    if (b.overflow)
        return;
    check(apt_release_parse(buf_span(&b), &again, &err));
    check(again->files.n == r->files.n);
    apt_release_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct apt_release *r = NULL;
    struct err err = {0};
    AUTO_BUF struct buf key = BUF(1u << 20);
    if (apt_release_parse(span_of(data, size), &r, &err))
        check_again(r);
    apt_release_free(r);
    apt_dearmour(span_of(data, size), &key);
    check(key.len <= size);
    return 0;
}
