/* SPDX-License-Identifier: Apache-2.0 */
/* layer_priv.h - the inside of an apt layer's making: install.c runs dpkg, split.c makes plans. */
#ifndef STRATA_WORKER_APT_LAYER_LAYER_PRIV_H
#define STRATA_WORKER_APT_LAYER_LAYER_PRIV_H

#include "base/io.h"
#include "worker/apt_layer/apt_layer.h"
#include "worker/apt_layer/native.h"

/* Splits a harvest by dpkg's lists. The plans point into `stream`. What packages that dpkg did
 * not unpack (`native`; NULL: none) brought, and nobody changed, is no part of it. */
bool apt_split(struct apt_layer_job *job, const struct apt_native *native, struct span stream,
               struct err *err);

/* The paths right in a folder that the base and the packages laid below it have. */
void apt_paths_below(const struct apt_layer_job *job, struct span folder, struct arena *a,
                     struct map *out);

/* What is left out of a harvest, NULL-terminated: see docs/determinism.md. */
extern const char *const apt_left_out[];

#endif
