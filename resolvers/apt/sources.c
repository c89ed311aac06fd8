/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "resolvers/apt/resolve_priv.h"
#include "resolvers/apt/unpack.h"

/* How long a Release counts as the present; Debian publishes four times a day. */
#define RELEASE_TTL_MS (10 * 60 * 1000)
#define LIST_MAX_BYTES (1u << 30)
#define MAX_LISTS      256

/* ---- what discovery found -------------------------------------------------------------------- */

static const char **string_list(struct arena *a, const json_t *list, size_t *count)
{
    size_t i;
    json_t *v;
    const char **out = arena_array(a, json_array_size(list) + 1, sizeof(*out));
    *count = 0;
    json_array_foreach (list, i, v)
        if (json_string_value(v))
            out[(*count)++] = json_string_value(v);
    return out;
}

/* Signed-By: paths, or a whole key block; without it the machine's trusted keys. */
static void choose_keyrings(struct apt_resolve *r, struct apt_source *s, struct span signed_by)
{
    static const char *const trusted[] = {
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "/etc/apt/trusted.gpg",
    };
    VEC(const char *) found = {0};
    struct span piece;
    if (span_starts(span_trim(signed_by), SPAN("-----BEGIN"))) {
        *VEC_PUSH(&found) = arena_str(r->arena, signed_by);
    } else if (signed_by.len) {
        while (span_next(&signed_by, ',', &piece))
            for (struct span words = span_trim(piece), word; span_next(&words, ' ', &word);)
                if (word.len && word.ptr[0] == '/')
                    *VEC_PUSH(&found) = arena_str(r->arena, word);
    } else {
        for (size_t i = 0; i < COUNT(trusted); i++)
            if (access(trusted[i], R_OK) == 0)
                *VEC_PUSH(&found) = trusted[i];
    }
    s->keyrings = arena_array(r->arena, found.n + 1, sizeof(*s->keyrings));
    if (found.n)
        memcpy(s->keyrings, found.v, found.n * sizeof(*found.v));
    s->keyring_count = found.n;
    VEC_FREE(&found);
}

static bool wants_arch(const json_t *source, const char *arch)
{
    const json_t *list = json_object_get(source, "architectures");
    size_t i;
    json_t *v;
    json_array_foreach (list, i, v)
        if (strcmp(json_string_value(v), arch) == 0)
            return true;
    return json_array_size(list) == 0;
}

static void open_source(struct apt_resolve *r, const json_t *json)
{
    struct apt_source *s = &r->sources[r->source_count];
    const char *uri = json_get_str(json, "uri"), *suite = json_get_str(json, "suite");
    const char *type = json_get_str(json, "type");
    if (!uri || !suite || !type || strcmp(type, "deb") != 0 || !wants_arch(json, r->arch))
        return;
    r->source_count++;
    bool slash = span_ends(span_str(uri), SPAN("/"));
    s->resolve = r;
    s->uri = arena_printf(r->arena, "%s%s", uri, slash ? "" : "/");
    s->suite = suite;
    s->flat = span_ends(span_str(suite), SPAN("/"));
    s->folder = s->flat ? arena_printf(r->arena, "%s%s", s->uri, suite)
                        : arena_printf(r->arena, "%sdists/%s/", s->uri, suite);
    s->components = string_list(r->arena, json_object_get(json, "components"), &s->component_count);
    const char *trusted = json_get_str(json, "trusted");
    s->trusted = json_get_bool(json, "trusted", trusted && strcmp(trusted, "yes") == 0);
    choose_keyrings(r, s, json_get_span(json, "signed_by"));
    s->signed_text = BUF(APT_RELEASE_MAX_BYTES);
    s->signature = BUF(APT_RELEASE_MAX_BYTES);
    s->text = BUF(APT_RELEASE_MAX_BYTES);
}

bool apt_sources_open(struct apt_resolve *r, struct err *err)
{
    const json_t *list = json_object_get(r->job->details, "sources");
    size_t i;
    json_t *source;
    r->sources = arena_array(r->arena, json_array_size(list) + 1, sizeof(*r->sources));
    json_array_foreach (list, i, source)
        open_source(r, source);
    return r->source_count > 0 || err_set(err, ERR_NO_REGISTRY,
                                          "no apt source is set up for %s; write one to "
                                          "/etc/apt/sources.list.d/NAME.sources",
                                          r->arch);
}

