/* SPDX-License-Identifier: Apache-2.0 */
/* tree_priv.h - the last steps over a built tree, and words about its edges. */
#ifndef STRATA_RESOLVERS_NPM_TREE_PRIV_H
#define STRATA_RESOLVERS_NPM_TREE_PRIV_H

#include "resolvers/npm/tree.h"

/* err = "NAME@SPEC, needed by A > B: why". Always false. */
bool npm_explain_edge(struct err *err, const struct npm_edge *e, const struct err *why);

void npm_warn(struct npm_graph *g, struct npm_warnings *w, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void npm_warn_conflict(struct npm_graph *g, struct npm_warnings *w, const struct npm_edge *e);

bool npm_finish(struct npm_graph *g, const struct npm_target *target, struct npm_warnings *w,
                struct err *err);
void npm_list(struct npm_graph *g, struct npm_set *out);

#endif
