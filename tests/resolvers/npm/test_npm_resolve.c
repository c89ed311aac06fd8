/* SPDX-License-Identifier: Apache-2.0 */
/* The resolver as the rest of the program sees it, against a registry on 127.0.0.1. */
#include <libdeflate.h>
#include <stdio.h>

#include "base/io.h"
#include "base/json.h"
#include "resolvers/resolver.h"
#include "tests/support/http_server.h"
#include "tests/test_main.h"

struct bench {
    uv_loop_t loop;
    struct test_server *server;
    struct http_client *http;
    struct pool *pool;
    struct store *store;
    struct registry_client *client;
    const char *url;
    struct registry registry;
    struct platform *platform;
    struct policy policy;
    struct resolve_job job;
    json_t *chosen; /* names, in the order of their announcement */
    json_t *first;  /* the first one's entry */
    int done;
};

static void bench_init(struct bench *b)
{
    struct err err = {0};
    static int stores;
    AUTO_FREE char *path = mem_printf("%s/npm%d", test_folder(), stores++);
    AUTO_JSON json_t *declared =
        json_pack("{s:s,s:s,s:s}", "node", "20.20.2", "arch", "x86_64", "libc", "glibc");
    *b = (struct bench){.server = test_server_new(), .chosen = json_array()};
    uv_loop_init(&b->loop);
    struct http_options http = {.backoff_first_ms = 2, .attempts = 2, .stall_timeout_ms = 1000};
    b->http = http_client_new(&b->loop, &http, &err);
    b->pool = pool_new(&b->loop, 2);
    ck_assert_msg(store_open(&b->store, path, &err), "%s", err.text);
    ck_assert_msg(platform_declare(declared, NULL, &b->platform, &err), "%s", err.text);
    b->url = test_server_url(b->server, "/");
    b->registry =
        (struct registry){.manager = "npm", .urls = &b->url, .url_count = 1, .from = "the test"};
    b->client = registry_client_new(&b->loop, b->http, b->store, b->pool, &b->registry,
                                    &(struct registry_options){0}, NULL);
}

static void bench_release(struct bench *b)
{
    json_decref(b->job.lock);
    json_decref(b->job.warnings);
    json_decref(b->chosen);
    json_decref(b->first);
    registry_client_free(b->client);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    pool_close(b->pool);
    http_client_free(b->http);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&b->loop), 0);
    platform_free(b->platform);
    store_close(b->store);
    test_server_free(b->server);
}

static void put(struct bench *b, const char *path, const char *body)
{
    test_server_add(b->server, path, &(struct test_answer){.body = span_str(body)});
}

static void on_choose(struct resolve_job *job, const json_t *package, const char *url)
{
    struct bench *b = job->ctx;
    ck_assert_ptr_nonnull(url);
    ck_assert_ptr_nonnull(json_get_str(package, "digest"));
    json_array_append_new(b->chosen, json_string(json_get_str(package, "name")));
    if (!b->first)
        b->first = json_deep_copy(package);
}

static void on_done(struct resolve_job *job)
{
    struct bench *b = job->ctx;
    b->done++;
    uv_stop(&b->loop);
}

static void start(struct bench *b, const char *const *specs)
{
    const json_t *previous = b->job.previous;
    size_t n = 0;
    struct err err = {0};
    while (specs[n]) {
        ck_assert_msg(resolver_npm.parse(span_str(specs[n]), &err), "%s", err.text);
        n++;
    }
    b->job = (struct resolve_job){.specs = specs,
                                  .spec_count = n,
                                  .platform = b->platform,
                                  .policy = &b->policy,
                                  .registry = b->client,
                                  .loop = &b->loop,
                                  .pool = b->pool,
                                  .previous = previous,
                                  .choose = on_choose,
                                  .done = on_done,
                                  .ctx = b};
    resolver_npm.resolve(&b->job);
    ck_assert_int_eq(b->done, 0);
}

