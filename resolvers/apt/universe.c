/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/apt/universe.h"

#include <stdlib.h>

#define PIN_INSTALLED 100

const char *apt_arch_of(const char *machine)
{
    static const struct {
        const char *machine, *arch;
    } ports[] = {{"x86_64", "amd64"},   {"aarch64", "arm64"},   {"armv7l", "armhf"},
                 {"i686", "i386"},      {"ppc64le", "ppc64el"}, {"s390x", "s390x"},
                 {"riscv64", "riscv64"}};
    for (size_t i = 0; i < COUNT(ports); i++)
        if (strcmp(machine, ports[i].machine) == 0)
            return ports[i].arch;
    return NULL;
}

struct apt_universe *apt_universe_new(struct apt_list *lists, size_t list_count,
                                      const struct apt_index *status, const char *arch)
{
    struct apt_universe *u = MEM_NEW(struct apt_universe);
    u->arena = arena_new();
    u->lists = lists;
    u->list_count = list_count;
    u->status = *status;
    u->arch = arch;
    return u;
}

void apt_universe_free(struct apt_universe *u)
{
    if (!u)
        return;
    map_release(&u->names);
    map_release(&u->sources);
    arena_free(u->arena);
    free(u);
}

/* ---- one stanza ------------------------------------------------------------------------------ */

static int priority_of(struct span s)
{
    static const struct span names[] = {SPAN_INIT("required"), SPAN_INIT("important"),
                                        SPAN_INIT("standard"), SPAN_INIT("optional")};
    for (size_t i = 0; i < COUNT(names); i++)
        if (span_eq(s, names[i]))
            return (int)i;
    return (int)COUNT(names);
}

/* "Source: glibc (2.36-9)" tells the source's version when it is another. */
static void set_source(struct apt_version *v, struct span value)
{
    struct span name, rest, version, after;
    v->source = value;
    if (span_cut_char(value, ' ', &name, &rest)) {
        v->source = name;
        rest = span_trim(rest);
        if (rest.len && rest.ptr[0] == '(' &&
            span_cut_char(span_skip(rest, 1), ')', &version, &after))
            v->source_version = version;
    }
}

static bool set_field(struct apt_version *v, struct span key, struct span value)
{
    const struct {
        struct span key;
        struct span *to;
    } texts[] = {
        {SPAN("Version"), &v->version},         {SPAN("Architecture"), &v->arch},
        {SPAN("Multi-Arch"), &v->multi_arch},   {SPAN("Depends"), &v->depends},
        {SPAN("Pre-Depends"), &v->pre_depends}, {SPAN("Provides"), &v->provides},
        {SPAN("Conflicts"), &v->conflicts},     {SPAN("Breaks"), &v->breaks},
        {SPAN("Filename"), &v->filename},       {SPAN("SHA256"), &v->sha256},
    };
    for (size_t i = 0; i < COUNT(texts); i++)
        if (span_eq(key, texts[i].key)) {
            *texts[i].to = value;
            return true;
        }
    if (span_eq(key, SPAN("Source")))
        set_source(v, value);
    else if (span_eq(key, SPAN("Priority")))
        v->priority = priority_of(value);
    else if (span_eq(key, SPAN("Essential")))
        v->essential = span_eq(value, SPAN("yes"));
    else if (span_eq(key, SPAN("Size")))
        span_to_u64(value, &v->size);
    else if (span_eq(key, SPAN("Installed-Size")))
        span_to_u64(value, &v->installed_kib);
    return false;
}

/* dpkg's "want flag status": only what is unpacked or better counts as there. */
static bool status_installed(struct span status, bool *held)
{
    struct span want, rest, flag, state;
    if (!span_cut_char(status, ' ', &want, &rest) || !span_cut_char(rest, ' ', &flag, &state))
        return false;
    *held = span_eq(want, SPAN("hold"));
    return span_eq(state, SPAN("installed")) || span_eq(state, SPAN("unpacked")) ||
           span_eq(state, SPAN("half-configured")) || span_eq(state, SPAN("triggers-pending")) ||
           span_eq(state, SPAN("triggers-awaited"));
}

