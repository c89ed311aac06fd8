/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/rules/netpolicy.h"

#include "base/mem.h"
#include "worker/rules/config.h"

typedef VEC(const char *) name_list;

static void add_all(name_list *list, const json_t *names)
{
    size_t i;
    json_t *name;
    json_array_foreach ((json_t *)(uintptr_t)names, i, name) {
        if (json_is_string(name))
            *VEC_PUSH(list) = json_string_value(name);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static json_t *sorted_unique(name_list *list)
{
    json_t *out = json_array();
    if (list->n)
        qsort(list->v, list->n, sizeof(*list->v), by_name);
    for (size_t i = 0; i < list->n; i++)
        if (i == 0 || strcmp(list->v[i], list->v[i - 1]) != 0)
            json_array_append_new(out, json_string(list->v[i]));
    return out;
}

json_t *netpolicy_build(const struct netpolicy_input *in)
{
    const json_t *networking = json_object_get(in->config, "networking");
    if (strcmp(json_get_str(networking, "type"), "limited") != 0)
        return json_pack("{s:s}", "mode", "allow-all");
    name_list names = {0};
    add_all(&names, json_object_get(networking, "allowed_hosts"));
    if (json_get_bool(networking, "allow_package_managers", false)) {
        for (size_t i = 0; i < COUNT(config_managers); i++) {
            const char *m = config_managers[i];
            if (json_array_size(json_object_get(config_packages(in->config), m)))
                add_all(&names, json_object_get(in->registries, m));
        }
    }
    if (json_get_bool(networking, "allow_mcp_servers", false))
        add_all(&names, in->mcp_hosts);
    add_all(&names, in->platform_domains);
    add_all(&names, in->vault_hosts);
    json_t *domains = sorted_unique(&names);
    VEC_FREE(&names);
    return json_pack("{s:s, s:o}", "mode", "block-all", "allowed_domains", domains);
}
