/* SPDX-License-Identifier: Apache-2.0 */
/* pyproject.toml's [build-system]: what parses, written anew from what was understood, parses to
 * the same; paths stay inside, and a back end is a dotted name. */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "resolvers/pip/build_system.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void put_string(struct buf *b, struct span s)
{
    buf_char(b, '"');
    for (size_t i = 0; i < s.len; i++)
        buf_printf(b, "\\U%08x", (unsigned)(unsigned char)s.ptr[i]);
    buf_char(b, '"');
}

static void put_list(struct buf *b, const char *key, const struct span *list, size_t n)
{
    buf_printf(b, "%s = [", key);
    for (size_t i = 0; i < n; i++) {
        put_string(b, list[i]);
        buf_str(b, ", # and on\n");
    }
    buf_str(b, "]\n");
}

static bool is_ascii(const struct span *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < list[i].len; k++)
            if ((unsigned char)list[i].ptr[k] >= 0x80 || !list[i].ptr[k])
                return false;
    return true;
}

static void check_same(const struct span *x, size_t n, const struct span *y, size_t m)
{
    check(n == m);
    for (size_t i = 0; i < n; i++)
        check(span_eq(x[i], y[i]));
}

static void check_again(const struct pip_build_system *s, struct arena *a)
{
    AUTO_BUF struct buf b = BUF(16u << 20);
    struct pip_build_system t;
    buf_str(&b, "[build-system]\n");
    put_list(&b, "requires", s->requires, s->require_count);
    put_list(&b, "backend-path", s->paths, s->path_count);
    buf_str(&b, "build-backend = ");
    put_string(&b, s->backend);
    check(pip_build_system_parse(buf_span(&b), a, &t, NULL));
    check_same(s->requires, s->require_count, t.requires, t.require_count);
    check_same(s->paths, s->path_count, t.paths, t.path_count);
    check(span_eq(s->backend, t.backend));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct pip_build_system s;
    struct err err = {0};
    if (size > 100000)
        return 0;
    if (!pip_build_system_parse(span_of(data, size), a, &s, &err)) {
        check(err.code == ERR_BAD_ARCHIVE);
        return 0;
    }
    check(s.backend.len > 0 && !span_has(s.backend, ' ') && s.backend.ptr[0] != '-');
    for (size_t i = 0; i < s.path_count; i++)
        check(s.paths[i].len > 0 && s.paths[i].ptr[0] != '/');
    if (is_ascii(s.requires, s.require_count) && is_ascii(s.paths, s.path_count))
        check_again(&s, a);
    return 0;
}
