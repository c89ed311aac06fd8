/* SPDX-License-Identifier: Apache-2.0 */
/* Index pages of both kinds, kind told or not: every file that is handed out is one of the
 * project's, with a name that can stand in a folder, a version and an URL. */
#include <stdint.h>
#include <stdlib.h>

#include "resolvers/pip/index.h"
#include "resolvers/pip/name.h"

static void check_file(const struct pip_file *f, struct arena *a)
{
    struct pip_file again = {.filename = f->filename};
    struct pip_version v;
    struct digest d;
    if (f->filename.len == 0 || f->filename.len > 255 || span_has(f->filename, '/') ||
        span_has(f->filename, '\0') || f->filename.ptr[0] == '.' || f->url.len == 0)
        abort();
    if (!pip_version_parse(f->version.text, a, &v) || !span_eq(v.key, f->version.key))
        abort();
    if (f->sha256.len && f->sha256.len != 64)
        abort();
    pip_file_name(&again, SPAN("demo"), a);
    pip_file_digest(f, &d);
    pip_file_metadata_digest(f, &d);
    pip_file_upload_ms(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const types[] = {NULL, "application/vnd.pypi.simple.v1+json", "text/html"};
    for (size_t t = 0; t < COUNT(types); t++) {
        AUTO_ARENA struct arena *a = arena_new();
        struct pip_page page;
        struct err err = {0};
        if (!pip_page_parse(&page, span_of(data, size), types[t], SPAN("demo"), a, &err)) {
            if (err.code != ERR_BAD_ARCHIVE && err.code != ERR_TOO_LARGE)
                abort();
            continue;
        }
        for (size_t i = 0; i < page.files.n; i++)
            check_file(&page.files.v[i], a);
        pip_page_release(&page);
    }
    return 0;
}
