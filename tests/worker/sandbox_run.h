/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox_run.h - runs one sandbox to its end and collects what it said, for tests. */
#ifndef STRATA_TESTS_WORKER_SANDBOX_RUN_H
#define STRATA_TESTS_WORKER_SANDBOX_RUN_H

#include "worker/sandbox/sandbox.h"

/* As who we are; as an ordinary user with a range of ids, and without one. */
enum box_way { BOX_SELF, BOX_USER, BOX_SINGLE, BOX_WAYS };

#define BOX_USER_ID 54321

struct box {
    struct sandbox_spec spec; /* host, loop, callbacks and ctx are filled in */
    enum box_way way;
    int64_t cancel_after_ms;  /* 0: never */
    bool kill_worker;         /* once the first line came, by SIGKILL */
    bool kill_keeper;         /* as well, and before */
    bool remove_upper;        /* afterwards */
    const char *gateway_says; /* what the gateway answers */
    /* Result: */
    struct sandbox_result result;
    bool started;
    struct err err; /* when not */
    char out[32768], errout[8192];
};

/* In a process of its own. False: this machine allows no sandbox that way, said so. */
bool box_run(struct box *b);

const char *box_folder(void); /* a fresh one below the test's; box_fresh makes another */
void box_fresh(void);
void box_give(const struct box *b); /* the folder's owner becomes who runs the box */

#endif
