/* SPDX-License-Identifier: Apache-2.0 */
#include <locale.h>

#include "base/late_curl.h"
#include "worker/environment_priv.h"

#define HOST_MAX 253

static bool is_label_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

/* The host of an URL or of "host:port/path", for proposing it. */
static struct span host_within(struct span s)
{
    size_t scheme = span_find(s, SPAN("://")), end = 0;
    struct span rest = scheme < s.len ? span_skip(s, scheme + 3) : s, user;
    while (end < rest.len && !strchr("/?#", rest.ptr[end]))
        end++;
    rest = span_slice(rest, 0, end);
    span_cut_last_char(rest, '@', &user, &rest);
    if (rest.len > 0 && rest.ptr[0] != '[')
        rest = span_slice(rest, 0, span_find_char(rest, ':'));
    while (span_ends(rest, SPAN(".")))
        rest = span_slice(rest, 0, rest.len - 1);
    return rest;
}

/* IDNA (RFC 5891, UTS 46), by the library that the HTTP client uses for the same names. It
 * takes them to be in the locale's character set, which is UTF-8 here whatever the user has. */
static bool to_ascii(struct span host, struct buf *out)
{
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    locale_t before = utf8 ? uselocale(utf8) : (locale_t)0;
    CURLU *u = curl_url();
    char *ascii = NULL;
    AUTO_BUF struct buf url = BUF(2048);
    buf_printf(&url, "https://%.*s/", SPAN_ARG(host));
    bool ok = u && !url.overflow &&
              curl_url_set(u, CURLUPART_URL, buf_cstr(&url), 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_HOST, &ascii, CURLU_PUNYCODE) == CURLUE_OK;
    if (ok)
        buf_str(out, ascii);
    curl_free(ascii);
    curl_url_cleanup(u);
    if (utf8) {
        uselocale(before);
        freelocale(utf8);
    }
    return ok;
}

static bool is_ascii(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] >= 0x80)
            return false;
    return true;
}

static bool lower_ascii(struct span host, struct buf *out)
{
    if (!is_ascii(host))
        return to_ascii(host, out);
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        buf_char(out, c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c);
    }
    return true;
}

/* What is wrong with a lower-case ASCII name; NULL: nothing. */
static const char *name_problem(struct span name)
{
    struct span rest = name, label, last = name;
    if (name.len == 0)
        return "empty";
    if (name.len > HOST_MAX)
        return "longer than 253 characters";
    while (span_next(&rest, '.', &label)) {
        if (label.len == 0)
            return "has an empty label";
        if (label.len > 63)
            return "has a label longer than 63 characters";
        for (size_t i = 0; i < label.len; i++)
            if (!is_label_char(label.ptr[i]))
                return "has a character that host names do not have";
        if (label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
            return "has a label that begins or ends with \"-\"";
        last = label;
    }
    if (span_is_digits(last) || (last.len > 2 && span_starts(last, SPAN("0x"))))
        return "is an address, not a name";
    return NULL;
}

bool config_host(struct complaint *c, const char *path, struct span host, struct buf *out)
{
    struct span shown = span_slice(host, 0, 200), name = host;
    if (host.len == 0)
        return complain(c, path, "empty");
    if (span_eq(host, SPAN("*")))
        return complain(c, path, "\"*\" is everything: use networking type \"unrestricted\"");
    bool url = false;
    for (size_t i = 0; i < host.len; i++)
        url = url || strchr(":/?#@", host.ptr[i]);
    if (host.ptr[0] == '[' || span_find(host, SPAN("::")) < host.len)
        return complain(c, path, "\"%.*s\" is an address; only names are allowed", SPAN_ARG(shown));
    struct span better = host_within(host);
    if (url || span_ends(host, SPAN("."))) {
        AUTO_BUF struct buf lower = BUF(300);
        if (lower_ascii(better, &lower) && !name_problem(buf_span(&lower)))
            return complain(c, path, "\"%.*s\" has more than a host's name; write \"%s\"",
                            SPAN_ARG(shown), buf_cstr(&lower));
        return complain(c, path, "\"%.*s\" is not a bare host name", SPAN_ARG(shown));
    }
    if (span_starts(host, SPAN("*."))) {
        buf_str(out, "*.");
        name = span_skip(host, 2);
    }
    size_t from = out->len;
    if (!lower_ascii(name, out) || out->overflow)
        return complain(c, path, "\"%.*s\" is not a host name", SPAN_ARG(shown));
    const char *problem = name_problem(span_skip(buf_span(out), from));
    if (!problem)
        return true;
    return complain(c, path,
                    "\"%.*s\" %s; allowed are names such as \"api.example.com\" and "
                    "\"*.example.com\"",
                    SPAN_ARG(shown), problem);
}
