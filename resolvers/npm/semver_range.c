/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges: each branch is rewritten, step by step, until only comparators are left:
 *
 *   "~> 1.2 || 1 - 2"  ->  "~>1.2"     -> ">=1.2.0 <1.3.0-0"
 *                          "1 - 2"     -> ">=1.0.0 <3.0.0-0"
 *
 * The steps and their order are npm's: many odd ranges in its registry only mean what they
 * mean because of them. */
#include <inttypes.h>

#include "resolvers/npm/semver_priv.h"

/* Text being rewritten; a comparator grows to at most two. */
#define TEXT_MAX (8u * SEMVER_RANGE_MAX_LENGTH)

enum op { OP_EQ, OP_LT, OP_LE, OP_GT, OP_GE };

struct comparator {
    bool any; /* no version at all: everything */
    enum op op;
    struct semver version;
    struct span text; /* normal form, "" for any */
};

struct branch {
    struct comparator *v;
    size_t n;
};

struct semver_range {
    struct branch *v;
    size_t n;
    bool prereleases;
};

/* The numbers of an x-range as they were written; a missing one has length 0. */
struct xrange {
    struct span major, minor, patch, pre;
};

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool x_letter(char c)
{
    return c == 'x' || c == 'X' || c == '*';
}

static bool is_x(struct span s)
{
    return !s.len || x_letter(s.ptr[0]);
}

static bool is_zero(struct span s)
{
    return s.len == 1 && s.ptr[0] == '0';
}

static bool prefix_char(char c)
{
    return c == 'v' || c == '=' || c == ' ';
}

/* One number or x at the start of s; its length, 0: neither. */
static size_t x_identifier(struct span s, bool loose)
{
    size_t n = 0;
    if (s.len && x_letter(s.ptr[0]))
        return 1;
    while (n < s.len && digit(s.ptr[n]))
        n++;
    return !loose && n > 1 && s.ptr[0] == '0' ? 0 : n;
}

/* "v1.2.x-pre+build", all of s. */
static bool match_xrange(struct span s, bool loose, struct xrange *x)
{
    struct span *parts[] = {&x->major, &x->minor}, build;
    *x = (struct xrange){0};
    while (s.len && prefix_char(s.ptr[0]))
        s = span_skip(s, 1);
    for (int i = 0; i < 2; i++) {
        size_t n = x_identifier(s, loose);
        if (!n)
            return false;
        *parts[i] = span_slice(s, 0, n);
        s = span_skip(s, n);
        if (!s.len)
            return true;
        if (s.ptr[0] != '.')
            return false;
        s = span_skip(s, 1);
    }
    if (!s.len || !x_letter(s.ptr[0]))
        return semver_patch_and_tail(s, loose, &x->patch, &x->pre, &build);
    x->patch = span_slice(s, 0, 1);
    return semver_tail(span_skip(s, 1), loose, &x->pre, &build);
}

/* "<", "<=", ">", ">=", "=" or nothing at the start of s; its length. */
static size_t operator_at(struct span s)
{
    size_t n = s.len && (s.ptr[0] == '<' || s.ptr[0] == '>') ? 1 : 0;
    return n < s.len && s.ptr[n] == '=' ? n + 1 : n;
}

static struct span minus_prefix(struct span s, size_t n)
{
    s = span_skip(s, n);
    return s.len && s.ptr[0] == ' ' ? span_skip(s, 1) : s;
}

static void put_next_major(struct buf *out, struct span major)
{
    buf_printf(out, "<%" PRIu64 ".0.0-0", semver_number(major) + 1);
}

static void put_next_minor(struct buf *out, struct span major, struct span minor)
{
    buf_printf(out, "<%.*s.%" PRIu64 ".0-0", SPAN_ARG(major), semver_number(minor) + 1);
}

