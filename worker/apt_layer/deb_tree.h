/* SPDX-License-Identifier: Apache-2.0 */
/* deb_tree.h - what a package has in it, unpacked once on a machine.
 *
 *   HOME/debs/<hex of the .deb>-<merged>/       its files and its part of dpkg's data base, ready
 *                                              to be a lower folder of an overlay
 *   HOME/debs/<hex of the .deb>-<merged>.tree   the list of what is in it; there: it is whole
 *
 * The folder is as `dpkg --unpack` leaves a package: configuration files under the names that dpkg
 * gives them until it configures. Whether a package may be unpacked here and not by dpkg is told by
 * `why_dpkg`: a script that runs before unpacking, device nodes and other odd things are dpkg's.
 *
 * `merged` is which of /bin, /sbin, /lib... are links into /usr in the base: paths in the tree are
 * as they really are there, dpkg's lists have them as the package does.
 *
 * Ownership: deb_tree_free. Contents (node.content) are good while the tree lives, and empty in
 *            one that was recalled.
 * Errors:    ERR_BAD_ARCHIVE: no package at all; what only dpkg may judge is no error; ERR_IO...
 * Threads:   any; calls block. Several processes may make one folder at once.
 * Source:    deb(5), deb-control(5), deb-triggers(5), deb-conffiles(5); dpkg's info/ files. */
#ifndef STRATA_WORKER_APT_LAYER_DEB_TREE_H
#define STRATA_WORKER_APT_LAYER_DEB_TREE_H

#include "base/arena.h"
#include "base/buf.h"
#include "cache/segment.h"

#define DEBS_FOLDER "debs"

struct deb_node {
    struct span path;   /* as in the base */
    struct span listed; /* as in the package; empty: none of its files */
    enum entry_type type;
    uint32_t mode, uid, gid;
    int64_t mtime;
    struct span target, content;
    bool conffile;        /* in the folder as PATH.dpkg-new */
    struct digest sha256; /* of a conffile */
};

struct deb_owner { /* an account that the package names */
    bool group;
    uint32_t id;
    struct span name;
};

struct deb_tree {
    struct arena *arena;
    struct buf data;      /* the tar that contents point into */
    const char *why_dpkg; /* NULL: may be unpacked here */
    struct span package, version, arch;
    bool multi_arch_same;
    bool first;                 /* DEB_FIRST */
    struct span control;        /* the stanza, whole lines */
    struct span conffiles;      /* "/etc/x" lines */
    struct span triggers;       /* of its control files */
    VEC(struct deb_node) nodes; /* folders before what is in them */
    VEC(struct deb_owner) owners;
    char *folder; /* absolute; NULL when why_dpkg */
};

/* "bin", "sbin", "lib", "lib64", "lib32", "libx32", bit 0 first. */
#define DEB_MERGED_COUNT 6
extern const char *const deb_merged_names[DEB_MERGED_COUNT];
/* Beside those bits: the package is one of the first of a root that is being made, so a script that
 * runs before unpacking is no reason to leave it to dpkg, which is not there yet. */
#define DEB_FIRST 0x40u
/* Where a path of a package really is. */
struct span deb_real_path(struct arena *a, struct span path, unsigned merged);

/* Reads a package; `merged` as above. */
struct deb_tree *deb_tree_read(struct span deb, unsigned merged, struct err *err);

/* Makes or recalls the folder of a blob of the store. with_content: nodes are to have theirs. */
struct deb_tree *deb_tree_open(struct store *store, const struct digest *blob, unsigned merged,
                               bool with_content, struct err *err);
void deb_tree_free(struct deb_tree *t); /* NULL is fine */

/* The package's segment: its files under their own names. The tree must outlive the plan, whose
 * release drops the contents. */
void deb_tree_plan(struct deb_tree *t, struct segment_plan *plan);

/* The list as text and back; false: not one of ours. */
void deb_tree_print(const struct deb_tree *t, struct buf *out);
bool deb_tree_parse(struct span text, struct deb_tree *t);

/* Removes folders whose .deb the store no longer has, and what a crash left. */
bool deb_trees_sweep(struct store *store, struct err *err);

#endif
