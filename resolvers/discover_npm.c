/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/discover_files.h"
#include "resolvers/discover_priv.h"

/* npm's settings from the strongest source to the weakest: variables, the project's .npmrc, the
 * user's, the global one, the one beside npm itself. The first that sets a key wins. */
struct npm_setting {
    const char *key;
    struct span value;
    const char *from;
};

struct npm_settings {
    struct find *f;
    VEC(struct npm_setting) list;
};

static const struct npm_setting *setting(const struct npm_settings *s, const char *key)
{
    for (size_t i = 0; i < s->list.n; i++)
        if (strcmp(s->list.v[i].key, key) == 0)
            return &s->list.v[i];
    return NULL;
}

static void add_setting(struct npm_settings *s, struct span key, struct span value,
                        const char *from)
{
    if (s->list.n >= ENTRIES_MAX)
        return;
    *VEC_PUSH(&s->list) =
        (struct npm_setting){.key = arena_str(s->f->arena, key), .value = value, .from = from};
}

static const char *get_variable(void *ctx, const char *name)
{
    return find_env(ctx, name);
}

static bool read_npmrc(struct npm_settings *s, const char *path, struct err *err)
{
    struct find *f = s->f;
    AUTO_BUF struct buf text = BUF(DISCOVER_MAX_FILE);
    struct entries entries = {0};
    if (!find_read(f, path, &text))
        return true;
    struct span copy = arena_span(f->arena, buf_span(&text));
    bool ok = entries_npm(copy, f->arena, &entries, err);
    /* Within one file the last one counts. */
    for (size_t i = entries.n; ok && i-- > 0;)
        add_setting(s, npm_expand(entries.v[i].key, f->arena, get_variable, f),
                    npm_expand(entries.v[i].value, f->arena, get_variable, f),
                    arena_printf(f->arena, "%s (line %zu)", path, entries.v[i].line));
    VEC_FREE(&entries);
    find_note(f, path, "read");
    return ok || err_wrap(err, "%s", path);
}

/* npm_config_KEY in either case; '_' is '-' but at the front, and in //host/ keys. */
static void read_variables(struct npm_settings *s)
{
    struct find *f = s->f;
    const char *entry;
    for (size_t i = 0; (entry = find_env_at(f, i)); i++) {
        struct span key, value;
        if (strncasecmp(entry, "npm_config_", 11) != 0 ||
            !span_cut_char(span_str(entry + 11), '=', &key, &value) || value.len == 0)
            continue;
        char *name = arena_str(f->arena, key);
        for (size_t k = 0; k < key.len && strncmp(name, "//", 2) != 0; k++) {
            if (name[k] >= 'A' && name[k] <= 'Z')
                name[k] = (char)(name[k] - 'A' + 'a');
            else if (k > 0 && name[k] == '_')
                name[k] = '-';
        }
        add_setting(s, span_str(name), npm_expand(value, f->arena, get_variable, f),
                    arena_printf(f->arena, "the variable %.*s", (int)(11 + key.len), entry));
    }
}

/* The folder of npm itself: above its program, or where installations put it. */
static const char *npm_folder(struct find *f)
{
    static const char *const usual[] = {"/usr/lib/node_modules/npm",
                                        "/usr/local/lib/node_modules/npm", "/usr/share/nodejs/npm"};
    const char *program = find_real(f, find_program(f, "npm"));
    const char *dir = find_up(f, program, 2);
    if (dir && find_real(f, find_join(f, dir, "package.json")))
        return dir;
    dir =
        find_join(f, find_up(f, find_real(f, find_program(f, "node")), 2), "lib/node_modules/npm");
    if (find_real(f, find_join(f, dir, "package.json")))
        return dir;
    for (size_t i = 0; i < COUNT(usual); i++) {
        dir = find_system(f, usual[i]);
        if (find_real(f, find_join(f, dir, "package.json")))
            return dir;
    }
    return NULL;
}

static const char *text_of(const struct npm_setting *setting, struct arena *a)
{
    return setting ? arena_str(a, setting->value) : NULL;
}

/* $PREFIX/etc/npmrc; the prefix is the folder above node's bin unless something sets it. */
static const char *global_config(struct npm_settings *s)
{
    struct find *f = s->f;
    const char *named = text_of(setting(s, "globalconfig"), f->arena);
    const char *prefix = text_of(setting(s, "prefix"), f->arena);
    if (named)
        return named;
    if (!prefix)
        prefix = find_env(f, "PREFIX");
    if (!prefix)
        prefix = find_up(f, find_real(f, find_program(f, "node")), 2);
    if (!prefix)
        prefix = find_system(f, "/usr");
    return find_join(f, prefix, "etc/npmrc");
}

static bool read_settings(struct npm_settings *s, const char *npm, struct err *err)
{
    struct find *f = s->f;
    const char *home_config = find_join(f, find_home(f), ".npmrc");
    const char *project = find_join(f, find_project(f), ".npmrc");
    read_variables(s);
    const char *user = text_of(setting(s, "userconfig"), f->arena);
    if (!user)
        user = home_config;
    const char *real = find_real(f, project), *real_user = find_real(f, user);
    if (real && (!real_user || strcmp(real, real_user) != 0) && !read_npmrc(s, project, err))
        return false;
    return read_npmrc(s, user, err) && read_npmrc(s, global_config(s), err) &&
           read_npmrc(s, find_join(f, npm, "npmrc"), err);
}

