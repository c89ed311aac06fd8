/* SPDX-License-Identifier: Apache-2.0 */
/* runner.h - takes builds from the queue and runs them, `jobs` at once.
 *
 *   lease -> start -> (heartbeats, lines, phases) -> finish
 *
 * What happens is kept as events of the build (phase, log, result) and told to watchers at
 * once. A build whose lease is lost is stopped: another worker has it. runner_drain takes no
 * new builds; what still runs at the deadline is cancelled and handed back to the queue.
 *
 * Ownership: the caller's db, builder and log outlive the runner.
 * Units:     milliseconds.
 * Errors:    a database that fails now is asked again a second later; the job's lease decides.
 * Threads:   loop thread only. */
#ifndef STRATA_WORKER_API_RUNNER_H
#define STRATA_WORKER_API_RUNNER_H

#include "base/log.h"
#include "worker/api/builder.h"
#include "worker/api/db.h"

struct runner;

struct runner_options {
    unsigned jobs;      /* builds at once; 0: only others build */
    const char *worker; /* this process's name in leases */
    int64_t lease_ms;
    int64_t keep_ms; /* how long ended builds and their events are kept; 0: for ever */
    const struct log *log;
};

struct runner *runner_new(uv_loop_t *loop, struct db *db, struct builder *builder,
                          const struct runner_options *options);
void runner_nudge(struct runner *r); /* something may have been enqueued */
void runner_set_jobs(struct runner *r, unsigned jobs);
/* Stops a build of ours at once; others notice by their heartbeats. */
void runner_cancel(struct runner *r, const char *build);
/* Progress of a build that runs here, by manager; NULL: it does not. New reference. */
json_t *runner_progress(struct runner *r, const char *build);

/* Calls done when nothing runs any more. */
void runner_drain(struct runner *r, int64_t deadline_ms, void (*done)(void *ctx), void *ctx);
void runner_free(struct runner *r); /* after draining; then run the loop once more */

/* Who wants to know of a build: woken when it has new events, or progress worth showing. */
struct runner_watch {
    char build[JOB_ID_SIZE];
    void (*wake)(struct runner_watch *w, bool progress_only);
    struct runner_watch *next, *prev;
};
void runner_watch(struct runner *r, struct runner_watch *w);
void runner_unwatch(struct runner_watch *w); /* fine when it is not watching */

struct runner_counts {
    unsigned running;
    uint64_t succeeded, failed, cancelled, lost;
    uint64_t build_ms; /* of all that ended */
};
struct runner_counts runner_counts(const struct runner *r);

#endif