static bool resolve(struct bench *b, const char *const *specs)
{
    start(b, specs);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(b->done, 1);
    ck_assert_int_eq(b->job.lock != NULL, b->job.err.code == ERR_NONE);
    return b->job.lock;
}

#define RESOLVE(b, ...) resolve((b), (const char *const[]){__VA_ARGS__, NULL})

static const json_t *package(const struct bench *b, const char *path)
{
    const json_t *packages = json_object_get(b->job.lock, "packages");
    for (size_t i = 0; i < json_array_size(packages); i++)
        if (strcmp(json_get_str(json_array_get(packages, i), "path"), path) == 0)
            return json_array_get(packages, i);
    ck_abort_msg("%s is not in the lock", path);
}

static bool warns(const struct bench *b, const char *part)
{
    size_t i;
    json_t *w;
    json_array_foreach (b->job.warnings, i, w)
        if (strstr(json_string_value(w), part))
            return true;
    return false;
}

static void check_json(const json_t *value, const char *want)
{
    AUTO_BUF struct buf text = BUF(64 << 10);
    struct err err = {0};
    ck_assert(value && json_canonical(value, &text, &err));
    ck_assert_str_eq(buf_cstr(&text), want);
}

#define SHA512_A                                                                                   \
    "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+"     \
    "SfaPg=="
#define SHA1_A "da39a3ee5e6b4b0d3255bfef95601890afd80709"

#define VERSION(name, version, more)                                                               \
    "{\"name\":\"" name "\",\"version\":\"" version "\"" more                                      \
    ",\"dist\":{\"tarball\":\"https://registry.example.com/" name "/-/" name "-" version           \
    ".tgz\",\"integrity\":\"" SHA512_A "\"}}"
#define PACKUMENT(name, version, more)                                                             \
    "{\"name\":\"" name "\",\"dist-tags\":{\"latest\":\"" version "\"},\"versions\":{\"" version   \
    "\":" VERSION(name, version, more) "}}"

START_TEST(locks_everything_an_installer_needs)
{
    struct bench b;
    bench_init(&b);
    put(&b, "/a/1.0.0",
        VERSION("a", "1.0.0",
                ",\"dependencies\":{\"b\":\"^2.0.0\",\"c\":\"npm:b@^2.0.0\"},\"bin\":\"./a.js\","
                "\"optionalDependencies\":{\"d\":\"1\"},\"scripts\":{\"postinstall\":\"x\"},"
                "\"deprecated\":\"use b\""));
    put(&b, "/b", PACKUMENT("b", "2.1.0", ",\"bin\":{\"b\":\"../../evil\",\"x/y\":\"y.js\"}"));
    put(&b, "/d", PACKUMENT("d", "1.0.0", ",\"os\":[\"darwin\"]"));
    ck_assert_msg(RESOLVE(&b, "a@1.0.0"), "%s", b.job.err.text);
    check_json(json_object_get(b.job.lock, "requested"), "[\"a@1.0.0\"]");
    ck_assert_uint_eq(json_array_size(json_object_get(b.job.lock, "packages")), 3);
    const json_t *a = package(&b, "node_modules/a");
    ck_assert_str_eq(json_get_str(a, "version"), "1.0.0");
    ck_assert_str_eq(json_get_str(a, "origin"), "a/-/a-1.0.0.tgz");
    ck_assert_int_eq(strncmp(json_get_str(a, "digest"), "sha512:cf83e1357eef", 19), 0);
    check_json(json_object_get(a, "requires"), "[\"b\",\"c\"]");
    check_json(json_object_get(a, "bins"), "{\"a\":\"a.js\"}");
    check_json(json_object_get(a, "scripts"), "[\"postinstall\"]");
    const json_t *c = package(&b, "node_modules/a/node_modules/c");
    ck_assert_str_eq(json_get_str(c, "name"), "b");
    ck_assert_str_eq(json_get_str(c, "alias"), "c");
    check_json(json_object_get(package(&b, "node_modules/a/node_modules/b"), "bins"),
               "{\"b\":\"evil\",\"y\":\"y.js\"}");
    ck_assert_ptr_null(json_object_get(c, "bins")); /* b was first in that folder */
    ck_assert(warns(&b, "postinstall") && warns(&b, "deprecated: use b"));
    check_json(b.chosen, "[\"a\",\"b\"]");
    /* A top's early entry is enough to install it. */
    ck_assert(json_equal(json_object_get(b.first, "path"), json_object_get(a, "path")));
    ck_assert(json_equal(json_object_get(b.first, "bins"), json_object_get(a, "bins")));
    ck_assert(json_equal(json_object_get(b.first, "digest"), json_object_get(a, "digest")));
    bench_release(&b);
}
END_TEST

