/* SPDX-License-Identifier: Apache-2.0 */
/* Control data: fields written anew from what was understood are understood the same; an index of
 * the text finds every stanza that has a name. */
#include <stdlib.h>

#include "base/buf.h"
#include "resolvers/apt/control.h"
#include "resolvers/apt/index.h"

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void check_relations(struct span value)
{
    struct span group;
    struct apt_relation_term t, again;
    while (control_group(&value, &group))
        while (control_alternative(&group, &t)) {
            static const char *const signs[] = {"", "<<", "<=", "=", ">=", ">>"};
            AUTO_BUF struct buf b = BUF(1u << 20);
            check(t.name.len > 0 && (t.relation == APT_ANY || t.version.len > 0));
            buf_printf(&b, "%.*s%s%.*s", SPAN_ARG(t.name), t.arch.len ? ":" : "", SPAN_ARG(t.arch));
            if (t.relation != APT_ANY)
                buf_printf(&b, " (%s %.*s)", signs[t.relation], SPAN_ARG(t.version));
            struct span text = buf_span(&b);
            check(b.overflow || control_alternative(&text, &again));
            check(b.overflow ||
                  (span_eq(t.name, again.name) && span_eq(t.arch, again.arch) &&
                   t.relation == again.relation && span_eq(t.version, again.version)));
        }
}

static void check_index(struct span text)
{
    AUTO_BUF struct buf bytes = BUF(64u << 20);
    struct apt_index x;
    struct err err = {0};
    struct span stanza;
    check(apt_index_build(text, &bytes, &err) && apt_index_open(text, buf_span(&bytes), &x, &err));
    while (control_stanza(&text, &stanza)) {
        const struct apt_index_row *row;
        struct span name = control_get(stanza, SPAN("Package"));
        size_t n = apt_index_find(&x, name, &row);
        bool found = name.len == 0;
        for (size_t i = 0; i < n; i++)
            found = found || apt_index_stanza(&x, row + i).ptr == stanza.ptr;
        check(found);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span all = span_of(data, size), rest = all, stanza;
    size_t left = rest.len;
    while (control_stanza(&rest, &stanza)) {
        struct span fields = stanza, name, value;
        check(rest.len < left);
        left = rest.len;
        while (control_field(&fields, &name, &value)) {
            check(name.len > 0 && !span_has(name, '\n'));
            check_relations(value);
        }
    }
    check_index(all);
    return 0;
}
