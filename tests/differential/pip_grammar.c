/* SPDX-License-Identifier: Apache-2.0 */
/* Answers questions about versions, specifiers, requirements and markers, one a line, fields
 * separated by tabs, so that pip_grammar.py can put the same ones to `packaging`:
 *   V text | C a b | S specs version | R requirement | M marker extra python_version sys_platform
 *   W filename python glibc arch | L file-name-of-an-sdist name */
#include <stdio.h>

#include "resolvers/pip/requirement.h"

static const char *const defaults =
    "{\"implementation_name\":\"cpython\",\"implementation_version\":\"3.11.2\",\"os_name\":"
    "\"posix\",\"platform_machine\":\"x86_64\",\"platform_python_implementation\":\"CPython\","
    "\"platform_release\":\"6.1.0-13-amd64\",\"platform_system\":\"Linux\",\"platform_version\":"
    "\"#1 SMP\",\"python_full_version\":\"3.11.2\",\"python_version\":\"3.11\","
    "\"sys_platform\":\"linux\"}";

static void version(struct span text, struct arena *a)
{
    struct pip_version v;
    if (pip_version_parse(text, a, &v))
        printf("%s %d\n", v.text.ptr, v.prerelease);
    else
        puts("invalid");
}

static void compare(struct span a_text, struct span b_text, struct arena *a)
{
    struct pip_version v, w;
    if (!pip_version_parse(a_text, a, &v) || !pip_version_parse(b_text, a, &w)) {
        puts("invalid");
        return;
    }
    int r = pip_version_cmp(&v, &w);
    printf("%d\n", (r > 0) - (r < 0));
}

static void specs(struct span text, struct span version_text, struct arena *a)
{
    struct pip_specs s;
    struct pip_version v;
    if (!pip_specs_parse(text, a, &s, NULL) || !pip_version_parse(version_text, a, &v))
        puts("invalid");
    else
        printf("%d %d\n", pip_specs_match(&s, &v), s.prerelease);
}

static void requirement(struct span text, struct arena *a)
{
    struct pip_requirement r;
    AUTO_BUF struct buf b = BUF(64u << 10);
    struct err err = {0};
    if (!pip_requirement_parse(text, a, &r, &err)) {
        puts("invalid");
        return;
    }
    buf_printf(&b, "%.*s [", SPAN_ARG(r.raw_name));
    for (size_t i = 0; i < r.extra_count; i++)
        buf_printf(&b, "%s%.*s", i ? "," : "", SPAN_ARG(r.extras[i]));
    buf_printf(&b, "] %.*s %zu %d", SPAN_ARG(r.url), r.specs.n, r.marker != NULL);
    puts(buf_cstr(&b));
}

static void marker(struct span text, struct span extra, struct span python, struct span sys,
                   struct arena *a)
{
    const struct pip_marker *m;
    struct pip_environment e;
    AUTO_JSON json_t *json = json_parse(span_str(defaults), NULL);
    json_put_span(json, "python_version", python);
    json_put_span(json, "sys_platform", sys);
    if (!pip_environment_init(&e, json, a, NULL) || !pip_marker_parse(text, 0, a, &m, NULL))
        puts("invalid");
    else
        printf("%d\n", pip_marker_eval(m, &e, extra));
}

int main(void)
{
    char *line = NULL;
    size_t cap = 0;
    for (ssize_t n; (n = getline(&line, &cap, stdin)) > 0;) {
        AUTO_ARENA struct arena *a = arena_new();
        struct span rest = span_of(line, (size_t)n - (line[n - 1] == '\n')), f[5] = {0};
        for (size_t i = 0; i < COUNT(f) && span_next(&rest, '\t', &f[i]); i++)
            ;
        switch (f[0].len ? f[0].ptr[0] : 0) {
        case 'V': version(f[1], a); break;
        case 'C': compare(f[1], f[2], a); break;
        case 'S': specs(f[1], f[2], a); break;
        case 'R': requirement(f[1], a); break;
        case 'M': marker(f[1], f[2], f[3], f[4], a); break;
        default: puts("?");
        }
    }
    free(line);
    return 0;
}
