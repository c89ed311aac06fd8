/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/gem/spec.h"
#include "resolvers/resolver.h"

static bool parse(struct span spec, struct err *err)
{
    struct gem_spec parsed;
    return gem_spec_parse(spec, &parsed, err);
}

const struct resolver_ops resolver_gem = {RESOLVER_CANNOT("gem"), .parse = parse};
