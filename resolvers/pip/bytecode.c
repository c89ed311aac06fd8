/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"
#include "resolvers/pip/bytecode_priv.h"
#include "resolvers/pip/install_priv.h"

#define SOURCE_MAX_BYTES (32u << 20) /* a larger one is data, and stays uncompiled */
#define PROCESSES        4u          /* at once for one wheel; several wheels run at a time */

/* "a/b.py" -> "a/__pycache__/b.cpython-311.pyc"; an empty span when it is no module's file. */
static struct span cached_path(struct span path, const struct platform *p, struct arena *a)
{
    struct span folder = {"", 0}, name = path, major, minor;
    span_cut_last_char(path, '/', &folder, &name);
    if (!span_ends(name, SPAN(".py")) || name.len == strlen(".py") ||
        !span_cut_char(span_str(p->python), '.', &major, &minor))
        return (struct span){"", 0};
    name.len -= strlen(".py");
    return span_str(arena_printf(a, "%.*s/__pycache__/%.*s.%s-%.*s%.*s.pyc", SPAN_ARG(folder),
                                 SPAN_ARG(name), p->python_impl, SPAN_ARG(major), SPAN_ARG(minor)));
}

static int by_path(const void *a, const void *b)
{
    const struct pip_wheel_file *x = *(const struct pip_wheel_file *const *)a;
    const struct pip_wheel_file *y = *(const struct pip_wheel_file *const *)b;
    return span_cmp(x->path, y->path);
}

/* The modules of the wheel without a .pyc file of their own, sorted by path. */
static size_t find_modules(const struct install_context *c, const struct pip_wheel *w,
                           struct arena *a, const struct pip_wheel_file **out)
{
    AUTO_MAP struct map there = {0};
    struct span library = span_str(arena_printf(a, "%.*s/", SPAN_ARG(w->site_packages)));
    size_t n = 0;
    for (size_t i = 0; i < w->file_count; i++)
        map_put(&there, w->files[i].path, &w->files[i]);
    for (size_t i = 0; i < w->file_count; i++) {
        const struct pip_wheel_file *f = &w->files[i];
        if (!span_starts(f->path, library) || !span_ends(f->path, SPAN(".py")) ||
            f->entry->size > SOURCE_MAX_BYTES)
            continue;
        struct span pyc = cached_path(f->path, c->platform, a);
        if (pyc.len && pyc.len + strlen(PIP_VENV) + 1 <= SEGMENT_PATH_MAX && !map_has(&there, pyc))
            out[n++] = f;
    }
    qsort(out, n, sizeof(*out), by_path);
    return n;
}

bool pip_fill_bytecode(const struct install_context *c, const struct pip_wheel *w,
                       struct segment_plan *plan, struct err *err)
{
    AUTO_ARENA struct arena *scratch = arena_new();
    const struct pip_wheel_file **modules =
        arena_array(scratch, w->file_count + 1, sizeof(*modules));
    size_t n = find_modules(c, w, scratch, modules);
    struct pip_source *sources = arena_array(scratch, n + 1, sizeof(*sources));
    for (size_t i = 0; i < n; i++) {
        sources[i].path =
            span_str(arena_printf(scratch, "/" PIP_VENV "/%.*s", SPAN_ARG(modules[i]->path)));
        if (!zip_read(modules[i]->entry, scratch, &sources[i].source, err))
            return false;
    }
    if (!pip_compile(c->platform, sources, n, PROCESSES, plan->arena, err))
        return err_wrap(err, "bytecode");
    for (size_t i = 0; i < n; i++) {
        struct span pyc = cached_path(modules[i]->path, c->platform, scratch);
        if (sources[i].pyc.ptr)
            segment_add_file(plan,
                             span_str(arena_printf(plan->arena, PIP_VENV "/%.*s", SPAN_ARG(pyc))),
                             0644, sources[i].pyc);
    }
    return true;
}
