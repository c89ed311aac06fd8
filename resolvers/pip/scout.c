/* SPDX-License-Identifier: Apache-2.0 */
/* The scout: follows the most likely releases ahead of the solver, so that pages and metadata
 * of one level of the tree are under way at the same time. */
#include "resolvers/pip/resolve_priv.h"

static bool add_extras(struct pip_project *p, const struct pip_requirement *q)
{
    bool added = false;
    for (size_t i = 0; i < q->extra_count; i++) {
        bool known = false;
        for (size_t k = 0; k < p->guess_extras.n; k++)
            known |= span_eq(p->guess_extras.v[k], q->extras[i]);
        if (!known && p->guess_extras.n < 256) {
            *VEC_PUSH(&p->guess_extras) = q->extras[i];
            added = true;
        }
    }
    return added;
}

void pip_scout(struct pip_resolve *r, const struct pip_requirement *q)
{
    struct pip_project *p = pip_project(r, q->name);
    if (!p || r->ending)
        return;
    const struct version_set *narrow = version_set_intersect(r->arena, p->guess_set, q->specs.set);
    bool news = add_extras(p, q);
    if (narrow->n && !version_set_eq(narrow, p->guess_set)) {
        p->guess_set = narrow;
        news = true;
    }
    if (q->specs.n) {
        p->guess_flags |= q->specs.prerelease ? PIP_WANTS_PRERELEASE : 0;
        p->guess_flags |= q->specs.pinned ? PIP_IS_PINNED : 0;
    }
    if (p->state == PIP_UNKNOWN)
        pip_project_want(p);
    else if (p->state == PIP_READY && news)
        pip_scout_page(p);
}

void pip_scout_page(struct pip_project *p)
{
    struct pip_release *rel = pip_choose(p, p->guess_set, p->guess_set, p->guess_flags);
    if (!rel || !rel->file->wheel)
        return;
    if (rel != p->guess) {
        p->guess = rel;
        p->expanded = 0;
    }
    pip_release_want(rel, false);
    if (rel->state == PIP_READY)
        pip_scout_metadata(rel);
}

void pip_scout_metadata(struct pip_release *rel)
{
    struct pip_project *p = rel->project;
    struct pip_resolve *r = p->resolve;
    if (rel != p->guess)
        return;
    pip_announce_likely(rel);
    while (p->expanded <= p->guess_extras.n && !r->ending) {
        size_t which = p->expanded++;
        struct span extra = which ? p->guess_extras.v[which - 1] : SPAN("");
        for (size_t i = 0; i < rel->metadata.require_count; i++)
            if (pip_holds(r, &rel->metadata.requires[i], extra))
                pip_scout(r, &rel->metadata.requires[i]);
    }
}
