/* SPDX-License-Identifier: Apache-2.0 */
/* Bytecode: what is compiled, that it is valid, and that it depends on the source alone.
 *
 * Needs a Python interpreter; without one the tests say so and pass. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/proc.h"
#include "resolvers/pip/bytecode_priv.h"
#include "resolvers/pip/install.h"
#include "tests/resolvers/archive/make_archive.h"
#include "tests/resolvers/archive/plan_text.h"
#include "tests/test_main.h"

static struct arena *arena;
static struct platform platform;
static struct err err;
static bool have_python;

static struct span run_python(const char *script, const char *argument)
{
    const char *const argv[] = {platform.python_program, "-c", script, argument, NULL};
    struct buf out = BUF(16u << 20);
    int status = 0;
    bool ok = proc_run(&(struct proc){.argv = argv, .out = &out}, &status, &err);
    ck_assert_msg(ok && status == 0, "%s: %d %s", script, status, err.text);
    struct span s = arena_span(arena, buf_span(&out));
    buf_release(&out);
    return s;
}

static void setup(void)
{
    arena = arena_new();
    err_clear(&err);
    char *program = proc_find("python3");
    have_python = program != NULL;
    if (!have_python) {
        printf("skipped: no python3 in PATH\n");
        return;
    }
    platform = (struct platform){.python_program = arena_str(arena, span_str(program)),
                                 .python_impl = "cpython"};
    free(program);
    struct span rest = run_python("import sys, os\n"
                                  "print('%d.%d' % sys.version_info[:2])\n"
                                  "print('%d.%d.%d' % sys.version_info[:3])\n"
                                  "print(os.path.realpath(sys.executable))",
                                  NULL),
                line[3];
    for (int i = 0; i < 3; i++)
        ck_assert(span_next_line(&rest, &line[i]));
    platform.python = arena_str(arena, line[0]);
    platform.python_full = arena_str(arena, line[1]);
    platform.python_program = arena_str(arena, line[2]);
}

static void teardown(void)
{
    arena_free(arena);
}

static struct pip_source source(const char *name, const char *text)
{
    return (struct pip_source){
        .path = span_str(arena_printf(arena, "/opt/x/%s.py", name)),
        .source = span_str(text),
    };
}

/* Sources with what makes marshal's output depend on its surroundings: names and constants
 * that other modules have too, sets, one-letter strings, nested functions. */
static size_t many(struct pip_source *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = source(
            arena_printf(arena, "m%zu", i),
            arena_printf(arena,
                         "import os, sys\n"
                         "x = {None, 1, 'a', 'b%zu', 2.5, (1, 'k')}\n"
                         "def f(self, name%zu, value=%zu, *args):\n"
                         "    def g(y):\n"
                         "        return y in {None, 'q', 'self', %zu, '\xc3\xa9'} or name%zu\n"
                         "    return [g(i) for i in args if i not in (1, 2, 'append')]\n"
                         "class C%zu:\n"
                         "    append = '\xc3\xa9'\n"
                         "    \xc3\xa9 = b'z'\n"
                         "    def __init__(self): self.append = os.path.join('x', 'z', '')\n",
                         i, i, i % 300, i, i, i % 7));
    return count;
}

START_TEST(bytecode_is_what_py_compile_makes)
{
    if (!have_python)
        return;
    struct pip_source s[1];
    many(s, 1);
    ck_assert_msg(pip_compile(&platform, s, 1, 1, arena, &err), "%s", err.text);
    const char *folder = test_folder();
    AUTO_FREE char *pyc = mem_printf("%s/m.pyc", folder);
    AUTO_FREE char *py = mem_printf("%s/m.py", folder);
    ck_assert(io_replace_file(AT_FDCWD, pyc, s[0].pyc, 0644, false, &err));
    ck_assert(io_replace_file(AT_FDCWD, py, s[0].source, 0644, false, &err));
    struct span said = run_python(
        "import py_compile, marshal, sys, os\n"
        "d = sys.argv[1]\n"
        "py_compile.compile(d + '/m.py', d + '/want.pyc', '/opt/x/m0.py', True,\n"
        "    invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)\n"
        "got, want = (open(d + n, 'rb').read() for n in ('/m.pyc', '/want.pyc'))\n"
        "print(got[:16] == want[:16], marshal.loads(got[16:]) == marshal.loads(want[16:]),\n"
        "    marshal.loads(got[16:]).co_filename, got[4])",
        folder);
    ck_assert_msg(span_eq(said, SPAN("True True /opt/x/m0.py 1\n")), "%.*s", SPAN_ARG(said));
}
END_TEST

