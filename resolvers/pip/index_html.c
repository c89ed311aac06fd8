/* SPDX-License-Identifier: Apache-2.0 */
/* The HTML form: every <a href> is a file; a few other elements matter. This is no general
 * parser: comments are skipped, attributes read, entities in their values decoded. */
#include "base/url.h"
#include "resolvers/pip/index_priv.h"

#define MAX_ATTRIBUTES 32

struct tag {
    struct span name; /* lower case is not enforced: compare without case */
    struct span keys[MAX_ATTRIBUTES], values[MAX_ATTRIBUTES];
    size_t n;
};

static bool space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static size_t put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c > 0xffff || (c >= 0xd800 && c < 0xe000)) /* nothing an index needs */
        c = 0xfffd;
    to[0] = (char)(0xe0 | c >> 12);
    to[1] = (char)(0x80 | (c >> 6 & 0x3f));
    to[2] = (char)(0x80 | (c & 0x3f));
    return 3;
}

static bool numeric_entity(struct span body, uint32_t *out)
{
    bool hex = body.len > 1 && (body.ptr[1] | 32) == 'x';
    struct span digits = span_skip(body, hex ? 2 : 1);
    uint32_t n = 0;
    if (body.len < 2 || body.ptr[0] != '#' || digits.len == 0 || digits.len > 6)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        char c = (char)(digits.ptr[i] | 32);
        unsigned d = digits.ptr[i] >= '0' && digits.ptr[i] <= '9' ? (unsigned)(digits.ptr[i] - '0')
                     : hex && c >= 'a' && c <= 'f'                ? (unsigned)(c - 'a') + 10
                                                                  : 99;
        if (d == 99)
            return false;
        n = n * (hex ? 16 : 10) + d;
    }
    *out = n;
    return n != 0;
}

static bool entity(struct span body, uint32_t *out)
{
    static const struct {
        struct span name;
        uint32_t c;
    } named[] = {{SPAN_INIT("amp"), '&'},  {SPAN_INIT("lt"), '<'},    {SPAN_INIT("gt"), '>'},
                 {SPAN_INIT("quot"), '"'}, {SPAN_INIT("apos"), '\''}, {SPAN_INIT("nbsp"), 0xa0}};
    for (size_t i = 0; i < COUNT(named); i++) {
        if (span_eq(body, named[i].name)) {
            *out = named[i].c;
            return true;
        }
    }
    return numeric_entity(body, out);
}

static struct span decode(struct span s, struct arena *a)
{
    if (!span_has(s, '&'))
        return s;
    char *to = arena_alloc(a, s.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint32_t c;
        struct span rest = span_slice(s, i + 1, i + 12);
        size_t end = span_find_char(rest, ';');
        if (s.ptr[i] == '&' && end < rest.len && entity(span_slice(rest, 0, end), &c)) {
            n += put_utf8(to + n, c); /* never longer than the entity */
            i += end + 1;
        } else {
            to[n++] = s.ptr[i];
        }
    }
    return span_of(to, n);
}

/* One attribute at *p; false: the tag ends there. */
static bool attribute(const char **p, const char *end, struct span *key, struct span *value)
{
    const char *s = *p;
    while (s < end && (space(*s) || *s == '/'))
        s++;
    const char *from = s;
    while (s < end && !space(*s) && *s != '=' && *s != '>' && *s != '/')
        s++;
    *key = span_of(from, (size_t)(s - from));
    *value = SPAN("");
    *p = s;
    if (s == end || s == from)
        return false;
    while (s < end && space(*s))
        s++;
    if (s == end || *s != '=')
        return true;
    do
        s++;
    while (s < end && space(*s));
    if (s < end && (*s == '"' || *s == '\'')) {
        const char *close = memchr(s + 1, *s, (size_t)(end - s - 1));
        if (!close)
            return false;
        *value = span_of(s + 1, (size_t)(close - s - 1));
        s = close + 1;
    } else {
        from = s;
        while (s < end && !space(*s) && *s != '>')
            s++;
        *value = span_of(from, (size_t)(s - from));
    }
    *p = s;
    return true;
}

