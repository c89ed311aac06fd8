/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/discover.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/map.h"
#include "resolvers/discover_priv.h"

static const struct finder {
    const char *manager;
    bool (*find)(struct find *f, struct err *err);
    const char *example; /* what to write into the configuration */
    const char *client;  /* what to set up instead */
} finders[] = {
    {"apt", discover_apt, "apt: [\"deb https://mirror.example.com/debian bookworm main\"]",
     "an entry in apt's sources"},
    {"cargo", discover_cargo, "cargo: https://index.example.com/",
     "cargo, or a [source.crates-io] replacement in its config.toml"},
    {"gem", discover_gem, "gem: https://gems.example.com/", "rubygems, or :sources: in .gemrc"},
    {"go", discover_go, "go: https://proxy.example.com", "go, or the variable GOPROXY"},
    {"npm", discover_npm, "npm: https://npm.example.com/", "npm, or registry= in .npmrc"},
    {"pip", discover_pip, "pip: https://pypi.example.com/simple/", "pip, or index-url in pip.conf"},
};

struct found {
    bool asked, ok;
    struct registry registry;
    json_t *details, *looked;
    struct err err;
};

struct discovery {
    struct discovery_options options;
    struct arena *arena;
    struct credentials *credentials;
    struct found found[COUNT(finders)];
};

extern char **environ;

static const char *env_of(const struct discovery_options *o, const char *name)
{
    const char *const *env = o->env ? o->env : (const char *const *)environ;
    size_t len = strlen(name);
    for (size_t i = 0; env && env[i]; i++)
        if (strncmp(env[i], name, len) == 0 && env[i][len] == '=')
            return env[i][len + 1] ? env[i] + len + 1 : NULL;
    return NULL;
}

struct discovery *discovery_new(const struct discovery_options *options)
{
    struct discovery *d = MEM_NEW(struct discovery);
    d->options = *options;
    d->arena = arena_new();
    const char *netrc = env_of(options, "NETRC"), *home = env_of(options, "HOME");
    if (!netrc && home)
        netrc = arena_printf(d->arena, "%s/.netrc", home);
    d->credentials = credentials_new(netrc);
    return d;
}

void discovery_free(struct discovery *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < COUNT(finders); i++) {
        json_decref(d->found[i].details);
        json_decref(d->found[i].looked);
    }
    credentials_free(d->credentials);
    arena_free(d->arena);
    free(d);
}

struct credentials *discovery_credentials(struct discovery *d)
{
    return d->credentials;
}

const struct discovery_options *discover_options(const struct discovery *d)
{
    return &d->options;
}

/* What the configuration says. */

static bool configured_string(struct find *f, const json_t *value, const char *from,
                              struct err *err)
{
    struct span text = span_trim(span_of(json_string_value(value), json_string_length(value)));
    if (strcmp(f->manager, "go") == 0)
        return discover_go_proxies(f, text, from, err);
    if (strcmp(f->manager, "apt") == 0)
        return discover_apt_line(f, text, from, err);
    if (strcmp(f->manager, "cargo") == 0 && span_starts(text, SPAN("sparse+")))
        text = span_skip(text, 7);
    return find_add_url(f, text, from, err);
}

static bool configured_list(struct find *f, const json_t *value, const char *from, struct err *err)
{
    size_t i;
    json_t *item;
    if (json_is_string(value))
        return configured_string(f, value, from, err);
    if (!json_is_array(value))
        return err_set(err, ERR_INVALID, "%s: neither an address nor a list of them", from);
    json_array_foreach ((json_t *)(uintptr_t)value, i, item) {
        if (!json_is_string(item))
            return err_set(err, ERR_INVALID, "%s[%zu]: not a string", from, i);
        if (!configured_string(f, item, from, err))
            return false;
    }
    return true;
}

static bool configured_extra(struct find *f, const json_t *value, const char *from, struct err *err)
{
    size_t i;
    json_t *item;
    if (json_is_string(value))
        return find_add_extra(f, NULL, span_str(json_string_value(value)), from, err);
    if (!json_is_array(value))
        return err_set(err, ERR_INVALID, "%s.extra: neither an address nor a list", from);
    json_array_foreach ((json_t *)(uintptr_t)value, i, item) {
        if (!json_is_string(item))
            return err_set(err, ERR_INVALID, "%s.extra[%zu]: not a string", from, i);
        if (!find_add_extra(f, NULL, span_str(json_string_value(item)), from, err))
            return false;
    }
    return true;
}

