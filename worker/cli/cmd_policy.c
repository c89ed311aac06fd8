/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_policy.c - what an environment's sessions may reach. */
#include <stdio.h>

#include "worker/cli/cli.h"
#include "worker/rules/config.h"
#include "worker/rules/hosts.h"
#include "worker/rules/netpolicy.h"

static const struct cli_option policy_options[] = {
    {"mcp-server", 0, "URL", "a server of the session's agent; may be given several times"},
    {"vault-host", 0, "HOST", "a host that the session's vaults add; the same"},
    {0},
};

/* Of the managers that are asked for: finding out runs their clients. */
static json_t *registries(struct cli *c, const json_t *config)
{
    json_t *out = json_object();
    if (config_forbids_registries(config))
        return out;
    for (size_t i = 0; i < COUNT(config_managers); i++) {
        const char *m = config_managers[i];
        if (json_array_size(json_object_get(config_packages(config), m)))
            json_object_set_new(out, m, discovery_hosts(engine_discovery(&c->engine), m));
    }
    return out;
}

static bool hosts_of(const struct cli *c, const char *option, bool urls, json_t *out,
                     struct err *err)
{
    for (size_t i = 0; i < c->args.values.n; i++) {
        const struct cli_value *v = &c->args.values.v[i];
        char host[HOST_SIZE];
        if (strcmp(v->option->name, option) != 0)
            continue;
        struct span text = span_str(v->value);
        if (!(urls ? host_of_url(text, host, err) : host_normalise(text, true, host, err))) {
            err->code = ERR_USAGE;
            return urls ? err_wrap(err, "--%s: \"%s\"", option, v->value)
                        : err_wrap(err, "--%s", option);
        }
        json_array_append_new(out, json_string(host));
    }
    return true;
}

static bool make_policy(struct cli *c, const json_t *config, json_t **out, struct err *err)
{
    AUTO_JSON json_t *mcp = json_array(), *vaults = json_array();
    AUTO_JSON json_t *domains =
        host_list(settings_str(c->settings, "platform_domains"), "platform_domains", err);
    if (!domains || !hosts_of(c, "mcp-server", true, mcp, err) ||
        !hosts_of(c, "vault-host", false, vaults, err) || !cli_engine(c, err))
        return false;
    AUTO_JSON json_t *found = registries(c, config);
    *out = netpolicy_build(&(struct netpolicy_input){.config = config,
                                                     .registries = found,
                                                     .mcp_hosts = mcp,
                                                     .platform_domains = domains,
                                                     .vault_hosts = vaults});
    return true;
}

static void print_policy(const json_t *policy)
{
    size_t i;
    json_t *name;
    puts(json_get_str(policy, "mode"));
    json_array_foreach (json_object_get(policy, "allowed_domains"), i, name) {
        puts(json_string_value(name));
    }
}

static int policy_run(struct cli *c)
{
    struct err err = {0};
    struct cli_request q = {.file = c->args.operands.n ? c->args.operands.v[0] : NULL};
    AUTO_JSON json_t *policy = NULL;
    int status = 0;
    if (c->args.operands.n > 1)
        return cli_usage(c, "policy takes one file");
    if (!cli_request_environment(c, &q, &err) ||
        !make_policy(c, q.environment->config, &policy, &err))
        status = cli_fail(c, &err);
    else if (c->json)
        cli_print_json(policy);
    else
        print_policy(policy);
    cli_request_release(&q);
    return status;
}

static const struct cli_option *const policy_tables[] = {policy_options, NULL};

const struct cli_command cli_cmd_policy = {
    .name = "policy",
    .operands = "[FILE|-]",
    .summary = "show what an environment's sessions may reach",
    .help =
        "Its mode, allow-all or block-all, and then the domains that are allowed, one a line:\n"
        "the environment's own, the registries of its managers as this machine's clients know\n"
        "them (with allow_package_managers), the agent's servers (with allow_mcp_servers), the\n"
        "configured platform_domains and the vaults' hosts. A pin has the same policy.",
    .options = policy_tables,
    .run = policy_run,
};