static struct apt_version *parse_version(struct apt_universe *u, struct apt_name *n,
                                         struct span stanza, bool from_status)
{
    struct apt_version *v = ARENA_NEW(u->arena, struct apt_version);
    struct span key, value, status = SPAN("");
    v->name = n;
    v->source = n->name;
    v->priority = 4;
    v->order = u->orders++;
    while (control_field(&stanza, &key, &value))
        if (!set_field(v, key, value) && span_eq(key, SPAN("Status")))
            status = value;
    if (!apt_version_valid(v->version) ||
        (!span_eq_str(v->arch, u->arch) && !span_eq(v->arch, SPAN("all"))))
        return NULL;
    if (v->source_version.len == 0)
        v->source_version = v->version;
    if (!from_status)
        return v;
    v->installed = status_installed(status, &v->held);
    v->pin = PIN_INSTALLED;
    return v->installed ? v : NULL;
}

/* ---- one name -------------------------------------------------------------------------------- */

static int newest_first(const void *a, const void *b)
{
    const struct apt_version *x = *(struct apt_version *const *)a,
                             *y = *(struct apt_version *const *)b;
    int d = apt_version_cmp(y->version, x->version);
    return d ? d : (x->order > y->order) - (x->order < y->order);
}

/* The same version from several lists is one version with the best pin; the installed one learns
 * from a list where its archive is. */
static void merge_same(struct apt_name *n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n->version_count; i++) {
        struct apt_version *v = n->versions[i];
        struct apt_version *same = kept ? n->versions[kept - 1] : NULL;
        if (!same || apt_version_cmp(same->version, v->version) != 0) {
            n->versions[kept++] = v;
            continue;
        }
        if (v->installed || same->installed) {
            struct apt_version *installed = v->installed ? v : same;
            struct apt_version *listed = v->installed ? same : v;
            installed->filename = listed->filename;
            installed->sha256 = listed->sha256;
            installed->size = listed->size;
            installed->list = listed->list;
            installed->pin = listed->pin > installed->pin ? listed->pin : installed->pin;
            n->versions[kept - 1] = installed;
        } else if (v->pin > same->pin) {
            same->pin = v->pin;
            same->list = v->list;
        }
    }
    n->version_count = kept;
}

static void choose_candidate(struct apt_name *n)
{
    for (size_t i = 0; i < n->version_count; i++)
        if (n->versions[i]->installed)
            n->installed = n->versions[i];
    for (size_t i = 0; i < n->version_count; i++) {
        struct apt_version *v = n->versions[i];
        bool downgrade =
            n->installed && v->pin < 1000 && apt_version_cmp(v->version, n->installed->version) < 0;
        if (v->pin > 0 && !downgrade && (!n->candidate || v->pin > n->candidate->pin))
            n->candidate = v;
    }
}

static void load_versions(struct apt_universe *u, struct apt_name *n)
{
    VEC(struct apt_version *) found = {0};
    const struct apt_index_row *row;
    size_t count = apt_index_find(&u->status, n->name, &row);
    for (size_t k = 0; k < count; k++) {
        struct apt_version *v = parse_version(u, n, apt_index_stanza(&u->status, row + k), true);
        if (v)
            *VEC_PUSH(&found) = v;
    }
    for (size_t i = 0; i < u->list_count; i++) {
        count = apt_index_find(&u->lists[i].index, n->name, &row);
        for (size_t k = 0; k < count; k++) {
            struct apt_version *v =
                parse_version(u, n, apt_index_stanza(&u->lists[i].index, row + k), false);
            if (!v)
                continue;
            v->list = &u->lists[i];
            v->pin = u->lists[i].pin;
            *VEC_PUSH(&found) = v;
        }
    }
    if (found.n)
        qsort(found.v, found.n, sizeof(*found.v), newest_first);
    n->versions = arena_array(u->arena, found.n + 1, sizeof(*n->versions));
    if (found.n)
        memcpy(n->versions, found.v, found.n * sizeof(*found.v));
    n->version_count = found.n;
    VEC_FREE(&found);
    merge_same(n);
    choose_candidate(n);
    n->chosen = n->installed;
}

