/* SPDX-License-Identifier: Apache-2.0 */
/* late_curl.h - libcurl, bound when it is first used (late.h). Include this in place of
 * <curl/curl.h>. */
#ifndef STRATA_BASE_LATE_CURL_H
#define STRATA_BASE_LATE_CURL_H

/* curl's own macros around its variadic functions would call them by name. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_share_setopt
#undef curl_multi_setopt

#include "base/late.h"

/* clang-format off */
#define CURL_FUNCTIONS(X) \
    X(curl_easy_cleanup) X(curl_easy_getinfo) X(curl_easy_init) X(curl_easy_pause) \
    X(curl_easy_reset) X(curl_easy_setopt) X(curl_easy_strerror) X(curl_free) X(curl_getdate) \
    X(curl_global_cleanup) X(curl_global_init) X(curl_multi_add_handle) X(curl_multi_assign) \
    X(curl_multi_cleanup) X(curl_multi_info_read) X(curl_multi_init) X(curl_multi_remove_handle) \
    X(curl_multi_setopt) X(curl_multi_socket_action) X(curl_multi_strerror) \
    X(curl_share_cleanup) X(curl_share_init) X(curl_share_setopt) X(curl_slist_append) \
    X(curl_slist_free_all) X(curl_url) X(curl_url_cleanup) X(curl_url_get) X(curl_url_set) \
    X(curl_version_info)
/* clang-format on */

LATE_DECLARE(late_curl, CURL_FUNCTIONS)

#define curl_easy_cleanup        (late_curl()->curl_easy_cleanup)
#define curl_easy_getinfo        (late_curl()->curl_easy_getinfo)
#define curl_easy_init           (late_curl()->curl_easy_init)
#define curl_easy_pause          (late_curl()->curl_easy_pause)
#define curl_easy_reset          (late_curl()->curl_easy_reset)
#define curl_easy_setopt         (late_curl()->curl_easy_setopt)
#define curl_easy_strerror       (late_curl()->curl_easy_strerror)
#define curl_free                (late_curl()->curl_free)
#define curl_getdate             (late_curl()->curl_getdate)
#define curl_global_cleanup      (late_curl()->curl_global_cleanup)
#define curl_global_init         (late_curl()->curl_global_init)
#define curl_multi_add_handle    (late_curl()->curl_multi_add_handle)
#define curl_multi_assign        (late_curl()->curl_multi_assign)
#define curl_multi_cleanup       (late_curl()->curl_multi_cleanup)
#define curl_multi_info_read     (late_curl()->curl_multi_info_read)
#define curl_multi_init          (late_curl()->curl_multi_init)
#define curl_multi_remove_handle (late_curl()->curl_multi_remove_handle)
#define curl_multi_setopt        (late_curl()->curl_multi_setopt)
#define curl_multi_socket_action (late_curl()->curl_multi_socket_action)
#define curl_multi_strerror      (late_curl()->curl_multi_strerror)
#define curl_share_cleanup       (late_curl()->curl_share_cleanup)
#define curl_share_init          (late_curl()->curl_share_init)
#define curl_share_setopt        (late_curl()->curl_share_setopt)
#define curl_slist_append        (late_curl()->curl_slist_append)
#define curl_slist_free_all      (late_curl()->curl_slist_free_all)
#define curl_url                 (late_curl()->curl_url)
#define curl_url_cleanup         (late_curl()->curl_url_cleanup)
#define curl_url_get             (late_curl()->curl_url_get)
#define curl_url_set             (late_curl()->curl_url_set)
#define curl_version_info        (late_curl()->curl_version_info)

#endif
