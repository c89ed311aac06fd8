/* SPDX-License-Identifier: Apache-2.0 */
#include "resolvers/npm/inside.h"

#include "base/jscan.h"
#include "resolvers/archive/gzip.h"
#include "resolvers/archive/tar.h"
#include "resolvers/npm/spec.h"

/* "node_modules/a/node_modules/@s/b/package.json": the part before the last slash. */
static bool inner_path(struct span path, struct span *folder)
{
    struct span rest = path, piece;
    if (!span_ends(path, SPAN("/package.json")))
        return false;
    *folder = span_slice(path, 0, path.len - (sizeof("/package.json") - 1));
    rest = *folder;
    while (span_next(&rest, '/', &piece)) {
        if (!span_eq(piece, SPAN("node_modules")) || !span_next(&rest, '/', &piece) || !piece.len ||
            piece.ptr[0] == '.')
            return false;
        if (piece.ptr[0] == '@' &&
            (!span_next(&rest, '/', &piece) || !piece.len || piece.ptr[0] == '.'))
            return false;
    }
    return true;
}

static void add_inner(struct npm_inside *in, struct span folder, struct span json)
{
    struct jscan j = jscan_of(json);
    struct npm_inner inner = {.path = folder, .name = SPAN(""), .version = SPAN("")};
    struct span key;
    if (!jscan_object(&j))
        return;
    while (jscan_key(&j, in->arena, &key)) {
        if (span_eq(key, SPAN("name")))
            jscan_string(&j, in->arena, &inner.name);
        else if (span_eq(key, SPAN("version")))
            jscan_string(&j, in->arena, &inner.version);
        else
            jscan_skip(&j, NULL);
    }
    if (inner.name.len && inner.version.len && span_is_utf8(inner.path) &&
        span_is_utf8(inner.name) && span_is_utf8(inner.version))
        *VEC_PUSH(&in->packages) = inner;
}

static struct span without_bom(struct span s)
{
    return span_starts(s, SPAN("\xef\xbb\xbf")) ? span_skip(s, 3) : s;
}

static bool read_tar(struct npm_inside *in, size_t len, struct err *err)
{
    struct tar t = tar_of(span_of(in->tar, len), in->arena);
    struct tar_entry e;
    struct err at = {0};
    while (tar_next(&t, &e, &at)) {
        struct span path = tar_strip(e.path, 1, in->arena), folder;
        if (e.type != TAR_FILE)
            continue;
        *VEC_PUSH(&in->files) = path;
        if (span_eq(path, SPAN("package.json")))
            in->package_json = without_bom(e.data);
        else if (span_eq(path, SPAN("npm-shrinkwrap.json")))
            in->shrinkwrap = without_bom(e.data);
        else if (inner_path(path, &folder))
            add_inner(in, folder, without_bom(e.data));
    }
    if (at.code && err)
        *err = at;
    return !at.code;
}

struct npm_inside *npm_inside_open(struct span tarball, struct err *err)
{
    struct npm_inside *in = MEM_NEW(struct npm_inside);
    size_t len = 0;
    in->arena = arena_new();
    if (gzip_inflate(tarball, NPM_UNPACKED_MAX, &in->tar, &len, err) && read_tar(in, len, err))
        return in;
    npm_inside_free(in);
    return NULL;
}

void npm_inside_free(struct npm_inside *in)
{
    if (!in)
        return;
    VEC_FREE(&in->packages);
    VEC_FREE(&in->files);
    arena_free(in->arena);
    free(in->tar);
    free(in);
}
