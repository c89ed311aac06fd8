/* SPDX-License-Identifier: Apache-2.0 */
/* main_env.c - build-env, the local program. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fault.h"
#include "worker/cli/cli.h"

const struct cli_option cli_common_options[] = {
    {"json", 0, NULL, "results as JSON on standard output"},
    {"home", 0, "FOLDER", "the state folder, instead of $STRATA_HOME"},
    {"config", 0, "FILE", "read this configuration file too"},
    {"quiet", 'q', NULL, "no progress, only warnings and errors"},
    {"verbose", 'v', NULL, "tell each request"},
    {"help", 'h', NULL, "show a command's options"},
    {0},
};

const struct cli_command *const cli_commands[] = {
    &cli_cmd_build,  &cli_cmd_lock,    &cli_cmd_run,    &cli_cmd_shell,      &cli_cmd_init,
    &cli_cmd_list,   &cli_cmd_inspect, &cli_cmd_why,    &cli_cmd_diff,       &cli_cmd_sbom,
    &cli_cmd_verify, &cli_cmd_export,  &cli_cmd_warm,   &cli_cmd_pin,        &cli_cmd_unpin,
    &cli_cmd_policy, &cli_cmd_gc,      &cli_cmd_doctor, &cli_cmd_completion, NULL,
};

/* ---- help ------------------------------------------------------------------------------------ */

static void print_overview(FILE *to)
{
    fputs("usage: build-env COMMAND [OPTION…] [OPERAND…]\n\n"
          "Builds package environments into immutable, content-addressed layers.\n\n",
          to);
    for (const struct cli_command *const *i = cli_commands; *i; i++)
        fprintf(to, "  %-11s %s\n", (*i)->name, (*i)->summary);
    fputs("\nbuild-env COMMAND --help shows a command's options.\n", to);
}

static void print_options(const struct cli_option *o)
{
    for (; o->name; o++) {
        char left[64];
        snprintf(left, sizeof(left), "%c%c%s--%s%s%s", o->letter ? '-' : ' ',
                 o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name,
                 o->argument ? " " : "", o->argument ? o->argument : "");
        printf("  %-30s %s\n", left, o->help);
    }
}

static void print_command(const struct cli_command *command)
{
    printf("usage: build-env %s %s\n\n%s.\n", command->name, command->operands, command->summary);
    if (command->help)
        printf("%s\n", command->help);
    puts("\noptions:");
    for (const struct cli_option *const *t = command->options; t && *t; t++)
        print_options(*t);
    print_options(cli_common_options);
}

/* ---- errors ---------------------------------------------------------------------------------- */

int cli_fail_at(const struct cli *c, const struct err *err, const json_t *place)
{
    if (c->json) {
        AUTO_JSON json_t *error = json_object(), *out = json_object();
        json_put_str(error, "code", err_code_name(err->code));
        json_put_str(error, "message", err->text);
        if (place)
            json_object_update(error, (json_t *)(uintptr_t)place);
        json_object_set(out, "error", error);
        cli_print_json(out);
    }
    fprintf(stderr, "build-env: %s (%s)\n", err->text, err_code_name(err->code));
    return err_exit_status(err->code);
}

int cli_fail(const struct cli *c, const struct err *err)
{
    return cli_fail_at(c, err, NULL);
}

int cli_usage(const struct cli *c, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    struct err err = {0};
    err_set(&err, ERR_USAGE, "%s; see build-env COMMAND --help", text);
    return cli_fail(c, &err);
}

void cli_print_json(const json_t *value)
{
    AUTO_BUF struct buf text = BUF(256u << 20);
    json_pretty(value, &text);
    fputs(buf_cstr(&text), stdout);
}

/* ---- the engine ------------------------------------------------------------------------------ */

