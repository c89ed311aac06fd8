/* SPDX-License-Identifier: Apache-2.0 */
/* wheel_normal.h - a wheel as a build made it becomes one whose bytes tell nothing of when and
 * where: entries sorted (the dist-info folder last), no folders, modes 0644 or 0755, one time,
 * RECORD sorted.
 *
 * What the files hold is left as it is. Doing it twice changes nothing.
 *
 * Errors:  ERR_BAD_ARCHIVE, ERR_TOO_LARGE, ERR_UNSUPPORTED: as zip.h and record.h say.
 * Threads: pure.
 * Source:  the binary distribution format (PEP 427). */
#ifndef STRATA_RESOLVERS_PIP_WHEEL_NORMAL_H
#define STRATA_RESOLVERS_PIP_WHEEL_NORMAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

bool pip_wheel_normalise(struct span wheel, int64_t source_date_epoch, struct buf *out,
                         struct err *err);

#endif
