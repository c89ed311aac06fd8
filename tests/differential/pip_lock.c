/* SPDX-License-Identifier: Apache-2.0 */
/* pip_lock [OPTION…] SPEC… - resolves Python packages with the registry that this machine's pip
 * uses and prints pip's part of the lock, for comparisons with other resolvers.
 *
 *   --store DIR      the state folder (default: a fresh one, removed afterwards)
 *   --times          says on stderr how long it took
 *   --repeat N       resolves N times in one process, with the store's caches warm
 *   --only-binary, --pre, --exclude-newer MS, --offline, --python PROGRAM
 * Exit status: that of build-env for the error. */
#include <ftw.h>
#include <getopt.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "resolvers/discover.h"
#include "resolvers/resolver.h"

struct run {
    uv_loop_t loop;
    struct resolve_job job;
    bool done;
};

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void done(struct resolve_job *job)
{
    struct run *run = job->ctx;
    run->done = true;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static int print(const struct resolve_job *job)
{
    AUTO_BUF struct buf text = BUF(64u << 20);
    if (!job->lock) {
        fprintf(stderr, "%s: %s\n", err_code_name(job->err.code), job->err.text);
        return err_exit_status(job->err.code);
    }
    json_pretty(job->lock, &text);
    fputs(buf_cstr(&text), stdout);
    return 0;
}

static int resolve_once(struct run *run, struct registry_client *registry,
                        const struct platform *platform, const struct policy *policy,
                        char *const *specs, size_t count, bool times, bool show)
{
    double from = now_ms(), cpu = cpu_ms();
    run->done = false;
    run->job = (struct resolve_job){.specs = (const char *const *)specs,
                                    .spec_count = count,
                                    .platform = platform,
                                    .policy = policy,
                                    .registry = registry,
                                    .loop = &run->loop,
                                    .done = done,
                                    .ctx = run};
    resolver_pip.resolve(&run->job);
    while (!run->done)
        uv_run(&run->loop, UV_RUN_ONCE);
    if (times)
        fprintf(stderr, "resolved in %.1f ms, %.1f ms of them on the processor\n", now_ms() - from,
                cpu_ms() - cpu);
    int status = 0;
    if (show)
        status = print(&run->job);
    size_t i;
    json_t *warning;
    if (show)
        json_array_foreach (run->job.warnings, i, warning) {
            fprintf(stderr, "warning: %s\n", json_string_value(warning));
        }
    json_decref(run->job.lock);
    json_decref(run->job.warnings);
    return status;
}

struct options {
    const char *store;
    bool times, offline, refresh;
    long repeat;
    struct policy policy;
    const char *python;
};

static bool parse_options(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"store", required_argument, NULL, 's'},  {"times", no_argument, NULL, 't'},
        {"repeat", required_argument, NULL, 'n'}, {"only-binary", no_argument, NULL, 'b'},
        {"pre", no_argument, NULL, 'p'},          {"exclude-newer", required_argument, NULL, 'x'},
        {"offline", no_argument, NULL, 'o'},      {"python", required_argument, NULL, 'y'},
        {"refresh", no_argument, NULL, 'r'},      {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (c) {
        case 's': o->store = optarg; break;
        case 't': o->times = true; break;
        case 'n': o->repeat = strtol(optarg, NULL, 10); break;
        case 'b': o->policy.only_binary = true; break;
        case 'p': o->policy.prerelease = true; break;
        case 'x': o->policy.exclude_newer_ms = strtoll(optarg, NULL, 10); break;
        case 'o': o->offline = true; break;
        case 'r': o->refresh = true; break;
        case 'y': o->python = optarg; break;
        default: return false;
        }
    }
    return true;
}

static struct platform *platform_of(const struct options *o, struct err *err)
{
    struct platform *host = NULL, *declared = NULL;
    platform_probe(&(struct platform_options){0}, &host, NULL);
    if (!o->python)
        return host;
    AUTO_JSON json_t *wanted = json_pack("{s:s}", "python", o->python);
    if (!platform_declare(wanted, host, &declared, err))
        declared = NULL;
    platform_free(host);
    return declared;
}

static int run_all(const struct options *o, struct store *store, char **specs, size_t count)
{
    struct err err = {0};
    struct run run = {0};
    struct discovery *d = discovery_new(&(struct discovery_options){.store = store});
    struct platform *platform = platform_of(o, &err);
    const struct registry *found = discovery_registry(d, "pip", &err);
    if (!platform || !found) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    uv_loop_init(&run.loop);
    struct pool *pool = pool_new(&run.loop, 0);
    struct http_options http_options = {.offline = o->offline,
                                        .credentials = credentials_lookup,
                                        .credentials_ctx = discovery_credentials(d)};
    struct http_client *http = http_client_new(&run.loop, &http_options, &err);
    struct registry_options options = {.offline = o->offline, .refresh = o->refresh};
    struct registry_client *registry =
        registry_client_new(&run.loop, http, store, pool, found, &options, NULL);
    int status = 0;
    for (long i = 0; i < o->repeat; i++)
        status = resolve_once(&run, registry, platform, &o->policy, specs, count, o->times,
                              i + 1 == o->repeat);
    registry_client_free(registry);
    http_client_free(http);
    pool_close(pool);
    uv_run(&run.loop, UV_RUN_DEFAULT);
    platform_free(platform);
    discovery_free(d);
    return status;
}

int main(int argc, char **argv)
{
    struct options o = {.repeat = 1};
    struct err err = {0};
    struct store *store;
    char fresh[4096] = "";
    if (!parse_options(argc, argv, &o) || optind == argc) {
        fprintf(stderr, "usage: pip_lock [OPTION]... SPEC...\n");
        return 2;
    }
    if (!o.store) {
        const char *tmp = getenv("TMPDIR");
        snprintf(fresh, sizeof(fresh), "%s/pip_lock-XXXXXX", tmp ? tmp : "/tmp");
        o.store = mkdtemp(fresh);
    }
    if (!store_open(&store, o.store, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    int status = run_all(&o, store, argv + optind, (size_t)(argc - optind));
    store_close(store);
    if (fresh[0])
        nftw(fresh, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return status;
}
