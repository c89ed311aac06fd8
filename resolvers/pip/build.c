/* SPDX-License-Identifier: Apache-2.0 */
/* Source distributions that have to be built. Those whose metadata is not static are asked while
 * versions are still being chosen; the others when they have been, for what they are built with
 * is locked, too. */
#include "resolvers/pip/fetch_priv.h"

struct pip_building {
    struct pip_release *rel;
    struct resolve_build ask;
    bool active, for_metadata;
};

static void take_build(struct pip_building *b)
{
    struct pip_release *rel = b->rel;
    const struct err *err = &b->ask.err;
    if (err->code) {
        pip_release_fail(rel, true, err->code, err->text);
        pip_fail(rel->project->resolve, &rel->err);
        return;
    }
    rel->build = TAKE(b->ask.build);
    if (b->for_metadata)
        pip_take_metadata(rel, span_str(b->ask.metadata));
}

static void build_done(struct resolve_build *ask)
{
    struct pip_building *b = ask->ctx;
    struct pip_resolve *r = b->rel->project->resolve;
    r->pending--;
    b->active = false;
    if (!r->ending)
        take_build(b);
    json_decref(TAKE(ask->build));
    free(TAKE(ask->metadata));
    if (b->rel->state == PIP_READY && !r->ending)
        pip_scout_metadata(b->rel);
    pip_kick(r);
}

static void build_start(struct pip_release *rel, bool for_metadata)
{
    struct pip_project *p = rel->project;
    struct pip_resolve *r = p->resolve;
    struct pip_building *b = ARENA_NEW(r->arena, struct pip_building);
    b->rel = rel;
    b->for_metadata = for_metadata;
    b->active = true;
    b->ask = (struct resolve_build){
        .name = arena_str(r->arena, p->name),
        .version = arena_str(r->arena, rel->version.text),
        .filename = arena_str(r->arena, rel->file->filename),
        .sdist = rel->sdist,
        .done = build_done,
        .ctx = b,
    };
    rel->building = b;
    *VEC_PUSH(&r->builds) = rel;
    r->pending++;
    r->job->build(r->job, &b->ask);
}

void pip_build_want(struct pip_release *rel)
{
    rel->state = PIP_FETCHING;
    build_start(rel, true);
}

bool pip_builds_open(struct pip_resolve *r)
{
    bool open = false;
    for (uint32_t i = 1; i < r->numbers.n && r->job->build; i++) {
        struct pip_release *rel = pip_selected(r, i);
        if (!rel || rel->file->wheel || rel->build)
            continue;
        open = true;
        if (!rel->building)
            build_start(rel, false);
    }
    return open;
}

void pip_builds_cancel(struct pip_resolve *r)
{
    for (size_t i = 0; i < r->builds.n; i++) {
        struct pip_building *b = r->builds.v[i]->building;
        if (b->active)
            b->ask.cancel(&b->ask);
    }
}