bool cli_engine(struct cli *c, struct err *err)
{
    if (c->engine.store)
        return true;
    const char *threads = cli_value(&c->args, "threads");
    uint64_t n = 0;
    if (threads && (!span_to_u64(span_str(threads), &n) || n == 0 || n > 256))
        return err_set(err, ERR_USAGE, "--threads is a number from 1 to 256, not %s", threads);
    c->discovery = (struct discovery_options){
        .configured = settings_registries(c->settings),
        .configured_from = settings_registries_from(c->settings),
    };
    struct engine_options options = {
        .home = settings_str(c->settings, "home"),
        .script_ms = settings_int(c->settings, "script_seconds") * 1000,
        .threads = threads ? (unsigned)n : (unsigned)settings_int(c->settings, "threads"),
        .offline = cli_flag(&c->args, "offline") || settings_bool(c->settings, "offline"),
        .log = &c->log,
        .discovery = &c->discovery,
    };
    return engine_open(&c->engine, &c->loop, &options, err);
}

/* ---- main ------------------------------------------------------------------------------------ */

static const struct cli_command *find_command(const char *name)
{
    for (const struct cli_command *const *i = cli_commands; *i; i++)
        if (strcmp((*i)->name, name) == 0)
            return *i;
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[32];
    size_t n = 0;
    for (const struct cli_command *const *i = cli_commands; *i && n < COUNT(names); i++)
        names[n++] = (*i)->name;
    const char *near = cli_nearest(name, names, n);
    fprintf(stderr, "build-env: there is no command %s%s%s%s\n", name,
            near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    return err_exit_status(ERR_USAGE);
}

static bool parse_command(struct cli *c, const struct cli_command *command, int argc,
                          const char *const *argv, struct err *err)
{
    const struct cli_option *tables[8] = {cli_common_options};
    size_t n = 1;
    for (const struct cli_option *const *t = command->options; t && *t && n + 1 < COUNT(tables);
         t++)
        tables[n++] = *t;
    /* What is wrong with the other words is told as JSON, too. */
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        c->json |= strcmp(argv[i], "--json") == 0;
    if (!cli_parse(&c->args, tables, argc, argv, err))
        return err_wrap(err, "%s", command->name);
    c->json = cli_flag(&c->args, "json");
    return true;
}

static int run_command_in(struct cli *c, const struct cli_command *command)
{
    struct err err = {0};
    const char *home = cli_value(&c->args, "home");
    if (!settings_load(&c->settings, cli_value(&c->args, "config"), &err) ||
        (home && !settings_override(c->settings, "home", home, "--home", &err)))
        return cli_fail(c, &err);
    uv_loop_init(&c->loop);
    c->progress = progress_new(&c->loop, cli_flag(&c->args, "quiet") ? PROGRESS_QUIET
                                                                     : progress_style_here());
    c->log = (struct log){
        .level = cli_flag(&c->args, "verbose") ? LOG_DEBUG
                 : cli_flag(&c->args, "quiet") ? LOG_WARN
                                               : LOG_INFO,
        .sink = progress_log,
        .ctx = c->progress,
    };
    int status = command->run(c);
    progress_free(c->progress);
    if (c->engine.store)
        engine_close(&c->engine);
    uv_run(&c->loop, UV_RUN_DEFAULT);
    uv_loop_close(&c->loop);
    settings_free(c->settings);
    return status;
}

int main(int argc, char **argv)
{
    struct cli c = {.program = argv[0]};
    struct err err = {0};
    signal(SIGPIPE, SIG_IGN);
    fault_arm_from_env();
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--version") == 0) {
        puts("build-env " STRATA_VERSION);
        return 0;
    }
    if (argc < 2 || strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 ||
        strcmp(name, "-h") == 0) {
        print_overview(argc < 2 ? stderr : stdout);
        return argc < 2 ? err_exit_status(ERR_USAGE) : 0;
    }
    const struct cli_command *command = find_command(name);
    if (!command)
        return unknown_command(name);
    int status;
    if (!parse_command(&c, command, argc - 2, (const char *const *)argv + 2, &err)) {
        status = cli_fail(&c, &err);
    } else if (cli_flag(&c.args, "help")) {
        print_command(command);
        status = 0;
    } else {
        status = run_command_in(&c, command);
    }
    cli_args_release(&c.args);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "build-env: standard output could not be written\n");
        status = status ? status : 1;
    }
    return status;
}