static bool configured_scopes(struct find *f, const json_t *value, const char *from,
                              struct err *err)
{
    const char *scope;
    json_t *url;
    if (!json_is_object(value))
        return err_set(err, ERR_INVALID, "%s.scopes: not a mapping of scopes to addresses", from);
    json_object_foreach ((json_t *)(uintptr_t)value, scope, url) {
        if (scope[0] != '@' || !json_is_string(url))
            return err_set(err, ERR_INVALID,
                           "%s.scopes.%s: write it like \"@corp\": https://npm.example.com/", from,
                           scope);
        if (!find_add_extra(f, arena_str(f->arena, span_str(scope)),
                            span_str(json_string_value(url)), from, err))
            return false;
    }
    return true;
}

static bool configured_object(struct find *f, const json_t *value, const char *from,
                              struct err *err)
{
    const char *key;
    json_t *member;
    json_object_foreach ((json_t *)(uintptr_t)value, key, member) {
        bool ok = true;
        if (strcmp(key, "url") == 0 || strcmp(key, "urls") == 0)
            ok = configured_list(f, member, from, err);
        else if (strcmp(key, "extra") == 0 && strcmp(f->manager, "pip") == 0)
            ok = configured_extra(f, member, from, err);
        else if (strcmp(key, "scopes") == 0 && strcmp(f->manager, "npm") == 0)
            ok = configured_scopes(f, member, from, err);
        else if (strcmp(key, "sumdb") == 0 && strcmp(f->manager, "go") == 0 &&
                 json_is_string(member))
            discover_go_sumdb(f, span_str(json_string_value(member)));
        else
            ok = err_set(err, ERR_INVALID, "%s.%s: not known here; allowed are url%s", from, key,
                         strcmp(f->manager, "pip") == 0   ? ", extra"
                         : strcmp(f->manager, "npm") == 0 ? ", scopes"
                         : strcmp(f->manager, "go") == 0  ? ", sumdb"
                                                          : "");
        if (!ok)
            return false;
    }
    return true;
}

static bool configured(struct find *f, struct err *err)
{
    const struct discovery_options *o = &f->d->options;
    const json_t *value = json_object_get(o->configured, f->manager);
    const char *at = json_get_str(o->configured_from, f->manager);
    const char *from =
        arena_printf(f->arena, "registries.%s in %s", f->manager, at ? at : "the configuration");
    if (!value || json_is_null(value)) {
        find_note(f, from, "not set");
        return true;
    }
    if (json_is_object(value) ? !configured_object(f, value, from, err)
                              : !configured_list(f, value, from, err))
        return false;
    if (f->urls.n == 0)
        return err_set(err, ERR_INVALID, "%s: names no address", from);
    if (strcmp(f->manager, "go") == 0)
        discover_go_keys(f);
    f->from = from;
    f->configured = true;
    return true;
}

/* Asking. */

static bool nothing_found(struct find *f, const struct finder *finder, struct err *err)
{
    AUTO_BUF struct buf places = BUF(600);
    size_t i;
    json_t *place;
    json_array_foreach (f->looked, i, place) {
        buf_printf(&places, "%s%s", i ? "; " : "", json_string_value(place));
    }
    return err_set(err, ERR_NO_REGISTRY,
                   "no registry is known for %s: set up %s, or write `registries: {%s}` into "
                   "strata.yaml (looked in %s%s)",
                   f->manager, finder->client, finder->example, buf_cstr(&places),
                   places.overflow ? "; ..." : "");
}

static bool look(struct find *f, const struct finder *finder, struct err *err)
{
    if (!configured(f, err))
        return false;
    if (f->configured)
        return finder->find(f, NULL) || true; /* a damaged client's file is not needed now */
    if (!finder->find(f, err))
        return false;
    return f->urls.n > 0 || nothing_found(f, finder, err);
}

static void keep(struct discovery *d, struct find *f, struct found *found)
{
    struct arena *a = d->arena;
    const char **urls = arena_array(a, f->urls.n + 1, sizeof(*urls));
    struct registry_extra *extra = arena_array(a, f->extra.n + 1, sizeof(*extra));
    memcpy(urls, f->urls.v, f->urls.n * sizeof(*urls));
    if (f->extra.n > 0)
        memcpy(extra, f->extra.v, f->extra.n * sizeof(*extra));
    found->registry = (struct registry){
        .manager = f->manager,
        .urls = urls,
        .url_count = f->urls.n,
        .distinct = strcmp(f->manager, "apt") == 0,
        .extra = extra,
        .extra_count = f->extra.n,
        .from = f->from ? f->from : f->manager,
    };
}

