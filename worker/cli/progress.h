/* SPDX-License-Identifier: Apache-2.0 */
/* progress.h - shows a build to a person: bars on a terminal, plain lines elsewhere.
 *
 * On a terminal one line a manager is redrawn a few times a second (phase, packages, bytes and
 * their rate); log lines are written above the bars. In a pipe each manager's phase is a line when
 * it changes. Everything goes to stderr.
 *
 * Ownership: the display watches the build it is given until progress_stop.
 * Threads:   loop thread; progress_log may be called from any. */
#ifndef STRATA_WORKER_CLI_PROGRESS_H
#define STRATA_WORKER_CLI_PROGRESS_H

#include "base/log.h"
#include "worker/build.h"

enum progress_style { PROGRESS_QUIET, PROGRESS_PLAIN, PROGRESS_BARS };

struct progress;

/* What suits stderr: bars on a capable terminal of some width, else plain lines. */
enum progress_style progress_style_here(void);

struct progress *progress_new(uv_loop_t *loop, enum progress_style style);
void progress_watch(struct progress *p, const struct build *b);
/* The same for what only tells of its progress, as build_progress does. */
typedef size_t progress_source(const void *ctx, const struct build_progress **list);
void progress_watch_source(struct progress *p, progress_source *source, const void *ctx);
void progress_stop(struct progress *p); /* draws the last state; the build may be freed then */
void progress_free(struct progress *p); /* run the loop once more */

/* A log sink (log.h) that keeps lines and bars apart; ctx is the struct progress. */
void progress_log(void *ctx, enum log_level level, const char *line);

/* "12.3 MB", "980 kB", "12 B" into out; returns it. */
const char *progress_bytes(uint64_t n, char out[16]);

#endif
