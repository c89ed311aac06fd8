/* SPDX-License-Identifier: Apache-2.0 */
/* build_sdist.h - source distributions of Python within a build: what they are built with, and
 * their wheels.
 *
 *   probe (while resolving)   read -> tools -> [known?] -> hook -> more requirements? again
 *   wheel (while installing)  [known?] -> fetch -> read -> tools -> hook -> normalise -> blob
 *
 * Tools are packages that a hook finds in its sandbox: what the source requires for its build, in
 * a virtual environment, and the environment's own apt packages. Either is an artifact like any
 * other, made by a build of its own and unpacked into layer directories; sources of one build
 * with the same requirements share it. A wheel is a pure function of the source, the lock of its
 * build requirements, the platform and what lies below (build_sdist_inputs), and is remembered
 * under that.
 *
 * Ownership: all belongs to the build.
 * Threads:   loop thread. */
#ifndef STRATA_WORKER_BUILD_SDIST_H
#define STRATA_WORKER_BUILD_SDIST_H

#include "worker/artifact_dirs.h"
#include "worker/build_priv.h"

enum tools_state { TOOLS_BUILDING, TOOLS_UNPACKING, TOOLS_READY, TOOLS_FAILED };

struct build_tools {
    struct build *build; /* whose */
    enum tools_state state;
    struct err err;
    json_t *packages, *lock; /* of the request */
    struct build_request request;
    struct build *nested; /* NULL: not started */
    bool nested_over;
    json_t *part; /* of the nested build's lock: what was asked for, and its packages */
    struct artifact_dirs dirs;
    bool unpacked;
};

/* For these requirements (array of strings), or for the packages of a part of a lock. */
struct build_tools *build_tools_wanted(struct build *b, const json_t *specs);
struct build_tools *build_tools_locked(struct build *b, const char *manager, const json_t *part);
void build_tools_cancel(struct build *b);
void build_tools_free(struct build *b);

/* For resolve_job.build. */
void build_sdist_probe(struct resolve_job *job, struct resolve_build *ask);

/* Does the source's package have to be built? */
bool build_sdist_is(const struct build_source *s);
/* Its wheel is known: its blob takes the source's place. */
bool build_sdist_recall(struct build_source *s);
/* Its bytes are there: build_source_built follows, or the build fails. */
void build_sdist_wheel(struct build_source *s);

/* Tools, apt's resolution or its layer came to an end: goes on with what waits for it. */
void build_sdist_wake(struct build *b);
void build_sdist_cancel(struct build *b);
void build_sdist_free(struct build *b);

/* The digest of this machine's packages, where builds see them: false when the base is another,
 * whose packages are all in the lock. */
bool build_sdist_base(const struct build_request *r, struct digest *out);
/* Digest of what builds see besides what their entries in the lock say. */
const char *build_sdist_inputs(struct build *b);

#endif