static void put_from(struct buf *out, const struct xrange *x, bool prereleases)
{
    const char *lowest = prereleases ? "-0" : "";
    if (is_x(x->minor))
        buf_printf(out, ">=%.*s.0.0%s ", SPAN_ARG(x->major), lowest);
    else if (is_x(x->patch))
        buf_printf(out, ">=%.*s.%.*s.0%s ", SPAN_ARG(x->major), SPAN_ARG(x->minor), lowest);
    else
        buf_printf(out, ">=%.*s.%.*s.%.*s%s%.*s ", SPAN_ARG(x->major), SPAN_ARG(x->minor),
                   SPAN_ARG(x->patch), x->pre.len ? "-" : "", SPAN_ARG(x->pre));
}

/* "^1.2.3": up to the next number that breaks, which is the first one that is not 0. */
static void put_caret(struct buf *out, const struct xrange *x, bool prereleases)
{
    if (is_x(x->major))
        return;
    put_from(out, x, prereleases);
    if (is_x(x->minor) || !is_zero(x->major))
        put_next_major(out, x->major);
    else if (is_x(x->patch) || !is_zero(x->minor))
        put_next_minor(out, x->major, x->minor);
    else
        buf_printf(out, "<%.*s.%.*s.%" PRIu64 "-0", SPAN_ARG(x->major), SPAN_ARG(x->minor),
                   semver_number(x->patch) + 1);
}

static void put_tilde(struct buf *out, const struct xrange *x, bool prereleases)
{
    if (is_x(x->major))
        return;
    put_from(out, x, prereleases);
    if (is_x(x->minor))
        put_next_major(out, x->major);
    else
        put_next_minor(out, x->major, x->minor);
}

/* "OP1.x": a comparator with an x in it, all others stay as they are. */
static void put_xrange(struct buf *out, struct span text, struct span op, const struct xrange *x,
                       bool prereleases)
{
    bool x_major = is_x(x->major), x_minor = x_major || is_x(x->minor);
    bool x_patch = x_minor || is_x(x->patch);
    bool has_op = op.len && !span_eq(op, SPAN("="));
    const char *lowest = prereleases ? "-0" : "";
    if ((x_major && !is_x(x->minor)) || (is_x(x->minor) && x->patch.len && !is_x(x->patch)) ||
        !x_patch) {
        buf_append(out, text);
    } else if (x_major) {
        if (span_eq(op, SPAN(">")) || span_eq(op, SPAN("<")))
            buf_str(out, "<0.0.0-0"); /* nothing is above or below everything */
    } else if (!has_op) {
        put_from(out, x, prereleases);
        if (x_minor)
            put_next_major(out, x->major);
        else
            put_next_minor(out, x->major, x->minor);
    } else {
        /* ">1.2" is from 1.3.0 on, "<=1.2" is below 1.3.0. */
        bool up = span_eq(op, SPAN(">")) || span_eq(op, SPAN("<="));
        bool below = op.ptr[0] == '<';
        buf_str(out, below ? "<" : ">=");
        if (up && x_minor)
            buf_printf(out, "%" PRIu64 ".0.0", semver_number(x->major) + 1);
        else if (x_minor)
            buf_printf(out, "%.*s.0.0", SPAN_ARG(x->major));
        else if (up)
            buf_printf(out, "%.*s.%" PRIu64 ".0", SPAN_ARG(x->major), semver_number(x->minor) + 1);
        else
            buf_printf(out, "%.*s.%.*s.0", SPAN_ARG(x->major), SPAN_ARG(x->minor));
        buf_str(out, below ? "-0" : lowest);
    }
}

/* Drops the first "*" with the operator in front of it, which is what npm does to anything
 * that is not an x-range but has a star in it. */
static void put_without_star(struct buf *out, struct span s)
{
    size_t star = span_find_char(s, '*'), from = star;
    if (star < s.len) {
        if (from && s.ptr[from - 1] == ' ')
            from--;
        if (from && s.ptr[from - 1] == '=')
            from--;
        if (from && (s.ptr[from - 1] == '<' || s.ptr[from - 1] == '>'))
            from--;
    }
    buf_append(out, span_slice(s, 0, from));
    buf_append(out, span_skip(s, star + 1));
}

