/* SPDX-License-Identifier: Apache-2.0 */
/* hook.h - one run of a Python build back end over a source distribution, in the sandbox.
 *
 * PROBE asks what else a build of a wheel needs (get_requires_for_build_wheel) and, when that is
 * all there, for the metadata (prepare_metadata_for_build_wheel, or out of a wheel). WHEEL makes
 * the wheel. The source is unpacked anew for each run, in memory; the back end and its requirements
 * are in the layers' virtual environment; there is no network. Each hook runs in a process of its
 * own.
 *
 * Ownership: the job and all it points to stay the caller's until done() returned, the results
 *            until pip_hook_release.
 * Units:     bytes, milliseconds, seconds where it says so.
 * Errors:    ERR_SCRIPT with the end of the back end's output, ERR_TIMEOUT, ERR_TOO_LARGE,
 *            ERR_BAD_ARCHIVE (what came out is not what it should be), ERR_DENIED, ERR_CANCELLED.
 * Threads:   loop thread; done() once, never from inside pip_hook_start.
 * Source:    PEP 517, PEP 518. */
#ifndef STRATA_WORKER_PIP_BUILD_HOOK_H
#define STRATA_WORKER_PIP_BUILD_HOOK_H

#include "base/io.h"
#include "base/json.h"
#include "resolvers/pip/build_system.h"
#include "worker/sandbox/sandbox.h"

enum pip_hook { PIP_HOOK_PROBE, PIP_HOOK_WHEEL };

struct pip_hook_job {
    uv_loop_t *loop;
    const struct sandbox_host *host;
    int scratch_dir_fd; /* where a file without a name may be made */
    const char *const *lower_dirs;
    size_t lower_count;
    const char *const *base_dirs; /* the root below them; 0: this machine's */
    size_t base_count;
    const char *python; /* "3.11": what the interpreter has to be */
    enum pip_hook hook;
    bool ask_requires; /* PROBE: else they are all there */
    const char *filename;
    struct span archive; /* its bytes */
    struct span top;     /* its folder */
    const struct pip_build_system *recipe;
    int64_t source_date_epoch;                                /* seconds */
    int64_t wall_ms;                                          /* 0: the sandbox's default */
    void (*line)(struct pip_hook_job *job, const char *text); /* output; may be NULL */
    void (*done)(struct pip_hook_job *job);
    void *ctx;
    /* Results: */
    struct err err;
    json_t *requires;     /* array of strings, when asked for; else NULL */
    struct span metadata; /* ptr NULL: `requires` has to be there first */
    struct span wheel, wheel_name;
    void *state;
};

void pip_hook_start(struct pip_hook_job *job);
void pip_hook_cancel(struct pip_hook_job *job); /* fine after done() */
void pip_hook_release(struct pip_hook_job *job);

#endif
