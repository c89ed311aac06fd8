/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/pip/remote_zip.h"

#include <libdeflate.h>

#include "resolvers/pip/name.h"

#define END_SIZE      22u
#define END64_SIZE    56u
#define LOCATOR_SIZE  20u
#define CENTRAL_SIZE  46u
#define LOCAL_SIZE    30u
#define MAX_DIRECTORY (64u << 20)
#define MAX_TEXT      (8u << 20)
#define LOCAL_SLACK   256u /* of a local header's extra field */

static uint32_t le16(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return u[0] | (uint32_t)u[1] << 8;
}

static uint32_t le32(const char *p)
{
    return le16(p) | le16(p + 2) << 16;
}

static uint64_t le64(const char *p)
{
    return le32(p) | (uint64_t)le32(p + 4) << 32;
}

static enum pip_remote_answer bad(struct err *err, const char *what)
{
    err_set(err, ERR_BAD_ARCHIVE, "the wheel is no valid zip archive: %s", what);
    return PIP_REMOTE_BAD;
}

/* Big wheels have big directories; fetching their end in one go saves a round trip. What
 * another release needed is the better guess. A few sizes only: replies are cached by range. */
static unsigned first_tail(int64_t size, unsigned hint)
{
    unsigned tail = 8u << 10;
    if (hint == 0 && size > 8 << 20)
        hint = 256u << 10;
    else if (hint == 0 && (size < 0 || size > 256 << 10))
        hint = size > 1 << 20 ? 128u << 10 : 64u << 10;
    else if (hint == 0)
        hint = 32u << 10;
    while (tail < hint && tail < 256u << 10)
        tail *= 2;
    return tail;
}

void pip_remote_init(struct pip_remote *z, int64_t size, struct span filename, unsigned tail_hint)
{
    *z = (struct pip_remote){
        .filename = filename, .told_size = size, .tail_bytes = first_tail(size, tail_hint)};
}

const char *pip_remote_range(const struct pip_remote *z, struct arena *a)
{
    if (!z->total)
        return arena_printf(a, "-%u", z->tail_bytes);
    return arena_printf(a, "%llu-%llu", (unsigned long long)z->want_from,
                        (unsigned long long)(z->want_from + z->want_len - 1));
}

/* "bytes 100-199/1000" */
static bool range_parse(struct span text, uint64_t *from, uint64_t *total)
{
    struct span range, size, first, last;
    uint64_t to;
    if (!span_starts(text, SPAN("bytes ")) ||
        !span_cut_char(span_skip(text, 6), '/', &range, &size))
        return false;
    return span_cut_char(range, '-', &first, &last) && span_to_u64(span_trim(first), from) &&
           span_to_u64(span_trim(last), &to) && span_to_u64(span_trim(size), total) &&
           *from <= to && to < *total;
}

bool pip_remote_add(struct pip_remote *z, int status, const char *content_range, struct span body,
                    struct arena *a, struct err *err)
{
    uint64_t from = 0, total = body.len;
    if (status == 206 && !range_parse(span_str(content_range), &from, &total))
        return err_set(err, ERR_BAD_ARCHIVE, "the server's Content-Range is not understood");
    if (body.len == 0 || body.len > total - from || (z->total && z->total != total))
        return err_set(err, ERR_BAD_ARCHIVE, "the server's ranges do not fit together");
    if (z->piece_count == PIP_REMOTE_PIECES)
        return err_set(err, ERR_BAD_ARCHIVE, "too many pieces are needed for its metadata");
    z->total = total;
    z->pieces[z->piece_count++] = (struct pip_piece){from, arena_span(a, body)};
    return true;
}

/* The bytes, if they are here; else they are what is wanted next. */
static bool need(struct pip_remote *z, uint64_t from, uint64_t len, struct span *out)
{
    for (size_t i = 0; i < z->piece_count; i++) {
        const struct pip_piece *p = &z->pieces[i];
        if (from >= p->from && from - p->from <= p->bytes.len &&
            len <= p->bytes.len - (from - p->from)) {
            *out = span_of(p->bytes.ptr + (from - p->from), (size_t)len);
            return true;
        }
    }
    z->want_from = from;
    z->want_len = len;
    return false;
}

