/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/mount/tar_reader_priv.h"

#define BLOCK          512u
#define MAX_EXTENSION  (1u << 20) /* of a pax header or a GNU long name */
#define MAX_EXTENSIONS 16         /* headers before one entry */
#define MAX_XATTRS     64u
#define MAX_FILE_SIZE  (1ull << 40)

/* Where the fields of a header are. */
struct field {
    size_t at, len;
};
static const struct field NAME = {0, 100}, MODE = {100, 8}, UID = {108, 8}, GID = {116, 8},
                          SIZE = {124, 12}, MTIME = {136, 12}, CHECKSUM = {148, 8},
                          LINK = {157, 100}, PREFIX = {345, 155};
#define TYPE_AT  156
#define MAGIC_AT 257

struct tar_reader {
    struct decoder *decoder;
    struct span piece;      /* decoded and not yet used */
    uint64_t content, skip; /* bytes of the entry's content and padding still to come */
    struct arena *arena;    /* the entry's strings */
    struct tar_entry entry;
    bool long_path, long_link, has_size, has_uid, has_gid, has_mtime; /* set by an extension */
    bool end;
    char block[BLOCK];
};

struct tar_reader *tar_reader_new(struct decoder *d)
{
    struct tar_reader *t = MEM_NEW(struct tar_reader);
    t->decoder = d;
    t->arena = arena_new();
    return t;
}

void tar_reader_free(struct tar_reader *t)
{
    if (!t)
        return;
    arena_free(t->arena);
    VEC_FREE(&t->entry.xattrs);
    free(t);
}

/* Up to max of the bytes that come next; empty at the end of the stream. */
static bool take_some(struct tar_reader *t, uint64_t max, struct span *out, struct err *err)
{
    if (t->piece.len == 0 && !decoder_next(t->decoder, &t->piece, err))
        return false;
    *out = span_slice(t->piece, 0, max < t->piece.len ? (size_t)max : t->piece.len);
    t->piece = span_skip(t->piece, out->len);
    return true;
}

/* All n bytes into `to`; *got is less only at the end of the stream. */
static bool take(struct tar_reader *t, char *to, size_t n, size_t *got, struct err *err)
{
    for (*got = 0; *got < n;) {
        struct span s;
        if (!take_some(t, n - *got, &s, err))
            return false;
        if (s.len == 0)
            break;
        memcpy(to + *got, s.ptr, s.len);
        *got += s.len;
    }
    return true;
}

static bool cut_off(struct err *err)
{
    return err_set(err, ERR_BAD_ARCHIVE, "tar ends early");
}

static bool pass(struct tar_reader *t, uint64_t *left, struct err *err)
{
    while (*left) {
        struct span s;
        if (!take_some(t, *left, &s, err))
            return false;
        if (s.len == 0)
            return cut_off(err);
        *left -= s.len;
    }
    return true;
}

static struct span text_of(const char *block, struct field f)
{
    return span_of(block + f.at, strnlen(block + f.at, f.len));
}

/* Octal text, or base 256 when the top bit is set (two's complement). */
static bool number(const char *block, struct field f, int64_t *out)
{
    const uint8_t *p = (const uint8_t *)block + f.at;
    size_t i = 0;
    if (p[0] & 0x80) {
        bool negative = p[0] & 0x40;
        uint64_t v = negative ? UINT64_MAX : 0;
        for (i = 0; i < f.len; i++) {
            uint8_t b = i ? p[i] : negative ? p[0] : p[0] & 0x7f;
            if (i + 8 < f.len && b != (negative ? 0xff : 0))
                return false;
            v = v << 8 | b;
        }
        *out = (int64_t)v;
        return negative == (*out < 0);
    }
    uint64_t v = 0;
    while (i < f.len && p[i] == ' ')
        i++;
    for (; i < f.len && p[i] >= '0' && p[i] <= '7'; i++)
        v = v << 3 | (uint64_t)(p[i] - '0'); /* at most 12 digits: fits */
    for (; i < f.len; i++)
        if (p[i] != ' ' && p[i] != '\0')
            return false;
    *out = (int64_t)v;
    return true;
}

