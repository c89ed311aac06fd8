/* SPDX-License-Identifier: Apache-2.0 */
/* native.h - which packages need no dpkg to be unpacked, and what dpkg has to know of them.
 *
 * A package whose files meet nothing in the base and in no other package, and of which no script
 * runs before unpacking, is unpacked by laying its folder (deb_tree.h) below the overlay. dpkg
 * then finds it `unpacked` in its data base and configures it. All others are dpkg's to unpack.
 *
 * Looked at: what is installed, files and links of the base in the way, folders that are links
 * there, diversions, overridden owners and modes, path-exclude, accounts with other numbers, files
 * that two of the packages bring.
 *
 * Ownership: apt_native_release; the trees stay the caller's and must outlive it.
 * Errors:    ERR_IO where the base cannot be read.
 * Threads:   any; calls block.
 * Source:    deb-triggers(5), dpkg's doc/triggers.txt and status format, dpkg.cfg(5). */
#ifndef STRATA_WORKER_APT_LAYER_NATIVE_H
#define STRATA_WORKER_APT_LAYER_NATIVE_H

#include "base/map.h"
#include "worker/apt_layer/deb_tree.h"

/* So many folders at most are laid over one another; overlays end at 500. */
#define NATIVE_MAX_FOLDERS 400

/* What goes into dpkg's data base. */
struct apt_native_db {
    struct buf status;    /* stanzas */
    struct buf interests; /* lines for triggers/File */
    struct buf named;     /* "TRIGGER PACKAGE": lines for triggers/TRIGGER */
    struct buf pending;   /* lines for triggers/Unincorp */
};

struct apt_native {
    struct arena *arena;
    bool *chosen; /* of the trees, in their order */
    size_t chosen_count;
    const char **folders;       /* of the chosen */
    struct map names;           /* of the chosen packages */
    struct map conffiles;       /* path -> struct deb_node */
    struct apt_native_db first; /* of packages that are the root's first (DEB_FIRST) */
    struct apt_native_db rest;
    struct buf preinsts; /* "NAME ARCH FILE": scripts of the first ones, to be run by hand */
    struct buf modes;    /* "MODE UID GID PATH": folders that are the base's and keep its owners */
};

/* trees[i] may be NULL: dpkg's. base: path of the root ("/" for this machine's). */
bool apt_native_plan(struct deb_tree *const *trees, size_t count, const char *base, unsigned merged,
                     struct apt_native *out, struct err *err);
void apt_native_release(struct apt_native *n); /* all zero is fine */

/* Which of /bin, /lib... are links into /usr there: deb_tree.h's `merged`. */
unsigned apt_base_merged(const char *base);

#endif
