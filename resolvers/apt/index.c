/* SPDX-License-Identifier: Apache-2.0 */
/* Layout: "strata-apt-index-1\n\0\0\0\0\0" (24 bytes), u64 length of the text, u32 names, u32
 * provides, then that many rows of names and of provides. Native byte order: it never travels. */
#include "resolvers/apt/index.h"

#include "resolvers/apt/control.h"

#define MAGIC       "strata-apt-index-1\n\0\0\0\0"
#define MAGIC_BYTES 24
#define MAX_ROWS    10000000u

struct head {
    char magic[MAGIC_BYTES];
    uint64_t text_bytes;
    uint32_t names, provides;
};

typedef VEC(struct apt_index_row) rows_t;

static struct apt_index_row row_of(struct span text, struct span name, struct span stanza)
{
    return (struct apt_index_row){
        (uint32_t)(name.ptr - text.ptr),
        (uint32_t)name.len,
        (uint32_t)(stanza.ptr - text.ptr),
        (uint32_t)stanza.len,
    };
}

static int compare_rows(const void *a, const void *b, void *text)
{
    const struct apt_index_row *x = a, *y = b;
    const char *base = text;
    int d =
        span_cmp(span_of(base + x->name_at, x->name_len), span_of(base + y->name_at, y->name_len));
    return d ? d : (x->stanza_at > y->stanza_at) - (x->stanza_at < y->stanza_at);
}

static bool append_rows(rows_t *rows, struct span text, struct buf *out)
{
    if (rows->n)
        qsort_r(rows->v, rows->n, sizeof(*rows->v), compare_rows, (void *)(uintptr_t)text.ptr);
    return buf_append(out, span_of(rows->v, rows->n * sizeof(*rows->v)));
}

bool apt_index_build(struct span text, struct buf *out, struct err *err)
{
    rows_t names = {0}, provides = {0};
    struct span rest = text, stanza;
    if (text.len > UINT32_MAX)
        return err_set(err, ERR_TOO_LARGE, "package list larger than 4 GiB");
    while (names.n < MAX_ROWS && provides.n < MAX_ROWS && control_stanza(&rest, &stanza)) {
        struct span fields = stanza, key, value, package = SPAN(""), provided = SPAN("");
        while (control_field(&fields, &key, &value)) {
            /* The first one counts, as for whoever reads the stanza. */
            if (package.len == 0 && span_eq_nocase(key, SPAN("Package")))
                package = value;
            else if (provided.len == 0 && span_eq_nocase(key, SPAN("Provides")))
                provided = value;
        }
        if (package.len == 0)
            continue;
        *VEC_PUSH(&names) = row_of(text, package, stanza);
        struct span group;
        struct apt_relation_term term;
        while (control_group(&provided, &group))
            if (control_alternative(&group, &term))
                *VEC_PUSH(&provides) = row_of(text, term.name, stanza);
    }
    struct head head = {MAGIC, text.len, (uint32_t)names.n, (uint32_t)provides.n};
    bool ok = buf_append(out, span_of(&head, sizeof(head))) && append_rows(&names, text, out) &&
              append_rows(&provides, text, out);
    if (!ok)
        err_set(err, ERR_TOO_LARGE, "package list has too many stanzas");
    VEC_FREE(&names);
    VEC_FREE(&provides);
    return ok;
}

static bool rows_fit(const struct apt_index_row *rows, size_t n, size_t text_bytes)
{
    for (size_t i = 0; i < n; i++)
        if ((uint64_t)rows[i].name_at + rows[i].name_len > text_bytes ||
            (uint64_t)rows[i].stanza_at + rows[i].stanza_len > text_bytes)
            return false;
    return true;
}

bool apt_index_open(struct span text, struct span bytes, struct apt_index *out, struct err *err)
{
    struct head head;
    if (bytes.len < sizeof(head))
        return err_set(err, ERR_CORRUPT, "package index is truncated");
    memcpy(&head, bytes.ptr, sizeof(head));
    size_t rows = (bytes.len - sizeof(head)) / sizeof(struct apt_index_row);
    if (memcmp(head.magic, MAGIC, MAGIC_BYTES) != 0 || head.text_bytes != text.len ||
        (size_t)head.names + head.provides != rows ||
        rows * sizeof(struct apt_index_row) != bytes.len - sizeof(head))
        return err_set(err, ERR_CORRUPT, "package index is not of this list");
    *out = (struct apt_index){
        .text = text,
        .names = (const struct apt_index_row *)(const void *)(bytes.ptr + sizeof(head)),
        .name_count = head.names,
        .provide_count = head.provides,
    };
    out->provides = out->names + head.names;
    if (!rows_fit(out->names, rows, text.len))
        return err_set(err, ERR_CORRUPT, "package index points outside its list");
    return true;
}

static size_t find(const struct apt_index *x, const struct apt_index_row *rows, size_t n,
                   struct span name, const struct apt_index_row **first)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        struct span at = span_of(x->text.ptr + rows[mid].name_at, rows[mid].name_len);
        if (span_cmp(at, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *first = rows + low;
    for (high = low;
         high < n && span_eq(span_of(x->text.ptr + rows[high].name_at, rows[high].name_len), name);)
        high++;
    return high - low;
}

size_t apt_index_find(const struct apt_index *x, struct span name,
                      const struct apt_index_row **first)
{
    return find(x, x->names, x->name_count, name, first);
}

size_t apt_index_providers(const struct apt_index *x, struct span name,
                           const struct apt_index_row **first)
{
    return find(x, x->provides, x->provide_count, name, first);
}

struct span apt_index_stanza(const struct apt_index *x, const struct apt_index_row *row)
{
    return span_of(x->text.ptr + row->stanza_at, row->stanza_len);
}
