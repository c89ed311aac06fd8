/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_misc.c - init, doctor, completion. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/io.h"
#include "worker/cli/cli.h"
#include "worker/doctor.h"

/* ---- init ---------------------------------------------------------------------------------- */

static const char starter_file[] =
    "# An environment: packages by manager, and what its sessions may reach.\n"
    "name: my-environment\n"
    "config:\n"
    "  networking:\n"
    "    type: limited             # or: unrestricted\n"
    "    allowed_hosts: []         # host names, or *.suffix\n"
    "    allow_package_managers: true\n"
    "  packages:\n"
    "    pip:                      # PEP 508: name, name==1.2, name[extra]>=1,<2; marker\n"
    "      - pytest==8.3.4\n"
    "    npm:                      # name, name@1.2.3, name@^1, alias@npm:name@1\n"
    "      - tsx@4.19.2\n"
    "# policy:\n"
    "#   exclude_newer: 7d         # only what is at least so old; or a date: 2026-01-31\n"
    "#   allow_scripts: []         # packages whose install scripts may run\n"
    "# platform:                   # when the sessions' machine is not this one\n"
    "#   python: \"3.11\"\n";

static int init_run(struct cli *c)
{
    struct err err = {0};
    const char *file = c->args.operands.n ? c->args.operands.v[0] : "environment.yaml";
    if (c->args.operands.n > 1)
        return cli_usage(c, "init takes at most one file");
    int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 && errno == EEXIST) {
        err_set(&err, ERR_CONFLICT, "%s is there already and stays as it is", file);
        return cli_fail(c, &err);
    }
    bool ok = fd >= 0 ? io_write_all(fd, span_of(starter_file, sizeof(starter_file) - 1), &err)
                      : err_sys(&err, "%s", file);
    if (fd >= 0)
        close(fd);
    if (!ok)
        return cli_fail(c, &err);
    if (c->json) {
        AUTO_JSON json_t *out = json_object();
        json_put_str(out, "file", file);
        cli_print_json(out);
    } else {
        printf("%s\n", file);
    }
    return 0;
}

const struct cli_command cli_cmd_init = {
    .name = "init",
    .operands = "[FILE]",
    .summary = "write a commented environment.yaml to start from",
    .run = init_run,
};

/* ---- doctor -------------------------------------------------------------------------------- */

static int doctor_run(struct cli *c)
{
    struct err err = {0};
    if (c->args.operands.n)
        return cli_usage(c, "doctor takes no operand");
    if (!cli_engine(c, &err))
        return cli_fail(c, &err);
    bool healthy = true;
    AUTO_JSON json_t *report =
        doctor_report(c->engine.store, engine_discovery(&c->engine), c->settings, &healthy);
    if (c->json) {
        cli_print_json(report);
    } else {
        AUTO_BUF struct buf text = BUF(1u << 20);
        doctor_text(report, &text);
        fputs(buf_cstr(&text), stdout);
    }
    return healthy ? 0 : 1;
}

const struct cli_command cli_cmd_doctor = {
    .name = "doctor",
    .operands = "",
    .summary = "show registries, interpreters, settings and what this machine allows",
    .run = doctor_run,
};

/* ---- completion ---------------------------------------------------------------------------- */

static void each_option(const struct cli_command *command,
                        void (*each)(const struct cli_option *o, const char *command))
{
    for (const struct cli_option *o = cli_common_options; o->name; o++)
        each(o, command->name);
    for (const struct cli_option *const *t = command->options; t && *t; t++)
        for (const struct cli_option *o = *t; o->name; o++)
            each(o, command->name);
}

static void bash_option(const struct cli_option *o, const char *command)
{
    (void)command;
    printf(" --%s", o->name);
}

static void print_bash(void)
{
    printf("_build_env() {\n    local cur=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]}\n"
           "    if [ \"$COMP_CWORD\" = 1 ]; then\n        COMPREPLY=($(compgen -W '");
    for (const struct cli_command *const *i = cli_commands; *i; i++)
        printf("%s ", (*i)->name);
    printf("help' -- \"$cur\"))\n        return\n    fi\n    case $command in\n");
    for (const struct cli_command *const *i = cli_commands; *i; i++) {
        printf("    %s) options='", (*i)->name);
        each_option(*i, bash_option);
        printf("' ;;\n");
    }
    printf("    *) options= ;;\n    esac\n    case $cur in\n"
           "    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$cur\")) ;;\n"
           "    *) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n    esac\n}\n"
           "complete -o filenames -F _build_env build-env\n");
}

static void zsh_option(const struct cli_option *o, const char *command)
{
    (void)command;
    printf(" '--%s[%s]%s%s'", o->name, o->help, o->argument ? ":" : "",
           o->argument ? o->argument : "");
}

static void print_zsh(void)
{
    printf("#compdef build-env\n_build_env() {\n    local -a commands=(\n");
    for (const struct cli_command *const *i = cli_commands; *i; i++)
        printf("        '%s:%s'\n", (*i)->name, (*i)->summary);
    printf("    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n"
           "        return\n    fi\n    case $words[2] in\n");
    for (const struct cli_command *const *i = cli_commands; *i; i++) {
        printf("    %s) _arguments", (*i)->name);
        each_option(*i, zsh_option);
        printf(" '*:file:_files' ;;\n");
    }
    printf("    esac\n}\n_build_env \"$@\"\n");
}

static void fish_option(const struct cli_option *o, const char *command)
{
    printf("complete -c build-env -n '__fish_seen_subcommand_from %s' -l %s%s -d '%s'\n", command,
           o->name, o->argument ? " -r" : "", o->help);
}

static void print_fish(void)
{
    for (const struct cli_command *const *i = cli_commands; *i; i++) {
        printf("complete -c build-env -n __fish_use_subcommand -a %s -d '%s'\n", (*i)->name,
               (*i)->summary);
        each_option(*i, fish_option);
    }
}

static int completion_run(struct cli *c)
{
    static const struct {
        const char *shell;
        void (*print)(void);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    for (size_t i = 0; i < COUNT(shells); i++)
        if (c->args.operands.n == 1 && strcmp(c->args.operands.v[0], shells[i].shell) == 0) {
            shells[i].print();
            return 0;
        }
    return cli_usage(c, "completion takes one of: bash, zsh, fish");
}

const struct cli_command cli_cmd_completion = {
    .name = "completion",
    .operands = "bash|zsh|fish",
    .summary = "print a completion script for a shell",
    .run = completion_run,
};
