/* SPDX-License-Identifier: Apache-2.0 */
/* main_worker.c - build-worker: serves the HTTP API and builds what it queues; makes keys. */
#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/io.h"
#include "base/late_curl.h"
#include "base/map.h"
#include "cache/gc.h"
#include "cache/pin.h"
#include "worker/api/engine_builder.h"
#include "worker/api/serve.h"
#include "worker/cli/args.h"
#include "worker/environment.h"
#include "worker/rules/hosts.h"
#include "worker/settings.h"

/* 1980-01-01, the oldest time that a zip archive can hold; build-env's too, so that both make
 * the same bytes. */
#define SOURCE_EPOCH 315532800

static const struct cli_option common_options[] = {
    {"home", 0, "FOLDER", "the state folder, instead of $STRATA_HOME"},
    {"config", 0, "FILE", "read this configuration file too"},
    {"json", 0, NULL, "results as JSON"},
    {"verbose", 'v', NULL, "tell each request of the builds"},
    {"help", 'h', NULL, "show this"},
    {0},
};
static const struct cli_option serve_options[] = {
    {"listen", 'l', "ADDRESS:PORT", "where to listen; port 0: any"},
    {"jobs", 'j', "N", "builds at once; 0: only the API, others build"},
    {"drain-seconds", 0, "N", "how long builds may go on after SIGTERM"},
    {0},
};
static const struct cli_option key_options[] = {
    {"workspace", 'w', "NAME", "whose key it is"},
    {"name", 'n', "TEXT", "what it is for, for people"},
    {"quiet", 'q', NULL, "print the key alone"},
    {0},
};

struct program {
    struct cli_args args;
    struct settings *settings;
    struct log log;
    uv_loop_t loop;   /* the API's */
    uv_loop_t builds; /* the engine's, with a thread of its own while it serves */
    struct engine engine;
    struct builder *builder;
    json_t *domains;
    /* Collecting. */
    uv_timer_t gc_timer;
    uv_work_t gc_task;
    bool gc_runs, gc_open;
    struct gc_report gc_report;
    struct err gc_err;
};

/* ---- settings ---- */

static bool load_settings(struct program *p, struct settings **out, struct err *err)
{
    static const struct {
        const char *flag, *key;
    } flags[] = {{"home", "home"},
                 {"listen", "listen"},
                 {"jobs", "jobs"},
                 {"drain-seconds", "drain_seconds"}};
    if (!settings_load(out, cli_value(&p->args, "config"), err))
        return false;
    for (size_t i = 0; i < COUNT(flags); i++) {
        const char *value = cli_value(&p->args, flags[i].flag);
        char from[40];
        snprintf(from, sizeof(from), "--%s", flags[i].flag);
        if (value && !settings_override(*out, flags[i].key, value, from, err)) {
            settings_free(TAKE(*out));
            return false;
        }
    }
    return true;
}

static const char *home_of(const struct program *p)
{
    return settings_str(p->settings, "home");
}

/* "127.0.0.1:80", "[::1]:80", ":80" (all of IPv4). */
static bool split_listen(const char *text, char address[64], uint16_t *port, struct err *err)
{
    struct span host, number;
    uint64_t n;
    if (!span_cut_last_char(span_str(text), ':', &host, &number) || !span_to_u64(number, &n) ||
        n > 65535)
        return err_set(err, ERR_USAGE, "listen: \"%.80s\" is not ADDRESS:PORT", text);
    if (span_starts(host, SPAN("[")) && span_ends(host, SPAN("]")))
        host = span_slice(host, 1, host.len - 1);
    if (span_eq(host, SPAN("localhost")))
        host = SPAN("127.0.0.1");
    snprintf(address, 64, "%.*s", SPAN_ARG(host.len ? host : SPAN("0.0.0.0")));
    *port = (uint16_t)n;
    return true;
}

static char *db_path(const struct program *p, struct err *err)
{
    /* The store knows the folder and makes it. */
    struct store *s = NULL;
    if (!store_open(&s, home_of(p), err))
        return NULL;
    char *path = mem_printf("%s/worker.db", store_path(s));
    store_close(s);
    return path;
}

/* ---- pins: the store is told again what the state says ---- */

struct sync {
    struct store *store;
    struct map names;
    struct arena *arena;
    size_t lost;
};

static bool sync_pin(void *ctx, const char *name, const char *artifact)
{
    struct sync *s = ctx;
    struct digest digest, held;
    struct err ignored;
    struct span kept = arena_span(s->arena, span_str(name));
    map_put(&s->names, kept, s);
    if (!digest_parse(span_str(artifact), &digest))
        return true;
    if (store_pin_get(s->store, kept, &held) && digest_eq(&held, &digest))
        return true;
    s->lost += !store_pin_put(s->store, kept, &digest, &ignored);
    return true;
}

