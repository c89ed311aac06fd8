/* SPDX-License-Identifier: Apache-2.0 */
/* late_archive.h - libarchive, bound when it is first used (base/late.h). Include this in place of
 * <archive.h> and <archive_entry.h>. */
#ifndef STRATA_RESOLVERS_LATE_ARCHIVE_H
#define STRATA_RESOLVERS_LATE_ARCHIVE_H

#include <archive.h>
#include <archive_entry.h>

#include "base/late.h"

/* clang-format off */
#define ARCHIVE_FUNCTIONS(X) \
    X(archive_entry_pathname) X(archive_error_string) X(archive_read_data) X(archive_read_free) \
    X(archive_read_new) X(archive_read_next_header) X(archive_read_open_filename) \
    X(archive_read_open_memory) X(archive_read_support_filter_bzip2) \
    X(archive_read_support_filter_gzip) X(archive_read_support_filter_lzma) \
    X(archive_read_support_filter_xz) X(archive_read_support_filter_zstd) \
    X(archive_read_support_format_empty) X(archive_read_support_format_raw) \
    X(archive_read_support_format_zip)
/* clang-format on */

LATE_DECLARE(late_archive, ARCHIVE_FUNCTIONS)

#define archive_entry_pathname            (late_archive()->archive_entry_pathname)
#define archive_error_string              (late_archive()->archive_error_string)
#define archive_read_data                 (late_archive()->archive_read_data)
#define archive_read_free                 (late_archive()->archive_read_free)
#define archive_read_new                  (late_archive()->archive_read_new)
#define archive_read_next_header          (late_archive()->archive_read_next_header)
#define archive_read_open_filename        (late_archive()->archive_read_open_filename)
#define archive_read_open_memory          (late_archive()->archive_read_open_memory)
#define archive_read_support_filter_bzip2 (late_archive()->archive_read_support_filter_bzip2)
#define archive_read_support_filter_gzip  (late_archive()->archive_read_support_filter_gzip)
#define archive_read_support_filter_lzma  (late_archive()->archive_read_support_filter_lzma)
#define archive_read_support_filter_xz    (late_archive()->archive_read_support_filter_xz)
#define archive_read_support_filter_zstd  (late_archive()->archive_read_support_filter_zstd)
#define archive_read_support_format_empty (late_archive()->archive_read_support_format_empty)
#define archive_read_support_format_raw   (late_archive()->archive_read_support_format_raw)
#define archive_read_support_format_zip   (late_archive()->archive_read_support_format_zip)

#endif
