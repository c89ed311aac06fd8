/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/pip/wheel.h"

#include <sys/stat.h>

#include "base/map.h"
#include "resolvers/archive/paths.h"
#include "resolvers/pip/name.h"
#include "resolvers/pip/version.h"

#define MAX_HEADER_FILE_BYTES (16u << 20) /* of WHEEL and METADATA */

bool pip_header(struct span text, struct span name, struct span *value)
{
    struct span line, key, rest;
    while (span_next_line(&text, &line) && line.len) {
        if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
            continue; /* goes on with the header above */
        if (span_cut_char(line, ':', &key, &rest) && span_eq_nocase(span_trim(key), name)) {
            *value = span_trim(rest);
            return true;
        }
    }
    return false;
}

const struct zip_entry *pip_wheel_info(const struct pip_wheel *w, const char *name)
{
    for (size_t i = 0; i < w->zip.count; i++) {
        const struct zip_entry *e = &w->zip.entries[i];
        if (!e->dir && span_starts(e->name, w->dist_info) && e->name.len > w->dist_info.len + 1 &&
            e->name.ptr[w->dist_info.len] == '/' &&
            span_eq_str(span_skip(e->name, w->dist_info.len + 1), name))
            return e;
    }
    return NULL;
}

struct span pip_record_path(const struct pip_wheel *w, struct span path, struct arena *a)
{
    struct span base = w->site_packages, part, rest;
    /* Leaves the folders that both have in common, then goes up the others of site-packages. */
    for (;;) {
        if (!span_cut_char(base, '/', &part, &rest)) {
            part = base;
            rest = span_slice(base, base.len, base.len);
        }
        if (part.len == 0 || path.len <= part.len || !span_starts(path, part) ||
            path.ptr[part.len] != '/')
            break;
        path = span_skip(path, part.len + 1);
        base = rest;
    }
    size_t ups = base.len > 0;
    for (size_t i = 0; i < base.len; i++)
        ups += base.ptr[i] == '/';
    return span_str(arena_printf(a, "%.*s%.*s", (int)(3 * ups), "../../../", SPAN_ARG(path)));
}

/* The one top folder that ends in ".dist-info". */
static bool find_dist_info(struct pip_wheel *w, struct err *err)
{
    struct span top, rest;
    for (size_t i = 0; i < w->zip.count; i++) {
        if (!span_cut_char(w->zip.entries[i].name, '/', &top, &rest) ||
            !span_ends(top, SPAN(".dist-info")))
            continue;
        if (w->dist_info.ptr && !span_eq(w->dist_info, top))
            return err_set(err, ERR_BAD_ARCHIVE, "more than one .dist-info folder: %.*s and %.*s",
                           SPAN_ARG(w->dist_info), SPAN_ARG(top));
        w->dist_info = top;
    }
    return w->dist_info.ptr || err_set(err, ERR_BAD_ARCHIVE, "no .dist-info folder: not a wheel");
}

static bool same_version(struct span text, struct span want, struct arena *a)
{
    struct pip_version x, y;
    return span_eq(text, want) || (pip_version_parse(text, a, &x) &&
                                   pip_version_parse(want, a, &y) && pip_version_cmp(&x, &y) == 0);
}

static bool check_identity(struct span name, struct span version, const struct pip_wheel_want *want,
                           const char *where, struct arena *a, struct err *err)
{
    if (!pip_name_is(name, want->name) || !same_version(version, want->version, a))
        return err_set(err, ERR_BAD_ARCHIVE, "%s says it is %.*s %.*s, the lock has %.*s %.*s",
                       where, SPAN_ARG(name), SPAN_ARG(version), SPAN_ARG(want->name),
                       SPAN_ARG(want->version));
    return true;
}

static bool check_dist_info(const struct pip_wheel *w, const struct pip_wheel_want *want,
                            struct arena *a, struct err *err)
{
    struct span stem = span_slice(w->dist_info, 0, w->dist_info.len - strlen(".dist-info"));
    struct span name, version;
    if (!span_cut_char(stem, '-', &name, &version))
        return err_set(err, ERR_BAD_ARCHIVE, "its folder %.*s is not NAME-VERSION.dist-info",
                       SPAN_ARG(w->dist_info));
    /* A "-" of the version is written "_" in file names. */
    char *plain = arena_str(a, version);
    for (char *p = plain; *p; p++)
        *p = *p == '_' ? '-' : *p;
    if (!same_version(version, want->version, a))
        version = span_str(plain);
    return check_identity(name, version, want, "its .dist-info folder", a, err);
}

