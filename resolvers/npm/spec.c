/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/npm/spec.h"

#include <ctype.h>

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Characters that stand for themselves in an URL's path component. */
static size_t plain_length(struct span s)
{
    size_t i = 0;
    while (i < s.len && s.ptr[i] &&
           (letter(s.ptr[i]) || isdigit((unsigned char)s.ptr[i]) || strchr("-_.!~*'()", s.ptr[i])))
        i++;
    return i;
}

static bool starts_nocase(struct span s, struct span prefix)
{
    return s.len >= prefix.len && span_eq_nocase(span_slice(s, 0, prefix.len), prefix);
}

static bool ends_nocase(struct span s, struct span suffix)
{
    return s.len >= suffix.len && span_eq_nocase(span_skip(s, s.len - suffix.len), suffix);
}

const char *npm_name_problem(struct span name)
{
    struct span scope = span_of("", 0), rest = name;
    if (!name.len)
        return "a name cannot be empty";
    if (name.len > NPM_NAME_MAX)
        return "the name is too long";
    if (name.ptr[0] == '@') {
        if (!span_cut_char(span_skip(name, 1), '/', &scope, &rest) || !scope.len)
            return "a scoped name is @scope/name";
        if (plain_length(scope) < scope.len)
            return "a scope has letters, digits and - _ . only";
    }
    if (!rest.len)
        return "a name cannot be empty";
    if (strchr(name.ptr[0] == '@' ? "." : ".-_", rest.ptr[0]))
        return "a name cannot start with . - or _";
    if (plain_length(rest) < rest.len)
        return "a name has letters, digits and - _ . only";
    if (span_eq_nocase(name, SPAN("node_modules")) || span_eq_nocase(name, SPAN("favicon.ico")))
        return "this name is reserved";
    return NULL;
}

static bool check_name(struct span name, size_t offset, struct err *err)
{
    const char *problem = npm_name_problem(name);
    if (problem)
        return err_set(err, ERR_INVALID, "\"%.*s\": not a package name at offset %zu: %s",
                       SPAN_ARG(name), offset, problem);
    return true;
}

/* "http:", "git+ssh:", "npm:" at the start; its length with the colon, 0: none. */
static size_t scheme_length(struct span s)
{
    size_t i = starts_nocase(s, SPAN("git+")) ? 4 : 0, first = i;
    while (i < s.len && letter(s.ptr[i]))
        i++;
    return i > first && i < s.len && s.ptr[i] == ':' ? i + 1 : 0;
}

/* user@host.tld:path */
static bool is_scp_git(struct span s)
{
    struct span user, host, path, domain, rest;
    return span_cut_char(s, '@', &user, &host) && user.len &&
           span_cut_char(host, ':', &domain, &path) && path.len &&
           span_cut_char(domain, '.', &user, &rest) && user.len && rest.len;
}

static bool is_disk_path(struct span s)
{
    return starts_nocase(s, SPAN("file:")) || (s.len && (s.ptr[0] == '.' || s.ptr[0] == '/')) ||
           span_starts(s, SPAN("~/")) || (s.len > 1 && letter(s.ptr[0]) && s.ptr[1] == ':');
}

static bool is_archive_name(struct span s)
{
    return ends_nocase(s, SPAN(".tgz")) || ends_nocase(s, SPAN(".tar.gz")) ||
           ends_nocase(s, SPAN(".tar"));
}

/* user/repo or user/repo#ref */
static bool is_forge_shorthand(struct span s)
{
    size_t hash = span_find_char(s, '#');
    struct span repo = span_slice(s, 0, hash), user, project;
    if (!span_cut_char(repo, '/', &user, &project) || !user.len || !project.len ||
        span_has(project, '/') || repo.ptr[0] == '.')
        return false;
    for (size_t i = 0; i < repo.len; i++)
        if (repo.ptr[i] == '@' || repo.ptr[i] == ':' || isspace((unsigned char)repo.ptr[i]))
            return false;
    return true;
}

