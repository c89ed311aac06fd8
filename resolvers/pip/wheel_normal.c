/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/pip/wheel_normal.h"

#include <sys/stat.h>

#include "resolvers/archive/zip.h"
#include "resolvers/archive/zip_write.h"
#include "resolvers/pip/record.h"

/* The name below "*.dist-info/" at the top; an empty span elsewhere. */
static struct span info_name(struct span name)
{
    struct span top, rest;
    return span_cut_char(name, '/', &top, &rest) && span_ends(top, SPAN(".dist-info"))
               ? rest
               : (struct span){"", 0};
}

static int by_place(const void *a, const void *b)
{
    const struct zip_entry *x = *(const struct zip_entry *const *)a;
    const struct zip_entry *y = *(const struct zip_entry *const *)b;
    bool x_info = info_name(x->name).len > 0, y_info = info_name(y->name).len > 0;
    return x_info != y_info ? (x_info ? 1 : -1) : span_cmp(x->name, y->name);
}

static bool sort_record(struct span *text, struct arena *a, struct err *err)
{
    struct pip_record record = {0};
    bool ok = pip_record_parse(*text, a, &record, err);
    if (ok)
        *text = pip_record_print(&record, a);
    pip_record_release(&record);
    return ok;
}

static bool copy(struct zip_writer *w, const struct zip_entry *e, struct err *err)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct span content;
    bool regular = S_ISREG(e->mode) || (e->mode & S_IFMT) == 0;
    if (!regular)
        return err_set(err, ERR_BAD_ARCHIVE, "%.*s is no regular file", SPAN_ARG(e->name));
    if (!zip_read(e, a, &content, err))
        return false;
    if (span_eq(info_name(e->name), SPAN("RECORD")) && !sort_record(&content, a, err))
        return false;
    zip_put(w, e->name, e->mode & 0111 ? 0755 : 0644, content);
    return true;
}

bool pip_wheel_normalise(struct span wheel, int64_t source_date_epoch, struct buf *out,
                         struct err *err)
{
    AUTO_ARENA struct arena *a = arena_new();
    struct zip z;
    struct zip_writer w;
    struct err ignored;
    size_t n = 0;
    if (!zip_open(&z, wheel, &zip_default_limits, a, err))
        return false;
    const struct zip_entry **list = arena_array(a, z.count + 1, sizeof(*list));
    for (size_t i = 0; i < z.count; i++)
        if (!z.entries[i].dir)
            list[n++] = &z.entries[i];
    qsort(list, n, sizeof(*list), by_place);
    zip_begin(&w, out, zip_time(source_date_epoch));
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++)
        ok = copy(&w, list[i], err);
    return zip_end(&w, ok ? err : &ignored) && ok;
}
