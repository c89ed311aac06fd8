/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/solver/version_set.h"

static const struct version_set none_set = {0};
static const struct {
    size_t n;
    struct version_range r[1];
} all_set = {1, {{{"", 0}, {NULL, 0}}}};

const struct version_set *version_set_none(void)
{
    return &none_set;
}

const struct version_set *version_set_all(void)
{
    return (const struct version_set *)(const void *)&all_set;
}

/* Ends compare with "without end" as the greatest. */
static int cmp_hi(struct span a, struct span b)
{
    if (!a.ptr || !b.ptr)
        return (a.ptr == NULL) - (b.ptr == NULL);
    return span_cmp(a, b);
}

static bool below(struct span lo, struct span hi)
{
    return !hi.ptr || span_cmp(lo, hi) < 0;
}

static struct version_set *set_new(struct arena *a, size_t max_ranges)
{
    return arena_alloc(a, sizeof(struct version_set) + max_ranges * sizeof(struct version_range));
}

const struct version_set *version_set_range(struct arena *a, struct span lo, struct span hi)
{
    if (!below(lo, hi))
        return version_set_none();
    struct version_set *s = set_new(a, 1);
    s->n = 1;
    s->r[0].lo = lo.len ? arena_span(a, lo) : SPAN("");
    s->r[0].hi = hi.ptr ? arena_span(a, hi) : (struct span){NULL, 0};
    return s;
}

const struct version_set *version_set_from(struct arena *a, struct span lo)
{
    return version_set_range(a, lo, (struct span){NULL, 0});
}

const struct version_set *version_set_before(struct arena *a, struct span hi)
{
    return version_set_range(a, SPAN(""), hi);
}

const struct version_set *version_set_one(struct arena *a, struct span key)
{
    /* arena_span puts the zero byte behind the copy, so both bounds share it. */
    struct version_set *s = set_new(a, 1);
    s->n = 1;
    s->r[0].lo = arena_span(a, key);
    s->r[0].hi = span_of(s->r[0].lo.ptr, key.len + 1);
    return s;
}

struct span version_set_single(const struct version_set *s)
{
    if (s->n != 1 || !s->r[0].hi.ptr || s->r[0].hi.len != s->r[0].lo.len + 1 ||
        s->r[0].hi.ptr[s->r[0].lo.len] != '\0' || !span_starts(s->r[0].hi, s->r[0].lo))
        return (struct span){NULL, 0};
    return s->r[0].lo;
}

const struct version_set *version_set_union(struct arena *a, const struct version_set *x,
                                            const struct version_set *y)
{
    if (x->n == 0 || x == y)
        return y;
    if (y->n == 0)
        return x;
    struct version_set *s = set_new(a, x->n + y->n);
    size_t i = 0, k = 0;
    while (i < x->n || k < y->n) {
        bool from_x = k == y->n || (i < x->n && span_cmp(x->r[i].lo, y->r[k].lo) <= 0);
        struct version_range r = from_x ? x->r[i++] : y->r[k++];
        struct version_range *last = s->n ? &s->r[s->n - 1] : NULL;
        if (last && (!last->hi.ptr || span_cmp(r.lo, last->hi) <= 0)) {
            if (cmp_hi(r.hi, last->hi) > 0)
                last->hi = r.hi;
        } else {
            s->r[s->n++] = r;
        }
    }
    return s;
}

const struct version_set *version_set_intersect(struct arena *a, const struct version_set *x,
                                                const struct version_set *y)
{
    if (x == y || version_set_is_all(y))
        return x;
    if (version_set_is_all(x))
        return y;
    if (x->n == 0 || y->n == 0)
        return version_set_none();
    struct version_set *s = set_new(a, x->n + y->n);
    for (size_t i = 0, k = 0; i < x->n && k < y->n;) {
        struct version_range p = x->r[i], q = y->r[k];
        struct version_range r = {span_cmp(p.lo, q.lo) >= 0 ? p.lo : q.lo,
                                  cmp_hi(p.hi, q.hi) <= 0 ? p.hi : q.hi};
        if (below(r.lo, r.hi))
            s->r[s->n++] = r;
        if (cmp_hi(p.hi, q.hi) <= 0)
            i++;
        else
            k++;
    }
    return s;
}

const struct version_set *version_set_complement(struct arena *a, const struct version_set *x)
{
    struct version_set *s = set_new(a, x->n + 1);
    struct span from = SPAN("");
    for (size_t i = 0; i < x->n; i++) {
        if (span_cmp(from, x->r[i].lo) < 0)
            s->r[s->n++] = (struct version_range){from, x->r[i].lo};
        if (!x->r[i].hi.ptr)
            return s;
        from = x->r[i].hi;
    }
    s->r[s->n++] = (struct version_range){from, {NULL, 0}};
    return s;
}

bool version_set_has(const struct version_set *s, struct span key)
{
    for (size_t i = 0; i < s->n; i++)
        if (span_cmp(key, s->r[i].lo) >= 0 && below(key, s->r[i].hi))
            return true;
    return false;
}

bool version_set_is_all(const struct version_set *s)
{
    return s->n == 1 && s->r[0].lo.len == 0 && !s->r[0].hi.ptr;
}

bool version_set_eq(const struct version_set *x, const struct version_set *y)
{
    if (x == y)
        return true;
    if (x->n != y->n)
        return false;
    for (size_t i = 0; i < x->n; i++)
        if (!span_eq(x->r[i].lo, y->r[i].lo) || cmp_hi(x->r[i].hi, y->r[i].hi) != 0)
            return false;
    return true;
}

bool version_set_within(const struct version_set *x, const struct version_set *y)
{
    size_t k = 0;
    for (size_t i = 0; i < x->n; i++) {
        while (k < y->n && cmp_hi(y->r[k].hi, x->r[i].hi) < 0)
            k++;
        if (k == y->n || span_cmp(y->r[k].lo, x->r[i].lo) > 0)
            return false;
    }
    return true;
}

bool version_set_disjoint(const struct version_set *x, const struct version_set *y)
{
    for (size_t i = 0, k = 0; i < x->n && k < y->n;) {
        const struct version_range *p = &x->r[i], *q = &y->r[k];
        struct span lo = span_cmp(p->lo, q->lo) >= 0 ? p->lo : q->lo;
        if (below(lo, p->hi) && below(lo, q->hi))
            return false;
        if (cmp_hi(p->hi, q->hi) <= 0)
            i++;
        else
            k++;
    }
    return true;
}
