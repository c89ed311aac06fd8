/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/pip/metadata.h"

#include "base/mem.h"
#include "resolvers/pip/name.h"

#define MAX_REQUIRES 10000
#define MAX_EXTRAS   4096

struct lists {
    VEC(struct pip_requirement) requires;
    VEC(struct span) extras;
};

static bool folded(struct span rest)
{
    return rest.len && (rest.ptr[0] == ' ' || rest.ptr[0] == '\t');
}

/* The next header; *value may go over several lines. False: the headers' end. */
static bool next_header(struct span *rest, struct span *key, struct span *value)
{
    struct span line;
    while (span_next_line(rest, &line)) {
        if (line.len == 0)
            return false;
        if (!span_cut_char(line, ':', key, value))
            continue;
        while (folded(*rest)) {
            span_next_line(rest, &line);
            value->len = (size_t)(line.ptr + line.len - value->ptr);
        }
        *value = span_trim(*value);
        return true;
    }
    return false;
}

/* A value of several lines as one, for the fields that are looked at. */
static struct span unfold(struct span value, struct arena *a)
{
    AUTO_BUF struct buf b = BUF(64u << 10);
    struct span line;
    if (!span_has(value, '\n'))
        return arena_span(a, value);
    while (span_next_line(&value, &line)) {
        if (b.len)
            buf_char(&b, ' ');
        buf_append(&b, span_trim(line));
    }
    return arena_span(a, buf_span(&b));
}

static bool take_requirement(struct lists *l, struct span value, struct arena *a, struct err *err)
{
    if (l->requires.n >= MAX_REQUIRES)
        return err_set(err, ERR_TOO_LARGE, "more than %d Requires-Dist fields", MAX_REQUIRES);
    struct pip_requirement r;
    if (!pip_requirement_parse(unfold(value, a), a, &r, err)) {
        err->code = ERR_BAD_ARCHIVE;
        return err_wrap(err, "Requires-Dist");
    }
    *VEC_PUSH(&l->requires) = r;
    return true;
}

static bool take_header(struct pip_metadata *m, struct lists *l, struct span key, struct span value,
                        struct arena *a, struct err *err)
{
    if (span_eq_nocase(key, SPAN("Requires-Dist")))
        return take_requirement(l, value, a, err);
    if (span_eq_nocase(key, SPAN("Metadata-Version")))
        m->metadata_version = unfold(value, a);
    else if (span_eq_nocase(key, SPAN("Name")))
        m->name = unfold(value, a);
    else if (span_eq_nocase(key, SPAN("Version")))
        m->version = unfold(value, a);
    else if (span_eq_nocase(key, SPAN("Requires-Python")))
        m->requires_python = unfold(value, a);
    else if (span_eq_nocase(key, SPAN("Provides-Extra")) && l->extras.n < MAX_EXTRAS)
        *VEC_PUSH(&l->extras) = pip_name_normalise(unfold(value, a), a);
    else if (span_eq_nocase(key, SPAN("Dynamic")))
        m->dynamic |= span_eq_nocase(value, SPAN("Requires-Dist")) ||
                      span_eq_nocase(value, SPAN("Requires-Python")) ||
                      span_eq_nocase(value, SPAN("Provides-Extra"));
    return true;
}

bool pip_metadata_parse(struct span text, struct arena *a, struct pip_metadata *out,
                        struct err *err)
{
    struct lists l = {0};
    struct span key, value, rest = text;
    bool ok = true;
    struct err why = {0};
    *out = (struct pip_metadata){0};
    while (ok && next_header(&rest, &key, &value))
        ok = take_header(out, &l, key, value, a, &why);
    if (ok && (out->name.len == 0 || out->version.len == 0))
        ok = err_set(&why, ERR_BAD_ARCHIVE, "no Name or no Version in it");
    if (ok) {
        struct pip_requirement *r = arena_array(a, l.requires.n, sizeof(*r));
        struct span *e = arena_array(a, l.extras.n, sizeof(*e));
        for (size_t i = 0; i < l.requires.n; i++)
        r[i] = l.requires.v[i];
        for (size_t i = 0; i < l.extras.n; i++)
            e[i] = l.extras.v[i];
        out->requires = r;
        out->require_count = l.requires.n;
        out->extras = e;
        out->extra_count = l.extras.n;
    }
    VEC_FREE(&l.requires);
    VEC_FREE(&l.extras);
    return ok || err_set(err, why.code, "%s", why.text);
}

bool pip_metadata_is(const struct pip_metadata *m, struct span project,
                     const struct pip_version *version)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct pip_version v;
    return pip_name_is(m->name, project) && pip_version_parse(m->version, a, &v) &&
           pip_version_cmp(&v, version) == 0;
}

bool pip_metadata_static(const struct pip_metadata *m)
{
    struct span major, minor;
    uint64_t x, y;
    return span_cut_char(m->metadata_version, '.', &major, &minor) && span_to_u64(major, &x) &&
           span_to_u64(minor, &y) && (x > 2 || (x == 2 && y >= 2)) && !m->dynamic;
}
