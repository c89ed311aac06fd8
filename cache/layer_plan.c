/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"
#include "cache/layer_priv.h"

bool layer_part_is_top(const struct artifact_part *p)
{
    return strcmp(p->kind, PART_CONFIGURED) == 0;
}

/* Alphabetical by manager: apt first, on which the others stand; what lies on top of a manager's
 * others is its last. Every field that can differ takes part, so that the order given does not
 * matter. */
static int by_place(const void *a, const void *b)
{
    const struct artifact_part *x = *(const struct artifact_part *const *)a,
                               *y = *(const struct artifact_part *const *)b;
    int c = strcmp(x->manager, y->manager);
    c = c ? c : layer_part_is_top(x) - layer_part_is_top(y);
    c = c ? c : strcmp(x->name, y->name);
    c = c ? c : strcmp(x->kind, y->kind);
    return c ? c : digest_cmp(&x->segment.blob, &y->segment.blob);
}

static unsigned bucket_of(const struct artifact_part *p)
{
    return digest_of(span_str(p->name)).bytes[0] % LAYER_BUCKETS;
}

static bool is_big(const struct artifact_part *p, uint64_t big_bytes)
{
    return p->segment.tar_size >= big_bytes;
}

static bool share_a_file(const struct part_shares *a, const struct part_shares *b)
{
    for (size_t i = 0; i < a->v.n; i++)
        for (size_t k = 0; k < b->v.n; k++)
            if (a->v.v[i] == b->v.v[k])
                return true;
    return false;
}

struct planner {
    struct layer_plan *plan;
    const struct artifact_part **parts; /* in order */
    struct part_shares *shares;         /* of parts[i] */
    size_t count;
};

static size_t place_of(const struct planner *p, const struct artifact_part *part)
{
    size_t i = 0;
    while (p->parts[i] != part)
        i++;
    return i;
}

static bool fits(const struct planner *p, const struct planned_layer *l, size_t at)
{
    if (p->shares[at].v.n == 0)
        return true;
    for (size_t i = 0; i < l->parts.n; i++)
        if (share_a_file(&p->shares[at], &p->shares[place_of(p, l->parts.v[i])]))
            return false;
    return true;
}

static void add_layer(struct planner *p, size_t at)
{
    struct planned_layer *l = VEC_PUSH(&p->plan->layers);
    l->manager = p->parts[at]->manager;
    *VEC_PUSH(&l->parts) = p->parts[at];
}

/* parts[from, to) of one manager: its buckets, its big ones, then what lies on top of them. */
static void plan_manager(struct planner *p, size_t from, size_t to, uint64_t big_bytes)
{
    size_t end = to;
    while (to > from && layer_part_is_top(p->parts[to - 1]))
        to--;
    for (unsigned bucket = 0; bucket < LAYER_BUCKETS; bucket++) {
        size_t first = p->plan->layers.n;
        for (size_t i = from; i < to; i++) {
            if (is_big(p->parts[i], big_bytes) || bucket_of(p->parts[i]) != bucket)
                continue;
            size_t at = first;
            while (at < p->plan->layers.n && !fits(p, &p->plan->layers.v[at], i))
                at++;
            if (at == p->plan->layers.n)
                add_layer(p, i);
            else
                *VEC_PUSH(&p->plan->layers.v[at].parts) = p->parts[i];
        }
    }
    for (size_t i = from; i < to; i++)
        if (is_big(p->parts[i], big_bytes))
            add_layer(p, i);
    for (size_t i = to; i < end; i++)
        add_layer(p, i);
}

static void plan_all(struct planner *p, uint64_t big_bytes)
{
    layer_plan_release(p->plan);
    for (size_t from = 0, to; from < p->count; from = to) {
        for (to = from + 1;
             to < p->count && strcmp(p->parts[to]->manager, p->parts[from]->manager) == 0; to++)
            ;
        plan_manager(p, from, to, big_bytes);
    }
}

bool layer_plan_make(struct layer_plan *plan, struct store *s, const struct artifact_part *parts,
                     size_t count, struct err *err)
{
    struct planner p = {.plan = plan};
    *plan = (struct layer_plan){0};
    p.parts = mem_array(count, sizeof(struct artifact_part *));
    p.shares = mem_array(count, sizeof(struct part_shares));
    for (size_t i = 0; i < count; i++)
        if (parts[i].segment.entry_count > 0)
            p.parts[p.count++] = &parts[i];
    qsort(p.parts, p.count, sizeof(struct artifact_part *), by_place);
    bool ok = layer_check_clashes(s, p.parts, p.count, p.shares, err);
    if (ok)
        plan_all(&p, LAYER_BIG_BYTES);
    for (uint64_t big_bytes = LAYER_BIG_BYTES;
         ok && plan->layers.n > ARTIFACT_MAX_LAYERS && big_bytes < SEGMENT_MAX_BYTES;) {
        big_bytes *= 2;
        plan_all(&p, big_bytes);
    }
    if (ok && plan->layers.n > ARTIFACT_MAX_LAYERS)
        ok = err_set(err, ERR_TOO_LARGE,
                     "%zu layers, at most %d are allowed: too many packages bring the same files",
                     plan->layers.n, ARTIFACT_MAX_LAYERS);
    for (size_t i = 0; i < count; i++)
        VEC_FREE(&p.shares[i].v);
    free(p.shares);
    free(p.parts);
    if (!ok)
        layer_plan_release(plan);
    return ok;
}

void layer_plan_release(struct layer_plan *plan)
{
    for (size_t i = 0; i < plan->layers.n; i++)
        VEC_FREE(&plan->layers.v[i].parts);
    VEC_FREE(&plan->layers);
}
