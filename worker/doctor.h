/* SPDX-License-Identifier: Apache-2.0 */
/* doctor.h - what is in force on this machine, and what is wrong with it.
 *
 * Registries of all managers and where they were found, interpreters and the platform, settings
 * and their sources, the store, and what the machine allows a sandbox. Each problem comes with
 * the command or line that mends it.
 *
 * Ownership: a new reference.
 * Threads:   blocks (files, interpreters, namespaces are tried). */
#ifndef STRATA_WORKER_DOCTOR_H
#define STRATA_WORKER_DOCTOR_H

#include "base/buf.h"
#include "base/json.h"
#include "cache/store.h"
#include "resolvers/discover.h"
#include "worker/settings.h"

/* {"version", "healthy", "platform", "interpreters": {"python"|"node"|"npm": {"version",
 * "program"}, "notes"}, "registries": {MANAGER: discovery_report + "supported"}, "settings",
 * "store": {"path","free_bytes"}, "sandbox": {"usable","checks"}, "problems": [{"what","fix",
 * "serious"}]}.
 * *healthy: false when something keeps pip or npm environments from being built or run. */
json_t *doctor_report(struct store *store, struct discovery *discovery,
                      const struct settings *settings, bool *healthy);
void doctor_text(const json_t *report, struct buf *out); /* for people */

#endif
