/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/npm/manifest.h"

#include "base/jscan.h"
#include "base/map.h"
#include "resolvers/npm/spec.h"

#define FOLDER_BINS_MAX 2000
#define DEPS_MAX        20000 /* of one package; the biggest known one has about 1700 */

/* An object of strings in the document's order; a repeated key keeps its place and takes the
 * later value, as in any JavaScript engine. */
struct pairs {
    struct map map; /* key -> struct span * */
    bool odd;       /* a value was no string */
};

struct raw {
    struct pairs deps, optional, peers, accept;
    struct map peer_optional; /* name -> self */
    struct span bin, bundled, bundled_too, directories, dist, engines, scripts;
    struct span os, cpu, libc;
    bool locked; /* an entry of a lock file */
};

static void pairs_read(struct jscan *j, struct arena *a, struct pairs *p)
{
    struct span key, value;
    if (!jscan_object(j)) {
        jscan_skip(j, NULL);
        return;
    }
    while (jscan_key(j, a, &key)) {
        if (!jscan_string(j, a, &value)) {
            p->odd = true;
            continue;
        }
        struct span *kept = ARENA_NEW(a, struct span);
        *kept = value;
        map_put(&p->map, key, kept);
    }
}

/* {"a": {"optional": true}} */
static void peer_meta_read(struct jscan *j, struct arena *a, struct map *optional)
{
    struct span key, field;
    if (!jscan_object(j)) {
        jscan_skip(j, NULL);
        return;
    }
    while (jscan_key(j, a, &key)) {
        bool yes = false;
        if (!jscan_object(j)) {
            jscan_skip(j, NULL);
            continue;
        }
        while (jscan_key(j, a, &field)) {
            bool value = false;
            if (span_eq(field, SPAN("optional")))
                jscan_bool(j, &value);
            else
                jscan_skip(j, NULL);
            yes |= value;
        }
        if (yes)
            map_put(optional, key, optional);
    }
}

static void list_add(struct arena *a, struct npm_list *list, struct span s)
{
    if ((list->n & (list->n - 1)) == 0) { /* full at each power of two */
        struct span *v = arena_array(a, list->n ? list->n * 2 : 1, sizeof(*v));
        if (list->n)
            memcpy(v, list->v, list->n * sizeof(*v));
        list->v = v;
    }
    list->v[list->n++] = s;
}

/* A string or an array of strings. */
static void list_read(struct arena *a, struct span raw, struct npm_list *list)
{
    struct jscan j = jscan_of(raw);
    struct span s;
    if (jscan_peek(&j) == JSCAN_STRING) {
        if (jscan_string(&j, a, &s) && s.len)
            list_add(a, list, s);
    } else if (jscan_array(&j)) {
        while (list->n < DEPS_MAX && jscan_item(&j))
            if (jscan_string(&j, a, &s))
                list_add(a, list, s);
    }
}

struct span npm_clean_path(struct arena *a, struct span path)
{
    char *out = arena_alloc(a, path.len + 1);
    size_t n = 0;
    struct span rest, piece;
    char *slashes = arena_str(a, path);
    for (size_t i = 0; i < path.len; i++)
        if (slashes[i] == '\\')
            slashes[i] = '/';
    rest = span_of(slashes, path.len);
    while (path.len && span_next(&rest, '/', &piece)) {
        if (!piece.len || span_eq(piece, SPAN(".")))
            continue;
        if (span_eq(piece, SPAN(".."))) {
            while (n && out[n - 1] != '/')
                n--;
            n -= n > 0;
            continue;
        }
        if (n)
            out[n++] = '/';
        memcpy(out + n, piece.ptr, piece.len);
        n += piece.len;
    }
    return span_of(out, n);
}

static struct span last_component(struct span path)
{
    size_t slash = span_find_last_char(path, '/');
    return slash < path.len ? span_skip(path, slash + 1) : path;
}

