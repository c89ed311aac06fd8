/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/pip/tags.h"

#include "base/mem.h"

#define MAX_PLATFORMS 256
#define MAX_TAG       160

struct list {
    const char *v[MAX_PLATFORMS];
    size_t n;
};

static void push(struct list *l, const char *s)
{
    if (l->n < MAX_PLATFORMS)
        l->v[l->n++] = s;
}

static const char *legacy_name(unsigned minor)
{
    switch (minor) {
    case 17: return "manylinux2014";
    case 12: return "manylinux2010";
    case 5: return "manylinux1";
    default: return NULL;
    }
}

/* glibc promises that what was linked against an older one runs on a newer one. */
static void glibc_platforms(struct list *l, const char *arch, unsigned minor, struct arena *a)
{
    bool old_x86 = strcmp(arch, "x86_64") == 0 || strcmp(arch, "i686") == 0;
    for (unsigned m = minor; m >= (old_x86 ? 5u : 17u); m--) {
        push(l, arena_printf(a, "manylinux_2_%u_%s", m, arch));
        if (legacy_name(m))
            push(l, arena_printf(a, "%s_%s", legacy_name(m), arch));
    }
}

static void musl_platforms(struct list *l, const char *arch, unsigned minor, struct arena *a)
{
    for (unsigned m = minor + 1; m-- > 0;)
        push(l, arena_printf(a, "musllinux_1_%u_%s", m, arch));
}

/* "2.36" to 2 and 36. */
static bool two_numbers(struct span text, unsigned *major, unsigned *minor)
{
    struct span first, rest, second;
    uint64_t x, y;
    if (!span_cut_char(text, '.', &first, &rest))
        return false;
    second = span_slice(rest, 0, span_find_char(rest, '.'));
    if (!span_to_u64(first, &x) || !span_to_u64(second, &y) || x > 99 || y > 99)
        return false;
    *major = (unsigned)x;
    *minor = (unsigned)y;
    return true;
}

static bool platforms_of(const struct platform *p, struct list *l, struct arena *a, struct err *err)
{
    unsigned major, minor;
    if (!p->os || strcmp(p->os, "linux") != 0 || !p->arch || !p->arch[0] || strlen(p->arch) > 32)
        return err_set(err, ERR_PLATFORM, "wheels are chosen for linux only, not for %s on %s",
                       p->os ? p->os : "?", p->arch ? p->arch : "?");
    if (!two_numbers(span_str(p->libc_version), &major, &minor))
        return err_set(err, ERR_PLATFORM, "the C library's version \"%s\" is not understood",
                       p->libc_version ? p->libc_version : "");
    if (p->libc && strcmp(p->libc, "musl") == 0)
        musl_platforms(l, p->arch, minor, a);
    else
        glibc_platforms(l, p->arch, major > 2 ? 99 : minor, a);
    push(l, arena_printf(a, "linux_%s", p->arch));
    return true;
}

static void add(struct pip_tags *t, const char *python, const char *abi, const char *platform)
{
    struct span key = span_str(arena_printf(t->arena, "%s-%s-%s", python, abi, platform));
    void **at = map_at(&t->ranks, key);
    if (!*at)
        *at = (void *)(uintptr_t)t->ranks.n;
}

static void add_all(struct pip_tags *t, const char *python, const char *abi, const struct list *l)
{
    for (size_t i = 0; i < l->n; i++)
        add(t, python, abi, l->v[i]);
}

static void add_pure(struct pip_tags *t, unsigned minor, const struct list *l)
{
    const char *newest = arena_printf(t->arena, "py3%u", minor);
    add_all(t, newest, "none", l);
    add_all(t, "py3", "none", l);
    for (unsigned m = minor; m-- > 0;)
        add_all(t, arena_printf(t->arena, "py3%u", m), "none", l);
}