struct directory {
    uint64_t at, size, count;
};

/* The end record, from behind: a comment may follow it. */
static bool find_end(const struct pip_remote *z, struct span *end, uint64_t *at)
{
    const struct pip_piece *tail = &z->pieces[0];
    if (tail->from + tail->bytes.len != z->total || tail->bytes.len < END_SIZE)
        return false;
    size_t lowest = tail->bytes.len > END_SIZE + 65535 ? tail->bytes.len - END_SIZE - 65535 : 0;
    for (size_t i = tail->bytes.len - END_SIZE + 1; i-- > lowest;) {
        const char *p = tail->bytes.ptr + i;
        if (le32(p) == 0x06054b50 && le16(p + 20) == tail->bytes.len - i - END_SIZE) {
            *end = span_of(p, END_SIZE);
            *at = tail->from + i;
            return true;
        }
    }
    return false;
}

static enum pip_remote_answer find_directory(struct pip_remote *z, struct directory *d,
                                             struct err *err)
{
    struct span end, record;
    uint64_t at;
    if (!find_end(z, &end, &at))
        return bad(err, "no end of central directory");
    d->count = le16(end.ptr + 10);
    d->size = le32(end.ptr + 12);
    d->at = le32(end.ptr + 16);
    if (d->count == 0xffff || d->size == 0xffffffff || d->at == 0xffffffff) {
        if (at < LOCATOR_SIZE)
            return bad(err, "no ZIP64 locator");
        if (!need(z, at - LOCATOR_SIZE, LOCATOR_SIZE, &record))
            return PIP_REMOTE_MORE;
        if (le32(record.ptr) == 0x07064b50) {
            uint64_t where = le64(record.ptr + 8);
            if (where > z->total || z->total - where < END64_SIZE)
                return bad(err, "ZIP64 end record outside the file");
            if (!need(z, where, END64_SIZE, &record))
                return PIP_REMOTE_MORE;
            if (le32(record.ptr) != 0x06064b50)
                return bad(err, "no ZIP64 end record");
            d->count = le64(record.ptr + 32);
            d->size = le64(record.ptr + 40);
            d->at = le64(record.ptr + 48);
        }
    }
    if (d->size > MAX_DIRECTORY)
        return bad(err, "its central directory is too large");
    if (d->size == 0 || d->at > at || d->size > at - d->at)
        return bad(err, "central directory outside the file");
    return PIP_REMOTE_DONE;
}

struct entry {
    uint32_t method, crc, name_len;
    uint64_t packed, size, at;
};

/* ZIP64 sizes stand in the extra field, in order, only those that did not fit. */
static bool widen(struct entry *e, struct span extra)
{
    bool size = e->size == 0xffffffff, packed = e->packed == 0xffffffff, at = e->at == 0xffffffff;
    while ((size || packed || at) && extra.len >= 4) {
        struct span field = span_slice(extra, 4, 4 + (size_t)le16(extra.ptr + 2));
        if (le16(extra.ptr) == 1) {
            uint64_t *const to[] = {size ? &e->size : NULL, packed ? &e->packed : NULL,
                                    at ? &e->at : NULL};
            for (size_t i = 0; i < 3; i++) {
                if (!to[i])
                    continue;
                if (field.len < 8)
                    return false;
                *to[i] = le64(field.ptr);
                field = span_skip(field, 8);
            }
            return true;
        }
        extra = span_skip(extra, 4 + (size_t)le16(extra.ptr + 2));
    }
    return !(size || packed || at);
}

/* "NAME-VERSION.dist-info/METADATA" of this wheel. */
static bool is_metadata(struct span name, struct span filename)
{
    struct span folder, file, project, version, wheel_project, rest;
    if (!span_cut_char(name, '/', &folder, &file) || !span_eq(file, SPAN("METADATA")) ||
        !span_ends(folder, SPAN(".dist-info")))
        return false;
    folder.len -= 10;
    if (!span_cut_last_char(folder, '-', &project, &version) ||
        !span_cut_char(filename, '-', &wheel_project, &rest))
        return false;
    AUTO_ARENA struct arena *a = arena_new();
    return pip_name_is(project, pip_name_normalise(wheel_project, a));
}

