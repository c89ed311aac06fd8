/* SPDX-License-Identifier: Apache-2.0 */
/* Specifiers as version sets. Bounds are keys of public versions (version.c draws them);
 * behind(k) is just above everything that begins with k. */
#include "base/buf.h"
#include "resolvers/pip/version.h"
#include "resolvers/pip/version_priv.h"

#define MAX_SPECS 64

static const struct {
    struct span text;
    enum pip_op op;
} operators[] = {/* longer ones first */
                 {SPAN_INIT("==="), PIP_ARBITRARY}, {SPAN_INIT("=="), PIP_EQ},
                 {SPAN_INIT("!="), PIP_NE},         {SPAN_INIT("<="), PIP_LE},
                 {SPAN_INIT(">="), PIP_GE},         {SPAN_INIT("~="), PIP_COMPATIBLE},
                 {SPAN_INIT("<"), PIP_LT},          {SPAN_INIT(">"), PIP_GT}};

static struct span key_span(const struct pip_key *k)
{
    return span_of(k->bytes, k->len);
}

static struct span behind(struct pip_key *k)
{
    k->bytes[k->len++] = (char)0xff;
    return key_span(k);
}

static const struct span no_end = {NULL, 0};

/* The first version of the release: its .dev0. */
static void key_dev0_of_release(struct pip_key *k, const struct pip_parts *v, size_t count,
                                bool next)
{
    struct pip_parts d = *v;
    d.release_count = count;
    d.release[count - 1] += next;
    d.phase = 1;
    d.has_post = false;
    d.has_dev = true;
    d.dev = 0;
    pip_key_public(k, &d);
}

static const struct version_set *prefix_set(struct arena *a, const struct pip_parts *v,
                                            size_t count)
{
    struct pip_key lo, hi;
    key_dev0_of_release(&lo, v, count, false);
    key_dev0_of_release(&hi, v, count, true);
    return version_set_range(a, key_span(&lo), key_span(&hi));
}

/* Everything equal to the version; any local label, unless it has one itself. */
static const struct version_set *equal_set(struct arena *a, const struct pip_parts *v)
{
    struct pip_key lo, hi;
    pip_key_public(&lo, v);
    if (v->local.len)
        pip_key_local(&lo, v);
    hi = lo;
    return version_set_range(a, key_span(&lo), behind(&hi));
}

/* Before the version, and, for a final one, before its pre-releases too. */
static const struct version_set *less_set(struct arena *a, const struct pip_parts *v)
{
    struct pip_parts d = *v;
    struct pip_key k;
    bool prerelease = v->has_dev || (v->phase >= 2 && v->phase <= 4);
    if (!prerelease) {
        d.has_dev = true;
        d.dev = 0;
        d.phase = v->has_post ? v->phase : 1;
    }
    pip_key_public(&k, &d);
    return version_set_before(a, key_span(&k));
}

/* After the version; its local labels and, unless it is one itself, its post-releases do not
 * count as later. */
static const struct version_set *greater_set(struct arena *a, const struct pip_parts *v)
{
    struct pip_parts d = *v;
    struct pip_key k;
    if (v->has_dev) {
        d.dev++;
    } else if (v->has_post) {
        d.post++;
        d.has_dev = true;
        d.dev = 0;
    } else {
        pip_key_after_posts(&k, v);
        return version_set_from(a, key_span(&k));
    }
    pip_key_public(&k, &d);
    return version_set_from(a, key_span(&k));
}

/* === compares text: only a canonical version can be equal to the text of one. */
static const struct version_set *text_set(struct arena *a, struct span text)
{
    struct pip_version v;
    if (!pip_version_parse(text, a, &v) || !span_eq_nocase(v.text, text))
        return version_set_none();
    return version_set_one(a, v.key);
}

static const struct version_set *spec_set(struct arena *a, const struct pip_spec *s,
                                          const struct pip_parts *v)
{
    struct pip_key k;
    switch (s->op) {
    case PIP_EQ: return s->wildcard ? prefix_set(a, v, v->release_count) : equal_set(a, v);
    case PIP_NE:
        return version_set_complement(a, s->wildcard ? prefix_set(a, v, v->release_count)
                                                     : equal_set(a, v));
    case PIP_LE: pip_key_public(&k, v); return version_set_before(a, behind(&k));
    case PIP_GE: pip_key_public(&k, v); return version_set_from(a, key_span(&k));
    case PIP_LT: return less_set(a, v);
    case PIP_GT: return greater_set(a, v);
    case PIP_COMPATIBLE:
        pip_key_public(&k, v);
        return version_set_intersect(a, version_set_range(a, key_span(&k), no_end),
                                     prefix_set(a, v, v->release_count - 1));
    case PIP_ARBITRARY: break;
    }
    return text_set(a, s->version);
}