bool pip_tags_init(struct pip_tags *t, const struct platform *p, struct arena *a, struct err *err)
{
    unsigned major, minor;
    struct list platforms = {.n = 0}, any = {{"any"}, 1};
    *t = (struct pip_tags){.arena = a};
    if (!p->python || !p->python[0])
        return err_set(err, ERR_PLATFORM,
                       "there is no Python: install the apt package python3 in the base, or "
                       "declare `platform: {python: \"3.11\"}`");
    if (p->python_impl && p->python_impl[0] && strcmp(p->python_impl, "cpython") != 0)
        return err_set(err, ERR_PLATFORM, "wheels are chosen for CPython only, not for %s",
                       p->python_impl);
    if (!two_numbers(span_str(p->python), &major, &minor) || major != 3)
        return err_set(err, ERR_PLATFORM, "Python %s is not supported, only 3.x", p->python);
    if (!platforms_of(p, &platforms, a, err))
        return false;
    const char *cp = arena_printf(a, "cp3%u", minor);
    const char *abi = minor < 8 ? arena_printf(a, "%sm", cp) : cp;
    add_all(t, cp, abi, &platforms);
    add_all(t, cp, "abi3", &platforms);
    add_all(t, cp, "none", &platforms);
    for (unsigned m = minor; m-- > 2;)
        add_all(t, arena_printf(a, "cp3%u", m), "abi3", &platforms);
    add_pure(t, minor, &platforms);
    add(t, cp, "none", "any");
    add_pure(t, minor, &any);
    return true;
}

void pip_tags_release(struct pip_tags *t)
{
    map_release(&t->ranks);
}

static bool tag_list_valid(struct span s)
{
    struct span piece;
    while (span_next(&s, '.', &piece)) {
        if (piece.len == 0 || piece.len > 48)
            return false;
        for (size_t i = 0; i < piece.len; i++) {
            char c = piece.ptr[i];
            if (c != '_' && (c < '0' || c > '9') && ((c | 32) < 'a' || (c | 32) > 'z'))
                return false;
        }
    }
    return true;
}

static bool project_valid(struct span s)
{
    if (s.len == 0 || span_find(s, SPAN("__")) < s.len)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c != '_' && c != '.' && (c < '0' || c > '9') && ((c | 32) < 'a' || (c | 32) > 'z'))
            return false;
    }
    return true;
}

static bool build_parse(struct span s, struct pip_wheel_name *out)
{
    size_t digits = 0;
    while (digits < s.len && s.ptr[digits] >= '0' && s.ptr[digits] <= '9')
        digits++;
    out->has_build = true;
    out->build_text = span_skip(s, digits);
    return span_to_u64(span_slice(s, 0, digits), &out->build);
}

bool pip_wheel_name_parse(struct span filename, struct pip_wheel_name *out)
{
    struct span rest = filename, part[6];
    size_t n = 0;
    *out = (struct pip_wheel_name){0};
    if (!span_ends(filename, SPAN(".whl")))
        return false;
    rest.len -= 4;
    while (n < 6 && span_next(&rest, '-', &part[n]))
        n++;
    if (rest.ptr || n < 5)
        return false;
    out->name = part[0];
    out->version = part[1];
    out->pythons = part[n - 3];
    out->abis = part[n - 2];
    out->platforms = part[n - 1];
    return project_valid(out->name) && (n == 5 || build_parse(part[2], out)) &&
           tag_list_valid(out->pythons) && tag_list_valid(out->abis) &&
           tag_list_valid(out->platforms);
}

static uint32_t rank_of(const struct pip_tags *t, struct span python, struct span abi,
                        struct span platform)
{
    char key[MAX_TAG];
    size_t n = 0;
    struct span parts[] = {python, SPAN("-"), abi, SPAN("-"), platform};
    for (size_t i = 0; i < COUNT(parts); i++)
        for (size_t k = 0; k < parts[i].len && n < sizeof(key); k++) {
            char c = parts[i].ptr[k];
            key[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        }
    uintptr_t place = (uintptr_t)map_get(&t->ranks, span_of(key, n));
    return place ? (uint32_t)place - 1 : PIP_NO_RANK;
}

uint32_t pip_wheel_rank(const struct pip_tags *t, const struct pip_wheel_name *w)
{
    uint32_t best = PIP_NO_RANK;
    struct span pythons = w->pythons, python, abi, platform;
    while (span_next(&pythons, '.', &python)) {
        struct span abis = w->abis;
        while (span_next(&abis, '.', &abi)) {
            struct span platforms = w->platforms;
            while (span_next(&platforms, '.', &platform)) {
                uint32_t rank = rank_of(t, python, abi, platform);
                best = rank < best ? rank : best;
            }
        }
    }
    return best;
}

int pip_build_cmp(const struct pip_wheel_name *a, const struct pip_wheel_name *b)
{
    if (a->has_build != b->has_build)
        return a->has_build ? 1 : -1;
    if (a->build != b->build)
        return a->build > b->build ? 1 : -1;
    return span_cmp(a->build_text, b->build_text);
}
