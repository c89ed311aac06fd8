/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/archive/gzip.h"
#include "resolvers/archive/tar.h"
#include "resolvers/archive/zip.h"
#include "resolvers/pip/build_system.h"
#include "resolvers/pip/fetch_priv.h"

#define MAX_UNPACKED (2u << 30)

/* "NAME-VERSION/PKG-INFO", not one deeper down. */
static bool is_info(struct span path)
{
    struct span folder, file;
    return span_cut_char(path, '/', &folder, &file) && span_eq(file, SPAN("PKG-INFO"));
}

static bool from_tar(struct span bytes, struct arena *a, struct span *out, struct err *err)
{
    AUTO_FREE char *unpacked = NULL;
    AUTO_ARENA struct arena *scratch = arena_new();
    size_t size = 0;
    struct tar_entry e;
    if (!gzip_inflate(bytes, MAX_UNPACKED, &unpacked, &size, err))
        return false;
    struct tar t = tar_of(span_of(unpacked, size), scratch);
    while (tar_next(&t, &e, err)) {
        if (e.type == TAR_FILE && is_info(e.path)) {
            *out = arena_span(a, e.data);
            return true;
        }
    }
    return err->code == ERR_NONE ? err_set(err, ERR_BAD_ARCHIVE, "it has no PKG-INFO") : false;
}

static bool from_zip(struct span bytes, struct arena *a, struct span *out, struct err *err)
{
    AUTO_ARENA struct arena *scratch = arena_new();
    struct zip z;
    if (!zip_open(&z, bytes, &zip_default_limits, scratch, err))
        return false;
    for (size_t i = 0; i < z.count; i++) {
        struct span text;
        if (z.entries[i].dir || !is_info(z.entries[i].name))
            continue;
        if (!zip_read(&z.entries[i], scratch, &text, err))
            return false;
        *out = arena_span(a, text);
        return true;
    }
    return err_set(err, ERR_BAD_ARCHIVE, "it has no PKG-INFO");
}

bool pip_sdist_info(struct span filename, struct span bytes, struct arena *a, struct span *out,
                    struct err *err)
{
    if (span_ends(filename, SPAN(".zip")))
        return from_zip(bytes, a, out, err);
    if (span_ends(filename, SPAN(".tar.gz")) || span_ends(filename, SPAN(".tgz")))
        return from_tar(bytes, a, out, err);
    return err_set(err, ERR_NEEDS_BUILD, "its kind of archive is not read");
}

/* ---- looked through whole ------------------------------------------------------------------ */

static bool take_entry(struct pip_sdist *s, struct span path, struct span *below, struct err *err)
{
    struct span folder = path, rest = {"", 0};
    span_cut_char(path, '/', &folder, &rest);
    if (folder.len == 0 || span_eq(folder, SPAN(".")))
        return err_set(err, ERR_BAD_ARCHIVE, "its files lie in no folder of their own");
    if (!s->top.ptr)
        s->top = folder;
    if (!span_eq(s->top, folder))
        return err_set(err, ERR_BAD_ARCHIVE, "more than one folder: %.*s and %.*s",
                       SPAN_ARG(s->top), SPAN_ARG(folder));
    *below = rest;
    return true;
}

/* Where a link of "a/b" leads, by its text: not out of the source. */
static bool stays_inside(struct span path, struct span target)
{
    struct span part;
    long depth = -1;
    for (size_t i = 0; i < path.len; i++)
        depth += path.ptr[i] == '/';
    if (target.len == 0 || target.ptr[0] == '/')
        return false;
    while (span_next(&target, '/', &part)) {
        depth += span_eq(part, SPAN("..")) ? -1 : part.len > 0 && !span_eq(part, SPAN("."));
        if (depth < 0)
            return false;
    }
    return true;
}

/* A hard link's target is a path of the archive, a symbolic link's is relative to its folder. */
static bool check_link(const struct pip_sdist *s, const struct tar_entry *e, struct err *err)
{
    struct span top, rest;
    bool ok = e->type != TAR_SYMLINK || stays_inside(e->path, e->target);
    if (e->type == TAR_HARDLINK)
        ok = span_cut_char(e->target, '/', &top, &rest) && span_eq(top, s->top) &&
             stays_inside(s->top, rest);
    return ok ||
           err_set(err, ERR_BAD_ARCHIVE, "%.*s is a link out of the source", SPAN_ARG(e->path));
}

static bool open_tar(struct span bytes, struct arena *a, struct pip_sdist *s, struct err *err)
{
    AUTO_FREE char *unpacked = NULL;
    size_t size = 0;
    struct tar_entry e;
    if (!gzip_inflate(bytes, MAX_UNPACKED, &unpacked, &size, err))
        return false;
    struct tar t = tar_of(span_of(unpacked, size), a);
    while (tar_next(&t, &e, err)) {
        struct span below;
        if (e.type == TAR_OTHER)
            return err_set(err, ERR_BAD_ARCHIVE, "%.*s is no file, folder or link",
                           SPAN_ARG(e.path));
        if (!take_entry(s, e.path, &below, err) || !check_link(s, &e, err))
            return false;
        if (e.type == TAR_FILE && span_eq(below, SPAN("pyproject.toml")))
            s->pyproject = arena_span(a, e.data);
    }
    s->top = s->top.ptr ? arena_span(a, s->top) : s->top;
    return err->code == ERR_NONE;
}

static bool open_zip(struct span bytes, struct arena *a, struct pip_sdist *s, struct err *err)
{
    struct zip z;
    if (!zip_open(&z, bytes, &zip_default_limits, a, err))
        return false;
    for (size_t i = 0; i < z.count; i++) {
        struct span below;
        if (!take_entry(s, z.entries[i].name, &below, err))
            return false;
        if (!z.entries[i].dir && span_eq(below, SPAN("pyproject.toml")) &&
            !zip_read(&z.entries[i], a, &s->pyproject, err))
            return false;
    }
    return true;
}

bool pip_sdist_open(struct span filename, struct span bytes, struct arena *a, struct pip_sdist *out,
                    struct err *err)
{
    bool ok;
    *out = (struct pip_sdist){0};
    if (span_ends(filename, SPAN(".zip")))
        ok = open_zip(bytes, a, out, err);
    else if (span_ends(filename, SPAN(".tar.gz")) || span_ends(filename, SPAN(".tgz")))
        ok = open_tar(bytes, a, out, err);
    else
        return err_set(err, ERR_NEEDS_BUILD, "its kind of archive is not read");
    return ok && (out->top.ptr || err_set(err, ERR_BAD_ARCHIVE, "an empty archive"));
}
