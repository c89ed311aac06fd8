/* SPDX-License-Identifier: Apache-2.0 */
/* Markers: printed and parsed again, a marker has the same value in every environment tried. */
#include <stdint.h>
#include <stdlib.h>

#include "resolvers/pip/marker.h"

static const char *const environments[] = {
    "{\"implementation_name\":\"cpython\",\"implementation_version\":\"3.11.2\",\"os_name\":"
    "\"posix\",\"platform_machine\":\"x86_64\",\"platform_python_implementation\":\"CPython\","
    "\"platform_release\":\"6.1.0-13-amd64\",\"platform_system\":\"Linux\",\"platform_version\":"
    "\"#1 SMP\",\"python_full_version\":\"3.11.2\",\"python_version\":\"3.11\",\"sys_platform\":"
    "\"linux\"}",
    "{\"implementation_name\":\"pypy\",\"implementation_version\":\"7.3\",\"os_name\":\"nt\","
    "\"platform_machine\":\"\",\"platform_python_implementation\":\"PyPy\",\"platform_release\":"
    "\"10\",\"platform_system\":\"Windows\",\"platform_version\":\"10.0\",\"python_full_version\":"
    "\"3.13.0+\",\"python_version\":\"3.13\",\"sys_platform\":\"win32\"}"};

static void check(const struct pip_marker *m, const struct pip_marker *n, struct arena *a)
{
    static const struct span extras[] = {SPAN_INIT(""), SPAN_INIT("test"), SPAN_INIT("a-b")};
    for (size_t i = 0; i < COUNT(environments); i++) {
        AUTO_JSON json_t *json = json_parse(span_str(environments[i]), NULL);
        struct pip_environment e;
        if (!pip_environment_init(&e, json, a, NULL))
            abort();
        for (size_t k = 0; k < COUNT(extras); k++)
            if (pip_marker_eval(m, &e, extras[k]) != pip_marker_eval(n, &e, extras[k]))
                abort();
    }
    if (pip_marker_uses_extra(m) != pip_marker_uses_extra(n))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_ARENA struct arena *a = arena_new();
    AUTO_BUF struct buf text = BUF(1u << 20);
    const struct pip_marker *m, *n;
    struct err err = {0};
    if (size > 4096)
        return 0;
    if (!pip_marker_parse(span_of(data, size), 0, a, &m, &err)) {
        if (err.code != ERR_INVALID)
            abort();
        return 0;
    }
    pip_marker_text(m, &text);
    if (!pip_marker_parse(buf_span(&text), 0, a, &n, &err))
        abort();
    check(m, n, a);
    return 0;
}
