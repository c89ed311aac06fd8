/* SPDX-License-Identifier: Apache-2.0 */
/* serve.h - the life of a worker: opens the state, serves, drains, ends.
 *
 *   SIGTERM, SIGINT   no new builds are taken, what runs may end within drain_ms and is then
 *                     handed back to the queue; a second one hands back at once
 *   SIGHUP            reload() is asked for new settings
 *
 * The API answers while the worker drains; then the process ends.
 *
 * Ownership: the caller's builder and options outlive serve_run.
 * Units:     milliseconds.
 * Errors:    false + err when it cannot start.
 * Threads:   loop thread. */
#ifndef STRATA_WORKER_API_SERVE_H
#define STRATA_WORKER_API_SERVE_H

#include "worker/api/api.h"

struct serve_settings { /* may change while it runs */
    unsigned jobs;
    const json_t *platform_domains; /* NULL: none */
};

struct serve_options {
    const char *db; /* path of the state's file */
    struct server_options server;
    struct queue_options queue;
    struct serve_settings settings;
    int64_t drain_ms; /* 0: 20 s */
    int64_t keep_ms;  /* ended builds; 0: for ever */
    spec_check *check_spec;
    const struct log *log;
    /* Called once requests are taken; may be NULL. */
    void (*ready)(void *ctx, const char *address, uint16_t port, bool has_keys);
    /* On SIGHUP; false keeps what is in force. May be NULL. */
    bool (*reload)(void *ctx, struct serve_settings *out, struct err *err);
    void *ctx;
};

/* Runs the loop until the worker was told to end. */
bool serve_run(uv_loop_t *loop, struct builder *builder, const struct serve_options *options,
               struct err *err);

#endif
