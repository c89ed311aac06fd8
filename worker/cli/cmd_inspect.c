/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_inspect.c - inspect, list, why, diff, verify: what is there, and why. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/map.h"
#include "worker/cli/cli.h"
#include "worker/lock.h"

static const char *date_text(int64_t ms, char out[32])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(out, 32, "%Y-%m-%d %H:%M:%SZ", &tm);
    return out;
}

/* ---- inspect ------------------------------------------------------------------------------- */

static json_t *layers_json(const struct artifact *a)
{
    json_t *out = json_array();
    for (size_t i = 0; i < a->layer_count; i++) {
        json_t *l = json_object();
        json_put_str(l, "manager", a->layers[i].manager);
        json_put_digest(l, "digest", &a->layers[i].blob);
        json_put_digest(l, "diff_id", &a->layers[i].tar);
        json_put_int(l, "size", (int64_t)a->layers[i].size);
        json_put_int(l, "tar_size", (int64_t)a->layers[i].tar_size);
        json_put_int(l, "segments", (int64_t)a->layers[i].segment_count);
        json_array_append_new(out, l);
    }
    return out;
}

static void print_layers(const struct artifact *a)
{
    uint64_t size = 0, tar_size = 0;
    char one[16], two[16], hex[DIGEST_HEX_SIZE];
    for (size_t i = 0; i < a->layer_count; i++) {
        const struct layer *l = &a->layers[i];
        size += l->size;
        tar_size += l->tar_size;
        printf("  %-6s %.12s  %9s packed, %9s unpacked, %zu segment%s\n", l->manager,
               digest_hex(&l->blob, hex), progress_bytes(l->size, one),
               progress_bytes(l->tar_size, two), l->segment_count,
               l->segment_count == 1 ? "" : "s");
    }
    printf("%zu layers, %s packed, %s unpacked\n", a->layer_count, progress_bytes(size, one),
           progress_bytes(tar_size, two));
}

static void print_packages(const json_t *lock)
{
    for (size_t i = 0; i < RESOLVER_COUNT; i++) {
        size_t k;
        json_t *p;
        json_array_foreach (json_object_get(lock_part(lock, resolvers[i]->manager), "packages"), k,
                            p) {
            const char *path = json_get_str(p, "path");
            printf("  %-6s %s %s%s%s\n", resolvers[i]->manager, json_get_str(p, "name"),
                   json_get_str(p, "version"), path ? "  " : "", path ? path : "");
        }
    }
}

static int inspect_run(struct cli *c)
{
    struct artifact *a = NULL;
    int status = 0;
    char text[DIGEST_TEXT_SIZE];
    if (c->args.operands.n != 1)
        return cli_usage(c, "inspect takes one FILE or DIGEST");
    if (!cli_artifact(c, c->args.operands.v[0], &a, &status))
        return status;
    if (c->json) {
        AUTO_JSON json_t *out = json_object();
        json_put_digest(out, "artifact", &a->digest);
        json_object_set(out, "manifest", a->manifest);
        json_object_set(out, "config", a->config);
        json_object_set(out, "lock", (json_t *)(uintptr_t)a->lock);
        json_object_set_new(out, "layers", layers_json(a));
        cli_print_json(out);
    } else {
        printf("artifact %s\n\npackages\n", digest_text(&a->digest, text));
        print_packages(a->lock);
        printf("\nlayers\n");
        print_layers(a);
        size_t i;
        json_t *v;
        printf("\nenvironment\n");
        json_array_foreach (json_object_get(json_object_get(a->config, "config"), "Env"), i, v)
            printf("  %s\n", json_string_value(v));
    }
    artifact_free(a);
    return 0;
}

const struct cli_command cli_cmd_inspect = {
    .name = "inspect",
    .operands = "FILE|DIGEST",
    .summary = "show an artifact's packages, layers and variables",
    .options = cli_build_tables,
    .run = inspect_run,
};

/* ---- list ---------------------------------------------------------------------------------- */

