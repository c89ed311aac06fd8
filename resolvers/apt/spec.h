/* SPDX-License-Identifier: Apache-2.0 */
/* spec.h - what apt lets one ask for: "jq", "jq=1.6-2.1", "libc6:i386", "jq/bookworm-backports".
 *
 * Only names are known here: no patterns, no tasks, no removals ("jq-"), as those depend on
 * more than the package that is named.
 *
 * Ownership: results point into the text given.
 * Errors:    ERR_INVALID with the offset and what is allowed.
 * Threads:   pure.
 * Source:    Debian Policy 5.6.1 (names), 5.6.12 (versions); apt-get(8). */
#ifndef STRATA_RESOLVERS_APT_SPEC_H
#define STRATA_RESOLVERS_APT_SPEC_H

#include <stdbool.h>

#include "base/err.h"
#include "base/span.h"

struct apt_spec {
    struct span name;
    struct span arch;    /* empty: the machine's */
    struct span version; /* empty: the candidate */
    struct span suite;   /* empty: as pinned; never together with version */
};

bool apt_spec_parse(struct span spec, struct apt_spec *out, struct err *err);

#endif
