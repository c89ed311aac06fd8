/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/npm/source.h"

#include "base/json.h"

#define PACKUMENT_MAX (192u << 20)
#define DOCUMENT_MAX  (8u << 20)
#define TTL_MS        (5 * 60 * 1000)
#define ASKS_MAX      30000        /* documents of one resolution */
#define POOL_FROM     (256u << 10) /* smaller documents are read where they arrive */

/* Tarballs wait behind metadata, which decides what is needed at all. */
#define PRIORITY_METADATA 1000

#define ACCEPT_SHORT "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*"
#define ACCEPT_FULL  "application/json"

enum ask_state { ASK_NEW, ASK_ASKED, ASK_OPEN, ASK_FAILED };

enum ask_kind { ASK_PACKUMENT, ASK_VERSION, ASK_TARBALL, ASK_DETAIL };

/* One document asked for, and who waits for it. */
struct ask {
    struct npm_source *source;
    enum ask_kind kind;
    enum ask_state state;
    struct span name, version; /* of the registry; version empty for a packument */
    struct registry_get get;
    bool under_way; /* the request */
    struct pool_task task;
    struct arena *arena; /* of the manifest of a single version */
    char *text;
    size_t len;
    struct err err;
    VEC(struct npm_want *) waiting;
    /* Results: */
    struct npm_packument *packument;
    const struct npm_manifest *manifest;
    struct npm_inside *inside;
    /* Of a look inside or a detail: */
    const struct npm_manifest *about_manifest;
    npm_look_fn look;
    npm_detail_fn detail;
    void *about;
};

struct npm_source {
    struct npm_source_options o;
    struct arena *arena;
    struct map asks; /* "name\0version" -> struct ask * */
    VEC(struct ask *) all;
    size_t pending;
    struct map locked;   /* package -> struct locked *, of the older lock */
    bool no_short_forms; /* the mirror knows whole packuments only */
    bool cancelled;
    struct err err;
};

/* A version that was locked before. */
struct locked {
    struct semver version;
    struct locked *next;
};

static void read_previous(struct npm_source *s)
{
    for (size_t i = 0; i < json_array_size(s->o.previous); i++) {
        const json_t *p = json_array_get(s->o.previous, i);
        struct span name = json_get_span(p, "name"), version = json_get_span(p, "version");
        struct locked *l = ARENA_NEW(s->arena, struct locked);
        if (!name.ptr || !version.ptr ||
            !semver_parse(arena_span(s->arena, version), SEMVER_LOOSE, &l->version))
            continue;
        void **at = map_at(&s->locked, arena_span(s->arena, name));
        l->next = *at;
        *at = l;
    }
}

/* The highest locked version that a range allows; NULL: none. */
static const struct semver *locked_version(const struct npm_source *s, const struct npm_want *want)
{
    const struct semver *best = NULL;
    if (want->spec.kind != NPM_SPEC_RANGE)
        return NULL;
    for (const struct locked *l = map_get(&s->locked, want->spec.package); l; l = l->next)
        if ((want->spec.any || semver_range_test(want->spec.range, &l->version)) &&
            (!best || semver_cmp(&l->version, best) > 0))
            best = &l->version;
    return best;
}

struct npm_source *npm_source_new(const struct npm_source_options *o)
{
    struct npm_source *s = MEM_NEW(struct npm_source);
    s->o = *o;
    s->arena = arena_new();
    read_previous(s);
    return s;
}

void npm_source_free(struct npm_source *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->all.n; i++) {
        struct ask *a = s->all.v[i];
        npm_packument_free(a->packument);
        npm_inside_free(a->inside);
        arena_free(a->arena);
        VEC_FREE(&a->waiting);
        free(a->text);
        free(a);
    }
    VEC_FREE(&s->all);
    map_release(&s->asks);
    map_release(&s->locked);
    arena_free(s->arena);
    free(s);
}

size_t npm_source_pending(const struct npm_source *s)
{
    return s->pending;
}

size_t npm_source_asked(const struct npm_source *s)
{
    return s->all.n;
}

const struct err *npm_source_error(const struct npm_source *s)
{
    return s->err.code ? &s->err : NULL;
}

void npm_source_cancel(struct npm_source *s)
{
    s->cancelled = true;
    for (size_t i = 0; i < s->all.n; i++)
        if (s->all.v[i]->under_way)
            registry_get_cancel(&s->all.v[i]->get);
}

/* ---- Asking. ---- */

static struct ask *ask_new(struct npm_source *s, enum ask_kind kind, struct span name,
                           struct span version)
{
    struct ask *a = MEM_NEW(struct ask);
    a->source = s;
    a->kind = kind;
    a->name = arena_span(s->arena, name);
    a->version = arena_span(s->arena, version);
    *VEC_PUSH(&s->all) = a;
    return a;
}