START_TEST(announces_pins_before_the_tree_is_done)
{
    struct bench b;
    bench_init(&b);
    put(&b, "/a", PACKUMENT("a", "1.0.0", ",\"dependencies\":{\"b\":\"1.0.0\",\"slow\":\"1\"}"));
    put(&b, "/a/latest",
        VERSION("a", "1.0.0", ",\"dependencies\":{\"b\":\"1.0.0\",\"slow\":\"1\"}"));
    put(&b, "/b/1.0.0", VERSION("b", "1.0.0", ",\"dependencies\":{\"c\":\"1.0.0\"}"));
    put(&b, "/c/1.0.0", VERSION("c", "1.0.0", ""));
    test_server_add(
        b.server, "/slow",
        &(struct test_answer){.body = span_str(PACKUMENT("slow", "1.0.0", "")), .delay_ms = 150});
    ck_assert_msg(RESOLVE(&b, "a"), "%s", b.job.err.text);
    check_json(b.chosen, "[\"a\",\"b\",\"c\",\"slow\"]");
    ck_assert_int_eq(test_server_hits(b.server, "/a"), 0); /* the short form was enough */
    ck_assert_int_eq(test_server_hits(b.server, "/b"), 0);
    bench_release(&b);
}
END_TEST

START_TEST(falls_back_to_the_packument_where_a_mirror_has_no_short_forms)
{
    struct bench b;
    bench_init(&b);
    test_server_add(b.server, "/a/1.0.0", &(struct test_answer){.status = 404});
    test_server_add(b.server, "/b/1.0.0", &(struct test_answer){.status = 404});
    put(&b, "/a", PACKUMENT("a", "1.0.0", ",\"dependencies\":{\"b\":\"1.0.0\"}"));
    put(&b, "/b", PACKUMENT("b", "1.0.0", ""));
    ck_assert_msg(RESOLVE(&b, "a@1.0.0"), "%s", b.job.err.text);
    package(&b, "node_modules/a/node_modules/b");
    ck_assert_int_eq(test_server_hits(b.server, "/a/1.0.0"), 1);
    ck_assert_int_eq(test_server_hits(b.server, "/b/1.0.0"), 0); /* learnt from the first */
    bench_release(&b);
}
END_TEST

START_TEST(takes_shasum_where_there_is_no_integrity_and_scoped_names)
{
    struct bench b;
    bench_init(&b);
    put(&b, "/@s%2fx/1.0.0",
        "{\"name\":\"@s/x\",\"version\":\"1.0.0\",\"bin\":\"x.js\",\"dist\":{\"shasum\":\"" SHA1_A
        "\",\"tarball\":\"https://cdn.example.com/files/@s/x/-/x-1.0.0.tgz\"}}");
    ck_assert_msg(RESOLVE(&b, "@s/x@1.0.0"), "%s", b.job.err.text);
    const json_t *x = package(&b, "node_modules/@s/x");
    ck_assert_str_eq(json_get_str(x, "digest"), "sha1:" SHA1_A);
    ck_assert_str_eq(json_get_str(x, "origin"), "@s/x/-/x-1.0.0.tgz");
    check_json(json_object_get(x, "bins"), "{\"x\":\"x.js\"}");
    bench_release(&b);
}
END_TEST

