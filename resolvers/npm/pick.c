/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/npm/pick.h"

#define SHOWN_VERSIONS 8

static struct span npm_cpu(struct span arch)
{
    static const struct span names[][2] = {
        {SPAN_INIT("x86_64"), SPAN_INIT("x64")},    {SPAN_INIT("amd64"), SPAN_INIT("x64")},
        {SPAN_INIT("aarch64"), SPAN_INIT("arm64")}, {SPAN_INIT("i686"), SPAN_INIT("ia32")},
        {SPAN_INIT("i386"), SPAN_INIT("ia32")},     {SPAN_INIT("armv7l"), SPAN_INIT("arm")},
        {SPAN_INIT("ppc64le"), SPAN_INIT("ppc64")},
    };
    for (size_t i = 0; i < COUNT(names); i++)
        if (span_eq(arch, names[i][0]))
            return names[i][1];
    return arch;
}

/* "20.20.2", "20.20" or "20"; the parts left out are as high as they can be. */
static bool engine_version(struct arena *a, const char *text, struct semver *out)
{
    struct span s = span_trim(span_str(text));
    if (s.len && s.ptr[0] == 'v')
        s = span_skip(s, 1);
    if (semver_parse(arena_span(a, s), SEMVER_STRICT, out))
        return true;
    for (int missing = 1; missing < 3; missing++) {
        const char *full =
            arena_printf(a, "%.*s%s", SPAN_ARG(s), missing == 1 ? ".9999" : ".9999.9999");
        if (semver_parse(span_str(full), SEMVER_STRICT, out))
            return true;
    }
    return false;
}

void npm_target_init(struct npm_target *t, const struct platform *platform, int64_t before_ms,
                     struct arena *a)
{
    *t = (struct npm_target){
        .os = span_str(platform->os),
        .cpu = npm_cpu(span_str(platform->arch)),
        .libc = span_str(platform->libc),
        .before_ms = before_ms,
    };
    t->has_node = engine_version(a, platform->node, &t->node);
    t->has_npm = engine_version(a, platform->npm, &t->npm);
}

static bool engine_ok(bool known, const struct semver *have, struct span want)
{
    if (!known || !want.len)
        return true;
    AUTO_ARENA struct arena *a = arena_new();
    struct semver_range *r = semver_range_parse(a, want, SEMVER_PRERELEASES);
    return r && semver_range_test(r, have);
}

bool npm_engines_ok(const struct npm_target *t, const struct npm_manifest *m)
{
    return engine_ok(t->has_node, &t->node, m->engine_node) &&
           engine_ok(t->has_npm, &t->npm, m->engine_npm);
}

/* None of the "!x", and one of the others if there are any. */
static bool list_ok(struct span have, const struct npm_list *list)
{
    size_t refused = 0;
    bool match = false;
    if (list->n == 1 && span_eq(list->v[0], SPAN("any")))
        return true;
    for (size_t i = 0; i < list->n; i++) {
        bool negated = list->v[i].len && list->v[i].ptr[0] == '!';
        bool same = span_eq(have, negated ? span_skip(list->v[i], 1) : list->v[i]);
        if (negated && same)
            return false;
        refused += negated;
        match |= !negated && same;
    }
    return match || refused == list->n;
}

static void put_list(struct buf *out, const char *what, const struct npm_list *list)
{
    buf_printf(out, "%s%s ", out->len ? ", " : "", what);
    for (size_t i = 0; i < list->n; i++) {
        buf_str(out, i ? "|" : "");
        buf_append(out, list->v[i]);
    }
}

bool npm_platform_ok(const struct npm_target *t, const struct npm_manifest *m, struct err *err)
{
    bool os = list_ok(t->os, &m->os), cpu = list_ok(t->cpu, &m->cpu);
    bool libc = list_ok(t->libc, &m->libc) && (!m->libc.n || t->libc.len);
    if (os && cpu && libc)
        return true;
    AUTO_BUF struct buf want = BUF(400);
    if (!os)
        put_list(&want, "os", &m->os);
    if (!cpu)
        put_list(&want, "cpu", &m->cpu);
    if (!libc)
        put_list(&want, "libc", &m->libc);
    return err_set(err, ERR_PLATFORM, "%.*s@%.*s is for %s; this platform is %.*s %.*s %.*s",
                   SPAN_ARG(m->name), SPAN_ARG(m->version_text), buf_cstr(&want), SPAN_ARG(t->os),
                   SPAN_ARG(t->cpu), SPAN_ARG(t->libc));
}

static bool in_time(struct npm_packument *p, const struct npm_target *t, struct span key)
{
    return !t->before_ms || npm_packument_before(p, key, t->before_ms);
}