static bool checksum_is_right(const char *block)
{
    int64_t want, plain = 0, with_sign = 0;
    if (!number(block, CHECKSUM, &want))
        return false;
    for (size_t i = 0; i < BLOCK; i++) {
        char c = i >= CHECKSUM.at && i < CHECKSUM.at + CHECKSUM.len ? ' ' : block[i];
        plain += (uint8_t)c;
        with_sign += (signed char)c; /* what some old programs wrote */
    }
    return want == plain || want == with_sign;
}

static bool bad_record(struct err *err, struct span key)
{
    return err_set(err, ERR_BAD_ARCHIVE, "pax record \"%.*s\" is malformed", SPAN_ARG(key));
}

/* "1700000000.25", perhaps with a minus. */
static bool parse_time(struct span text, int64_t *seconds, uint32_t *ns)
{
    struct span whole = text, part = SPAN("");
    bool negative = span_starts(text, SPAN("-"));
    uint64_t s;
    uint32_t fraction = 0, unit = 100000000;
    span_cut_char(text, '.', &whole, &part);
    if (!span_to_u64(span_skip(whole, negative), &s) || s > 1ull << 40 ||
        (part.len && !span_is_digits(part)))
        return false;
    for (size_t i = 0; i < part.len && unit; i++, unit /= 10)
        fraction += (uint32_t)(part.ptr[i] - '0') * unit;
    *seconds = negative ? -(int64_t)s : (int64_t)s;
    if (negative && fraction) {
        (*seconds)--;
        fraction = 1000000000 - fraction;
    }
    *ns = fraction;
    return true;
}

static bool add_xattr(struct tar_reader *t, struct span name, struct span value, struct err *err)
{
    if (t->entry.xattrs.n >= MAX_XATTRS)
        return err_set(err, ERR_TOO_LARGE, "more than %u extended attributes", MAX_XATTRS);
    if (name.len == 0 || name.len > 255 || span_has(name, '\0'))
        return bad_record(err, SPAN("SCHILY.xattr"));
    *VEC_PUSH(&t->entry.xattrs) =
        (struct tar_xattr){arena_span(t->arena, name), arena_span(t->arena, value)};
    return true;
}

static bool pax_number(struct span key, struct span value, uint64_t *out, bool *has,
                       struct err *err)
{
    *has = true;
    return span_to_u64(value, out) || bad_record(err, key);
}

static bool pax_record(struct tar_reader *t, struct span key, struct span value, struct err *err)
{
    struct tar_entry *e = &t->entry;
    struct span xattr = SPAN_INIT("SCHILY.xattr.");
    if (span_eq_str(key, "path")) {
        t->long_path = true;
        e->path = arena_span(t->arena, value);
    } else if (span_eq_str(key, "linkpath")) {
        t->long_link = true;
        e->link = arena_span(t->arena, value);
    } else if (span_eq_str(key, "size")) {
        return pax_number(key, value, &e->size, &t->has_size, err);
    } else if (span_eq_str(key, "uid")) {
        return pax_number(key, value, &e->uid, &t->has_uid, err);
    } else if (span_eq_str(key, "gid")) {
        return pax_number(key, value, &e->gid, &t->has_gid, err);
    } else if (span_eq_str(key, "mtime")) {
        t->has_mtime = true;
        return parse_time(value, &e->mtime, &e->mtime_ns) || bad_record(err, key);
    } else if (span_starts(key, xattr)) {
        return add_xattr(t, span_skip(key, xattr.len), value, err);
    } else if (span_starts(key, SPAN("GNU.sparse."))) {
        return err_set(err, ERR_BAD_ARCHIVE, "sparse files are not supported in a layer");
    }
    return true;
}