/* The key of a bin: its last component, whatever stood in front of it. */
static struct span bin_name(struct arena *a, struct span key)
{
    char *s = arena_str(a, key);
    for (size_t i = 0; i < key.len; i++)
        if (s[i] == ':' || s[i] == '\\')
            s[i] = '/';
    size_t n = key.len;
    while (n && s[n - 1] == '/')
        n--;
    struct span name = last_component(span_of(s, n));
    bool dots = span_eq(name, SPAN(".")) || span_eq(name, SPAN(".."));
    for (size_t i = 0; i < name.len; i++)
        dots |= (unsigned char)name.ptr[i] < 0x20;
    return dots ? SPAN("") : name;
}

static void bin_add(struct arena *a, struct npm_manifest *m, struct span key, struct span file)
{
    struct npm_bin bin = {bin_name(a, key), npm_clean_path(a, file)};
    if (!bin.name.len || !bin.file.len)
        return;
    for (size_t i = 0; i < m->bin_count; i++) {
        if (span_eq(m->bins[i].name, bin.name)) {
            m->bins[i].file = bin.file;
            return;
        }
    }
    if ((m->bin_count & (m->bin_count - 1)) == 0) {
        struct npm_bin *v = arena_array(a, m->bin_count ? m->bin_count * 2 : 1, sizeof(*v));
        if (m->bin_count)
            memcpy(v, m->bins, m->bin_count * sizeof(*v));
        m->bins = v;
    }
    m->bins[m->bin_count++] = bin;
}

/* "file", ["dir/name"], or {"name": "file"}. */
static void bins_read(struct arena *a, struct span raw, struct npm_manifest *m)
{
    struct jscan j = jscan_of(raw);
    struct span key, file;
    if (jscan_peek(&j) == JSCAN_STRING) {
        if (jscan_string(&j, a, &file))
            bin_add(a, m, m->name, file);
    } else if (jscan_array(&j)) {
        while (jscan_item(&j))
            if (jscan_string(&j, a, &file))
                bin_add(a, m, file, file);
    } else if (jscan_object(&j)) {
        while (jscan_key(&j, a, &key))
            if (jscan_string(&j, a, &file))
                bin_add(a, m, key, file);
    }
}

void npm_manifest_take_folder(struct arena *a, const struct span *files, size_t count,
                              struct npm_manifest *m)
{
    struct span folder = m->bin_folder;
    if (m->bin_count || !folder.len)
        return;
    for (size_t i = 0; i < count && m->bin_count < FOLDER_BINS_MAX; i++) {
        if (files[i].len <= folder.len + 1 || !span_starts(files[i], folder) ||
            files[i].ptr[folder.len] != '/')
            continue;
        struct span below = span_skip(files[i], folder.len + 1);
        if (below.ptr[0] == '.' || span_find(below, SPAN("/.")) < below.len)
            continue;
        /* The file, and the folders on the way to it. */
        for (size_t at = 0; at < below.len; at++)
            if (below.ptr[at] == '/')
                bin_add(a, m, span_slice(below, 0, at),
                        span_slice(files[i], 0, folder.len + 1 + at));
        bin_add(a, m, below, files[i]);
    }
}

static void directories_read(struct arena *a, struct npm_manifest *m, struct span raw)
{
    struct jscan j = jscan_of(raw);
    struct span key, folder;
    if (!jscan_object(&j))
        return;
    while (jscan_key(&j, a, &key)) {
        bool mine = span_eq(key, SPAN("bin"));
        if (!mine)
            jscan_skip(&j, NULL);
        else if (jscan_string(&j, a, &folder))
            m->bin_folder = npm_clean_path(a, folder);
    }
}

