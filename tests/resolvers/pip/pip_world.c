/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/resolvers/pip/pip_world.h"

#include <check.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdio.h>

#include "base/io.h"
#include "base/map.h"
#include "cache/store.h"
#include "resolvers/pip/index.h"
#include "resolvers/pip/name.h"

#define BASE  "https://index.example.com/simple/"
#define EXTRA "https://extra.example.com/"

struct file {
    struct span name;
    struct span project;
    char *bytes;
    size_t len;
    char *metadata;   /* text */
    struct buf entry; /* its object on the page */
    bool gone, no_ranges, advertised, extra;
};

/* One of the three. */
struct reply {
    struct registry_get *get;
    struct registry_fetch *fetch;
    struct resolve_build *build;
    bool cancelled;
};

struct world {
    struct arena *arena;
    VEC(struct file) files;
    struct map raw_pages;
    unsigned seed;
    VEC(struct reply) waiting;
    uv_loop_t loop;
    uv_timer_t timer;
    size_t requests;
    int answers, cancel_after;
    struct resolve_job *job;
    bool done;
    const char *fail_path;
    enum err_code fail_code;
    char chosen[4096];
    struct store *store;
    char *store_dir;
    const char *builds; /* what a build's metadata says besides name and version; NULL: none */
};

static void put16(struct buf *b, unsigned n)
{
    buf_char(b, (char)(n & 0xff));
    buf_char(b, (char)(n >> 8 & 0xff));
}

static void put32(struct buf *b, uint32_t n)
{
    put16(b, n & 0xffff);
    put16(b, n >> 16);
}

struct member {
    struct span name, data;
    uint32_t at;
};

static void zip_add(struct buf *b, struct member *m)
{
    m->at = (uint32_t)b->len;
    put32(b, 0x04034b50);
    put16(b, 20), put16(b, 0), put16(b, 0), put32(b, 0);
    put32(b, libdeflate_crc32(0, m->data.ptr, m->data.len));
    put32(b, (uint32_t)m->data.len), put32(b, (uint32_t)m->data.len);
    put16(b, (unsigned)m->name.len), put16(b, 0);
    buf_append(b, m->name);
    buf_append(b, m->data);
}

/* A zip of stored members. */
static void zip_write(struct buf *b, struct member *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        zip_add(b, &m[i]);
    uint32_t from = (uint32_t)b->len;
    for (size_t i = 0; i < n; i++) {
        put32(b, 0x02014b50);
        put16(b, 20), put16(b, 20), put16(b, 0), put16(b, 0), put32(b, 0);
        put32(b, libdeflate_crc32(0, m[i].data.ptr, m[i].data.len));
        put32(b, (uint32_t)m[i].data.len), put32(b, (uint32_t)m[i].data.len);
        put16(b, (unsigned)m[i].name.len);
        put16(b, 0), put16(b, 0), put16(b, 0), put16(b, 0), put32(b, 0);
        put32(b, m[i].at);
        buf_append(b, m[i].name);
    }
    uint32_t size = (uint32_t)b->len - from;
    put32(b, 0x06054b50);
    put16(b, 0), put16(b, 0), put16(b, (unsigned)n), put16(b, (unsigned)n);
    put32(b, size), put32(b, from), put16(b, 0);
}

/* One file in a tar in a gzip. */
static void sdist_write(struct buf *b, const char *path, struct span data)
{
    struct buf tar = BUF(1u << 20);
    char header[512] = {0};
    snprintf(header, 100, "%s", path);
    snprintf(header + 100, 8, "%07o", 0644u);
    snprintf(header + 124, 12, "%011o", (unsigned)data.len);
    header[156] = '0';
    memcpy(header + 257,
           "ustar\0"
           "00",
           8);
    memset(header + 148, ' ', 8);
    unsigned sum = 0;
    for (size_t i = 0; i < sizeof(header); i++)
        sum += (unsigned char)header[i];
    snprintf(header + 148, 8, "%06o", sum);
    buf_append(&tar, span_of(header, sizeof(header)));
    buf_append(&tar, data);
    while (tar.len % 512)
        buf_char(&tar, '\0');
    for (int i = 0; i < 1024; i++)
        buf_char(&tar, '\0');
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(6);
    size_t room = libdeflate_gzip_compress_bound(c, tar.len);
    char *to = buf_room(b, room);
    b->len += libdeflate_gzip_compress(c, tar.ptr, tar.len, to, room);
    libdeflate_free_compressor(c);
    buf_release(&tar);
}

