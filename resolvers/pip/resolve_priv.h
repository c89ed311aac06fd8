/* SPDX-License-Identifier: Apache-2.0 */
/* resolve_priv.h - the state of one resolution.
 *
 * Two things run side by side. The solver (solver/pubgrub.h) asks for pages and metadata and
 * says what it still needs; what it concludes depends on the answers alone. The scout runs
 * ahead of it: a project's page is fetched as soon as its name is seen anywhere, and the
 * metadata of its most likely release as soon as the page is there, so that what the solver
 * asks for has mostly arrived. The scout decides nothing.
 *
 * Threads: loop thread. Everything but the pages' file lists is in `arena`. */
#ifndef STRATA_RESOLVERS_PIP_RESOLVE_PRIV_H
#define STRATA_RESOLVERS_PIP_RESOLVE_PRIV_H

#include <uv.h>

#include "base/map.h"
#include "resolvers/pip/index.h"
#include "resolvers/pip/marker.h"
#include "resolvers/pip/metadata.h"
#include "resolvers/pip/requirement.h"
#include "resolvers/pip/tags.h"
#include "resolvers/resolver.h"
#include "resolvers/solver/pubgrub.h"

#define PIP_MAX_PROJECTS 5000
#define PIP_MAX_PAGE     (64u << 20)
#define PIP_MAX_METADATA (8u << 20)
#define PIP_MAX_SDIST    (1u << 30)
#define PIP_MAX_LIKELY   (64u << 20) /* of a wheel that may be fetched in vain */
#define PIP_PAGE_TTL_MS  (10 * 60 * 1000)

/* Flags of dependencies: what the specifiers on a name say beyond the set. */
#define PIP_WANTS_PRERELEASE 1u
#define PIP_IS_PINNED        2u

enum pip_state { PIP_UNKNOWN, PIP_FETCHING, PIP_READY, PIP_MISSING, PIP_FAILED };

enum pip_unusable {
    PIP_USABLE,
    PIP_BAD_PYTHON,
    PIP_BAD_PLATFORM, /* no wheel fits, and there is no sdist */
    PIP_TOO_NEW,
    PIP_NO_UPLOAD_TIME,
    PIP_NOT_BINARY, /* an sdist only, and the policy wants wheels */
};

struct pip_release {
    struct pip_project *project;
    struct pip_version version;
    size_t first, count;         /* its files in project->sorted */
    bool judged;                 /* the following are known */
    enum pip_unusable unusable;  /* why there is no file */
    const struct pip_file *file; /* the best one, yanked or not */
    bool yanked;                 /* every file that fits is */
    /* Metadata: */
    enum pip_state state;
    struct pip_metadata metadata;
    struct err err; /* PIP_FAILED: the release cannot be used, or `fatal` */
    bool fatal;     /* ... and the resolution cannot go on without it */
    struct pip_fetch *fetch;
    bool asked; /* by the solver */
    /* Of an sdist: */
    struct digest sdist; /* its blob */
    json_t *build;       /* what it is built with; NULL: not known */
    struct pip_building *building;
};

#define PIP_MAX_INDEXES 16

/* The project's page in one index. */
struct pip_source {
    struct pip_project *project;
    enum pip_state state;
    struct registry_get get;
    struct pip_page page;
    const char *page_url; /* NULL: its URLs are whole */
    bool only_if_any;     /* tells nothing of projects that it has no files of */
};

struct pip_project {
    struct pip_resolve *resolve;
    struct span name;
    enum pip_state state;
    struct err err;
    struct pip_source *sources; /* the registry, then its extra ones */
    size_t source_count, sources_left;
    const struct pip_file **sorted; /* by version, newest first */
    struct pip_release *releases;   /* newest first */
    size_t release_count;
    struct span direct_url; /* "name @ url": the only release */
    struct digest direct_digest;
    const char *previous; /* version in an older lock */
    /* The scout's: */
    const struct version_set *guess_set;
    unsigned guess_flags;
    VEC(struct span) guess_extras;
    struct pip_release *guess;
    size_t expanded;    /* extras whose edges have been followed, plus one for none */
    unsigned tail_hint; /* how much of the end of its wheels is worth fetching */
    unsigned tries;     /* releases whose metadata the solver asked for */
    bool announced;     /* one of its releases was, to the job's choose */
    bool requested;     /* a root */
    const struct version_set *root_set; /* what the roots ask for */
    unsigned root_flags;
};

