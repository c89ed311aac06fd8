/* SPDX-License-Identifier: Apache-2.0 */
/* What a source distribution is built with: an artifact by a build of its own, unpacked. */
#include "worker/build_sdist.h"

#define MAX_DEPTH 6 /* of builds for builds */

static void ended(struct build_tools *t, enum tools_state state, const struct err *err)
{
    t->state = state;
    if (err)
        t->err = *err;
    build_sdist_wake(t->build);
}

static void on_unpacked(struct artifact_dirs *d)
{
    struct build_tools *t = d->ctx;
    struct build *b = t->build;
    b->open--;
    ended(t, d->err.code ? TOOLS_FAILED : TOOLS_READY, &d->err);
    build_settle(b);
}

static bool take_part(struct build_tools *t, const struct build_result *result, struct err *err)
{
    if (t->lock)
        return true; /* it is the one that was asked for */
    t->part = json_incref(lock_part(result->lock, "pip"));
    return t->part || err_set(err, ERR_INTERNAL, "no lock of the build requirements");
}

static void on_built(struct build *nested, void *ctx)
{
    struct build_tools *t = ctx;
    struct build *b = t->build;
    const struct build_result *result = build_result(nested);
    struct err err = result->err;
    t->nested_over = true;
    b->open--;
    if (!err.code && b->failed)
        err_set(&err, ERR_CANCELLED, "the build was cancelled");
    if (err.code || !take_part(t, result, &err)) {
        ended(t, TOOLS_FAILED, &err);
        build_settle(b);
        return;
    }
    b->result.received_bytes += result->received_bytes;
    t->state = TOOLS_UNPACKING;
    t->unpacked = true;
    t->dirs = (struct artifact_dirs){
        .loop = b->engine->loop,
        .pool = b->engine->pool,
        .store = b->engine->store,
        .digest = result->artifact,
        .done = on_unpacked,
        .ctx = t,
    };
    b->open++;
    artifact_dirs_open(&t->dirs);
}

static struct build_tools *start(struct build *b, struct span key)
{
    const struct build_request *r = b->request;
    struct build_tools *t = ARENA_NEW(b->arena, struct build_tools);
    t->build = b;
    map_put(&b->tools, arena_span(b->arena, key), t);
    t->request = (struct build_request){
        .name = "build tools",
        .platform = r->platform,
        .policy = r->policy,
        .compression = COMPRESS_ZSTD,
        .offline = r->offline,
        .refresh = r->refresh,
        .forbidden = r->forbidden,
        .source_date_epoch = r->source_date_epoch,
        .depth = r->depth + 1,
        .with_lock = true,
    };
    return t;
}

static void begin(struct build_tools *t)
{
    struct build *b = t->build;
    t->request.packages = t->packages;
    t->request.lock = t->lock;
    if (t->request.depth > MAX_DEPTH) {
        err_set(&t->err, ERR_NEEDS_BUILD,
                "what it is built with has to be built itself, and so on: more than %d deep",
                MAX_DEPTH);
        t->state = TOOLS_FAILED;
        return;
    }
    t->state = TOOLS_BUILDING;
    b->open++;
    t->nested = build_start(b->engine, &t->request, on_built, t);
}

static void part_key(const char *manager, const json_t *part, const struct platform *platform,
                     struct buf *out)
{
    AUTO_JSON json_t *lock = lock_new(platform), *essence = NULL;
    struct digest digest = {0};
    char text[DIGEST_TEXT_SIZE];
    lock_put(lock, manager, json_incref((json_t *)(uintptr_t)part));
    essence = lock_essence(lock);
    json_canonical_digest(essence, &digest, NULL);
    buf_printf(out, "%s=%s", manager, digest_text(&digest, text));
}

struct build_tools *build_tools_locked(struct build *b, const char *manager, const json_t *part)
{
    AUTO_BUF struct buf key = BUF(256);
    part_key(manager, part, b->request->platform, &key);
    struct build_tools *t = map_get(&b->tools, buf_span(&key));
    if (t)
        return t;
    t = start(b, buf_span(&key));
    t->part = json_incref((json_t *)(uintptr_t)part);
    if (strcmp(manager, "apt") == 0)
        t->request.base = b->request->base;
    t->packages = json_object();
    t->lock = lock_new(b->request->platform);
    lock_put(t->lock, manager, json_incref(t->part));
    begin(t);
    return t;
}

struct build_tools *build_tools_wanted(struct build *b, const json_t *specs)
{
    AUTO_BUF struct buf key = BUF(1u << 20);
    if (json_array_size(specs) == 0) { /* a virtual environment with nothing in it */
        AUTO_JSON json_t *nothing = json_pack("{s:[],s:[]}", "requested", "packages");
        return build_tools_locked(b, "pip", nothing);
    }
    buf_str(&key, "pip?");
    json_canonical(specs, &key, NULL);
    struct build_tools *t = map_get(&b->tools, buf_span(&key));
    if (t)
        return t;
    t = start(b, buf_span(&key));
    t->packages = json_object();
    json_object_set(t->packages, "pip", (json_t *)(uintptr_t)specs);
    begin(t);
    return t;
}

void build_tools_cancel(struct build *b)
{
    for (size_t i = 0; i < b->tools.n; i++) {
        struct build_tools *t = b->tools.v[i].value;
        if (t->nested && !t->nested_over)
            build_cancel(t->nested);
    }
}

void build_tools_free(struct build *b)
{
    for (size_t i = 0; i < b->tools.n; i++) {
        struct build_tools *t = b->tools.v[i].value;
        if (t->unpacked)
            artifact_dirs_close(&t->dirs);
        build_free(t->nested);
        json_decref(t->part);
        json_decref(t->packages);
        json_decref(t->lock);
    }
    map_release(&b->tools);
}
