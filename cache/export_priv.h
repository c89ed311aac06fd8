/* SPDX-License-Identifier: Apache-2.0 */
/* export_priv.h - a file that is there whole or not at all, or standard output ("-"). */
#ifndef STRATA_CACHE_EXPORT_PRIV_H
#define STRATA_CACHE_EXPORT_PRIV_H

#include "base/io.h"

struct export_file {
    int fd;
    int dir_fd; /* -1: standard output */
    struct staged *staged;
    char *name;
};

bool export_file_open(struct export_file *f, const char *path, struct err *err);
/* ok: publishes it; else drops it. Returns ok, or false with err. */
bool export_file_close(struct export_file *f, bool ok, struct err *err);

#endif
