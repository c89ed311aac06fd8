/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A header of 512 bytes, then the content padded to 512:
 *
 *   0 name 100 | mode 8 | uid 8 | gid 8 | size 12 | mtime 12 | checksum 8 | type 1
 * 157 linkname 100 | magic 6 | version 2 | uname 32 | gname 32 | major 8 | minor 8
 * 345 prefix 155
 */
#include "resolvers/archive/tar.h"

#include "base/mem.h"
#include "resolvers/archive/archive_priv.h"

enum {
    BLOCK = 512,
    AT_NAME = 0,
    AT_MODE = 100,
    AT_UID = 108,
    AT_GID = 116,
    AT_SIZE = 124,
    AT_MTIME = 136,
    AT_CHECKSUM = 148,
    AT_TYPE = 156,
    AT_LINK = 157,
    AT_MAGIC = 257,
    AT_UNAME = 265,
    AT_GNAME = 297,
    AT_PREFIX = 345,
    MAX_PAX_BYTES = 1 << 20,
};

/* What pax records and GNU long names say of the entry that follows; ptr NULL: nothing. */
struct extended {
    struct span path, target;
    uint64_t size;
    bool has_size;
};

struct tar tar_of(struct span bytes, struct arena *a)
{
    return (struct tar){.bytes = bytes, .arena = a};
}

static bool bad(const struct tar *t, struct err *err, const char *why)
{
    return err_set(err, ERR_BAD_ARCHIVE, "tar: at byte %zu: %s", t->at, why);
}

static struct span field(const char *block, size_t at, size_t size)
{
    const char *end = memchr(block + at, '\0', size);
    return span_of(block + at, end ? (size_t)(end - block) - at : size);
}

/* Octal with blanks or NULs around it, or base 256 with the top bit set. */
static bool number(const char *block, size_t at, size_t size, uint64_t *out)
{
    const uint8_t *p = (const uint8_t *)block + at;
    uint64_t n = 0;
    if (p[0] & 0x80) {
        if (p[0] != 0x80) /* negative, or too large for any size */
            return false;
        for (size_t i = 1; i < size; i++) {
            if (n >> 56)
                return false;
            n = n << 8 | p[i];
        }
        *out = n;
        return true;
    }
    struct span s = span_trim(field(block, at, size));
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '7' || n >> 60)
            return false;
        n = n << 3 | (uint64_t)(s.ptr[i] - '0');
    }
    *out = n;
    return true;
}

/* The sum of all bytes, the checksum's own counted as blanks; old tars summed signed bytes. */
static bool checksum_ok(const char *block)
{
    uint64_t want;
    int64_t plain = 8 * ' ', with_sign = 8 * ' ';
    for (int i = 0; i < BLOCK; i++) {
        if (i >= AT_CHECKSUM && i < AT_CHECKSUM + 8)
            continue;
        plain += (uint8_t)block[i];
        with_sign += (int8_t)block[i];
    }
    return number(block, AT_CHECKSUM, 8, &want) &&
           ((int64_t)want == plain || (int64_t)want == with_sign);
}

static bool is_zero(const char *block)
{
    for (int i = 0; i < BLOCK; i++)
        if (block[i])
            return false;
    return true;
}

/* "LENGTH KEY=VALUE\n" */
static bool pax_record(struct span *rest, struct span *key, struct span *value)
{
    struct span digits, after;
    uint64_t n;
    if (!span_cut_char(*rest, ' ', &digits, &after) || digits.len > 10 ||
        !span_to_u64(digits, &n) || n > rest->len || n < digits.len + 4)
        return false;
    struct span record = span_slice(*rest, digits.len + 1, n);
    *rest = span_skip(*rest, n);
    return span_ends(record, SPAN("\n")) &&
           span_cut_char(span_slice(record, 0, record.len - 1), '=', key, value);
}

static bool read_pax(struct tar *t, struct span data, bool global, struct extended *x,
                     struct err *err)
{
    struct span key, value;
    while (data.len) {
        if (!pax_record(&data, &key, &value))
            return bad(t, err, "a broken pax record");
        if (span_eq(key, SPAN("path")))
            *(global ? &t->global_path : &x->path) = value;
        else if (span_eq(key, SPAN("linkpath")))
            *(global ? &t->global_target : &x->target) = value;
        else if (span_eq(key, SPAN("size"))) {
            if (global || !span_to_u64(value, &x->size))
                return bad(t, err, "a pax size that is no number, or global");
            x->has_size = true;
        } else if (span_starts(key, SPAN("GNU.sparse.")))
            return bad(t, err, "a sparse file");
    }
    return true;
}

static struct span until_nul(struct span s)
{
    return span_slice(s, 0, span_find_char(s, '\0'));
}

static struct span header_path(struct tar *t, const char *block)
{
    struct span name = field(block, AT_NAME, 100);
    /* GNU headers have times where ustar has the prefix; their magic ends in a blank. */
    if (memcmp(block + AT_MAGIC, "ustar\0", 6) != 0 || block[AT_PREFIX] == '\0')
        return name;
    struct span prefix = field(block, AT_PREFIX, 155);
    return span_str(arena_printf(t->arena, "%.*s/%.*s", SPAN_ARG(prefix), SPAN_ARG(name)));
}

static enum tar_type type_of(char flag, bool slash)
{
    switch (flag) {
    case '\0':
    case '0':
    case '7': return slash ? TAR_DIR : TAR_FILE; /* v7 marks a folder by its slash alone */
    case '1': return TAR_HARDLINK;
    case '2': return TAR_SYMLINK;
    case '5': return TAR_DIR;
    default: return TAR_OTHER;
    }
}

