/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/proc.h"
#include "cache/store.h"
#include "resolvers/discover_priv.h"

#define MAX_URLS       64
#define RUN_TIMEOUT_MS 30000

/* What a client said is asked again after a day: it may depend on more than we know of. */
#define MEMO_MAX_AGE_MS (24 * 3600 * 1000LL)

/* Raise when the meaning of what is remembered changes. */
#define MEMO_VERSION 1

extern char **environ;

static const char *const *env_list(const struct find *f)
{
    const char *const *env = discover_options(f->d)->env;
    return env ? env : (const char *const *)environ;
}

const char *find_env_at(struct find *f, size_t i)
{
    const char *const *env = env_list(f);
    return env ? env[i] : NULL;
}

const char *find_env(struct find *f, const char *name)
{
    size_t len = strlen(name);
    const char *entry;
    for (size_t i = 0; (entry = find_env_at(f, i)); i++)
        if (strncmp(entry, name, len) == 0 && entry[len] == '=')
            return entry[len + 1] ? entry + len + 1 : NULL;
    return NULL;
}

const char *find_home(struct find *f)
{
    return find_env(f, "HOME");
}

const char *find_config_home(struct find *f)
{
    const char *xdg = find_env(f, "XDG_CONFIG_HOME");
    return xdg ? xdg : find_join(f, find_home(f), ".config");
}

const char *find_project(struct find *f)
{
    return discover_options(f->d)->project_dir;
}

const char *find_system(struct find *f, const char *path)
{
    const char *root = discover_options(f->d)->root;
    return root ? arena_printf(f->arena, "%s%s", root, path) : path;
}

const char *find_join(struct find *f, const char *dir, const char *rest)
{
    return dir ? arena_printf(f->arena, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, rest) : NULL;
}

const char *find_real(struct find *f, const char *path)
{
    char real[PATH_MAX];
    return path && realpath(path, real) ? arena_str(f->arena, span_str(real)) : NULL;
}

const char *find_program(struct find *f, const char *name)
{
    struct span path = span_str(find_env(f, "PATH")), dir;
    struct stat st;
    while (span_next(&path, ':', &dir)) {
        if (dir.len == 0 || dir.ptr[0] != '/')
            continue;
        const char *full = arena_printf(f->arena, "%.*s/%s", SPAN_ARG(dir), name);
        if (stat(full, &st) == 0 && S_ISREG(st.st_mode) && access(full, X_OK) == 0)
            return full;
    }
    return NULL;
}

const char *find_up(struct find *f, const char *path, int levels)
{
    struct span p = span_str(path), last;
    while (levels-- > 0)
        if (!span_cut_last_char(p, '/', &p, &last))
            return NULL;
    return path ? arena_str(f->arena, p.len > 0 ? p : SPAN("/")) : NULL;
}

void find_note(struct find *f, const char *place, const char *what)
{
    AUTO_BUF struct buf line = BUF(8192);
    buf_printf(&line, "%s: %s", place, what);
    json_t *text = json_span(buf_span(&line));
    if (text)
        json_array_append_new(f->looked, text);
}

static void note_state(struct find *f, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        buf_printf(&f->state, "%s -\n", path);
        return;
    }
    buf_printf(&f->state, "%s %llu %lld.%09ld %lld\n", path, (unsigned long long)st.st_ino,
               (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (long long)st.st_size);
}

bool find_read(struct find *f, const char *path, struct buf *out)
{
    struct err err = {0};
    if (!path)
        return false;
    note_state(f, path);
    buf_reset(out);
    if (access(path, F_OK) != 0) {
        find_note(f, path, "not there");
        return false;
    }
    if (!io_read_file(AT_FDCWD, path, out, &err)) {
        find_note(f, path, err.code == ERR_DENIED ? "not readable" : err.text);
        return false;
    }
    return true;
}

const char *const *find_glob(struct find *f, const char *pattern)
{
    glob_t g = {0};
    if (!pattern || glob(pattern, 0, NULL, &g) != 0) {
        globfree(&g);
        return arena_array(f->arena, 1, sizeof(char *));
    }
    const char **list = arena_array(f->arena, g.gl_pathc + 1, sizeof(*list));
    for (size_t i = 0; i < g.gl_pathc; i++)
        list[i] = arena_str(f->arena, span_str(g.gl_pathv[i]));
    globfree(&g);
    return list;
}

/* Addresses. */

bool find_is_http(struct span url)
{
    struct url_parts parts;
    return url_split(url, &parts) && parts.host.len > 0;
}

bool find_clean_url(struct find *f, struct span url, const char *from, const char **out,
                    struct err *err)
{
    AUTO_BUF struct buf clean = BUF(9u << 10);
    struct span fragment = SPAN("");
    url = span_trim(url);
    if (!find_is_http(url)) {
        /* What is in front of an @ may be a password. */
        struct span before, shown = url;
        if (span_cut_last_char(url, '@', &before, &shown))
            return err_set(err, ERR_INVALID,
                           "%s: an address that is not an http or https URL: ...@%.*s", from,
                           (int)(shown.len > 200 ? 200 : shown.len), shown.ptr);
        return err_set(err, ERR_INVALID, "%s: \"%.*s\" is not an http or https URL", from,
                       (int)(url.len > 200 ? 200 : url.len), url.ptr);
    }
    span_cut_char(url, '#', &url, &fragment);
    credentials_strip_url(f->credentials, url, from, &clean);
    if (!span_ends(buf_span(&clean), SPAN("/")))
        buf_char(&clean, '/');
    if (span_starts(buf_span(&clean), SPAN("http:")))
        credentials_allow_http(f->credentials, buf_span(&clean));
    *out = arena_str(f->arena, buf_span(&clean));
    return true;
}