/* ---- lists ----------------------------------------------------------------------------------- */

static bool map_list(struct apt_source_list *l, struct err *err)
{
    struct store *store = registry_store(l->source->resolve->job->registry);
    return store_map_blob(store, &l->text, &l->text_map, err) &&
           store_map_blob(store, &l->index, &l->index_map, err);
}

/* Known already: unpacked and indexed, from an earlier resolution. */
static bool recall_list(struct apt_source_list *l)
{
    AUTO_BUF struct buf memo = BUF(4096);
    struct err ignored;
    struct store *store = registry_store(l->source->resolve->job->registry);
    if (!store_memo_get(store, "apt-list", &l->plain, &memo, NULL))
        return false;
    AUTO_JSON json_t *json = json_parse(buf_span(&memo), &ignored);
    return json && json_get_digest(json, "text", &l->text) &&
           json_get_digest(json, "index", &l->index) && map_list(l, &ignored);
}

static void list_work(struct pool_task *t)
{
    struct apt_source_list *l = container_of(t, struct apt_source_list, task);
    struct store *store = registry_store(l->source->resolve->job->registry);
    AUTO_MAPPED struct io_map packed = {0};
    AUTO_BUF struct buf text = BUF(LIST_MAX_BYTES), index = BUF(LIST_MAX_BYTES);
    if (!store_map_blob(store, &l->fetch.blob, &packed, &l->err) ||
        !apt_unpack(packed.bytes, l->plain_bytes, &text, &l->err))
        return;
    struct digest got = digest_of(buf_span(&text));
    if (!digest_eq(&got, &l->plain)) {
        err_set(&l->err, ERR_DIGEST_MISMATCH, "the unpacked list is not what Release promises");
        return;
    }
    if (!apt_index_build(buf_span(&text), &index, &l->err) ||
        !store_put_blob(store, buf_span(&text), &l->text, &l->err) ||
        !store_put_blob(store, buf_span(&index), &l->index, &l->err))
        return;
    AUTO_JSON json_t *memo = json_object();
    AUTO_BUF struct buf line = BUF(4096);
    json_put_digest(memo, "text", &l->text);
    json_put_digest(memo, "index", &l->index);
    if (json_canonical(memo, &line, &l->err))
        store_memo_put(store, "apt-list", &l->plain, buf_span(&line));
    map_list(l, &l->err);
}

static void list_failed(struct apt_source_list *l)
{
    err_wrap(&l->err, "%s %s", l->source->suite, l->component);
    apt_fail(l->source->resolve, &l->err);
}

static void list_done(struct pool_task *t)
{
    struct apt_source_list *l = container_of(t, struct apt_source_list, task);
    struct apt_resolve *r = l->source->resolve;
    r->open--;
    if (l->err.code)
        list_failed(l);
    apt_settle(r);
}

static void on_list(struct registry_fetch *f)
{
    struct apt_source_list *l = f->ctx;
    struct apt_resolve *r = l->source->resolve;
    l->fetching = false;
    l->err = f->err;
    if (l->err.code || r->failed) {
        r->open--;
        if (l->err.code)
            list_failed(l);
        apt_settle(r);
        return;
    }
    l->task = (struct pool_task){.work = list_work, .done = list_done};
    pool_submit(r->job->pool, &l->task, (int64_t)l->plain_bytes);
}

/* The smallest form of a list that the Release offers; by hash where the archive has that, so that
 * a list which changes meanwhile is not mistaken for a bad one. */
static bool choose_file(struct apt_source_list *l, const char *path)
{
    static const char *const endings[] = {".xz", ".zst", ".gz", ".bz2", ""};
    struct apt_source *s = l->source;
    struct arena *a = s->resolve->arena;
    const struct apt_release_file *plain = apt_release_file(s->release, path);
    if (!plain || plain->size > LIST_MAX_BYTES)
        return false;
    l->plain = plain->sha256;
    l->plain_bytes = plain->size;
    for (size_t i = 0; i < COUNT(endings); i++) {
        char *full = arena_printf(a, "%s%s", path, endings[i]), hex[DIGEST_HEX_SIZE];
        const struct apt_release_file *f = apt_release_file(s->release, full);
        if (!f)
            continue;
        struct span folder = span_str(full), name = SPAN("");
        l->fetch.url = arena_printf(a, "%s%s", s->folder, full);
        if (s->release->by_hash && span_cut_last_char(folder, '/', &folder, &name))
            l->fetch.url = arena_printf(a, "%s%.*s/by-hash/SHA256/%s", s->folder, SPAN_ARG(folder),
                                        digest_hex(&f->sha256, hex));
        l->fetch.expect.algo = HASH_SHA256;
        memcpy(l->fetch.expect.bytes, f->sha256.bytes, DIGEST_BYTES);
        l->fetch.expect_size = l->fetch.max_bytes = f->size;
        return true;
    }
    return false;
}

