/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/resolver.h"

const struct resolver_ops *const resolvers[RESOLVER_COUNT] = {
    &resolver_apt, &resolver_cargo, &resolver_gem, &resolver_go, &resolver_npm, &resolver_pip,
};

const struct resolver_ops *resolver_find(struct span manager)
{
    for (size_t i = 0; i < RESOLVER_COUNT; i++)
        if (span_eq_str(manager, resolvers[i]->manager))
            return resolvers[i];
    return NULL;
}