static bool find_entry(const struct pip_remote *z, struct span dir, struct entry *e)
{
    while (dir.len >= CENTRAL_SIZE && le32(dir.ptr) == 0x02014b50) {
        size_t name_len = le16(dir.ptr + 28), extra_len = le16(dir.ptr + 30);
        size_t whole = CENTRAL_SIZE + name_len + extra_len + le16(dir.ptr + 32);
        if (whole > dir.len)
            return false;
        struct span name = span_slice(dir, CENTRAL_SIZE, CENTRAL_SIZE + name_len);
        if (is_metadata(name, z->filename)) {
            *e = (struct entry){.method = le16(dir.ptr + 10),
                                .crc = le32(dir.ptr + 16),
                                .packed = le32(dir.ptr + 20),
                                .size = le32(dir.ptr + 24),
                                .name_len = (uint32_t)name_len,
                                .at = le32(dir.ptr + 42)};
            return widen(
                e, span_slice(dir, CENTRAL_SIZE + name_len, CENTRAL_SIZE + name_len + extra_len));
        }
        dir = span_skip(dir, whole);
    }
    return false;
}

static bool inflate_entry(const struct entry *e, struct span packed, struct arena *a,
                          struct span *text)
{
    if (e->method == 0) {
        *text = packed;
        return e->packed == e->size;
    }
    char *to = arena_alloc(a, (size_t)e->size + 1);
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    if (!d)
        abort();
    enum libdeflate_result r =
        libdeflate_deflate_decompress(d, packed.ptr, packed.len, to, (size_t)e->size, NULL);
    libdeflate_free_decompressor(d);
    *text = span_of(to, (size_t)e->size);
    return r == LIBDEFLATE_SUCCESS;
}

static enum pip_remote_answer read_entry(struct pip_remote *z, const struct entry *e,
                                         struct arena *a, struct span *text, struct err *err)
{
    struct span local, packed;
    if ((e->method != 0 && e->method != 8) || e->size > MAX_TEXT || e->packed > MAX_TEXT ||
        e->packed == 0)
        return bad(err, "METADATA is too large or packed in an unknown way");
    if (e->at > z->total || z->total - e->at < LOCAL_SIZE)
        return bad(err, "METADATA lies outside the file");
    /* Header and content in one request; the extra field's length is not known before. */
    uint64_t likely = LOCAL_SIZE + e->name_len + LOCAL_SLACK + e->packed;
    if (likely > z->total - e->at)
        likely = z->total - e->at;
    if (!need(z, e->at, LOCAL_SIZE, &local)) {
        z->want_len = likely;
        return PIP_REMOTE_MORE;
    }
    if (le32(local.ptr) != 0x04034b50)
        return bad(err, "no local header where METADATA should be");
    uint64_t skip = LOCAL_SIZE + le16(local.ptr + 26) + (uint64_t)le16(local.ptr + 28);
    if (skip + e->packed > z->total - e->at)
        return bad(err, "METADATA lies outside the file");
    if (!need(z, e->at + skip, e->packed, &packed))
        return PIP_REMOTE_MORE;
    if (!inflate_entry(e, packed, a, text) || libdeflate_crc32(0, text->ptr, text->len) != e->crc)
        return bad(err, "METADATA is damaged");
    return PIP_REMOTE_DONE;
}

enum pip_remote_answer pip_remote_step(struct pip_remote *z, struct arena *a, struct span *text,
                                       struct err *err)
{
    struct directory d;
    struct entry e;
    struct span dir;
    enum pip_remote_answer found = find_directory(z, &d, err);
    if (found != PIP_REMOTE_DONE)
        return found;
    if (!need(z, d.at, d.size, &dir))
        return PIP_REMOTE_MORE;
    if (!find_entry(z, dir, &e))
        return bad(err, "no *.dist-info/METADATA in it");
    uint64_t from = e.at < d.at && d.at - e.at < 128u << 10 ? e.at : d.at;
    z->needed_tail = (unsigned)(z->total - from + 512);
    return read_entry(z, &e, a, text, err);
}
