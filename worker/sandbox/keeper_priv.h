/* SPDX-License-Identifier: Apache-2.0 */
/* keeper_priv.h - the process that looks after one sandbox from outside.
 *
 * It sets limits and ids, starts init, keeps the deadline, passes on what init tells, and
 * cleans up; all the same when the worker is gone, which it sees by the end of control_fd.
 *
 * Threads: runs in a child process of its own and never returns. */
#ifndef STRATA_WORKER_SANDBOX_KEEPER_PRIV_H
#define STRATA_WORKER_SANDBOX_KEEPER_PRIV_H

#include "worker/sandbox/guest_priv.h"

struct keeper_start {
    const struct sandbox_spec *spec;
    int control_fd, in_fd, out_fd, err_fd;
};

_Noreturn void keeper_main(const struct keeper_start *start);

struct sandbox_limits limits_with_defaults(const struct sandbox_limits *l);

#endif