/* One blank-separated piece of a branch. */
static void put_piece(struct buf *out, struct span piece, unsigned flags)
{
    bool loose = flags & SEMVER_LOOSE, prereleases = flags & SEMVER_PRERELEASES;
    struct xrange x;
    size_t op = operator_at(piece);
    if (!piece.len)
        return;
    if (piece.ptr[0] == '^' && match_xrange(span_skip(piece, 1), loose, &x)) {
        put_caret(out, &x, prereleases);
    } else if (piece.ptr[0] == '~' &&
               match_xrange(span_skip(piece, piece.len > 1 && piece.ptr[1] == '>' ? 2 : 1), loose,
                            &x)) {
        put_tilde(out, &x, prereleases);
    } else if (match_xrange(minus_prefix(piece, op), loose, &x)) {
        struct span sign = span_slice(piece, 0, op);
        put_xrange(out, piece, sign, &x, prereleases);
    } else {
        put_without_star(out, piece);
    }
}

/* "1 - 2.3": from the first, through all the second stands for. */
static bool hyphen_range(struct span s, unsigned flags, struct buf *out)
{
    bool loose = flags & SEMVER_LOOSE, prereleases = flags & SEMVER_PRERELEASES;
    struct span from, to;
    struct xrange f, t;
    if (!span_cut(s, SPAN(" - "), &from, &to) || !match_xrange(from, loose, &f) ||
        !match_xrange(to, loose, &t))
        return false;
    if (!is_x(f.major)) {
        if (is_x(f.minor) || is_x(f.patch))
            put_from(out, &f, prereleases);
        else
            buf_printf(out, ">=%.*s%s ", SPAN_ARG(from), prereleases && !f.pre.len ? "-0" : "");
    }
    if (is_x(t.major))
        return true;
    if (is_x(t.minor))
        put_next_major(out, t.major);
    else if (is_x(t.patch))
        put_next_minor(out, t.major, t.minor);
    else if (t.pre.len)
        buf_printf(out, "<=%.*s.%.*s.%.*s-%.*s", SPAN_ARG(t.major), SPAN_ARG(t.minor),
                   SPAN_ARG(t.patch), SPAN_ARG(t.pre));
    else if (prereleases)
        buf_printf(out, "<%.*s.%.*s.%" PRIu64 "-0", SPAN_ARG(t.major), SPAN_ARG(t.minor),
                   semver_number(t.patch) + 1);
    else
        buf_printf(out, "<=%.*s", SPAN_ARG(to));
    return true;
}

/* "> 1 ~ 2" -> ">1 ~2": blanks between an operator and its version go. */
static void join_operators(struct span s, struct buf *out)
{
    for (size_t i = 0; i < s.len;) {
        size_t lead = s.ptr[i] == ' ' ? 1 : 0;
        struct span rest = span_skip(s, i + lead);
        size_t op = operator_at(rest), at = op;
        bool blank = op && at < rest.len && rest.ptr[at] == ' ';
        at += blank;
        while (at < rest.len && prefix_char(rest.ptr[at]))
            at++;
        bool version = at < rest.len && (digit(rest.ptr[at]) || x_letter(rest.ptr[at]));
        if (version) {
            buf_append(out, span_slice(s, i, i + lead + op));
            buf_append(out, span_slice(rest, op + blank, at + 1));
            i += lead + at + 1;
        } else {
            buf_char(out, s.ptr[i++]);
        }
    }
}

static void join_tildes_and_carets(struct span s, struct buf *out)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        size_t sign = c == '~' && i + 1 < s.len && s.ptr[i + 1] == '>' ? 2 : 1;
        buf_char(out, c);
        if ((c == '~' || c == '^') && i + sign < s.len && s.ptr[i + sign] == ' ')
            i += sign;
    }
}

/* Build metadata never counts: "+anything" after a version goes. */
static void drop_builds(struct span s, struct buf *out)
{
    for (size_t i = 0; i < s.len; i++) {
        size_t end = i;
        if (s.ptr[i] == '+') {
            bool want_letter = true;
            for (size_t k = i + 1; k < s.len; k++) {
                char c = s.ptr[k];
                bool letter =
                    digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
                if (letter)
                    end = k;
                else if (c != '.' || want_letter)
                    break;
                want_letter = !letter;
            }
        }
        if (end == i)
            buf_char(out, s.ptr[i]);
        else
            i = end;
    }
}

