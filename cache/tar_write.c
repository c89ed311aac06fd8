/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/tar_priv.h"

#include <inttypes.h>
#include <stdio.h>

#define OCTAL7_MAX    07777777u
#define OCTAL11_MAX   077777777777ull
#define COMPONENT_MAX 255u /* a component's length on every file system we mount on */

/* The fields of a header block, POSIX.1-2001. */
struct ustar {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type;
    char link[100], magic[6], version[2], uname[32], gname[32], devmajor[8], devminor[8];
    char prefix[155], unused[12];
};
_Static_assert(sizeof(struct ustar) == TAR_BLOCK, "a header is one block");

static void put_octal(char *field, size_t width, uint64_t value)
{
    field[width - 1] = '\0';
    for (size_t i = width - 1; i-- > 0; value >>= 3)
        field[i] = (char)('0' + (value & 7));
}

static void put_text(char *field, size_t width, struct span text)
{
    memcpy(field, text.ptr, text.len < width ? text.len : width);
}

static void put_block(struct buf *out, struct ustar *h)
{
    memcpy(h->magic, "ustar", 6);
    memcpy(h->version, "00", 2);
    put_octal(h->devmajor, sizeof(h->devmajor), 0);
    put_octal(h->devminor, sizeof(h->devminor), 0);
    memset(h->checksum, ' ', sizeof(h->checksum));
    unsigned sum = 0;
    const unsigned char *p = (const unsigned char *)h;
    for (size_t i = 0; i < sizeof(*h); i++)
        sum += p[i];
    put_octal(h->checksum, 7, sum);
    buf_append(out, span_of(h, sizeof(*h)));
}

static bool is_ascii(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] >= 0x80)
            return false;
    return true;
}

/* A record's length counts its own digits. */
static void pax_record(struct buf *out, const char *key, struct span value)
{
    size_t rest = strlen(key) + value.len + 3, len = rest, before;
    do {
        before = len;
        len = rest + (size_t)snprintf(NULL, 0, "%zu", before);
    } while (len != before);
    buf_printf(out, "%zu %s=", len, key);
    buf_append(out, value);
    buf_char(out, '\n');
}

static void pax_number(struct buf *out, const char *key, uint64_t value)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%" PRIu64, value);
    pax_record(out, key, span_of(text, (size_t)n));
}

/* Into name, or prefix and name; false: does not fit or is not ASCII. */
static bool put_path(struct ustar *h, struct span path)
{
    if (!is_ascii(path))
        return false;
    if (path.len <= sizeof(h->name)) {
        put_text(h->name, sizeof(h->name), path);
        return true;
    }
    /* The last byte may be a folder's '/', which must stay in the name. */
    for (size_t i = path.len - sizeof(h->name) - 1; i <= sizeof(h->prefix) && i + 1 < path.len; i++)
        if (path.ptr[i] == '/') {
            put_text(h->prefix, sizeof(h->prefix), span_slice(path, 0, i));
            put_text(h->name, sizeof(h->name), span_skip(path, i + 1));
            return true;
        }
    return false;
}

static uint64_t put_number(struct buf *pax, const char *key, char *field, size_t width,
                           uint64_t value, uint64_t max)
{
    if (value > max)
        pax_number(pax, key, value);
    put_octal(field, width, value > max ? 0 : value);
    return value;
}

static void put_pax(struct buf *out, struct span records)
{
    struct ustar h = {.type = 'x'};
    put_text(h.name, sizeof(h.name), SPAN("PaxHeaders/entry"));
    put_octal(h.mode, sizeof(h.mode), 0644);
    put_octal(h.uid, sizeof(h.uid), 0);
    put_octal(h.gid, sizeof(h.gid), 0);
    put_octal(h.size, sizeof(h.size), records.len);
    put_octal(h.mtime, sizeof(h.mtime), 0);
    put_block(out, &h);
    buf_append(out, records);
    static const char zeros[TAR_BLOCK];
    buf_append(out, span_of(zeros, tar_padded(records.len) - records.len));
}