/* How good a version is, apart from its number. */
static int quality(const struct npm_target *t, const struct npm_manifest *m)
{
    bool engines = npm_engines_ok(t, m), current = !m->deprecated.len;
    return (engines && current ? 4 : 0) + (engines ? 2 : 0) + (current ? 1 : 0);
}

#define QUALITY_BEST 7

static bool in_range(const struct semver_range *range, const struct semver *v)
{
    return range && semver_range_test(range, v);
}

bool npm_pick_latest_serves(const struct npm_manifest *latest, const struct npm_spec *spec,
                            const struct npm_target *t)
{
    return !t->before_ms && (spec->any || in_range(spec->range, &latest->version)) &&
           quality(t, latest) == QUALITY_BEST;
}

static const struct npm_manifest *pick_range(struct npm_packument *p,
                                             const struct semver_range *range, bool any,
                                             const struct npm_target *t)
{
    struct npm_packument_version *latest =
        npm_packument_find(p, npm_packument_tag(p, SPAN("latest")));
    const struct npm_manifest *best = NULL, *m;
    struct npm_packument_version *best_version = NULL;
    int best_quality = -1;
    if (latest && (any || in_range(range, &latest->version)) && in_time(p, t, latest->key) &&
        (m = npm_packument_manifest(p, latest)) && quality(t, m) == QUALITY_BEST)
        return m;
    /* Highest first would need a sort; one pass that skips what cannot win does as well. */
    for (size_t i = 0; i < npm_packument_count(p); i++) {
        struct npm_packument_version *v = npm_packument_at(p, i);
        bool lower = best_version && semver_cmp(&v->version, &best_version->version) <= 0;
        if ((lower && best_quality == QUALITY_BEST) || !in_range(range, &v->version) ||
            !in_time(p, t, v->key) || !(m = npm_packument_manifest(p, v)))
            continue;
        int q = quality(t, m);
        if (q > best_quality || (q == best_quality && !lower)) {
            best = m;
            best_version = v;
            best_quality = q;
        }
    }
    return best;
}

static const struct npm_manifest *pick_tag(struct npm_packument *p, struct span tag,
                                           const struct npm_target *t)
{
    struct span key = npm_packument_tag(p, tag);
    struct npm_packument_version *v = npm_packument_find(p, key);
    if (!key.len)
        return NULL;
    if (in_time(p, t, key))
        return v ? npm_packument_manifest(p, v) : NULL;
    /* Published too late: the best one up to it that was not. */
    AUTO_ARENA struct arena *a = arena_new();
    struct semver_range *range =
        semver_range_parse(a, span_str(arena_printf(a, "<=%.*s", SPAN_ARG(key))), SEMVER_LOOSE);
    return range ? pick_range(p, range, false, t) : NULL;
}

static const struct npm_manifest *pick_version(struct npm_packument *p, const struct npm_spec *spec,
                                               const struct npm_target *t)
{
    AUTO_BUF struct buf text = BUF(2 * SEMVER_MAX_LENGTH);
    semver_format(&spec->version, &text);
    struct npm_packument_version *v = npm_packument_find(p, buf_span(&text));
    if (!v)
        v = npm_packument_find(p, spec->text);
    return v && in_time(p, t, v->key) ? npm_packument_manifest(p, v) : NULL;
}

static void put_known(struct npm_packument *p, struct buf *out)
{
    size_t n = npm_packument_count(p), from = n > SHOWN_VERSIONS ? n - SHOWN_VERSIONS : 0;
    struct span latest = npm_packument_tag(p, SPAN("latest"));
    buf_printf(out, "%zu version%s, %s", n, n == 1 ? "" : "s", from ? "the last ones: " : "");
    for (size_t i = from; i < n; i++)
        buf_printf(out, "%s%.*s", i > from ? ", " : "", SPAN_ARG(npm_packument_at(p, i)->key));
    if (latest.len)
        buf_printf(out, "; latest is %.*s", SPAN_ARG(latest));
}

const struct npm_manifest *npm_pick(struct npm_packument *p, const struct npm_spec *spec,
                                    const struct npm_target *t, struct err *err)
{
    const struct npm_manifest *m;
    if (spec->kind == NPM_SPEC_VERSION)
        m = pick_version(p, spec, t);
    else if (spec->kind == NPM_SPEC_TAG)
        m = pick_tag(p, spec->text, t);
    else
        m = pick_range(p, spec->range, spec->any, t);
    if (m)
        return m;
    AUTO_BUF struct buf known = BUF(500);
    put_known(p, &known);
    err_set(err, ERR_UNRESOLVABLE, "no version matches%s; the registry has %s",
            t->before_ms ? " among those published in time" : "", buf_cstr(&known));
    return NULL;
}
