/* SPDX-License-Identifier: Apache-2.0 */
#include "base/url.h"

#include "base/digest.h"

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool clean(struct span url)
{
    for (size_t i = 0; i < url.len; i++)
        if ((unsigned char)url.ptr[i] <= ' ' || url.ptr[i] == 0x7f)
            return false;
    return url.len <= URL_MAX_BYTES;
}

/* Position of the first of these characters, or s.len. */
static size_t find_any(struct span s, const char *chars)
{
    size_t i = 0;
    while (i < s.len && !strchr(chars, s.ptr[i]))
        i++;
    return i;
}

static bool valid_host(struct span host)
{
    bool v6 = host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
    struct span in = v6 ? span_slice(host, 1, host.len - 1) : host;
    if (in.len == 0 || in.len > 255)
        return false;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.ptr[i];
        if (v6 ? !((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f') || c == ':' ||
                   c == '.')
               : !(is_alnum(c) || c == '-' || c == '.' || c == '_'))
            return false;
    }
    return v6 ? span_has(in, ':') : in.ptr[0] != '-';
}

static bool split_authority(struct span authority, struct url_parts *out)
{
    uint64_t port;
    if (find_any(authority, "\\\"<>^`{|}") < authority.len) /* readers of URLs differ on these */
        return false;
    span_cut_last_char(authority, '@', &out->userinfo, &authority);
    size_t host_end;
    if (authority.len && authority.ptr[0] == '[')
        host_end = span_find_char(authority, ']') + 1;
    else
        host_end = span_find_char(authority, ':');
    out->host = span_slice(authority, 0, host_end);
    struct span rest = span_skip(authority, out->host.len);
    if (rest.len && rest.ptr[0] != ':')
        return false;
    out->port = span_skip(rest, 1);
    return valid_host(out->host) &&
           (out->port.len == 0 || (span_to_u64(out->port, &port) && port > 0 && port <= 65535));
}

bool url_split(struct span url, struct url_parts *out)
{
    *out = (struct url_parts){SPAN(""), SPAN(""), SPAN(""), SPAN(""), SPAN(""), SPAN("")};
    struct span rest;
    if (!clean(url) || !span_cut(url, SPAN("://"), &out->scheme, &rest))
        return false;
    if (!span_eq_nocase(out->scheme, SPAN("https")) && !span_eq_nocase(out->scheme, SPAN("http")))
        return false;
    span_cut_char(rest, '#', &rest, &out->fragment);
    size_t end = find_any(rest, "/?");
    out->path = span_skip(rest, end);
    return split_authority(span_slice(rest, 0, end), out);
}

/* Length of "scheme" when the text begins with "scheme:", else 0. */
static size_t scheme_length(struct span s)
{
    size_t i = 0;
    if (s.len == 0 || !is_alnum(s.ptr[0]) || (s.ptr[0] >= '0' && s.ptr[0] <= '9'))
        return 0;
    while (i < s.len && (is_alnum(s.ptr[i]) || strchr("+-.", s.ptr[i])))
        i++;
    return i < s.len && s.ptr[i] == ':' ? i : 0;
}

/* RFC 3986 section 5.2.4, on a path that begins with '/'. `from` is where it begins in out. */
static void append_without_dots(struct span path, struct buf *out)
{
    size_t from = out->len;
    struct span piece;
    bool folder = false; /* the path so far ends as a folder: a '/' is due */
    path = span_skip(path, 1);
    while (span_next(&path, '/', &piece)) {
        bool up = span_eq(piece, SPAN(".."));
        folder = up || span_eq(piece, SPAN("."));
        if (up)
            while (out->len > from && out->ptr[--out->len] != '/')
                ;
        if (!folder) {
            buf_char(out, '/');
            buf_append(out, piece);
        }
    }
    if (folder || out->len == from)
        buf_char(out, '/');
}

/* base's folder + reference, dots still in it. */
static void merge_paths(struct span base, struct span reference, struct buf *out)
{
    if (reference.len == 0 || reference.ptr[0] != '/') {
        size_t slash = span_find_last_char(base, '/');
        buf_append(out, slash < base.len ? span_slice(base, 0, slash + 1) : SPAN("/"));
    }
    buf_append(out, reference);
}

