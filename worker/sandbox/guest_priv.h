/* SPDX-License-Identifier: Apache-2.0 */
/* guest_priv.h - the first process inside: builds the root, starts the command, waits.
 *
 * Threads: runs in a child process of its own and never returns. */
#ifndef STRATA_WORKER_SANDBOX_GUEST_PRIV_H
#define STRATA_WORKER_SANDBOX_GUEST_PRIV_H

#include "worker/sandbox/host_priv.h"
#include "worker/sandbox/sandbox.h"
#include "worker/sandbox/wire_priv.h"

/* A folder or file of this machine that gets mounted inside. */
enum source_kind { SOURCE_BASE, SOURCE_LAYERS, SOURCE_UPPER, SOURCE_BIND, SOURCE_DEVICE };

struct source {
    enum source_kind kind;
    const char *path;
    size_t index; /* of a bind or device */
    int tree_fd;  /* a detached mount of it; -1: not opened yet */
    bool id_mapped;
};

struct sources {
    struct source v[WIRE_MAX_FDS];
    size_t n;
};

/* The keeper's view of the sandbox, which init inherits. */
struct plan {
    const struct sandbox_spec *spec;
    const struct sandbox_host *host;
    struct sandbox_limits limits; /* with the defaults filled in */
    enum id_map map;
    struct sources sources;
    int in_fd, out_fd, err_fd;
    int inner_fd; /* init's end */
    struct cgroup *group;
    bool watch_memory; /* no control group does it */
};

extern const char *const sandbox_devices[];
extern const size_t sandbox_device_count;

/* Lists what has to be opened; false: too many. */
bool sources_list(const struct sandbox_spec *spec, struct sources *out, struct err *err);
/* Opens detached mounts of them. map_ns_fd: map their ids with this user namespace's, where
 * the role wants it (-1: do not). recursive: with what is mounted below. */
bool sources_open(struct sources *s, const struct sandbox_spec *spec, int map_ns_fd, bool recursive,
                  struct err *err);
void sources_close(struct sources *s);

/* Builds the root and enters it. *upper_fd: the writable folder, for harvest. */
bool root_build(struct plan *p, int *upper_fd, struct err *err);

_Noreturn void guest_main(struct plan *p);

#endif
