/* SPDX-License-Identifier: Apache-2.0 */
/* Resolves npm specs and prints npm's part of the lock, for npm_compare.py:
 *
 *     npm_lock [--registry URL] [--home DIR] [--offline] [--times N] SPEC...
 *
 * Without --registry the machine's own is used. --times N resolves N times with one store and
 * tells on stderr how long each took. Exit status as build-env's. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "cache/store.h"
#include "resolvers/discover.h"
#include "resolvers/platform.h"
#include "resolvers/resolver.h"

struct run {
    uv_loop_t loop;
    struct pool *pool;
    struct store *store;
    struct platform *platform;
    struct discovery *discovery;
    const struct registry *registry;
    bool offline;
    struct resolve_job job;
    size_t chosen;
};

static void on_choose(struct resolve_job *job, const json_t *package, const char *url)
{
    struct run *r = job->ctx;
    (void)package, (void)url;
    r->chosen++;
}

/* Idle connections would keep the loop running for a while. */
static void on_done(struct resolve_job *job)
{
    uv_stop(job->loop);
}

/* One resolution with connections of its own. */
static bool resolve(struct run *r, const char *const *specs, size_t n, struct err *err)
{
    struct http_options http_options = {.user_agent = "strata-test", .offline = r->offline};
    struct registry_options options = {.offline = r->offline};
    if (r->discovery) {
        http_options.credentials = credentials_lookup;
        http_options.credentials_ctx = discovery_credentials(r->discovery);
    }
    struct http_client *http = http_client_new(&r->loop, &http_options, err);
    if (!http)
        return false;
    struct registry_client *client =
        registry_client_new(&r->loop, http, r->store, r->pool, r->registry, &options, NULL);
    r->chosen = 0;
    r->job = (struct resolve_job){.specs = specs,
                                  .spec_count = n,
                                  .platform = r->platform,
                                  .registry = client,
                                  .loop = &r->loop,
                                  .pool = r->pool,
                                  .choose = on_choose,
                                  .done = on_done,
                                  .ctx = r};
    resolver_npm.resolve(&r->job);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    registry_client_free(client);
    http_client_free(http);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    *err = r->job.err;
    return !err->code;
}

static void print(const struct run *r)
{
    AUTO_BUF struct buf text = BUF(256u << 20);
    size_t i;
    json_t *w;
    json_pretty(r->job.lock, &text);
    fwrite(buf_cstr(&text), 1, text.len, stdout);
    json_array_foreach (r->job.warnings, i, w)
        fprintf(stderr, "warning: %s\n", json_string_value(w));
}

static int fail(const struct err *err)
{
    fprintf(stderr, "%s (%s)\n", err->text, err_code_name(err->code));
    return err_exit_status(err->code);
}

static int run(struct run *r, char **argv, int argc, int at, const char *url, int times)
{
    struct err err = {0};
    struct registry own = {.manager = "npm", .urls = &url, .url_count = 1, .from = "--registry"};
    for (int i = at; i < argc; i++)
        if (!resolver_npm.parse(span_str(argv[i]), &err))
            return fail(&err);
    if (url) {
        r->registry = &own;
    } else {
        struct discovery_options options = {0};
        r->discovery = discovery_new(&options);
        r->registry = discovery_registry(r->discovery, "npm", &err);
    }
    if (!r->registry)
        return fail(&err);
    struct platform_options host = {0};
    platform_probe(&host, &r->platform, NULL);
    for (int i = 0; i < times; i++) {
        uint64_t from = uv_hrtime();
        json_decref(r->job.lock);
        json_decref(r->job.warnings);
        if (!resolve(r, (const char *const *)argv + at, (size_t)(argc - at), &err))
            return fail(&err);
        if (times > 1)
            fprintf(stderr, "%.1f ms, %zu announced, %zu packages\n",
                    (double)(uv_hrtime() - from) / 1e6, r->chosen,
                    json_array_size(json_object_get(r->job.lock, "packages")));
    }
    print(r);
    return 0;
}

int main(int argc, char **argv)
{
    struct run r = {0};
    struct err err = {0};
    const char *url = NULL, *home = NULL, *tmp = getenv("TMPDIR");
    AUTO_FREE char *fresh = mem_printf("%s/npm-lock-XXXXXX", tmp ? tmp : "/tmp");
    int at = 1, times = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--offline") == 0)
            r.offline = true;
        else if (at + 1 < argc && strcmp(argv[at], "--registry") == 0)
            url = argv[++at];
        else if (at + 1 < argc && strcmp(argv[at], "--home") == 0)
            home = argv[++at];
        else if (at + 1 < argc && strcmp(argv[at], "--times") == 0)
            times = (int)strtol(argv[++at], NULL, 10);
        else
            break;
    }
    uv_loop_init(&r.loop);
    r.pool = pool_new(&r.loop, 0);
    if (!home && !mkdtemp(fresh)) {
        err_sys(&err, "%s", fresh);
        return fail(&err);
    }
    if (!store_open(&r.store, home ? home : fresh, &err))
        return fail(&err);
    int status = run(&r, argv, argc, at, url, times);
    json_decref(r.job.lock);
    json_decref(r.job.warnings);
    pool_close(r.pool);
    uv_run(&r.loop, UV_RUN_DEFAULT);
    uv_loop_close(&r.loop);
    discovery_free(r.discovery);
    platform_free(r.platform);
    store_close(r.store);
    if (!home && !io_remove_tree(AT_FDCWD, fresh, &err))
        return fail(&err);
    return status;
}