static int list_run(struct cli *c)
{
    struct err err = {0};
    AUTO_JSON json_t *list = NULL;
    if (c->args.operands.n)
        return cli_usage(c, "list takes no operand");
    if (!cli_engine(c, &err) || !artifact_list(c->engine.store, &list, &err))
        return cli_fail(c, &err);
    if (c->json) {
        cli_print_json(list);
        return 0;
    }
    size_t i;
    json_t *row;
    json_array_foreach (list, i, row) {
        char date[32], size[16];
        const char *name = json_get_str(row, "name");
        printf("%s  %s  %9s  %lld layers%s%s\n", json_get_str(row, "digest"),
               date_text(json_get_int(row, "created_ms", 0), date),
               progress_bytes((uint64_t)json_get_int(row, "size", 0), size),
               (long long)json_get_int(row, "layers", 0), name ? "  " : "", name ? name : "");
    }
    if (json_array_size(list) == 0)
        fprintf(stderr, "no artifacts yet: build-env build FILE makes one\n");
    return 0;
}

const struct cli_command cli_cmd_list = {
    .name = "list",
    .operands = "",
    .summary = "list the artifacts of this machine, newest first",
    .run = list_run,
};

/* ---- why ----------------------------------------------------------------------------------- */

/* Packages of one manager that require `name`, as an array of their names. */
static json_t *dependents(const json_t *part, struct span name)
{
    json_t *out = json_array();
    size_t i, k;
    json_t *package, *required;
    json_array_foreach (json_object_get(part, "packages"), i, package) {
        json_array_foreach (json_object_get(package, "requires"), k, required) {
            struct span r = span_of(json_string_value(required), json_string_length(required));
            if (span_eq(r, name)) {
                json_array_append(out, json_object_get(package, "name"));
                break;
            }
        }
    }
    return out;
}

#define WHY_MAX_DEPTH 24

static void print_why(const json_t *part, struct span name, int depth, struct map *seen)
{
    AUTO_JSON json_t *who = dependents(part, name);
    size_t i;
    json_t *v;
    json_array_foreach (who, i, v) {
        struct span by = span_of(json_string_value(v), json_string_length(v));
        bool again = map_has(seen, by);
        printf("%*s<- %.*s%s\n", depth * 3, "", SPAN_ARG(by), again ? " (see above)" : "");
        map_put(seen, by, NULL);
        if (!again && depth < WHY_MAX_DEPTH)
            print_why(part, by, depth + 1, seen);
    }
}

static bool is_root(const json_t *package)
{
    return json_get_bool(package, "requested", false);
}

static int why_run(struct cli *c)
{
    struct err err = {0};
    struct artifact *a = NULL;
    int status = 0;
    bool found = false;
    if (c->args.operands.n != 2)
        return cli_usage(c, "why takes a FILE or DIGEST and a package's name");
    if (!cli_artifact(c, c->args.operands.v[0], &a, &status))
        return status;
    struct span name = span_str(c->args.operands.v[1]);
    AUTO_JSON json_t *out = json_array();
    for (size_t i = 0; i < RESOLVER_COUNT; i++) {
        const json_t *part = lock_part(a->lock, resolvers[i]->manager);
        const json_t *package = lock_find(a->lock, resolvers[i]->manager, name);
        if (!package)
            continue;
        found = true;
        if (c->json) {
            json_t *row = json_object();
            json_put_str(row, "manager", resolvers[i]->manager);
            json_object_set(row, "name", json_object_get(package, "name"));
            json_object_set(row, "version", json_object_get(package, "version"));
            json_object_set_new(row, "requested", json_boolean(is_root(package)));
            json_object_set_new(row, "required_by", dependents(part, name));
            json_array_append_new(out, row);
            continue;
        }
        AUTO_MAP struct map seen = {0};
        printf("%s: %.*s %s%s\n", resolvers[i]->manager, SPAN_ARG(name),
               json_get_str(package, "version"), is_root(package) ? " (asked for)" : "");
        print_why(part, name, 1, &seen);
    }
    if (!found) {
        err_set(&err, ERR_NOT_FOUND, "%.*s is not in this environment", SPAN_ARG(name));
        status = cli_fail(c, &err);
    } else if (c->json) {
        cli_print_json(out);
    }
    artifact_free(a);
    return status;
}

