/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_priv.h - control groups: version 2, else version 1, else none.
 *
 * A sandbox's group lies in the group we are in where that is possible (so our own limits
 * hold for it too), else at the top. Its name has the keeper's process id, by which groups
 * that nobody looks after any more are found.
 *
 * Ownership: _release. Units: bytes. Errors: ERR_IO; a limit that cannot be set is one.
 * Threads:   no shared state. */
#ifndef STRATA_WORKER_SANDBOX_CGROUP_PRIV_H
#define STRATA_WORKER_SANDBOX_CGROUP_PRIV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* Folders in which groups can be made; NULL: not here. The same one twice in version 2. */
struct cgroup_place {
    int version; /* 0: none */
    char *memory, *pids;
};

void cgroup_place_find(struct cgroup_place *out);
void cgroup_place_release(struct cgroup_place *p);
void cgroup_sweep(const struct cgroup_place *p);

/* To move a process the kernel waits until every CPU has passed a quiet state, some 20 ms. Nothing
 * is waited for when clone3 starts the process in its group (version 2), or when a process with
 * one thread moves itself (version 1): so the first of the group is started by cgroup_clone and
 * calls cgroup_enter. */
struct cgroup {
    int version;
    char *memory, *pids; /* the group's folders; NULL: none */
    int doors[2];        /* version 2: the folder; 1: their "tasks"; -1: none */
    bool entered;        /* by clone3 */
};

bool cgroup_make(const struct cgroup_place *p, uint64_t memory_bytes, uint32_t processes,
                 struct cgroup *out, struct err *err);
pid_t cgroup_clone(struct cgroup *g, unsigned long flags); /* as fork, with these namespaces */
/* In that process, before it becomes somebody else; closes its doors. */
bool cgroup_enter(struct cgroup *g, struct err *err);
/* From outside: what an older kernel's version 2 needs, else nothing. */
bool cgroup_add(const struct cgroup *g, pid_t pid, struct err *err);
bool cgroup_had_oom(const struct cgroup *g);
uint64_t cgroup_peak_bytes(const struct cgroup *g); /* 0: not known */
void cgroup_remove(struct cgroup *g); /* when its processes are gone; all zero is fine */

#endif