START_TEST(bytecode_depends_on_the_source_alone)
{
    enum { N = 300 };
    if (!have_python)
        return;
    struct pip_source *first = arena_array(arena, N, sizeof(*first));
    struct pip_source *again = arena_array(arena, N, sizeof(*again));
    many(first, N);
    ck_assert_msg(pip_compile(&platform, first, N, 1, arena, &err), "%s", err.text);
    /* Other numbers of processes, other neighbours, other order, each alone. */
    for (size_t round = 0; round < 20; round++) {
        size_t from = round * 13 % N, step = round % 3 + 1, n = 0;
        for (size_t i = 0; i < N; i++)
            if (i % step == 0)
                again[n++] = first[(from + i) % N];
        n = round > 14 ? 1 : n;
        ck_assert_msg(pip_compile(&platform, again, n, (unsigned)round % 5 + 1, arena, &err), "%s",
                      err.text);
        for (size_t i = 0, k = 0; i < N && k < n; i++)
            if (i % step == 0)
                ck_assert_msg(span_eq(again[k++].pyc, first[(from + i) % N].pyc),
                              "round %zu, source %zu", round, (from + i) % N);
    }
}
END_TEST

START_TEST(sources_that_do_not_compile_are_left_out)
{
    if (!have_python)
        return;
    struct pip_source s[] = {
        source("good", "x = 1\n"),
        source("python2", "print 'x'\n"),
        {.path = SPAN("/x/nul.py"), .source = span_of("x\0y", 3)},
        source("encoding", "# coding: no-such-encoding\n"),
        source("bytes", "\xff\xfe"),
        source("warns", "x = '\\d'\nassert (1, 2)\n"),
        source("empty", ""),
        source("latin1", "# coding: latin-1\nx = '\xe9'\n"),
        source("last", "y = 2\n"),
    };
    ck_assert_msg(pip_compile(&platform, s, COUNT(s), 2, arena, &err), "%s", err.text);
    static const bool compiles[] = {true, false, false, false, false, true, true, true, true};
    for (size_t i = 0; i < COUNT(s); i++)
        ck_assert_msg((s[i].pyc.ptr != NULL) == compiles[i], "%.*s", SPAN_ARG(s[i].path));
}
END_TEST

/* An interpreter that crashes while it compiles some sources. */
static const char *crashing_python(void)
{
    const char *path = arena_printf(arena, "%s/crashing", test_folder());
    const char *text =
        arena_printf(arena,
                     "#!%s\nimport sys, os, builtins\nreal = builtins.compile\n"
                     "def crash(source, *a, **k):\n"
                     "    if isinstance(source, bytes) and b'CRASH' in source: os.abort()\n"
                     "    return real(source, *a, **k)\n"
                     "builtins.compile = crash\nexec(real(sys.argv[-1], '-c', 'exec'))\n",
                     platform.python_program);
    ck_assert(io_replace_file(AT_FDCWD, path, span_str(text), 0755, false, &err));
    return path;
}

START_TEST(a_source_that_crashes_the_compiler_is_left_out)
{
    if (!have_python)
        return;
    struct platform crashing = platform;
    crashing.python_program = crashing_python();
    struct pip_source s[] = {source("a", "x = 1\n"), source("b", "CRASH = 1\n"),
                             source("c", "y = 2\n")},
                      plain[] = {s[0], s[2]};
    ck_assert_msg(pip_compile(&crashing, s, 3, 1, arena, &err), "%s", err.text);
    ck_assert(s[0].pyc.ptr && !s[1].pyc.ptr && s[2].pyc.ptr);
    ck_assert(pip_compile(&platform, plain, 2, 1, arena, &err));
    ck_assert(span_eq(s[0].pyc, plain[0].pyc) && span_eq(s[2].pyc, plain[1].pyc));
}
END_TEST

