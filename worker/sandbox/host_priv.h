/* SPDX-License-Identifier: Apache-2.0 */
/* host_priv.h - the inside of a sandbox host. */
#ifndef STRATA_WORKER_SANDBOX_HOST_PRIV_H
#define STRATA_WORKER_SANDBOX_HOST_PRIV_H

#include <linux/filter.h>
#include <sys/types.h>

#include "worker/sandbox/cgroup_priv.h"
#include "worker/sandbox/host.h"

/* Ids of this machine that nobody has: what 0 and the following are to it as root. */
#define RANGE_START 1879048192u
#define RANGE_COUNT 65536u

#define HOST_CHECKS 8

struct id_range {
    uint32_t start, count; /* count 0: none */
};

struct sandbox_host {
    char *home; /* $STRATA_HOME, absolute */
    uid_t uid;
    gid_t gid;
    bool is_root;    /* of the initial namespace, or one that may mount */
    int range_ns_fd; /* a user namespace with the range, for id-mapped mounts; -1 */
    struct id_range sub_uid, sub_gid;
    char *newuidmap, *newgidmap; /* NULL: not there */
    bool sub_works;
    struct cgroup_place cgroups;
    struct sock_fprog filter, filter_single; /* the second pretends changes of owner */
    struct sandbox_check checks[HOST_CHECKS];
    size_t check_count;
};

bool filter_compile(struct sock_fprog *out, bool single_id, struct err *err);

enum id_map { ID_MAP_RANGE, ID_MAP_SAME, ID_MAP_SUB, ID_MAP_SINGLE };

/* What an ordinary user gets. */
enum id_map host_user_map(const struct sandbox_host *h);

/* Gives a process in a new user namespace its ids. */
bool id_map_write(const struct sandbox_host *h, enum id_map map, pid_t pid, struct err *err);

/* Runs fn in a process of its own, as root of a user namespace with those ids. */
bool id_map_run(const struct sandbox_host *h, enum id_map map, int (*fn)(void *ctx), void *ctx,
                int *status, struct err *err);

/* A descriptor of a user namespace with those ids, or -1. */
int id_map_namespace(const struct sandbox_host *h, enum id_map map);

#endif
