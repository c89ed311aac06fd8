/* SPDX-License-Identifier: Apache-2.0 */
/* Entries made of the input are refused, or give a tar that libarchive and our own reader read
 * back as the same entries.
 *
 * The input: for each entry a line "TYPE MODE SIZE PATH[ TARGET]" with TYPE one of f d s h w
 * (octal mode, decimal size); ' ' ends a path. */
#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <locale.h>

#include "cache/entries_priv.h"
#include "cache/tar_priv.h"
#include "cache/tar_walk_priv.h"

#define MAX_TAR (8u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_line(struct segment_plan *plan, struct span line)
{
    static const char types[] = "fdshw";
    static const char content[70000];
    struct span type, mode, length, path, target = {0};
    uint64_t size = 0;
    if (!span_cut_char(line, ' ', &type, &line) || !span_cut_char(line, ' ', &mode, &line) ||
        !span_cut_char(line, ' ', &length, &line) || type.len != 1)
        return;
    const char *at = strchr(types, type.ptr[0]);
    if (!span_cut_char(line, ' ', &path, &target))
        path = line;
    if (!at || !type.ptr[0] || !span_to_u64(length, &size))
        return;
    struct segment_entry *e = VEC_PUSH(&plan->entries);
    e->type = (enum entry_type)(at - types);
    e->path = path;
    e->target = target;
    e->bytes = span_of(content, size % sizeof(content));
    e->size = e->bytes.len;
    for (size_t i = 0; i < mode.len && i < 6; i++)
        e->mode = e->mode << 3 | (mode.ptr[i] & 7);
    e->uid = e->mode * 4097;
    e->mtime = (int64_t)size;
}

static void write_tar(struct buf *out, const struct entry_list *list)
{
    static const char zeros[TAR_BLOCK];
    for (size_t i = 0; i < list->n; i++) {
        const struct segment_entry *e = &list->v[i].e;
        tar_header(out, e);
        if (e->type != ENTRY_FILE)
            continue;
        buf_append(out, e->bytes);
        buf_append(out, span_of(zeros, tar_padded(e->size) - e->size));
    }
    buf_append(out, span_of(zeros, TAR_BLOCK));
    buf_append(out, span_of(zeros, TAR_BLOCK));
}

static struct span without_slash(const char *path)
{
    struct span s = span_str(path);
    if (span_ends(s, SPAN("/")))
        s.len--;
    return s;
}

static void check_libarchive(struct span tar, const struct entry_list *list)
{
    struct archive *a = archive_read_new();
    struct archive_entry *x;
    archive_read_support_format_tar(a);
    assert(archive_read_open_memory(a, tar.ptr, tar.len) == ARCHIVE_OK);
    for (size_t i = 0; i < list->n; i++) {
        const struct segment_entry *e = &list->v[i].e;
        int rc = archive_read_next_header(a, &x);
        assert(rc == ARCHIVE_OK);
        assert(span_eq(without_slash(archive_entry_pathname(x)), e->path));
        if (e->type == ENTRY_HARDLINK) {
            assert(span_eq_str(e->target, archive_entry_hardlink(x)));
            continue;
        }
        assert((archive_entry_mode(x) & 07777) == e->mode);
        assert(archive_entry_uid(x) == e->uid && archive_entry_mtime(x) == e->mtime);
        if (e->type == ENTRY_SYMLINK)
            assert(span_eq_str(e->target, archive_entry_symlink(x)));
        else if (e->type == ENTRY_DIR)
            assert(archive_entry_filetype(x) == AE_IFDIR);
        else
            assert(archive_entry_filetype(x) == AE_IFREG &&
                   (uint64_t)archive_entry_size(x) == (e->type == ENTRY_FILE ? e->size : 0));
    }
    assert(archive_read_next_header(a, &x) == ARCHIVE_EOF);
    archive_read_free(a);
}

static bool read_span(void *ctx, char *out, size_t len, size_t *got, struct err *err)
{
    struct span *rest = ctx;
    (void)err;
    *got = len < rest->len ? len : rest->len;
    memcpy(out, rest->ptr, *got);
    *rest = span_skip(*rest, *got);
    return true;
}

static void check_walk(struct span tar, const struct entry_list *list)
{
    struct tar_walk w = {.read = read_span, .ctx = &tar};
    struct tar_record r;
    bool more;
    tar_walk_init(&w);
    for (size_t i = 0; i < list->n; i++) {
        const struct segment_entry *e = &list->v[i].e;
        bool ok = tar_walk_next(&w, &r, &more, NULL);
        assert(ok && more && span_eq(r.path, e->path));
        assert(r.size == (e->type == ENTRY_FILE ? e->size : 0));
        assert((e->type != ENTRY_SYMLINK && e->type != ENTRY_HARDLINK) ||
               span_eq(r.target, e->target));
    }
    bool ok = tar_walk_next(&w, &r, &more, NULL);
    assert(ok && !more);
    tar_walk_release(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct segment_plan plan;
    struct entry_list list;
    AUTO_BUF struct buf tar = BUF(MAX_TAR);
    struct span rest = span_of(data, size), line;
    setlocale(LC_ALL, "C.UTF-8"); /* libarchive gives names in it */
    segment_plan_init(&plan);
    while (plan.entries.n < 200 && span_next(&rest, '\n', &line))
        add_line(&plan, line);
    if (entry_list_make(&list, &plan, 1ll << 32, NULL)) {
        write_tar(&tar, &list);
        if (!tar.overflow) {
            check_libarchive(buf_span(&tar), &list);
            check_walk(buf_span(&tar), &list);
        }
    }
    entry_list_release(&list);
    segment_plan_release(&plan);
    return 0;
}
