/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/apt/unpack.h"

#define STEP_BYTES ((size_t)1 << 20)

struct archive *apt_stream_open(struct span bytes)
{
    struct archive *a = archive_read_new();
    archive_read_support_filter_xz(a);
    archive_read_support_filter_gzip(a);
    archive_read_support_filter_zstd(a);
    archive_read_support_filter_bzip2(a);
    archive_read_support_filter_lzma(a);
    archive_read_support_format_raw(a);
    archive_read_support_format_empty(a);
    archive_read_open_memory(a, bytes.ptr, bytes.len);
    return a;
}

bool apt_unpack(struct span bytes, uint64_t max_bytes, struct buf *out, struct err *err)
{
    if (!late_archive_load(err))
        return err_wrap(err, "package list");
    struct archive *a = apt_stream_open(bytes);
    struct archive_entry *entry;
    int r = archive_read_next_header(a, &entry);
    out->max = max_bytes;
    while (r == ARCHIVE_OK) {
        /* Past the end of the room one more byte is asked for: there must be none. */
        size_t left = max_bytes - out->len, step = left < STEP_BYTES ? left : STEP_BYTES;
        char probe, *to = step ? buf_room(out, step) : NULL;
        ssize_t n = archive_read_data(a, to ? to : &probe, to ? step : 1);
        if (n == 0)
            break;
        if (n < 0 || !to)
            r = ARCHIVE_FATAL;
        else
            out->len += (size_t)n;
    }
    bool ok = r == ARCHIVE_OK || r == ARCHIVE_EOF;
    if (!ok)
        err_set(err, ERR_BAD_ARCHIVE, "package list cannot be unpacked: %s",
                archive_error_string(a) ? archive_error_string(a) : "larger than announced");
    archive_read_free(a);
    return ok;
}
