/* SPDX-License-Identifier: Apache-2.0 */
/* remote.h - commands with --server: the environment is read and checked here, and built by a
 * build-worker elsewhere (worker/remote/remote.h).
 *
 * What a server decides itself (base, platform, policy, compression, bytecode, threads) is
 * refused here in words, and not left out silently.
 *
 * Ownership: results are the caller's.
 * Errors:    of remote.h; ERR_USAGE for options and files that do not fit.
 * Threads:   loop thread. */
#ifndef STRATA_WORKER_CLI_REMOTE_H
#define STRATA_WORKER_CLI_REMOTE_H

#include "worker/cli/cli.h"
#include "worker/remote/remote.h"

extern const struct cli_option cli_remote_options[];

/* The server of --server, with the key that is for it: of STRATA_API_KEY, or of the file that
 * names the same server beside it. */
bool cli_remote_open(struct cli *c, struct remote **out, struct err *err);

/* Builds one environment (file NULL: environment.yaml, or --pip and its kin) with its display.
 * NULL: *err says why nothing was sent. */
struct remote_build *cli_remote_build(struct cli *c, struct remote *r, const char *file,
                                      const char *priority, struct err *err);

/* The same keys as a local build's, where the server tells them. New reference. */
json_t *cli_remote_json(const struct remote_build *b);

/* `build --server` whole: the exit status. */
int cli_remote_run(struct cli *c, const char *file);

#endif
