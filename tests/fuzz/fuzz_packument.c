/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a registry sends: no bin leaves its package or its folder, what is picked is in the
 * range, and the choice does not depend on what was looked at before. */
#include <stdlib.h>

#include "resolvers/npm/pick.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_manifest(const struct npm_manifest *m)
{
    check(npm_name_problem(m->name) == NULL && m->version_text.len > 0);
    for (size_t i = 0; i < m->bin_count; i++) {
        struct span rest = m->bins[i].file, part;
        check(m->bins[i].name.len && !span_has(m->bins[i].name, '/') &&
              !span_eq(m->bins[i].name, SPAN("..")) && !span_eq(m->bins[i].name, SPAN(".")));
        check(rest.len > 0);
        while (span_next(&rest, '/', &part))
            check(part.len > 0 && !span_eq(part, SPAN("..")) && !span_eq(part, SPAN(".")));
    }
    for (size_t i = 0; i < m->dep_count; i++)
        for (size_t k = 0; k < i; k++)
            check(!span_eq(m->deps[i].name, m->deps[k].name));
}

static struct span pick(struct npm_packument *p, struct arena *a, const char *text, int64_t before)
{
    const struct npm_target target = {.os = SPAN("linux"),
                                      .cpu = SPAN("x64"),
                                      .libc = SPAN("glibc"),
                                      .has_node = true,
                                      .node = {.major = 20, .minor = 1},
                                      .before_ms = before};
    struct npm_spec spec;
    struct err err = {0};
    check(npm_spec_of_dependency(a, SPAN("x"), span_str(text), &spec, &err));
    const struct npm_manifest *m = npm_pick(p, &spec, &target, &err);
    check((m == NULL) == (err.code != ERR_NONE));
    return m ? m->version_text : SPAN("");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const specs[] = {"*", "^1", "latest", "1.0.0", ">=1 <3 || 0.x", "~2.1-rc"};
    AUTO_ARENA struct arena *a = arena_new();
    struct span first[COUNT(specs)];
    struct err err = {0};
    struct npm_packument *p = npm_packument_open(mem_dup(span_of(data, size)), size, &err);
    check((p == NULL) == (err.code != ERR_NONE));
    if (!p)
        return 0;
    for (size_t i = 0; i < COUNT(specs); i++)
        first[i] = pick(p, a, specs[i], i % 2 ? 1700000000000 : 0);
    for (size_t i = 0; i < npm_packument_count(p); i++) {
        struct npm_packument_version *v = npm_packument_at(p, i);
        const struct npm_manifest *m = npm_packument_manifest(p, v);
        check(npm_packument_find(p, v->key) == v);
        if (m)
            check_manifest(m);
    }
    for (size_t i = 0; i < COUNT(specs); i++)
        check(span_eq(first[i], pick(p, a, specs[i], i % 2 ? 1700000000000 : 0)));
    npm_packument_free(p);
    return 0;
}
