/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/rules/hosts.h"

#include <locale.h>

#include "base/buf.h"
#include "base/late_curl.h"
#include "worker/rules/text.h"

static void free_curl(char **p)
{
    curl_free(*p);
}
#define AUTO_CURL __attribute__((cleanup(free_curl)))

static void free_url(CURLU **u)
{
    curl_url_cleanup(*u);
}
#define AUTO_URL __attribute__((cleanup(free_url)))

/* libcurl takes names to be in the locale's character set; here they are UTF-8, whatever the
 * locale is. */
static CURLUcode get_ascii_host(CURLU *u, char **host)
{
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    locale_t before = utf8 ? uselocale(utf8) : (locale_t)0;
    CURLUcode rc = curl_url_get(u, CURLUPART_HOST, host, CURLU_PUNYCODE);
    if (utf8) {
        uselocale(before);
        freelocale(utf8);
    }
    return rc;
}

/* The ASCII host of a URL text; NULL when it has none. */
static char *ascii_host(const char *url)
{
    AUTO_URL CURLU *u = curl_url();
    char *host = NULL;
    if (u && curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK &&
        get_ascii_host(u, &host) == CURLUE_OK)
        return host;
    curl_free(host); /* libcurl leaves the name behind when it has no ASCII form */
    return NULL;
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static const char *label_problem(struct span label)
{
    if (label.len == 0)
        return "is not a host name: it has an empty label";
    if (label.len > 63)
        return "is not a host name: it has a label longer than 63 characters";
    for (size_t i = 0; i < label.len; i++)
        if (!is_alnum(label.ptr[i]) && label.ptr[i] != '-')
            return "is not a host name: it has a character that names do not have";
    if (!is_alnum(label.ptr[0]) || !is_alnum(label.ptr[label.len - 1]))
        return "is not a host name: it has a label that begins or ends with \"-\"";
    return NULL;
}

/* A browser or a resolver takes "1", "0x7f.1" and "127.1" for addresses: all of them end in
 * a label of digits, or of 0x and hexadecimal digits. */
static bool ends_in_number(struct span name)
{
    struct span head, last = name;
    span_cut_last_char(name, '.', &head, &last);
    if (span_is_digits(last))
        return true;
    if (!span_starts(last, SPAN("0x")))
        return false;
    for (size_t i = 2; i < last.len; i++)
        if (!strchr("0123456789abcdef", last.ptr[i]))
            return false;
    return true;
}

/* What is wrong with a lower-case ASCII name; NULL: nothing. */
static const char *name_problem(struct span name)
{
    if (name.len == 0 || name.len > 253)
        return "is not a host name: it does not have 1 to 253 characters";
    struct span rest = name, label;
    const char *problem = NULL;
    while (!problem && span_next(&rest, '.', &label))
        problem = label_problem(label);
    return problem;
}

static bool refuse(struct span text, const char *what, const char *instead, struct err *err)
{
    char shown[160];
    snprintf(shown, sizeof(shown), "%.*s", (int)(text.len > 120 ? 120 : text.len), text.ptr);
    if (instead && instead[0])
        return err_set(err, ERR_INVALID, "\"%s\" %s; write \"%s\"", shown, what, instead);
    return err_set(err, ERR_INVALID,
                   "\"%s\" %s; write a bare host name such as api.example.com, or *.example.com "
                   "for all names below it",
                   shown, what);
}

/* The name in a URL, address with a port, or path, to suggest it. */
static void suggest(struct span text, char out[HOST_SIZE])
{
    struct err ignored;
    out[0] = '\0';
    AUTO_BUF struct buf url = BUF(4096);
    if (span_find(text, SPAN("://")) == text.len)
        buf_str(&url, "http://");
    buf_append(&url, text);
    AUTO_CURL char *host = url.overflow ? NULL : ascii_host(buf_cstr(&url));
    if (host && !strpbrk(host, "/?#@:%[] "))
        host_normalise(span_str(host), true, out, &ignored);
}

/* What is ASCII already needs no library. */
static bool lower(struct span text, char out[HOST_SIZE])
{
    if (text.len >= HOST_SIZE)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] >= 0x80)
            return false;
        out[i] = (char)(text.ptr[i] >= 'A' && text.ptr[i] <= 'Z' ? text.ptr[i] + 32 : text.ptr[i]);
    }
    out[text.len] = '\0';
    return true;
}

static bool to_ascii(struct span text, char out[HOST_SIZE])
{
    if (lower(text, out))
        return true;
    AUTO_BUF struct buf url = BUF(4096);
    buf_str(&url, "http://");
    buf_append(&url, text);
    AUTO_CURL char *host = url.overflow ? NULL : ascii_host(buf_cstr(&url));
    if (!host || strlen(host) > 253)
        return false;
    size_t n = strlen(host);
    for (size_t i = 0; i <= n; i++)
        out[i] = (char)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] + 32 : host[i]);
    return true;
}

