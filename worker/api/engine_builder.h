/* SPDX-License-Identifier: Apache-2.0 */
/* engine_builder.h - the build engine (worker/build.h) as the API's builder.
 *
 * Builds are made for the machine's own platform. Each build sees the shared engine with a log
 * of its own, so that its lines can be told to its watchers. The registries' hosts are looked
 * up once, on a thread of their own, and again at each reload.
 *
 * Ownership: the engine is the caller's and outlives the builder; builder_engine_free after
 *            the last build, then run the loop once more.
 * Threads:   loop thread, but for what builder.h allows from others. */
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

struct builder *builder_engine_new(struct engine *e, const struct builder_engine_options *options,
                                   struct err *err);
/* Looks the registries' hosts up again. */
void builder_engine_reload(struct builder *b);
void builder_engine_free(struct builder *b);

#endif
