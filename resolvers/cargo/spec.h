/* SPDX-License-Identifier: Apache-2.0 */
/* spec.h - what `cargo install` lets one ask for: "ripgrep", "ripgrep@14.1.1", "ripgrep@^14".
 *
 * Without an operator the version has all three numbers and means exactly that one; ranges
 * need an operator or a "*". A bare name means the newest stable version.
 *
 * Ownership: results point into the text given.
 * Errors:    ERR_INVALID with the offset and what is allowed.
 * Threads:   pure.
 * Source:    the Cargo Book (cargo-install, specifying dependencies), Semantic Versioning 2. */
#ifndef STRATA_RESOLVERS_CARGO_SPEC_H
#define STRATA_RESOLVERS_CARGO_SPEC_H

#include <stdbool.h>

#include "base/err.h"
#include "base/span.h"

struct cargo_spec {
    struct span name;
    struct span version; /* without the '@'; empty: none asked for */
    bool exact;          /* version is one version, not a range */
};

bool cargo_spec_parse(struct span spec, struct cargo_spec *out, struct err *err);

#endif
