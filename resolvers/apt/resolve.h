/* SPDX-License-Identifier: Apache-2.0 */
/* resolve.h - apt's resolution: verified lists, then the choices that apt makes.
 *
 * The packages in the lock are what is to be unpacked over the base: new ones, and upgrades with
 * the version they replace; `removed` lists what has to go; `base` is the digest of the dpkg status
 * that the choice was made on. Only --no-install-recommends is resolved.
 *
 * Source: apt-secure(8), sources.list(5), apt_preferences(5), Debian Policy chapter 7. */
#ifndef STRATA_RESOLVERS_APT_RESOLVE_H
#define STRATA_RESOLVERS_APT_RESOLVE_H

#include "resolvers/resolver.h"

void apt_resolve(struct resolve_job *job);
void apt_resolve_cancel(struct resolve_job *job);

#endif
