/* SPDX-License-Identifier: Apache-2.0 */
/* version.h - Debian package versions and their order.
 *
 * [epoch:]upstream[-revision]; letters sort before everything but '~', which sorts before even the
 * end; digits compare as numbers. deb-version(7), Debian Policy 5.6.12.
 *
 * Threads: pure functions. */
#ifndef STRATA_RESOLVERS_APT_VERSION_H
#define STRATA_RESOLVERS_APT_VERSION_H

#include <stdbool.h>

#include "base/span.h"

enum apt_relation { APT_ANY, APT_LT, APT_LE, APT_EQ, APT_GE, APT_GT };

bool apt_version_valid(struct span v);
int apt_version_cmp(struct span a, struct span b);
/* Does `version` stand in this relation to `wanted`? APT_ANY: always. */
bool apt_version_satisfies(struct span version, enum apt_relation relation, struct span wanted);

#endif