static void scripts_read(struct arena *a, struct npm_manifest *m, struct span raw)
{
    static const struct span names[] = {SPAN_INIT("preinstall"), SPAN_INIT("install"),
                                        SPAN_INIT("postinstall")};
    struct jscan j = jscan_of(raw);
    struct span key, command;
    bool has[COUNT(names)] = {false};
    if (!jscan_object(&j))
        return;
    while (jscan_key(&j, a, &key)) {
        bool text = jscan_string(&j, a, &command) && command.len;
        for (size_t i = 0; i < COUNT(names); i++)
            if (span_eq(key, names[i]))
                has[i] = text;
    }
    for (size_t i = 0; i < COUNT(names); i++) {
        if (has[i])
            list_add(a, &m->scripts, names[i]);
        m->install_script |= has[i];
    }
}

static void engines_read(struct arena *a, struct npm_manifest *m, struct span raw)
{
    struct jscan j = jscan_of(raw);
    struct span key, range;
    if (!jscan_object(&j))
        return;
    while (jscan_key(&j, a, &key)) {
        if (!jscan_string(&j, a, &range))
            continue;
        if (span_eq(key, SPAN("node")))
            m->engine_node = range;
        else if (span_eq(key, SPAN("npm")))
            m->engine_npm = range;
    }
}

bool npm_integrity_parse(struct span sri, struct hash *out)
{
    struct span rest = sri, piece;
    out->algo = HASH_NONE;
    for (size_t i = 0; i < sri.len;) {
        while (i < sri.len && (sri.ptr[i] == ' ' || (sri.ptr[i] >= '\t' && sri.ptr[i] <= '\r')))
            i++;
        size_t end = i;
        while (end < sri.len && sri.ptr[end] != ' ' &&
               !(sri.ptr[end] >= '\t' && sri.ptr[end] <= '\r'))
            end++;
        struct hash h;
        piece = span_slice(rest, i, end);
        piece = span_slice(piece, 0, span_find_char(piece, '?'));
        if (hash_parse_sri(piece, &h) && h.algo > out->algo)
            *out = h;
        i = end;
    }
    return out->algo != HASH_NONE;
}

static void dist_read(struct arena *a, struct npm_manifest *m, struct span raw)
{
    struct jscan j = jscan_of(raw);
    struct span key, shasum = SPAN("");
    int64_t size = 0;
    if (!jscan_object(&j))
        return;
    while (jscan_key(&j, a, &key)) {
        if (span_eq(key, SPAN("tarball")))
            jscan_string(&j, a, &m->tarball);
        else if (span_eq(key, SPAN("integrity")))
            jscan_string(&j, a, &m->integrity);
        else if (span_eq(key, SPAN("shasum")))
            jscan_string(&j, a, &shasum);
        else if (span_eq(key, SPAN("unpackedSize")))
            jscan_int(&j, &size);
        else
            jscan_skip(&j, NULL);
    }
    m->unpacked_bytes = size > 0 ? (uint64_t)size : 0;
    if (!npm_integrity_parse(m->integrity, &m->hash)) {
        m->integrity = shasum;
        if (!hash_parse_hex(HASH_SHA1, shasum, &m->hash)) {
            m->hash.algo = HASH_NONE;
            m->integrity = SPAN("");
        }
    }
}

static void bundled_read(struct arena *a, const struct raw *r, struct npm_manifest *m)
{
    struct span raw = r->bundled.len ? r->bundled : r->bundled_too, key;
    struct jscan j = jscan_of(raw);
    bool all;
    if (jscan_array(&j)) {
        list_read(a, raw, &m->bundled);
    } else if (jscan_object(&j)) {
        while (m->bundled.n < DEPS_MAX && jscan_key(&j, a, &key)) {
            list_add(a, &m->bundled, key);
            jscan_skip(&j, NULL);
        }
    } else if (jscan_bool(&j, &all) && all) {
        for (size_t i = 0; i < r->deps.map.n; i++)
            list_add(a, &m->bundled, r->deps.map.v[i].key);
    }
}

