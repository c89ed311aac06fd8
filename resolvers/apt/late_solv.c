/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/apt/late_solv.h"

/* Its handle finds libsolv's functions too: dlsym looks through what a library depends on. */
LATE_DEFINE(late_solv, LATE_LIBSOLVEXT, SOLV_FUNCTIONS)
