/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/credentials.h"

#include <fcntl.h>

#include "base/digest.h"
#include "base/http.h"
#include "base/io.h"
#include "base/mem.h"
#include "resolvers/discover_files.h"

#define MAX_ENTRIES 10000
#define MAX_SECRET  (8u << 10)

enum strength { FROM_NETRC, FROM_CLIENT };

struct secret {
    char *scheme;             /* "https", "http", or NULL: https, and http where allowed */
    char *host, *port, *path; /* path: a prefix, "/" for all */
    char *header;             /* the value of Authorization */
    char *from;
    enum strength strength;
    bool https_only;
};

struct credentials {
    VEC(struct secret) list;
    VEC(char *) http_origins; /* "host:port" */
    char *netrc;
    bool netrc_read;
};

struct credentials *credentials_new(const char *netrc)
{
    struct credentials *c = MEM_NEW(struct credentials);
    c->netrc = mem_dup_str(netrc);
    return c;
}

void credentials_free(struct credentials *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->list.n; i++) {
        struct secret *s = &c->list.v[i];
        explicit_bzero(s->header, strlen(s->header));
        free(s->scheme);
        free(s->host);
        free(s->port);
        free(s->path);
        free(s->header);
        free(s->from);
    }
    for (size_t i = 0; i < c->http_origins.n; i++)
        free(c->http_origins.v[i]);
    VEC_FREE(&c->list);
    VEC_FREE(&c->http_origins);
    free(c->netrc);
    free(c);
}

static char *lower(struct span s)
{
    char *copy = mem_dup(s);
    for (size_t i = 0; i < s.len; i++)
        if (copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] = (char)(copy[i] - 'A' + 'a');
    return copy;
}

static const char *default_port(const char *scheme)
{
    return scheme && strcmp(scheme, "http") == 0 ? "80" : "443";
}

/* No line break or other control character may get into a header. */
static bool is_header_safe(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
            return false;
    return s.len <= MAX_SECRET;
}

struct place {
    struct span scheme, host, port, path;
};

/* An absolute URL, or "//host[:port][/path]" or, bare, "host[:port][/path]". */
static bool split_place(struct span where, struct place *out)
{
    struct url_parts u;
    size_t cut = 0;
    if (url_split(where, &u)) {
        *out = (struct place){u.scheme, u.host, u.port, u.path};
        return u.host.len > 0;
    }
    if (span_find(where, SPAN("://")) < where.len)
        return false;
    struct span rest = span_starts(where, SPAN("//")) ? span_skip(where, 2) : where;
    while (cut < rest.len && rest.ptr[cut] != '/')
        cut++;
    AUTO_BUF struct buf full = BUF(9u << 10);
    buf_printf(&full, "https://%.*s/", (int)(cut > 8000 ? 8000 : cut), rest.ptr);
    if (cut == 0 || !url_split(buf_span(&full), &u) || u.userinfo.len > 0)
        return false;
    size_t host_at = (size_t)(u.host.ptr - full.ptr) - strlen("https://");
    out->scheme = SPAN("");
    out->host = span_slice(rest, host_at, host_at + u.host.len);
    out->port = SPAN("");
    if (u.port.len > 0) {
        size_t port_at = (size_t)(u.port.ptr - full.ptr) - strlen("https://");
        out->port = span_slice(rest, port_at, port_at + u.port.len);
    }
    out->path = span_skip(rest, cut);
    return true;
}

static struct secret *add(struct credentials *c, struct span where, struct span header,
                          const char *from)
{
    struct place p;
    if (c->list.n >= MAX_ENTRIES || header.len == 0 || !is_header_safe(header) ||
        !split_place(where, &p))
        return NULL;
    struct secret *s = VEC_PUSH(&c->list);
    s->scheme = p.scheme.len > 0 ? lower(p.scheme) : NULL;
    s->host = lower(p.host);
    s->port = p.port.len > 0 ? mem_dup(p.port)
              : s->scheme    ? mem_dup_str(default_port(s->scheme))
                             : NULL;
    /* The query is no part of a place. */
    s->path = mem_dup(span_slice(p.path, 0, span_find_char(p.path, '?')));
    s->header = mem_dup(header);
    s->from = mem_dup_str(from);
    s->strength = FROM_CLIENT;
    return s;
}

void credentials_add_header(struct credentials *c, struct span where, struct span header,
                            const char *from)
{
    add(c, where, header, from);
}