/* A process that died between the two databases leaves a hold that nobody knows. */
static bool sync_pins(struct program *p, const char *db, struct err *err)
{
    struct state state;
    json_t *held = NULL;
    AUTO_ARENA struct arena *arena = arena_new();
    struct sync s = {.store = p->engine.store, .arena = arena};
    if (!state_open(&state, db, false, NULL, err))
        return false;
    bool ok = pin_each(&state, sync_pin, &s, err) && store_pin_list(s.store, &held, err);
    state_close(&state);
    size_t i;
    json_t *pin;
    json_array_foreach (held, i, pin) {
        struct span owner = json_get_span(pin, "owner");
        struct err ignored;
        if (ok && span_starts(owner, SPAN("session/")) && !map_has(&s.names, owner))
            store_pin_drop(s.store, owner, &ignored);
    }
    if (s.lost)
        log_line(&p->log, LOG_WARN, "%zu pinned artifacts are not in the store any more", s.lost);
    json_decref(held);
    map_release(&s.names);
    return ok;
}

/* ---- collecting ---- */

static void gc_work(uv_work_t *t)
{
    struct program *p = container_of(t, struct program, gc_task);
    struct gc_options o = {
        .grace_ms = settings_int(p->settings, "gc_grace_hours") * 3600 * 1000,
        .keep_bytes = (uint64_t)settings_int(p->settings, "gc_keep_bytes"),
    };
    err_clear(&p->gc_err);
    store_gc(p->engine.store, &o, &p->gc_report, &p->gc_err);
}

static void gc_done(uv_work_t *t, int status)
{
    struct program *p = container_of(t, struct program, gc_task);
    (void)status; /* never cancelled */
    p->gc_runs = false;
    if (p->gc_err.code)
        log_line(&p->log, LOG_ERROR, "collecting: %s", p->gc_err.text);
    else if (p->gc_report.removed_blobs)
        log_line(&p->log, LOG_INFO, "collected %llu blobs, %llu bytes",
                 (unsigned long long)p->gc_report.removed_blobs,
                 (unsigned long long)p->gc_report.removed_bytes);
    json_decref(TAKE(p->gc_report.removed));
}

static void on_gc_timer(uv_timer_t *t)
{
    struct program *p = container_of(t, struct program, gc_timer);
    if (p->gc_runs)
        return;
    p->gc_runs = true;
    uv_queue_work(&p->loop, &p->gc_task, gc_work, gc_done);
}

static void start_gc(struct program *p)
{
    uint64_t ms = (uint64_t)settings_int(p->settings, "gc_minutes") * 60000;
    uv_timer_init(&p->loop, &p->gc_timer);
    p->gc_open = true;
    if (ms)
        uv_timer_start(&p->gc_timer, on_gc_timer, ms, ms);
}

/* ---- serve ---- */

/* Tells systemd, when it asked to be told (sd_notify(3)). */
static void notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(to.sun_path))
        return;
    AUTO_FD int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(to.sun_path, path, strlen(path) + 1);
    if (path[0] == '@')
        to.sun_path[0] = '\0';
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (fd >= 0)
        sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&to, size);
}

static void on_ready(void *ctx, const char *address, uint16_t port, bool has_keys)
{
    struct program *p = ctx;
    bool v6 = strchr(address, ':') != NULL;
    log_line(&p->log, LOG_INFO, "listening on http://%s%s%s:%u/%s", v6 ? "[" : "", address,
             v6 ? "]" : "", port,
             has_keys ? "" : " (no API key is configured: this machine only, no key needed)");
    notify("READY=1");
}

static bool on_reload(void *ctx, struct serve_settings *out, struct err *err)
{
    struct program *p = ctx;
    struct settings *fresh = NULL;
    if (!load_settings(p, &fresh, err))
        return false;
    json_t *domains = host_list(settings_str(fresh, "platform_domains"), "platform_domains", err);
    if (!domains) {
        settings_free(fresh);
        return false;
    }
    json_decref(p->domains);
    p->domains = domains;
    out->jobs = (unsigned)settings_int(fresh, "jobs");
    out->platform_domains = domains;
    settings_free(fresh);
    builder_engine_reload(p->builder);
    return true;
}

