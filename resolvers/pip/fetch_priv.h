/* SPDX-License-Identifier: Apache-2.0 */
/* fetch_priv.h - fetching one release's metadata. */
#ifndef STRATA_RESOLVERS_PIP_FETCH_PRIV_H
#define STRATA_RESOLVERS_PIP_FETCH_PRIV_H

#include "resolvers/pip/remote_zip.h"
#include "resolvers/pip/resolve_priv.h"

/* A server that ignores ranges sends all of it. */
#define PIP_MAX_WHOLE_WHEEL (256u << 20)

enum pip_fetch_stage { PIP_FETCH_ADVERTISED, PIP_FETCH_RANGES, PIP_FETCH_SDIST };

struct pip_fetch {
    struct pip_release *rel;
    const char *url;
    enum pip_fetch_stage stage;
    bool active;
    struct registry_get get;
    struct registry_fetch sdist;
    struct pool_task local; /* reads a file of this machine */
    struct digest blob;
    struct err err;
    struct pip_remote zip;
};

/* Takes the text as the release's metadata, or fails the release. */
bool pip_take_metadata(struct pip_release *rel, struct span text);
/* The release cannot be used, or, fatal, nothing can be said about it. */
void pip_release_fail(struct pip_release *rel, bool fatal, enum err_code code, const char *text);

/* PKG-INFO out of an sdist (.tar.gz, .zip). On false, err says what is wrong in a clause. */
bool pip_sdist_info(struct span filename, struct span bytes, struct arena *a, struct span *out,
                    struct err *err);

#endif