/* What the solver knows by number: a project, or one with an extra. */
struct pip_package {
    struct pip_project *project;
    uint32_t base;     /* number of the package without extra */
    struct span extra; /* empty: none */
    bool singleton;    /* somebody asked for one version: decided early */
};

struct pip_resolve {
    struct resolve_job *job;
    struct arena *arena;
    uv_timer_t kick;
    struct pip_environment environment;
    struct pip_version python; /* full */
    struct pip_tags tags;
    struct map pythons; /* Requires-Python text -> (void *)1 fits, 2 not */
    struct map projects, packages;
    VEC(struct pip_package) numbers; /* [0] is the root */
    struct pip_requirement *roots;
    size_t root_count;
    struct solver_dependency *root_edges;
    struct solver *solver;
    size_t pending; /* gets under way */
    bool ending;
    VEC(struct pip_project *) project_list;
    VEC(struct pip_fetch *) fetches;
    VEC(struct pip_release *) builds; /* asked for */
};

/* resolve.c */
void pip_kick(struct pip_resolve *r); /* step soon */
bool pip_failed(struct pip_resolve *r);
bool pip_fail(struct pip_resolve *r, const struct err *err); /* false */

/* project.c */
struct pip_project *pip_project(struct pip_resolve *r, struct span name); /* NULL: too many */
void pip_project_want(struct pip_project *p); /* fetches its page, once */
void pip_release_judge(struct pip_release *rel);
struct pip_release *pip_release_at(const struct pip_project *p, struct span key);
bool pip_python_fits(struct pip_resolve *r, struct span requires_python);

/* choice.c: pip's rules for the best release. NULL: none. */
struct pip_release *pip_choose(struct pip_project *p, const struct version_set *allowed,
                               const struct version_set *required, unsigned flags);
/* Why there was none; NULL: there is one in `required`. */
const char *pip_choose_why(struct pip_project *p, const struct version_set *required,
                           unsigned flags);
const char *pip_release_why(const struct pip_release *rel, struct arena *a);

/* Tells the caller about a root's file when no other one can come out. */
void pip_announce(struct pip_project *p);          /* when only one release can be meant */
void pip_announce_likely(struct pip_release *rel); /* once a project */

/* scout.c */
void pip_scout(struct pip_resolve *r, const struct pip_requirement *q);
void pip_scout_page(struct pip_project *p);
void pip_scout_metadata(struct pip_release *rel);

/* fetch.c: metadata of a release */
struct pip_fetch;
void pip_release_want(struct pip_release *rel, bool may_fetch_sdist);
void pip_fetch_cancel(struct pip_fetch *f);
char *pip_file_url(const struct pip_project *p, const struct pip_file *f); /* free() it */

/* build.c: what a source distribution is built with, and metadata that only its code tells. */
void pip_build_want(struct pip_release *rel);
/* Of the selected releases; true: some are under way, and the resolution steps on after them. */
bool pip_builds_open(struct pip_resolve *r);
void pip_builds_cancel(struct pip_resolve *r);

/* provider.c */
struct solver_provider pip_provider(struct pip_resolve *r);
uint32_t pip_number(struct pip_resolve *r, struct pip_project *p, struct span extra);
/* The edges of requirements that hold, for the package without (extra empty) or with an
 * extra. */
size_t pip_edges(struct pip_resolve *r, const struct pip_requirement *list, size_t n,
                 struct span extra, struct solver_dependency **out);
bool pip_holds(const struct pip_resolve *r, const struct pip_requirement *q, struct span extra);

/* lock.c */
struct pip_release *pip_selected(struct pip_resolve *r, uint32_t number); /* NULL: none */
json_t *pip_lock(struct pip_resolve *r, struct err *err);
json_t *pip_lock_entry(const struct pip_release *rel, bool requested);
void pip_warn(struct pip_resolve *r, const char *text);

#endif
