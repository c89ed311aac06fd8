/* SPDX-License-Identifier: Apache-2.0 */
/* netpolicy.h - what a session may reach, as a pure function of what was declared.
 *
 *   unrestricted   {"mode":"allow-all"}
 *   limited        {"mode":"block-all","allowed_domains":[...]}: the environment's hosts,
 *                  the registries of the managers it declares packages for (when
 *                  allow_package_managers), the agent's MCP servers (when allow_mcp_servers),
 *                  the platform's own domains, and the hosts of the session's vaults; sorted,
 *                  each once.
 *
 * Ownership: the result is a new reference.
 * Threads:   pure, any. */
#ifndef STRATA_WORKER_RULES_NETPOLICY_H
#define STRATA_WORKER_RULES_NETPOLICY_H

#include "base/json.h"

struct netpolicy_input {
    const json_t *config;     /* normal form, config.h */
    const json_t *registries; /* {"pip":["host",...],...}: as this worker's clients know them */
    const json_t *mcp_hosts;  /* arrays of host names; NULL: none */
    const json_t *platform_domains;
    const json_t *vault_hosts;
};

json_t *netpolicy_build(const struct netpolicy_input *in);

#endif