static bool parse_comparator(struct arena *a, struct span s, unsigned flags, struct comparator *c)
{
    static const char *const texts[] = {"", "<", "<=", ">", ">="};
    size_t op = operator_at(s);
    *c = (struct comparator){.any = true, .text = SPAN("")};
    c->op = !op               ? OP_EQ
            : s.ptr[0] == '<' ? (op == 2 ? OP_LE : OP_LT)
            : s.ptr[0] == '>' ? (op == 2 ? OP_GE : OP_GT)
                              : OP_EQ;
    if (!s.len)
        return true;
    if (!semver_parse(arena_span(a, span_skip(s, op)), flags, &c->version))
        return false;
    c->any = false;
    AUTO_BUF struct buf text = BUF(2 * SEMVER_MAX_LENGTH);
    buf_str(&text, texts[c->op]);
    semver_format(&c->version, &text);
    c->text = arena_span(a, buf_span(&text));
    return true;
}

static bool is_nothing(const struct comparator *c)
{
    return span_eq(c->text, SPAN("<0.0.0-0"));
}

/* Adds a comparator unless the branch has the same already. */
static void branch_add(struct branch *b, const struct comparator *c)
{
    for (size_t i = 0; i < b->n; i++)
        if (span_eq(b->v[i].text, c->text))
            return;
    b->v[b->n++] = *c;
}

static bool is_lowest(struct span s, bool prereleases)
{
    return span_eq(s, prereleases ? SPAN(">=0.0.0-0") : SPAN(">=0.0.0"));
}

/* The rewritten text to comparators. A loose range drops what is none; then an empty branch
 * is dropped too. False: malformed. */
static bool parse_comparators(struct arena *a, struct span s, unsigned flags, struct branch *b)
{
    struct span piece, rest = s;
    size_t most = 1;
    for (size_t i = 0; i < s.len; i++)
        most += s.ptr[i] == ' ';
    b->v = arena_array(a, most, sizeof(*b->v));
    while (span_next(&rest, ' ', &piece)) {
        struct comparator c;
        if (is_lowest(piece, flags & SEMVER_PRERELEASES))
            piece = SPAN("");
        if (!parse_comparator(a, piece, flags & SEMVER_LOOSE, &c)) {
            /* One that looks like a version but has too big a number is an error all the same. */
            struct xrange x;
            bool looks = match_xrange(span_skip(piece, operator_at(piece)), true, &x) &&
                         x.patch.len && !is_x(x.major) && !is_x(x.minor) && !is_x(x.patch);
            if (!(flags & SEMVER_LOOSE) || looks)
                return false;
            continue;
        }
        if (is_nothing(&c)) {
            b->v[0] = c;
            b->n = 1;
            return true;
        }
        branch_add(b, &c);
    }
    for (size_t i = 0; b->n > 1 && i < b->n; i++) {
        if (b->v[i].any) {
            memmove(&b->v[i], &b->v[i + 1], (b->n - i - 1) * sizeof(*b->v));
            b->n--;
        }
    }
    return true;
}

static bool parse_branch(struct arena *a, struct span s, unsigned flags, struct branch *b)
{
    AUTO_BUF struct buf one = BUF(TEXT_MAX), two = BUF(TEXT_MAX);
    struct span rest, piece;
    drop_builds(s, &one);
    if (!hyphen_range(buf_span(&one), flags, &two))
        buf_append(&two, buf_span(&one));
    buf_reset(&one);
    join_operators(span_trim(buf_span(&two)), &one);
    buf_reset(&two);
    join_tildes_and_carets(buf_span(&one), &two);
    buf_reset(&one);
    rest = buf_span(&two);
    for (bool first = true; span_next(&rest, ' ', &piece); first = false) {
        if (!first)
            buf_char(&one, ' ');
        put_piece(&one, piece, flags);
    }
    return !one.overflow && !two.overflow && parse_comparators(a, buf_span(&one), flags, b);
}

