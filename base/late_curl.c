/* SPDX-License-Identifier: Apache-2.0 */
#include "base/late_curl.h"

LATE_DEFINE(late_curl, LATE_LIBCURL, CURL_FUNCTIONS)