/* "LENGTH KEY=VALUE\n", the length counting all of it. A global header must not name paths. */
static bool pax_records(struct tar_reader *t, struct span rest, bool global, struct err *err)
{
    while (rest.len) {
        struct span digits, record, key, value;
        uint64_t len;
        size_t space = span_find_char(rest, ' ');
        digits = span_slice(rest, 0, space);
        if (space > 7 || !span_to_u64(digits, &len) || len > rest.len || len < space + 4 ||
            rest.ptr[len - 1] != '\n')
            return bad_record(err, span_slice(digits, 0, 8));
        record = span_slice(rest, space + 1, (size_t)len - 1);
        rest = span_skip(rest, (size_t)len);
        if (!span_cut_char(record, '=', &key, &value) || key.len == 0)
            return bad_record(err, span_slice(record, 0, 40));
        if (!global && !pax_record(t, key, value, err))
            return false;
        if (global &&
            (span_eq_str(key, "path") || span_eq_str(key, "linkpath") || span_eq_str(key, "size")))
            return bad_record(err, key);
    }
    return true;
}

static bool extension(struct tar_reader *t, char type, uint64_t size, struct err *err)
{
    if (size > MAX_EXTENSION)
        return err_set(err, ERR_TOO_LARGE, "tar extension header of %llu bytes",
                       (unsigned long long)size);
    size_t padded = ((size_t)size + BLOCK - 1) / BLOCK * BLOCK, got;
    AUTO_FREE char *bytes = mem_alloc(padded + 1);
    if (!take(t, bytes, padded, &got, err))
        return false;
    if (got < padded)
        return cut_off(err);
    if (type == 'x' || type == 'g')
        return pax_records(t, span_of(bytes, (size_t)size), type == 'g', err);
    struct span name = arena_span(t->arena, span_of(bytes, strnlen(bytes, (size_t)size)));
    *(type == 'L' ? &t->entry.path : &t->entry.link) = name;
    *(type == 'L' ? &t->long_path : &t->long_link) = true;
    return true;
}

static bool set_type(struct tar_reader *t, char type, struct err *err)
{
    struct tar_entry *e = &t->entry;
    switch (type) {
    case '0':
    case '7':
    case '\0': e->type = span_ends(e->path, SPAN("/")) ? TAR_DIR : TAR_FILE; break;
    case '1': e->type = TAR_HARDLINK; break;
    case '2': e->type = TAR_SYMLINK; break;
    case '5': e->type = TAR_DIR; break;
    case '3':
    case '4':
    case '6': return err_set(err, ERR_BAD_ARCHIVE, "device nodes are not allowed in a layer");
    case 'S': return err_set(err, ERR_BAD_ARCHIVE, "sparse files are not supported in a layer");
    default:
        return err_set(err, ERR_BAD_ARCHIVE, "unknown type of entry 0x%02x", (unsigned char)type);
    }
    if (e->path.len == 0 || span_has(e->path, '\0'))
        return err_set(err, ERR_BAD_ARCHIVE, "no name");
    bool link = e->type == TAR_SYMLINK || e->type == TAR_HARDLINK;
    if (link && (e->link.len == 0 || span_has(e->link, '\0')))
        return err_set(err, ERR_BAD_ARCHIVE, "link without a target");
    if (e->size > (e->type == TAR_FILE ? MAX_FILE_SIZE : 0))
        return err_set(err, ERR_BAD_ARCHIVE, "size of %llu bytes", (unsigned long long)e->size);
    return true;
}

