/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/npm/bins.h"

#include "resolvers/npm/install.h"

#define BINS_MAX          2000u
#define SHEBANG_MAX_BYTES 2048u

bool npm_split_place(struct span package, struct span *folder, struct span *name)
{
    struct span above, last, outer, scope;
    if (!span_cut_last_char(package, '/', &above, &last) || last.len == 0)
        return false;
    if (span_cut_last_char(above, '/', &outer, &scope) && span_starts(scope, SPAN("@"))) {
        last = span_of(scope.ptr, scope.len + 1 + last.len);
        above = outer;
    }
    *folder = above;
    *name = last;
    return true;
}

/* A path taken from "/" as its root: ".." stops there. Empty when it is the root. */
static struct span plain_path(struct span path, struct arena *a)
{
    struct span rest = path, part;
    char *out = arena_alloc(a, path.len + 1);
    size_t n = 0;
    while (span_next(&rest, '/', &part)) {
        if (part.len == 0 || span_eq(part, SPAN(".")))
            continue;
        if (span_eq(part, SPAN(".."))) {
            while (n > 0 && out[--n] != '/')
                continue;
            continue;
        }
        if (n)
            out[n++] = '/';
        memcpy(out + n, part.ptr, part.len);
        n += part.len;
    }
    return span_of(out, n);
}

static struct span slashes(struct span s, const char *which, struct arena *a)
{
    char *out = arena_str(a, s);
    for (size_t i = 0; i < s.len; i++)
        if (out[i] && strchr(which, out[i]))
            out[i] = '/';
    return span_of(out, s.len);
}

static struct span last_part(struct span path)
{
    while (span_ends(path, SPAN("/")))
        path.len--;
    return span_skip(path, span_has(path, '/') ? span_find_last_char(path, '/') + 1 : 0);
}

static void add(struct npm_bins *out, struct span key, struct span file, struct arena *a)
{
    struct npm_bin b = {
        .name = plain_path(last_part(slashes(key, "\\:", a)), a),
        .file = plain_path(slashes(file, "\\", a), a),
    };
    if (b.name.len == 0 || b.name.len > 255 || b.file.len == 0 || span_has(b.name, '\0') ||
        span_has(b.file, '\0') || out->list.n == BINS_MAX)
        return;
    for (size_t i = 0; i < out->list.n; i++)
        if (span_eq(out->list.v[i].name, b.name)) {
            out->list.v[i] = b;
            return;
        }
    *VEC_PUSH(&out->list) = b;
}

void npm_bins_read_object(const json_t *object, struct arena *a, struct npm_bins *out)
{
    const char *key;
    json_t *file;
    json_object_foreach ((json_t *)(uintptr_t)object, key, file) {
        if (json_is_string(file))
            add(out, span_str(key), span_of(json_string_value(file), json_string_length(file)), a);
    }
}

/* directories.bin: every file below it is a command, but for those in hidden places. */
static void read_folder(const json_t *package_json, const struct npm_tarball *t, struct span folder,
                        struct arena *a, struct npm_bins *out)
{
    const json_t *directories = json_object_get(package_json, "directories");
    struct span text = json_get_span(directories, "bin"), path;
    if (!json_is_object(directories) || !text.ptr)
        return;
    path = plain_path(slashes(text, "\\", a), a);
    path = span_str(
        arena_printf(a, "%.*s%.*s%s", SPAN_ARG(folder), SPAN_ARG(path), path.len ? "/" : ""));
    for (size_t i = 0; i < t->files.n; i++) {
        struct span file = t->files.v[i]->path;
        if (!span_starts(file, path))
            continue;
        struct span below = span_skip(file, path.len);
        if (below.len && below.ptr[0] != '.' && span_find(below, SPAN("/.")) == below.len)
            add(out, below, span_skip(file, folder.len), a);
    }
}

void npm_bins_read(const json_t *package_json, const struct npm_tarball *t, struct span folder,
                   struct arena *a, struct npm_bins *out)
{
    const json_t *bin = json_object_get(package_json, "bin"), *item;
    size_t i;
    if (json_is_object(bin)) {
        npm_bins_read_object(bin, a, out);
    } else if (json_is_array(bin)) {
        json_array_foreach (bin, i, item) {
            struct span file = span_str(json_string_value(item));
            add(out, last_part(file), file, a);
        }
    } else if (json_is_string(bin) && json_string_length(bin)) {
        struct span name = json_get_span(package_json, "name");
        if (name.len)
            add(out, name, span_str(json_string_value(bin)), a);
    } else {
        read_folder(package_json, t, folder, a, out);
    }
}

