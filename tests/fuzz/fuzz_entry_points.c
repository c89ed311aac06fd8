/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the file says: a script's name is a file name, and its text imports and calls, and
 * does nothing else. */
#include <stdlib.h>

#include "resolvers/pip/entry_points.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static bool is_dotted(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c < 0x80 && c != '.' && c != '_' && !(c >= '0' && c <= '9') &&
            !((c | 32) >= 'a' && (c | 32) <= 'z'))
            return false;
    }
    return s.len > 0 && s.ptr[0] != '.' && s.ptr[s.len - 1] != '.';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct pip_entry_points points = {0};
    struct err err = {0};
    bool ok = pip_entry_points_parse(span_of(data, size), &points, &err);
    check(ok == (err.code == ERR_NONE));
    for (size_t i = 0; ok && i < points.list.n; i++) {
        const struct pip_entry_point *e = &points.list.v[i];
        struct span text = pip_entry_point_script(e, "/v/bin/python", a), line;
        check(e->name.len > 0 && !span_has(e->name, '/') && !span_has(e->name, '\n') &&
              !span_has(e->name, '\0') && !span_eq(e->name, SPAN("..")));
        check(pip_entry_point_find(&points, e->name) == e);
        check(is_dotted(e->module) && is_dotted(e->function));
        size_t lines = 0;
        while (span_next_line(&text, &line))
            lines++;
        check(lines == 7);
    }
    pip_entry_points_release(&points);
    return 0;
}
