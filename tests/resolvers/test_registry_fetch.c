/* SPDX-License-Identifier: Apache-2.0 */
/* Package bytes: into blobs, resumed, checked. */
#include "tests/resolvers/registry_bench.h"

struct file {
    struct registry_fetch fetch;
    struct bench *bench;
    int calls, progress;
    uint64_t cancel_at;
};

static void on_file(struct registry_fetch *fetch)
{
    struct file *f = container_of(fetch, struct file, fetch);
    f->calls++;
    f->bench->open--;
}

static void on_progress(struct registry_fetch *fetch)
{
    struct file *f = container_of(fetch, struct file, fetch);
    f->progress++;
    if (f->cancel_at && fetch->received >= f->cancel_at)
        registry_fetch_cancel(fetch);
}

static void start_fetch(struct bench *b, struct file *f, struct registry_fetch fetch)
{
    f->fetch = fetch;
    f->bench = b;
    f->calls = f->progress = 0;
    f->fetch.done = on_file;
    f->fetch.progress = on_progress;
    if (!f->fetch.max_bytes)
        f->fetch.max_bytes = 64u << 20;
    b->open++;
    registry_fetch(b->client, &f->fetch);
    ck_assert_int_eq(f->calls, 0);
}

static struct file *fetch_with(struct bench *b, struct registry_fetch fetch)
{
    static struct file f;
    start_fetch(b, &f, fetch);
    bench_run(b);
    ck_assert_int_eq(f.calls, 1);
    return &f;
}

