/* SPDX-License-Identifier: Apache-2.0 */
#include "base/late_ssl.h"

LATE_DEFINE(late_ssl, LATE_LIBSSL, SSL_FUNCTIONS)
