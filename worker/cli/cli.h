/* SPDX-License-Identifier: Apache-2.0 */
/* cli.h - what the commands of build-env share.
 *
 * A command is a row of a table: its options, its words for --help, its function. stdout is for
 * results (a digest, or JSON with --json), stderr for people. The exit status is the error
 * code's (err.h): 0 done, 1 failed, 2 wrong usage or a bad file, 3 cannot be resolved, 4 registry
 * or network, 5 a build script, 130 interrupted.
 *
 * Ownership: struct cli lives in main; commands borrow it.
 * Threads:   the main thread is the loop thread. */
#ifndef STRATA_WORKER_CLI_CLI_H
#define STRATA_WORKER_CLI_CLI_H

#include "cache/artifact.h"
#include "worker/build.h"
#include "worker/cli/args.h"
#include "worker/cli/progress.h"
#include "worker/engine.h"
#include "worker/environment.h"
#include "worker/settings.h"

struct cli {
    const char *program; /* argv[0] */
    struct cli_args args;
    bool json;
    uv_loop_t loop;
    struct log log;
    struct settings *settings;
    struct discovery_options discovery;
    struct engine engine; /* engine.store NULL until cli_engine */
    struct progress *progress;
};

struct cli_command {
    const char *name;
    const char *operands;                    /* "[FILE|-]" */
    const char *summary;                     /* one line */
    const char *help;                        /* more, or NULL */
    const struct cli_option *const *options; /* tables, NULL-terminated; NULL: the common ones */
    int (*run)(struct cli *c);
};

extern const struct cli_option cli_common_options[];
extern const struct cli_option cli_build_options[]; /* for commands that may have to build */
extern const struct cli_option *const cli_build_tables[];
extern const struct cli_command *const cli_commands[]; /* NULL-terminated */

/* Prints the error for people (and, with --json, as an object on stdout); the exit status. */
int cli_fail(const struct cli *c, const struct err *err);
/* The same, with members that say where it failed in the object. */
int cli_fail_at(const struct cli *c, const struct err *err, const json_t *place);
int cli_usage(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Opens the engine when it is first needed. */
bool cli_engine(struct cli *c, struct err *err);

void cli_print_json(const json_t *value); /* pretty, on stdout */

/* An environment as asked for: the file operand (or "-", or environment.yaml here), or --pip and
 * its kin. The file's name is kept for its lock; NULL when there is none. */
struct cli_request {
    struct environment *environment;
    const char *file;
    char *lock_file;           /* beside FILE: "x.yaml" -> "x.lock.json"; NULL without a file */
    struct platform *declared; /* NULL: the host's */
    json_t *lock;     /* of lock_file, when it answers the request and --refresh was not given */
    json_t *previous; /* of lock_file, when it does not */
    struct build_request build;
};

/* Only its environment, of out->file. */
bool cli_request_environment(struct cli *c, struct cli_request *out, struct err *err);
bool cli_request_open(struct cli *c, const char *file, struct cli_request *out, struct err *err);
void cli_request_release(struct cli_request *r);

/* Runs the loop until something long is done; an interrupt cancels it, a second one ends the
 * program. Stops the display. */
struct cli_wait {
    void (*cancel)(void *what);
    void *what;
    bool done;
    int interrupts;
};
void cli_wait(struct cli *c, struct cli_wait *w);

/* {"pip":{"segments","received_bytes","phase_ms"},...}. New reference. */
json_t *cli_progress_json(const struct build_progress *list, size_t n);

/* Runs a build with its display to the end. The result is the caller's to free (build_free); NULL
 * never. Prints the warnings. */
struct build *cli_build(struct cli *c, const struct cli_request *r);
int cli_build_failed(const struct cli *c, const struct build *b); /* prints; the exit status */

/* An artifact by an operand: a file is built (from cache if known), else it is a digest. *status is
 * the exit status when it fails; the failure was printed. */
bool cli_artifact(struct cli *c, const char *operand, struct artifact **out, int *status);

/* Does the operand name an environment file? */
bool cli_is_file(const char *operand);

extern const struct cli_command cli_cmd_build, cli_cmd_lock, cli_cmd_run, cli_cmd_shell,
    cli_cmd_inspect, cli_cmd_list, cli_cmd_why, cli_cmd_diff, cli_cmd_sbom, cli_cmd_verify,
    cli_cmd_export, cli_cmd_init, cli_cmd_doctor, cli_cmd_gc, cli_cmd_completion, cli_cmd_warm,
    cli_cmd_pin, cli_cmd_unpin, cli_cmd_policy;

#endif
