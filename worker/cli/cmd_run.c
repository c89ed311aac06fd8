/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_run.c - run and shell: a command with an environment mounted. */
#include <stdio.h>
#include <string.h>

#include "worker/cli/cli.h"
#include "worker/lock.h"
#include "worker/mount/layer_dir.h"
#include "worker/mount/run.h"

/* ---- a layer's bytes, from its segments ---------------------------------------------------- */

struct layer_bytes {
    struct layer_reader *reader;
    struct span left;
};

static ssize_t read_layer(void *ctx, void *to, size_t room, struct err *err)
{
    struct layer_bytes *l = ctx;
    if (l->left.len == 0 && !layer_reader_next(l->reader, &l->left, err))
        return -1;
    size_t n = l->left.len < room ? l->left.len : room;
    if (n)
        memcpy(to, l->left.ptr, n);
    l->left = span_skip(l->left, n);
    return (ssize_t)n;
}

static void close_layer(void *ctx)
{
    struct layer_bytes *l = ctx;
    layer_reader_free(l->reader);
    free(l);
}

struct unpacking {
    bool done;
    struct err err;
};

static void on_unpacked(void *ctx, const struct err *err)
{
    struct unpacking *u = ctx;
    u->done = true;
    if (err)
        u->err = *err;
}

/* Unpacks the layers that are not there yet; most runs find all of them. */
static bool unpack_missing(struct cli *c, struct layer_dirs *dirs, const struct artifact *a,
                           struct err *err)
{
    AUTO_FREE struct layer_source *sources = mem_array(a->layer_count, sizeof(*sources));
    size_t n = 0;
    for (size_t i = 0; i < a->layer_count; i++) {
        const struct layer *l = &a->layers[i];
        if (layer_dirs_has(dirs, &l->blob))
            continue;
        struct layer_reader *reader = layer_reader_new(c->engine.store, l, err);
        if (!reader) {
            for (; n > 0; n--)
                sources[n - 1].close(sources[n - 1].ctx);
            return false;
        }
        struct layer_bytes *bytes = MEM_NEW(struct layer_bytes);
        bytes->reader = reader;
        sources[n++] = (struct layer_source){
            .digest = l->blob,
            .diff_id = l->tar,
            .read = read_layer,
            .close = close_layer,
            .ctx = bytes,
        };
    }
    struct unpacking u = {.done = n == 0};
    if (n)
        layer_dirs_unpack_all(dirs, c->engine.pool, sources, n, on_unpacked, &u);
    while (!u.done)
        uv_run(&c->loop, UV_RUN_ONCE);
    if (u.err.code)
        *err = u.err;
    return u.err.code == 0;
}

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

static bool mount_and_run(struct cli *c, const struct artifact *a, const char *const *argv,
                          int *status, struct err *err)
{
    AUTO_ARENA struct arena *arena = arena_new();
    struct layer_dirs *dirs = layer_dirs_open(store_path(c->engine.store), err);
    if (!dirs)
        return false;
    const char **lower = arena_array(arena, a->layer_count + 1, sizeof(*lower));
    int *held = arena_array(arena, a->layer_count + 1, sizeof(*held));
    size_t n = 0;
    bool ok = unpack_missing(c, dirs, a, err);
    for (; ok && n < a->layer_count; n++) {
        AUTO_FREE char *path = layer_dirs_path(dirs, &a->layers[n].blob);
        lower[n] = arena_str(arena, span_str(path));
        held[n] = layer_dirs_use(dirs, &a->layers[n].blob, err);
        if (held[n] < 0)
            ok = false;
    }
    if (ok) {
        const char **env, **path;
        size_t root = own_root_layers(a);
        take_environment(a, arena, &env, &path);
        struct run_spec spec = {
            .lower_dirs = lower + root,
            .lower_count = a->layer_count - root,
            .base_dirs = lower,
            .base_count = root,
            .env_set = env,
            .path_prepend = path,
            .argv = argv,
            .writable = cli_flag(&c->args, "writable"),
        };
        ok = run_command(&spec, status, err);
    }
    for (size_t i = 0; i < n; i++)
        if (held[i] >= 0)
            mem_close_fd(&held[i]);
    layer_dirs_free(dirs);
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