struct apt_name *apt_universe_name(struct apt_universe *u, struct span name)
{
    struct apt_name *n = map_get(&u->names, name);
    if (!n) {
        n = ARENA_NEW(u->arena, struct apt_name);
        n->name = arena_span(u->arena, name);
        map_put(&u->names, n->name, n);
        load_versions(u, n);
    }
    return n;
}

/* ---- providers ------------------------------------------------------------------------------- */

/* apt's order among providers: the more important, then as they came. */
static int better_first(const void *a, const void *b)
{
    const struct apt_version *x = *(struct apt_version *const *)a,
                             *y = *(struct apt_version *const *)b;
    if (x->priority != y->priority)
        return x->priority - y->priority;
    return (x->order > y->order) - (x->order < y->order);
}

static bool provides_name(const struct apt_version *v, struct span name)
{
    struct span rest = v->provides, group;
    struct apt_relation_term t;
    while (control_group(&rest, &group))
        if (control_alternative(&group, &t) && span_eq(t.name, name))
            return true;
    return false;
}

void apt_universe_providers(struct apt_universe *u, struct apt_name *n)
{
    if (n->providers_known)
        return;
    n->providers_known = true;
    VEC(struct apt_version *) found = {0};
    for (size_t i = 0; i <= u->list_count; i++) {
        const struct apt_index *x = i == 0 ? &u->status : &u->lists[i - 1].index;
        const struct apt_index_row *row;
        size_t count = apt_index_providers(x, n->name, &row);
        for (size_t k = 0; k < count; k++) {
            struct span name = control_get(apt_index_stanza(x, row + k), SPAN("Package"));
            struct apt_name *by = apt_universe_name(u, name);
            for (size_t v = 0; v < by->version_count; v++) {
                bool there = false;
                for (size_t f = 0; f < found.n; f++)
                    there = there || found.v[f] == by->versions[v];
                if (!there && provides_name(by->versions[v], n->name))
                    *VEC_PUSH(&found) = by->versions[v];
            }
        }
    }
    if (found.n)
        qsort(found.v, found.n, sizeof(*found.v), better_first);
    n->providers = arena_array(u->arena, found.n + 1, sizeof(*n->providers));
    if (found.n)
        memcpy(n->providers, found.v, found.n * sizeof(*found.v));
    n->provider_count = found.n;
    VEC_FREE(&found);
}

/* ---- siblings -------------------------------------------------------------------------------- */

struct apt_source {
    struct apt_name *name;
    struct apt_source *next;
    size_t count; /* of the list from here on */
};

static void learn_sources(struct apt_universe *u)
{
    struct span rest = u->status.text, stanza;
    u->sources_known = true;
    while (control_stanza(&rest, &stanza)) {
        struct apt_name *n = apt_universe_name(u, control_get(stanza, SPAN("Package")));
        if (!n->installed)
            continue;
        struct apt_source *s = ARENA_NEW(u->arena, struct apt_source);
        void **first = map_at(&u->sources, n->installed->source);
        s->name = n;
        s->next = *first;
        s->count = s->next ? s->next->count + 1 : 1;
        *first = s;
    }
}

struct apt_name **apt_universe_siblings(struct apt_universe *u, struct span source, size_t *count)
{
    if (!u->sources_known)
        learn_sources(u);
    const struct apt_source *s = map_get(&u->sources, source);
    *count = s ? s->count : 0;
    struct apt_name **out = arena_array(u->arena, *count + 1, sizeof(struct apt_name *));
    for (size_t i = *count; s; s = s->next)
        out[--i] = s->name;
    return out;
}

/* ---- matching -------------------------------------------------------------------------------- */

bool apt_version_matches(const struct apt_version *v, const struct apt_relation_term *t)
{
    if (span_eq(v->name->name, t->name) &&
        apt_version_satisfies(v->version, t->relation, t->version))
        return true;
    struct span rest = v->provides, group;
    struct apt_relation_term p;
    while (control_group(&rest, &group))
        if (control_alternative(&group, &p) && span_eq(p.name, t->name) &&
            (t->relation == APT_ANY ||
             (p.relation == APT_EQ && apt_version_satisfies(p.version, t->relation, t->version))))
            return true;
    return false;
}
