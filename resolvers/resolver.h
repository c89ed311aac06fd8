/* SPDX-License-Identifier: Apache-2.0 */
/* resolver.h - what each package manager's folder offers to the rest.
 *
 * A resolver turns specs into a lock from metadata alone; a pure function of (specs, registry
 * metadata, platform, policy). An installer turns locked packages into segments: it lists
 * units (one finished part of a layer each), and fills one from its blob on the thread pool.
 *
 * The manager's part of a lock is JSON:
 *   {"requested":["a==1"], "packages":[{"name","version","digest":"ALGO:HEX","size",
 *    "origin","requires":["b",...], ...}]}
 * packages sorted by name, then version (npm: by path); `digest` is what the registry
 * promised; `size` is left out when the registry does not tell; `origin` never has a host of
 * a registry in it (an URL that the user wrote himself stays as it is).
 *
 * Ownership: a job is the caller's and lives until done() returned; out fields are the
 *            caller's to free then (json_decref).
 * Errors:    job->err, naming package and cause; the manager is added by the caller.
 * Threads:   parse: any. resolve, locate, cancel: loop thread. units, fill: pool threads. */
#ifndef STRATA_RESOLVERS_RESOLVER_H
#define STRATA_RESOLVERS_RESOLVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/span.h"
#include "cache/segment.h"
#include "resolvers/platform.h"
#include "resolvers/registry.h"

struct policy {
    int64_t exclude_newer_ms;         /* only what was published before; 0: no limit */
    bool prerelease;                  /* pip: allow pre-releases everywhere */
    bool only_binary;                 /* pip: wheels only, older ones rather than an sdist */
    const char *const *allow_scripts; /* names of packages whose scripts may run */
    size_t allow_script_count;
};

/* A source distribution that has to be built. What it is built with belongs into the lock, and
 * often its own code alone can tell what it depends on. */
struct resolve_build {
    const char *name, *version;
    const char *filename;
    struct digest sdist;                     /* a blob in the registry client's store */
    void (*done)(struct resolve_build *b);   /* once, never from inside ->build */
    void (*cancel)(struct resolve_build *b); /* set by ->build; done() follows */
    void *ctx;                               /* the resolver's */
    /* Results: */
    json_t *build;  /* the part of a lock that it is built with; NULL on error */
    char *metadata; /* as the built package would have it; free() it */
    struct err err;
    void *state; /* the builder's own */
};

struct resolve_job {
    const char *const *specs; /* parsed by ->parse before */
    size_t spec_count;
    const struct platform *platform;
    const struct policy *policy;
    struct registry_client *registry;
    uv_loop_t *loop;
    struct pool *pool;
    const struct log *log;
    const json_t *details;  /* what discovery knows of the registry besides (discover.h) */
    const char *base_root;  /* of the base that packages are installed over; NULL: "/" */
    const char *bootstrap;  /* apt: the suite whose essential packages are wanted too; or NULL */
    const json_t *previous; /* an older lock whose versions are preferred; NULL: none */
    /* A package is certain, or at least likely, before the resolution ends: its entry as it will
     * stand in the lock (`requires` may be missing still) and where its bytes are now. The caller
     * may start the download and the packing. May be NULL. */
    void (*choose)(struct resolve_job *job, const json_t *package, const char *url);
    /* Counts for the progress display, whenever they change. May be NULL. */
    void (*progress)(struct resolve_job *job, size_t known, size_t resolved);
    /* Prepares a build by running the package's code in a sandbox. NULL: no code is run. */
    void (*build)(struct resolve_job *job, struct resolve_build *b);
    void (*done)(struct resolve_job *job);
    void *ctx; /* the caller's */
    /* Results: */
    json_t *lock;     /* NULL on error */
    json_t *warnings; /* array of strings, may be NULL */
    struct err err;
    void *state; /* the resolver's own */
};

/* Where a locked package's bytes are, when only the lock is known. */
struct locate_job {
    const json_t *package;
    const json_t *details; /* as resolve_job's; may be NULL */
    struct pool *pool;
    const struct platform *platform;
    struct registry_client *registry;
    uv_loop_t *loop;
    void (*done)(struct locate_job *job);
    void *ctx;
    char *url; /* result, free() it; NULL on error */
    struct err err;
    void *state;
};