static struct span path_of(struct span path_and_query)
{
    return span_slice(path_and_query, 0, span_find_char(path_and_query, '?'));
}

static void append_target(const struct url_parts *b, struct span reference, struct buf *out)
{
    struct span path = path_of(reference), base_path = path_of(b->path);
    if (path.len == 0) {
        buf_append(out, base_path);
        buf_append(out, reference.len ? reference : span_skip(b->path, base_path.len));
        return;
    }
    AUTO_BUF struct buf merged = BUF(2 * URL_MAX_BYTES);
    merge_paths(base_path, path, &merged);
    append_without_dots(buf_span(&merged), out);
    buf_append(out, span_skip(reference, path.len));
}

/* A whole URL of its own ("https://..." or, with the base's scheme put before, "//..."). */
static bool append_absolute(struct span url, struct buf *out)
{
    struct url_parts p;
    if (!url_split(url, &p))
        return false;
    struct span path = path_of(p.path);
    buf_append(out, span_of(url.ptr, (size_t)(p.path.ptr - url.ptr)));
    if (path.len)
        append_without_dots(path, out);
    buf_append(out, span_skip(p.path, path.len));
    return true;
}

bool url_join(struct span base, struct span reference, bool keep_fragment, struct buf *out)
{
    struct url_parts b, check;
    struct span fragment = {0};
    AUTO_BUF struct buf url = BUF(4 * URL_MAX_BYTES);
    if (!clean(reference) || !url_split(base, &b))
        return false;
    span_cut_char(reference, '#', &reference, &fragment);
    size_t scheme = scheme_length(reference);
    if (scheme) {
        if (!append_absolute(reference, &url))
            return false;
    } else if (span_starts(reference, SPAN("//"))) {
        AUTO_BUF struct buf whole = BUF(2 * URL_MAX_BYTES);
        buf_append(&whole, b.scheme);
        buf_char(&whole, ':');
        buf_append(&whole, reference);
        if (!append_absolute(buf_span(&whole), &url))
            return false;
    } else {
        buf_append(&url, span_of(base.ptr, (size_t)(b.path.ptr - base.ptr)));
        append_target(&b, reference, &url);
    }
    if (keep_fragment && fragment.ptr) {
        buf_char(&url, '#');
        buf_append(&url, fragment);
    }
    return !url.overflow && url_split(buf_span(&url), &check) && buf_append(out, buf_span(&url));
}

static uint64_t port_of(const struct url_parts *p)
{
    uint64_t port = p->scheme.len == 5 ? 443 : 80;
    if (p->port.len)
        span_to_u64(p->port, &port);
    return port;
}

bool url_same_origin(struct span a, struct span b)
{
    struct url_parts x, y;
    return url_split(a, &x) && url_split(b, &y) && span_eq_nocase(x.scheme, y.scheme) &&
           span_eq_nocase(x.host, y.host) && port_of(&x) == port_of(&y);
}

void url_show(struct span url, struct buf *out)
{
    struct url_parts p;
    if (!url_split(url, &p)) {
        buf_str(out, "(not a URL)");
        return;
    }
    buf_append(out, p.host);
    if (p.port.len) {
        buf_char(out, ':');
        buf_append(out, p.port);
    }
    buf_append(out, path_of(p.path));
}

void url_percent_decode(struct span text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte;
        if (text.ptr[i] == '%' && i + 2 < text.len &&
            hex_decode(span_slice(text, i + 1, i + 3), &byte)) {
            buf_char(out, (char)byte);
            i += 2;
        } else {
            buf_char(out, text.ptr[i]);
        }
    }
}

struct span url_percent_decoded(struct span text, struct arena *a)
{
    if (!span_has(text, '%'))
        return text;
    AUTO_BUF struct buf out = BUF(text.len + 1);
    url_percent_decode(text, &out);
    return arena_span(a, buf_span(&out));
}

void url_percent_encode(struct span text, const char *also_safe, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (is_alnum(c) || (c && strchr("-._~", c)) || (c && also_safe && strchr(also_safe, c)))
            buf_char(out, c);
        else
            buf_printf(out, "%%%02X", (unsigned char)c);
    }
}
