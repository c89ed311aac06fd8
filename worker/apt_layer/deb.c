/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/apt_layer/deb.h"

#include "resolvers/apt/unpack.h"

#define AR_MAGIC    "!<arch>\n"
#define HEADER      60
#define MAX_MEMBERS 100
#define STEP_BYTES  (1u << 20)

/* The next member of the ar archive. False: the end, or err->code is set. */
static bool next_member(struct span *rest, struct span *name, struct span *content, struct err *err)
{
    uint64_t size;
    if (rest->len == 0)
        return false;
    if (rest->len < HEADER || memcmp(rest->ptr + 58, "`\n", 2) != 0 ||
        !span_to_u64(span_trim(span_of(rest->ptr + 48, 10)), &size) || size > rest->len - HEADER)
        return err_set(err, ERR_BAD_ARCHIVE, "not a Debian package: a broken member");
    *name = span_trim(span_of(rest->ptr, 16));
    if (span_ends(*name, SPAN("/")))
        name->len--;
    *content = span_slice(*rest, HEADER, HEADER + (size_t)size);
    *rest = span_skip(*rest, HEADER + (size_t)size + (size & 1));
    return true;
}

/* debian-binary, control.tar*, data.tar*, in that order. */
bool deb_open(struct span bytes, struct deb *out, struct err *err)
{
    static const struct span wanted[] = {SPAN_INIT("debian-binary"), SPAN_INIT("control.tar"),
                                         SPAN_INIT("data.tar")};
    struct span name, found[3];
    size_t have = 0;
    *out = (struct deb){0};
    err_clear(err);
    if (!span_starts(bytes, SPAN(AR_MAGIC)))
        return err_set(err, ERR_BAD_ARCHIVE, "not a Debian package");
    bytes = span_skip(bytes, sizeof(AR_MAGIC) - 1);
    for (size_t i = 0; have < COUNT(wanted) && i < MAX_MEMBERS; i++) {
        if (!next_member(&bytes, &name, &found[have], err))
            break;
        if (span_starts(name, SPAN("_")) && have > 0)
            continue;
        if (!span_starts(name, wanted[have]))
            return err_set(err, ERR_BAD_ARCHIVE, "not a Debian package: member %.*s out of place",
                           SPAN_ARG(name));
        have++;
    }
    if (err->code)
        return false;
    if (have < COUNT(wanted) || !span_starts(found[0], SPAN("2.")))
        return err_set(err, ERR_BAD_ARCHIVE, "not a Debian package of format 2");
    out->control = found[1];
    out->data = found[2];
    return true;
}

bool deb_inflate(struct span member, uint64_t max_bytes, uint64_t likely_bytes, struct buf *out,
                 struct err *err)
{
    struct archive_entry *entry;
    if (!late_archive_load(err))
        return err_wrap(err, "package");
    struct archive *a = apt_stream_open(member);
    out->max = (size_t)max_bytes + STEP_BYTES;
    if (likely_bytes && likely_bytes < max_bytes)
        buf_room(out, (size_t)likely_bytes);
    int r = archive_read_next_header(a, &entry);
    while (r == ARCHIVE_OK) {
        char *to = buf_room(out, STEP_BYTES);
        la_ssize_t n = to ? archive_read_data(a, to, STEP_BYTES) : -1;
        if (n <= 0) {
            r = n == 0 ? ARCHIVE_EOF : ARCHIVE_FATAL;
            break;
        }
        out->len += (size_t)n;
        if (out->len > max_bytes) {
            archive_read_free(a);
            return err_set(err, ERR_TOO_LARGE, "a package of more than %llu MiB",
                           (unsigned long long)(max_bytes >> 20));
        }
    }
    if (r != ARCHIVE_EOF)
        err_set(err, ERR_BAD_ARCHIVE, "package cannot be unpacked: %s",
                archive_error_string(a) ? archive_error_string(a) : "not compressed as it says");
    archive_read_free(a);
    return r == ARCHIVE_EOF;
}