/* The next opening tag; false: the end. */
static bool next_tag(const char **p, const char *end, struct tag *t)
{
    for (;;) {
        const char *s = *p < end ? memchr(*p, '<', (size_t)(end - *p)) : NULL;
        if (!s) {
            *p = end;
            return false;
        }
        struct span rest = span_of(s, (size_t)(end - s));
        if (span_starts(rest, SPAN("<!--"))) {
            size_t close = span_find(rest, SPAN("-->"));
            *p = close < rest.len ? s + close + 3 : end;
            continue;
        }
        const char *from = ++s;
        while (s < end && !space(*s) && *s != '>' && *s != '/')
            s++;
        *p = s;
        t->name = span_of(from, (size_t)(s - from));
        t->n = 0;
        if (t->name.len == 0)
            continue;
        while (t->n < MAX_ATTRIBUTES && attribute(p, end, &t->keys[t->n], &t->values[t->n]))
            t->n++;
        return true;
    }
}

static bool get(const struct tag *t, struct span key, struct arena *a, struct span *out)
{
    for (size_t i = 0; i < t->n; i++) {
        if (span_eq_nocase(t->keys[i], key)) {
            *out = span_trim(decode(t->values[i], a));
            return true;
        }
    }
    return false;
}

static void scan_metadata(const struct tag *t, struct arena *a, struct pip_file *f)
{
    struct span value;
    if (!get(t, SPAN("data-core-metadata"), a, &value) &&
        !get(t, SPAN("data-dist-info-metadata"), a, &value))
        return;
    if (span_starts(value, SPAN("sha256=")))
        f->metadata_sha256 = pip_sha256_value(span_skip(value, 7));
    if (f->metadata_sha256.len)
        f->metadata = PIP_METADATA_HASHED;
    else if (!span_eq_nocase(value, SPAN("false")))
        f->metadata = PIP_METADATA_YES;
}

static void scan_anchor(const struct tag *t, struct arena *a, struct span project,
                        struct pip_page *page)
{
    struct pip_file f = {.size = -1};
    struct span href, fragment, piece;
    if (!get(t, SPAN("href"), a, &href) || href.len == 0)
        return;
    f.url = href;
    if (span_cut_char(href, '#', &f.url, &fragment))
        while (span_next(&fragment, '&', &piece))
            if (span_starts(piece, SPAN("sha256=")))
                f.sha256 = pip_sha256_value(span_skip(piece, 7));
    struct span path = span_slice(f.url, 0, span_find_char(f.url, '?'));
    size_t slash = span_find_last_char(path, '/');
    f.filename = url_percent_decoded(slash < path.len ? span_skip(path, slash + 1) : path, a);
    get(t, SPAN("data-requires-python"), a, &f.requires_python);
    f.yanked = get(t, SPAN("data-yanked"), a, &f.yanked_reason);
    scan_metadata(t, a, &f);
    pip_page_add(page, &f, project, a);
}

static bool scan_meta(const struct tag *t, struct arena *a, struct err *err)
{
    struct span name, content;
    if (get(t, SPAN("name"), a, &name) && span_ends(name, SPAN(":repository-version")) &&
        get(t, SPAN("content"), a, &content))
        return pip_page_api(content, err);
    return true;
}

bool pip_page_html(struct pip_page *page, struct span body, struct span project, struct arena *a,
                   struct err *err)
{
    const char *p = body.ptr, *end = body.ptr + body.len;
    struct tag t;
    size_t tags = 0;
    while (next_tag(&p, end, &t)) {
        tags++;
        if (page->files.n + page->dropped >= PIP_MAX_FILES)
            return err_set(err, ERR_TOO_LARGE, "the index page lists more than %d files",
                           PIP_MAX_FILES);
        if (span_eq_nocase(t.name, SPAN("a")))
            scan_anchor(&t, a, project, page);
        else if (span_eq_nocase(t.name, SPAN("base")) && page->base.len == 0)
            get(&t, SPAN("href"), a, &page->base);
        else if (span_eq_nocase(t.name, SPAN("meta")) && !scan_meta(&t, a, err))
            return false;
    }
    if (tags)
        return true;
    return err_set(err, ERR_BAD_ARCHIVE, "the index page is neither HTML nor JSON");
}