static bool is_link(const struct segment_entry *e)
{
    return e->type == ENTRY_SYMLINK || e->type == ENTRY_HARDLINK;
}

static char type_flag(enum entry_type type)
{
    static const char flags[] = {[ENTRY_FILE] = '0',
                                 [ENTRY_DIR] = '5',
                                 [ENTRY_SYMLINK] = '2',
                                 [ENTRY_HARDLINK] = '1',
                                 [ENTRY_WHITEOUT] = '0'};
    return flags[type];
}

void tar_header(struct buf *out, const struct segment_entry *e)
{
    struct ustar h = {.type = type_flag(e->type)};
    AUTO_BUF struct buf pax = BUF(64u << 10), path = BUF(SEGMENT_PATH_MAX + 1);
    uint64_t size = e->type == ENTRY_FILE ? e->size : 0;
    buf_append(&path, e->path);
    if (e->type == ENTRY_DIR)
        buf_char(&path, '/');
    bool path_fits = put_path(&h, buf_span(&path));
    bool link_fits = !is_link(e) || (e->target.len <= sizeof(h.link) && is_ascii(e->target));
    /* pax values are UTF-8; other bytes are announced. */
    if ((!path_fits && !span_is_utf8(e->path)) || (!link_fits && !span_is_utf8(e->target)))
        pax_record(&pax, "hdrcharset", SPAN("BINARY"));
    if (!path_fits) {
        pax_record(&pax, "path", buf_span(&path));
        put_text(h.name, sizeof(h.name), buf_span(&path));
    }
    if (!link_fits)
        pax_record(&pax, "linkpath", e->target);
    if (is_link(e))
        put_text(h.link, sizeof(h.link), e->target);
    put_octal(h.mode, sizeof(h.mode), e->mode & 07777);
    put_number(&pax, "uid", h.uid, sizeof(h.uid), e->uid, OCTAL7_MAX);
    put_number(&pax, "gid", h.gid, sizeof(h.gid), e->gid, OCTAL7_MAX);
    put_number(&pax, "size", h.size, sizeof(h.size), size, OCTAL11_MAX);
    put_number(&pax, "mtime", h.mtime, sizeof(h.mtime), (uint64_t)(e->mtime < 0 ? 0 : e->mtime),
               OCTAL11_MAX);
    if (e->type == ENTRY_FILE && e->capability.len)
        pax_record(&pax, "SCHILY.xattr.security.capability", e->capability);
    if (pax.len)
        put_pax(out, buf_span(&pax));
    put_block(out, &h);
}

const char *tar_show(struct span path, char out[200])
{
    size_t n = path.len < 199 ? path.len : 199;
    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char)path.ptr[i] < 0x20 || path.ptr[i] == 0x7f ? '?' : path.ptr[i];
    out[n] = '\0';
    return out;
}

bool tar_check_path(struct span path, struct err *err)
{
    char shown[200];
    struct span rest = path, part;
    if (path.len == 0 || path.len > SEGMENT_PATH_MAX)
        return err_set(err, ERR_INVALID, "a path of %zu bytes (1 to %u are allowed)", path.len,
                       SEGMENT_PATH_MAX);
    if (span_has(path, '\0'))
        return err_set(err, ERR_INVALID, "path %s: has a NUL byte", tar_show(path, shown));
    while (span_next(&rest, '/', &part)) {
        if (part.len == 0)
            return err_set(err, ERR_INVALID, "path %s: '/' at the begin or end, or doubled",
                           tar_show(path, shown));
        if (span_eq(part, SPAN(".")) || span_eq(part, SPAN("..")))
            return err_set(err, ERR_INVALID, "path %s: '.' and '..' are not allowed",
                           tar_show(path, shown));
        if (part.len > COMPONENT_MAX)
            return err_set(err, ERR_INVALID, "path %s: a name longer than %u bytes",
                           tar_show(path, shown), COMPONENT_MAX);
        if (span_starts(part, SPAN(".wh.")))
            return err_set(err, ERR_INVALID,
                           "path %s: names that begin with .wh. mean removal in a layer",
                           tar_show(path, shown));
    }
    return true;
}