static struct secret *add_basic(struct credentials *c, struct span where, struct span user,
                                struct span password, const char *from)
{
    AUTO_BUF struct buf pair = BUF(MAX_SECRET / 2), header = BUF(MAX_SECRET);
    buf_printf(&pair, "%.*s:", SPAN_ARG(user));
    buf_append(&pair, password);
    if (pair.overflow)
        return NULL;
    buf_str(&header, "Basic ");
    char *room = buf_room(&header, 4 * ((pair.len + 2) / 3) + 1);
    if (!room)
        return NULL;
    header.len += base64_encode(buf_span(&pair), false, room);
    struct secret *s = add(c, where, buf_span(&header), from);
    explicit_bzero(pair.ptr, pair.len);
    explicit_bzero(header.ptr, header.len);
    return s;
}

void credentials_add_basic(struct credentials *c, struct span where, struct span user,
                           struct span password, const char *from)
{
    add_basic(c, where, user, password, from);
}

static char *http_origin(const struct url_parts *u)
{
    AUTO_FREE char *host = lower(u->host);
    return u->port.len > 0 ? mem_printf("%s:%.*s", host, SPAN_ARG(u->port))
                           : mem_printf("%s:80", host);
}

void credentials_allow_http(struct credentials *c, struct span url)
{
    struct url_parts u;
    if (!url_split(url, &u) || !span_eq_nocase(u.scheme, SPAN("http")) ||
        c->http_origins.n >= MAX_ENTRIES)
        return;
    *VEC_PUSH(&c->http_origins) = http_origin(&u);
}

void credentials_strip_url(struct credentials *c, struct span url, const char *from,
                           struct buf *out)
{
    struct url_parts u;
    if (!url_split(url, &u) || u.userinfo.len == 0) {
        buf_append(out, url);
        return;
    }
    size_t user_at = (size_t)(u.userinfo.ptr - url.ptr);
    size_t start = out->len;
    buf_append(out, span_slice(url, 0, user_at));
    buf_append(out, span_skip(url, user_at + u.userinfo.len + 1)); /* the '@' too */
    struct span user = u.userinfo, password = SPAN("");
    span_cut_char(u.userinfo, ':', &user, &password);
    AUTO_BUF struct buf user_text = BUF(MAX_SECRET), password_text = BUF(MAX_SECRET);
    url_percent_decode(user, &user_text);
    url_percent_decode(password, &password_text);
    if (!out->overflow && url_split(span_skip(buf_span(out), start), &u)) {
        /* First for its own folder; then for the whole origin, where files often lie in
         * another folder than the index that names them. */
        struct span clean = span_skip(buf_span(out), start);
        struct span origin = span_slice(clean, 0, (size_t)(u.path.ptr - clean.ptr));
        add_basic(c, clean, buf_span(&user_text), buf_span(&password_text), from);
        add_basic(c, origin, buf_span(&user_text), buf_span(&password_text), from);
    }
    if (password_text.ptr)
        explicit_bzero(password_text.ptr, password_text.len);
}

/* netrc and apt's auth.conf: words in pairs, whatever the lines. */

static bool netrc_word(struct span *rest, struct span *word)
{
    while (next_word(rest, word)) {
        if (word->ptr[0] != '#')
            return true;
        struct span line;
        /* A comment runs to the end of its line; the word may have been its last. */
        if (rest->len > 0 && rest->ptr[0] != '\n')
            span_next_line(rest, &line);
    }
    return false;
}

struct machine {
    struct span name, login, password;
    bool open;
};

static void close_machine(struct credentials *c, struct machine *m, enum strength strength,
                          const char *from)
{
    if (m->open && m->name.len > 0 && (m->login.len > 0 || m->password.len > 0)) {
        struct secret *s = add_basic(c, m->name, m->login, m->password, from);
        if (s) {
            s->strength = strength;
            s->https_only = strength == FROM_CLIENT;
        }
    }
    *m = (struct machine){0};
}

/* A macro's text ends at the first empty line. */
static void skip_macro(struct span *rest)
{
    struct span line;
    while (span_next_line(rest, &line))
        if (span_trim(line).len == 0 && line.ptr != NULL)
            return;
}

static struct span unquoted(struct span word)
{
    return word.len >= 2 && word.ptr[0] == '"' && word.ptr[word.len - 1] == '"'
               ? span_slice(word, 1, word.len - 1)
               : word;
}

