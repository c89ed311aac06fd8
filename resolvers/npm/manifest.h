/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.h - one version of a package as the registry or its package.json describes it.
 *
 * Only what resolving and installing need, normalised as npm does it: optional dependencies
 * override others of the same name, bins are cleaned so that neither names nor targets leave
 * their folders. What has an odd type where an object belongs (old packages do) counts as
 * absent; a dependency whose value is no string makes the manifest malformed.
 *
 * Ownership: everything lives in the arena or in the text given, which must outlive it.
 * Errors:    ERR_BAD_ARCHIVE saying what is malformed; ERR_TOO_LARGE.
 * Threads:   no shared state. */
#ifndef STRATA_RESOLVERS_NPM_MANIFEST_H
#define STRATA_RESOLVERS_NPM_MANIFEST_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/span.h"
#include "resolvers/npm/semver.h"

enum npm_dep_type { NPM_DEP_PROD, NPM_DEP_OPTIONAL, NPM_DEP_PEER, NPM_DEP_PEER_OPTIONAL };

struct npm_dep {
    struct span name, spec;
    struct span accept; /* acceptDependencies: satisfies too; ptr NULL: nothing */
    enum npm_dep_type type;
};

struct npm_list {
    struct span *v;
    size_t n;
};

struct npm_bin {
    struct span name, file; /* file is relative to the package, without "..". */
};

struct npm_manifest {
    struct span name;         /* as published; an alias has another one */
    struct span version_text; /* normal form */
    struct semver version;
    struct npm_dep *deps; /* in the order in which npm looks at them */
    size_t dep_count;
    struct npm_list bundled; /* names that its tarball brings itself */
    struct npm_list os, cpu, libc;
    struct span engine_node, engine_npm; /* ranges; empty: any */
    struct npm_bin *bins;
    size_t bin_count;
    struct span bin_folder;  /* directories.bin, cleaned; empty: none */
    struct npm_list scripts; /* of preinstall, install, postinstall, those it has */
    bool install_script;     /* it says so, or has one of them */
    struct span deprecated;  /* the message; empty: it is not */
    bool shrinkwrap;         /* brings an npm-shrinkwrap.json */
    struct span tarball;     /* URL; empty: not told */
    struct span integrity;   /* as told: identity of the bytes; empty: none */
    struct hash hash;        /* the strongest promise; algo HASH_NONE: none */
    uint64_t unpacked_bytes; /* 0: not told */
};

bool npm_manifest_parse(struct arena *a, struct span json, struct npm_manifest *out,
                        struct err *err);

/* An entry of an npm-shrinkwrap.json: the same fields, with the name of its folder when it has
 * none itself, `requires` for dependencies (version 1), `resolved` and `integrity`. One without
 * a version is malformed. */
bool npm_manifest_parse_locked(struct arena *a, struct span name, struct span json,
                               struct npm_manifest *out, struct err *err);

/* The commands of directories.bin, where the manifest has no others: what lies in that folder of
 * the package, of which `files` is the list, folders too, hidden ones apart. The registry's
 * documents do not tell, and npm links none then; only a package.json of a tarball is read so. */
void npm_manifest_take_folder(struct arena *a, const struct span *files, size_t count,
                              struct npm_manifest *m);

/* The strongest hash of an SRI list ("sha1-... sha512-..."), its first value. False: none. */
bool npm_integrity_parse(struct span sri, struct hash *out);

/* A relative path inside the package: no "..", ".", empty components or backslashes. Empty:
 * nothing is left. */
struct span npm_clean_path(struct arena *a, struct span path);

#endif
