/* SPDX-License-Identifier: Apache-2.0 */
/* How long a sandbox takes from start to command and to its end, and a run to its end. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "worker/mount/run.h"
#include "worker/sandbox/sandbox.h"

#define LAYERS 60
#define ROUNDS 40

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print(const char *what, double *ms)
{
    qsort(ms, ROUNDS, sizeof(*ms), by_value);
    printf("%-40s min %6.2f  median %6.2f ms\n", what, ms[0], ms[ROUNDS / 2]);
}

static const char *const just_true[] = {"true", NULL};

static void on_done(void *ctx, const struct sandbox_result *result)
{
    *(struct sandbox_result *)ctx = *result;
}

static bool bench_sandbox(const struct sandbox_host *host, const char *const *dirs, size_t n,
                          struct err *err)
{
    double start[ROUNDS], whole[ROUNDS];
    uv_loop_t loop;
    struct sandbox_result result;
    struct sandbox_spec spec = {.host = host,
                                .loop = &loop,
                                .argv = just_true,
                                .lower_dirs = dirs,
                                .lower_count = n,
                                .on_done = on_done,
                                .ctx = &result};
    if (uv_loop_init(&loop))
        return err_set(err, ERR_INTERNAL, "loop");
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t from = uv_hrtime();
        if (!sandbox_start(&spec, err))
            return false;
        uv_run(&loop, UV_RUN_DEFAULT);
        whole[i] = (double)(uv_hrtime() - from) / 1e6;
        start[i] = (double)result.setup_us / 1e3;
        if (result.err.code)
            return *err = result.err, false;
    }
    printf("sandbox over this machine, %zu layers\n", n);
    print("  start to command", start);
    print("  start to end of `true`", whole);
    return uv_loop_close(&loop) == 0;
}

static bool bench_run(const char *const *dirs, size_t n, struct err *err)
{
    double whole[ROUNDS];
    struct run_spec spec = {.lower_dirs = dirs, .lower_count = n, .argv = just_true};
    for (int i = 0; i < ROUNDS; i++) {
        int status;
        uint64_t from = uv_hrtime();
        if (!run_command(&spec, &status, err))
            return false;
        whole[i] = (double)(uv_hrtime() - from) / 1e6;
    }
    printf("run over this machine, %zu layers\n", n);
    print("  start to end of `true`", whole);
    return true;
}

static bool make_layers(const char *home, char *dirs[LAYERS], struct err *err)
{
    for (int i = 0; i < LAYERS; i++) {
        dirs[i] = mem_printf("%s/l%d", home, i);
        AUTO_FREE char *inside = mem_printf("%s/opt/managed-env/p%d", dirs[i], i);
        if (!io_mkdirs(AT_FDCWD, inside, 0755, err))
            return false;
    }
    return true;
}

static bool bench_all(const char *home, struct err *err)
{
    char *dirs[LAYERS] = {NULL};
    const char *const *lower = (const char *const *)dirs;
    struct sandbox_host *host = sandbox_host_new(home, err);
    bool ok = host && sandbox_host_usable(host, err) && make_layers(home, dirs, err) &&
              bench_sandbox(host, lower, 0, err) && bench_sandbox(host, lower, LAYERS, err) &&
              bench_run(lower, LAYERS, err);
    for (int i = 0; i < LAYERS; i++)
        free(dirs[i]);
    sandbox_host_free(host);
    return ok;
}

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    AUTO_FREE char *home = mem_printf("%s/strata-bench-XXXXXX", tmp ? tmp : "/tmp");
    struct err err = {0};
    if (!mkdtemp(home))
        return perror(home), 1;
    bool ok = bench_all(home, &err);
    io_remove_tree(AT_FDCWD, home, NULL);
    if (!ok)
        fprintf(stderr, "error: %s\n", err.text);
    return !ok;
}