static struct span word_value(struct span words, const char *key)
{
    struct span word, k, v;
    while (span_next(&words, ' ', &word)) {
        if (span_eq_str(word, key))
            return SPAN("yes");
        if (span_cut_char(word, '=', &k, &v) && span_eq_str(k, key))
            return v;
    }
    return (struct span){NULL, 0};
}

static size_t word_number(struct span words, const char *key)
{
    uint64_t n = 0;
    struct span v = word_value(words, key);
    return v.ptr && span_to_u64(v, &n) ? (size_t)n : 0;
}

static void split_name(struct world *w, struct span filename, struct span *project,
                       struct span *version)
{
    struct span rest = filename, name;
    ck_assert(span_cut_char(filename, '-', &name, &rest));
    *project = pip_name_normalise(name, w->arena);
    size_t end = span_find_char(rest, '-');
    if (end == rest.len)
        end = span_find(rest, SPAN(".tar")) < rest.len ? span_find(rest, SPAN(".tar"))
                                                       : span_find(rest, SPAN(".zip"));
    *version = span_slice(rest, 0, end);
}

static void wheel_write(struct world *w, struct buf *b, struct file *f, struct span version,
                        struct span words)
{
    struct buf pad = BUF(8u << 20);
    size_t before = word_number(words, "pad"), behind = word_number(words, "behind");
    for (size_t i = 0; i < (before > behind ? before : behind); i++)
        buf_char(&pad, (char)('a' + i % 23));
    struct span raw = f->name;
    struct member m[3] = {
        {SPAN("pkg/data.bin"), span_slice(buf_span(&pad), 0, before), 0},
        {span_str(arena_printf(w->arena, "%.*s-%.*s.dist-info/METADATA",
                               SPAN_ARG(span_slice(raw, 0, span_find_char(raw, '-'))),
                               SPAN_ARG(version))),
         span_str(f->metadata), 0},
        {SPAN("pkg/more.bin"), span_slice(buf_span(&pad), 0, behind), 0}};
    zip_write(b, m, 3);
    if (word_value(words, "corrupt").ptr) {
        size_t at = span_find(buf_span(b), SPAN("Metadata-Version"));
        b->ptr[at] ^= 1;
    }
    buf_release(&pad);
}

static void entry_write(struct file *f, struct span words)
{
    char hex[DIGEST_HEX_SIZE];
    struct digest d = digest_of(span_of(f->bytes, f->len));
    struct digest m = digest_of(span_str(f->metadata));
    struct span yanked = word_value(words, "yanked"), python = word_value(words, "python"),
                time = word_value(words, "time");
    f->entry = BUF(4096);
    buf_printf(&f->entry, "{\"filename\":\"%.*s\",\"url\":\"../../files/%.*s\",\"size\":%zu",
               SPAN_ARG(f->name), SPAN_ARG(f->name), f->len);
    buf_printf(&f->entry, ",\"hashes\":{%s%s%s}",
               word_value(words, "nohash").ptr ? "" : "\"sha256\":\"",
               word_value(words, "nohash").ptr ? "" : digest_hex(&d, hex),
               word_value(words, "nohash").ptr ? "" : "\"");
    if (python.ptr)
        buf_printf(&f->entry, ",\"requires-python\":\"%.*s\"", SPAN_ARG(python));
    if (time.ptr)
        buf_printf(&f->entry, ",\"upload-time\":\"%.*s\"", SPAN_ARG(time));
    if (yanked.ptr) {
        buf_printf(&f->entry, ",\"yanked\":\"%.*s\"", SPAN_ARG(yanked));
        for (size_t i = 0; i < f->entry.len; i++)
            if (f->entry.ptr[i] == '_' && i > f->entry.len - yanked.len - 2)
                f->entry.ptr[i] = ' ';
    }
    if (f->advertised) {
        digest_hex(&m, hex);
        if (word_value(words, "badmeta").ptr)
            hex[0] = hex[0] == 'a' ? 'b' : 'a';
        buf_printf(&f->entry, ",\"core-metadata\":{\"sha256\":\"%s\"}", hex);
    }
    buf_str(&f->entry, "}");
}

