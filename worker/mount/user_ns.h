/* SPDX-License-Identifier: Apache-2.0 */
/* user_ns.h - leaves the machine's mount namespace, with a user namespace where needed.
 *
 * Errors:  ERR_DENIED with what would allow it.
 * Threads: a process with one thread. */
#ifndef STRATA_WORKER_MOUNT_USER_NS_H
#define STRATA_WORKER_MOUNT_USER_NS_H

#include <stdbool.h>

#include "base/err.h"

/* A mount namespace of our own, from which nothing gets out. *user_ns: a user namespace was
 * made too, in which our ids are what they were. Works in a chroot, too, whose root is a plain
 * folder, if anything is mounted below it. */
bool mount_ns_enter(bool *user_ns, struct err *err);

/* In words, why this machine may refuse user namespaces and what to do. */
const char *user_ns_hint(void);

#endif
