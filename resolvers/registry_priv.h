/* SPDX-License-Identifier: Apache-2.0 */
/* registry_priv.h - what the parts of the registry client share.
 *
 * registry.c: the client, its mirrors, and who waits. registry_get.c: documents.
 * registry_fetch.c: package bytes.
 *
 * A flight is one request under way for all who asked for the same; who asked is a waiter. Work
 * on the pool counts in client->working, which registry_client_free waits for. */
#ifndef STRATA_RESOLVERS_REGISTRY_PRIV_H
#define STRATA_RESOLVERS_REGISTRY_PRIV_H

#include "base/arena.h"
#include "base/map.h"
#include "resolvers/registry.h"

#define REGISTRY_SPARE_CHUNKS 32

struct registry_chunk;

/* One who asked: exactly one of get and fetch is set. */
struct registry_waiter {
    struct registry_waiter *next;
    struct registry_get *get;
    struct registry_fetch *fetch;
    void *flight; /* NULL: it only waits to be told */
};

struct registry_mirror {
    struct span base;      /* ends with '/' */
    int64_t down_until_ms; /* monotonic */
};

struct registry_client {
    uv_loop_t *loop;
    struct http_client *http;
    struct store *store;
    struct pool *pool;
    const struct registry *registry;
    struct registry_options options;
    const struct log *log;
    struct arena *arena; /* keys of the maps */
    struct registry_mirror *mirrors;
    size_t mirror_count;
    struct map documents, fetches;              /* flights by key; NULL: none now */
    struct registry_waiter *later, **later_end; /* to be told from the loop */
    uv_timer_t soon;
    int64_t born_ms; /* wall clock */
    bool warned, closing;
    bool took_cached; /* what might be told otherwise by now */
    int flights, handles;
    uv_mutex_t mutex;
    uv_cond_t idle;
    int working; /* under mutex */
    struct registry_chunk *spare;
    size_t spare_count;
};

/* Where to ask, in order. */
struct registry_route {
    char *name; /* what it is cached under: at the first mirror, whichever answers */
    char **urls;
    size_t *mirrors; /* of each URL; SIZE_MAX: none of ours */
    size_t count, at;
};

bool registry_route_init(struct registry_client *c, const char *path, struct registry_route *out,
                         struct err *err);
void registry_route_release(struct registry_route *r);
/* The URL at `at` failed: its mirror comes last for a while. */
void registry_route_failed(struct registry_client *c, struct registry_route *r);
/* Every mirror failed a moment ago. */
bool registry_route_down(const struct registry_client *c, const struct registry_route *r);

/* The place of a key in client->documents or ->fetches. */
void **registry_slot(struct registry_client *c, struct map *flights, struct span key);

struct registry_waiter *registry_wait(struct registry_waiter **list, void *flight);
/* Takes it out of the list; false: it was not in there. */
bool registry_unwait(struct registry_waiter **list, struct registry_waiter *w);
/* Calls its done() from the loop, soon. */
void registry_tell_later(struct registry_client *c, struct registry_waiter *w);
void registry_tell(struct registry_waiter *w); /* now; frees w */

void registry_submit(struct registry_client *c, struct pool_task *t, int64_t priority);
void registry_worked(struct registry_client *c);     /* at the end of each work() */
void registry_flight_end(struct registry_client *c); /* one flight less; may free c */

/* May nothing be asked for? Then *err says why. */
bool registry_may_ask(const struct registry_client *c, const char *url, struct err *err);

#endif
