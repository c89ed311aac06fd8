/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_keep.c - warm, pin, unpin: what stays in the store. */
#include <stdio.h>

#include "cache/pin.h"
#include "worker/cli/remote.h"

/* ---- warm ------------------------------------------------------------------------------------ */

static int warm_one(struct cli *c, const char *file, json_t *rows)
{
    struct err err = {0};
    struct cli_request request;
    json_t *row = json_object();
    json_put_str(row, "file", file);
    json_array_append_new(rows, row);
    if (!cli_request_open(c, file, &request, &err)) {
        json_put_str(row, "error", err.text);
        fprintf(stderr, "build-env: %s (%s)\n", err.text, err_code_name(err.code));
        return err_exit_status(err.code);
    }
    struct build *b = cli_build(c, &request);
    const struct build_result *r = build_result(b);
    int status = err_exit_status(r->err.code);
    if (r->err.code) {
        json_put_str(row, "error", r->err.text);
        fprintf(stderr, "build-env: %s: %s (%s)\n", file, r->err.text, err_code_name(r->err.code));
    } else {
        json_put_digest(row, "artifact", &r->artifact);
        json_object_set_new(row, "cached", json_boolean(r->cached));
        char text[DIGEST_TEXT_SIZE];
        if (!c->json)
            printf("%s %s\n", digest_text(&r->artifact, text), file);
    }
    build_free(b);
    cli_request_release(&request);
    return status;
}

static int warm_one_there(struct cli *c, struct remote *r, const char *file, json_t *rows)
{
    struct err err = {0};
    json_t *row = json_object();
    json_put_str(row, "file", file);
    json_array_append_new(rows, row);
    struct remote_build *b = cli_remote_build(c, r, file, "warm", &err);
    if (b) {
        const struct remote_result *result = remote_build_result(b);
        char text[DIGEST_TEXT_SIZE];
        err = result->err;
        json_put_str(row, "build", result->id[0] ? result->id : NULL);
        if (!err.code) {
            json_put_digest(row, "artifact", &result->artifact);
            json_object_set_new(row, "cached", json_boolean(result->cached));
            if (!c->json)
                printf("%s %s\n", digest_text(&result->artifact, text), file);
        }
    }
    if (err.code) {
        json_put_str(row, "error", err.text);
        fprintf(stderr, "build-env: %s: %s (%s)\n", file, err.text, err_code_name(err.code));
    }
    remote_build_free(b);
    return err_exit_status(err.code);
}

static int warm_run(struct cli *c)
{
    AUTO_JSON json_t *rows = json_array();
    struct err err = {0};
    struct remote *r = NULL;
    int worst = 0;
    if (c->args.operands.n == 0)
        return cli_usage(c, "warm takes environment files");
    if (cli_value(&c->args, "server") && !cli_remote_open(c, &r, &err))
        return cli_fail(c, &err);
    for (size_t i = 0; i < c->args.operands.n && worst != err_exit_status(ERR_CANCELLED); i++) {
        const char *file = c->args.operands.v[i];
        int status = r ? warm_one_there(c, r, file, rows) : warm_one(c, file, rows);
        worst = status > worst ? status : worst;
    }
    remote_free(r);
    if (c->json)
        cli_print_json(rows);
    return worst;
}

static const struct cli_option *const warm_tables[] = {cli_remote_options, cli_build_options, NULL};

const struct cli_command cli_cmd_warm = {
    .name = "warm",
    .operands = "FILE…",
    .summary = "build environments ahead of their use; for cron",
    .help = "Builds each FILE that is not built already. The exit status is the worst of all.",
    .options = warm_tables,
    .run = warm_run,
};

/* ---- pins ------------------------------------------------------------------------------------ */

/* artifact NULL: the session has let go of it. */
static void print_pin(const char *session, const struct digest *artifact)
{
    AUTO_JSON json_t *out = json_object();
    json_put_str(out, "session", session);
    if (artifact)
        json_put_digest(out, "artifact", artifact);
    else
        json_object_set_new(out, "artifact", json_null());
    cli_print_json(out);
}

static int pin_run(struct cli *c)
{
    struct err err = {0};
    struct artifact *a = NULL;
    int status = 0;
    char text[DIGEST_TEXT_SIZE];
    if (c->args.operands.n != 2)
        return cli_usage(c, "pin takes a session's name and a FILE or DIGEST");
    if (!cli_artifact(c, c->args.operands.v[1], &a, &status))
        return status;
    if (!store_pin_put(c->engine.store, span_str(c->args.operands.v[0]), &a->digest, &err))
        status = cli_fail(c, &err);
    else if (c->json)
        print_pin(c->args.operands.v[0], &a->digest);
    else
        printf("%s\n", digest_text(&a->digest, text));
    artifact_free(a);
    return status;
}

const struct cli_command cli_cmd_pin = {
    .name = "pin",
    .operands = "SESSION FILE|DIGEST",
    .summary = "keep an artifact from being collected while a session uses it",
    .options = cli_build_tables,
    .run = pin_run,
};

static int unpin_run(struct cli *c)
{
    struct err err = {0};
    if (c->args.operands.n != 1)
        return cli_usage(c, "unpin takes a session's name");
    if (!cli_engine(c, &err) ||
        !store_pin_drop(c->engine.store, span_str(c->args.operands.v[0]), &err))
        return cli_fail(c, &err);
    if (c->json)
        print_pin(c->args.operands.v[0], NULL);
    return 0;
}

const struct cli_command cli_cmd_unpin = {
    .name = "unpin",
    .operands = "SESSION",
    .summary = "let go of a session's artifact",
    .run = unpin_run,
};