static const char *shape_problem(struct span text)
{
    if (text.len == 0)
        return "is empty";
    if (!span_is_utf8(text) || text_has_control(text) || span_has(text, ' '))
        return "has white space, control characters or bytes that are not UTF-8";
    if (span_find(text, SPAN("://")) < text.len)
        return "is a URL";
    if (span_has(text, '['))
        return "is an address, not a name";
    for (const char *c = "/?#\\"; *c; c++)
        if (span_has(text, *c))
            return "has a path";
    if (span_has(text, '@'))
        return "has a user name";
    if (span_has(text, ':'))
        return span_find_char(text, ':') == span_find_last_char(text, ':')
                   ? "has a port"
                   : "is an address, not a name";
    if (span_has(text, '%'))
        return "has a percent sign";
    if (text.ptr[text.len - 1] == '.')
        return "ends in a dot";
    return NULL;
}

bool host_normalise(struct span text, bool wildcard, char out[HOST_SIZE], struct err *err)
{
    char instead[HOST_SIZE] = "", name[HOST_SIZE];
    const char *problem = shape_problem(text);
    if (problem) {
        struct span bare = text;
        while (bare.len && bare.ptr[bare.len - 1] == '.')
            bare.len--;
        if (bare.len && span_is_utf8(bare) && !text_has_control(bare) && !span_has(bare, ' ') &&
            (bare.len == text.len || !shape_problem(bare)))
            suggest(bare, instead);
        return refuse(text, problem, instead, err);
    }
    if (wildcard && span_eq(text, SPAN("*")))
        return err_set(err, ERR_INVALID,
                       "\"*\" is every host: use networking type "
                       "\"unrestricted\" for that");
    bool star = span_starts(text, SPAN("*."));
    struct span rest = star ? span_skip(text, 2) : text;
    if (span_has(rest, '*') || (star && !wildcard))
        return refuse(text,
                      wildcard ? "has a * where none can stand (only the first label may be *)"
                               : "is a wildcard, which cannot stand here",
                      NULL, err);
    problem = to_ascii(rest, name) ? name_problem(span_str(name)) : "is not a host name";
    if (problem)
        return refuse(text, problem, NULL, err);
    if (ends_in_number(span_str(name)))
        return refuse(text, "is an address, not a name", NULL, err);
    snprintf(out, HOST_SIZE, "%s%s", star ? "*." : "", name);
    return true;
}

bool host_of_url(struct span url, char out[HOST_SIZE], struct err *err)
{
    AUTO_BUF struct buf text = BUF(8192);
    buf_append(&text, url);
    if (text.overflow || !span_is_utf8(url) || text_has_control(url) || span_has(url, ' '))
        return err_set(err, ERR_INVALID, "is no URL of at most 8 KiB without white space");
    /* libcurl forgives a third slash. */
    if (span_find(url, SPAN(":///")) < url.len)
        return err_set(err, ERR_INVALID, "has no host");
    AUTO_URL CURLU *u = curl_url();
    AUTO_CURL char *scheme = NULL;
    AUTO_CURL char *host = NULL;
    if (!u || curl_url_set(u, CURLUPART_URL, buf_cstr(&text), 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0) ||
        get_ascii_host(u, &host) != CURLUE_OK || !host[0])
        return err_set(err, ERR_INVALID,
                       "is not an absolute http or https URL, such as https://mcp.example.com/sse");
    size_t n = strlen(host);
    if (n >= HOST_SIZE)
        return err_set(err, ERR_INVALID, "has a host of more than 253 characters");
    for (size_t i = 0; i <= n; i++)
        out[i] = (char)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] + 32 : host[i]);
    if (out[0] == '[') { /* an IPv6 literal, without its brackets */
        memmove(out, out + 1, n - 2);
        out[n - 2] = '\0';
        return true;
    }
    if (n > 1 && out[n - 1] == '.')
        out[n - 1] = '\0';
    return !name_problem(span_str(out)) ? true
                                        : err_set(err, ERR_INVALID, "has no valid host name");
}

json_t *host_list(const char *text, const char *what, struct err *err)
{
    json_t *list = json_array();
    while (text && *text) {
        char name[HOST_SIZE];
        size_t n = strcspn(text, " ,\t\n");
        if (n && !host_normalise(span_of(text, n), true, name, err)) {
            err_wrap(err, "%s", what);
            json_decref(list);
            return NULL;
        }
        if (n)
            json_array_append_new(list, json_string(name));
        text += n + (text[n] != '\0');
    }
    return list;
}
