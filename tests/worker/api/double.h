/* SPDX-License-Identifier: Apache-2.0 */
/* double.h - a builder whose builds end as their packages say, for tests of the API.
 *
 *   pip "fails"            ends with ERR_UNRESOLVABLE: permanent
 *   pip "flaky"            ends with ERR_NETWORK: transient
 *   pip "slow-MS==1"       takes so many milliseconds (cancellable)
 *   pip "chatty-N"         writes N lines to its log
 * anything else is an artifact whose digest is a function of the packages (or of the lock). */
#ifndef STRATA_TESTS_WORKER_API_DOUBLE_H
#define STRATA_TESTS_WORKER_API_DOUBLE_H

#include <uv.h>

#include "worker/api/builder.h"

struct builder *double_new(uv_loop_t *loop);
void double_free(struct builder *b); /* then run the loop once more */

/* Builds that were started, and how many of one package set ran at once at most. */
unsigned double_started(const struct builder *b);

#endif
