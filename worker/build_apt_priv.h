/* SPDX-License-Identifier: Apache-2.0 */
/* build_apt_priv.h - the inside of apt's part of a build: build_apt.c installs, build_apt_debs.c
 * unpacks and packs single packages while others are fetched and while dpkg configures.
 *
 * Threads: loop thread. */
#ifndef STRATA_WORKER_BUILD_APT_PRIV_H
#define STRATA_WORKER_BUILD_APT_PRIV_H

#include "worker/apt_layer/apt_layer.h"
#include "worker/apt_layer/native.h"
#include "worker/build_priv.h"

/* A package on its way to a folder and a segment of its own. */
struct build_deb {
    struct build_apt *apt;
    struct build_source *source;
    struct pool_task task;
    struct deb_tree *tree; /* NULL: dpkg's */
    struct segment_plan plan;
    struct segment_job job;
    struct digest key;
    struct segment segment;
    struct build_unit *unit; /* of the layer; NULL: not yet, or dpkg's */
    unsigned form;           /* deb_tree.h: merged, and DEB_FIRST */
    bool recalled;           /* the segment is there */
    bool packing;            /* segment_build is under way */
    struct err err;
};

struct build_apt {
    struct build_manager *manager;
    struct apt_layer_job job;
    struct digest key;
    unsigned merged;  /* of the base: deb_tree.h */
    struct map first; /* names of a new root's first packages */
    struct build_deb *debs;
    size_t deb_count, debs_missing; /* not looked at yet */
    VEC(struct build_deb *) waiting;
    size_t debs_open; /* being unpacked or packed */
    size_t segments_open;
    struct build_unit **units; /* one for each segment of the layer */
    size_t unit_count;
    bool installing, installed;
};

struct build_unit *build_apt_add_unit(struct build_manager *m, const char *name);
/* A segment whose memo is there, and whose bytes are, too. */
bool build_apt_segment_there(const struct build *b, const json_t *json, struct segment *out);

void build_apt_install(struct build_apt *a);    /* all packages were looked at */
void build_apt_check_over(struct build_apt *a); /* after anything ended */

/* build_apt_debs.c */
void build_apt_add_debs(struct build_apt *a); /* units of what was installed without dpkg */
void build_apt_cancel_debs(struct build_apt *a);

#endif
