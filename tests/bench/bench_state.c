/* SPDX-License-Identifier: Apache-2.0 */
/* bench_state.c - how list, create and pin slow down with the number of environments.
 * Usage: bench_state [ENVIRONMENTS] (default 1000000). Times are of the database's work alone,
 * medians of many, in microseconds; pins and creates without their commit. */
#include <fcntl.h>

#include "base/io.h"
#include "base/mem.h"
#include "worker/api/state.h"
#include "worker/rules/config.h"
#include "worker/rules/text.h"

#define ROUNDS 400

static void must(bool ok, const struct problem *p)
{
    if (!ok) {
        fprintf(stderr, "%s\n", p->err.text);
        exit(1);
    }
}

static bool hold(const char *name, const char *artifact, void *ctx, struct err *err)
{
    (void)name, (void)artifact, (void)ctx, (void)err;
    return true;
}

static json_t *policy(const json_t *config, void *ctx)
{
    (void)config, (void)ctx;
    return json_pack("{s:s}", "mode", "allow-all");
}

static void create(struct state *s, const char *workspace, const json_t *config, char id[40])
{
    struct problem p = {0};
    AUTO_JSON json_t *metadata = json_object();
    AUTO_JSON json_t *out = NULL;
    struct env_new n = {.name = "bench", .metadata = metadata, .config = config};
    must(env_create(s, workspace, &n, &out, &p), &p);
    snprintf(id, 40, "%s", json_get_str(out, "id"));
}

static int by_size(const void *a, const void *b)
{
    int64_t x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x < y ? -1 : x > y;
}

static void measure(struct state *s, const char *what, const json_t *config)
{
    static const char *const names[] = {"list", "create", "pin", "get pin"};
    int64_t times[4][ROUNDS];
    struct err err = {0};
    for (int i = 0; i < ROUNDS; i++) {
        struct problem p = {0};
        char env[40], session[40];
        AUTO_JSON json_t *list = NULL, *pin = NULL, *got = NULL;
        struct digest body = digest_of(SPAN("body"));
        snprintf(session, sizeof(session), "%s-%d", what, i);
        struct pin_new n = {
            .session = session, .env = env, .body = &body, .policy = policy, .hold = hold};
        struct state_page page = {.limit = 20};
        if (!sql_begin(s->db, &err))
            exit(1);
        int64_t t[5] = {text_now_us()};
        must(env_list(s, "w1", false, &page, &list, &p), &p);
        t[1] = text_now_us();
        create(s, "w1", config, env);
        t[2] = text_now_us();
        must(pin_put(s, "w1", &n, &pin, &p), &p);
        t[3] = text_now_us();
        must(pin_get(s, "w1", session, &got, &p), &p);
        t[4] = text_now_us();
        sql_commit(s->db, &err);
        for (int k = 0; k < 4; k++)
            times[k][i] = t[k + 1] - t[k];
    }
    printf("%-10s", what);
    for (int k = 0; k < 4; k++) {
        qsort(times[k], ROUNDS, sizeof(times[k][0]), by_size);
        printf("  %s %lld (p99 %lld)", names[k], (long long)times[k][ROUNDS / 2],
               (long long)times[k][ROUNDS * 99 / 100]);
    }
    printf(" us\n");
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 1000000;
    const char *tmp = getenv("TMPDIR");
    AUTO_FREE char *dir = mem_printf("%s/strata-bench-XXXXXX", tmp ? tmp : "/tmp");
    struct err err = {0};
    struct state s;
    if (!mkdtemp(dir))
        return 1;
    AUTO_FREE char *path = mem_printf("%s/worker.db", dir);
    if (!state_open(&s, path, false, NULL, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    AUTO_JSON json_t *config = config_default();
    measure(&s, "empty", config);
    for (int i = 0; i < count; i++) {
        char workspace[16], id[40];
        snprintf(workspace, sizeof(workspace), "w%d", i % 10);
        if (i % 1000 == 0 && !sql_begin(s.db, &err))
            return 1;
        create(&s, workspace, config, id);
        if (i % 1000 == 999 || i == count - 1)
            sql_commit(s.db, &err);
    }
    measure(&s, "full", config);
    state_close(&s);
    AUTO_FD int tmp_fd = open(tmp ? tmp : "/tmp", O_RDONLY | O_DIRECTORY);
    return io_remove_tree(tmp_fd, strrchr(dir, '/') + 1, &err) ? 0 : 1;
}
