/* SPDX-License-Identifier: Apache-2.0 */
/* spec.h - what `go install` lets one ask for: "example.com/cmd/tool@v1.2.3".
 *
 * The version is always there: an exact one, a prefix ("v1.2"), a comparison (">=v1.2"), a
 * branch, a commit, "latest" or "upgrade". The path is that of a package outside the standard
 * library: its first element is a host's name.
 *
 * Ownership: results point into the text given.
 * Errors:    ERR_INVALID with the offset and what is allowed.
 * Threads:   pure.
 * Source:    the Go Modules Reference (module paths, version queries). */
#ifndef STRATA_RESOLVERS_GO_SPEC_H
#define STRATA_RESOLVERS_GO_SPEC_H

#include <stdbool.h>

#include "base/err.h"
#include "base/span.h"

enum go_query { GO_LATEST, GO_EXACT, GO_PREFIX, GO_COMPARE, GO_REVISION };

struct go_spec {
    struct span path; /* with its final "/..." */
    bool all_below;   /* ends in "/...": every command below */
    enum go_query query;
    struct span op;      /* of GO_COMPARE: "<", "<=", ">", ">=" */
    struct span version; /* without the operator */
};

bool go_spec_parse(struct span spec, struct go_spec *out, struct err *err);

/* The reason why a path cannot be an import path of a module's package; NULL: it can. *at:
 * the offset of the trouble. */
const char *go_path_problem(struct span path, size_t *at);

#endif
