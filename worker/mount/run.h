/* SPDX-License-Identifier: Apache-2.0 */
/* run.h - runs a command with an environment mounted over this machine's root.
 *
 * The command sees the machine as it is (its files, network, processes, terminal), and the
 * environment's layers at their paths. They are mounted in a namespace of the command's
 * own, as root or as an ordinary user, and are gone with its last process: nothing is
 * created on the machine.
 *
 * The command stays in our process group, so the terminal's signals reach it; those sent to
 * us (TERM, HUP, INT, QUIT, USR1, USR2, WINCH, CONT, TSTP) are passed on. It dies with us.
 *
 * Ownership: all of the spec stays the caller's.
 * Errors:    ERR_NOT_FOUND: no such command, ERR_DENIED: not executable, or the machine
 *            allows no namespaces (the text says how to allow them); ERR_UNSUPPORTED, ERR_IO.
 * Threads:   blocks until the command has ended. Other threads may be running. */
#ifndef STRATA_WORKER_MOUNT_RUN_H
#define STRATA_WORKER_MOUNT_RUN_H

#include "base/err.h"

struct run_spec {
    /* Unpacked layers (layer_dir.h), in the manifest's order: a later one covers the earlier. */
    const char *const *lower_dirs;
    size_t lower_count;
    /* The root below them, in the same order; none: this machine's root. */
    const char *const *base_dirs;
    size_t base_count;
    const char *const *env_set;      /* "KEY=VALUE", NULL at the end; NULL: none */
    const char *const *path_prepend; /* folders, the first one first in PATH; as env_set */
    const char *const *argv;         /* NULL at the end. NULL: $SHELL, or /bin/sh */
    /* The environment's folders can be written to; what is written is dropped at the end. */
    bool writable;
};

/* What shells and env(1) end with when a command is missing, or there and cannot be started. */
enum { RUN_NOT_STARTED = 126, RUN_NOT_FOUND = 127 };

/* *status: the exit status, or 128 + the signal that ended it; RUN_* when there is an error that
 * is the command's, 0 when the environment could not even be mounted. */
bool run_command(const struct run_spec *spec, int *status, struct err *err);

#endif
