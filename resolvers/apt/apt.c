/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/apt/resolve.h"
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
    .whole = true,
    .resolve = apt_resolve,
    .cancel = apt_resolve_cancel,
    .locate = resolver_cannot_locate, /* a .deb is where its origin says, below any source */
    .units = resolver_cannot_list,
    .fill = resolver_cannot_fill,
    .environment = resolver_no_environment,
};