static void start_list(struct apt_source *s, const char *component, const char *path)
{
    struct apt_resolve *r = s->resolve;
    struct apt_source_list *l = &s->lists[s->list_count++];
    l->source = s;
    l->component = component;
    if (!choose_file(l, path)) {
        s->list_count--;
        log_line(r->job->log, LOG_WARN, "apt: %s has no %s, which a source asks for", s->suite,
                 path);
        return;
    }
    if (l->plain_bytes == 0 || recall_list(l))
        return;
    l->fetch.done = on_list;
    l->fetch.ctx = l;
    l->fetching = true;
    r->open++;
    registry_fetch(r->job->registry, &l->fetch);
}

/* ---- releases -------------------------------------------------------------------------------- */

static bool check_dates(struct apt_source *s, struct err *err)
{
    const struct policy *policy = s->resolve->job->policy;
    if (s->release->valid_until_ms && s->release->valid_until_ms < io_now_ms())
        return err_set(err, ERR_SIGNATURE,
                       "its Release has expired: the mirror is out of date, or somebody replays "
                       "an old one");
    if (policy->exclude_newer_ms && s->release->date_ms > policy->exclude_newer_ms)
        return err_set(err, ERR_UNSUPPORTED,
                       "exclude_newer asks for an archive of the past, which this source does not "
                       "offer; point the source at a snapshot of that day");
    return true;
}

static void start_lists(struct apt_source *s)
{
    struct apt_resolve *r = s->resolve;
    if (!apt_release_parse(buf_span(&s->text), &s->release, &s->err) || !check_dates(s, &s->err)) {
        err_wrap(&s->err, "%s", s->suite);
        apt_fail(r, &s->err);
        return;
    }
    s->lists = arena_array(r->arena, s->component_count + 1, sizeof(*s->lists));
    if (s->flat)
        start_list(s, "", "Packages");
    for (size_t i = 0; i < s->component_count && i < MAX_LISTS && !s->flat; i++)
        start_list(s, s->components[i],
                   arena_printf(r->arena, "%s/binary-%s/Packages", s->components[i], r->arch));
}

/* The same bytes by the same keys were verified before. */
static struct digest verified_key(const struct apt_source *s)
{
    struct hasher h;
    hasher_init(&h, HASH_SHA256);
    hasher_update(&h, buf_span(&s->signed_text));
    hasher_update(&h, buf_span(&s->signature));
    for (size_t i = 0; i < s->keyring_count; i++) {
        AUTO_BUF struct buf key = BUF(4u << 20);
        struct err ignored;
        if (s->keyrings[i][0] != '/')
            buf_str(&key, s->keyrings[i]);
        else
            io_read_file(-1, s->keyrings[i], &key, &ignored);
        hasher_update(&h, buf_span(&key));
    }
    return hasher_digest(&h);
}

static void verify_work(struct pool_task *t)
{
    struct apt_source *s = container_of(t, struct apt_source, task);
    struct store *store = registry_store(s->resolve->job->registry);
    struct digest key = verified_key(s);
    if (store_memo_get(store, "apt-release", &key, &s->text, NULL))
        return;
    buf_reset(&s->text);
    bool ok;
    if (s->signature.len) {
        ok = apt_release_verify_detached(buf_span(&s->signed_text), buf_span(&s->signature),
                                         s->keyrings, s->keyring_count, &s->err);
        buf_append(&s->text, buf_span(&s->signed_text));
    } else {
        ok = apt_release_verify(buf_span(&s->signed_text), s->keyrings, s->keyring_count, &s->text,
                                &s->err);
    }
    if (ok)
        store_memo_put(store, "apt-release", &key, buf_span(&s->text));
}

