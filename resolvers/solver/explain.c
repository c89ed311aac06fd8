/* SPDX-License-Identifier: Apache-2.0 */
/* A failed derivation as sentences. Each derived incompatibility follows from two others; the
 * tree is told from its leaves up, a conclusion that is needed again later gets a number. */
#include "resolvers/solver/pubgrub_priv.h"

#define MAX_LINES 200

struct story {
    struct solver *s;
    struct buf *out;
    struct arena *arena;
    unsigned lines, numbers;
};

static bool derived(const struct incompat *c)
{
    return c->cause == CAUSE_DERIVED;
}

static struct incompat *mark(const struct incompat *c)
{
    return (struct incompat *)(uintptr_t)c; /* `uses` and `line` are ours to change */
}

static const char *describe(const struct story *t, const struct term *m)
{
    return t->s->provider.describe(t->s->provider.ctx, m->package, m->set, t->arena);
}

/* Several things as "a, b and c". */
static void list_terms(struct story *t, const struct incompat *c, bool positive, const char *joint,
                       struct buf *out)
{
    size_t count = 0, done = 0;
    for (size_t i = 0; i < c->n; i++)
        count += c->terms[i].package != 0 && c->terms[i].positive == positive;
    for (size_t i = 0; i < c->n; i++) {
        if (c->terms[i].package == 0 || c->terms[i].positive != positive)
            continue;
        if (done)
            buf_str(out, done + 1 == count ? joint : ", ");
        buf_str(out, describe(t, &c->terms[i]));
        done++;
    }
}

static size_t count_terms(const struct incompat *c, bool positive)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        n += c->terms[i].package != 0 && c->terms[i].positive == positive;
    return n;
}

/* What an incompatibility says, as a clause. */
static void clause(struct story *t, const struct incompat *c, struct buf *out)
{
    if (c->cause == CAUSE_DEPENDENCY) {
        if (c->terms[0].package == 0)
            buf_printf(out, "you require %s", c->text);
        else
            buf_printf(out, "%s depends on %s", describe(t, &c->terms[0]), c->text);
        return;
    }
    if (c->cause == CAUSE_NONE && c->text) {
        buf_str(out, c->text);
        return;
    }
    size_t with = count_terms(c, true), without = count_terms(c, false);
    if (with == 0 && without == 0) {
        buf_str(out, "what you require cannot be satisfied");
    } else if (without == 0) {
        list_terms(t, c, true, " and ", out);
        buf_str(out, with == 1 ? " cannot be used" : " cannot be used together");
    } else if (with == 0) {
        buf_str(out, "you need ");
        list_terms(t, c, false, " or ", out);
    } else {
        list_terms(t, c, true, " with ", out);
        buf_str(out, " needs ");
        list_terms(t, c, false, " or ", out);
    }
}

static void reference(struct story *t, const struct incompat *c, struct buf *out)
{
    clause(t, c, out);
    if (c->line)
        buf_printf(out, " (%u)", c->line);
}

/* "Because A and B, C." b may be NULL; `first` is how the line begins. */
static void tell(struct story *t, const char *first, const struct incompat *a,
                 const struct incompat *b, const struct incompat *c)
{
    if (t->lines++ >= MAX_LINES)
        return;
    if (t->out->len)
        buf_char(t->out, '\n');
    buf_str(t->out, first);
    buf_char(t->out, ' ');
    reference(t, a, t->out);
    if (b) {
        buf_str(t->out, " and ");
        reference(t, b, t->out);
    }
    buf_str(t->out, ", ");
    clause(t, c, t->out);
    if (c->uses > 1) {
        mark(c)->line = ++t->numbers;
        buf_printf(t->out, " (%u)", c->line);
    }
    buf_char(t->out, '.');
}

static void explain(struct story *t, const struct incompat *c);

static void explain_two(struct story *t, const struct incompat *c)
{
    const struct incompat *l = c->left, *r = c->right;
    if (l->line && r->line) {
        tell(t, "Because", l, r, c);
    } else if (l->line || r->line) {
        explain(t, l->line ? r : l);
        tell(t, "And because", l->line ? l : r, NULL, c);
    } else {
        mark(l)->uses++; /* it needs a number: something else comes between */
        explain(t, l);
        explain(t, r);
        tell(t, "And because", l, NULL, c);
    }
}

static void explain_one(struct story *t, const struct incompat *c, const struct incompat *inner,
                        const struct incompat *fact)
{
    if (inner->line) {
        tell(t, "Because", fact, inner, c);
        return;
    }
    bool left = derived(inner->left), right = derived(inner->right);
    const struct incompat *deep = left ? inner->left : inner->right;
    if (left != right && inner->uses <= 1 && !deep->line) {
        explain(t, deep);
        tell(t, "And because", left ? inner->right : inner->left, fact, c);
        return;
    }
    explain(t, inner);
    tell(t, "And because", fact, NULL, c);
}

static void explain(struct story *t, const struct incompat *c)
{
    if (c->line || t->lines >= MAX_LINES)
        return;
    bool left = derived(c->left), right = derived(c->right);
    if (left && right)
        explain_two(t, c);
    else if (left || right)
        explain_one(t, c, left ? c->left : c->right, left ? c->right : c->left);
    else
        tell(t, "Because", c->left, c->right, c);
}

/* That there is nothing between the versions there are is no news to anybody: such a fact has
 * no text, and what is derived with it says the same as what it was derived from. */
static const struct incompat *without_gaps(const struct incompat *c)
{
    while (derived(c)) {
        bool left = c->left->cause == CAUSE_NONE && !c->left->text;
        bool right = c->right->cause == CAUSE_NONE && !c->right->text;
        if (left == right)
            break;
        c = left ? c->right : c->left;
    }
    return c;
}

static void skip_gaps(const struct incompat *c)
{
    if (!derived(c) || c->told)
        return;
    mark(c)->told = true;
    mark(c)->left = without_gaps(c->left);
    mark(c)->right = without_gaps(c->right);
    skip_gaps(c->left);
    skip_gaps(c->right);
}

static void count_uses(const struct incompat *c)
{
    if (mark(c)->uses++ || !derived(c))
        return;
    count_uses(c->left);
    count_uses(c->right);
}

void solver_explain(struct solver *s, struct buf *out)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct story t = {.s = s, .out = out, .arena = a};
    if (!s->failure)
        return;
    const struct incompat *c = without_gaps(s->failure);
    if (!derived(c)) {
        clause(&t, c, out);
        return;
    }
    skip_gaps(c);
    count_uses(c);
    explain(&t, c);
}
