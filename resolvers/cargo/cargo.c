/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/cargo/spec.h"
#include "resolvers/resolver.h"

static bool parse(struct span spec, struct err *err)
{
    struct cargo_spec parsed;
    return cargo_spec_parse(spec, &parsed, err);
}

const struct resolver_ops resolver_cargo = {
    .manager = "cargo",
    .parse = parse,
    .unsupported = "this version checks the specs of cargo but cannot build its packages yet; "
                   "remove them from packages.cargo to build the rest",
    .resolve = resolver_cannot_resolve,
    .cancel = resolver_cannot_cancel,
    .locate = resolver_cannot_locate,
    .units = resolver_cannot_list,
    .fill = resolver_cannot_fill,
    .environment = resolver_no_environment,
};
