/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the bytes are: a file is refused with its name in front, or its config is one that
 * the API takes too and leaves as it is, and that says the same when it is written as JSON. */
#include <stdint.h>
#include <stdlib.h>

#include "worker/environment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_hosts(const json_t *config)
{
    size_t i;
    json_t *host;
    json_array_foreach (json_object_get(json_object_get(config, "networking"), "allowed_hosts"), i,
                        host) {
        for (const char *p = json_string_value(host); *p; p++)
            if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-.*", *p))
                abort();
    }
}

static void check_specs(const json_t *config)
{
    const char *manager;
    json_t *list, *spec;
    size_t i;
    json_object_foreach (json_object_get(config, "packages"), manager, list) {
        if (json_array_size(list) > ENVIRONMENT_MAX_SPECS)
            abort();
        json_array_foreach (list, i, spec) {
            const char *text = json_string_value(spec);
            if (!text || !*text || *text == '-' || strlen(text) > ENVIRONMENT_MAX_SPEC)
                abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct environment *e, *again;
    struct err err = {0};
    if (!environment_parse(span_of(data, size), "file", 1767225600000LL, &e, &err)) {
        if (err.code == ERR_NONE || strncmp(err.text, "file", 4) != 0)
            abort();
        return 0;
    }
    check_hosts(e->config);
    check_specs(e->config);
    json_t *config = NULL;
    if (!environment_config(e->config, &config, &err) || !json_equal(config, e->config))
        abort();
    json_decref(config);
    json_t *file = json_pack("{s:O}", "config", e->config);
    char *text = json_dumps(file, JSON_COMPACT);
    if (!environment_parse(span_str(text), "file", 0, &again, &err) ||
        !json_equal(again->config, e->config))
        abort();
    environment_free(again);
    free(text);
    json_decref(file);
    environment_free(e);
    return 0;
}