/* https://forge/user/project[.git][/tree/ref]: npm clones those, whatever the scheme says. */
static bool is_forge_url(struct span url)
{
    static const struct span forges[] = {SPAN_INIT("github.com"), SPAN_INIT("gitlab.com"),
                                         SPAN_INIT("bitbucket.org"), SPAN_INIT("gist.github.com"),
                                         SPAN_INIT("git.sr.ht")};
    struct span rest, host, path, user, project, more = SPAN("");
    if (!span_cut(url, SPAN("://"), &host, &rest) || !span_cut_char(rest, '/', &host, &path))
        return false;
    if (span_starts(host, SPAN("www.")))
        host = span_skip(host, 4);
    path = span_slice(path, 0, span_find_char(path, '#'));
    if (!span_cut_char(path, '/', &user, &project))
        return span_eq(host, SPAN("gist.github.com")) && path.len;
    span_cut_char(project, '/', &project, &more);
    if (!user.len || !project.len || (more.len && !span_starts(more, SPAN("tree/"))))
        return false;
    for (size_t i = 0; i < COUNT(forges); i++)
        if (span_eq_nocase(host, forges[i]))
            return true;
    return false;
}

static bool in_list(struct span s, const struct span *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (span_eq_nocase(s, list[i]))
            return true;
    return false;
}

static bool from_url(struct npm_spec *out, size_t scheme, struct err *err)
{
    static const struct span git[] = {
        SPAN_INIT("git:"),       SPAN_INIT("git+ssh:"),   SPAN_INIT("git+http:"),
        SPAN_INIT("git+https:"), SPAN_INIT("git+file:"),  SPAN_INIT("git+rsync:"),
        SPAN_INIT("git+ftp:"),   SPAN_INIT("ssh:"),       SPAN_INIT("github:"),
        SPAN_INIT("gitlab:"),    SPAN_INIT("bitbucket:"), SPAN_INIT("gist:"),
        SPAN_INIT("sourcehut:")};
    static const struct span foreign[] = {SPAN_INIT("workspace:"), SPAN_INIT("portal:"),
                                          SPAN_INIT("link:"),      SPAN_INIT("patch:"),
                                          SPAN_INIT("catalog:"),   SPAN_INIT("jsr:")};
    struct span s = span_slice(out->text, 0, scheme);
    if (in_list(s, git, COUNT(git)) || is_forge_url(out->text))
        out->kind = NPM_SPEC_GIT;
    else if (in_list(s, foreign, COUNT(foreign)))
        out->kind = NPM_SPEC_WORKSPACE;
    else if (span_eq_nocase(s, SPAN("https:")) || span_eq_nocase(s, SPAN("http:")))
        out->kind = NPM_SPEC_URL;
    else
        return err_set(err, ERR_INVALID,
                       "\"%.*s\": no package comes by \"%.*s\"; allowed: a version, a range, a "
                       "tag, npm:NAME@SPEC, or an http(s) URL of a tarball",
                       SPAN_ARG(out->text), SPAN_ARG(s));
    return true;
}

static bool from_registry(struct arena *a, struct npm_spec *out, struct err *err)
{
    out->any = !out->text.len || span_eq(out->text, SPAN("*"));
    if (semver_parse(out->text, SEMVER_LOOSE, &out->version)) {
        out->kind = NPM_SPEC_VERSION;
        return true;
    }
    out->range = semver_range_parse(a, out->text, SEMVER_LOOSE);
    out->kind = out->range ? NPM_SPEC_RANGE : NPM_SPEC_TAG;
    size_t bad = out->range ? out->text.len : plain_length(out->text);
    if (bad < out->text.len)
        return err_set(err, ERR_INVALID,
                       "\"%.*s\": neither a version, a range nor a tag (offset %zu); allowed: "
                       "1.2.3, ^1.2, \">=1 <3\", \"1.x || 2.x\", a tag such as latest",
                       SPAN_ARG(out->text), bad);
    return true;
}

static bool from_alias(struct arena *a, struct npm_spec *out, struct err *err)
{
    struct npm_spec target;
    struct span text = span_trim(span_skip(out->text, 4));
    if (starts_nocase(text, SPAN("npm:")))
        return err_set(err, ERR_INVALID, "\"%.*s\": an alias of an alias", SPAN_ARG(out->text));
    if (!npm_spec_parse(a, text, &target, err))
        return err_wrap(err, "alias");
    if (target.alias || !target.name.len || target.kind > NPM_SPEC_TAG)
        return err_set(err, ERR_INVALID, "\"%.*s\": an alias is npm:NAME@VERSION, RANGE or TAG",
                       SPAN_ARG(out->text));
    if (out->name.len)
        target.name = out->name;
    target.alias = true;
    *out = target;
    return true;
}