static struct span pattern(size_t len)
{
    static char bytes[12u << 20];
    ck_assert(len <= sizeof(bytes));
    for (size_t i = 0; !bytes[1] && i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    return span_of(bytes, len);
}

static void check_blob(struct bench *b, const struct file *f, struct span want)
{
    struct io_map map;
    struct err err = {0};
    struct digest d = digest_of(want);
    ck_assert_msg(!f->fetch.err.code, "%s", f->fetch.err.text);
    ck_assert(digest_eq(&f->fetch.blob, &d) && f->fetch.size == want.len);
    ck_assert_msg(store_map_blob(b->store, &d, &map, &err), "%s", err.text);
    ck_assert(span_eq(map.bytes, want));
    io_unmap(&map);
}

static int staged_count(struct bench *b)
{
    AUTO_FREE char *path = mem_printf("%s/staging", store_path(b->store));
    struct stat st;
    int n = 0;
    uv_fs_t req;
    uv_fs_scandir(NULL, &req, path, 0, NULL);
    for (uv_dirent_t e; uv_fs_scandir_next(&req, &e) != UV_EOF;)
        n++;
    uv_fs_req_cleanup(&req);
    (void)st;
    return n;
}

START_TEST(a_file_becomes_a_blob_and_is_not_fetched_again)
{
    static const enum hash_algo algos[] = {HASH_SHA256, HASH_SHA512, HASH_SHA1};
    struct bench b;
    bench_init(&b, 1);
    struct span body = pattern(3000000 + (size_t)_i);
    test_server_add(b.first, "/reg/f.tgz", &(struct test_answer){.body = body});
    struct registry_fetch want = {
        .url = "f.tgz", .expect = hash_of_bytes(algos[_i], body), .expect_size = body.len};
    struct file *f = fetch_with(&b, want);
    check_blob(&b, f, body);
    ck_assert(!f->fetch.from_cache && f->progress > 5);
    ck_assert(f->fetch.received == body.len && f->fetch.total == body.len);
    reopen_client(&b, (struct registry_options){.offline = true});
    want.url = "elsewhere";
    f = fetch_with(&b, want);
    check_blob(&b, f, body);
    ck_assert(f->fetch.from_cache);
    ck_assert_int_eq(test_server_all_hits(b.first), 1);
    want.expect.bytes[0] ^= 1;
    ck_assert_int_eq(fetch_with(&b, want)->fetch.err.code, ERR_OFFLINE);
    bench_release(&b);
}
END_TEST

START_TEST(small_and_empty_files_and_files_without_a_promise)
{
    struct bench b;
    bench_init(&b, 1);
    test_server_add(b.first, "/reg/empty", &(struct test_answer){.body = SPAN("")});
    test_server_add(b.first, "/reg/small",
                    &(struct test_answer){.body = SPAN("s"), .chunked = true});
    test_server_add(b.first, "/reg/zip", &(struct test_answer){.body = SPAN("zip")});
    check_blob(&b, fetch_with(&b, (struct registry_fetch){.url = "empty"}), SPAN(""));
    struct hash h = hash_of_bytes(HASH_SHA256, SPAN("s"));
    check_blob(&b, fetch_with(&b, (struct registry_fetch){.url = "small", .expect = h}), SPAN("s"));
    for (int i = 0; i < 2; i++)
        check_blob(&b, fetch_with(&b, (struct registry_fetch){.url = "zip", .immutable = true}),
                   SPAN("zip"));
    ck_assert_int_eq(test_server_hits(b.first, "/reg/zip"), 1);
    for (int i = 0; i < 2; i++)
        check_blob(&b, fetch_with(&b, (struct registry_fetch){.url = "zip"}), SPAN("zip"));
    ck_assert_int_eq(test_server_hits(b.first, "/reg/zip"), 3);
    bench_release(&b);
}
END_TEST

/* A broken transfer, a wrong file, an absent one: the second mirror's is taken. */
static const struct {
    struct test_answer answer;
    enum err_code alone; /* with one mirror */
} bad_files[] = {
    {{.status = 500}, ERR_REGISTRY},
    {{.status = 404}, ERR_REGISTRY},
    {{.status = 403}, ERR_REGISTRY_REFUSED},
    {{.body = SPAN_INIT("something else")}, ERR_DIGEST_MISMATCH},
    {{.body = SPAN_INIT("")}, ERR_DIGEST_MISMATCH},
    {{.body = SPAN_INIT("0123456789"), .fault = FAULT_CUT, .at = 4}, ERR_NETWORK},
    {{.body = SPAN_INIT("0123456789"), .fault = FAULT_STALL, .at = 4}, ERR_TIMEOUT},
};

START_TEST(a_bad_mirror_is_passed_over)
{
    struct bench b;
    bench_init(&b, 2);
    struct span body = pattern(500000);
    struct test_answer bad = bad_files[_i].answer;
    bad.body.ptr = bad.body.ptr ? bad.body.ptr : "";
    test_server_add(b.first, "/reg/f", &bad);
    test_server_add(b.second, "/mirror/f", &(struct test_answer){.body = body});
    struct registry_fetch want = {.url = "f", .expect = hash_of_bytes(HASH_SHA256, body)};
    check_blob(&b, fetch_with(&b, want), body);
    b.registry.url_count = 1;
    reopen_client(&b, (struct registry_options){0});
    want.expect.bytes[3] ^= 1;
    struct file *f = fetch_with(&b, want);
    ck_assert_msg(f->fetch.err.code == bad_files[_i].alone, "%s", f->fetch.err.text);
    ck_assert_msg(strstr(f->fetch.err.text, "/reg/f"), "%s", f->fetch.err.text);
    ck_assert_int_eq(staged_count(&b), 0);
    bench_release(&b);
}
END_TEST

START_TEST(a_mismatch_names_the_path_and_both_hashes)
{
    struct bench b;
    bench_init(&b, 2);
    struct hash want = hash_of_bytes(HASH_SHA512, SPAN("right")),
                have = hash_of_bytes(HASH_SHA512, SPAN("wrong"));
    char want_text[140], have_text[140];
    test_server_add(b.first, "/reg/f", &(struct test_answer){.body = SPAN("wrong")});
    test_server_add(b.second, "/mirror/f", &(struct test_answer){.body = SPAN("wrong")});
    struct file *f = fetch_with(&b, (struct registry_fetch){.url = "f?token=hush", .expect = want});
    ck_assert_int_eq(f->fetch.err.code, ERR_REGISTRY); /* no such path: with its query */
    ck_assert(!strstr(f->fetch.err.text, "hush"));
    f = fetch_with(&b, (struct registry_fetch){.url = "f", .expect = want});
    ck_assert_int_eq(f->fetch.err.code, ERR_DIGEST_MISMATCH);
    ck_assert(strstr(f->fetch.err.text, "/reg/f"));
    ck_assert(strstr(f->fetch.err.text, hash_text(&want, want_text)));
    ck_assert(strstr(f->fetch.err.text, hash_text(&have, have_text)));
    ck_assert_int_eq(test_server_hits(b.second, "/mirror/f"), 1);
    /* Sizes are promises too. */
    struct hash wrong = hash_of_bytes(HASH_SHA256, SPAN("wrong"));
    f = fetch_with(&b, (struct registry_fetch){.url = "f", .expect = wrong, .expect_size = 4});
    ck_assert_int_eq(f->fetch.err.code, ERR_DIGEST_MISMATCH);
    f = fetch_with(&b, (struct registry_fetch){.url = "f", .expect = wrong, .expect_size = 6});
    ck_assert_int_eq(f->fetch.err.code, ERR_DIGEST_MISMATCH);
    f = fetch_with(
        &b, (struct registry_fetch){.url = "f", .expect = wrong, .expect_size = 5, .max_bytes = 4});
    ck_assert_int_eq(f->fetch.err.code, ERR_TOO_LARGE);
    ck_assert_int_eq(staged_count(&b), 0);
    bench_release(&b);
}
END_TEST

START_TEST(a_broken_transfer_is_resumed_into_the_same_blob)
{
    struct bench b;
    bench_init(&b, 1);
    struct test_answer a = {.body = pattern(9u << 20), .ranges = true};
    a.etag = _i ? "\"v\"" : NULL; /* without one it begins again */
    struct test_answer broken = a;
    broken.fault = FAULT_CUT;
    broken.at = (5u << 20) + 77;
    test_server_add(b.first, "/reg/big", &broken);
    test_server_add(b.first, "/reg/big", &a);
    struct registry_fetch want = {.url = "big", .expect = hash_of_bytes(HASH_SHA256, a.body)};
    check_blob(&b, fetch_with(&b, want), a.body);
    ck_assert_int_eq(test_server_hits(b.first, "/reg/big"), 2);
    bench_release(&b);
}
END_TEST

START_TEST(fetches_of_the_same_bytes_are_one_and_can_be_left)
{
    struct bench b;
    bench_init(&b, 1);
    struct span body = pattern(8u << 20);
    test_server_add(b.first, "/reg/f", &(struct test_answer){.body = body, .delay_ms = 10});
    struct registry_fetch want = {.url = "f", .expect = hash_of_bytes(HASH_SHA256, body)};
    static struct file f[8];
    for (int i = 0; i < 8; i++) {
        f[i].cancel_at = i == 2 ? 1u << 20 : 0;
        start_fetch(&b, &f[i], want);
    }
    registry_fetch_cancel(&f[5].fetch);
    bench_run(&b);
    for (int i = 0; i < 8; i++) {
        ck_assert_int_eq(f[i].calls, 1);
        if (i == 2 || i == 5)
            ck_assert_int_eq(f[i].fetch.err.code, ERR_CANCELLED);
        else
            check_blob(&b, &f[i], body);
    }
    ck_assert_int_eq(test_server_all_hits(b.first), 1);
    bench_release(&b);
}
END_TEST

START_TEST(a_cancelled_fetch_leaves_nothing)
{
    struct bench b;
    bench_init(&b, 1);
    struct span body = pattern(10u << 20);
    test_server_add(b.first, "/reg/f", &(struct test_answer){.body = body});
    struct registry_fetch want = {.url = "f", .expect = hash_of_bytes(HASH_SHA256, body)};
    for (uint64_t at = 0; at <= 10u << 20; at += 2u << 20) {
        static struct file f;
        f.cancel_at = at;
        start_fetch(&b, &f, want);
        if (!at)
            registry_fetch_cancel(&f.fetch);
        bench_run(&b);
        ck_assert_int_eq(f.fetch.err.code, ERR_CANCELLED);
        registry_client_free(b.client);
        b.client = NULL;
        uv_run(&b.loop, UV_RUN_DEFAULT); /* what is under way ends */
        open_client(&b, (struct registry_options){0});
        ck_assert_int_eq(staged_count(&b), 0);
    }
    bench_release(&b);
}
END_TEST

START_TEST(many_files_at_once)
{
    struct bench b;
    bench_init(&b, 1);
    enum { N = 40 };
    static struct file f[N];
    for (int i = 0; i < N; i++) {
        char path[20];
        snprintf(path, sizeof(path), "/reg/%d", i);
        struct span body = span_skip(pattern(2u << 20), (size_t)i * 40000);
        test_server_add(b.first, path, &(struct test_answer){.body = body, .chunked = i % 3 == 0});
        AUTO_FREE char *name = mem_dup_str(path + 5);
        f[i].cancel_at = 0;
        start_fetch(
            &b, &f[i],
            (struct registry_fetch){.url = name, .expect = hash_of_bytes(HASH_SHA512, body)});
    }
    bench_run(&b);
    for (int i = 0; i < N; i++)
        check_blob(&b, &f[i], span_skip(pattern(2u << 20), (size_t)i * 40000));
    ck_assert_int_eq(staged_count(&b), 0);
    bench_release(&b);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("registry_fetch");
    TCase *tc = tcase_create("files");
    setenv("no_proxy", "127.0.0.1", 1); /* whatever the machine's proxies are */
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, a_file_becomes_a_blob_and_is_not_fetched_again, 0, 3);
    tcase_add_test(tc, small_and_empty_files_and_files_without_a_promise);
    tcase_add_loop_test(tc, a_bad_mirror_is_passed_over, 0, COUNT(bad_files));
    tcase_add_test(tc, a_mismatch_names_the_path_and_both_hashes);
    tcase_add_loop_test(tc, a_broken_transfer_is_resumed_into_the_same_blob, 0, 2);
    tcase_add_test(tc, fetches_of_the_same_bytes_are_one_and_can_be_left);
    tcase_add_test(tc, a_cancelled_fetch_leaves_nothing);
    tcase_add_test(tc, many_files_at_once);
    suite_add_tcase(s, tc);
    return s;
}
