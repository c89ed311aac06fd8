/* SPDX-License-Identifier: Apache-2.0 */
/* proc.h - runs another program and collects what it says.
 *
 * argv goes to execve as it is: there is no shell anywhere. The child leads its own process
 * group, which is killed whole at the deadline.
 *
 * Ownership: out and errout are the caller's buffers; their ceilings bound what is kept, the
 *            rest is read and dropped (overflow is set).
 * Units:     milliseconds, bytes; 0 means no deadline or limit.
 * Errors:    ERR_NOT_FOUND: no such program; ERR_TIMEOUT; ERR_IO. A status other than 0 is
 *            no error here.
 * Threads:   blocks; call it on the pool or at start-up. */
#ifndef STRATA_BASE_PROC_H
#define STRATA_BASE_PROC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct proc {
    const char *const *argv;  /* NULL-terminated; argv[0] is looked up in PATH */
    const char *const *env;   /* NULL: ours */
    const char *cwd;          /* NULL: ours */
    struct span input;        /* its standard input */
    struct buf *out, *errout; /* NULL: dropped */
    int64_t timeout_ms;
    uint64_t memory_bytes; /* of its address space */
    uint64_t cpu_s;        /* processor seconds */
    bool no_files;         /* what it writes to files is cut at 0 bytes; pipes are not files */
};

/* *status: the exit status, or 128 + the signal. */
bool proc_run(const struct proc *p, int *status, struct err *err);

/* The first executable file of that name in $PATH (or itself when it has a slash), as a
 * malloc'ed path; NULL when there is none. */
char *proc_find(const char *name);

#endif
