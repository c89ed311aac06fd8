/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   pyvenv.cfg                       makes it an environment
 *   bin/python -> /usr/bin/python3.11
 *   bin/python3, bin/python3.11 -> python
 *   lib64 -> lib
 *   lib/python3.11/site-packages/
 *
 * No activate script, no pip: the environment is on PATH already, and nothing is installed
 * into it by hand.
 */
#include "resolvers/pip/install_priv.h"

static struct span venv_path(struct segment_plan *plan, const char *below)
{
    return span_str(arena_printf(plan->arena, PIP_VENV "/%s", below));
}

bool pip_fill_venv(const struct install_context *c, struct segment_plan *plan, struct err *err)
{
    const struct platform *p = c->platform;
    struct span program = span_str(p->python_program), home, name;
    if (!span_cut_last_char(program, '/', &home, &name) || program.ptr[0] != '/' ||
        span_has(program, '\n'))
        return err_set(err, ERR_PLATFORM, "the interpreter \"%s\" is no absolute path",
                       p->python_program);
    if (home.len == 0)
        home = SPAN("/");
    const char *cfg = arena_printf(plan->arena,
                                   "home = %.*s\n"
                                   "include-system-site-packages = false\n"
                                   "version = %s\n",
                                   SPAN_ARG(home), p->python_full);
    segment_add_file(plan, venv_path(plan, "pyvenv.cfg"), 0644, span_str(cfg));
    segment_add_symlink(plan, venv_path(plan, "bin/python"), arena_span(plan->arena, program));
    segment_add_symlink(plan, venv_path(plan, "bin/python3"), SPAN("python"));
    segment_add_symlink(plan, venv_path(plan, arena_printf(plan->arena, "bin/python%s", p->python)),
                        SPAN("python"));
    segment_add_symlink(plan, venv_path(plan, "lib64"), SPAN("lib"));
    segment_add_dir(
        plan, venv_path(plan, arena_printf(plan->arena, "lib/python%s/site-packages", p->python)),
        0755);
    return true;
}