static bool has_suffix(const struct pip_parts *v)
{
    return v->has_dev || v->has_post || (v->phase >= 2 && v->phase <= 4) || v->local.len;
}

static bool spec_wrong(struct span text, struct err *err, const char *why)
{
    return err_set(err, ERR_INVALID, "\"%.*s\" is no version specifier: %s",
                   (int)(text.len > 120 ? 120 : text.len), text.ptr, why);
}

static bool check_form(const struct pip_spec *s, const struct pip_parts *v, struct span text,
                       struct err *err)
{
    if (s->wildcard && has_suffix(v))
        return spec_wrong(text, err, "\".*\" may follow release numbers only, as in \"==1.2.*\"");
    if (v->local.len && s->op != PIP_EQ && s->op != PIP_NE)
        return spec_wrong(text, err, "a local label (+...) is allowed with == and != only");
    if (s->op == PIP_COMPATIBLE && v->release_count < 2)
        return spec_wrong(text, err, "~= needs at least two numbers, as in \"~=1.2\"");
    return true;
}

static bool spec_parse(struct span text, struct arena *a, struct pip_spec *out, struct err *err)
{
    size_t i = 0;
    while (i < COUNT(operators) && !span_starts(text, operators[i].text))
        i++;
    if (i == COUNT(operators))
        return spec_wrong(text, err, "it must begin with one of ==, !=, <=, >=, <, >, ~=, ===");
    *out = (struct pip_spec){.op = operators[i].op};
    out->version = arena_span(a, span_trim(span_skip(text, operators[i].text.len)));
    struct pip_parts v;
    if (out->op == PIP_ARBITRARY) {
        if (span_has(out->version, ' ') || span_has(out->version, '\t'))
            return spec_wrong(text, err, "white space inside the version");
        bool known = pip_parts_parse(out->version, &v);
        out->prerelease = known && (v.has_dev || (v.phase >= 2 && v.phase <= 4));
        out->set = text_set(a, out->version);
        return true;
    }
    struct span version = out->version;
    if ((out->op == PIP_EQ || out->op == PIP_NE) && span_ends(version, SPAN(".*"))) {
        out->wildcard = true;
        version.len -= 2;
    }
    if (!pip_parts_parse(version, &v))
        return spec_wrong(text, err, "what follows the operator is no version (such as 1.2.3)");
    if (!check_form(out, &v, text, err))
        return false;
    out->version = span_slice(out->version, 0, version.len);
    out->prerelease =
        out->op != PIP_NE && !out->wildcard && (v.has_dev || (v.phase >= 2 && v.phase <= 4));
    out->set = spec_set(a, out, &v);
    return true;
}

static void append_text(struct buf *b, const struct pip_spec *s)
{
    size_t i = 0;
    while (operators[i].op != s->op)
        i++;
    if (b->len)
        buf_char(b, ',');
    buf_append(b, operators[i].text);
    buf_append(b, s->version);
    if (s->wildcard)
        buf_str(b, ".*");
}

bool pip_specs_parse(struct span text, struct arena *a, struct pip_specs *out, struct err *err)
{
    AUTO_BUF struct buf b = BUF(16u << 10);
    struct pip_spec list[MAX_SPECS];
    *out = (struct pip_specs){.set = version_set_all()};
    struct span piece;
    while (span_next(&text, ',', &piece)) {
        piece = span_trim(piece);
        if (piece.len == 0)
            continue;
        if (out->n == MAX_SPECS)
            return err_set(err, ERR_TOO_LARGE, "more than %d version specifiers", MAX_SPECS);
        struct pip_spec *s = &list[out->n];
        if (!spec_parse(piece, a, s, err))
            return false;
        out->n++;
        out->set = version_set_intersect(a, out->set, s->set);
        out->prerelease |= s->prerelease;
        out->pinned |= s->op == PIP_ARBITRARY || (s->op == PIP_EQ && !s->wildcard);
        append_text(&b, s);
    }
    struct pip_spec *kept = arena_array(a, out->n, sizeof(*kept));
    for (size_t i = 0; i < out->n; i++)
        kept[i] = list[i];
    out->v = kept;
    out->text = arena_span(a, buf_span(&b));
    return true;
}

bool pip_specs_match(const struct pip_specs *specs, const struct pip_version *v)
{
    return version_set_has(specs->set, v->key);
}