START_TEST(gives_a_bin_that_two_want_to_the_first_by_path)
{
    struct bench b;
    bench_init(&b);
    put(&b, "/b/1.0.0", VERSION("b", "1.0.0", ",\"bin\":{\"tool\":\"b.js\",\"b\":\"b.js\"}"));
    put(&b, "/a/1.0.0", VERSION("a", "1.0.0", ",\"bin\":{\"tool\":\"a.js\"}"));
    ck_assert_msg(RESOLVE(&b, "b@1.0.0", "a@1.0.0"), "%s", b.job.err.text);
    check_json(json_object_get(package(&b, "node_modules/a"), "bins"), "{\"tool\":\"a.js\"}");
    check_json(json_object_get(package(&b, "node_modules/b"), "bins"), "{\"b\":\"b.js\"}");
    ck_assert(warns(&b, "tool"));
    bench_release(&b);
}
END_TEST

static const struct {
    const char *spec, *path, *body;
    int status;
    enum err_code code;
    const char *says;
} failures[] = {
    {"nowhere", "/x", "{}", 200, ERR_NO_PACKAGE, "nowhere"},
    {"a@3", "/a", PACKUMENT("a", "1.0.0", ""), 200, ERR_UNRESOLVABLE, "latest is 1.0.0"},
    {"a@next", "/a", PACKUMENT("a", "1.0.0", ""), 200, ERR_UNRESOLVABLE, "next"},
    {"a@^1", "/a", "not JSON", 200, ERR_BAD_ARCHIVE, "a"},
    {"a@^1", "/a", "{\"versions\":{", 200, ERR_BAD_ARCHIVE, "offset"},
    {"a@^1", "/a", "[]", 200, ERR_BAD_ARCHIVE, "a"},
    {"a@^1", "/a", "{\"versions\":{}}", 200, ERR_NO_PACKAGE, "no versions"},
    {"a@^1", "/a", "{\"versions\":{\"1.0.0\":7}}", 200, ERR_NO_PACKAGE, "no versions"},
    {"a@^1", "/a",
     "{\"versions\":{\"1.0.0\":{\"name\":\"a\",\"version\":\"1.0.0\",\"dependencies\":{\"b\":1}}}}",
     200, ERR_UNRESOLVABLE, "a@^1"},
    {"a@^1", "/a", "{\"versions\":{\"1.0.0\":{\"name\":\"a\",\"version\":\"1.0.0\"}}}", 200,
     ERR_REGISTRY_REFUSED, "no hash"},
    {"a@^1", "/a",
     PACKUMENT("a", "1.0.0", ",\"dependencies\":{\"b\":\"git+ssh://git@example.com/b\"}"), 200,
     ERR_UNRESOLVABLE, "git"},
    {"a@^1", "/a", PACKUMENT("a", "1.0.0", ",\"dependencies\":{\"../b\":\"1\"}"), 200,
     ERR_BAD_ARCHIVE, "../b"},
    {"a@^1", "/a", PACKUMENT("a", "1.0.0", ",\"dependencies\":{\"b\":\"1\"}"), 200, ERR_NO_PACKAGE,
     "needed by a@1.0.0"},
    {"a@^1", "/a", PACKUMENT("a", "1.0.0", ",\"os\":\"win32\""), 200, ERR_PLATFORM, "win32"},
    {"a@^1", "/a", "{}", 500, ERR_REGISTRY, "a"},
    {"a@^1", "/a", "{}", 403, ERR_REGISTRY_REFUSED, "a"},
};

START_TEST(says_what_failed_and_locks_nothing)
{
    struct bench b;
    bench_init(&b);
    test_server_add(
        b.server, failures[_i].path,
        &(struct test_answer){.status = failures[_i].status, .body = span_str(failures[_i].body)});
    ck_assert(!RESOLVE(&b, failures[_i].spec));
    ck_assert_msg(b.job.err.code == failures[_i].code, "%s: %s", b.job.err.text,
                  err_code_name(b.job.err.code));
    ck_assert_msg(strstr(b.job.err.text, failures[_i].says), "%s", b.job.err.text);
    bench_release(&b);
}
END_TEST

