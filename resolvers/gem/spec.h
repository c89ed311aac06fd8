/* SPDX-License-Identifier: Apache-2.0 */
/* spec.h - what `gem install` lets one ask for: "rails", "rails:7.1.0", "rack:~> 3.0".
 *
 * One requirement, as the client takes one there; without an operator it is exact.
 *
 * Ownership: results point into the text given.
 * Errors:    ERR_INVALID with the offset and what is allowed.
 * Threads:   pure.
 * Source:    the RubyGems guides (gem install, patterns), Gem::Version's documentation. */
#ifndef STRATA_RESOLVERS_GEM_SPEC_H
#define STRATA_RESOLVERS_GEM_SPEC_H

#include <stdbool.h>

#include "base/err.h"
#include "base/span.h"

struct gem_spec {
    struct span name;
    struct span op;      /* "=", "!=", ">", "<", ">=", "<=", "~>"; empty: none was written */
    struct span version; /* empty: any */
};

bool gem_spec_parse(struct span spec, struct gem_spec *out, struct err *err);

#endif
