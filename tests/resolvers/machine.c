/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/resolvers/machine.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"

static int machines;

struct machine machine_new(void)
{
    struct machine m = {.arena = arena_new()};
    m.root = arena_printf(m.arena, "%s/m%d", test_folder(), machines++);
    struct err err;
    ck_assert(io_mkdirs(AT_FDCWD, m.root, 0755, &err));
    *VEC_PUSH(&m.env) = arena_printf(m.arena, "HOME=%s/user", m.root);
    *VEC_PUSH(&m.env) = arena_printf(m.arena, "PATH=%s/usr/bin", m.root);
    return m;
}

void machine_file(struct machine *m, const char *path, const char *text)
{
    struct err err;
    const char *full = arena_printf(m->arena, "%s%s", m->root, path);
    char *dir = arena_str(m->arena, span_str(full));
    *strrchr(dir, '/') = '\0';
    ck_assert(io_mkdirs(AT_FDCWD, dir, 0755, &err));
    ck_assert_msg(io_replace_file(AT_FDCWD, full, span_str(text), 0644, false, &err), "%s",
                  err.text);
}

void machine_program(struct machine *m, const char *path, const char *text)
{
    machine_file(m, path, text);
    ck_assert_int_eq(chmod(arena_printf(m->arena, "%s%s", m->root, path), 0755), 0);
}

void machine_variable(struct machine *m, const char *variable)
{
    *VEC_PUSH(&m->env) = arena_str(m->arena, span_str(variable));
}

struct discovery *machine_start(struct machine *m)
{
    *VEC_PUSH(&m->env) = NULL;
    m->options.env = m->env.v;
    m->options.root = m->root;
    m->d = discovery_new(&m->options);
    return m->d;
}

void machine_free(struct machine *m)
{
    discovery_free(m->d);
    VEC_FREE(&m->env);
    arena_free(m->arena);
}

void expect_url(struct discovery *d, const char *manager, const char *url)
{
    struct err err = {0};
    const struct registry *r = discovery_registry(d, manager, &err);
    ck_assert_msg(r != NULL, "%s", err.text);
    ck_assert_uint_ge(r->url_count, 1);
    ck_assert_str_eq(r->urls[0], url);
}