START_TEST(a_broken_network_is_no_reason_to_drop_an_optional_package)
{
    struct bench b;
    bench_init(&b);
    put(&b, "/a", PACKUMENT("a", "1.0.0", ",\"optionalDependencies\":{\"b\":\"1\"}"));
    test_server_add(b.server, "/b", &(struct test_answer){.status = 503});
    ck_assert(!RESOLVE(&b, "a@^1"));
    ck_assert_int_eq(b.job.err.code, ERR_REGISTRY);
    bench_release(&b);
}
END_TEST

static void cancel_now(uv_timer_t *timer)
{
    struct bench *b = timer->data;
    resolver_npm.cancel(&b->job);
    uv_close((uv_handle_t *)timer, NULL);
}

START_TEST(can_be_cancelled)
{
    struct bench b;
    uv_timer_t timer;
    bench_init(&b);
    test_server_add(b.server, "/a",
                    &(struct test_answer){.body = SPAN_INIT("{}"), .delay_ms = 500});
    start(&b, (const char *const[]){"a@^1", "b@^1", NULL});
    uv_timer_init(&b.loop, &timer);
    timer.data = &b;
    uv_timer_start(&timer, cancel_now, 20, 0);
    while (!b.done)
        uv_run(&b.loop, UV_RUN_ONCE);
    ck_assert_int_eq(b.job.err.code, ERR_CANCELLED);
    ck_assert_ptr_null(b.job.lock);
    bench_release(&b);
}
END_TEST

START_TEST(only_what_was_published_in_time)
{
    struct bench b;
    bench_init(&b);
    b.policy.exclude_newer_ms = 1700000000000; /* 14 November 2023 */
    put(&b, "/a",
        "{\"name\":\"a\",\"dist-tags\":{\"latest\":\"2.0.0\"},\"versions\":{\"1.0.0\":" VERSION(
            "a", "1.0.0",
            "") ",\"2.0.0\":" VERSION("a", "2.0.0",
                                      "") "},\"time\":{\"1.0.0\":\"2023-11-14T22:13:19.999Z\","
                                          "\"2.0.0\":\"2023-11-14T22:13:20.001Z\"}}");
    ck_assert_msg(RESOLVE(&b, "a"), "%s", b.job.err.text);
    ck_assert_str_eq(json_get_str(package(&b, "node_modules/a"), "version"), "1.0.0");
    bench_release(&b);
}
END_TEST

START_TEST(keeps_locked_versions_that_are_still_allowed)
{
    struct bench b;
    bench_init(&b);
    AUTO_JSON json_t *previous =
        json_pack("{s:[{s:s,s:s},{s:s,s:s},{s:s,s:s}]}", "packages", "name", "a", "version",
                  "1.0.0", "name", "a", "version", "1.0.1", "name", "b", "version", "1.0.0");
    put(&b, "/a/1.0.1", VERSION("a", "1.0.1", ",\"dependencies\":{\"b\":\"^2\"}"));
    put(&b, "/a", PACKUMENT("a", "1.9.0", ""));
    put(&b, "/b", PACKUMENT("b", "2.5.0", ""));
    b.job.previous = previous;
    ck_assert_msg(RESOLVE(&b, "a@^1"), "%s", b.job.err.text);
    ck_assert_str_eq(json_get_str(package(&b, "node_modules/a"), "version"), "1.0.1");
    ck_assert_str_eq(json_get_str(package(&b, "node_modules/a/node_modules/b"), "version"),
                     "2.5.0");
    bench_release(&b);
}
END_TEST