/* "#!/usr/bin/env node\r\n" runs nowhere: the "\r" is part of the program's name. */
static void fix_shebang(struct npm_file *f, struct arena *a)
{
    struct span head = span_slice(f->data, 0, SHEBANG_MAX_BYTES);
    size_t end = span_find_char(head, '\n');
    if (!span_starts(head, SPAN("#!")) || end == head.len || end < 4 || head.ptr[end - 1] != '\r')
        return;
    char *fixed = arena_alloc(a, f->data.len);
    memcpy(fixed, f->data.ptr, end - 1);
    memcpy(fixed + end - 1, f->data.ptr + end, f->data.len - end);
    f->data = span_of(fixed, f->data.len - 1);
}

static struct span below(struct span folder, struct span file, struct arena *a)
{
    return span_str(arena_printf(a, "%.*s%.*s", SPAN_ARG(folder), SPAN_ARG(file)));
}

/* Where the links of a package are, and how its files are reached from there. */
static bool link_places(struct span package, struct arena *a, const char **folder,
                        const char **from)
{
    struct span modules, name;
    if (!npm_split_place(package, &modules, &name))
        return false;
    if (span_eq(modules, SPAN("lib/node_modules"))) {
        *folder = "bin";
        *from = arena_printf(a, "../%.*s", SPAN_ARG(package));
    } else {
        *folder = arena_printf(a, "%.*s/.bin", SPAN_ARG(modules));
        *from = arena_printf(a, "../%.*s", SPAN_ARG(name));
    }
    return true;
}

void npm_bins_link(const struct npm_bins *bins, struct npm_tarball *t, struct span folder,
                   struct span package, struct map *links, struct segment_plan *plan)
{
    const char *where, *from;
    if (!link_places(package, plan->arena, &where, &from))
        return;
    for (size_t i = 0; i < bins->list.n; i++) {
        const struct npm_bin *b = &bins->list.v[i];
        struct span path = below(folder, b->file, plan->arena);
        struct npm_file *f = npm_tarball_find(t, path);
        if (!f && !npm_tarball_has_folder(t, path))
            continue;
        struct span link =
            span_str(arena_printf(plan->arena, NPM_PREFIX "/%s/%.*s", where, SPAN_ARG(b->name)));
        if (!map_put(links, link, plan))
            continue;
        segment_add_symlink(
            plan, link, span_str(arena_printf(plan->arena, "%s/%.*s", from, SPAN_ARG(b->file))));
        if (f) {
            f->mode = 0755;
            fix_shebang(f, plan->arena);
        }
    }
}

/* "ls.1", "ls.1.gz" -> "1" */
static bool man_section(struct span name, struct span *section)
{
    struct span stem;
    if (span_ends(name, SPAN(".gz")))
        name.len -= strlen(".gz");
    return span_cut_last_char(name, '.', &stem, section) && span_is_digits(*section);
}

void npm_man_link(const json_t *package_json, const struct npm_tarball *t, struct span package,
                  struct segment_plan *plan)
{
    const json_t *man = json_object_get(package_json, "man"), *item;
    struct arena *a = plan->arena;
    AUTO_MAP struct map seen = {0};
    size_t i;
    if (!json_is_array(man))
        return;
    json_array_foreach (man, i, item) {
        struct span file = plain_path(slashes(span_str(json_string_value(item)), "\\:", a), a);
        struct span section;
        if (i == BINS_MAX || !man_section(last_part(file), &section) || !npm_tarball_find(t, file))
            continue;
        struct span link = span_str(arena_printf(a, NPM_PREFIX "/share/man/man%.*s/%.*s",
                                                 SPAN_ARG(section), SPAN_ARG(last_part(file))));
        if (!map_put(&seen, link, plan)) /* the first of a name stands */
            continue;
        segment_add_symlink(
            plan, link,
            span_str(arena_printf(a, "../../../%.*s/%.*s", SPAN_ARG(package), SPAN_ARG(file))));
    }
}
