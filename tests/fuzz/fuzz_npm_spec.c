/* SPDX-License-Identifier: Apache-2.0 */
/* An argument: what is accepted has a name that is one folder, and reads the same when it is
 * written down as a dependency. */
#include <stdlib.h>

#include "resolvers/npm/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_name(struct span name)
{
    struct span rest = name, part;
    int parts = 0;
    check(npm_name_problem(name) == NULL && name.len <= NPM_NAME_MAX && name.ptr[0] != '-');
    while (span_next(&rest, '/', &part)) {
        check(part.len > 0 && !span_eq(part, SPAN(".")) && !span_eq(part, SPAN("..")));
        check(++parts <= (name.ptr[0] == '@' ? 2 : 1));
    }
    for (size_t i = 0; i < name.len; i++)
        check((unsigned char)name.ptr[i] > ' ' && (unsigned char)name.ptr[i] < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct npm_spec s, again;
    struct err err = {0};
    if (!npm_spec_parse(a, span_of(data, size), &s, &err)) {
        check(err.code == ERR_INVALID && err.text[0]);
        return 0;
    }
    check(err.code == ERR_NONE && data[0] != '-');
    check((s.kind == NPM_SPEC_RANGE) == (s.range != NULL));
    bool supported = npm_spec_supported(&s, &err);
    check(supported == (s.kind < NPM_SPEC_GIT));
    if (!s.name.len) {
        check(s.kind >= NPM_SPEC_URL);
        return 0;
    }
    check_name(s.name);
    if (!supported)
        return 0;
    check_name(s.package);
    struct span value =
        s.alias ? span_str(arena_printf(a, "npm:%.*s@%.*s", SPAN_ARG(s.package), SPAN_ARG(s.text)))
                : s.text;
    if (value.len > NPM_SPEC_MAX)
        return 0;
    check(npm_spec_of_dependency(a, arena_span(a, s.name), value, &again, &err));
    check(again.kind == s.kind && again.alias == s.alias && span_eq(again.text, s.text) &&
          span_eq(again.package, s.package));
    return 0;
}
