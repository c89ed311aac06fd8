/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/apt/spec.h"
#include "resolvers/resolver.h"

static bool parse(struct span spec, struct err *err)
{
    struct apt_spec parsed;
    return apt_spec_parse(spec, &parsed, err);
}

const struct resolver_ops resolver_apt = {
    .manager = "apt",
    .parse = parse,
    .unsupported = "this version checks the specs of apt but cannot build its packages yet; "
                   "remove them from packages.apt to build the rest",
    .resolve = resolver_cannot_resolve,
    .cancel = resolver_cannot_cancel,
    .locate = resolver_cannot_locate,
    .units = resolver_cannot_list,
    .fill = resolver_cannot_fill,
    .environment = resolver_no_environment,
};
