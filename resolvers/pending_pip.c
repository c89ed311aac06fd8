/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/resolver.h"

/* In the table as long as the tree has no pip/pip.c: the names alone are looked at. */
static bool parse(struct span spec, struct err *err)
{
    if (spec.len > 0 && spec.len <= 256 && spec.ptr[0] != '-')
        return true;
    return err_set(err, ERR_INVALID, "\"%.*s\": at offset 0: expected a package's name",
                   SPAN_ARG(spec));
}

const struct resolver_ops resolver_pip = {
    .manager = "pip",
    .parse = parse,
    .unsupported = "this version cannot build pip packages yet",
    .resolve = resolver_cannot_resolve,
    .cancel = resolver_cannot_cancel,
    .locate = resolver_cannot_locate,
    .units = resolver_cannot_list,
    .fill = resolver_cannot_fill,
    .environment = resolver_no_environment,
};