static void read_machines(struct credentials *c, struct span text, enum strength strength,
                          const char *from)
{
    struct machine m = {0};
    struct span word, value;
    while (netrc_word(&text, &word)) {
        if (span_eq(word, SPAN("machine"))) {
            close_machine(c, &m, strength, from);
            m.open = next_word(&text, &m.name);
        } else if (span_eq(word, SPAN("default"))) {
            close_machine(c, &m, strength, from);
        } else if (span_eq(word, SPAN("macdef"))) {
            skip_macro(&text);
        } else if (span_eq(word, SPAN("login")) && next_word(&text, &value)) {
            m.login = unquoted(value);
        } else if (span_eq(word, SPAN("password")) && next_word(&text, &value)) {
            m.password = unquoted(value);
        } else if (span_eq(word, SPAN("account"))) {
            next_word(&text, &value);
        }
    }
    close_machine(c, &m, strength, from);
}

void credentials_add_netrc(struct credentials *c, struct span text, const char *from)
{
    read_machines(c, text, FROM_NETRC, from);
}

void credentials_add_apt(struct credentials *c, struct span text, const char *from)
{
    read_machines(c, text, FROM_CLIENT, from);
}

static void read_netrc(struct credentials *c)
{
    struct err err;
    AUTO_BUF struct buf text = BUF(1u << 20);
    if (c->netrc_read || !c->netrc)
        return;
    c->netrc_read = true;
    if (io_read_file(AT_FDCWD, c->netrc, &text, &err))
        credentials_add_netrc(c, buf_span(&text), c->netrc);
    if (text.ptr)
        explicit_bzero(text.ptr, text.len);
}

/* Looking up. */

static bool http_allowed(const struct credentials *c, const struct url_parts *u)
{
    AUTO_FREE char *origin = http_origin(u);
    for (size_t i = 0; i < c->http_origins.n; i++)
        if (strcmp(c->http_origins.v[i], origin) == 0)
            return true;
    return false;
}

static bool scheme_fits(const struct credentials *c, const struct secret *s,
                        const struct url_parts *u)
{
    bool https = span_eq_nocase(u->scheme, SPAN("https"));
    if (s->scheme)
        return span_eq_nocase(u->scheme, span_str(s->scheme));
    return https || (!s->https_only && http_allowed(c, u));
}

static bool port_fits(const struct secret *s, const struct url_parts *u)
{
    AUTO_FREE char *scheme = lower(u->scheme);
    struct span port = u->port.len > 0 ? u->port : span_str(default_port(scheme));
    /* Without a port of its own, an entry without a scheme is for the usual one. */
    return span_eq_str(port, s->port ? s->port : default_port(scheme));
}

/* "/a" is in front of "/a", "/a/b" and "/a?x", not of "/ab". */
static bool path_fits(const struct secret *s, struct span path)
{
    struct span prefix = span_str(s->path);
    path = span_slice(path, 0, span_find_char(path, '?'));
    if (prefix.len == 0 || span_eq(prefix, SPAN("/")))
        return true;
    if (span_ends(prefix, SPAN("/")))
        prefix = span_slice(prefix, 0, prefix.len - 1);
    return span_starts(path, prefix) && (path.len == prefix.len || path.ptr[prefix.len] == '/');
}

/* A path that climbs could leave the prefix once the server has resolved it. */
static bool climbs(struct span path)
{
    AUTO_BUF struct buf plain = BUF(9u << 10);
    url_percent_decode(path, &plain);
    struct span rest = buf_span(&plain), piece;
    while (span_next(&rest, '/', &piece))
        if (span_eq(piece, SPAN("..")))
            return true;
    return plain.overflow;
}

static const struct secret *find_secret(struct credentials *c, const char *url)
{
    struct url_parts u;
    const struct secret *best = NULL;
    read_netrc(c);
    if (!url_split(span_str(url), &u))
        return NULL;
    bool climbing = climbs(u.path);
    for (size_t i = 0; i < c->list.n; i++) {
        const struct secret *s = &c->list.v[i];
        if (!span_eq_nocase(u.host, span_str(s->host)) || !scheme_fits(c, s, &u) ||
            !port_fits(s, &u) || !path_fits(s, u.path) || (climbing && strlen(s->path) > 1))
            continue;
        if (!best || s->strength > best->strength ||
            (s->strength == best->strength && strlen(s->path) > strlen(best->path)))
            best = s;
    }
    return best;
}

bool credentials_lookup(void *ctx, const char *url, struct buf *out)
{
    const struct secret *s = find_secret(ctx, url);
    return s && buf_str(out, s->header);
}

bool credentials_has(struct credentials *c, const char *url)
{
    return find_secret(c, url) != NULL;
}

const char *credentials_from(struct credentials *c, const char *url)
{
    const struct secret *s = find_secret(c, url);
    return s ? s->from : NULL;
}