START_TEST(another_interpreter_than_the_platforms_is_refused)
{
    if (!have_python)
        return;
    struct pip_source s[] = {source("a", "x = 1\n")};
    struct platform other = platform;
    other.python_full = "3.0.1";
    ck_assert(!pip_compile(&other, s, 1, 1, arena, &err) && err.code == ERR_PLATFORM);
    ck_assert_ptr_nonnull(strstr(err.text, "the platform says 3.0.1"));
    err_clear(&err);
    other.python_program = "/no/such/python3";
    ck_assert(!pip_compile(&other, s, 1, 1, arena, &err) && err.code == ERR_PLATFORM);
    err_clear(&err);
    other.python_program = "/bin/false";
    ck_assert(!pip_compile(&other, s, 1, 1, arena, &err) && err.code == ERR_SCRIPT);
    err_clear(&err);
    other.python_program = "/bin/echo"; /* answers, but not this */
    ck_assert(!pip_compile(&other, s, 1, 1, arena, &err) && err.code == ERR_SCRIPT);
}
END_TEST

START_TEST(a_unit_has_a_file_for_each_module)
{
    if (!have_python)
        return;
    struct made_zip made = {.arena = arena};
    made_zip_add(&made, "a/__init__.py", "x = 1\n");
    made_zip_add(&made, "a/b.c.py", "x = 2\n");
    made_zip_add(&made, "a/bad.py", "(\n");
    made_zip_add(&made, "a/there.py", "x = 3\n");
    struct span digits = span_str(platform.python), major, minor;
    ck_assert(span_cut_char(digits, '.', &major, &minor));
    const char *tag = arena_printf(arena, "cpython-%.*s%.*s", SPAN_ARG(major), SPAN_ARG(minor));
    made_zip_add(&made, arena_printf(arena, "a/__pycache__/there.%s.pyc", tag), "its own");
    made_zip_add(&made, "a/data.txt", "x");
    made_zip_add(&made, "a/.py", "x");
    made_zip_add(&made, "a-1.0.data/scripts/tool.py", "x = 4\n");
    made_zip_add(&made, "a-1.0.data/purelib/top.py", "x = 5\n");
    made_zip_add(&made, "a-1.0.dist-info/METADATA", "Name: a\nVersion: 1.0\n");
    made_zip_add(&made, "a-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n");
    made_zip_add(&made, "a-1.0.dist-info/RECORD", "");
    AUTO_JSON json_t *package = json_pack("{s:s, s:s, s:s}", "name", "a", "version", "1.0",
                                          "filename", "a-1.0-py3-none-any.whl");
    const struct install_context c = {.platform = &platform, .options = {.bytecode = true}};
    const struct install_unit unit = {.name = "a", .kind = "bytecode", .package = package};
    const struct io_map map = {.bytes = made_zip_bytes(&made)};
    struct segment_plan plan;
    segment_plan_init(&plan);
    ck_assert_msg(pip_fill(&c, &unit, &map, &plan, &err), "%s", err.text);
    ck_assert_str_eq(
        plan_listing(&plan,
                     arena_printf(arena, PIP_VENV "/lib/python%s/site-packages/", platform.python),
                     arena),
        arena_printf(arena,
                     "644 __pycache__/top.%s.pyc\n644 a/__pycache__/__init__.%s.pyc\n"
                     "644 a/__pycache__/b.c.%s.pyc\n",
                     tag, tag, tag));
    segment_plan_release(&plan);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("install_pip_bytecode");
    TCase *tc = tcase_create("bytecode");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 280);
    tcase_add_test(tc, bytecode_is_what_py_compile_makes);
    tcase_add_test(tc, bytecode_depends_on_the_source_alone);
    tcase_add_test(tc, sources_that_do_not_compile_are_left_out);
    tcase_add_test(tc, a_source_that_crashes_the_compiler_is_left_out);
    tcase_add_test(tc, another_interpreter_than_the_platforms_is_refused);
    tcase_add_test(tc, a_unit_has_a_file_for_each_module);
    suite_add_tcase(s, tc);
    return s;
}
