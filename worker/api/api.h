/* SPDX-License-Identifier: Apache-2.0 */
/* api.h - the worker's HTTP API: /v1, health, metrics, the dashboard and the contract.
 *
 * A call goes: route -> (reader thread) key, then the body's check, then what only reads ->
 * (writer thread) what writes -> answer. Calls that wait for a build are suspended meanwhile.
 *
 * Ownership: db, runner and builder outlive the api; texts and JSON in the options are copied.
 * Errors:    every one has a type, a code and a message; docs/api.md lists them.
 * Threads:   loop thread. */
#ifndef STRATA_WORKER_API_API_H
#define STRATA_WORKER_API_API_H

#include "worker/api/db.h"
#include "worker/api/runner.h"
#include "worker/api/server.h"
#include "worker/rules/config.h"

struct api;

struct api_options {
    struct server_options server; /* address, port and limits; the callbacks are the api's */
    spec_check *check_spec;
    const json_t *platform_domains; /* array of host names; NULL: none */
    const struct log *log;
};

struct api *api_new(uv_loop_t *loop, struct db *db, struct runner *runner, struct builder *builder,
                    const struct api_options *options, struct err *err);
void api_reconfigure(struct api *a, const json_t *platform_domains);
uint16_t api_port(const struct api *a);
void api_stop_listening(struct api *a);
void api_free(struct api *a); /* after db_free; then run the loop once more */

#endif
