/* SPDX-License-Identifier: Apache-2.0 */
/* hook_priv.h - the inside of a hook's run: hook.c starts it, yield.c takes what came out.
 *
 *   yield: for each of enum pip_yield:  u64 size | bytes
 *
 * Little-endian, written by a process of ours inside the namespaces once the package's have
 * ended, of files that the package's code wrote. The highest sizes say why there are no bytes. */
#ifndef STRATA_WORKER_PIP_BUILD_HOOK_PRIV_H
#define STRATA_WORKER_PIP_BUILD_HOOK_PRIV_H

#include "worker/pip_build/hook.h"

#define PIP_YIELD_DIR "/build/out"

enum pip_yield { YIELD_REQUIRES, YIELD_METADATA, YIELD_NAME, YIELD_WHEEL, YIELD_COUNT };

/* Copies the files of PIP_YIELD_DIR; an exit status. */
int pip_yield_write(int out_fd);
/* ERR_CORRUPT: not such a stream; ERR_BAD_ARCHIVE, ERR_TOO_LARGE: what the files are. A file that
 * is not there has ptr NULL. */
bool pip_yield_read(struct span stream, struct span out[YIELD_COUNT], struct err *err);

extern const char pip_hook_driver[]; /* driver.c: Python */

#endif