struct install_options {
    bool bytecode; /* pip: make .pyc files */
};

/* What units() and fill() may look at. Constant while they run. */
struct install_context {
    const json_t *lock; /* the manager's part */
    const struct platform *platform;
    const struct policy *policy;
    struct install_options options;
    /* What a package that is built sees besides what its lock entry says (the base, the layers
     * below): part of the keys of such packages. NULL: nothing is built here. */
    const char *build_inputs;
    const struct log *log;
};

/* One segment to be made. `key` names every input besides the packer's own version: equal
 * keys, equal bytes. */
struct install_unit {
    const char *name;      /* package name, for messages and for its bucket */
    const char *kind;      /* "wheel", "bytecode", "venv", "package", ... */
    json_t *key;           /* owned by the unit */
    const json_t *package; /* whose blob it is made from; NULL: needs none */
    uint64_t weight_bytes; /* about how much work: biggest first */
    void *data;            /* the installer's, from `arena` */
};

struct install_units {
    struct arena *arena;
    VEC(struct install_unit) list;
};

struct resolver_ops {
    const char *manager; /* key in the environment's packages */

    /* Is it a well-formed spec? Pure. On false, err says what is wrong, at which offset, and
     * what is allowed. */
    bool (*parse)(struct span spec, struct err *err);

    /* Why this version cannot build the manager's packages yet; NULL: it can. */
    const char *unsupported;

    /* Its packages are installed together, by running their own code (worker/apt_layer): units
     * and fill are not called. */
    bool whole;

    void (*resolve)(struct resolve_job *job);
    void (*cancel)(struct resolve_job *job); /* done() follows, with ERR_CANCELLED */
    void (*locate)(struct locate_job *job);

    /* Lists the units of a lock, in any order; names and keys from units->arena. */
    bool (*units)(const struct install_context *c, struct install_units *units, struct err *err);
    /* Fills the plan of one unit from the package's blob (NULL when the unit needs none). The
     * map stays valid until the plan is released. */
    bool (*fill)(const struct install_context *c, const struct install_unit *unit,
                 const struct io_map *blob, struct segment_plan *plan, struct err *err);

    /* Adds what a session needs to use the layer: PATH entries to `path` (array), variables to
     * `env` (object), programs to `bins` (array of names). */
    void (*environment)(const struct install_context *c, json_t *path, json_t *env, json_t *bins);
};

extern const struct resolver_ops resolver_apt, resolver_cargo, resolver_gem, resolver_go,
    resolver_npm, resolver_pip;

#define RESOLVER_COUNT 6
extern const struct resolver_ops *const resolvers[RESOLVER_COUNT]; /* by name */
const struct resolver_ops *resolver_find(struct span manager);     /* NULL: unknown */

/* Default members for a manager that cannot build yet: resolve and locate end with
 * ERR_UNSUPPORTED and ops->unsupported, units and fill fail the same way. */
void resolver_cannot_resolve(struct resolve_job *job);
void resolver_cannot_cancel(struct resolve_job *job);
void resolver_cannot_locate(struct locate_job *job);
bool resolver_cannot_list(const struct install_context *c, struct install_units *units,
                          struct err *err);
bool resolver_cannot_fill(const struct install_context *c, const struct install_unit *unit,
                          const struct io_map *blob, struct segment_plan *plan, struct err *err);
void resolver_no_environment(const struct install_context *c, json_t *path, json_t *env,
                             json_t *bins);

/* All but parse of such a manager's ops. */
#define RESOLVER_CANNOT(name)                                                                      \
    .manager = (name), .resolve = resolver_cannot_resolve, .cancel = resolver_cannot_cancel,       \
    .locate = resolver_cannot_locate, .units = resolver_cannot_list, .fill = resolver_cannot_fill, \
    .environment = resolver_no_environment,                                                        \
    .unsupported = "this version checks the specs of " name " but cannot build its packages yet; " \
                   "remove them from packages." name " to build the rest"

#endif
