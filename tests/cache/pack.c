/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cache/pack.h"

#include <libdeflate.h>
#include <stdio.h>

#include "tests/test_main.h"

#define EPOCH 1700000000

struct store *pack_store(const char *name)
{
    struct store *s;
    struct err err = {0};
    AUTO_FREE char *path = mem_printf("%s/%s", test_folder(), name);
    ck_assert_msg(store_open(&s, path, &err), "%s", err.text);
    return s;
}

static void on_done(struct segment_job *job)
{
    *(bool *)job->ctx = true;
}

bool pack_build(struct store *s, struct segment_plan *plan, enum compression c, unsigned threads,
                struct segment *out, struct err *err)
{
    uv_loop_t loop;
    bool done = false;
    ck_assert_int_eq(uv_loop_init(&loop), 0);
    struct pool *pool = pool_new(&loop, threads);
    struct packer *packer = packer_new(pool);
    struct segment_job job = {
        .store = s,
        .packer = packer,
        .plan = plan,
        .compression = c,
        .source_date_epoch = EPOCH,
        .done = on_done,
        .ctx = &done,
    };
    segment_build(&job);
    ck_assert(!done);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert(done);
    pool_close(pool);
    packer_free(packer);
    uv_run(&loop, UV_RUN_DEFAULT);
    ck_assert_int_eq(uv_loop_close(&loop), 0);
    *out = job.segment;
    if (err)
        *err = job.err;
    return !job.err.code;
}

struct span pack_deflate(struct arena *a, struct span bytes)
{
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(1);
    size_t room = libdeflate_deflate_compress_bound(c, bytes.len);
    char *out = arena_alloc(a, room);
    size_t n = libdeflate_deflate_compress(c, bytes.ptr, bytes.len, out, room);
    libdeflate_free_compressor(c);
    ck_assert_uint_gt(n, 0);
    return span_of(out, n);
}

struct segment_entry *pack_add_deflated(struct segment_plan *plan, const char *path,
                                        struct span bytes)
{
    struct segment_entry *e = segment_add_file(plan, span_str(path), 0644, SPAN(""));
    e->size = bytes.len;
    e->deflated = pack_deflate(plan->arena, bytes);
    e->crc32 = libdeflate_crc32(0, bytes.ptr, bytes.len);
    return e;
}

static uint32_t next(uint32_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 17;
    *x ^= *x << 5;
    return *x;
}

/* The first 64 KiB are made, the rest is copies of them, each with a number of its own. */
static struct span repeat(char *out, size_t made, size_t len)
{
    for (size_t at = made; at < len; at += made) {
        size_t n = len - at < made ? len - at : made;
        memcpy(out + at, out, n);
        memcpy(out + at, &at, n < sizeof(at) ? n : sizeof(at));
    }
    return span_of(out, len);
}

#define MADE_BYTES (64u << 10)

struct span pack_text(struct arena *a, size_t len, unsigned seed)
{
    static const char *const words[] = {"layer",  "blob", "pin",    "digest", "\n",   "    ",
                                        "return", "of",   "import", "self",   "(x):", "0x1f"};
    size_t made = len < MADE_BYTES ? len : MADE_BYTES;
    char *out = arena_alloc(a, (len < made + 16 ? made : len) + 16);
    uint32_t x = seed * 2654435761u + 1;
    for (size_t n = 0; n < made;)
        n += (size_t)snprintf(out + n, made + 16 - n, "%s ", words[next(&x) % COUNT(words)]);
    return repeat(out, made, len);
}

struct span pack_noise(struct arena *a, size_t len, unsigned seed)
{
    char *out = arena_alloc(a, len + 4);
    uint32_t x = seed * 2654435761u + 1;
    for (size_t n = 0; n < len; n++)
        out[n] = (char)(next(&x) >> 11);
    return span_of(out, len);
}

struct artifact_part pack_part(struct store *s, const char *manager, const char *name,
                               struct segment_plan *plan, enum compression c)
{
    struct err err = {0};
    struct artifact_part part = {.manager = manager, .name = name, .kind = "package"};
    ck_assert_msg(pack_build(s, plan, c, 1, &part.segment, &err), "%s", err.text);
    return part;
}

struct artifact_part pack_simple(struct store *s, const char *manager, const char *name, size_t len,
                                 enum compression c)
{
    struct segment_plan plan;
    segment_plan_init(&plan);
    unsigned seed = (unsigned)digest_of(span_str(name)).bytes[0];
    segment_add_file(&plan, span_str(arena_printf(plan.arena, "opt/%s/%s", manager, name)), 0644,
                     pack_text(plan.arena, len, seed));
    return pack_part(s, manager, name, &plan, c);
}

struct artifact *pack_publish(struct store *s, const struct artifact_part *parts, size_t count,
                              struct err *err)
{
    AUTO_JSON json_t *lock = json_pack("{s:i}", "lock_version", 1);
    AUTO_JSON json_t *path = json_pack("[s,s]", "/opt/a/bin", "/opt/b/bin");
    AUTO_JSON json_t *env = json_pack("{s:s,s:s}", "B", "2", "A", "1");
    AUTO_JSON json_t *bins = json_pack("[s]", "tool");
    AUTO_JSON json_t *platform = json_pack("{s:s,s:s}", "os", "linux", "arch", "x86_64");
    struct artifact *a = NULL;
    struct artifact_spec spec = {
        .name = "test",
        .parts = parts,
        .part_count = count,
        .lock = lock,
        .path = path,
        .env = env,
        .bins = bins,
        .platform = platform,
        .source_date_epoch = EPOCH,
        .compression = count ? parts[0].segment.compression : COMPRESS_ZSTD,
    };
    artifact_publish(s, &spec, &a, err);
    return a;
}
