/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/plain.h"

const char *log_level_name(enum log_level level)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    return names[level];
}

void log_line(const struct log *log, enum log_level level, const char *fmt, ...)
{
    if (!log || level > log->level)
        return;
    char line[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    plain_str(line, PLAIN_ONE_LINE);
    if (log->sink)
        log->sink(log->ctx, level, line);
    else
        fprintf(stderr, "%s: %s\n", log_level_name(level), line);
}