static struct ask *ask_of(struct npm_source *s, struct span name, struct span version)
{
    const char *key = arena_printf(s->arena, "%.*s%c%.*s", SPAN_ARG(name), '\0', SPAN_ARG(version));
    void **at = map_at(&s->asks, span_of(key, name.len + 1 + version.len));
    if (!*at)
        *at = ask_new(s, version.len ? ASK_VERSION : ASK_PACKUMENT, name, version);
    return *at;
}

static void on_answer(struct registry_get *get);

/* What a version is never changes; what latest means does. */
static bool is_immutable(const struct ask *a)
{
    if (a->kind == ASK_TARBALL)
        return a->about_manifest && a->about_manifest->hash.algo != HASH_NONE;
    return a->version.len && !span_eq(a->version, SPAN("latest"));
}

static void ask_start(struct ask *a, const char *path, const char *accept, uint64_t max_bytes)
{
    a->state = ASK_ASKED;
    a->get = (struct registry_get){
        .path = path,
        .accept = accept,
        .ttl_ms = TTL_MS,
        .max_bytes = max_bytes,
        .immutable = is_immutable(a),
        .priority = PRIORITY_METADATA,
        .done = on_answer,
        .ctx = a,
    };
    a->source->pending++;
    a->under_way = true;
    registry_get(a->source->o.registry, &a->get);
}

/* "@s%2fname", "name/1.2.3". */
static const char *path_of(struct ask *a)
{
    struct span scope, rest;
    const char *name;
    struct arena *arena = a->source->arena;
    if (span_cut_char(a->name, '/', &scope, &rest))
        name = arena_printf(arena, "%.*s%%2f%.*s", SPAN_ARG(scope), SPAN_ARG(rest));
    else
        name = arena_str(arena, a->name);
    return a->version.len ? arena_printf(arena, "%s/%.*s", name, SPAN_ARG(a->version)) : name;
}

static void ask_wait(struct ask *a, struct npm_want *want)
{
    struct npm_source *s = a->source;
    *VEC_PUSH(&a->waiting) = want;
    if (a->state != ASK_NEW)
        return;
    if (s->all.n > ASKS_MAX && !s->err.code)
        err_set(&s->err, ERR_TOO_LARGE, "more than %d packages were asked for", ASKS_MAX);
    bool whole = a->kind == ASK_PACKUMENT;
    /* Only full documents tell when versions were published. */
    ask_start(a, path_of(a), whole && !s->o.target->before_ms ? ACCEPT_SHORT : ACCEPT_FULL,
              whole ? PACKUMENT_MAX : DOCUMENT_MAX);
}

/* ---- Settling. ---- */

static void want_fail(struct npm_source *s, struct npm_want *want, const struct err *why)
{
    want->state = NPM_WANT_FAILED;
    want->err = ARENA_NEW(s->arena, struct err);
    *want->err = *why;
}

static void want_answer(struct npm_source *s, struct npm_want *want, struct npm_packument *p)
{
    struct err why = {0};
    const struct semver *locked = locked_version(s, want);
    if (locked) {
        struct npm_spec exact = want->spec;
        exact.kind = NPM_SPEC_VERSION;
        exact.version = *locked;
        want->manifest = npm_pick(p, &exact, s->o.target, NULL);
    }
    if (!want->manifest)
        want->manifest = npm_pick(p, &want->spec, s->o.target, &why);
    if (want->manifest)
        want->state = NPM_WANT_READY;
    else
        want_fail(s, want, &why);
}

/* Which single version would do, as the path's last part; empty: the packument is needed. */
static struct span short_form(const struct npm_source *s, const struct npm_want *want)
{
    AUTO_BUF struct buf text = BUF(2 * SEMVER_MAX_LENGTH);
    if (s->no_short_forms || s->o.target->before_ms)
        return SPAN("");
    switch (want->spec.kind) {
    case NPM_SPEC_VERSION:
        semver_format(&want->spec.version, &text);
        return arena_span(s->arena, buf_span(&text));
    case NPM_SPEC_TAG: return span_eq(want->spec.text, SPAN("latest")) ? SPAN("latest") : SPAN("");
    case NPM_SPEC_RANGE:
        if (locked_version(s, want)) {
            semver_format(locked_version(s, want), &text);
            return arena_span(s->arena, buf_span(&text));
        }
        return want->spec.any || semver_range_open(want->spec.range) ? SPAN("latest") : SPAN("");
    default: return SPAN("");
    }
}

/* A version that the packument has and its own document has not: the mirror makes none. */
static void learn_short_forms(struct npm_source *s, const struct npm_want *want)
{
    if (want->spec.kind != NPM_SPEC_VERSION || want->state != NPM_WANT_READY || s->no_short_forms)
        return;
    struct span version = short_form(s, want);
    const struct ask *a = version.len ? ask_of(s, want->spec.package, version) : NULL;
    s->no_short_forms = a && a->state == ASK_FAILED;
}

