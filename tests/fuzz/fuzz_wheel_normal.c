/* SPDX-License-Identifier: Apache-2.0 */
/* A normalised wheel has the files of the one it was made from, and normalising it again changes
 * no byte. */
#include <stdint.h>
#include <stdlib.h>

#include "resolvers/archive/zip.h"
#include "resolvers/pip/wheel_normal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_files(struct span before, struct span after)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct zip x, y;
    size_t files = 0;
    check(zip_open(&x, before, &zip_default_limits, a, NULL));
    check(zip_open(&y, after, &zip_default_limits, a, NULL));
    for (size_t i = 0; i < x.count; i++) {
        struct span was, is;
        if (x.entries[i].dir)
            continue;
        const struct zip_entry *e = zip_find(&y, x.entries[i].name);
        check(e && (e->mode == 0100644 || e->mode == 0100755));
        check(zip_read(&x.entries[i], a, &was, NULL) && zip_read(e, a, &is, NULL));
        check(span_eq(was, is) || span_ends(e->name, SPAN(".dist-info/RECORD")));
        files++;
    }
    check(files == y.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUF struct buf once = BUF(8u << 20), twice = BUF(8u << 20);
    struct span wheel = span_of(data, size);
    struct err err = {0};
    if (!pip_wheel_normalise(wheel, 1700000000, &once, &err)) {
        check(err.code == ERR_BAD_ARCHIVE || err.code == ERR_TOO_LARGE ||
              err.code == ERR_UNSUPPORTED);
        return 0;
    }
    check_files(wheel, buf_span(&once));
    check(pip_wheel_normalise(buf_span(&once), 1700000000, &twice, &err));
    check(span_eq(buf_span(&once), buf_span(&twice)));
    return 0;
}
