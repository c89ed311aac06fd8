/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/npm/install.h"

#include "resolvers/npm/bins.h"
#include "resolvers/npm/tarball.h"

/* Part of every key: raised when the same input would give other bytes. */
#define NPM_INSTALL_FORMAT 1

#define PACKAGE_JSON_MAX_BYTES (8u << 20)

static bool plain_part(struct span s)
{
    return s.len && s.len <= 255 && s.ptr[0] != '.' && !span_has(s, '\\') && !span_has(s, '\0') &&
           span_is_utf8(s);
}

/* "node_modules/a/node_modules/@s/b": comes from a file that anybody may have written. */
static bool check_place(struct span place, struct err *err)
{
    struct span rest = place, part;
    bool fine = place.len > 0 && place.len < 3000;
    while (fine && span_next(&rest, '/', &part)) {
        fine =
            span_eq(part, SPAN("node_modules")) && span_next(&rest, '/', &part) && plain_part(part);
        if (fine && part.ptr[0] == '@')
            fine = span_next(&rest, '/', &part) && plain_part(part) && part.ptr[0] != '@';
    }
    return fine || err_set(err, ERR_LOCK_INVALID,
                           "path \"%.*s\" of a package in the lock: not like "
                           "node_modules/a/node_modules/@s/b",
                           SPAN_ARG(place));
}

static bool is_root(const json_t *package)
{
    struct span folder, name;
    struct span path = json_get_span(package, "path");
    return path.ptr && npm_split_place(path, &folder, &name) &&
           span_eq(folder, SPAN("node_modules"));
}

static bool add_unit(struct install_units *units, const json_t *package, struct err *err)
{
    const char *name = json_get_str(package, "name"), *digest = json_get_str(package, "digest");
    struct span path = json_get_span(package, "path");
    const json_t *bins = json_object_get(package, "bins");
    int64_t size = json_get_int(package, "size", 0);
    if (!name || !name[0] || !digest || !path.ptr || (bins && !json_is_object(bins)))
        return err_set(err, ERR_LOCK_INVALID,
                       "a package without name, path or digest, or with other bins than an object");
    if (!check_place(path, err))
        return false;
    struct install_unit *u = VEC_PUSH(&units->list);
    u->name = arena_str(units->arena, span_str(name));
    u->kind = "package";
    u->package = package;
    u->weight_bytes = size > 0 ? (uint64_t)size : 256u << 10;
    u->key = json_object();
    json_put_str(u->key, "kind", u->kind);
    json_put_int(u->key, "format", NPM_INSTALL_FORMAT);
    json_put_str(u->key, "mount", "/" NPM_PREFIX);
    json_put_span(u->key, "path", path);
    json_put_str(u->key, "digest", digest);
    json_object_set_new(u->key, "bins", bins ? json_deep_copy(bins) : json_object());
    return true;
}

bool npm_units(const struct install_context *c, struct install_units *units, struct err *err)
{
    const json_t *packages = json_object_get(c->lock, "packages"), *package;
    size_t i;
    if (!json_is_array(packages))
        return err_set(err, ERR_LOCK_INVALID, "the lock has no packages");
    json_array_foreach (packages, i, package) {
        if (!add_unit(units, package, err))
            return false;
    }
    return true;
}

/* A package.json of the tarball; NULL when it is none. New reference. Of a key that is there
 * twice the last counts, as for node. */
static json_t *read_package_json(const struct npm_tarball *t, struct span path)
{
    const struct npm_file *f = npm_tarball_find(t, path);
    if (!f || f->data.len > PACKAGE_JSON_MAX_BYTES)
        return NULL;
    struct span text = f->data;
    if (span_starts(text, SPAN("\xef\xbb\xbf")))
        text = span_skip(text, 3);
    json_t *json = json_loadb(text.ptr, text.len, 0, NULL);
    if (json && !json_is_object(json)) {
        json_decref(json);
        return NULL;
    }
    return json;
}

/* "node_modules/b/package.json" -> "node_modules/b/"; false when it is no bundled package's. */
static bool bundled_folder(struct span path, struct span *folder)
{
    struct span dir, file, modules, name, above, last;
    if (!span_cut_last_char(path, '/', &dir, &file) || !span_eq(file, SPAN("package.json")) ||
        !npm_split_place(dir, &modules, &name))
        return false;
    if (!span_cut_last_char(modules, '/', &above, &last))
        last = modules;
    *folder = span_slice(path, 0, dir.len + 1);
    return span_eq(last, SPAN("node_modules")) && span_starts(path, SPAN("node_modules/")) &&
           name.ptr[0] != '.';
}

