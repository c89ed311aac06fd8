/* SPDX-License-Identifier: Apache-2.0 */
/* spec.h - what npm lets one ask for: "express", "a@^1.2", "a@next", "b@npm:a@1", an URL.
 *
 * The same grammar serves the arguments of a user and the values in a package's dependency
 * lists. Kinds that need git or the local disk are recognised, so that the refusal can say
 * what it is and what to write instead.
 *
 * Ownership: results point into the texts given or into the arena.
 * Errors:    ERR_INVALID: malformed, with the offset; ERR_UNSUPPORTED: npm_spec_supported.
 * Threads:   no shared state.
 * Source:    the documentation of npm-install and package.json; the rules for names are those
 *            of the registry for packages published before 2014 too. */
#ifndef STRATA_RESOLVERS_NPM_SPEC_H
#define STRATA_RESOLVERS_NPM_SPEC_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/span.h"
#include "resolvers/npm/semver.h"

#define NPM_NAME_MAX 512
#define NPM_SPEC_MAX 2048

enum npm_spec_kind {
    NPM_SPEC_VERSION,   /* exactly one */
    NPM_SPEC_RANGE,     /* "" and "*" too */
    NPM_SPEC_TAG,       /* "next" */
    NPM_SPEC_URL,       /* a tarball by http or https */
    NPM_SPEC_GIT,       /* git+ssh:, github:, user/repo, ... */
    NPM_SPEC_FILE,      /* a tarball on the disk */
    NPM_SPEC_DIRECTORY, /* a folder on the disk */
    NPM_SPEC_WORKSPACE, /* workspace:, portal:, link:, patch:, catalog: of other clients */
};

struct npm_spec {
    enum npm_spec_kind kind;
    struct span name;    /* folder in node_modules; empty: only the tarball knows */
    struct span package; /* the registry's name: differs from `name` for an alias */
    bool alias;
    struct span text;           /* version, range, tag or URL, trimmed */
    struct semver version;      /* of a VERSION */
    struct semver_range *range; /* of a RANGE, loose; NULL otherwise */
    bool any;                   /* a RANGE that is literally "*" or nothing */
};

/* May a package be called so? The reason, in words, when not; NULL: yes. */
const char *npm_name_problem(struct span name);

/* An argument: NAME[@SPEC] or a bare URL. */
bool npm_spec_parse(struct arena *a, struct span arg, struct npm_spec *out, struct err *err);

/* A dependency: the key and the value of its entry. */
bool npm_spec_of_dependency(struct arena *a, struct span name, struct span value,
                            struct npm_spec *out, struct err *err);

/* Can it be resolved from a registry or an URL? False: err says why and what to write. */
bool npm_spec_supported(const struct npm_spec *spec, struct err *err);

#endif
