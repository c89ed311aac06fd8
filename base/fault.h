/* SPDX-License-Identifier: Apache-2.0 */
/* fault.h - makes the nth durable step fail, so that every failure can be tried.
 *
 * Each write, fsync, rename, link and unlink of ours passes a fault point first. Nothing is
 * armed in ordinary runs: a point is then one relaxed load.
 *
 *     for (int n = 1;; n++) {
 *         fault_arm(n, ENOSPC);
 *         ok = put_fixture(&err);
 *         if (!fault_disarm()) break;   // never fired: every step was tried
 *     }
 *
 * Programs arm from the environment: STRATA_FAULT=fail:N (ENOSPC at the Nth point),
 * STRATA_FAULT=full:N (ENOSPC from the Nth on), STRATA_FAULT=kill:N (SIGKILL to ourselves).
 *
 * Threads:   points count atomically over all threads. */
#ifndef STRATA_BASE_FAULT_H
#define STRATA_BASE_FAULT_H

#include <stdbool.h>

void fault_arm(int nth, int sys_errno);
bool fault_disarm(void); /* true: it had fired */
void fault_arm_from_env(void);

/* False, with errno set, when this step is to fail. */
bool fault_point(void);

#endif
