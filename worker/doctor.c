/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/doctor.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "resolvers/platform.h"
#include "resolvers/resolver.h"
#include "worker/sandbox/host.h"

/* Less than this, and the next build may not fit. */
#define LOW_SPACE_BYTES (1LL << 30)

struct report {
    json_t *out, *problems;
    bool healthy;
};

static void problem(struct report *r, bool serious, const char *fix, const char *what, ...)
    __attribute__((format(printf, 4, 5)));
static void problem(struct report *r, bool serious, const char *fix, const char *what, ...)
{
    AUTO_BUF struct buf text = BUF(4096);
    char line[2048];
    va_list args;
    va_start(args, what);
    vsnprintf(line, sizeof(line), what, args);
    va_end(args);
    buf_str(&text, line);
    json_t *one = json_object();
    json_put_span(one, "what", buf_span(&text));
    json_put_str(one, "fix", fix);
    json_object_set_new(one, "serious", json_boolean(serious));
    json_array_append_new(r->problems, one);
    r->healthy = r->healthy && !serious;
}

/* Platform and interpreters. */

static void interpreter(json_t *all, const char *name, const char *version, const char *program)
{
    json_t *one = json_object();
    if (!*version) {
        json_object_set_new(all, name, json_null());
        json_decref(one);
        return;
    }
    json_put_str(one, "version", version);
    if (program)
        json_put_str(one, "program", program);
    json_object_set_new(all, name, one);
}

static void platform(struct report *r, struct store *store)
{
    struct platform_options options = {.store = store};
    struct platform *p;
    json_t *notes, *all = json_object();
    platform_probe(&options, &p, &notes);
    json_object_set_new(r->out, "platform", platform_json(p));
    json_object_set_new(r->out, "interpreters", all);
    interpreter(all, "python", p->python_full, p->python_program);
    interpreter(all, "node", p->node, p->node_program);
    interpreter(all, "npm", p->npm, NULL);
    json_object_set_new(all, "notes", notes);
    if (!*p->python)
        problem(r, true,
                "apt-get install python3, or declare one in the environment file: platform: "
                "{python: \"3.11\"}",
                "no python3 that a session can see; pip packages need one");
    if (!*p->node)
        problem(r, true,
                "apt-get install nodejs, or declare one in the environment file: platform: "
                "{node: \"20\"}",
                "no node that a session can see; npm packages need one");
    platform_free(p);
}

/* Registries. */

static void check_details(struct report *r, const char *manager, const json_t *details)
{
    const char *ca = json_get_str(details, "ca_file");
    if (ca && access(ca, R_OK) != 0)
        problem(r, false, "correct the setting of the client",
                "%s trusts the authorities in %s, which cannot be read", manager, ca);
    if (!json_get_bool(details, "strict_ssl", true))
        problem(r, false, "export SSL_CERT_FILE with the authority of the registry",
                "%s is told not to check certificates; they are checked here", manager);
}

static void check_registry(struct report *r, const struct resolver_ops *ops, const json_t *found)
{
    const char *error = json_get_str(found, "error");
    if (error) {
        problem(r, !ops->unsupported, "see docs/registries.md", "%s", error);
        return;
    }
    const char *url = json_string_value(json_array_get(json_object_get(found, "urls"), 0));
    if (url && strncmp(url, "http:", 5) == 0 && strcmp(ops->manager, "apt") != 0)
        problem(r, false, "use https, if the registry has it",
                "%s's registry %s is plain http: whoever sits between can change packages",
                ops->manager, url);
    if (strcmp(ops->manager, "pip") == 0 && json_array_size(json_object_get(found, "extra")) > 0)
        problem(r, false, "put one index in front that serves both, and set it as index-url",
                "pip's extra indexes are known, but their packages are not looked for yet");
    check_details(r, ops->manager, json_object_get(found, "details"));
}

static void registries(struct report *r, struct discovery *discovery)
{
    json_t *all = json_object();
    json_object_set_new(r->out, "registries", all);
    for (size_t i = 0; i < RESOLVER_COUNT; i++) {
        json_t *found = discovery_report(discovery, resolvers[i]->manager);
        json_object_set_new(found, "supported", json_boolean(!resolvers[i]->unsupported));
        json_object_set_new(all, resolvers[i]->manager, found);
        check_registry(r, resolvers[i], found);
    }
}

/* Store. */

static void store_part(struct report *r, struct store *store)
{
    struct statvfs fs;
    json_t *out = json_object();
    json_object_set_new(r->out, "store", out);
    if (!store)
        return;
    json_put_str(out, "path", store_path(store));
    if (faccessat(store_dir_fd(store), ".", W_OK, AT_EACCESS) != 0)
        problem(r, true, "choose a folder of yours: --home DIR or STRATA_HOME",
                "%s cannot be written", store_path(store));
    if (fstatvfs(store_dir_fd(store), &fs) != 0)
        return;
    int64_t free_bytes = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
    json_put_int(out, "free_bytes", free_bytes);
    if (free_bytes < LOW_SPACE_BYTES)
        problem(r, false, "build-env gc --keep-bytes, or a folder with more room: --home DIR",
                "only %lld MiB are free in %s", (long long)(free_bytes >> 20), store_path(store));
}

/* What sandboxes need: a check that is required and fails is serious only where code must be
 * run, which mounting an environment does. */
static void sandbox(struct report *r, struct store *store)
{
    struct err err = {0};
    size_t count;
    json_t *out = json_object(), *checks = json_array();
    json_object_set_new(r->out, "sandbox", out);
    json_object_set_new(out, "checks", checks);
    if (!store)
        return;
    struct sandbox_host *host = sandbox_host_new(store_path(store), &err);
    if (!host) {
        json_object_set_new(out, "usable", json_false());
        problem(r, true, "sysctl kernel.unprivileged_userns_clone=1, or run as root",
                "sandboxes: %s", err.text);
        return;
    }
    json_object_set_new(out, "usable", json_boolean(sandbox_host_usable(host, &err)));
    const struct sandbox_check *list = sandbox_host_checks(host, &count);
    for (size_t i = 0; i < count; i++) {
        json_t *one = json_object();
        json_put_str(one, "name", list[i].name);
        json_object_set_new(one, "ok", json_boolean(list[i].ok));
        json_object_set_new(one, "required", json_boolean(list[i].required));
        json_put_str(one, "found", list[i].found);
        json_put_str(one, "fix", list[i].fix);
        json_array_append_new(checks, one);
        if (!list[i].ok)
            problem(r, list[i].required, list[i].fix, "sandboxes: %s: %s", list[i].name,
                    list[i].found);
    }
    sandbox_host_free(host);
}

json_t *doctor_report(struct store *store, struct discovery *discovery,
                      const struct settings *settings, bool *healthy)
{
    struct report r = {.out = json_object(), .problems = json_array(), .healthy = true};
    json_put_str(r.out, "version", STRATA_VERSION);
    platform(&r, store);
    registries(&r, discovery);
    json_object_set_new(r.out, "settings", settings_json(settings));
    store_part(&r, store);
    sandbox(&r, store);
    json_object_set_new(r.out, "problems", r.problems);
    json_object_set_new(r.out, "healthy", json_boolean(r.healthy));
    *healthy = r.healthy;
    return r.out;
}