static void dep_add(struct npm_manifest *m, const struct raw *r, const struct map_entry *e,
                    enum npm_dep_type type)
{
    const struct span *accept = map_get(&r->accept.map, e->key);
    struct npm_dep *d = &m->deps[m->dep_count++];
    d->name = e->key;
    d->spec = *(const struct span *)e->value;
    d->accept = accept ? *accept : span_of(NULL, 0);
    d->type = type;
}

/* Peers, optional peers, dependencies, optional dependencies. A later entry of the same name
 * takes the place of an earlier one and stands where the later one does. */
static void deps_read(struct arena *a, const struct raw *r, struct npm_manifest *m)
{
    size_t most = r->peers.map.n + r->deps.map.n + r->optional.map.n;
    m->deps = arena_array(a, most, sizeof(*m->deps));
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < r->peers.map.n; i++) {
            const struct map_entry *e = &r->peers.map.v[i];
            bool optional = map_has(&r->peer_optional, e->key);
            if (optional == (pass == 1) && !map_has(&r->deps.map, e->key) &&
                !map_has(&r->optional.map, e->key))
                dep_add(m, r, e, optional ? NPM_DEP_PEER_OPTIONAL : NPM_DEP_PEER);
        }
    }
    for (size_t i = 0; i < r->deps.map.n; i++)
        if (!map_has(&r->optional.map, r->deps.map.v[i].key))
            dep_add(m, r, &r->deps.map.v[i], NPM_DEP_PROD);
    for (size_t i = 0; i < r->optional.map.n; i++)
        dep_add(m, r, &r->optional.map.v[i], NPM_DEP_OPTIONAL);
}

static void deprecated_read(struct jscan *j, struct arena *a, struct npm_manifest *m)
{
    bool yes = false;
    if (jscan_peek(j) == JSCAN_STRING)
        jscan_string(j, a, &m->deprecated);
    else if (jscan_bool(j, &yes) && yes)
        m->deprecated = SPAN("deprecated");
}

/* In a lock file of version 1 the dependencies are what lies inside, which is no list of what
 * is needed: its values are objects. */
static void dependencies_read(struct jscan *j, struct arena *a, struct raw *r)
{
    bool odd = r->deps.odd;
    pairs_read(j, a, &r->deps);
    if (r->locked)
        r->deps.odd = odd;
}

static void member_read(struct jscan *j, struct arena *a, struct span key, struct npm_manifest *m,
                        struct raw *r, struct span *version)
{
    const struct {
        struct span key;
        struct span *raw;
    } kept[] = {
        {SPAN("bin"), &r->bin},
        {SPAN("bundleDependencies"), &r->bundled},
        {SPAN("bundledDependencies"), &r->bundled_too},
        {SPAN("directories"), &r->directories},
        {SPAN("dist"), &r->dist},
        {SPAN("engines"), &r->engines},
        {SPAN("scripts"), &r->scripts},
        {SPAN("os"), &r->os},
        {SPAN("cpu"), &r->cpu},
        {SPAN("libc"), &r->libc},
    };
    for (size_t i = 0; i < COUNT(kept); i++) {
        if (span_eq(key, kept[i].key)) {
            jscan_skip(j, kept[i].raw);
            return;
        }
    }
    if (span_eq(key, SPAN("name")))
        jscan_string(j, a, &m->name);
    else if (span_eq(key, SPAN("version")))
        jscan_string(j, a, version);
    else if (span_eq(key, SPAN("dependencies")))
        dependencies_read(j, a, r);
    else if (span_eq(key, SPAN("optionalDependencies")))
        pairs_read(j, a, &r->optional);
    else if (span_eq(key, SPAN("peerDependencies")))
        pairs_read(j, a, &r->peers);
    else if (span_eq(key, SPAN("acceptDependencies")))
        pairs_read(j, a, &r->accept);
    else if (span_eq(key, SPAN("peerDependenciesMeta")))
        peer_meta_read(j, a, &r->peer_optional);
    else if (span_eq(key, SPAN("deprecated")))
        deprecated_read(j, a, m);
    else if (span_eq(key, r->locked ? SPAN("hasShrinkwrap") : SPAN("_hasShrinkwrap")))
        jscan_bool(j, &m->shrinkwrap);
    else if (r->locked && span_eq(key, SPAN("requires")))
        pairs_read(j, a, &r->deps);
    else if (r->locked && span_eq(key, SPAN("resolved")))
        jscan_string(j, a, &m->tarball);
    else if (r->locked && span_eq(key, SPAN("integrity")))
        jscan_string(j, a, &m->integrity);
    else if (span_eq(key, SPAN("hasInstallScript")))
        jscan_bool(j, &m->install_script);
    else
        jscan_skip(j, NULL);
}

