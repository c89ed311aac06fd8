/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/api/serve.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"

struct serve {
    uv_loop_t *loop;
    const struct serve_options *o;
    struct db *db;
    struct runner *runner;
    struct api *api;
    uv_signal_t signals[3];
    char worker[JOB_WORKER_SIZE];
    const char *address; /* what is listened on */
    bool draining;
};

static bool is_loopback_address(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

/* Opened only to ask; the file may not be there yet. */
static bool has_keys(const struct serve_options *o, bool *any, struct err *err)
{
    struct state s;
    if (!state_open(&s, o->db, false, &o->queue, err))
        return false;
    bool ok = key_any(&s, any, err);
    state_close(&s);
    return ok;
}

static void shut(struct serve *s)
{
    for (size_t i = 0; i < COUNT(s->signals); i++)
        uv_close((uv_handle_t *)&s->signals[i], NULL);
    runner_free(TAKE(s->runner));
    db_free(TAKE(s->db));
    api_free(TAKE(s->api));
}

static void on_drained(void *ctx)
{
    struct serve *s = ctx;
    log_line(s->o->log, LOG_INFO, "drained; the worker ends");
    uv_stop(s->loop);
}

static void drain(struct serve *s)
{
    int64_t ms = s->draining ? 0 : s->o->drain_ms ? s->o->drain_ms : 20000;
    if (!s->draining)
        log_line(s->o->log, LOG_INFO,
                 "draining: no new builds; what runs may end within %lld s, then goes back to "
                 "the queue",
                 (long long)ms / 1000);
    s->draining = true;
    runner_drain(s->runner, ms, on_drained, s);
}

static void reload(struct serve *s)
{
    struct serve_settings fresh = s->o->settings;
    struct err err = {0};
    if (!s->o->reload)
        return;
    if (!s->o->reload(s->o->ctx, &fresh, &err)) {
        log_line(s->o->log, LOG_ERROR, "reload: %s; what was in force stays", err.text);
        return;
    }
    runner_set_jobs(s->runner, fresh.jobs);
    api_reconfigure(s->api, fresh.platform_domains);
    log_line(s->o->log, LOG_INFO, "settings reloaded");
}

static void on_signal(uv_signal_t *h, int number)
{
    struct serve *s = h->data;
    if (number == SIGHUP)
        reload(s);
    else
        drain(s);
}

/* Each waiting client is a descriptor. */
static void raise_file_limit(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max < 65536 ? l.rlim_max : 65536;
        setrlimit(RLIMIT_NOFILE, &l);
    }
}

static void name_worker(struct serve *s)
{
    char host[40] = "host";
    gethostname(host, sizeof(host) - 1);
    char id[JOB_ID_SIZE];
    queue_new_id("", id, sizeof(id));
    snprintf(s->worker, sizeof(s->worker), "%.39s:%d:%.8s", host, (int)getpid(), id);
}

static bool settle(void *ctx, struct err *err)
{
    struct builder *b = ctx;
    return b->ops->settle(b, err);
}

static bool start(struct serve *s, struct builder *builder, bool keys, struct err *err)
{
    const struct serve_options *o = s->o;
    struct api_options api = {.server = o->server,
                              .check_spec = o->check_spec,
                              .platform_domains = o->settings.platform_domains,
                              .log = o->log};
    if (!keys && !is_loopback_address(api.server.address)) {
        log_line(o->log, LOG_WARN,
                 "no API key is configured: listening on 127.0.0.1 only, not on %s; make a key "
                 "with `build-worker key create --workspace NAME` and start again",
                 api.server.address);
        api.server.address = "127.0.0.1";
    }
    s->address = api.server.address;
    s->db = db_open(s->loop, o->db, &o->queue, err);
    if (!s->db)
        return false;
    db_before_commit(s->db, settle, builder);
    struct runner_options runner = {
        .jobs = o->settings.jobs, .worker = s->worker, .keep_ms = o->keep_ms, .log = o->log};
    s->runner = runner_new(s->loop, s->db, builder, &runner);
    s->api = api_new(s->loop, s->db, s->runner, builder, &api, err);
    return s->api != NULL;
}

bool serve_run(uv_loop_t *loop, struct builder *builder, const struct serve_options *options,
               struct err *err)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    struct serve s = {.loop = loop, .o = options};
    bool keys = false;
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    name_worker(&s);
    if (!has_keys(options, &keys, err))
        return false;
    for (size_t i = 0; i < COUNT(numbers); i++) {
        uv_signal_init(loop, &s.signals[i]);
        s.signals[i].data = &s;
        uv_signal_start(&s.signals[i], on_signal, numbers[i]);
    }
    bool ok = start(&s, builder, keys, err);
    if (ok) {
        if (options->ready)
            options->ready(options->ctx, s.address, api_port(s.api), keys);
        uv_run(loop, UV_RUN_DEFAULT);
    }
    shut(&s);
    /* Handles close in turn; what is the builder's stays open until its owner closes it. */
    for (int i = 0; i < 4; i++)
        uv_run(loop, UV_RUN_NOWAIT);
    return ok;
}