static void file_make(struct world *w, struct span line, struct span headers)
{
    struct span words = SPAN(""), version;
    struct file *f = VEC_PUSH(&w->files);
    *f = (struct file){.name = line};
    span_cut_char(line, ' ', &f->name, &words);
    split_name(w, f->name, &f->project, &version);
    struct span says_name = word_value(words, "name"), says_version = word_value(words, "version");
    struct buf text = BUF(64u << 10), bytes = BUF(16u << 20);
    bool own = span_find(headers, SPAN("Metadata-Version:")) < headers.len;
    buf_printf(&text, "%sName: %.*s\nVersion: %.*s\n%.*s\nbody\n",
               own ? "" : "Metadata-Version: 2.1\n",
               SPAN_ARG(says_name.ptr ? says_name : f->project),
               SPAN_ARG(says_version.ptr ? says_version : version), SPAN_ARG(headers));
    f->metadata = buf_take(&text);
    f->gone = word_value(words, "gone").ptr;
    f->extra = word_value(words, "extra").ptr;
    f->no_ranges = word_value(words, "noranges").ptr;
    f->advertised = word_value(words, "meta").ptr || word_value(words, "badmeta").ptr;
    if (span_ends(f->name, SPAN(".whl"))) {
        wheel_write(w, &bytes, f, version, words);
    } else if (span_ends(f->name, SPAN(".zip"))) {
        struct member m = {span_str(arena_printf(w->arena, "%.*s-%.*s/PKG-INFO",
                                                 SPAN_ARG(f->project), SPAN_ARG(version))),
                           span_str(f->metadata), 0};
        zip_write(&bytes, &m, 1);
    } else {
        sdist_write(
            &bytes,
            arena_printf(w->arena, "%.*s-%.*s/PKG-INFO", SPAN_ARG(f->project), SPAN_ARG(version)),
            span_str(f->metadata));
    }
    f->len = bytes.len;
    f->bytes = buf_take(&bytes);
    entry_write(f, words);
}

static void answer_some(uv_timer_t *timer);

struct world *world_new(const char *text, unsigned seed)
{
    struct world *w = MEM_NEW(struct world);
    struct span rest, line, name, raw;
    w->arena = arena_new();
    w->seed = seed;
    w->cancel_after = -1;
    rest = arena_span(w->arena, span_str(text));
    uv_loop_init(&w->loop);
    uv_timer_init(&w->loop, &w->timer);
    w->timer.data = w;
    while (span_next_line(&rest, &line)) {
        if (line.len == 0)
            continue;
        if (line.ptr[0] == '=') {
            ck_assert(span_cut_char(span_skip(line, 1), ' ', &name, &raw));
            map_put(&w->raw_pages, name, arena_str(w->arena, raw));
            continue;
        }
        struct buf headers = BUF(64u << 10);
        struct span more;
        while (rest.len && rest.ptr[0] == ' ' && span_next_line(&rest, &more))
            buf_printf(&headers, "%.*s\n", SPAN_ARG(span_skip(more, 1)));
        file_make(w, line, buf_span(&headers));
        buf_release(&headers);
    }
    return w;
}

void world_free(struct world *w)
{
    uv_close((uv_handle_t *)&w->timer, NULL);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    uv_loop_close(&w->loop);
    for (size_t i = 0; i < w->files.n; i++) {
        free(w->files.v[i].bytes);
        free(w->files.v[i].metadata);
        buf_release(&w->files.v[i].entry);
    }
    VEC_FREE(&w->files);
    VEC_FREE(&w->waiting);
    if (w->store) {
        store_close(w->store);
        io_remove_tree(AT_FDCWD, w->store_dir, NULL);
        free(w->store_dir);
    }
    map_release(&w->raw_pages);
    arena_free(w->arena);
    free(w);
}

void world_fail(struct world *w, const char *path, enum err_code code)
{
    w->fail_path = path;
    w->fail_code = code;
}

void world_cancel_after(struct world *w, int answers)
{
    w->cancel_after = answers;
}