/* Fills what no extension has set from the header, which t->block holds. */
static bool header_fields(struct tar_reader *t, struct err *err)
{
    struct tar_entry *e = &t->entry;
    const char *b = t->block;
    int64_t mode, uid, gid, size, mtime;
    if (!number(b, MODE, &mode) || !number(b, UID, &uid) || !number(b, GID, &gid) ||
        !number(b, SIZE, &size) || !number(b, MTIME, &mtime) || uid < 0 || gid < 0 || size < 0)
        return err_set(err, ERR_BAD_ARCHIVE, "malformed number in a tar header");
    if (!t->long_path) {
        /* The prefix belongs to ustar only: GNU's own format keeps times there. */
        struct span name = text_of(b, NAME), prefix = text_of(b, PREFIX);
        if (prefix.len && memcmp(b + MAGIC_AT, "ustar", 6) == 0)
            name = span_str(arena_printf(t->arena, "%.*s/%.*s", SPAN_ARG(prefix), SPAN_ARG(name)));
        e->path = arena_span(t->arena, name);
    }
    if (!t->long_link)
        e->link = arena_span(t->arena, text_of(b, LINK));
    e->mode = (uint32_t)mode & 07777;
    e->uid = t->has_uid ? e->uid : (uint64_t)uid;
    e->gid = t->has_gid ? e->gid : (uint64_t)gid;
    e->size = t->has_size ? e->size : (uint64_t)size;
    e->mtime = t->has_mtime ? e->mtime : mtime;
    return true;
}

static bool all_zero(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i])
            return false;
    return true;
}

static bool read_end(struct tar_reader *t, struct err *err)
{
    struct span s;
    t->end = true;
    do {
        if (!take_some(t, UINT64_MAX, &s, err))
            return false;
        if (!all_zero(s))
            return err_set(err, ERR_BAD_ARCHIVE, "data after the end of the tar");
    } while (s.len);
    err_clear(err);
    return false;
}

static void forget_entry(struct tar_reader *t)
{
    size_t cap = t->entry.xattrs.cap;
    struct tar_xattr *v = t->entry.xattrs.v;
    if (arena_used_bytes(t->arena) > 64u << 10) {
        arena_free(t->arena);
        t->arena = arena_new();
    }
    t->entry = (struct tar_entry){0};
    t->entry.xattrs.v = v;
    t->entry.xattrs.cap = cap;
    t->long_path = t->long_link = false;
    t->has_size = t->has_uid = t->has_gid = t->has_mtime = false;
}

bool tar_reader_next(struct tar_reader *t, const struct tar_entry **out, struct err *err)
{
    uint64_t left = t->content + t->skip;
    *out = NULL;
    if (t->end || !pass(t, &left, err))
        return t->end ? (err_clear(err), false) : false;
    t->content = t->skip = 0;
    forget_entry(t);
    for (int extensions = 0;; extensions++) {
        size_t got;
        int64_t size;
        if (!take(t, t->block, BLOCK, &got, err))
            return false;
        if (got != 0 && got < BLOCK)
            return cut_off(err);
        if (got == 0 || all_zero(span_of(t->block, BLOCK)))
            return extensions ? cut_off(err) : read_end(t, err);
        if (!checksum_is_right(t->block))
            return err_set(err, ERR_BAD_ARCHIVE, "not a tar, or damaged: wrong header checksum");
        char type = t->block[TYPE_AT];
        if (type == 'x' || type == 'g' || type == 'L' || type == 'K') {
            if (extensions == MAX_EXTENSIONS)
                return err_set(err, ERR_BAD_ARCHIVE, "too many extension headers in a row");
            if (!number(t->block, SIZE, &size) || size < 0)
                return err_set(err, ERR_BAD_ARCHIVE, "malformed number in a tar header");
            if (!extension(t, type, (uint64_t)size, err))
                return false;
            continue;
        }
        if (!header_fields(t, err) || !set_type(t, type, err))
            return err_wrap(err, "%.*s", SPAN_ARG(t->entry.path));
        break;
    }
    t->content = t->entry.size;
    t->skip = (BLOCK - t->entry.size % BLOCK) % BLOCK;
    *out = &t->entry;
    return true;
}

bool tar_content(struct tar_reader *t, struct span *piece, struct err *err)
{
    if (t->content == 0)
        return *piece = SPAN(""), true;
    if (!take_some(t, t->content, piece, err))
        return false;
    if (piece->len == 0)
        return cut_off(err);
    t->content -= piece->len;
    return true;
}
