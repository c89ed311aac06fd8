/* SPDX-License-Identifier: Apache-2.0 */
/* platform_priv.h - what platform.c and platform_probe.c share.
 *
 * Ownership: a platform and all it points to lie in its own arena.
 * Threads:   as platform.h. */
#ifndef STRATA_RESOLVERS_PLATFORM_PRIV_H
#define STRATA_RESOLVERS_PLATFORM_PRIV_H

#include "base/arena.h"
#include "resolvers/platform.h"

struct platform_box {
    struct platform p; /* first: platform_free gets its address */
    struct arena *arena;
    json_t *markers;
};

#define PLATFORM_MARKERS 11
extern const char *const platform_markers[PLATFORM_MARKERS];

struct platform_box *platform_box_new(void); /* every string "" */

/* Sets the marker variables that uname(2) tells. */
void platform_kernel_markers(json_t *markers);

/* Takes python, python_full and python_impl out of the markers. False: one is missing or odd. */
bool platform_take_markers(struct platform_box *b, json_t *markers);

#endif
