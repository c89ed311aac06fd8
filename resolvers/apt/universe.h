/* SPDX-License-Identifier: Apache-2.0 */
/* universe.h - all versions of all packages that a request may choose from.
 *
 * Lists (Packages files, each with its suite and pin priority) and the base's dpkg status, read
 * lazily: a name is looked up, and its stanzas parsed, when the walk first meets it.
 *
 * The candidate of a name is what apt takes without being told: the highest pin priority, then the
 * highest version, and no downgrade of what is installed (apt_preferences(5)). Without preferences
 * a list has priority 500, one marked NotAutomatic 1 (100 with ButAutomaticUpgrades), what is only
 * installed 100.
 *
 * Ownership: the lists' texts must outlive the universe; everything in it is its own.
 * Threads:   one thread at a time. */
#ifndef STRATA_RESOLVERS_APT_UNIVERSE_H
#define STRATA_RESOLVERS_APT_UNIVERSE_H

#include "base/arena.h"
#include "base/map.h"
#include "resolvers/apt/control.h"
#include "resolvers/apt/index.h"

struct apt_list {
    struct apt_index index;
    int pin;
    struct span suite, codename; /* of its Release */
    size_t source;               /* the caller's number for it */
};

struct apt_name;

struct apt_version {
    struct apt_name *name;
    struct span version, arch, source, source_version, multi_arch;
    struct span depends, pre_depends, provides, conflicts, breaks;
    struct span filename, sha256;
    uint64_t size, installed_kib;
    const struct apt_list *list; /* the best one that has it; NULL: only installed */
    int pin, priority;           /* priority: 0 required … 4 extra */
    bool installed, essential, held;
    size_t order; /* of appearance */
};

struct apt_name {
    struct span name;
    struct apt_version **versions; /* the highest first */
    size_t version_count;
    struct apt_version *candidate, *installed; /* NULL: none */
    bool providers_known;
    struct apt_version **providers; /* versions whose Provides lists it, in apt's order */
    size_t provider_count;
    /* The walk's own: what is to be there in the end. */
    struct apt_version *chosen;
    bool removed;
    int solvable; /* libsolv's id of `chosen` */
};

struct apt_universe {
    struct arena *arena;
    struct map names; /* name -> struct apt_name */
    struct apt_list *lists;
    size_t list_count;
    struct apt_index status; /* of dpkg; empty text: nothing installed */
    const char *arch;        /* Debian's name: "amd64" */
    struct map sources;      /* source package -> struct apt_source, of what is installed */
    bool sources_known;
    size_t orders;
};

struct apt_universe *apt_universe_new(struct apt_list *lists, size_t list_count,
                                      const struct apt_index *status, const char *arch);
void apt_universe_free(struct apt_universe *u); /* NULL is fine */

/* Never NULL; a name nobody has gives one without versions. */
struct apt_name *apt_universe_name(struct apt_universe *u, struct span name)
    __attribute__((returns_nonnull));
void apt_universe_providers(struct apt_universe *u, struct apt_name *n);

/* The installed packages that were made from a source package. */
struct apt_name **apt_universe_siblings(struct apt_universe *u, struct span source, size_t *count);

/* Does this version itself, or what it provides, satisfy the term? */
bool apt_version_matches(const struct apt_version *v, const struct apt_relation_term *t);

/* "amd64" for "x86_64"; NULL: Debian has no such port. */
const char *apt_arch_of(const char *machine);

#endif