/* "//host/path/:_authToken" and its kin: what is before the last ':' says where. */
static void take_secrets(struct npm_settings *s)
{
    struct find *f = s->f;
    for (size_t i = 0; i < s->list.n; i++) {
        const struct npm_setting *x = &s->list.v[i];
        struct span where, name;
        if (strncmp(x->key, "//", 2) != 0 ||
            !span_cut_last_char(span_str(x->key), ':', &where, &name))
            continue;
        if (span_eq(name, SPAN("_authToken"))) {
            AUTO_BUF struct buf header = BUF(16u << 10);
            buf_printf(&header, "Bearer %.*s", SPAN_ARG(x->value));
            credentials_add_header(f->credentials, where, buf_span(&header), x->from);
        } else if (span_eq(name, SPAN("_auth"))) {
            AUTO_BUF struct buf header = BUF(16u << 10);
            buf_printf(&header, "Basic %.*s", SPAN_ARG(x->value));
            credentials_add_header(f->credentials, where, buf_span(&header), x->from);
        } else if (span_eq(name, SPAN("_password"))) {
            /* The password is in base64, the name in a key of its own. */
            const struct npm_setting *user =
                setting(s, arena_printf(f->arena, "%.*s:username", SPAN_ARG(where)));
            uint8_t *password = arena_alloc(f->arena, 3 * x->value.len / 4 + 3);
            size_t len = base64_decode(x->value, password);
            if (user && len != SIZE_MAX)
                credentials_add_basic(f->credentials, where, user->value, span_of(password, len),
                                      x->from);
        }
    }
}

static bool take_settings(struct npm_settings *s, struct err *err)
{
    struct find *f = s->f;
    const struct npm_setting *registry = setting(s, "registry"), *ca = setting(s, "cafile");
    const struct npm_setting *strict = setting(s, "strict-ssl");
    take_secrets(s);
    if (ca)
        json_put_span(f->details, "ca_file", ca->value);
    if (strict && span_eq(strict->value, SPAN("false")))
        json_object_set_new(f->details, "strict_ssl", json_false());
    if (registry && !find_add_url(f, registry->value, registry->from, err))
        return false;
    for (size_t i = 0; i < s->list.n; i++) {
        const struct npm_setting *x = &s->list.v[i];
        struct span scope;
        if (x->key[0] != '@' || !span_ends(span_str(x->key), SPAN(":registry")))
            continue;
        scope = span_slice(span_str(x->key), 0, strlen(x->key) - strlen(":registry"));
        if (!find_add_extra(f, arena_str(f->arena, scope), x->value, x->from, err))
            return false;
    }
    return true;
}

/* npm's definitions have `'registry', {` and soon after `default: 'URL'`; those before npm 7
 * say `registry: 'URL'`. */
static bool take_source(struct find *f, struct span text, const char *from, struct err *err)
{
    struct span url = SPAN("");
    size_t at = span_find(text, SPAN("'registry', {"));
    if (at < text.len)
        url = find_quoted_after(span_slice(text, at, at + 400), SPAN("default:"));
    if (!find_is_http(url))
        url = find_quoted_after(text, SPAN("\n    registry: "));
    if (!find_is_http(url)) {
        find_note(f, from, "names no registry");
        return true;
    }
    find_note(f, from, "npm's own default");
    return find_add_url(f, url, arena_printf(f->arena, "npm's built-in default (%s)", from), err);
}

static bool built_in(struct find *f, const char *npm, struct err *err)
{
    static const char *const sources[] = {
        "node_modules/@npmcli/config/lib/definitions/definitions.js",
        "../@npmcli/config/lib/definitions/definitions.js",
        "lib/utils/config/definitions.js",
        "lib/config/defaults.js",
    };
    AUTO_BUF struct buf text = BUF(DISCOVER_MAX_FILE);
    for (size_t i = 0; npm && i < COUNT(sources) && f->urls.n == 0; i++) {
        const char *path = find_join(f, npm, sources[i]);
        if (find_read(f, path, &text) && !take_source(f, buf_span(&text), path, err))
            return false;
    }
    if (!npm)
        find_note(f, "npm in PATH", "not there");
    return true;
}

static bool ask_npm(struct find *f, struct err *err)
{
    AUTO_BUF struct buf out = BUF(8192);
    const char *argv[] = {find_program(f, "npm"), "config", "get", "registry", NULL};
    if (!argv[0] || !find_run(f, argv, "npm_config_", "/", &out))
        return true;
    struct span url = span_trim(buf_span(&out));
    if (!find_is_http(url)) {
        find_note(f, argv[0], "names no registry");
        return true;
    }
    return find_add_url(f, url, arena_printf(f->arena, "npm (asked %s)", argv[0]), err);
}

bool discover_npm(struct find *f, struct err *err)
{
    struct npm_settings s = {.f = f};
    const char *npm = npm_folder(f);
    bool ok = read_settings(&s, npm, err) && take_settings(&s, err);
    VEC_FREE(&s.list);
    if (!ok || f->urls.n > 0 || f->configured)
        return ok;
    return built_in(f, npm, err) && (f->urls.n > 0 || ask_npm(f, err));
}