START_TEST(takes_another_version_when_the_locked_one_is_gone)
{
    struct bench b;
    bench_init(&b);
    AUTO_JSON json_t *previous =
        json_pack("{s:[{s:s,s:s}]}", "packages", "name", "a", "version", "1.0.1");
    put(&b, "/a", PACKUMENT("a", "1.9.0", ""));
    b.job.previous = previous;
    ck_assert_msg(RESOLVE(&b, "a@^1"), "%s", b.job.err.text);
    ck_assert_str_eq(json_get_str(package(&b, "node_modules/a"), "version"), "1.9.0");
    bench_release(&b);
}
END_TEST

/* A gzipped tar of files given as name, text, name, text, NULL. */
static struct span tarball(const char *const *files)
{
    AUTO_BUF struct buf tar = BUF(1 << 20);
    for (size_t i = 0; files[i]; i += 2) {
        char header[512] = {0};
        unsigned sum = 0;
        size_t len = strlen(files[i + 1]);
        snprintf(header, 100, "package/%s", files[i]);
        snprintf(header + 100, 8, "0000644");
        snprintf(header + 124, 12, "%011o", (unsigned)(len & 0xffffff));
        memcpy(header + 257, "ustar\00000", 8);
        header[156] = '0';
        memset(header + 148, ' ', 8);
        for (size_t k = 0; k < sizeof(header); k++)
            sum += (unsigned char)header[k];
        snprintf(header + 148, 8, "%06o", sum & 0x1ffff);
        buf_append(&tar, span_of(header, sizeof(header)));
        buf_str(&tar, files[i + 1]);
        while (tar.len % 512)
            buf_char(&tar, '\0');
    }
    for (int i = 0; i < 1024; i++)
        buf_char(&tar, '\0');
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(1);
    size_t room = libdeflate_gzip_compress_bound(c, tar.len);
    char *out = mem_alloc(room);
    size_t n = libdeflate_gzip_compress(c, tar.ptr, tar.len, out, room);
    libdeflate_free_compressor(c);
    return span_of(out, n);
}

static const char *sri_of(struct span bytes, char out[128])
{
    struct hash h = hash_of_bytes(HASH_SHA512, bytes);
    memcpy(out, "sha512-", 7);
    base64_encode(span_of(h.bytes, hash_size(HASH_SHA512)), false, out + 7);
    return out;
}

START_TEST(locks_an_url_by_the_bytes_that_came)
{
    struct bench b;
    bench_init(&b);
    struct span tgz = tarball((const char *const[]){
        "package.json",
        "{\"name\":\"u\",\"version\":\"1.2.3\",\"bin\":\"u.js\",\"dependencies\":{\"a\":\"1\"}}",
        NULL});
    test_server_add(b.server, "/files/u.tgz", &(struct test_answer){.body = tgz});
    put(&b, "/a", PACKUMENT("a", "1.0.0", ""));
    const char *url = test_server_url(b.server, "/files/u.tgz");
    ck_assert_msg(RESOLVE(&b, url), "%s", b.job.err.text);
    const json_t *u = package(&b, "node_modules/u");
    char want[140];
    struct hash h = hash_of_bytes(HASH_SHA512, tgz);
    ck_assert_str_eq(json_get_str(u, "digest"), hash_text(&h, want));
    ck_assert_ptr_nonnull(strstr(json_get_str(u, "origin"), "files/u.tgz"));
    package(&b, "node_modules/u/node_modules/a");
    free((char *)(uintptr_t)tgz.ptr);
    bench_release(&b);
}
END_TEST

START_TEST(an_urls_folder_of_commands_is_gone_through)
{
    struct bench b;
    bench_init(&b);
    struct span tgz = tarball((const char *const[]){
        "package.json",
        "{\"name\":\"u\",\"version\":\"1.2.3\",\"directories\":{\"bin\":\"./cmds/\"}}", "cmds/one",
        "1", "cmds/.hidden", "2", "cmds/sub/two.js", "3", "cmds/sub/.x/y", "4", "cmds-too/z", "5",
        NULL});
    test_server_add(b.server, "/files/u.tgz", &(struct test_answer){.body = tgz});
    ck_assert_msg(RESOLVE(&b, test_server_url(b.server, "/files/u.tgz")), "%s", b.job.err.text);
    AUTO_BUF struct buf text = BUF(4096);
    json_canonical(json_object_get(package(&b, "node_modules/u"), "bins"), &text, NULL);
    ck_assert_str_eq(buf_cstr(&text), "{\"one\":\"cmds/one\",\"sub\":\"cmds/sub\","
                                      "\"two.js\":\"cmds/sub/two.js\"}");
    free((char *)(uintptr_t)tgz.ptr);
    bench_release(&b);
}
END_TEST

