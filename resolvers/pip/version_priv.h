/* SPDX-License-Identifier: Apache-2.0 */
/* version_priv.h - a version taken apart, and the pieces that keys and bounds are made of. */
#ifndef STRATA_RESOLVERS_PIP_VERSION_PRIV_H
#define STRATA_RESOLVERS_PIP_VERSION_PRIV_H

#include "base/buf.h"
#include "base/span.h"

typedef unsigned __int128 pip_num; /* 38 digits */

#define PIP_MAX_RELEASE 130 /* more than a text of the longest accepted length can have */

struct pip_parts {
    pip_num epoch, pre, post, dev;
    pip_num release[PIP_MAX_RELEASE];
    size_t release_count;
    unsigned char phase;
    bool has_post, has_dev;
    struct span local; /* as written */
};

struct pip_key {
    size_t len;
    char bytes[PIP_MAX_RELEASE * 18 + 1024];
};

bool pip_parts_parse(struct span text, struct pip_parts *v);
void pip_parts_text(const struct pip_parts *v, struct buf *b);

/* Each fills k anew, but _local and _zeros, which append. */
void pip_key_public(struct pip_key *k, const struct pip_parts *v);
void pip_key_after_posts(struct pip_key *k, const struct pip_parts *v);
void pip_key_local(struct pip_key *k, const struct pip_parts *v);
void pip_key_zeros(struct pip_key *k, const struct pip_parts *v);

#endif
