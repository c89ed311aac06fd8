/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/engine.h"

static bool find_credentials(void *ctx, const char *url, struct buf *out)
{
    const struct engine *e = ctx;
    return e->discovery && discovery_credentials(e->discovery, url, out);
}

bool engine_open(struct engine *e, uv_loop_t *loop, const struct engine_options *options,
                 struct err *err)
{
    *e = (struct engine){.loop = loop, .options = *options, .log = options->log};
    if (!store_open(&e->store, options->home, err))
        return false;
    struct http_options http = {
        .log = options->log,
        .user_agent = "strata/0.1",
        .offline = options->offline,
        .credentials = find_credentials,
        .credentials_ctx = e,
    };
    e->http = http_client_new(loop, &http, err);
    if (!e->http) {
        store_close(TAKE(e->store));
        return false;
    }
    e->pool = pool_new(loop, options->threads);
    return true;
}

void engine_close(struct engine *e)
{
    http_client_free(TAKE(e->http));
    pool_free(TAKE(e->pool));
    discovery_free(TAKE(e->discovery));
    platform_free(TAKE(e->host));
    store_close(TAKE(e->store));
}

const struct discovery *engine_discover(struct engine *e, struct err *err)
{
    if (!e->discovery)
        discovery_open(&e->discovery, e->store, e->options.discovery, err);
    return e->discovery;
}

const struct platform *engine_host_platform(struct engine *e, struct err *err)
{
    if (!e->host)
        platform_probe(&e->host, e->store, err);
    return e->host;
}