static void verify_done(struct pool_task *t)
{
    struct apt_source *s = container_of(t, struct apt_source, task);
    struct apt_resolve *r = s->resolve;
    r->open--;
    if (s->err.code) {
        err_wrap(&s->err, "%s", s->suite);
        apt_fail(r, &s->err);
    } else if (!r->failed) {
        start_lists(s);
    }
    apt_settle(r);
}

/* A clear-signed text without its signature, for sources whose user waived it. */
static void take_unsigned(struct apt_source *s)
{
    struct span text = buf_span(&s->signed_text), after;
    if (span_starts(text, SPAN("-----BEGIN PGP SIGNED")) &&
        span_cut(text, SPAN("\n\n"), &after, &text))
        span_cut(text, SPAN("\n-----BEGIN PGP SIGNATURE"), &text, &after);
    buf_append(&s->text, text);
}

/* A source that cannot be reached is left out with a warning, as apt does: the others may have
 * everything that is needed, and what is missing then says so. */
static void source_unreachable(struct apt_source *s)
{
    log_line(s->resolve->job->log, LOG_WARN, "apt: source %s is left out: %s", s->suite,
             s->err.code ? s->err.text : "it has no signed Release");
}

static void on_release(struct registry_get *g);

static void ask(struct apt_source *s)
{
    static const char *const names[] = {"InRelease", "Release", "Release.gpg"};
    struct apt_resolve *r = s->resolve;
    struct registry_get *g = &s->asked[s->got];
    *g = (struct registry_get){
        .path = arena_printf(r->arena, "%s%s", s->folder, names[s->got]),
        .ttl_ms = RELEASE_TTL_MS,
        .max_bytes = APT_RELEASE_MAX_BYTES,
        .done = on_release,
        .ctx = s,
    };
    s->getting = true;
    registry_get(r->job->registry, g);
}

/* Is there more to ask for, after what came? */
static bool wants_more(struct apt_source *s, const struct registry_get *g)
{
    bool there = !g->err.code && g->status == 200;
    bool absent = !g->err.code && (g->status == 404 || g->status == 403 || g->status == 410);
    switch (s->got) {
    case 0:
        if (there)
            buf_append(&s->signed_text, g->body);
        return absent;
    case 1:
        if (there)
            buf_append(&s->signed_text, g->body);
        return there && !s->trusted;
    default:
        if (there)
            buf_append(&s->signature, g->body);
        else
            buf_reset(&s->signed_text); /* a Release that nobody signed */
        return false;
    }
}

static void on_release(struct registry_get *g)
{
    struct apt_source *s = g->ctx;
    struct apt_resolve *r = s->resolve;
    s->getting = false;
    s->err = g->err;
    bool more = wants_more(s, g);
    if (more && !r->failed) {
        s->got++;
        ask(s);
        return;
    }
    if (r->failed || s->err.code == ERR_CANCELLED || s->signed_text.len == 0) {
        r->open--;
        if (!r->failed)
            source_unreachable(s);
        apt_settle(r);
        return;
    }
    if (s->trusted) {
        take_unsigned(s);
        r->open--;
        start_lists(s);
        apt_settle(r);
        return;
    }
    s->task = (struct pool_task){.work = verify_work, .done = verify_done};
    pool_submit(r->job->pool, &s->task, INT32_MAX);
}

void apt_sources_start(struct apt_resolve *r)
{
    for (size_t i = 0; i < r->source_count; i++) {
        r->open++;
        ask(&r->sources[i]);
    }
}

void apt_sources_cancel(struct apt_resolve *r)
{
    for (size_t i = 0; i < r->source_count; i++) {
        struct apt_source *s = &r->sources[i];
        if (s->getting)
            registry_get_cancel(&s->asked[s->got]);
        for (size_t k = 0; k < s->list_count; k++)
            if (s->lists[k].fetching)
                registry_fetch_cancel(&s->lists[k].fetch);
    }
}

void apt_sources_close(struct apt_resolve *r)
{
    for (size_t i = 0; i < r->source_count; i++) {
        struct apt_source *s = &r->sources[i];
        for (size_t k = 0; k < s->list_count; k++) {
            io_unmap(&s->lists[k].text_map);
            io_unmap(&s->lists[k].index_map);
        }
        buf_release(&s->signed_text);
        buf_release(&s->signature);
        buf_release(&s->text);
        apt_release_free(s->release);
    }
}