static bool fill_serve(struct program *p, char address[64], struct serve_options *o,
                       struct err *err)
{
    const struct settings *s = p->settings;
    uint16_t port = 0;
    if (!split_listen(settings_str(s, "listen"), address, &port, err) ||
        !(p->domains = host_list(settings_str(s, "platform_domains"), "platform_domains", err)))
        return false;
    o->server = (struct server_options){
        .address = address,
        .port = port,
        .max_body = (size_t)settings_int(s, "max_body_bytes"),
        .max_header = (size_t)settings_int(s, "max_header_bytes"),
        .idle_s = (unsigned)settings_int(s, "idle_seconds"),
        .receive_ms = settings_int(s, "receive_seconds") * 1000,
        .max_connections = (unsigned)settings_int(s, "max_connections"),
        .max_connections_address = (unsigned)settings_int(s, "max_connections_address"),
    };
    o->queue = (struct queue_options){
        .lease_ms = settings_int(s, "lease_seconds") * 1000,
        .max_attempts = (int)settings_int(s, "max_attempts"),
        .max_queued = settings_int(s, "max_queued"),
        .max_queued_workspace = settings_int(s, "max_queued_workspace"),
        .max_running_workspace = settings_int(s, "max_running_workspace"),
    };
    o->settings = (struct serve_settings){.jobs = (unsigned)settings_int(s, "jobs"),
                                          .platform_domains = p->domains};
    o->drain_ms = settings_int(s, "drain_seconds") * 1000;
    o->keep_ms = settings_int(s, "keep_days") * 24 * 3600 * 1000;
    o->check_spec = environment_check_spec;
    o->log = &p->log;
    o->ready = on_ready;
    o->reload = on_reload;
    o->ctx = p;
    return true;
}

static void open_builder(struct program *p, const struct discovery_options *discovery)
{
    const char *compression = settings_str(p->settings, "compression");
    struct builder_engine_options o = {
        .compression =
            compression && strcmp(compression, "gzip") == 0 ? COMPRESS_GZIP : COMPRESS_ZSTD,
        .bytecode = settings_bool(p->settings, "bytecode"),
        .offline = settings_bool(p->settings, "offline"),
        .source_date_epoch = SOURCE_EPOCH,
        .discovery = discovery,
    };
    p->builder = builder_engine_new(&p->loop, &p->engine, &o);
}

static bool serve_in(struct program *p, struct err *err)
{
    char address[64];
    struct serve_options o = {0};
    struct discovery_options discovery = {
        .configured = settings_registries(p->settings),
        .configured_from = settings_registries_from(p->settings),
    };
    struct engine_options engine = {
        .home = home_of(p),
        .script_ms = settings_int(p->settings, "script_seconds") * 1000,
        .threads = (unsigned)settings_int(p->settings, "threads"),
        .offline = settings_bool(p->settings, "offline"),
        .log = &p->log,
        .discovery = &discovery,
    };
    /* A request is no place to find out that the machine lacks a library. */
    if (!late_curl_load(err) || !fill_serve(p, address, &o, err) ||
        !engine_open(&p->engine, &p->builds, &engine, err))
        return false;
    discovery.store = p->engine.store;
    AUTO_FREE char *db = mem_printf("%s/worker.db", store_path(p->engine.store));
    o.db = db;
    open_builder(p, &discovery);
    start_gc(p);
    /* The file and its tables are made before the pins are compared. */
    bool ok = sync_pins(p, db, err) && serve_run(&p->loop, p->builder, &o, err);
    if (p->gc_open)
        uv_close((uv_handle_t *)&p->gc_timer, NULL);
    while (p->gc_runs)
        uv_run(&p->loop, UV_RUN_ONCE);
    builder_engine_free(p->builder);
    engine_close(&p->engine);
    return ok;
}

static int serve(struct program *p)
{
    struct err err = {0};
    uv_loop_init(&p->loop);
    uv_loop_init(&p->builds);
    p->log = (struct log){.level = cli_flag(&p->args, "verbose") ? LOG_DEBUG : LOG_INFO};
    bool ok = serve_in(p, &err);
    uv_run(&p->builds, UV_RUN_DEFAULT);
    uv_loop_close(&p->builds);
    uv_run(&p->loop, UV_RUN_DEFAULT);
    uv_loop_close(&p->loop);
    json_decref(p->domains);
    if (ok)
        return 0;
    fprintf(stderr, "build-worker: %s (%s)\n", err.text, err_code_name(err.code));
    return err_exit_status(err.code);
}

/* ---- keys ---- */

static void print_json(const json_t *value)
{
    AUTO_BUF struct buf text = BUF(64u << 20);
    json_pretty(value, &text);
    fputs(buf_cstr(&text), stdout);
}

static bool create_key(struct program *p, struct state *s, struct err *err)
{
    char text[KEY_TEXT_SIZE], id[JOB_ID_SIZE];
    const char *workspace = cli_value(&p->args, "workspace");
    if (!workspace)
        return err_set(err, ERR_USAGE, "key create needs --workspace NAME");
    if (!key_create(s, workspace, cli_value(&p->args, "name"), text, id, err))
        return false;
    AUTO_JSON json_t *o =
        json_pack("{s:s, s:s, s:s}", "id", id, "workspace", workspace, "key", text);
    if (cli_flag(&p->args, "json"))
        print_json(o);
    else if (cli_flag(&p->args, "quiet"))
        puts(text);
    else
        printf("key: %s\nid: %s\nworkspace: %s\nIt is shown this once; only its hash is kept.\n",
               text, id, workspace);
    return true;
}

