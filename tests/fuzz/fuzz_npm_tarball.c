/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a tarball holds (a plain tar here, so that the fuzzer gets through), everything that
 * it installs lies in the package's folder, but for links, which lie where links belong and
 * point into the package. */
#include <stdlib.h>

#include "resolvers/npm/install.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static bool plain(struct span path)
{
    struct span part;
    while (span_next(&path, '/', &part))
        if (part.len == 0 || span_eq(part, SPAN(".")) || span_eq(part, SPAN("..")))
            return false;
    return true;
}

static void check_entry(const struct segment_entry *e)
{
    const struct span here = SPAN(NPM_PREFIX "/lib/node_modules/a/");
    check(plain(e->path) && span_is_utf8(e->path));
    if (e->type == ENTRY_FILE) {
        check(span_starts(e->path, here) && (e->mode & ~0755u) == 0 && e->mode >= 0644);
        return;
    }
    check(e->type == ENTRY_SYMLINK);
    struct span target = e->target, up = SPAN("../");
    while (span_starts(target, up))
        target = span_skip(target, up.len);
    check(plain(target));
    if (span_starts(e->path, SPAN(NPM_PREFIX "/bin/")) ||
        span_starts(e->path, SPAN(NPM_PREFIX "/share/man/man")))
        check(span_starts(target, SPAN("lib/node_modules/a/")));
    else
        check(span_starts(e->path, here) &&
              span_find(e->path, SPAN("node_modules/.bin/")) < e->path.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_JSON json_t *package =
        json_pack("{s:s, s:s, s:s, s:{s:s, s:s}}", "name", "a", "version", "1.0.0", "path",
                  "node_modules/a", "bins", "tool", "cli.js", "../x", "../../y");
    const struct install_context c = {0};
    const struct install_unit unit = {.name = "a", .kind = "package", .package = package};
    const struct io_map map = {.bytes = span_of(data, size)};
    struct segment_plan plan;
    struct err err = {0};
    if (size >= 2 && data[0] == 0x1f) /* gzip is fuzz_gzip's */
        return 0;
    segment_plan_init(&plan);
    bool ok = npm_fill(&c, &unit, &map, &plan, &err);
    check(ok == (err.code == ERR_NONE));
    for (size_t i = 0; ok && i < plan.entries.n; i++)
        check_entry(&plan.entries.v[i]);
    segment_plan_release(&plan);
    return 0;
}
