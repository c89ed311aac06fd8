/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/npm/packument.h"

#include <time.h>

#include "base/jscan.h"
#include "base/map.h"

#define VERSIONS_MAX 200000

struct npm_packument {
    struct arena *arena;
    char *text;
    VEC(struct npm_packument_version) versions;
    struct map by_key; /* key -> index + 1 */
    struct map tags;   /* tag -> struct span * */
    struct map times;  /* key -> struct span *, read when first asked for */
    struct span times_json;
    bool times_read;
};

static void strings_read(struct npm_packument *p, struct jscan *j, struct map *into)
{
    struct span key, value;
    if (!jscan_object(j)) {
        jscan_skip(j, NULL);
        return;
    }
    while (jscan_key(j, p->arena, &key)) {
        if (!jscan_string(j, p->arena, &value))
            continue;
        struct span *kept = ARENA_NEW(p->arena, struct span);
        *kept = value;
        map_put(into, key, kept);
    }
}

static void version_add(struct npm_packument *p, struct span key, struct span json)
{
    void **at = map_at(&p->by_key, key);
    struct npm_packument_version *v;
    struct semver parsed;
    if (*at) {
        v = &p->versions.v[(uintptr_t)*at - 1];
    } else {
        if (!semver_parse(key, SEMVER_LOOSE, &parsed))
            return; /* no range and no version could ever name it */
        v = VEC_PUSH(&p->versions);
        v->version = parsed;
        *at = (void *)(uintptr_t)p->versions.n; /* NOLINT: an index, kept where pointers are */
    }
    v->key = key;
    v->json = json;
}

static bool versions_read(struct npm_packument *p, struct jscan *j, struct err *err)
{
    struct span key, json;
    if (!jscan_object(j)) {
        jscan_skip(j, NULL);
        return true;
    }
    while (jscan_key(j, p->arena, &key)) {
        bool object = jscan_peek(j) == JSCAN_OBJECT;
        if (!jscan_skip(j, &json))
            break;
        if (object)
            version_add(p, key, json);
        if (p->versions.n > VERSIONS_MAX)
            return err_set(err, ERR_TOO_LARGE, "more than %d versions", VERSIONS_MAX);
    }
    return true;
}

static bool read_all(struct npm_packument *p, struct span text, struct err *err)
{
    struct jscan j = jscan_of(text);
    struct span key;
    if (!jscan_object(&j))
        return err_set(err, ERR_BAD_ARCHIVE, "the registry's answer is not a JSON object");
    while (jscan_key(&j, p->arena, &key)) {
        if (span_eq(key, SPAN("versions"))) {
            if (!versions_read(p, &j, err))
                return false;
        } else if (span_eq(key, SPAN("dist-tags"))) {
            strings_read(p, &j, &p->tags);
        } else if (span_eq(key, SPAN("time"))) {
            jscan_skip(&j, &p->times_json);
        } else {
            jscan_skip(&j, NULL);
        }
    }
    if (!jscan_done(&j))
        return err_set(err, ERR_BAD_ARCHIVE,
                       "the registry's answer is malformed JSON at offset %zu of %zu",
                       jscan_error_at(&j), text.len);
    if (!p->versions.n)
        return err_set(err, ERR_NO_PACKAGE, "the registry lists no versions of it");
    return true;
}

struct npm_packument *npm_packument_open(char *text, size_t len, struct err *err)
{
    struct npm_packument *p = MEM_NEW(struct npm_packument);
    p->arena = arena_new();
    p->text = text;
    if (read_all(p, span_of(text, len), err))
        return p;
    npm_packument_free(p);
    return NULL;
}

void npm_packument_free(struct npm_packument *p)
{
    if (!p)
        return;
    map_release(&p->by_key);
    map_release(&p->tags);
    map_release(&p->times);
    VEC_FREE(&p->versions);
    arena_free(p->arena);
    free(p->text);
    free(p);
}

size_t npm_packument_count(const struct npm_packument *p)
{
    return p->versions.n;
}

struct npm_packument_version *npm_packument_at(struct npm_packument *p, size_t i)
{
    return &p->versions.v[i];
}

struct npm_packument_version *npm_packument_find(struct npm_packument *p, struct span key)
{
    uintptr_t at = (uintptr_t)map_get(&p->by_key, key);
    return at ? &p->versions.v[at - 1] : NULL;
}

struct span npm_packument_tag(const struct npm_packument *p, struct span tag)
{
    const struct span *version = map_get(&p->tags, tag);
    return version ? *version : SPAN("");
}

const struct npm_manifest *npm_packument_manifest(struct npm_packument *p,
                                                  struct npm_packument_version *v)
{
    if (!v->manifest && !v->malformed) {
        struct npm_manifest *m = ARENA_NEW(p->arena, struct npm_manifest);
        v->malformed = !npm_manifest_parse(p->arena, v->json, m, NULL);
        v->manifest = v->malformed ? NULL : m;
    }
    return v->manifest;
}

/* RFC 3339 as registries write it, "2024-04-10T17:55:23.527Z", in UTC. */
static bool parse_time(struct span s, int64_t *ms)
{
    static const size_t at[] = {0, 5, 8, 11, 14, 17}, width[] = {4, 2, 2, 2, 2, 2};
    uint64_t n[6];
    if (s.len < 19 || s.ptr[4] != '-' || s.ptr[7] != '-' || s.ptr[13] != ':' || s.ptr[16] != ':')
        return false;
    for (size_t i = 0; i < COUNT(at); i++)
        if (!span_to_u64(span_slice(s, at[i], at[i] + width[i]), &n[i]))
            return false;
    struct tm tm = {.tm_year = (int)n[0] - 1900,
                    .tm_mon = (int)n[1] - 1,
                    .tm_mday = (int)n[2],
                    .tm_hour = (int)n[3],
                    .tm_min = (int)n[4],
                    .tm_sec = (int)n[5]};
    *ms = (int64_t)timegm(&tm) * 1000;
    for (size_t i = 20, unit = 100; s.len > 19 && s.ptr[19] == '.' && i < s.len && i < 23; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            break;
        *ms += (int64_t)unit * (s.ptr[i] - '0');
        unit /= 10;
    }
    return true;
}

bool npm_packument_before(struct npm_packument *p, struct span key, int64_t before_ms)
{
    if (!p->times_read) {
        struct jscan j = jscan_of(p->times_json);
        p->times_read = true;
        strings_read(p, &j, &p->times);
    }
    const struct span *time = map_get(&p->times, key);
    int64_t ms;
    return !time || !parse_time(*time, &ms) || ms <= before_ms;
}
