/* SPDX-License-Identifier: Apache-2.0 */
/* log.h - lines for people, to wherever the program wants them.
 *
 * A struct log is passed down; there is no global one. The default sink writes
 * "level: text" lines to stderr; build-env puts its progress display in between, a worker
 * writes JSON lines and copies a build's lines to its subscribers.
 *
 * A line is one line, and harmless for a terminal (plain.h), whatever was put into it.
 *
 * Ownership: the caller's; outlives all who hold it.
 * Threads:   log_line from any thread; a sink must be safe for that. */
#ifndef STRATA_BASE_LOG_H
#define STRATA_BASE_LOG_H

#include "base/span.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct log {
    enum log_level level;                                            /* what is above is dropped */
    void (*sink)(void *ctx, enum log_level level, const char *line); /* NULL: stderr */
    void *ctx;
};

void log_line(const struct log *log, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4))); /* log NULL: drops it */
const char *log_level_name(enum log_level level);

#endif