/* The registry's side. */
static bool page_answer(struct world *w, struct registry_get *get, struct buf *body)
{
    struct span name = span_str(get->path);
    bool extra = span_starts(name, SPAN(EXTRA));
    name = span_skip(name, extra ? sizeof(EXTRA) - 1 : 0);
    name.len -= name.len > 0;
    const char *raw = map_get(&w->raw_pages, name);
    size_t n = 0;
    get->status = 200;
    get->content_type = "application/vnd.pypi.simple.v1+json";
    if (raw) {
        get->content_type = raw[0] == '<' ? "text/html; charset=utf-8" : get->content_type;
        buf_str(body, raw);
        return true;
    }
    buf_printf(body, "{\"meta\":{\"api-version\":\"1.1\"},\"name\":\"%.*s\",\"files\":[",
               SPAN_ARG(name));
    for (size_t i = 0; i < w->files.n; i++)
        if (span_eq(w->files.v[i].project, name) && w->files.v[i].extra == extra)
            buf_printf(body, "%s%s", n++ ? "," : "", buf_cstr(&w->files.v[i].entry));
    buf_str(body, "]}");
    return n > 0;
}

static bool range_answer(struct registry_get *get, struct span whole, struct buf *body)
{
    static char content_range[96];
    struct span first, last, range = span_str(get->range);
    uint64_t from, to;
    ck_assert(span_cut_char(range, '-', &first, &last));
    ck_assert(span_to_u64(last, &to));
    if (first.len == 0) {
        from = to > whole.len ? 0 : whole.len - to;
        to = whole.len - 1;
    } else {
        ck_assert(span_to_u64(first, &from) && from <= to && from < whole.len);
        to = to < whole.len ? to : whole.len - 1;
    }
    get->status = 206;
    snprintf(content_range, sizeof(content_range), "bytes %llu-%llu/%zu", (unsigned long long)from,
             (unsigned long long)to, whole.len);
    get->content_range = content_range;
    return buf_append(body, span_slice(whole, (size_t)from, (size_t)to + 1));
}

static bool file_answer(struct world *w, struct registry_get *get, struct buf *body)
{
    struct span url = span_str(get->path), path, name;
    ck_assert(span_cut_last_char(url, '/', &path, &name));
    bool metadata = span_ends(name, SPAN(".metadata"));
    if (metadata)
        name.len -= 9;
    for (size_t i = 0; i < w->files.n; i++) {
        struct file *f = &w->files.v[i];
        struct span whole = span_of(f->bytes, f->len);
        if (!span_eq(f->name, name) || f->gone || (metadata && !f->advertised))
            continue;
        get->status = 200;
        if (metadata)
            return buf_str(body, f->metadata);
        if (get->range && !f->no_ranges)
            return range_answer(get, whole, body);
        return buf_append(body, whole);
    }
    return false;
}

static void answer(struct world *w, struct registry_get *get, bool cancelled)
{
    struct buf body = BUF(32u << 20);
    const char *path = get->path;
    bool url = strncmp(path, "http", 4) == 0;
    bool page =
        !url || (strncmp(path, EXTRA, sizeof(EXTRA) - 1) == 0 && path[strlen(path) - 1] == '/');
    err_clear(&get->err);
    get->url = url ? path : arena_printf(w->arena, BASE "%s", path);
    if (cancelled)
        err_set(&get->err, ERR_CANCELLED, "cancelled");
    else if (w->fail_path && strstr(path, w->fail_path))
        err_set(&get->err, w->fail_code, "no answer from index.example.com");
    else if (!(page ? page_answer(w, get, &body) : file_answer(w, get, &body)))
        get->status = 404;
    get->body = buf_span(&body);
    get->done(get);
    buf_release(&body);
}

/* Only sdists go through one. */
static struct store *world_store(struct world *w)
{
    struct err err = {0};
    const char *tmp = getenv("TMPDIR");
    if (!w->store) {
        w->store_dir = mem_printf("%s/strata-world-XXXXXX", tmp ? tmp : "/tmp");
        ck_assert_ptr_nonnull(mkdtemp(w->store_dir));
        ck_assert_msg(store_open(&w->store, w->store_dir, &err), "%s", err.text);
    }
    return w->store;
}

