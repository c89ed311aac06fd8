/* SPDX-License-Identifier: Apache-2.0 */
/* deb_build.h - small Debian packages for tests, not compressed.
 *
 * Ownership: the buffer is the caller's. */
#ifndef STRATA_TESTS_WORKER_APT_LAYER_DEB_BUILD_H
#define STRATA_TESTS_WORKER_APT_LAYER_DEB_BUILD_H

#include "base/buf.h"

struct deb_row {
    const char *path; /* "./usr/" */
    char type;        /* of tar: '0' file, '5' folder, '2' link, '1' hard link, '3' device */
    unsigned mode, uid;
    const char *text; /* content, or target */
};

/* Rows end with a path of NULL; control rows too ("control" is made from `name`). */
void deb_build(struct buf *out, const char *control, const struct deb_row *controls,
               const struct deb_row *data);

#endif
