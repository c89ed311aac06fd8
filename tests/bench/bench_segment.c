/* SPDX-License-Identifier: Apache-2.0 */
/* bench_segment.c - zip archives (wheels) into segments and an artifact, with a warm page cache
 * and a fresh store each time; the first round also faults in the buffers.
 *
 * Usage: bench_segment zstd|gzip THREADS ROUNDS WHEEL...
 * Prints milliseconds for the segments, the publication and, cold to warm, each round. */
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cache/artifact.h"
#include "resolvers/archive/zip.h"

struct wheel {
    const char *path;
    struct io_map map;
    struct segment_plan plan;
    struct segment_job job;
    size_t *left;
};

static void must(bool ok, const struct err *err)
{
    if (!ok) {
        fprintf(stderr, "%s\n", err->text);
        exit(1);
    }
}

static void fill(struct wheel *w)
{
    struct err err = {0};
    struct zip zip;
    segment_plan_init(&w->plan);
    must(zip_open(&zip, w->map.bytes, &zip_default_limits, w->plan.arena, &err), &err);
    for (size_t i = 0; i < zip.count; i++) {
        const struct zip_entry *z = &zip.entries[i];
        if (z->dir)
            continue;
        struct span path =
            span_str(arena_printf(w->plan.arena, "opt/lib/site-packages/%.*s", SPAN_ARG(z->name)));
        struct segment_entry *e =
            segment_add_file(&w->plan, path, 0644, z->deflated ? SPAN("") : z->data);
        e->size = z->size;
        e->crc32 = z->crc32;
        e->deflated = z->deflated ? z->data : (struct span){0};
    }
}

static void on_done(struct segment_job *job)
{
    must(!job->err.code, &job->err);
    --*((struct wheel *)job->ctx)->left;
}

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static double cpu_ms(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e3 +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e3;
}

static void round_of(uv_loop_t *loop, struct packer *packer, struct wheel *wheels, size_t n,
                     enum compression c, const char *folder)
{
    struct err err = {0};
    struct store *s;
    size_t left = n;
    uint64_t packed = 0, tar = 0;
    struct artifact_part *parts = mem_array(n, sizeof(*parts));
    must(store_open(&s, folder, &err), &err);
    int64_t start = now_us();
    double cpu_start = cpu_ms();
    for (size_t i = 0; i < n; i++) {
        fill(&wheels[i]);
        wheels[i].left = &left;
        wheels[i].job = (struct segment_job){.store = s,
                                             .packer = packer,
                                             .plan = &wheels[i].plan,
                                             .compression = c,
                                             .source_date_epoch = 1700000000,
                                             .done = on_done,
                                             .ctx = &wheels[i]};
        segment_build(&wheels[i].job);
    }
    uv_run(loop, UV_RUN_DEFAULT);
    int64_t packed_at = now_us();
    double cpu = cpu_ms() - cpu_start;
    for (size_t i = 0; i < n; i++) {
        parts[i] = (struct artifact_part){"pip", wheels[i].path, "wheel", wheels[i].job.segment};
        packed += wheels[i].job.segment.size;
        tar += wheels[i].job.segment.tar_size;
    }
    struct artifact_spec spec = {
        .parts = parts, .part_count = n, .source_date_epoch = 1700000000, .compression = c};
    struct artifact *a;
    must(left == 0 && artifact_publish(s, &spec, &a, &err), &err);
    int64_t end = now_us();
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    printf("segments %.1f ms (CPU %.1f), publish %.1f ms; %.1f -> %.1f MB; peak %ld MiB\n",
           (double)(packed_at - start) / 1e3, cpu, (double)(end - packed_at) / 1e3,
           (double)tar / 1e6, (double)packed / 1e6, use.ru_maxrss / 1024);
    artifact_free(a);
    free(parts);
    store_close(s);
}

int main(int argc, char **argv)
{
    struct err err = {0};
    if (argc < 5) {
        fprintf(stderr, "usage: bench_segment zstd|gzip THREADS ROUNDS WHEEL...\n");
        return 2;
    }
    size_t n = (size_t)argc - 4;
    struct wheel *wheels = mem_array(n, sizeof(*wheels));
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct pool *pool = pool_new(&loop, (unsigned)atoi(argv[2]));
    struct packer *packer = packer_new(pool);
    const char *tmp = getenv("TMPDIR");
    for (size_t i = 0; i < n; i++) {
        AUTO_FD int fd = open(argv[4 + i], O_RDONLY | O_CLOEXEC);
        wheels[i].path = argv[4 + i];
        must(io_map_fd(fd, &wheels[i].map, &err), &err);
    }
    AUTO_FREE char *top = mem_printf("%s/bench-segment-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(top))
        return 1;
    for (int i = 0; i < atoi(argv[3]); i++) {
        AUTO_FREE char *folder = mem_printf("%s/%d", top, i);
        round_of(&loop, packer, wheels, n, argv[1][0] == 'g' ? COMPRESS_GZIP : COMPRESS_ZSTD,
                 folder);
    }
    pool_close(pool);
    packer_free(packer);
    uv_run(&loop, UV_RUN_DEFAULT);
    io_remove_tree(AT_FDCWD, top, NULL);
    for (size_t i = 0; i < n; i++)
        io_unmap(&wheels[i].map);
    free(wheels);
    return 0;
}
