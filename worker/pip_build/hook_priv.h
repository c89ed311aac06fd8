/* SPDX-License-Identifier: Apache-2.0 */
/* hook_priv.h - the program that runs inside. */
#ifndef STRATA_WORKER_PIP_BUILD_HOOK_PRIV_H
#define STRATA_WORKER_PIP_BUILD_HOOK_PRIV_H

extern const char pip_hook_driver[]; /* driver.c: Python */

#endif
