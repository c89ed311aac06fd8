/* SPDX-License-Identifier: Apache-2.0 */
/* yield.h - what a hook's run leaves, out of the sandbox as one stream.
 *
 *   for each of enum pip_yield:  u64 size | bytes
 *
 * Little-endian, written by a process of ours inside the namespaces once the package's have
 * ended, of files that the package's code wrote. The highest sizes say why there are no bytes.
 *
 * Errors:  ERR_CORRUPT: not such a stream; ERR_BAD_ARCHIVE, ERR_TOO_LARGE: what the files are.
 * Threads: _write in a child; _read is pure. */
#ifndef STRATA_WORKER_PIP_BUILD_YIELD_H
#define STRATA_WORKER_PIP_BUILD_YIELD_H

#include <stdbool.h>

#include "base/err.h"
#include "base/span.h"

#define PIP_YIELD_DIR "/build/out"

enum pip_yield { YIELD_REQUIRES, YIELD_METADATA, YIELD_NAME, YIELD_WHEEL, YIELD_COUNT };

/* Copies the files of PIP_YIELD_DIR; an exit status. */
int pip_yield_write(int out_fd);
/* A file that is not there has ptr NULL. */
bool pip_yield_read(struct span stream, struct span out[YIELD_COUNT], struct err *err);

#endif
