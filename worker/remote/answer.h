/* SPDX-License-Identifier: Apache-2.0 */
/* answer.h - what a build-worker answers, read without trust.
 *
 * Ownership: texts that are kept go to the arena.
 * Errors:    see remote.h.
 * Threads:   pure. */
#ifndef STRATA_WORKER_REMOTE_ANSWER_H
#define STRATA_WORKER_REMOTE_ANSWER_H

#include "base/arena.h"
#include "worker/remote/remote.h"

/* A text for a terminal: control characters, also those of C1, become '?', at most `max`
 * bytes are kept. NULL stays NULL. */
const char *answer_text(struct arena *a, const char *text, size_t max);

/* Is it "bld_" and letters or digits, fit for a path? */
bool answer_is_id(const char *id);

/* The error that a refusal tells: status is no 2xx. Always false. `body` may be NULL. */
bool answer_refusal(struct arena *a, int status, const json_t *body, struct err *err);

/* A build resource into the result; *ended: it goes on no more. False: it is no build. */
bool answer_build(struct arena *a, const json_t *build, struct remote_result *out, bool *ended,
                  struct err *err);

/* {"pip":{"phase",...},...} into the rows of those managers. */
void answer_progress(const json_t *managers, struct build_progress *rows, size_t count);
/* One manager's phase, when both are known. */
void answer_phase(const json_t *data, struct build_progress *rows, size_t count);

#endif
