/* SPDX-License-Identifier: Apache-2.0 */
/* shim_priv.h - two lower layers of the sandbox's own, which are no part of what a command writes.
 *
 * The shim is the topmost: places for mounts, the spec's files, name resolution that leads
 * nowhere. The mask lies right over the base, below all layers: whiteouts of what the spec hides
 * of a base, and, over this machine's own root, of what is nobody's business.
 *
 * Threads: init only. */
#ifndef STRATA_WORKER_SANDBOX_SHIM_PRIV_H
#define STRATA_WORKER_SANDBOX_SHIM_PRIV_H

#include "worker/sandbox/guest_priv.h"

/* Folders that are the sandbox's own; the root has places for them. */
extern const char *const private_folders[];
extern const size_t private_folder_count;
bool path_is_private(const char *path); /* "/tmp/x", "/tmp" */

bool shim_build(const struct plan *p, int shim_fd, struct err *err);
/* base_fd: the base's topmost root; is_host: it is this machine's. */
bool mask_build(const struct plan *p, int mask_fd, int base_fd, bool is_host, struct err *err);

/* Writes a file of the spec below a folder in which nobody else has made anything. */
bool shim_put_file(int dir_fd, const struct sandbox_file *f, struct err *err);
/* A folder or an empty file to mount on. */
bool shim_put_place(int dir_fd, const char *path, bool folder, struct err *err);

bool bind_is_folder(const struct plan *p, size_t index); /* what is bound, not its place */

/* Which of the root's own names may show. */
bool host_name_shows(const char *name);

#endif
