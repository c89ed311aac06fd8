/* SPDX-License-Identifier: Apache-2.0 */
/* control.h - Debian control data: stanzas, fields, and dependency fields.
 *
 * What Packages, Release and dpkg's status are written in (Debian Policy chapter 5), and the
 * relations in Depends and its kin (chapter 7). Nothing is copied.
 *
 * Errors:  a malformed line or relation is passed over: one bad stanza must not hide the rest.
 * Threads: pure functions. */
#ifndef STRATA_RESOLVERS_APT_CONTROL_H
#define STRATA_RESOLVERS_APT_CONTROL_H

#include <stdbool.h>

#include "base/span.h"
#include "resolvers/apt/version.h"

/* Takes the next stanza off the front; false at the end. */
bool control_stanza(struct span *rest, struct span *stanza);

/* Takes the next field; the value runs over its continuation lines, white space at both ends
 * trimmed. False at the end. */
bool control_field(struct span *rest, struct span *name, struct span *value);

/* The value of a field, empty when it is not there. */
struct span control_get(struct span stanza, struct span name);

/* "libc6 (>= 2.14) [amd64] <!nocheck>": one alternative. */
struct apt_relation_term {
    struct span name;
    struct span arch; /* "any", "native", "amd64"; empty: none */
    enum apt_relation relation;
    struct span version;
};

/* Takes the next group ("a | b") off a dependency field; false at the end. */
bool control_group(struct span *rest, struct span *group);
/* Takes the next alternative off a group; malformed ones are passed over. */
bool control_alternative(struct span *group, struct apt_relation_term *out);

#endif
