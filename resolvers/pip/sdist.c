/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/archive/gzip.h"
#include "resolvers/archive/tar.h"
#include "resolvers/archive/zip.h"
#include "resolvers/pip/fetch_priv.h"

#define MAX_UNPACKED (512u << 20)

/* "NAME-VERSION/PKG-INFO", not one deeper down. */
static bool is_info(struct span path)
{
    struct span folder, file;
    return span_cut_char(path, '/', &folder, &file) && span_eq(file, SPAN("PKG-INFO"));
}

static bool from_tar(struct span bytes, struct arena *a, struct span *out, struct err *err)
{
    AUTO_FREE char *unpacked = NULL;
    AUTO_ARENA struct arena *scratch = arena_new();
    size_t size = 0;
    struct tar_entry e;
    if (!gzip_inflate(bytes, MAX_UNPACKED, &unpacked, &size, err))
        return false;
    struct tar t = tar_of(span_of(unpacked, size), scratch);
    while (tar_next(&t, &e, err)) {
        if (e.type == TAR_FILE && is_info(e.path)) {
            *out = arena_span(a, e.data);
            return true;
        }
    }
    return err->code == ERR_NONE ? err_set(err, ERR_BAD_ARCHIVE, "it has no PKG-INFO") : false;
}

static bool from_zip(struct span bytes, struct arena *a, struct span *out, struct err *err)
{
    AUTO_ARENA struct arena *scratch = arena_new();
    struct zip z;
    if (!zip_open(&z, bytes, &zip_default_limits, scratch, err))
        return false;
    for (size_t i = 0; i < z.count; i++) {
        struct span text;
        if (z.entries[i].dir || !is_info(z.entries[i].name))
            continue;
        if (!zip_read(&z.entries[i], scratch, &text, err))
            return false;
        *out = arena_span(a, text);
        return true;
    }
    return err_set(err, ERR_BAD_ARCHIVE, "it has no PKG-INFO");
}

bool pip_sdist_info(struct span filename, struct span bytes, struct arena *a, struct span *out,
                    struct err *err)
{
    if (span_ends(filename, SPAN(".zip")))
        return from_zip(bytes, a, out, err);
    if (span_ends(filename, SPAN(".tar.gz")) || span_ends(filename, SPAN(".tgz")))
        return from_tar(bytes, a, out, err);
    return err_set(err, ERR_NEEDS_BUILD, "its kind of archive is not read");
}
