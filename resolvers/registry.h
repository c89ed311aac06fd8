/* SPDX-License-Identifier: Apache-2.0 */
/* registry.h - cached, revalidated metadata from a manager's registry, and package bytes.
 *
 * A registry is a list of base URLs (mirrors in order) that discovery found; the next one is asked
 * when one fails or does not have a thing (404, 410), and one that failed comes last for a while.
 * Metadata comes from the cache while it is fresh (its max-age, else the caller's ttl; what is
 * absent a minute at most), is revalidated with its validators after that, and is used stale with
 * a warning when the network fails and the copy is not older than a day; offline or forbidden, any
 * copy serves. Equal requests under way are one. Package bytes are hashed while they arrive, a
 * few MiB of memory at most each, and become blobs only when they match what was promised.
 *
 * Ownership: strings given to a start function are copied. A reply's body is valid until done()
 *            returns; registry_keep holds it longer. Free a client after all done()s, and before
 *            its pool, store and HTTP client; the loop must run before the pool closes.
 * Units:     bytes, milliseconds.
 * Errors:    get->err: those of http.h; 404, 410 and 451 are answers (status tells).
 *            ERR_INVALID for a path with ".." or control characters; ERR_OFFLINE or, when the
 *            environment's networking forbids registries, ERR_POLICY for what is not cached.
 *            A fetch: also ERR_DIGEST_MISMATCH with both hashes, ERR_REGISTRY when the file is
 *            absent, and the store's.
 * Threads:   loop thread. done() exactly once, never from inside the functions here. A done() may
 *            start, cancel and free requests, its own included. */
#ifndef STRATA_RESOLVERS_REGISTRY_H
#define STRATA_RESOLVERS_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/http.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/span.h"
#include "cache/store.h"

/* A registry beside the main one: npm's for a scope ("@corp"), which the client asks for every
 * path that begins with the scope; or one of pip's extra indexes (scope NULL), whose packages
 * count as much as the main one's, to be asked for by absolute URLs. */
struct registry_extra {
    const char *scope;
    const char *url;
};

/* One manager's registry, as discovery found it. URLs end with '/', and have no user name or
 * password in them (credentials.h knows those). */
struct registry {
    const char *manager;
    const char *const *urls; /* at least one; tried in order */
    size_t url_count;
    const struct registry_extra *extra;
    size_t extra_count;
    const char *from; /* where it was found, for people: "npm's built-in default" */
    bool distinct;    /* the URLs are different archives: an absolute URL is asked for as it is */
};

struct registry_options {
    bool offline;   /* cache only */
    bool refresh;   /* revalidate everything, whatever its age */
    bool forbidden; /* networking allows no registries: ERR_POLICY instead of a request */
};

struct registry_client; /* one manager's registry + http + store */
struct registry_body;

struct registry_client *registry_client_new(uv_loop_t *loop, struct http_client *http,
                                            struct store *store, struct pool *pool,
                                            const struct registry *registry,
                                            const struct registry_options *options,
                                            const struct log *log);
void registry_client_free(struct registry_client *c); /* after all done()s */
/* From here on everything is revalidated once. True if that may change something: an answer was
 * taken from the cache unasked. */
bool registry_client_renew(struct registry_client *c);
const struct registry *registry_of(const struct registry_client *c);
struct store *registry_store(const struct registry_client *c);

struct registry_get {
    const char *path;   /* below the base URL ("express", "@s%2fn"), or an absolute http(s) URL */
    const char *accept; /* NULL: any */
    int64_t ttl_ms;     /* fresh for so long where the server does not say */
    bool immutable;     /* a version's file: never asked again once had */
    bool uncached;      /* do not keep it */
    const char *range;  /* as in http.h; replies of ranges are kept under (URL, range) */
    uint64_t max_bytes;
    int priority;
    void (*done)(struct registry_get *get);
    void *ctx;
    /* Results: */
    struct err err;
    int status; /* 200, 206, 404, 410, 451; 200 for cached copies (206 for ranges) */
    struct span body;
    const char *content_type;   /* NULL: not told */
    const char *url;            /* where it came from, after redirects: base of relative links */
    const char *content_range;  /* of a 206 */
    bool from_cache;            /* nothing was asked */
    struct registry_body *held; /* behind body: for registry_keep */
    void *state;                /* the client's own */
};

/* `get` is the caller's and stays put until done() is called. */
void registry_get(struct registry_client *c, struct registry_get *get);
/* done() follows with ERR_CANCELLED; after done() it does nothing. */
void registry_get_cancel(struct registry_get *get);

/* Inside done(): the body stays where it is until registry_drop, which any thread may call. */
struct registry_body *registry_keep(struct registry_get *get);
void registry_drop(struct registry_body *b); /* NULL is fine */

/* Opens the connection to the URL's host (NULL: the registry's) ahead of use; nothing when no
 * request may be made. For hosts that will be needed soon, such as that of pip's files. */
void registry_preconnect(struct registry_client *c, const char *url);

/* The path of an URL below one of the registry's base URLs (no host in it), or the empty span
 * when it lies elsewhere. */
struct span registry_path_of(const struct registry_client *c, struct span url);

/* A package's bytes into the store. */
struct registry_fetch {
    const char *url;      /* absolute, or a path below the base URL */
    struct hash expect;   /* algo HASH_NONE: nothing was promised (the caller must justify) */
    uint64_t expect_size; /* 0: unknown */
    /* With HASH_NONE: what this URL once gave is not asked for again (a version's file, which the
     * caller checks by other means). */
    bool immutable;
    uint64_t max_bytes;
    int priority;
    void (*progress)(struct registry_fetch *f); /* may be NULL; received and total changed */
    void (*done)(struct registry_fetch *f);
    void *ctx;
    /* Results: */
    uint64_t received, total; /* total 0: not known yet */
    bool from_cache;          /* no request was made */
    struct digest blob;       /* its SHA-256 */
    uint64_t size;
    struct err err;
    void *state;
};

/* A blob that the store has under the expected hash ends it without a request. Otherwise it is
 * streamed into the store: hashed on the pool while it arrives, retried on another mirror on a
 * mismatch, published when both hash and size agree. */
void registry_fetch(struct registry_client *c, struct registry_fetch *f);
void registry_fetch_cancel(struct registry_fetch *f);

#endif
