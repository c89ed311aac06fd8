/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a netrc or auth.conf holds: a host that it does not name gets nothing, and what a
 * named host gets can stand in a header. */
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>

#include "resolvers/credentials.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool names(struct span text, struct span host)
{
    for (size_t i = 0; i + host.len <= text.len; i++)
        if (span_eq_nocase(span_slice(text, i, i + host.len), host))
            return true;
    return false;
}

static void check(struct credentials *c, struct span text, const char *host, const char *scheme)
{
    AUTO_BUF struct buf url = BUF(512), header = BUF(1u << 16);
    buf_printf(&url, "%s://%s/a/b", scheme, host);
    if (!credentials_lookup(c, buf_cstr(&url), &header))
        return;
    if (!names(text, span_str(host)))
        abort();
    for (size_t i = 0; i < header.len; i++)
        if (!isprint((unsigned char)header.ptr[i]))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of(data, size);
    for (int apt = 0; apt < 2; apt++) {
        struct credentials *c = credentials_new(NULL);
        AUTO_BUF struct buf clean = BUF(1u << 16);
        if (apt)
            credentials_add_apt(c, text, "auth.conf");
        else
            credentials_add_netrc(c, text, "netrc");
        credentials_strip_url(c, text, "url", &clean);
        check(c, text, "a.example.com", "https");
        check(c, text, "a.example.com", "http");
        check(c, text, "b.example.com", "https");
        check(c, text, "c", "https");
        check(c, text, "unnamed.example.org", "https");
        credentials_free(c);
    }
    return 0;
}