bool find_add_url(struct find *f, struct span url, const char *from, struct err *err)
{
    const char *clean;
    if (!find_clean_url(f, url, from, &clean, err))
        return false;
    if (f->configured)
        return true;
    if (f->urls.n == MAX_URLS)
        return err_set(err, ERR_INVALID, "%s: more than %d addresses", from, MAX_URLS);
    for (size_t i = 0; i < f->urls.n; i++)
        if (strcmp(f->urls.v[i], clean) == 0)
            return true;
    *VEC_PUSH(&f->urls) = clean;
    if (!f->from)
        f->from = from;
    return true;
}

bool find_add_extra(struct find *f, const char *scope, struct span url, const char *from,
                    struct err *err)
{
    const char *clean;
    if (!find_clean_url(f, url, from, &clean, err))
        return false;
    if (f->extra.n == MAX_URLS)
        return err_set(err, ERR_INVALID, "%s: more than %d extra addresses", from, MAX_URLS);
    if (f->configured && !scope)
        return true;
    for (size_t i = 0; i < f->extra.n; i++)
        if (scope ? f->extra.v[i].scope && strcmp(f->extra.v[i].scope, scope) == 0
                  : strcmp(f->extra.v[i].url, clean) == 0)
            return true;
    *VEC_PUSH(&f->extra) = (struct registry_extra){.scope = scope, .url = clean};
    return true;
}

struct span find_quoted_after(struct span text, struct span mark)
{
    size_t at = span_find(text, mark);
    if (at == text.len)
        return SPAN("");
    struct span rest = span_skip(text, at + mark.len), line;
    for (int lines = 0; lines < 3 && span_next_line(&rest, &line); lines++) {
        for (size_t i = 0; i < line.len; i++) {
            if (line.ptr[i] != '"' && line.ptr[i] != '\'')
                continue;
            struct span tail = span_skip(line, i + 1);
            size_t end = span_find_char(tail, line.ptr[i]);
            return end < tail.len ? span_slice(tail, 0, end) : SPAN("");
        }
    }
    return SPAN("");
}

/* Memory. */

static struct digest memo_key(struct find *f, const char *more)
{
    AUTO_BUF struct buf key = BUF(2u << 20);
    buf_printf(&key, "%d %s %s\n", MEMO_VERSION, f->manager, more);
    buf_append(&key, buf_span(&f->state));
    return digest_of(buf_span(&key));
}

bool find_recall(struct find *f, const char *kind, const char *more, struct buf *out)
{
    struct store *store = discover_options(f->d)->store;
    struct digest key;
    int64_t age_ms = 0;
    if (!store)
        return false;
    key = memo_key(f, more);
    buf_reset(out);
    return store_memo_get(store, kind, &key, out, &age_ms) && age_ms >= 0 &&
           age_ms < MEMO_MAX_AGE_MS;
}

void find_remember(struct find *f, const char *kind, const char *more, struct span text)
{
    struct store *store = discover_options(f->d)->store;
    if (!store)
        return;
    struct digest key = memo_key(f, more);
    store_memo_put(store, kind, &key, text);
}

/* A hash of argv and of the variables that may change the answer: they may hold secrets. */
static void run_key(struct find *f, const char *const *argv, const char *prefix, const char *cwd,
                    char hex[DIGEST_HEX_SIZE])
{
    AUTO_BUF struct buf key = BUF(1u << 20);
    const char *entry;
    note_state(f, argv[0]);
    for (size_t i = 0; argv[i]; i++)
        buf_printf(&key, "%s\n", argv[i]);
    buf_printf(&key, "in %s\n", cwd ? cwd : "");
    for (size_t i = 0; (entry = find_env_at(f, i)); i++)
        if (strncasecmp(entry, prefix, strlen(prefix)) == 0 || strncmp(entry, "HOME=", 5) == 0 ||
            strncmp(entry, "PATH=", 5) == 0)
            buf_printf(&key, "%s\n", entry);
    struct digest d = digest_of(buf_span(&key));
    digest_hex(&d, hex);
}

bool find_run(struct find *f, const char *const *argv, const char *prefix, const char *cwd,
              struct buf *out)
{
    char hex[DIGEST_HEX_SIZE];
    struct err err = {0};
    int status = 0;
    if (!argv[0] || f->configured || discover_options(f->d)->no_run)
        return false;
    run_key(f, argv, prefix, cwd, hex);
    if (find_recall(f, "client-says", hex, out))
        return true;
    buf_reset(out);
    struct proc p = {
        .argv = argv, .env = env_list(f), .cwd = cwd, .out = out, .timeout_ms = RUN_TIMEOUT_MS};
    if (!proc_run(&p, &status, &err)) {
        find_note(f, argv[0], err.text);
        return false;
    }
    if (status != 0) {
        find_note(f, argv[0], "was asked and failed");
        return false;
    }
    find_remember(f, "client-says", hex, buf_span(out));
    return true;
}
