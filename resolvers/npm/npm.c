/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/npm/install.h"
#include "resolvers/npm/resolve.h"
#include "resolvers/npm/spec.h"

static bool parse(struct span spec, struct err *err)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct npm_spec parsed;
    return npm_spec_parse(a, spec, &parsed, err) && npm_spec_supported(&parsed, err);
}

const struct resolver_ops resolver_npm = {
    .manager = "npm",
    .parse = parse,
    .resolve = npm_resolve,
    .cancel = npm_cancel,
    .locate = npm_locate,
    .units = npm_units,
    .fill = npm_fill,
    .environment = npm_environment,
};