static void raw_release(struct raw *r)
{
    map_release(&r->deps.map);
    map_release(&r->optional.map);
    map_release(&r->peers.map);
    map_release(&r->accept.map);
    map_release(&r->peer_optional);
}

static bool check(const struct jscan *j, const struct raw *r, struct npm_manifest *m,
                  struct span version, struct arena *a, struct err *err)
{
    AUTO_BUF struct buf text = BUF(2 * SEMVER_MAX_LENGTH);
    if (jscan_failed(j))
        return err_set(err, ERR_BAD_ARCHIVE, "malformed JSON at offset %zu", jscan_error_at(j));
    if (npm_name_problem(m->name))
        return err_set(err, ERR_BAD_ARCHIVE, "its name is malformed: %s",
                       npm_name_problem(m->name));
    if (!semver_parse(version, SEMVER_LOOSE, &m->version))
        return err_set(err, ERR_BAD_ARCHIVE, "\"%.*s\" is not a version", SPAN_ARG(version));
    semver_format(&m->version, &text);
    m->version_text = arena_span(a, buf_span(&text));
    if (r->deps.odd || r->optional.odd || r->peers.odd)
        return err_set(err, ERR_BAD_ARCHIVE, "a dependency's version is not a string");
    if (r->deps.map.n + r->optional.map.n + r->peers.map.n > DEPS_MAX)
        return err_set(err, ERR_TOO_LARGE, "more than %d dependencies", DEPS_MAX);
    return true;
}

static bool parse(struct arena *a, struct span json, struct raw *r, struct npm_manifest *out,
                  struct err *err)
{
    struct jscan j = jscan_of(json);
    struct span key, version = SPAN("");
    if (!jscan_object(&j))
        return err_set(err, ERR_BAD_ARCHIVE, "it is not a JSON object");
    while (jscan_key(&j, a, &key))
        member_read(&j, a, key, out, r, &version);
    if (!check(&j, r, out, version, a, err))
        return false;
    deps_read(a, r, out);
    bundled_read(a, r, out);
    bins_read(a, r->bin, out);
    directories_read(a, out, r->directories);
    scripts_read(a, out, r->scripts);
    engines_read(a, out, r->engines);
    list_read(a, r->os, &out->os);
    list_read(a, r->cpu, &out->cpu);
    list_read(a, r->libc, &out->libc);
    if (!r->locked)
        dist_read(a, out, r->dist);
    else if (!npm_integrity_parse(out->integrity, &out->hash))
        out->integrity = SPAN("");
    return true;
}

bool npm_manifest_parse(struct arena *a, struct span json, struct npm_manifest *out,
                        struct err *err)
{
    __attribute__((cleanup(raw_release))) struct raw r = {0};
    *out = (struct npm_manifest){0};
    return parse(a, json, &r, out, err);
}

bool npm_manifest_parse_locked(struct arena *a, struct span name, struct span json,
                               struct npm_manifest *out, struct err *err)
{
    __attribute__((cleanup(raw_release))) struct raw r = {.locked = true};
    *out = (struct npm_manifest){.name = name};
    return parse(a, json, &r, out, err);
}
