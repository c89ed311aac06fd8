/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_run.c - run and shell: a command with an environment mounted. */
#include <stdio.h>
#include <string.h>

#include "worker/artifact_dirs.h"
#include "worker/cli/cli.h"
#include "worker/lock.h"
#include "worker/mount/run.h"

/* ---- the environment's variables ----------------------------------------- */

/* Variables as "KEY=VALUE" and the folders for PATH, both NULL-terminated. */
static void take_environment(const struct artifact *a, struct arena *arena, const char ***env,
                             const char ***path)
{
    const char *key;
    size_t i, n = 0;
    json_t *v;
    *env = arena_array(arena, json_object_size(a->env) + 1, sizeof(**env));
    json_object_foreach ((json_t *)(uintptr_t)a->env, key, v) {
        if (json_is_string(v))
            (*env)[n++] = arena_printf(arena, "%s=%s", key, json_string_value(v));
    }
    *path = arena_array(arena, json_array_size(a->path) + 1, sizeof(**path));
    n = 0;
    json_array_foreach (a->path, i, v)
        if (json_is_string(v))
            (*path)[n++] = json_string_value(v);
}

/* How many layers, the first ones, are a root of their own that takes this machine's place. */
static size_t own_root_layers(const struct artifact *a)
{
    size_t n = 0;
    if (!json_get_str(lock_part(a->lock, "apt"), "bootstrap"))
        return 0;
    while (n < a->layer_count && strcmp(a->layers[n].manager, "apt") == 0)
        n++;
    return n;
}

static void on_dirs(struct artifact_dirs *d)
{
    *(bool *)d->ctx = true;
}

static bool mount_and_run(struct cli *c, const struct artifact *a, const char *const *argv,
                          int *status, struct err *err)
{
    AUTO_ARENA struct arena *arena = arena_new();
    bool there = false;
    struct artifact_dirs dirs = {
        .loop = &c->loop,
        .pool = c->engine.pool,
        .store = c->engine.store,
        .artifact = a,
        .done = on_dirs,
        .ctx = &there,
    };
    artifact_dirs_open(&dirs);
    while (!there)
        uv_run(&c->loop, UV_RUN_ONCE);
    bool ok = dirs.err.code == ERR_NONE;
    if (ok) {
        const char **env, **path;
        size_t root = own_root_layers(a);
        take_environment(a, arena, &env, &path);
        struct run_spec spec = {
            .lower_dirs = dirs.paths + root,
            .lower_count = dirs.count - root,
            .base_dirs = dirs.paths,
            .base_count = root,
            .env_set = env,
            .path_prepend = path,
            .argv = argv,
            .writable = cli_flag(&c->args, "writable"),
        };
        ok = run_command(&spec, status, err);
    } else {
        *err = dirs.err;
    }
    artifact_dirs_close(&dirs);
    return ok;
}

static int run_with(struct cli *c, const char *const *argv)
{
    struct err err = {0};
    struct artifact *a = NULL;
    int status = 0;
    if (!cli_artifact(c, c->args.operands.v[0], &a, &status))
        return status;
    bool ok = mount_and_run(c, a, argv, &status, &err);
    artifact_free(a);
    if (ok)
        return status;
    int failed = cli_fail(c, &err);
    return status ? status : failed;
}

static int run_run(struct cli *c)
{
    if (c->args.operands.n != 1 || !c->args.rest || !c->args.rest[0])
        return cli_usage(c, "run takes one FILE or DIGEST, then -- and the command");
    return run_with(c, c->args.rest);
}

static int shell_run(struct cli *c)
{
    if (c->args.operands.n != 1)
        return cli_usage(c, "shell takes one FILE or DIGEST");
    return run_with(c, NULL);
}

static const struct cli_option run_options[] = {
    {"writable", 'w', NULL, "let the command write to the environment; dropped at its end"},
    {0},
};
static const struct cli_option *const run_tables[] = {run_options, cli_build_options, NULL};

const struct cli_command cli_cmd_run = {
    .name = "run",
    .operands = "FILE|DIGEST -- COMMAND [ARG…]",
    .summary = "run a command with the environment mounted",
    .help = "The command sees this machine with the environment at its paths, in a namespace of\n"
            "its own; the exit status is the command's, or 128 + the signal that ended it, or 127\n"
            "when there is no such command and 126 when it cannot be started.",
    .options = run_tables,
    .run = run_run,
};

const struct cli_command cli_cmd_shell = {
    .name = "shell",
    .operands = "FILE|DIGEST",
    .summary = "start $SHELL with the environment mounted",
    .options = run_tables,
    .run = shell_run,
};
