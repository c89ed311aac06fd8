/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/engine.h"

#include <stdlib.h>

#define CLOSE_WAIT_MS 2000

bool engine_open(struct engine *e, uv_loop_t *loop, const struct engine_options *options,
                 struct err *err)
{
    *e = (struct engine){.loop = loop, .options = *options, .log = options->log};
    if (!store_open(&e->store, options->home, err))
        return false;
    e->pool = pool_new(loop, options->threads);
    e->packer = packer_new(e->pool);
    return true;
}

/* What was handed to the pool is told of, or what it holds would be lost with it. */
static void settle(struct engine *e)
{
    for (int ms = 0; ms < CLOSE_WAIT_MS && !pool_idle(e->pool); ms++)
        if (!uv_run(e->loop, UV_RUN_NOWAIT) || !pool_idle(e->pool))
            uv_sleep(1);
}

void engine_close(struct engine *e)
{
    settle(e);
    for (size_t i = 0; i < e->http.n; i++)
        http_client_free(e->http.v[i].value);
    map_release(&e->http);
    pool_close(TAKE(e->pool));
    packer_free(TAKE(e->packer));
    discovery_free(TAKE(e->discovery));
    platform_free(TAKE(e->host));
    sandbox_host_free(TAKE(e->sandbox_host));
    store_close(TAKE(e->store));
}

struct engine engine_view(struct engine *e, const struct log *log)
{
    return (struct engine){.loop = e->loop,
                           .pool = e->pool,
                           .packer = e->packer,
                           .store = e->store,
                           .owner = e,
                           .log = log,
                           .options = e->options};
}

/* Where what is made when first asked for is kept. */
static struct engine *keeper_of(struct engine *e)
{
    return e->owner ? e->owner : e;
}

struct http_client *engine_http(struct engine *e, const char *ca_file, struct err *err)
{
    e = keeper_of(e);
    struct http_client *http = map_get(&e->http, span_str(ca_file));
    if (http)
        return http;
    struct http_options options = {
        .log = e->log,
        .user_agent = "strata/" STRATA_VERSION,
        .offline = e->options.offline,
        .ca_file = ca_file,
        .extra_ca_file = getenv("NODE_EXTRA_CA_CERTS"),
        .credentials = credentials_lookup,
        .credentials_ctx = discovery_credentials(engine_discovery(e)),
    };
    http = http_client_new(e->loop, &options, err);
    /* The discovery, whose string it is, lives as long. */
    if (http)
        map_put(&e->http, span_str(ca_file), http);
    return http;
}

struct discovery *engine_discovery(struct engine *e)
{
    e = keeper_of(e);
    if (!e->discovery) {
        struct discovery_options options = {0};
        if (e->options.discovery)
            options = *e->options.discovery;
        options.store = e->store;
        e->discovery = discovery_new(&options);
    }
    return e->discovery;
}

const struct platform *engine_host_platform(struct engine *e)
{
    e = keeper_of(e);
    if (!e->host) {
        struct platform_options options = {.store = e->store};
        platform_probe(&options, &e->host, NULL);
    }
    return e->host;
}

const struct sandbox_host *engine_sandbox_host(struct engine *e, struct err *err)
{
    e = keeper_of(e);
    if (!e->sandbox_host)
        e->sandbox_host = sandbox_host_new(store_path(e->store), err);
    return e->sandbox_host && sandbox_host_usable(e->sandbox_host, err) ? e->sandbox_host : NULL;
}