static bool read_info(const struct pip_wheel *w, const char *name, struct arena *a,
                      struct span *text, struct err *err)
{
    const struct zip_entry *e = pip_wheel_info(w, name);
    if (!e)
        return err_set(err, ERR_BAD_ARCHIVE, "no %s in %.*s", name, SPAN_ARG(w->dist_info));
    if (e->size > MAX_HEADER_FILE_BYTES)
        return err_set(err, ERR_TOO_LARGE, "%s of more than %u bytes", name, MAX_HEADER_FILE_BYTES);
    return zip_read(e, a, text, err);
}

static bool check_wheel_file(struct pip_wheel *w, struct arena *a, struct err *err)
{
    struct span text, version, major, minor, pure;
    uint64_t major_number;
    if (!read_info(w, "WHEEL", a, &text, err))
        return false;
    if (!pip_header(text, SPAN("Wheel-Version"), &version) ||
        !span_cut_char(version, '.', &major, &minor) || !span_to_u64(major, &major_number) ||
        !span_is_digits(minor))
        return err_set(err, ERR_BAD_ARCHIVE, "WHEEL has no valid Wheel-Version");
    if (major_number != 1)
        return err_set(err, ERR_UNSUPPORTED, "Wheel-Version %.*s; this program installs 1.x",
                       SPAN_ARG(version));
    if (!span_eq(minor, SPAN("0")))
        w->warning =
            span_str(arena_printf(a, "Wheel-Version %.*s is newer than 1.0", SPAN_ARG(version)));
    if (!pip_header(text, SPAN("Root-Is-Purelib"), &pure) ||
        (!span_eq_nocase(pure, SPAN("true")) && !span_eq_nocase(pure, SPAN("false"))))
        return err_set(err, ERR_BAD_ARCHIVE, "WHEEL has no valid Root-Is-Purelib");
    return true; /* purelib and platlib are one folder in a virtual environment */
}

static bool check_metadata(const struct pip_wheel *w, const struct pip_wheel_want *want,
                           struct arena *a, struct err *err)
{
    struct span text, name, version;
    if (!read_info(w, "METADATA", a, &text, err))
        return false;
    if (!pip_header(text, SPAN("Name"), &name) || !pip_header(text, SPAN("Version"), &version))
        return err_set(err, ERR_BAD_ARCHIVE, "METADATA has no Name or no Version");
    return pip_name_valid(name) ? check_identity(name, version, want, "METADATA", a, err)
                                : err_set(err, ERR_BAD_ARCHIVE, "METADATA has no valid Name");
}

static bool check_type(const struct zip_entry *e, struct err *err)
{
    uint32_t type = e->mode & S_IFMT;
    if (type == 0 || type == S_IFREG || (e->dir && type == S_IFDIR))
        return true;
    return err_set(err, ERR_BAD_ARCHIVE, "%.*s: %s in a wheel is not allowed", SPAN_ARG(e->name),
                   type == S_IFLNK ? "a symbolic link" : "a special file");
}

/* "a-1.0.data/scripts/x" goes where the scheme says; lib64 is a link to lib. */
static bool place_data(struct pip_wheel *w, struct span rest, struct pip_wheel_file *f,
                       struct span python, struct span dist, struct arena *a, struct err *err)
{
    struct span scheme, path;
    const char *below;
    if (!span_cut_char(rest, '/', &scheme, &path) || path.len == 0)
        return err_set(err, ERR_BAD_ARCHIVE, "%.*s: a file outside the schemes of .data",
                       SPAN_ARG(f->entry->name));
    if (span_eq(scheme, SPAN("purelib")) || span_eq(scheme, SPAN("platlib"))) {
        f->place = PIP_LIBRARY;
        below = arena_printf(a, "%.*s/", SPAN_ARG(w->site_packages));
    } else if (span_eq(scheme, SPAN("scripts"))) {
        f->place = PIP_SCRIPT;
        below = "bin/";
    } else if (span_eq(scheme, SPAN("headers"))) {
        f->place = PIP_HEADER;
        below = arena_printf(a, "include/site/python%.*s/%.*s/", SPAN_ARG(python), SPAN_ARG(dist));
    } else if (span_eq(scheme, SPAN("data"))) {
        f->place = PIP_DATA;
        below = "";
        if (span_starts(path, SPAN("lib64/"))) {
            path = span_skip(path, strlen("lib64/"));
            below = "lib/";
        }
    } else {
        return err_set(err, ERR_BAD_ARCHIVE,
                       "%.*s: unknown scheme (allowed: purelib, platlib, headers, scripts, data)",
                       SPAN_ARG(f->entry->name));
    }
    f->path = span_str(arena_printf(a, "%s%.*s", below, SPAN_ARG(path)));
    return true;
}