/* Does this one version answer the want? */
static bool version_serves(const struct npm_source *s, const struct npm_want *want,
                           const struct npm_manifest *m)
{
    const struct semver *locked = locked_version(s, want);
    if (locked)
        return semver_cmp(&m->version, locked) == 0;
    if (want->spec.kind == NPM_SPEC_RANGE)
        return npm_pick_latest_serves(m, &want->spec, s->o.target);
    return want->spec.kind == NPM_SPEC_TAG || semver_cmp(&m->version, &want->spec.version) == 0;
}

static void ask_tarball(struct npm_source *s, struct npm_want *want)
{
    struct ask *a = ask_of(s, want->spec.text, SPAN("\n"));
    a->kind = ASK_TARBALL;
    *VEC_PUSH(&a->waiting) = want;
    if (a->state == ASK_NEW)
        ask_start(a, arena_str(s->arena, want->spec.text), NULL, NPM_TARBALL_MAX);
}

/* True: settled at once. */
static bool want_route(struct npm_source *s, struct npm_want *want, bool whole)
{
    struct ask *packument = ask_of(s, want->spec.package, SPAN(""));
    struct span version = whole || packument->state != ASK_NEW ? SPAN("") : short_form(s, want);
    struct ask *a = version.len ? ask_of(s, want->spec.package, version) : packument;
    if (a->state == ASK_OPEN && a->packument) {
        want_answer(s, want, a->packument);
        learn_short_forms(s, want);
        return true;
    }
    if (a->state == ASK_OPEN && version_serves(s, want, a->manifest)) {
        want->manifest = a->manifest;
        want->state = NPM_WANT_READY;
        return true;
    }
    if (version.len && (a->state == ASK_OPEN || a->state == ASK_FAILED))
        return want_route(s, want, true);
    if (a->state == ASK_FAILED) {
        want_fail(s, want, &a->err);
        return true;
    }
    ask_wait(a, want);
    return false;
}

bool npm_source_ask(struct npm_source *s, struct npm_want *want)
{
    if (want->state != NPM_WANT_UNKNOWN)
        return true;
    if (want->asked_by == s)
        return false;
    want->asked_by = s;
    if (want->spec.kind == NPM_SPEC_URL) {
        ask_tarball(s, want);
        return want->state != NPM_WANT_UNKNOWN;
    }
    return want_route(s, want, false);
}

static void settle_all(struct ask *a)
{
    struct npm_source *s = a->source;
    for (size_t i = 0; i < a->waiting.n; i++) {
        struct npm_want *want = a->waiting.v[i];
        if (s->err.code || s->cancelled)
            continue;
        if (a->kind == ASK_TARBALL && a->state == ASK_OPEN) {
            want->manifest = a->manifest;
            want->state = NPM_WANT_READY;
        } else if (a->kind == ASK_TARBALL) {
            want_fail(s, want, &a->err);
        } else if (!want_route(s, want, false)) {
            continue;
        }
        s->o.settled(s->o.ctx, want);
    }
    a->waiting.n = 0;
}

/* ---- Answers. ---- */

static void ask_end(struct ask *a)
{
    struct npm_source *s = a->source;
    a->state = a->err.code ? ASK_FAILED : ASK_OPEN;
    if (a->look)
        a->look(s->o.ctx, a->about, a->inside, &a->err);
    else if (a->detail)
        a->detail(s->o.ctx, a->about, a->manifest);
    else
        settle_all(a);
    if (--s->pending == 0)
        s->o.idle(s->o.ctx);
}

static bool check_promise(const struct ask *a, struct span bytes, struct err *err)
{
    const struct npm_manifest *m = a->about_manifest;
    if (!m || m->hash.algo == HASH_NONE)
        return true;
    struct hash got = hash_of_bytes(m->hash.algo, bytes);
    char want_text[140], got_text[140];
    return hash_eq(&got, &m->hash) ||
           err_set(err, ERR_DIGEST_MISMATCH, "the tarball is %s, but %s was promised",
                   hash_text(&got, got_text), hash_text(&m->hash, want_text));
}

/* A tarball by URL makes its own manifest: nothing was promised, so what came is locked. */
static void manifest_from_tarball(struct ask *a)
{
    struct npm_manifest *m = ARENA_NEW(a->inside->arena, struct npm_manifest);
    if (!a->inside->package_json.len) {
        err_set(&a->err, ERR_BAD_ARCHIVE, "the tarball has no package.json");
    } else if (npm_manifest_parse(a->inside->arena, a->inside->package_json, m, &a->err)) {
        char sri[8 + 4 * ((HASH_MAX_BYTES + 2) / 3) + 1] = "sha512-";
        m->tarball = a->name;
        m->hash = hash_of_bytes(HASH_SHA512, span_of(a->text, a->len));
        base64_encode(span_of(m->hash.bytes, hash_size(HASH_SHA512)), false, sri + 7);
        m->integrity = span_str(arena_str(a->inside->arena, span_str(sri)));
        m->shrinkwrap = a->inside->shrinkwrap.len > 0;
        npm_manifest_take_folder(a->inside->arena, a->inside->files.v, a->inside->files.n, m);
        a->manifest = m;
    } else {
        err_wrap(&a->err, "its package.json");
    }
}

