/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/tar_walk_priv.h"

#include "cache/tar_priv.h"

#define MAX_HEADER_BYTES (1u << 20)
#define MAX_SIZE         (1ull << 50)

void tar_walk_init(struct tar_walk *w)
{
    w->header = BUF(MAX_HEADER_BYTES);
    w->path = BUF(64u << 10);
    w->target = BUF(64u << 10);
    w->left = 0;
}

void tar_walk_release(struct tar_walk *w)
{
    buf_release(&w->header);
    buf_release(&w->path);
    buf_release(&w->target);
}

static bool bad(const char *why, struct err *err)
{
    return err_set(err, ERR_BAD_ARCHIVE, "tar: %s", why);
}

bool tar_walk_content(struct tar_walk *w, char *out, size_t room, size_t *got, struct err *err)
{
    size_t want = w->left < room ? (size_t)w->left : room;
    *got = 0;
    if (want == 0)
        return true;
    if (!w->read(w->ctx, out, want, got, err))
        return false;
    w->left -= *got;
    return *got == want || bad("cut short", err);
}

static bool skip_content(struct tar_walk *w, struct err *err)
{
    char room[16 << 10];
    for (size_t got = 1; got;)
        if (!tar_walk_content(w, room, sizeof(room), &got, err))
            return false;
    return true;
}

/* Octal with leading spaces, or GNU's binary form. */
static bool get_number(struct span field, uint64_t *out)
{
    uint64_t n = 0;
    const unsigned char *p = (const unsigned char *)field.ptr;
    size_t i = 0;
    if (p[0] == 0x80) {
        for (i = 1; i < field.len; i++) {
            if (n >> 48)
                return false;
            n = n << 8 | p[i];
        }
        *out = n;
        return true;
    }
    while (i < field.len && p[i] == ' ')
        i++;
    for (; i < field.len && p[i] >= '0' && p[i] <= '7'; i++) {
        if (n >> 50)
            return false;
        n = n << 3 | (uint64_t)(p[i] - '0');
    }
    if (i < field.len && p[i] != '\0' && p[i] != ' ')
        return false;
    *out = n;
    return true;
}

static bool check_sum(const char *block)
{
    uint64_t want;
    unsigned sum = 8 * ' ';
    for (size_t i = 0; i < TAR_BLOCK; i++)
        if (i < 148 || i >= 156)
            sum += (unsigned char)block[i];
    return get_number(span_of(block + 148, 8), &want) && want == sum;
}

static struct span text_field(const char *block, size_t at, size_t len)
{
    return span_of(block + at, strnlen(block + at, len));
}

/* One "LENGTH KEY=VALUE\n" after the other. */
static bool take_pax(struct tar_walk *w, struct span records, bool *has_size, uint64_t *size)
{
    while (records.len) {
        struct span len_text, rest, key, value;
        uint64_t len;
        if (!span_cut_char(records, ' ', &len_text, &rest) || !span_to_u64(len_text, &len) ||
            len <= len_text.len + 2 || len > records.len || records.ptr[len - 1] != '\n')
            return false;
        rest = span_slice(records, len_text.len + 1, len - 1);
        records = span_skip(records, len);
        if (!span_cut_char(rest, '=', &key, &value))
            return false;
        if (span_eq(key, SPAN("path"))) {
            buf_reset(&w->path);
            buf_append(&w->path, value);
        } else if (span_eq(key, SPAN("linkpath"))) {
            buf_reset(&w->target);
            buf_append(&w->target, value);
        } else if (span_eq(key, SPAN("size"))) {
            *has_size = true;
            if (!span_to_u64(value, size))
                return false;
        } else if (span_starts(key, SPAN("GNU.sparse."))) {
            return false;
        }
    }
    return true;
}

