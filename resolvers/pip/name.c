/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/pip/name.h"

static bool joiner(char c)
{
    return c == '-' || c == '_' || c == '.';
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static bool alnum(char c)
{
    c = lower(c);
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
}

bool pip_name_valid(struct span name)
{
    if (name.len == 0 || name.len > PIP_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!alnum(name.ptr[i]) && (!joiner(name.ptr[i]) || i == 0 || i + 1 == name.len))
            return false;
    return true;
}

struct span pip_name_normalise(struct span name, struct arena *a)
{
    char *to = arena_alloc(a, name.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < name.len; i++) {
        bool run = joiner(name.ptr[i]);
        if (!run)
            to[n++] = lower(name.ptr[i]);
        else if (i == 0 || !joiner(name.ptr[i - 1]))
            to[n++] = '-';
    }
    return span_of(to, n);
}

bool pip_name_is(struct span name, struct span normal)
{
    size_t k = 0;
    for (size_t i = 0; i < name.len; i++) {
        bool run = joiner(name.ptr[i]);
        if (run && i > 0 && joiner(name.ptr[i - 1]))
            continue;
        if (k == normal.len || normal.ptr[k] != (run ? '-' : lower(name.ptr[i])))
            return false;
        k++;
    }
    return k == normal.len;
}
