/* SPDX-License-Identifier: Apache-2.0 */
/* credentials.h - who may see which secret: values of the Authorization header by URL.
 *
 * Discovery adds what the package clients' own files hold (.npmrc tokens, users in pip's URLs,
 * cargo's and apt's files); netrc is read at the first look-up. An entry is for one origin
 * (scheme, host, port) and a path prefix; the longest prefix wins, netrc comes last. Where a
 * client's file names no scheme, the entry is for https, and for http only on hosts that
 * discovery or the configuration names with http.
 *
 * Secrets are never printed: whoever shows a registry asks credentials_has.
 *
 * Ownership: strings are copied; credentials_free wipes them.
 * Errors:    damaged files give no entries, with a note in words (never with the secret).
 * Threads:   one at a time.
 * Source:    RFC 7617 (basic), RFC 6750 (bearer); netrc(5), apt_auth.conf(5), npmrc(5). */
#ifndef STRATA_RESOLVERS_CREDENTIALS_H
#define STRATA_RESOLVERS_CREDENTIALS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/span.h"

struct credentials;

/* `netrc` is the file's path, or NULL for none. */
struct credentials *credentials_new(const char *netrc);
void credentials_free(struct credentials *c); /* NULL is fine */

/* `where` is an absolute URL, or "//host[:port][/path]" for one without a scheme. */
void credentials_add_header(struct credentials *c, struct span where, struct span header,
                            const char *from);
void credentials_add_basic(struct credentials *c, struct span where, struct span user,
                           struct span password, const char *from);

/* Entries without a scheme count for this http origin too. */
void credentials_allow_http(struct credentials *c, struct span url);

/* Copies the URL without its user part, remembering that as an entry for its origin and path. */
void credentials_strip_url(struct credentials *c, struct span url, const char *from,
                           struct buf *out);

/* netrc(5): machine, login, password; `default` is ignored, since it would be for any host. */
void credentials_add_netrc(struct credentials *c, struct span text, const char *from);
/* apt_auth.conf(5): the same words; a machine may have a scheme and a path, and without a
 * scheme is for https alone. */
void credentials_add_apt(struct credentials *c, struct span text, const char *from);

/* For http_options.credentials (base/http.h); ctx is the struct credentials. */
bool credentials_lookup(void *ctx, const char *url, struct buf *out);
bool credentials_has(struct credentials *c, const char *url);
/* The file the credentials of the URL are from; NULL: none. */
const char *credentials_from(struct credentials *c, const char *url);

#endif