static void answer_fetch(struct world *w, struct registry_fetch *f, bool cancelled)
{
    AUTO_BUF struct buf body = BUF(32u << 20);
    struct registry_get get = {.path = f->url};
    struct hash got;
    err_clear(&f->err);
    if (cancelled)
        err_set(&f->err, ERR_CANCELLED, "cancelled");
    else if (w->fail_path && strstr(f->url, w->fail_path))
        err_set(&f->err, w->fail_code, "no answer from index.example.com");
    else if (!file_answer(w, &get, &body))
        err_set(&f->err, ERR_REGISTRY_REFUSED, "the registry answers 404 for the file");
    got = hash_of_bytes(HASH_SHA256, buf_span(&body));
    if (!f->err.code && f->expect.algo && !hash_eq(&got, &f->expect))
        err_set(&f->err, ERR_DIGEST_MISMATCH, "not what the index promises");
    if (!f->err.code)
        store_put_blob(world_store(w), buf_span(&body), &f->blob, &f->err);
    f->size = body.len;
    f->done(f);
}

static void answer_build(struct world *w, struct resolve_build *b, bool cancelled)
{
    if (cancelled)
        err_set(&b->err, ERR_CANCELLED, "cancelled");
    else if (!w->builds[0])
        err_set(&b->err, ERR_SCRIPT, "the back end failed");
    else
        b->build = json_pack("{s:[s],s:[]}", "requested", "setuptools", "packages");
    if (!b->err.code)
        b->metadata = mem_printf("Metadata-Version: 2.1\nName: %s\nVersion: %s\n%s", b->name,
                                 b->version, w->builds);
    b->done(b);
}

static void answer_some(uv_timer_t *timer)
{
    struct world *w = timer->data;
    if (w->waiting.n == 0)
        return;
    w->seed = w->seed * 1103515245u + 12345u;
    size_t at = (w->seed >> 16) % w->waiting.n;
    struct reply r = w->waiting.v[at];
    w->waiting.v[at] = w->waiting.v[--w->waiting.n];
    if (r.fetch)
        answer_fetch(w, r.fetch, r.cancelled);
    else if (r.build)
        answer_build(w, r.build, r.cancelled);
    else
        answer(w, r.get, r.cancelled);
    if (++w->answers == w->cancel_after)
        resolver_pip.cancel(w->job);
    uv_timer_start(&w->timer, answer_some, 0, 0);
}

static struct world *world_of(struct registry_client *c)
{
    return (struct world *)(void *)c;
}

void registry_get(struct registry_client *c, struct registry_get *get)
{
    struct world *w = world_of(c);
    w->requests++;
    get->state = w;
    *VEC_PUSH(&w->waiting) = (struct reply){.get = get};
    uv_timer_start(&w->timer, answer_some, 0, 0);
}

void registry_get_cancel(struct registry_get *get)
{
    struct world *w = get->state;
    for (size_t i = 0; i < w->waiting.n; i++)
        if (w->waiting.v[i].get == get)
            w->waiting.v[i].cancelled = true;
}

void registry_fetch(struct registry_client *c, struct registry_fetch *f)
{
    struct world *w = world_of(c);
    w->requests++;
    f->state = w;
    *VEC_PUSH(&w->waiting) = (struct reply){.fetch = f};
    uv_timer_start(&w->timer, answer_some, 0, 0);
}

void registry_fetch_cancel(struct registry_fetch *f)
{
    struct world *w = f->state;
    for (size_t i = 0; i < w->waiting.n; i++)
        if (w->waiting.v[i].fetch == f)
            w->waiting.v[i].cancelled = true;
}

struct store *registry_store(const struct registry_client *c)
{
    return world_store((struct world *)(uintptr_t)c);
}

static void cancel_build(struct resolve_build *b)
{
    struct world *w = b->state;
    for (size_t i = 0; i < w->waiting.n; i++)
        if (w->waiting.v[i].build == b)
            w->waiting.v[i].cancelled = true;
}

static void build(struct resolve_job *job, struct resolve_build *b)
{
    struct world *w = job->ctx;
    uint64_t size;
    ck_assert(store_has_blob(world_store(w), &b->sdist, &size) && size > 0);
    b->state = w;
    b->cancel = cancel_build;
    *VEC_PUSH(&w->waiting) = (struct reply){.build = b};
    uv_timer_start(&w->timer, answer_some, 0, 0);
}

void world_builds(struct world *w, const char *metadata)
{
    w->builds = metadata;
}

