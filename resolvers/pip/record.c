/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/pip/record.h"

#include <stdlib.h>

#include "base/digest.h"

/* Where a parse is. */
struct csv {
    const char *p, *end;
    struct arena *arena;
    size_t line;
};

static bool at_end_of_row(const struct csv *c)
{
    return c->p == c->end || *c->p == '\n' || *c->p == '\r';
}

/* Walks a field that begins with a quote: to the closing one, doubled quotes meaning one; what
 * follows up to the comma is taken as it is, as Python's csv does. Writes to `copy` unless NULL.
 * Returns the length, SIZE_MAX when the field has no end. */
static size_t walk_quoted(struct csv *c, char *copy)
{
    size_t n = 0;
    bool closed = false;
    for (c->p++; c->p < c->end; c->p++) {
        if (!closed && *c->p == '"') {
            if (c->p + 1 == c->end || c->p[1] != '"') {
                closed = true;
                continue;
            }
            c->p++;
        } else if (closed && (*c->p == ',' || at_end_of_row(c))) {
            break;
        }
        c->line += copy && *c->p == '\n';
        if (copy)
            copy[n] = *c->p;
        n++;
    }
    return closed ? n : SIZE_MAX;
}

static bool quoted_field(struct csv *c, struct span *out)
{
    const char *begin = c->p;
    size_t n = walk_quoted(c, NULL);
    if (n == SIZE_MAX)
        return false;
    char *copy = arena_alloc(c->arena, n + 1);
    c->p = begin;
    walk_quoted(c, copy);
    *out = span_of(copy, n);
    return true;
}

static bool field(struct csv *c, struct span *out)
{
    if (c->p < c->end && *c->p == '"')
        return quoted_field(c, out);
    const char *begin = c->p;
    while (c->p < c->end && *c->p != ',' && !at_end_of_row(c))
        c->p++;
    *out = span_of(begin, (size_t)(c->p - begin));
    return true;
}

static bool row(struct csv *c, struct pip_record_row *out)
{
    struct span rest, *fields[3] = {&out->path, &out->hash, &out->size};
    *out = (struct pip_record_row){{"", 0}, {"", 0}, {"", 0}};
    for (size_t i = 0;; i++) {
        if (!field(c, i < 3 ? fields[i] : &rest))
            return false;
        if (at_end_of_row(c))
            break;
        c->p++; /* the comma */
    }
    return true;
}

bool pip_record_parse(struct span text, struct arena *a, struct pip_record *out, struct err *err)
{
    struct csv c = {text.ptr, text.ptr + text.len, a, 1};
    while (c.p < c.end) {
        struct pip_record_row r;
        size_t line = c.line;
        if (!row(&c, &r))
            return err_set(err, ERR_BAD_ARCHIVE, "RECORD: line %zu: a quoted field without end",
                           line);
        if (r.path.len) {
            if (out->rows.n == PIP_RECORD_MAX_ROWS)
                return err_set(err, ERR_TOO_LARGE, "RECORD: more than %u rows",
                               PIP_RECORD_MAX_ROWS);
            *VEC_PUSH(&out->rows) = r;
        }
        if (c.p < c.end && *c.p == '\r')
            c.p++;
        if (c.p < c.end && *c.p == '\n')
            c.p++;
        c.line++;
    }
    return true;
}

void pip_record_release(struct pip_record *r)
{
    VEC_FREE(&r->rows);
}

void pip_record_add(struct pip_record *r, struct span path, struct span content, struct arena *a)
{
    struct digest d = digest_of(content);
    char hash[64] = "sha256=";
    size_t n = base64_encode(span_of(d.bytes, sizeof(d.bytes)), true, hash + 7);
    *VEC_PUSH(&r->rows) = (struct pip_record_row){
        .path = path,
        .hash = arena_span(a, span_of(hash, 7 + n)),
        .size = span_str(arena_printf(a, "%zu", content.len)),
    };
}

static int by_path(const void *a, const void *b)
{
    return span_cmp(((const struct pip_record_row *)a)->path,
                    ((const struct pip_record_row *)b)->path);
}

static bool needs_quotes(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (strchr(",\"\r\n", s.ptr[i]) && s.ptr[i])
            return true;
    return false;
}

static char *put_field(char *p, struct span s, char after)
{
    bool quotes = needs_quotes(s);
    if (quotes)
        *p++ = '"';
    for (size_t i = 0; i < s.len; i++) {
        if (quotes && s.ptr[i] == '"')
            *p++ = '"';
        *p++ = s.ptr[i];
    }
    if (quotes)
        *p++ = '"';
    *p++ = after;
    return p;
}

struct span pip_record_print(struct pip_record *r, struct arena *a)
{
    size_t room = 1;
    if (r->rows.n)
        qsort(r->rows.v, r->rows.n, sizeof(*r->rows.v), by_path);
    for (size_t i = 0; i < r->rows.n; i++) {
        const struct pip_record_row *w = &r->rows.v[i];
        room += 2 * (w->path.len + w->hash.len + w->size.len) + 9;
    }
    char *text = arena_alloc(a, room), *p = text;
    for (size_t i = 0; i < r->rows.n; i++) {
        p = put_field(p, r->rows.v[i].path, ',');
        p = put_field(p, r->rows.v[i].hash, ',');
        p = put_field(p, r->rows.v[i].size, '\n');
    }
    return span_of(text, (size_t)(p - text));
}

bool pip_record_row_tells(const struct pip_record_row *row, uint64_t size_bytes)
{
    struct span name, value;
    uint64_t size;
    if (!span_to_u64(row->size, &size) || size != size_bytes ||
        !span_cut_char(row->hash, '=', &name, &value))
        return false;
    enum hash_algo algo = hash_algo_named(name);
    if (algo != HASH_SHA256 && algo != HASH_SHA384 && algo != HASH_SHA512)
        return false;
    if (value.len != (hash_size(algo) * 4 + 2) / 3)
        return false;
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
              c == '-' || c == '_'))
            return false;
    }
    return true;
}
