/* SPDX-License-Identifier: Apache-2.0 */
/* resolve_priv.h - the inside of an apt resolution: sources.c brings the lists, resolve.c chooses.
 *
 *   source:  InRelease, or Release and Release.gpg -> verify (pool) -> parse -> its lists
 *   list:    recall, or fetch -> unpack + index (pool)
 *   all there: choose (pool) -> lock */
#ifndef STRATA_RESOLVERS_APT_RESOLVE_PRIV_H
#define STRATA_RESOLVERS_APT_RESOLVE_PRIV_H

#include "base/io.h"
#include "resolvers/apt/check.h"
#include "resolvers/apt/release.h"
#include "resolvers/resolver.h"

struct apt_resolve;
struct apt_source;

/* One Packages file. */
struct apt_source_list {
    struct apt_source *source;
    const char *component;
    struct digest plain; /* of the uncompressed file, as Release says */
    uint64_t plain_bytes;
    struct registry_fetch fetch;
    struct pool_task task;
    struct digest text, index; /* blobs */
    struct io_map text_map, index_map;
    bool fetching;
    struct err err;
};

/* One suite of one archive. */
struct apt_source {
    struct apt_resolve *resolve;
    const char *uri, *suite; /* uri ends with '/' */
    char *folder;            /* where Release lies: absolute URL, ends with '/' */
    bool flat;               /* suite ends with '/': no components */
    bool trusted;            /* the user waived signatures */
    const char **keyrings;
    size_t keyring_count;
    const char **components;
    size_t component_count;
    struct registry_get asked[3]; /* InRelease; else Release, Release.gpg */
    size_t got;                   /* of them */
    bool getting;
    struct buf signed_text, signature, text; /* signature empty: signed_text has its own */
    struct pool_task task;
    struct apt_release *release;
    struct apt_source_list *lists;
    size_t list_count;
    struct err err;
};

struct apt_resolve {
    struct resolve_job *job;
    struct arena *arena;
    const char *arch;
    struct apt_source *sources;
    size_t source_count;
    size_t open; /* callbacks still to come */
    bool failed, cancelled;
    struct pool_task task; /* choose */
    uv_timer_t timer;      /* done() out of the caller's reach */
    struct err err;
    json_t *lock;
};

/* sources.c. Calls apt_sources_settled whenever something ended. */
bool apt_sources_open(struct apt_resolve *r, struct err *err);
void apt_sources_start(struct apt_resolve *r);
void apt_sources_cancel(struct apt_resolve *r);
void apt_sources_close(struct apt_resolve *r);

/* resolve.c */
void apt_fail(struct apt_resolve *r, const struct err *err);
void apt_settle(struct apt_resolve *r);

#endif
