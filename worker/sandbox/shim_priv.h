/* SPDX-License-Identifier: Apache-2.0 */
/* shim_priv.h - the topmost lower layer: what a sandbox adds to its root or hides of it.
 *
 * Being a lower layer it is no part of what the command writes. It has places for mounts, the
 * spec's files, name resolution that leads nowhere, and, over this machine's own root,
 * whiteouts of what is nobody's business.
 *
 * Threads: init only. */
#ifndef STRATA_WORKER_SANDBOX_SHIM_PRIV_H
#define STRATA_WORKER_SANDBOX_SHIM_PRIV_H

#include "worker/sandbox/guest_priv.h"

/* Folders that are the sandbox's own; the root has places for them. */
extern const char *const private_folders[];
extern const size_t private_folder_count;
bool path_is_private(const char *path); /* "/tmp/x", "/tmp" */

/* host_fd: this machine's root, when it is the base; -1: it is not. */
bool shim_build(const struct plan *p, int shim_fd, int host_fd, struct err *err);

/* Writes a file of the spec below a folder in which nobody else has made anything. */
bool shim_put_file(int dir_fd, const struct sandbox_file *f, struct err *err);
/* A folder or an empty file to mount on. */
bool shim_put_place(int dir_fd, const char *path, bool folder, struct err *err);

bool bind_is_folder(const struct plan *p, size_t index); /* what is bound, not its place */

/* Which of the root's own names may show. */
bool host_name_shows(const char *name);

#endif