/* Another header block; false at the end of what can be read. */
static bool read_block(struct tar_walk *w, char **block, struct err *err)
{
    size_t got;
    *block = buf_room(&w->header, TAR_BLOCK);
    if (!*block)
        return bad("headers without end", err);
    if (!w->read(w->ctx, *block, TAR_BLOCK, &got, err))
        return false;
    if (got != TAR_BLOCK)
        return bad("cut short", err);
    w->header.len += TAR_BLOCK;
    return true;
}

static bool is_zero(const char *block)
{
    for (size_t i = 0; i < TAR_BLOCK; i++)
        if (block[i])
            return false;
    return true;
}

/* The payload of a header that describes the next one. */
static bool read_payload(struct tar_walk *w, uint64_t size, struct span *payload, struct err *err)
{
    size_t got, padded = (size_t)tar_padded(size);
    char *room = size > MAX_HEADER_BYTES ? NULL : buf_room(&w->header, padded);
    if (!room)
        return bad("a header that is too large", err);
    if (!w->read(w->ctx, room, padded, &got, err))
        return false;
    if (got != padded)
        return bad("cut short", err);
    w->header.len += padded;
    *payload = span_of(room, size);
    return true;
}

static bool take_name(struct buf *to, struct span payload)
{
    buf_reset(to);
    buf_append(to, span_of(payload.ptr, strnlen(payload.ptr, payload.len)));
    return !to->overflow;
}

static bool finish(struct tar_walk *w, const char *block, struct tar_record *r, struct err *err)
{
    struct span name = text_field(block, 0, 100), prefix = text_field(block, 345, 155);
    if (w->path.len == 0) {
        if (memcmp(block + 257, "ustar\0", 6) == 0 && prefix.len) {
            buf_append(&w->path, prefix);
            buf_char(&w->path, '/');
        }
        buf_append(&w->path, name);
    }
    if (w->target.len == 0)
        buf_append(&w->target, text_field(block, 157, 100));
    r->path = buf_span(&w->path);
    r->target = buf_span(&w->target);
    while (span_starts(r->path, SPAN("./")))
        r->path = span_skip(r->path, 2);
    while (r->path.len && r->path.ptr[r->path.len - 1] == '/')
        r->path.len--;
    r->type = block[156] == '\0' || block[156] == '7' ? '0' : block[156];
    r->header = buf_span(&w->header);
    if (w->path.overflow || w->target.overflow)
        return bad("a path that is too long", err);
    if (!strchr("0123456", r->type))
        return err_set(err, ERR_UNSUPPORTED, "tar: entries of type %c", r->type);
    w->left = tar_padded(r->size);
    return true;
}

bool tar_walk_next(struct tar_walk *w, struct tar_record *r, bool *more, struct err *err)
{
    bool has_size = false;
    uint64_t pax_size = 0;
    char *block;
    *more = false;
    if (!skip_content(w, err))
        return false;
    buf_reset(&w->header);
    buf_reset(&w->path);
    buf_reset(&w->target);
    for (;;) {
        struct span payload;
        if (!read_block(w, &block, err))
            return false;
        if (is_zero(block))
            return w->header.len == TAR_BLOCK || bad("ends within an entry's headers", err);
        if (!check_sum(block) || !get_number(span_of(block + 124, 12), &r->size) ||
            r->size > MAX_SIZE)
            return bad("a damaged header", err);
        char type = block[156];
        if (type != 'x' && type != 'L' && type != 'K')
            break;
        if (!read_payload(w, r->size, &payload, err))
            return false;
        if (type == 'x' ? !take_pax(w, payload, &has_size, &pax_size)
                        : !take_name(type == 'L' ? &w->path : &w->target, payload))
            return bad("a damaged extended header", err);
    }
    if (has_size)
        r->size = pax_size;
    if (r->size > MAX_SIZE)
        return bad("a damaged header", err);
    if (block[156] != '0' && block[156] != '\0' && block[156] != '7')
        r->size = 0; /* links and folders have no content, whatever the field says */
    *more = true;
    return finish(w, block, r, err);
}
