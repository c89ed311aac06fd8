/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/npm/graph.h"

/* The order of the printable ASCII characters (CLDR root collation); letters of either case
 * rank alike at first. */
static const char order[] = "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789"
                            "abcdefghijklmnopqrstuvwxyz";

static int rank(char c)
{
    if (c >= 'A' && c <= 'Z')
        c = (char)(c + 32);
    if (c >= 'a' && c <= 'z')
        return 100 + c - 'a';
    if (c >= '0' && c <= '9')
        return 60 + c - '0';
    const char *at = c ? strchr(order, c) : NULL;
    return at ? (int)(at - order) + 1 : 200 + (unsigned char)c;
}

int npm_collate(struct span a, struct span b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int by_case = 0;
    for (size_t i = 0; i < n; i++) {
        if (a.ptr[i] == b.ptr[i])
            continue;
        int d = rank(a.ptr[i]) - rank(b.ptr[i]);
        if (d)
            return d;
        if (!by_case)
            by_case = a.ptr[i] > b.ptr[i] ? -1 : 1; /* small letters first */
    }
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return by_case;
}