static bool is_reserved(struct span path, struct span python)
{
    struct span minor;
    if (span_eq(path, SPAN("pyvenv.cfg")) || span_eq(path, SPAN("lib64")) ||
        span_eq(path, SPAN("bin/python")) || span_eq(path, SPAN("bin/python3")))
        return true;
    minor = span_skip(path, strlen("bin/python"));
    return span_starts(path, SPAN("bin/python")) && span_eq(minor, python);
}

static bool place(struct pip_wheel *w, struct pip_wheel_file *f, struct span python,
                  struct span dist, struct arena *a, struct err *err)
{
    struct span top, rest;
    struct span name = f->entry->name;
    if (span_cut_char(name, '/', &top, &rest) && span_ends(top, SPAN(".data"))) {
        if (!place_data(w, rest, f, python, dist, a, err))
            return false;
    } else {
        f->place = PIP_LIBRARY;
        f->path =
            span_str(arena_printf(a, "%.*s/%.*s", SPAN_ARG(w->site_packages), SPAN_ARG(name)));
    }
    if (is_reserved(f->path, python))
        return err_set(err, ERR_FILE_CLASH, "%.*s: would replace %.*s of the environment itself",
                       SPAN_ARG(name), SPAN_ARG(f->path));
    return true;
}

static bool same_content(const struct zip_entry *x, const struct zip_entry *y, struct arena *a)
{
    struct span p, q;
    struct err ignored;
    return x->size == y->size && x->crc32 == y->crc32 && zip_read(x, a, &p, &ignored) &&
           zip_read(y, a, &q, &ignored) && span_eq(p, q);
}

static bool place_all(struct pip_wheel *w, struct span python, struct span dist, struct arena *a,
                      struct err *err)
{
    AUTO_MAP struct map taken = {0};
    w->files = arena_array(a, w->zip.count + 1, sizeof(*w->files));
    for (size_t i = 0; i < w->zip.count; i++) {
        const struct zip_entry *e = &w->zip.entries[i];
        struct pip_wheel_file *f = &w->files[w->file_count];
        if (!check_type(e, err))
            return false;
        if (e->dir)
            continue;
        f->entry = e;
        if (!place(w, f, python, dist, a, err))
            return false;
        const struct pip_wheel_file *old = map_get(&taken, f->path);
        if (old && !same_content(old->entry, e, a))
            return err_set(err, ERR_FILE_CLASH, "%.*s and %.*s have one place in the environment",
                           SPAN_ARG(old->entry->name), SPAN_ARG(e->name));
        if (!old) {
            map_put(&taken, f->path, f);
            w->file_count++;
        }
    }
    struct span file;
    return !paths_find_file_as_folder(&taken, &file) ||
           err_set(err, ERR_BAD_ARCHIVE, "%.*s is a file and a folder", SPAN_ARG(file));
}

bool pip_wheel_open(struct pip_wheel *w, struct span bytes, const struct pip_wheel_want *want,
                    struct arena *a, struct err *err)
{
    *w = (struct pip_wheel){0};
    w->site_packages =
        span_str(arena_printf(a, "lib/python%.*s/site-packages", SPAN_ARG(want->python)));
    return zip_open(&w->zip, bytes, &zip_default_limits, a, err) && find_dist_info(w, err) &&
           check_dist_info(w, want, a, err) && check_wheel_file(w, a, err) &&
           check_metadata(w, want, a, err) && place_all(w, want->python, want->name, a, err);
}
