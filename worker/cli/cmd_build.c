/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_build.c - build and lock. */
#include <stdio.h>

#include "worker/cli/remote.h"
#include "worker/lock.h"

static json_t *digest_json(const struct digest *d)
{
    char text[DIGEST_TEXT_SIZE];
    return json_string(digest_text(d, text));
}

json_t *cli_progress_json(const struct build_progress *list, size_t n)
{
    json_t *out = json_object();
    for (size_t i = 0; i < n; i++) {
        json_t *m = json_object(), *phases = json_object();
        json_put_int(m, "segments", (int64_t)list[i].units);
        json_put_int(m, "received_bytes", (int64_t)list[i].received);
        for (int phase = PHASE_RESOLVE; phase < PHASE_DONE; phase++)
            json_put_int(phases, build_phase_name((enum build_phase)phase),
                         list[i].phase_ms[phase]);
        json_object_set_new(m, "phase_ms", phases);
        json_object_set_new(out, list[i].manager, m);
    }
    return out;
}

static json_t *result_json(const struct build *b)
{
    const struct build_result *r = build_result(b);
    const struct build_progress *list;
    size_t n = build_progress(b, &list);
    json_t *out = json_object();
    json_object_set_new(out, "artifact", digest_json(&r->artifact));
    json_object_set_new(out, "lock", digest_json(&r->lock_digest));
    json_object_set_new(out, "recalled", json_boolean(r->recalled));
    json_object_set_new(out, "cached", json_boolean(r->cached));
    json_object_set(out, "warnings", r->warnings);
    json_put_int(out, "received_bytes", (int64_t)r->received_bytes);
    json_put_int(out, "total_ms", r->total_ms);
    json_object_set_new(out, "managers", cli_progress_json(list, n));
    return out;
}

static const struct cli_option *const build_tables[] = {cli_remote_options, cli_build_options,
                                                        NULL};

static int build_run(struct cli *c)
{
    struct err err = {0};
    struct cli_request request;
    if (c->args.operands.n > 1)
        return cli_usage(c, "build takes one file");
    const char *file = c->args.operands.n ? c->args.operands.v[0] : NULL;
    if (cli_value(&c->args, "server"))
        return cli_remote_run(c, file);
    if (!cli_request_open(c, file, &request, &err))
        return cli_fail(c, &err);
    struct build *b = cli_build(c, &request);
    int status = 0;
    if (build_result(b)->err.code) {
        status = cli_build_failed(c, b);
    } else if (c->json) {
        AUTO_JSON json_t *out = result_json(b);
        cli_print_json(out);
    } else {
        char text[DIGEST_TEXT_SIZE];
        printf("%s\n", digest_text(&build_result(b)->artifact, text));
    }
    build_free(b);
    cli_request_release(&request);
    return status;
}

const struct cli_command cli_cmd_build = {
    .name = "build",
    .operands = "[FILE|-]",
    .summary = "build an environment and print its artifact's digest",
    .help =
        "FILE is an environment file (YAML or JSON), - reads one from standard input; without\n"
        "either it is environment.yaml here, or what --pip, --npm and the others list.\n"
        "A lock beside FILE that answers it is reproduced; --refresh resolves anew.\n"
        "With --server a build-worker builds it: for its own machine, with its own registries\n"
        "and without the lock. The first interrupt cancels that build too, unless it was under\n"
        "way before.",
    .options = build_tables,
    .run = build_run,
};

/* ---- lock -------------------------------------------------------------------------------- */

static const struct cli_option lock_options[] = {
    {"check", 0, NULL, "fail when the lock beside FILE does not answer it any more"},
    {"output", 'o', "FILE", "write the lock there"},
    {0},
};

static int check_lock(struct cli *c, const struct cli_request *r)
{
    struct err err = {0};
    if (r->lock)
        return 0;
    if (r->previous)
        err_set(&err, ERR_LOCK_INVALID, "%s does not answer %s any more; run: build-env lock %s",
                r->lock_file, r->file, r->file);
    else
        err_set(&err, ERR_LOCK_INVALID, "there is no lock to check%s%s",
                r->lock_file ? ": missing " : "", r->lock_file ? r->lock_file : "");
    return cli_fail(c, &err);
}

static int write_lock(struct cli *c, const struct cli_request *r, const json_t *lock)
{
    struct err err = {0};
    const char *to = cli_value(&c->args, "output");
    to = to ? to : r->lock_file;
    if (c->json || !to) {
        cli_print_json(lock);
        return 0;
    }
    if (!lock_write_file(to, lock, &err))
        return cli_fail(c, &err);
    printf("%s\n", to);
    return 0;
}

static int lock_run(struct cli *c)
{
    struct err err = {0};
    struct cli_request request;
    if (c->args.operands.n > 1)
        return cli_usage(c, "lock takes one file");
    const char *file = c->args.operands.n ? c->args.operands.v[0] : NULL;
    if (!cli_request_open(c, file, &request, &err))
        return cli_fail(c, &err);
    int status;
    if (cli_flag(&c->args, "check")) {
        status = check_lock(c, &request);
    } else {
        /* What is locked stays as long as it answers, unless --refresh asks for the newest. */
        request.build.previous = request.lock ? request.lock : request.previous;
        request.build.lock = NULL;
        request.build.lock_only = true;
        struct build *b = cli_build(c, &request);
        status = build_result(b)->err.code ? cli_build_failed(c, b)
                                           : write_lock(c, &request, build_result(b)->lock);
        build_free(b);
    }
    cli_request_release(&request);
    return status;
}

static const struct cli_option *const lock_tables[] = {lock_options, cli_build_options, NULL};

const struct cli_command cli_cmd_lock = {
    .name = "lock",
    .operands = "[FILE|-]",
    .summary = "resolve only, and write the lock beside FILE",
    .help =
        "Versions that are locked already stay when they still answer FILE; --refresh takes the\n"
        "newest. With --json the lock goes to standard output and no file is written.",
    .options = lock_tables,
    .run = lock_run,
};