static size_t depth(struct span folder)
{
    size_t n = 0;
    for (size_t i = 0; i < folder.len; i++)
        n += folder.ptr[i] == '/';
    return n;
}

static int by_depth(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    return depth(*x) != depth(*y) ? (depth(*x) < depth(*y) ? -1 : 1) : span_cmp(*x, *y);
}

/* Packages that came in the tarball get their links from their own package.json; of one name,
 * the outer package's and then the first by path. */
static void link_bundled(struct npm_tarball *t, struct span package, struct map *links,
                         struct segment_plan *plan)
{
    AUTO_FREE struct span *folders = mem_array(t->files.n + 1, sizeof(*folders));
    size_t n = 0;
    for (size_t i = 0; i < t->files.n; i++)
        n += bundled_folder(t->files.v[i]->path, &folders[n]);
    qsort(folders, n, sizeof(*folders), by_depth);
    for (size_t i = 0; i < n; i++) {
        struct span folder = folders[i];
        AUTO_JSON json_t *json = read_package_json(
            t, span_str(arena_printf(plan->arena, "%.*spackage.json", SPAN_ARG(folder))));
        struct npm_bins bins = {0};
        npm_bins_read(json, t, folder, plan->arena, &bins);
        struct span place = span_str(arena_printf(plan->arena, "%.*s/%.*s", SPAN_ARG(package),
                                                  (int)(folder.len - 1), folder.ptr));
        npm_bins_link(&bins, t, folder, place, links, plan);
        VEC_FREE(&bins.list);
    }
}

static void release_tarball(struct segment_plan *plan)
{
    npm_tarball_release(plan->owner);
}

static bool bundles(const json_t *package_json)
{
    const json_t *a = json_object_get(package_json, "bundleDependencies");
    const json_t *b = json_object_get(package_json, "bundledDependencies");
    return json_is_true(a) || json_is_true(b) || json_array_size(a) || json_array_size(b) ||
           json_object_size(a) || json_object_size(b);
}

static void fill(struct npm_tarball *t, const json_t *package, struct segment_plan *plan)
{
    struct span place =
        span_str(arena_printf(plan->arena, "lib/%.*s", SPAN_ARG(json_get_span(package, "path"))));
    AUTO_JSON json_t *json = read_package_json(t, SPAN("package.json"));
    struct npm_bins bins = {0};
    AUTO_MAP struct map links = {0};
    npm_bins_read_object(json_object_get(package, "bins"), plan->arena, &bins);
    npm_bins_link(&bins, t, SPAN(""), place, &links, plan);
    if (bins.list.n && is_root(package))
        npm_man_link(json, t, place, plan);
    if (bundles(json))
        link_bundled(t, place, &links, plan);
    for (size_t i = 0; i < t->files.n; i++) {
        const struct npm_file *f = t->files.v[i];
        struct span path = span_str(
            arena_printf(plan->arena, NPM_PREFIX "/%.*s/%.*s", SPAN_ARG(place), SPAN_ARG(f->path)));
        if (!map_has(&links, path)) /* a link of a command replaces a file in its place */
            segment_add_file(plan, path, f->mode, f->data);
    }
    VEC_FREE(&bins.list);
}

bool npm_fill(const struct install_context *c, const struct install_unit *unit,
              const struct io_map *blob, struct segment_plan *plan, struct err *err)
{
    (void)c;
    struct npm_tarball *t = ARENA_NEW(plan->arena, struct npm_tarball);
    plan->owner = t;
    plan->release = release_tarball;
    if (!npm_tarball_open(t, blob->bytes, plan->arena, err))
        return err_wrap(err, "%s %s", unit->name, json_get_str(unit->package, "version"));
    fill(t, unit->package, plan);
    return true;
}

void npm_environment(const struct install_context *c, json_t *path, json_t *env, json_t *bins)
{
    const json_t *packages = json_object_get(c->lock, "packages"), *package;
    size_t i;
    json_array_append_new(path, json_string("/" NPM_PREFIX "/bin"));
    json_put_str(env, "NODE_PATH", "/" NPM_PREFIX "/lib/node_modules");
    json_array_foreach (packages, i, package) {
        const char *name;
        json_t *file;
        if (!is_root(package))
            continue;
        json_object_foreach (json_object_get(package, "bins"), name, file) {
            json_array_append_new(bins, json_string(name));
        }
    }
}
