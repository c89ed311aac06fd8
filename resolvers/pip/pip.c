/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/pip/install.h"
#include "resolvers/pip/resolve.h"
#include "resolvers/resolver.h"

const struct resolver_ops resolver_pip = {
    .manager = "pip",
    .parse = pip_parse,
    .resolve = pip_resolve,
    .cancel = pip_cancel,
    .locate = pip_locate,
    .units = pip_units,
    .fill = pip_fill,
    .environment = pip_environment,
};
