/* SPDX-License-Identifier: Apache-2.0 */
/* hosts.h - host names as network policies know them: ASCII, lower case, no more than a name.
 *
 * International names become their ASCII form (RFC 5890; UTS 46 non-transitional, by libcurl).
 * Names follow RFC 1123: labels of 1 to 63 letters, digits and inner hyphens, 253 in all. The
 * last label has a letter, so that no spelling of an IPv4 address passes for a name.
 *
 * Errors:  ERR_INVALID saying what is wrong and, for a URL, a port, a path or a trailing dot,
 *          which name to write instead.
 * Threads: pure, any. */
#ifndef STRATA_WORKER_RULES_HOSTS_H
#define STRATA_WORKER_RULES_HOSTS_H

#include "base/err.h"
#include "base/json.h"
#include "base/span.h"

#define HOST_SIZE 256 /* "*." + 253 + NUL */

/* A name, or with `wildcard` also "*." and a name. */
bool host_normalise(struct span text, bool wildcard, char out[HOST_SIZE], struct err *err);

/* Names separated by white space or commas, as an array. text NULL: none. On a bad one NULL and
 * err, which begins with `what`. New reference. */
json_t *host_list(const char *text, const char *what, struct err *err);

/* The host of an absolute http or https URL; an address literal is kept as it is. */
bool host_of_url(struct span url, char out[HOST_SIZE], struct err *err);

#endif
