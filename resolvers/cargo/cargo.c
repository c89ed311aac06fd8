/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/cargo/spec.h"
#include "resolvers/resolver.h"

static bool parse(struct span spec, struct err *err)
{
    struct cargo_spec parsed;
    return cargo_spec_parse(spec, &parsed, err);
}

const struct resolver_ops resolver_cargo = {RESOLVER_CANNOT("cargo"), .parse = parse};