static void read_document(struct ask *a)
{
    struct span text = span_of(a->text, a->len);
    switch (a->kind) {
    case ASK_PACKUMENT: a->packument = npm_packument_open(TAKE(a->text), a->len, &a->err); break;
    case ASK_VERSION:
    case ASK_DETAIL: {
        a->arena = arena_new();
        struct npm_manifest *m = ARENA_NEW(a->arena, struct npm_manifest);
        if (npm_manifest_parse(a->arena, text, m, &a->err))
            a->manifest = m;
        break;
    }
    case ASK_TARBALL:
        if (!check_promise(a, text, &a->err))
            break;
        a->inside = npm_inside_open(text, &a->err);
        if (a->inside && !a->look)
            manifest_from_tarball(a);
        free(TAKE(a->text));
        break;
    }
    if (a->err.code)
        err_wrap(&a->err, "%.*s", SPAN_ARG(a->name));
}

static void read_on_pool(struct pool_task *task)
{
    read_document(container_of(task, struct ask, task));
}

static void read_done(struct pool_task *task)
{
    ask_end(container_of(task, struct ask, task));
}

/* About the package itself, so that an optional one may be dropped for it? */
static bool about_package(enum err_code code)
{
    return code == ERR_NO_PACKAGE || code == ERR_UNRESOLVABLE || code == ERR_BAD_ARCHIVE ||
           code == ERR_REGISTRY_REFUSED || code == ERR_TOO_LARGE;
}

static void on_answer(struct registry_get *get)
{
    struct ask *a = get->ctx;
    struct npm_source *s = a->source;
    a->under_way = false;
    if (get->err.code) {
        a->err = get->err;
        err_wrap(&a->err, "%.*s", SPAN_ARG(a->name));
        if (!about_package(get->err.code) && !s->err.code)
            s->err = a->err;
    } else if (get->status != 200) {
        err_set(&a->err, ERR_NO_PACKAGE, "%.*s: the registry has no such package (status %d)",
                SPAN_ARG(a->name), get->status);
    }
    if (a->err.code || s->cancelled) {
        ask_end(a);
        return;
    }
    a->len = get->body.len;
    a->text = mem_alloc(a->len + 1);
    memcpy(a->text, get->body.ptr, a->len);
    if (a->len < POOL_FROM || !s->o.pool) {
        read_document(a);
        ask_end(a);
        return;
    }
    a->task = (struct pool_task){.work = read_on_pool, .done = read_done};
    pool_submit(s->o.pool, &a->task, PRIORITY_METADATA);
}

/* ---- Looking closer. ---- */

void npm_source_look_inside(struct npm_source *s, const struct npm_manifest *m, npm_look_fn done,
                            void *about)
{
    struct ask *a = ask_new(s, ASK_TARBALL, m->name, m->version_text);
    a->look = done;
    a->about = about;
    a->about_manifest = m;
    ask_start(a, arena_str(s->arena, npm_source_origin(s, m)), NULL, NPM_TARBALL_MAX);
}

void npm_source_detail(struct npm_source *s, const struct npm_manifest *m, npm_detail_fn done,
                       void *about)
{
    struct ask *a = ask_new(s, ASK_DETAIL, m->name, m->version_text);
    a->detail = done;
    a->about = about;
    ask_start(a, path_of(a), ACCEPT_FULL, DOCUMENT_MAX);
}

/* Registries name their tarballs with whatever host they were published through; what follows
 * the host is the same on every mirror as long as it has the usual form NAME/-/FILE. */
struct span npm_source_origin(struct npm_source *s, const struct npm_manifest *m)
{
    struct span below = registry_path_of(s->o.registry, m->tarball);
    if (below.len)
        return below;
    const char *usual = arena_printf(s->arena, "/%.*s/-/", SPAN_ARG(m->name));
    size_t at = span_find(m->tarball, span_str(usual));
    if (at < m->tarball.len)
        return span_skip(m->tarball, at + 1);
    if (m->tarball.len)
        return m->tarball;
    struct span scope, rest = m->name;
    span_cut_char(m->name, '/', &scope, &rest);
    return span_str(arena_printf(s->arena, "%.*s/-/%.*s-%.*s.tgz", SPAN_ARG(m->name),
                                 SPAN_ARG(rest), SPAN_ARG(m->version_text)));
}
