/* SPDX-License-Identifier: Apache-2.0 */
/* assets.h - files that are part of the program; the build makes them from assets/. */
#ifndef STRATA_WORKER_API_ASSETS_H
#define STRATA_WORKER_API_ASSETS_H

#include "base/span.h"

struct span asset_dashboard(void); /* assets/dashboard.html */
struct span asset_openapi(void);   /* assets/openapi.json */

#endif