/* Branches that hold nothing go when others are there; one that holds all is the range. */
static void simplify(struct semver_range *r)
{
    if (r->n < 2)
        return;
    struct branch first = r->v[0];
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++)
        if (!is_nothing(&r->v[i].v[0]))
            r->v[n++] = r->v[i];
    r->n = n;
    if (!n) {
        r->v[0] = first;
        r->n = 1;
    }
    for (size_t i = 0; n > 1 && i < n; i++) {
        if (r->v[i].n == 1 && r->v[i].v[0].any) {
            r->v[0] = r->v[i];
            r->n = 1;
            break;
        }
    }
}

struct semver_range *semver_range_parse(struct arena *a, struct span text, unsigned flags)
{
    char blanks_joined[SEMVER_RANGE_MAX_LENGTH];
    size_t n = 0, branches = 1;
    text = span_trim(text);
    if (text.len > sizeof(blanks_joined))
        return NULL;
    for (size_t i = 0; i < text.len; i++) {
        bool blank = text.ptr[i] == ' ' || (text.ptr[i] >= '\t' && text.ptr[i] <= '\r');
        if (!blank || (n && blanks_joined[n - 1] != ' '))
            blanks_joined[n++] = blank ? ' ' : text.ptr[i];
        branches += text.ptr[i] == '|';
    }
    struct semver_range *r = ARENA_NEW(a, struct semver_range);
    struct span rest = span_of(blanks_joined, n), branch;
    r->prereleases = flags & SEMVER_PRERELEASES;
    r->v = arena_array(a, branches, sizeof(*r->v));
    for (bool more = true; more;) {
        more = span_cut(rest, SPAN("||"), &branch, &rest);
        struct branch *b = &r->v[r->n];
        if (!parse_branch(a, span_trim(more ? branch : rest), flags, b))
            return NULL;
        r->n += b->n > 0;
    }
    if (!r->n)
        return NULL;
    simplify(r);
    return r;
}

static bool comparator_test(const struct comparator *c, const struct semver *v)
{
    if (c->any)
        return true;
    int d = semver_cmp(v, &c->version);
    switch (c->op) {
    case OP_EQ: return d == 0;
    case OP_LT: return d < 0;
    case OP_LE: return d <= 0;
    case OP_GT: return d > 0;
    case OP_GE: return d >= 0;
    }
    return false;
}

static bool branch_test(const struct branch *b, const struct semver *v, bool prereleases)
{
    for (size_t i = 0; i < b->n; i++)
        if (!comparator_test(&b->v[i], v))
            return false;
    if (!v->pre.len || prereleases)
        return true;
    for (size_t i = 0; i < b->n; i++) {
        const struct semver *w = &b->v[i].version;
        if (!b->v[i].any && w->pre.len && w->major == v->major && w->minor == v->minor &&
            w->patch == v->patch)
            return true;
    }
    return false;
}

bool semver_range_test(const struct semver_range *r, const struct semver *v)
{
    for (size_t i = 0; i < r->n; i++)
        if (branch_test(&r->v[i], v, r->prereleases))
            return true;
    return false;
}

bool semver_range_open(const struct semver_range *r)
{
    for (size_t i = 0; i < r->n; i++) {
        bool bounded = false;
        for (size_t k = 0; k < r->v[i].n; k++) {
            const struct comparator *c = &r->v[i].v[k];
            bounded |= !c->any && c->op != OP_GT && c->op != OP_GE;
        }
        if (!bounded)
            return true;
    }
    return false;
}

void semver_range_format(const struct semver_range *r, struct buf *out)
{
    size_t start = out->len;
    for (size_t i = 0; i < r->n; i++) {
        if (i)
            buf_str(out, "||");
        for (size_t k = 0; k < r->v[i].n; k++) {
            if (k)
                buf_char(out, ' ');
            buf_append(out, r->v[i].v[k].text);
        }
    }
    if (out->len == start)
        buf_char(out, '*');
}

bool semver_satisfies(struct arena *a, struct span version, struct span range, unsigned flags)
{
    struct semver v;
    struct semver_range *r = semver_range_parse(a, range, flags);
    return r && semver_parse(version, flags, &v) && semver_range_test(r, &v);
}
