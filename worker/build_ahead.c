/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/build_priv.h"

/* One package's units, made from a lock that holds it alone. */
struct build_ahead {
    json_t *lock;
    struct install_context context;
    struct install_units list;
    VEC(struct build_unit *) units;
};

/* The package's own units, but for those whose segments are there. */
static void add_units(struct build_source *s, struct build_ahead *a)
{
    struct build *b = s->manager->build;
    struct err ignored;
    if (!s->manager->ops->units(&a->context, &a->list, &ignored))
        return; /* told when the whole lock is looked at */
    for (size_t i = 0; i < a->list.list.n; i++) {
        const struct install_unit *unit = &a->list.list.v[i];
        if (unit->package != s->package)
            continue;
        struct build_unit *u = ARENA_NEW(b->arena, struct build_unit);
        *u = (struct build_unit){
            .manager = s->manager, .unit = unit, .context = &a->context, .ahead = true};
        if (!build_unit_key(u, &ignored) || build_unit_recall(u))
            continue;
        u->source = s;
        s->pending++;
        *VEC_PUSH(&a->units) = u;
        build_runnable(u);
    }
}

void build_ahead(struct build_source *s)
{
    struct build *b = s->manager->build;
    struct build_ahead *a = ARENA_NEW(b->arena, struct build_ahead);
    json_t *packages = json_array();
    json_array_append(packages, s->package);
    a->lock = json_object();
    json_object_set_new(a->lock, "packages", packages);
    a->context = build_context(s->manager, a->lock);
    a->list.arena = b->arena;
    *VEC_PUSH(&b->ahead) = a;
    add_units(s, a);
}

void build_ahead_over(struct build_unit *u)
{
    struct build *b = u->manager->build;
    struct build_unit *twin = u->twin;
    u->over = true;
    if (b->failed)
        return;
    if (twin && !u->err.code) {
        twin->segment = u->segment;
        build_unit_ready(twin);
        return;
    }
    /* Once more and in earnest: what fails again fails the build. */
    if (twin)
        build_unit_source(twin);
    build_pump(b);
}

bool build_ahead_adopt(struct build_unit *u)
{
    struct build *b = u->manager->build;
    for (size_t i = 0; i < b->ahead.n; i++)
        for (size_t k = 0; k < b->ahead.v[i]->units.n; k++) {
            struct build_unit *a = b->ahead.v[i]->units.v[k];
            if (a->over || a->twin || !digest_eq(&a->key, &u->key))
                continue;
            a->twin = u;
            return true;
        }
    return false;
}

void build_ahead_drop(struct build *b)
{
    size_t kept = 0;
    for (size_t i = 0; i < b->runnable.n; i++) {
        struct build_unit *u = b->runnable.v[i];
        if (u->ahead && !u->twin) {
            u->over = true;
            if (--u->source->pending == 0)
                io_unmap(&u->source->map);
        } else {
            b->runnable.v[kept++] = u;
        }
    }
    b->runnable.n = kept;
    for (size_t i = 0; i < b->ahead.n; i++)
        for (size_t k = 0; k < b->ahead.v[i]->units.n; k++)
            if (!b->ahead.v[i]->units.v[k]->twin)
                build_unit_cancel(b->ahead.v[i]->units.v[k]);
}

void build_ahead_cancel(struct build *b)
{
    for (size_t i = 0; i < b->ahead.n; i++)
        for (size_t k = 0; k < b->ahead.v[i]->units.n; k++)
            build_unit_cancel(b->ahead.v[i]->units.v[k]);
}

void build_ahead_free(struct build *b)
{
    for (size_t i = 0; i < b->ahead.n; i++) {
        struct build_ahead *a = b->ahead.v[i];
        for (size_t k = 0; k < a->list.list.n; k++)
            json_decref(a->list.list.v[k].key);
        VEC_FREE(&a->list.list);
        VEC_FREE(&a->units);
        json_decref(a->lock);
    }
    VEC_FREE(&b->ahead);
}