static bool resolve(struct arena *a, struct npm_spec *out, struct err *err)
{
    size_t scheme = scheme_length(out->text);
    if (is_disk_path(out->text)) {
        out->kind = is_archive_name(out->text) ? NPM_SPEC_FILE : NPM_SPEC_DIRECTORY;
        return true;
    }
    if (starts_nocase(out->text, SPAN("npm:")))
        return from_alias(a, out, err);
    if (is_forge_shorthand(out->text) || is_scp_git(out->text)) {
        out->kind = NPM_SPEC_GIT;
        return true;
    }
    if (scheme)
        return from_url(out, scheme, err);
    if (span_has(out->text, '/') || is_archive_name(out->text)) {
        out->kind = is_archive_name(out->text) ? NPM_SPEC_FILE : NPM_SPEC_DIRECTORY;
        return true;
    }
    return from_registry(a, out, err);
}

static bool printable(struct span s, struct err *err)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 && !isspace((unsigned char)s.ptr[i]))
            return err_set(err, ERR_INVALID, "a control character at offset %zu", i);
    return true;
}

bool npm_spec_parse(struct arena *a, struct span arg, struct npm_spec *out, struct err *err)
{
    *out = (struct npm_spec){0};
    if (!arg.len)
        return err_set(err, ERR_INVALID, "an empty spec; write NAME or NAME@VERSION");
    if (arg.len > NPM_SPEC_MAX)
        return err_set(err, ERR_INVALID, "a spec of %zu bytes, at most %d are allowed", arg.len,
                       NPM_SPEC_MAX);
    if (arg.ptr[0] == '-')
        return err_set(err, ERR_INVALID, "\"%.*s\": a spec cannot start with \"-\"", SPAN_ARG(arg));
    if (!printable(arg, err))
        return false;
    size_t at = 1 + span_find_char(span_skip(arg, 1), '@');
    struct span name = span_slice(arg, 0, at);
    bool path = name.ptr[0] != '@' && (span_has(name, '/') || is_archive_name(name));
    if (is_scp_git(arg)) {
        out->text = span_trim(arg);
        out->kind = NPM_SPEC_GIT;
        return true;
    }
    if (scheme_length(arg) || path) {
        out->text = span_trim(arg);
    } else {
        out->name = name;
        out->text = at < arg.len ? span_trim(span_skip(arg, at + 1)) : SPAN("");
        if (at == arg.len && npm_name_problem(name)) {
            /* "./here" and "user/repo" have no "@"; anything else is a bad name. */
            out->name = span_of("", 0);
            out->text = arg;
            if (!is_disk_path(arg) && !is_forge_shorthand(arg))
                return check_name(name, 0, err);
        }
    }
    if (out->name.len && !check_name(out->name, 0, err))
        return false;
    if (!out->text.len)
        out->text = SPAN("*");
    out->package = out->name;
    return resolve(a, out, err);
}

bool npm_spec_of_dependency(struct arena *a, struct span name, struct span value,
                            struct npm_spec *out, struct err *err)
{
    *out = (struct npm_spec){.name = name, .package = name, .text = span_trim(value)};
    if (value.len > NPM_SPEC_MAX)
        return err_set(err, ERR_INVALID, "the spec of %.*s has %zu bytes", SPAN_ARG(name),
                       value.len);
    return check_name(name, 0, err) && printable(value, err) && resolve(a, out, err);
}

bool npm_spec_supported(const struct npm_spec *spec, struct err *err)
{
    static const char *const why[] = {
        [NPM_SPEC_GIT] = "comes from a git repository",
        [NPM_SPEC_FILE] = "is a file on a disk",
        [NPM_SPEC_DIRECTORY] = "is a folder on a disk",
        [NPM_SPEC_WORKSPACE] = "uses a protocol that only workspaces know",
    };
    if (spec->kind < NPM_SPEC_GIT)
        return true;
    return err_set(err, ERR_UNSUPPORTED,
                   "\"%.*s\" %s, which has no digest to lock; write NAME@VERSION from the "
                   "registry, or the http(s) URL of a tarball",
                   SPAN_ARG(spec->text), why[spec->kind]);
}