START_TEST(lists_what_a_tarball_brings_along)
{
    struct bench b;
    char sri[128];
    bench_init(&b);
    struct span tgz = tarball((const char *const[]){
        "package.json", "{}", "node_modules/b/package.json",
        "{\"name\":\"b\",\"version\":\"1.5.0\"}", "node_modules/b/node_modules/@s/c/package.json",
        "{\"name\":\"@s/c\",\"version\":\"2.0.0\"}", "node_modules/b/lib/package.json",
        "{\"name\":\"no\",\"version\":\"1.0.0\"}", NULL});
    AUTO_FREE char *doc =
        mem_printf("{\"name\":\"a\",\"version\":\"1.0.0\",\"dependencies\":{\"b\":\"1\"},"
                   "\"bundledDependencies\":[\"b\"],\"dist\":{\"integrity\":\"%s\",\"tarball\":"
                   "\"https://registry.example.com/a/-/a-1.0.0.tgz\"}}",
                   sri_of(tgz, sri));
    put(&b, "/a/1.0.0", doc);
    test_server_add(b.server, "/a/-/a-1.0.0.tgz", &(struct test_answer){.body = tgz});
    ck_assert_msg(RESOLVE(&b, "a@1.0.0"), "%s", b.job.err.text);
    ck_assert_uint_eq(json_array_size(json_object_get(b.job.lock, "packages")), 1);
    check_json(json_object_get(package(&b, "node_modules/a"), "bundled"),
               "[{\"name\":\"b\",\"path\":\"node_modules/a/node_modules/b\",\"version\":\"1.5.0\"},"
               "{\"name\":\"@s/c\",\"path\":\"node_modules/a/node_modules/b/node_modules/@s/c\","
               "\"version\":\"2.0.0\"}]");
    free((char *)(uintptr_t)tgz.ptr);
    bench_release(&b);
}
END_TEST

START_TEST(refuses_a_tarball_that_is_not_what_was_promised)
{
    struct bench b;
    bench_init(&b);
    struct span tgz = tarball((const char *const[]){"package.json", "{}", NULL});
    put(&b, "/a/1.0.0",
        VERSION("a", "1.0.0", ",\"dependencies\":{\"b\":\"1\"},\"bundleDependencies\":[\"b\"]"));
    test_server_add(b.server, "/a/-/a-1.0.0.tgz", &(struct test_answer){.body = tgz});
    ck_assert(!RESOLVE(&b, "a@1.0.0"));
    ck_assert_int_eq(b.job.err.code, ERR_DIGEST_MISMATCH);
    free((char *)(uintptr_t)tgz.ptr);
    bench_release(&b);
}
END_TEST

