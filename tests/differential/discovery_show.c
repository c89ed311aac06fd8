/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the addresses that discovery finds for a manager, running no client: the main one,
 * then the extra ones ("@scope=" in front of npm's). usage: discovery_show MANAGER [PROJECT] */
#include <stdio.h>

#include "resolvers/discover.h"

int main(int argc, char **argv)
{
    struct err err = {0};
    if (argc < 2)
        return 2;
    struct discovery_options options = {.no_run = true, .project_dir = argc > 2 ? argv[2] : NULL};
    struct discovery *d = discovery_new(&options);
    const struct registry *r = discovery_registry(d, argv[1], &err);
    if (r)
        printf("%s\n", r->urls[0]);
    else
        fprintf(stderr, "%s\n", err.text);
    for (size_t i = 0; r && i < r->extra_count; i++)
        printf("%s%s%s\n", r->extra[i].scope ? r->extra[i].scope : "", r->extra[i].scope ? "=" : "",
               r->extra[i].url);
    discovery_free(d);
    return r ? 0 : 1;
}
