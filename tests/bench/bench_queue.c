/* SPDX-License-Identifier: Apache-2.0 */
/* bench_queue.c - jobs a second through enqueue, lease and complete on SQLite, and how these
 * slow down behind a long queue. Usage: bench_queue [QUEUED] (default 100000). */
#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "queue/queue.h"

#define BATCH 50

static void must(bool ok, const struct err *err)
{
    if (!ok) {
        fprintf(stderr, "%s\n", err->text);
        exit(1);
    }
}

static void enqueue(struct queue *q, int i, int workspaces)
{
    char key[32], ws[32];
    struct err err = {0};
    snprintf(key, sizeof(key), "key %d", i);
    snprintf(ws, sizeof(ws), "workspace %d", i % workspaces);
    struct queue_new n = {.workspace = ws,
                          .build_key = key,
                          .priority = JOB_NORMAL,
                          .payload = "{\"packages\":{\"pip\":[\"requests==2.32.3\"]}}"};
    struct queue_added out;
    must(q->ops->enqueue(q, &n, io_now_ms(), &out, &err), &err);
    job_release(&out.job);
}

static void lease_and_complete(struct queue *q)
{
    struct err err = {0};
    struct job j;
    must(q->ops->lease(q, "bench", io_now_ms(), &j, &err), &err);
    struct queue_lease l = {j.id, j.lease_token};
    struct queue_outcome o = {.state = JOB_SUCCEEDED, .result = "{}"};
    must(q->ops->finish(q, &l, &o, io_now_ms(), NULL, &err), &err);
    job_release(&j);
}

/* Each job goes all the way; BATCH of them share a commit, as in a busy worker. */
static double rate(struct queue *q, int first, int jobs)
{
    struct err err = {0};
    int64_t start = io_monotonic_ms();
    for (int i = 0; i < jobs; i += BATCH) {
        must(q->ops->begin(q, &err), &err);
        for (int k = 0; k < BATCH; k++)
            enqueue(q, first + i + k, 20);
        must(q->ops->commit(q, &err), &err);
        must(q->ops->begin(q, &err), &err);
        for (int k = 0; k < BATCH; k++)
            lease_and_complete(q);
        must(q->ops->commit(q, &err), &err);
    }
    int64_t ms = io_monotonic_ms() - start;
    return jobs * 1000.0 / (double)(ms ? ms : 1);
}

int main(int argc, char **argv)
{
    int queued = argc > 1 ? atoi(argv[1]) : 100000;
    const char *tmp = getenv("TMPDIR");
    AUTO_FREE char *dir = mem_printf("%s/strata-bench-XXXXXX", tmp ? tmp : "/tmp");
    struct err err = {0};
    if (!mkdtemp(dir))
        return 1;
    AUTO_FREE char *path = mem_printf("%s/queue.db", dir);
    struct queue_options options = {.max_queued = 10000000, .max_queued_workspace = 10000000};
    struct queue *q = queue_sqlite_open(path, &options, &err);
    must(q != NULL, &err);
    rate(q, 0, 2000);
    printf("empty queue:       %.0f jobs/s (enqueue + lease + complete)\n", rate(q, 10000, 20000));
    must(q->ops->begin(q, &err), &err);
    for (int i = 0; i < queued; i++)
        enqueue(q, 1000000 + i, 20);
    must(q->ops->commit(q, &err), &err);
    printf("%d queued:     %.0f jobs/s\n", queued, rate(q, 10000000, 20000));
    queue_close(q);
    AUTO_FD int tmp_fd = open(tmp ? tmp : "/tmp", O_RDONLY | O_DIRECTORY);
    must(io_remove_tree(tmp_fd, strrchr(dir, '/') + 1, &err), &err);
    return 0;
}
