/* SPDX-License-Identifier: Apache-2.0 */
/* wire_priv.h - what sandbox, keeper and init tell each other, over SOCK_SEQPACKET.
 *
 * Errors:  false; errno. WIRE_CLOSED stands for the other end being gone.
 * Threads: no shared state; calls block unless the socket does not. */
#ifndef STRATA_WORKER_SANDBOX_WIRE_PRIV_H
#define STRATA_WORKER_SANDBOX_WIRE_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define WIRE_MAX_FDS 64

enum wire_kind {
    WIRE_CLOSED,
    WIRE_GO,      /* keeper -> init: ids and limits are set */
    WIRE_GATEWAY, /* init -> keeper -> sandbox: the listener */
    WIRE_STARTED, /* init -> keeper -> sandbox: the command runs */
    WIRE_FAILED,  /* init -> keeper: err */
    WIRE_EXITED,  /* init -> keeper: status of the command */
    WIRE_DONE,    /* init -> keeper: status of harvest; keeper -> sandbox: all */
    WIRE_CANCEL,  /* sandbox -> keeper */
};

struct wire {
    enum wire_kind kind;
    int status;
    bool flag; /* DONE: a harvest was made. EXITED: memory ran out */
    int ids;
    uint64_t peak_bytes;
    struct err err;
};

bool wire_send(int fd, const struct wire *w, const int *fds, size_t n);
/* fds: room for WIRE_MAX_FDS; NULL: none are expected, and closed. */
bool wire_recv(int fd, struct wire *w, int *fds, size_t *n);

#endif