static const struct {
    const char *shrinkwrap;
    enum err_code code;
} shrinkwraps[] = {
    {"{\"lockfileVersion\":3,\"packages\":{\"\":{},\"node_modules/b/node_modules/"
     "c\":{\"version\":\"1.0.0\",\"integrity\":\"" SHA512_A "\"},\"node_modules/"
     "b\":{\"version\":\"1.0.0\",\"dependencies\":{\"c\":\"1\"},\"integrity\":\"" SHA512_A "\"}}}",
     ERR_NONE},
    {"{\"lockfileVersion\":1,\"dependencies\":{\"b\":{\"version\":\"1.0.0\",\"requires\":{\"c\":"
     "\"1\"},\"integrity\":\"" SHA512_A
     "\",\"dependencies\":{\"c\":{\"version\":\"1.0.0\",\"integrity\":\"" SHA512_A "\"}}}}}",
     ERR_NONE},
    {"{\"packages\":{\"node_modules/../b\":{\"version\":\"1.0.0\"}}}", ERR_BAD_ARCHIVE},
    {"{\"packages\":{\"../b\":{\"version\":\"1.0.0\"}}}", ERR_BAD_ARCHIVE},
    {"{\"packages\":{\"node_modules/x/node_modules/b\":{\"version\":\"1.0.0\"}}}", ERR_BAD_ARCHIVE},
    {"{\"packages\":{\"node_modules/b\":{\"link\":true,\"version\":\"1.0.0\"}}}", ERR_UNSUPPORTED},
    {"{\"packages\":{\"node_modules/b\":{}}}", ERR_BAD_ARCHIVE},
    {"{\"dependencies\":{\"..\":{\"version\":\"1.0.0\"}}}", ERR_BAD_ARCHIVE},
    {"{", ERR_BAD_ARCHIVE},
    {"7", ERR_BAD_ARCHIVE},
};

START_TEST(follows_a_shrinkwrap)
{
    struct bench b;
    char sri[128];
    bench_init(&b);
    struct span tgz = tarball((const char *const[]){"package.json", "{}", "npm-shrinkwrap.json",
                                                    shrinkwraps[_i].shrinkwrap, NULL});
    AUTO_FREE char *doc =
        mem_printf("{\"name\":\"a\",\"version\":\"1.0.0\",\"dependencies\":{\"b\":\"1\"},"
                   "\"_hasShrinkwrap\":true,\"dist\":{\"integrity\":\"%s\"}}",
                   sri_of(tgz, sri));
    put(&b, "/a/1.0.0", doc);
    put(&b, "/b", PACKUMENT("b", "1.9.0", ""));
    test_server_add(b.server, "/a/-/a-1.0.0.tgz", &(struct test_answer){.body = tgz});
    bool ok = RESOLVE(&b, "a@1.0.0");
    ck_assert_msg(b.job.err.code == shrinkwraps[_i].code, "%s", b.job.err.text);
    if (ok) {
        ck_assert_str_eq(json_get_str(package(&b, "node_modules/a/node_modules/b"), "version"),
                         "1.0.0");
        package(&b, "node_modules/a/node_modules/b/node_modules/c");
        ck_assert_uint_eq(json_array_size(json_object_get(b.job.lock, "packages")), 3);
    }
    free((char *)(uintptr_t)tgz.ptr);
    bench_release(&b);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("npm_resolve");
    TCase *tc = tcase_create("resolve");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, locks_everything_an_installer_needs);
    tcase_add_test(tc, announces_pins_before_the_tree_is_done);
    tcase_add_test(tc, falls_back_to_the_packument_where_a_mirror_has_no_short_forms);
    tcase_add_test(tc, takes_shasum_where_there_is_no_integrity_and_scoped_names);
    tcase_add_test(tc, gives_a_bin_that_two_want_to_the_first_by_path);
    tcase_add_loop_test(tc, says_what_failed_and_locks_nothing, 0, COUNT(failures));
    tcase_add_test(tc, a_broken_network_is_no_reason_to_drop_an_optional_package);
    tcase_add_test(tc, can_be_cancelled);
    tcase_add_test(tc, only_what_was_published_in_time);
    tcase_add_test(tc, keeps_locked_versions_that_are_still_allowed);
    tcase_add_test(tc, takes_another_version_when_the_locked_one_is_gone);
    tcase_add_test(tc, locks_an_url_by_the_bytes_that_came);
    tcase_add_test(tc, an_urls_folder_of_commands_is_gone_through);
    tcase_add_test(tc, lists_what_a_tarball_brings_along);
    tcase_add_test(tc, refuses_a_tarball_that_is_not_what_was_promised);
    tcase_add_loop_test(tc, follows_a_shrinkwrap, 0, COUNT(shrinkwraps));
    suite_add_tcase(s, tc);
    return s;
}