struct span registry_path_of(const struct registry_client *c, struct span url)
{
    (void)c;
    return span_starts(url, SPAN(BASE)) ? span_skip(url, sizeof(BASE) - 1) : SPAN("");
}

const struct registry *registry_of(const struct registry_client *c)
{
    static const char *const urls[] = {BASE};
    static const struct registry_extra extra[] = {{"@scope", "https://not.asked.example.com/"},
                                                  {NULL, EXTRA}};
    static const struct registry one = {.manager = "pip", .urls = urls, .url_count = 1};
    static const struct registry two = {
        .manager = "pip", .urls = urls, .url_count = 1, .extra = extra, .extra_count = 2};
    const struct world *w = (const struct world *)(const void *)c;
    for (size_t i = 0; i < w->files.n; i++)
        if (w->files.v[i].extra)
            return &two;
    return &one;
}

/* The resolver's side. */
struct platform *world_platform(void)
{
    AUTO_JSON json_t *declared = json_pack("{s:s,s:s}", "python", "3.11.2", "arch", "x86_64");
    struct platform *p = NULL;
    struct err err = {0};
    ck_assert_msg(platform_declare(declared, NULL, &p, &err), "%s", err.text);
    return p;
}

static void chosen(struct resolve_job *job, const json_t *package, const char *url)
{
    struct world *w = job->ctx;
    size_t n = strlen(w->chosen);
    ck_assert_ptr_nonnull(strstr(url, json_get_str(package, "filename")));
    snprintf(w->chosen + n, sizeof(w->chosen) - n, "%s%s==%s", n ? " " : "",
             json_get_str(package, "name"), json_get_str(package, "version"));
}

static void resolved(struct resolve_job *job)
{
    struct world *w = job->ctx;
    w->done = true;
}

void world_resolve(struct world *w, const char *specs, const struct policy *policy,
                   const json_t *previous, struct world_result *out)
{
    static const struct policy plain;
    struct platform *platform = world_platform();
    const char *list[32];
    size_t n = 0;
    struct span rest = arena_span(w->arena, span_str(specs)), spec;
    while (span_next(&rest, '|', &spec))
        list[n++] = arena_str(w->arena, spec);
    struct resolve_job job = {.specs = list,
                              .spec_count = specs[0] ? n : 0,
                              .platform = platform,
                              .policy = policy ? policy : &plain,
                              .registry = (struct registry_client *)(void *)w,
                              .loop = &w->loop,
                              .previous = previous,
                              .choose = chosen,
                              .build = w->builds ? build : NULL,
                              .done = resolved,
                              .ctx = w};
    w->job = &job;
    w->done = false;
    w->answers = 0;
    w->chosen[0] = '\0';
    w->requests = 0;
    resolver_pip.resolve(&job);
    ck_assert(!w->done);
    while (!w->done)
        ck_assert(uv_run(&w->loop, UV_RUN_ONCE) || w->done);
    ck_assert_uint_eq(w->waiting.n, 0);
    *out = (struct world_result){.lock = job.lock, .warnings = job.warnings, .err = job.err};
    out->requests = w->requests;
    snprintf(out->chosen, sizeof(out->chosen), "%s", w->chosen);
    if (!job.lock)
        snprintf(out->text, sizeof(out->text), "%s: %s", err_code_name(job.err.code), job.err.text);
    size_t i;
    json_t *p;
    json_array_foreach (json_object_get(job.lock, "packages"), i, p) {
        size_t at = strlen(out->text);
        snprintf(out->text + at, sizeof(out->text) - at, "%s%s==%s", i ? " " : "",
                 json_get_str(p, "name"), json_get_str(p, "version"));
    }
    platform_free(platform);
}

void world_result_release(struct world_result *r)
{
    json_decref(r->lock);
    json_decref(r->warnings);
}

static void located(struct locate_job *job)
{
    struct world *w = job->ctx;
    w->done = true;
}

char *world_locate(struct world *w, const json_t *package, struct err *err)
{
    struct locate_job job = {.package = package,
                             .registry = (struct registry_client *)(void *)w,
                             .loop = &w->loop,
                             .done = located,
                             .ctx = w};
    w->done = false;
    resolver_pip.locate(&job);
    ck_assert(!w->done);
    while (!w->done)
        ck_assert(uv_run(&w->loop, UV_RUN_ONCE) || w->done);
    *err = job.err;
    return job.url;
}
