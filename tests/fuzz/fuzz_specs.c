/* SPDX-License-Identifier: Apache-2.0 */
/* A spec that is taken is made of its parts and nothing else, and is never an option. */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "resolvers/apt/spec.h"
#include "resolvers/cargo/spec.h"
#include "resolvers/gem/spec.h"
#include "resolvers/go/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void part(struct buf *out, const char *before, struct span s)
{
    if (s.len > 0)
        buf_printf(out, "%s%.*s", before, SPAN_ARG(s));
}

static bool print_apt(struct span text, struct buf *out, struct err *err)
{
    struct apt_spec s;
    if (!apt_spec_parse(text, &s, err))
        return false;
    part(out, "", s.name);
    part(out, ":", s.arch);
    part(out, "=", s.version);
    part(out, "/", s.suite);
    return true;
}

static bool print_cargo(struct span text, struct buf *out, struct err *err)
{
    struct cargo_spec s;
    if (!cargo_spec_parse(text, &s, err))
        return false;
    part(out, "", s.name);
    part(out, "@", s.version);
    return true;
}

static bool print_gem(struct span text, struct buf *out, struct err *err)
{
    struct gem_spec s;
    if (!gem_spec_parse(text, &s, err))
        return false;
    part(out, "", s.name);
    part(out, ":", s.op);
    part(out, s.op.len > 0 ? "" : ":", s.version);
    return true;
}

static bool print_go(struct span text, struct buf *out, struct err *err)
{
    struct go_spec s;
    if (!go_spec_parse(text, &s, err))
        return false;
    part(out, "", s.path);
    buf_char(out, '@');
    part(out, "", s.op);
    part(out, "", s.version);
    return true;
}

static bool same_without_blanks(struct span a, struct span b)
{
    size_t i = 0, k = 0;
    for (;;) {
        while (i < a.len && a.ptr[i] == ' ')
            i++;
        while (k < b.len && b.ptr[k] == ' ')
            k++;
        if (i == a.len || k == b.len)
            return i == a.len && k == b.len;
        if (a.ptr[i++] != b.ptr[k++])
            return false;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool (*const print[])(struct span text, struct buf * out,
                                 struct err * err) = {print_apt, print_cargo, print_gem, print_go};
    struct span text = span_of(data, size);
    for (size_t i = 0; i < COUNT(print); i++) {
        AUTO_BUF struct buf out = BUF(4096), again = BUF(4096);
        struct err err = {0};
        if (!print[i](text, &out, &err)) {
            if (err.code != ERR_INVALID)
                abort();
            continue;
        }
        if (text.ptr[0] == '-' || span_has(text, '\0') || span_has(text, '\n') ||
            !same_without_blanks(text, buf_span(&out)))
            abort();
        if (!print[i](buf_span(&out), &again, &err) || !span_eq(buf_span(&again), buf_span(&out)))
            abort();
    }
    return 0;
}
