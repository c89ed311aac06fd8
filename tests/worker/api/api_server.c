/* SPDX-License-Identifier: Apache-2.0 */
/* api_server.c - the worker's API over the test double, for scripts: prints its port, serves
 * until SIGTERM. Usage: api_server DB [--jobs N] [--key WORKSPACE]... [--attempts N]
 * [--receive-ms N] [--queued N] [--port N]; each --key makes a key and prints it. */
#include <signal.h>

#include "base/fault.h"
#include "base/mem.h"
#include "tests/worker/api/double.h"
#include "worker/api/serve.h"

static bool check_spec(const char *manager, struct span spec, struct err *err)
{
    (void)manager;
    return span_find(spec, SPAN("= =")) == spec.len
               ? true
               : err_set(err, ERR_INVALID, "offset %zu: a version is expected",
                         span_find(spec, SPAN("= =")));
}

static void ready(void *ctx, const char *address, uint16_t port, bool keys)
{
    (void)ctx, (void)address;
    printf("port %u keys %d\n", port, keys);
    fflush(stdout);
}

static void make_key(const char *db, const char *workspace)
{
    struct state s;
    struct err err = {0};
    char text[KEY_TEXT_SIZE], id[JOB_ID_SIZE];
    if (!state_open(&s, db, false, NULL, &err) ||
        !key_create(&s, workspace, NULL, text, id, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    printf("key %s %s\n", text, id);
    state_close(&s);
}

int main(int argc, char **argv)
{
    struct log log = {.level = LOG_INFO};
    AUTO_JSON json_t *domains = json_pack("[s]", "platform.example.com");
    struct serve_options o = {.check_spec = check_spec,
                              .db = argc > 1 ? argv[1] : "",
                              .settings = {.jobs = 2, .platform_domains = domains},
                              .server = {.address = "127.0.0.1"},
                              .queue = {.backoff_first_ms = 50},
                              .drain_ms = 2000,
                              .log = &log,
                              .ready = ready};
    for (int i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--jobs") == 0)
            o.settings.jobs = (unsigned)atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--attempts") == 0)
            o.queue.max_attempts = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--queued") == 0)
            o.queue.max_queued_workspace = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--lease-ms") == 0)
            o.queue.lease_ms = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--port") == 0)
            o.server.port = (uint16_t)atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--receive-ms") == 0)
            o.server.receive_ms = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--key") == 0)
            make_key(o.db, argv[i + 1]);
    }
    fault_arm_from_env();
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct builder *b = double_new(&loop);
    struct err err = {0};
    bool ok = serve_run(&loop, b, &o, &err);
    if (!ok)
        fprintf(stderr, "%s\n", err.text);
    double_free(b);
    while (uv_run(&loop, UV_RUN_NOWAIT))
        ;
    return uv_loop_close(&loop) == 0 && ok ? 0 : 1;
}
