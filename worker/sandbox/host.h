/* SPDX-License-Identifier: Apache-2.0 */
/* host.h - what this machine allows a sandbox: namespaces, overlays, id ranges, limits.
 *
 * Found out once by trying, and shared by all sandboxes of a program, together with the
 * compiled system call filters. `build-env doctor` prints the checks.
 *
 * Ownership: the host is the caller's and outlives its sandboxes.
 * Errors:    ERR_IO, ERR_DENIED.
 * Threads:   read-only once made. sandbox_host_new forks and blocks for some milliseconds. */
#ifndef STRATA_WORKER_SANDBOX_HOST_H
#define STRATA_WORKER_SANDBOX_HOST_H

#include "base/err.h"

struct sandbox_host;

struct sandbox_check {
    const char *name; /* "user_namespaces" */
    bool ok, required;
    char found[200]; /* what was found */
    char fix[240];   /* what to do or to run; empty when ok */
};

/* home is $STRATA_HOME: hidden from sandboxes, and where overlays are tried. Removes control
 * groups that killed programs left behind. */
struct sandbox_host *sandbox_host_new(const char *home, struct err *err);
void sandbox_host_free(struct sandbox_host *h); /* NULL is fine */

const struct sandbox_check *sandbox_host_checks(const struct sandbox_host *h, size_t *count);
/* Does nobody in a sandbox see this path ("var/log/x") of this machine? */
bool sandbox_hides(const struct sandbox_host *h, const char *path);
bool sandbox_host_usable(const struct sandbox_host *h, struct err *err); /* err: first failure */

#endif
