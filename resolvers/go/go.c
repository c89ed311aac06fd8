/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/go/spec.h"
#include "resolvers/resolver.h"

static bool parse(struct span spec, struct err *err)
{
    struct go_spec parsed;
    return go_spec_parse(spec, &parsed, err);
}

const struct resolver_ops resolver_go = {RESOLVER_CANNOT("go"), .parse = parse};