static bool list_keys(struct program *p, struct state *s, struct err *err)
{
    AUTO_JSON json_t *list = NULL;
    size_t i;
    json_t *k;
    if (!key_list(s, cli_value(&p->args, "workspace"), &list, err))
        return false;
    if (cli_flag(&p->args, "json")) {
        print_json(list);
        return true;
    }
    json_array_foreach (list, i, k) {
        const char *revoked = json_get_str(k, "revoked_at");
        printf("%s  %-20s  %s  %s  %s\n", json_get_str(k, "id"), json_get_str(k, "workspace"),
               json_get_str(k, "created_at"), revoked ? "revoked" : "live   ",
               json_get_str(k, "name"));
    }
    return true;
}

static bool revoke_keys(struct program *p, struct state *s, struct err *err)
{
    if (p->args.operands.n < 2)
        return err_set(err, ERR_USAGE, "key revoke needs the id of a key (key_...)");
    for (size_t i = 1; i < p->args.operands.n; i++) {
        if (!key_revoke(s, p->args.operands.v[i], err))
            return false;
        printf("%s is revoked\n", p->args.operands.v[i]);
    }
    return true;
}

static int key(struct program *p)
{
    struct err err = {0};
    struct state s = {0};
    const char *what = p->args.operands.n ? p->args.operands.v[0] : "";
    AUTO_FREE char *path = db_path(p, &err);
    bool ok = path && state_open(&s, path, false, NULL, &err);
    if (ok && strcmp(what, "create") == 0)
        ok = create_key(p, &s, &err);
    else if (ok && strcmp(what, "list") == 0)
        ok = list_keys(p, &s, &err);
    else if (ok && strcmp(what, "revoke") == 0)
        ok = revoke_keys(p, &s, &err);
    else if (ok)
        ok = err_set(&err, ERR_USAGE, "key takes create, list or revoke");
    state_close(&s);
    if (ok)
        return 0;
    fprintf(stderr, "build-worker: %s (%s)\n", err.text, err_code_name(err.code));
    return err_exit_status(err.code);
}

/* ---- main ---- */

static const struct command {
    const char *name, *operands, *summary;
    const struct cli_option *options;
    int (*run)(struct program *p);
} commands[] = {
    {"serve", "", "take builds over HTTP, and build them", serve_options, serve},
    {"key", "create|list|revoke [ID…]", "API keys of workspaces", key_options, key},
};

static void print_options(const struct cli_option *o)
{
    for (; o->name; o++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s%s%s", o->name, o->argument ? " " : "",
                 o->argument ? o->argument : "");
        printf("    %-26s %s\n", left, o->help);
    }
}

static int usage(FILE *to)
{
    fputs("usage: build-worker COMMAND [OPTION…]\n\n", to);
    if (to == stderr) {
        fputs("commands: serve, key create, key list, key revoke; build-worker --help tells "
              "more\n",
              to);
        return err_exit_status(ERR_USAGE);
    }
    for (size_t i = 0; i < COUNT(commands); i++) {
        printf("  %s %s\n    %s\n", commands[i].name, commands[i].operands, commands[i].summary);
        print_options(commands[i].options);
    }
    printf("  options of all\n");
    print_options(common_options);
    return 0;
}

int main(int argc, char **argv)
{
    struct program p = {0};
    struct err err = {0};
    const struct command *command = NULL;
    const char *name = argc > 1 ? argv[1] : "";
    signal(SIGPIPE, SIG_IGN);
    fault_arm_from_env();
    if (strcmp(name, "--version") == 0) {
        puts("build-worker " STRATA_VERSION);
        return 0;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
        return usage(stdout);
    for (size_t i = 0; i < COUNT(commands); i++)
        if (strcmp(name, commands[i].name) == 0)
            command = &commands[i];
    if (!command)
        return usage(stderr);
    const struct cli_option *tables[] = {common_options, command->options, NULL};
    int status;
    if (!cli_parse(&p.args, tables, argc - 2, (const char *const *)argv + 2, &err) ||
        (!cli_flag(&p.args, "help") && !load_settings(&p, &p.settings, &err))) {
        fprintf(stderr, "build-worker: %s: %s (%s)\n", name, err.text, err_code_name(err.code));
        status = err_exit_status(err.code);
    } else {
        status = cli_flag(&p.args, "help") ? usage(stdout) : command->run(&p);
    }
    settings_free(p.settings);
    cli_args_release(&p.args);
    return status;
}