/* Owner and time, as the header itself has them. */
static void read_owner(const char *block, struct tar_entry *e)
{
    uint64_t mtime;
    e->mtime = number(block, AT_MTIME, 12, &mtime) && mtime <= INT64_MAX ? (int64_t)mtime : 0;
    if (!number(block, AT_UID, 8, &e->uid))
        e->uid = 0;
    if (!number(block, AT_GID, 8, &e->gid))
        e->gid = 0;
    bool has_names = memcmp(block + AT_MAGIC, "ustar", 5) == 0;
    e->uname = has_names ? field(block, AT_UNAME, 32) : SPAN("");
    e->gname = has_names ? field(block, AT_GNAME, 32) : SPAN("");
}

static bool finish(struct tar *t, const char *block, const struct extended *x, struct tar_entry *e,
                   struct err *err)
{
    uint64_t mode = 0;
    char shown[ARCHIVE_SHOW_SIZE];
    struct span path = x->path.ptr          ? x->path
                       : t->global_path.ptr ? t->global_path
                                            : header_path(t, block);
    e->target = x->target.ptr          ? x->target
                : t->global_target.ptr ? t->global_target
                                       : field(block, AT_LINK, 100);
    e->type = type_of(block[AT_TYPE], span_ends(path, SPAN("/")));
    if (!number(block, AT_MODE, 8, &mode))
        mode = 0; /* as node-tar, which takes what it cannot read as not told */
    e->mode = (uint32_t)(mode & 07777);
    read_owner(block, e);
    while (span_ends(path, SPAN("/")) && path.len > 1)
        path.len--;
    if (e->type == TAR_DIR && e->data.len)
        return err_set(err, ERR_BAD_ARCHIVE, "tar entry \"%s\": a folder with content",
                       archive_show(path, shown));
    t->name_bytes += path.len;
    if (t->name_bytes > ARCHIVE_MAX_NAMES_BYTES || !archive_path_is_small(path))
        return err_set(err, ERR_TOO_LARGE,
                       "tar entry \"%s\": its name is too long or nested too deeply, or all "
                       "names together are too long",
                       archive_show(path, shown));
    if (path.len == 0 || archive_path_escapes(path))
        return err_set(err, ERR_BAD_ARCHIVE, "tar entry \"%s\": not a path below the archive",
                       archive_show(path, shown));
    e->path = path;
    return true;
}

/* The header at t->at and its content; moves past both. */
static bool next_block(struct tar *t, const struct extended *x, const char **block,
                       struct span *data, struct err *err)
{
    struct span rest = span_skip(t->bytes, t->at);
    uint64_t size;
    if (rest.len < BLOCK)
        return bad(t, err, "cut off in a header");
    *block = rest.ptr;
    if (!checksum_ok(*block))
        return bad(t, err, "a header with a wrong checksum");
    char type = (*block)[AT_TYPE];
    if (x->has_size && type != 'x' && type != 'g' && type != 'L' && type != 'K')
        size = x->size;
    else if (!number(*block, AT_SIZE, 12, &size))
        return bad(t, err, "a size that is no number");
    if (type == '5')
        size = 0; /* some writers put the folder's own size there; no content follows */
    if (size && type >= '1' && type <= '6') /* readers disagree about whether content follows */
        return bad(t, err, "a link or device with content");
    if (size > rest.len - BLOCK)
        return bad(t, err, "cut off in an entry's content");
    *data = span_slice(rest, BLOCK, BLOCK + size);
    uint64_t padded = (size + BLOCK - 1) / BLOCK * BLOCK;
    t->at += BLOCK + (padded > rest.len - BLOCK ? rest.len - BLOCK : padded);
    if (++t->count > TAR_MAX_ENTRIES)
        return err_set(err, ERR_TOO_LARGE, "tar: more than %u entries", TAR_MAX_ENTRIES);
    return true;
}

bool tar_next(struct tar *t, struct tar_entry *e, struct err *err)
{
    struct extended x = {0};
    err_clear(err);
    for (;;) {
        struct span rest = span_skip(t->bytes, t->at), data;
        const char *block;
        /* An archive ends with two blocks of zeros; one is enough, and so is the end itself
         * between entries. */
        if (rest.len == 0 || (rest.len >= BLOCK && is_zero(rest.ptr))) {
            t->at = t->bytes.len;
            return x.path.ptr || x.target.ptr || x.has_size
                       ? bad(t, err, "cut off after an extended header")
                       : false;
        }
        if (!next_block(t, &x, &block, &data, err))
            return false;
        switch (block[AT_TYPE]) {
        case 'x':
        case 'g':
        case 'L':
        case 'K':
            if (data.len > MAX_PAX_BYTES)
                return err_set(err, ERR_TOO_LARGE, "tar: an extended header of %zu bytes",
                               data.len);
        }
        switch (block[AT_TYPE]) {
        case 'x':
        case 'g':
            if (!read_pax(t, data, block[AT_TYPE] == 'g', &x, err))
                return false;
            continue;
        case 'L': x.path = until_nul(data); continue;
        case 'K': x.target = until_nul(data); continue;
        default: e->data = data; return finish(t, block, &x, e, err);
        }
    }
}

struct span tar_strip(struct span path, unsigned parts, struct arena *a)
{
    struct span rest = path, part;
    char *out = arena_alloc(a, path.len + 1);
    size_t n = 0;
    for (unsigned i = 0; span_next(&rest, '/', &part); i++) {
        if (i < parts || part.len == 0 || span_eq(part, SPAN(".")))
            continue;
        if (n)
            out[n++] = '/';
        memcpy(out + n, part.ptr, part.len);
        n += part.len;
    }
    return span_of(out, n);
}