static struct found *ask(struct discovery *d, const char *manager)
{
    size_t i = 0;
    while (i < COUNT(finders) && strcmp(finders[i].manager, manager) != 0)
        i++;
    if (i == COUNT(finders))
        return NULL;
    struct found *found = &d->found[i];
    if (found->asked)
        return found;
    struct find f = {
        .d = d,
        .arena = d->arena,
        .credentials = d->credentials,
        .manager = finders[i].manager,
        .details = json_object(),
        .looked = json_array(),
        .state = BUF(1u << 20),
    };
    found->asked = true;
    found->ok = look(&f, &finders[i], &found->err);
    if (found->ok)
        keep(d, &f, found);
    found->details = f.details;
    found->looked = f.looked;
    VEC_FREE(&f.urls);
    VEC_FREE(&f.extra);
    buf_release(&f.state);
    return found;
}

const struct registry *discovery_registry(struct discovery *d, const char *manager, struct err *err)
{
    struct found *found = ask(d, manager);
    if (!found) {
        err_set(err, ERR_INTERNAL, "%s: no such manager", manager);
        return NULL;
    }
    if (found->ok)
        return &found->registry;
    if (err)
        *err = found->err;
    return NULL;
}

const json_t *discovery_details(struct discovery *d, const char *manager)
{
    struct found *found = ask(d, manager);
    return found && found->ok ? found->details : NULL;
}

/* Reports. */

static void add_host(json_t *set, const char *url)
{
    struct url_parts u;
    if (!url_split(span_str(url), &u) || u.host.len == 0 || u.host.len > 255)
        return;
    char host[256];
    for (size_t i = 0; i < u.host.len; i++) {
        char c = u.host.ptr[i];
        host[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    host[u.host.len] = '\0';
    json_object_set_new(set, host, json_true());
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

json_t *discovery_hosts(struct discovery *d, const char *manager)
{
    json_t *list = json_array();
    struct found *found = ask(d, manager);
    if (!found || !found->ok)
        return list;
    AUTO_JSON json_t *set = json_object();
    for (size_t i = 0; i < found->registry.url_count; i++)
        add_host(set, found->registry.urls[i]);
    for (size_t i = 0; i < found->registry.extra_count; i++)
        add_host(set, found->registry.extra[i].url);
    const char *files = json_get_str(found->details, "files_host");
    const char *sumdb = json_get_str(found->details, "sumdb_url");
    const char *sumdb_name = json_get_str(found->details, "sumdb");
    if (files)
        json_object_set_new(set, files, json_true());
    size_t link_index;
    json_t *link;
    json_array_foreach (json_object_get(found->details, "find_links"), link_index, link) {
        if (span_starts(span_str(json_string_value(link)), SPAN("http")))
            add_host(set, json_string_value(link));
    }
    if (sumdb)
        add_host(set, sumdb);
    else if (sumdb_name && strcmp(sumdb_name, "off") != 0) /* a database's name is its host */
        json_object_set_new(set, sumdb_name, json_true());
    size_t n = 0;
    const char **names = mem_array(json_object_size(set) + 1, sizeof(*names)), *key;
    json_t *value;
    json_object_foreach (set, key, value) {
        names[n++] = key;
    }
    qsort(names, n, sizeof(*names), by_name);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_string(names[i]));
    free(names);
    return list;
}

static json_t *extra_report(struct discovery *d, const struct registry *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->extra_count; i++) {
        json_t *one = json_object();
        json_put_str(one, "scope", r->extra[i].scope);
        json_put_str(one, "url", r->extra[i].url);
        json_object_set_new(one, "credentials",
                            json_boolean(credentials_has(d->credentials, r->extra[i].url)));
        json_array_append_new(list, one);
    }
    return list;
}

json_t *discovery_report(struct discovery *d, const char *manager)
{
    json_t *report = json_object();
    struct found *found = ask(d, manager);
    json_put_str(report, "manager", manager);
    if (!found)
        return report;
    json_object_set(report, "looked", found->looked);
    if (!found->ok) {
        json_put_str(report, "error", found->err.text);
        json_put_str(report, "error_code", err_code_name(found->err.code));
        return report;
    }
    json_t *urls = json_array();
    bool secret = false;
    for (size_t i = 0; i < found->registry.url_count; i++) {
        json_array_append_new(urls, json_string(found->registry.urls[i]));
        secret = secret || credentials_has(d->credentials, found->registry.urls[i]);
    }
    json_object_set_new(report, "urls", urls);
    json_object_set_new(report, "extra", extra_report(d, &found->registry));
    json_put_str(report, "from", found->registry.from);
    json_object_set_new(report, "credentials", json_boolean(secret));
    json_object_set(report, "details", found->details);
    return report;
}
