/* SPDX-License-Identifier: Apache-2.0 */
/* engine_builder.h - the build engine (worker/build.h) as the API's builder.
 *
 * Builds are made for the machine's own platform, by a thread of their own that runs the engine's
 * loop, so that they hold up no request. Each build sees the shared engine with a log of its
 * own, so that its lines can be told to its watchers. The registries' hosts are looked up
 * once, on one more thread, and again at each reload.
 *
 * Ownership: the engine is the caller's and outlives the builder. From builder_engine_new to
 *            builder_engine_free its loop runs on the builder's thread, and nobody else may use
 *            what the engine has for its loop's thread. builder_engine_free after the last
 *            build; then run both loops once more.
 * Threads:   the API's loop thread, but for what builder.h allows from others. */
#ifndef STRATA_WORKER_API_ENGINE_BUILDER_H
#define STRATA_WORKER_API_ENGINE_BUILDER_H

#include "worker/api/builder.h"
#include "worker/build.h"

struct builder_engine_options {
    enum compression compression;
    bool bytecode;
    bool offline;
    int64_t source_date_epoch;
    const struct discovery_options *discovery; /* for the registries' hosts */
};

/* `loop` is the API's; the engine has one of its own. */
struct builder *builder_engine_new(uv_loop_t *loop, struct engine *e,
                                   const struct builder_engine_options *options);
/* Looks the registries' hosts up again. */
void builder_engine_reload(struct builder *b);
void builder_engine_free(struct builder *b);

#endif