const struct cli_command cli_cmd_why = {
    .name = "why",
    .operands = "FILE|DIGEST PACKAGE",
    .summary = "tell who requires a package",
    .options = cli_build_tables,
    .run = why_run,
};

/* ---- diff ---------------------------------------------------------------------------------- */

static int diff_run(struct cli *c)
{
    struct artifact *a = NULL, *b = NULL;
    int status = 0;
    if (c->args.operands.n != 2)
        return cli_usage(c, "diff takes two of FILE or DIGEST");
    if (!cli_artifact(c, c->args.operands.v[0], &a, &status) ||
        !cli_artifact(c, c->args.operands.v[1], &b, &status)) {
        artifact_free(a);
        return status;
    }
    AUTO_JSON json_t *changes = lock_diff(a->lock, b->lock);
    size_t i;
    json_t *change;
    if (c->json)
        cli_print_json(changes);
    else
        json_array_foreach (changes, i, change) {
            const char *from = json_get_str(change, "from"), *to = json_get_str(change, "to");
            printf("%c %-6s %s %s%s%s\n",
                   !from ? '+'
                   : !to ? '-'
                         : '~',
                   json_get_str(change, "manager"), json_get_str(change, "name"), from ? from : "",
                   from && to ? " -> " : "", to ? to : "");
        }
    artifact_free(a);
    artifact_free(b);
    return 0;
}

const struct cli_command cli_cmd_diff = {
    .name = "diff",
    .operands = "FILE|DIGEST FILE|DIGEST",
    .summary = "compare the packages of two environments",
    .options = cli_build_tables,
    .run = diff_run,
};

/* ---- verify -------------------------------------------------------------------------------- */

static int verify_all(struct cli *c, json_t *list)
{
    struct err err = {0};
    size_t i;
    json_t *row;
    int status = 0;
    json_array_foreach (list, i, row) {
        struct artifact *a = NULL;
        struct digest digest;
        err_clear(&err);
        if (!json_get_digest(row, "digest", &digest))
            continue;
        bool ok = artifact_load(c->engine.store, &digest, &a, &err) &&
                  artifact_verify(c->engine.store, a, &err);
        if (ok && !c->json)
            printf("%s ok\n", json_get_str(row, "digest"));
        json_object_set_new(row, "ok", json_boolean(ok));
        if (!ok) {
            json_put_str(row, "error", err.text);
            if (!c->json) {
                err_wrap(&err, "%s", json_get_str(row, "digest"));
                cli_fail(c, &err);
            }
            status = err_exit_status(err.code);
        }
        artifact_free(a);
    }
    if (c->json)
        cli_print_json(list);
    return status;
}

static int verify_run(struct cli *c)
{
    struct err err = {0};
    AUTO_JSON json_t *list = NULL;
    if (!cli_engine(c, &err))
        return cli_fail(c, &err);
    if (c->args.operands.n == 0) {
        if (!artifact_list(c->engine.store, &list, &err))
            return cli_fail(c, &err);
        return verify_all(c, list);
    }
    list = json_array();
    for (size_t i = 0; i < c->args.operands.n; i++) {
        struct digest digest;
        json_t *row = json_object();
        json_array_append_new(list, row);
        if (!artifact_lookup(c->engine.store, span_str(c->args.operands.v[i]), &digest, &err))
            return cli_fail(c, &err);
        json_put_digest(row, "digest", &digest);
    }
    return verify_all(c, list);
}

const struct cli_command cli_cmd_verify = {
    .name = "verify",
    .operands = "[DIGEST…]",
    .summary = "re-hash every byte of artifacts (all of them without a DIGEST)",
    .run = verify_run,
};
