/* SPDX-License-Identifier: Apache-2.0 */
/* late_ssl.h - the part of OpenSSL for connections, bound when it is first used (late.h): what only
 * hashes needs libcrypto alone. Include this in place of <openssl/ssl.h>. */
#ifndef STRATA_BASE_LATE_SSL_H
#define STRATA_BASE_LATE_SSL_H

#include <openssl/ssl.h>

#include "base/late.h"

/* clang-format off */
#define SSL_FUNCTIONS(X) \
    X(SSL_CTX_set1_cert_store)
/* clang-format on */

LATE_DECLARE(late_ssl, SSL_FUNCTIONS)

#define SSL_CTX_set1_cert_store (late_ssl()->SSL_CTX_set1_cert_store)

#endif
