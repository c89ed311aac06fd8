/* SPDX-License-Identifier: Apache-2.0 */
/* Replays fixtures/npm/trees.jsonl: registries that were made up, and what npm itself made of
 * them (recorded by tests/differential/npm_random.py). */
#include <fcntl.h>

#include "base/io.h"
#include "base/json.h"
#include "resolvers/npm/inside.h"
#include "resolvers/npm/tree.h"
#include "tests/test_main.h"

static const struct npm_target target = {
    .os = SPAN_INIT("linux"),
    .cpu = SPAN_INIT("x64"),
    .libc = SPAN_INIT("glibc"),
    .has_node = true,
    .has_npm = true,
    .node = {.major = 20, .minor = 20, .patch = 2},
    .npm = {.major = 11, .minor = 19, .patch = 1},
};

struct replay {
    struct arena *arena;
    const json_t *registry;
    struct map packuments;
    size_t asked, late; /* wants; those answered only when asked again */
    struct npm_want *waiting;
};

static struct npm_packument *packument_of(struct replay *r, struct span name, struct err *err)
{
    struct npm_packument *p = map_get(&r->packuments, name);
    json_t *document = json_object_getn(r->registry, name.ptr, name.len);
    if (p)
        return p;
    if (!document) {
        err_set(err, ERR_NO_PACKAGE, "%.*s is not there", SPAN_ARG(name));
        return NULL;
    }
    char *text = json_dumps(document, 0);
    p = npm_packument_open(text, strlen(text), err);
    if (p)
        map_put(&r->packuments, arena_span(r->arena, name), p);
    return p;
}

static void answer(struct replay *r, struct npm_want *want)
{
    struct err err = {0};
    struct npm_packument *p = packument_of(r, want->spec.package, &err);
    want->manifest = p ? npm_pick(p, &want->spec, &target, &err) : NULL;
    want->state = want->manifest ? NPM_WANT_READY : NPM_WANT_FAILED;
    if (!want->manifest) {
        want->err = ARENA_NEW(r->arena, struct err);
        *want->err = err;
    } else if (!want->manifest->tarball.len) { /* the fixture leaves it out */
        struct npm_manifest *m = (struct npm_manifest *)(uintptr_t)want->manifest;
        m->tarball = span_str(arena_printf(r->arena, "http://example.com/%.*s-%.*s.tgz",
                                           SPAN_ARG(m->name), SPAN_ARG(m->version_text)));
    }
}

/* Every other want is answered late, so that the tree has to stop and go on. */
static bool on_want(struct npm_want *want, void *ctx)
{
    struct replay *r = ctx;
    if (++r->asked % 2) {
        answer(r, want);
        return true;
    }
    r->late++;
    r->waiting = want;
    return false;
}

static bool add_spec(struct replay *r, struct npm_tree *t, const char *text, struct err *err)
{
    struct npm_spec s;
    struct span value;
    ck_assert(npm_spec_parse(r->arena, span_str(text), &s, err));
    value = s.text;
    if (s.alias) {
        value = span_str(
            arena_printf(r->arena, "npm:%.*s@%.*s", SPAN_ARG(s.package), SPAN_ARG(s.text)));
    } else if (s.kind == NPM_SPEC_TAG) {
        struct npm_packument *p = packument_of(r, s.package, err);
        const struct npm_manifest *m = p ? npm_pick(p, &s, &target, err) : NULL;
        if (!m)
            return false;
        value = m->version_text;
    }
    npm_tree_add(t, s.name, value);
    return true;
}

static bool build(struct replay *r, struct npm_tree *t, struct err *err)
{
    enum npm_tree_state state;
    while ((state = npm_tree_build(t, err)) == NPM_TREE_WAITING)
        answer(r, r->waiting);
    return state == NPM_TREE_DONE && npm_tree_finish(t, err);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The files of a recorded manifest that its tarball would bring: bundled packages' and the
 * shrinkwrap's places are told apart by the lock, not by the tree. */
static bool has_files(const json_t *registry)
{
    const char *name, *version;
    json_t *document, *m;
    json_object_foreach ((json_t *)(uintptr_t)registry, name, document)
        json_object_foreach (json_object_get(document, "versions"), version, m)
            if (json_object_get(m, "files"))
                return true;
    return false;
}

static void compare(const json_t *c, struct npm_tree *t, struct arena *a)
{
    const json_t *want = json_object_get(c, "tree");
    struct npm_set out = {0};
    npm_tree_list(t, &out);
    const char **paths = arena_array(a, out.n + 1, sizeof(*paths));
    for (size_t i = 0; i < out.n; i++) {
        struct span path = npm_node_path(npm_tree_graph(t), out.v[i]);
        struct span version =
            out.v[i]->link_target ? SPAN("link") : out.v[i]->package->version_text;
        paths[i] = arena_printf(a, "%.*s@%.*s", SPAN_ARG(path), SPAN_ARG(version));
    }
    if (out.n)
        qsort(paths, out.n, sizeof(*paths), by_text);
    for (size_t i = 0; i < out.n || i < json_array_size(want); i++) {
        const char *w =
            i < json_array_size(want) ? json_string_value(json_array_get(want, i)) : "nothing";
        const char *got = i < out.n ? paths[i] : "nothing";
        ck_assert_msg(strcmp(got, w) == 0, "%s: %s, npm has %s", json_get_str(c, "name"), got, w);
    }
    VEC_FREE(&out);
}

static enum err_code code_of(const char *npm_code)
{
    static const struct {
        const char *npm;
        enum err_code ours;
    } codes[] = {{"EBADPLATFORM", ERR_PLATFORM},
                 {"E404", ERR_NO_PACKAGE},
                 {"ETARGET", ERR_UNRESOLVABLE},
                 {"ERESOLVE", ERR_UNRESOLVABLE},
                 {"EINVALIDTAGNAME", ERR_BAD_ARCHIVE}};
    for (size_t i = 0; i < COUNT(codes); i++)
        if (strcmp(codes[i].npm, npm_code) == 0)
            return codes[i].ours;
    return ERR_NONE;
}

static void replay(const json_t *c)
{
    struct replay r = {.arena = arena_new(), .registry = json_object_get(c, "registry")};
    struct npm_tree *t = npm_tree_new(&target, on_want, &r);
    const json_t *specs = json_object_get(c, "specs");
    const char *failure = json_get_str(json_object_get(c, "tree"), "error");
    struct err err = {0};
    bool ok = true;
    AUTO_MAP struct map last = {0}; /* a name given twice: the later one that asks for something */
    for (size_t i = 0; i < json_array_size(specs); i++) {
        struct npm_spec s;
        struct span text = span_str(json_string_value(json_array_get(specs, i)));
        ck_assert(npm_spec_parse(r.arena, text, &s, &err));
        if (!map_has(&last, s.name) || !span_eq(s.text, SPAN("*")))
            map_put(&last, s.name, (void *)(uintptr_t)text.ptr);
    }
    for (size_t i = 0; ok && i < last.n; i++)
        ok = add_spec(&r, t, last.v[i].value, &err);
    ok = ok && build(&r, t, &err);
    if (failure) {
        ck_assert_msg(!ok, "%s: npm says %s", json_get_str(c, "name"), failure);
        if (code_of(failure) != ERR_NONE)
            ck_assert_msg(err.code == code_of(failure), "%s: %s, npm says %s",
                          json_get_str(c, "name"), err.text, failure);
    } else {
        ck_assert_msg(ok, "%s: %s", json_get_str(c, "name"), err.text);
        compare(c, t, r.arena);
    }
    npm_tree_free(t);
    for (size_t i = 0; i < r.packuments.n; i++)
        npm_packument_free(r.packuments.v[i].value);
    map_release(&r.packuments);
    arena_free(r.arena);
}

START_TEST(makes_the_trees_that_npm_made)
{
    AUTO_BUF struct buf text = BUF(16u << 20);
    struct err err = {0};
    struct span rest, line;
    size_t n = 0;
    ck_assert(io_read_file(AT_FDCWD, STRATA_FIXTURES "/npm/trees.jsonl", &text, &err));
    rest = buf_span(&text);
    while (span_next_line(&rest, &line)) {
        if (!line.len)
            continue;
        AUTO_JSON json_t *c = json_parse(line, &err);
        ck_assert_msg(c, "%s", err.text);
        if (!has_files(json_object_get(c, "registry"))) {
            replay(c);
            n++;
        }
    }
    ck_assert_uint_gt(n, 60);
}
END_TEST

/* A registry in which package i has versions 1.0.0 to n.0.0, with what `member` says. */
static json_t *made_up(size_t packages, size_t versions,
                       char *(*member)(size_t package, size_t version, size_t packages))
{
    json_t *registry = json_object();
    struct err err = {0};
    for (size_t i = 0; i < packages; i++) {
        AUTO_BUF struct buf text = BUF(64u << 20);
        AUTO_FREE char *name = mem_printf("p%zu", i);
        buf_str(&text, "{\"dist-tags\":{\"latest\":\"1.0.0\"},\"versions\":{");
        for (size_t v = 1; v <= versions; v++) {
            AUTO_FREE char *more = member(i, v, packages);
            buf_printf(&text, "%s\"%zu.0.0\":{\"name\":\"%s\",\"version\":\"%zu.0.0\",%s}",
                       v > 1 ? "," : "", v, name, v, more);
        }
        buf_str(&text, "}}");
        json_t *document = json_parse(buf_span(&text), &err);
        ck_assert_msg(document, "%s", err.text);
        json_object_set_new(registry, name, document);
    }
    return registry;
}

static char *next_version(size_t package, size_t version, size_t packages)
{
    (void)packages;
    return mem_printf("\"dependencies\":{\"p%zu\":\"%zu.0.0\"}", package, version + 1);
}

static char *peers_of_all(size_t package, size_t version, size_t packages)
{
    AUTO_BUF struct buf text = BUF(64 << 10);
    buf_str(&text, "\"peerDependencies\":{");
    for (size_t i = 0; i < packages; i++)
        if (i != package)
            buf_printf(&text, "%s\"p%zu\":\"%zu\"", text.ptr[text.len - 1] == '{' ? "" : ",", i,
                       version);
    buf_str(&text, "},\"dependencies\":{\"p0\":\"2\"}");
    return buf_take(&text);
}

static const struct {
    size_t packages, versions;
    char *(*member)(size_t package, size_t version, size_t packages);
    const char *says;
} traps[] = {
    {1, 600, next_version, "folders deep"},
    {14, 2, peers_of_all, "peers"},
};

START_TEST(gives_up_where_npm_would_not)
{
    AUTO_JSON json_t *registry = made_up(traps[_i].packages, traps[_i].versions, traps[_i].member);
    struct replay r = {.arena = arena_new(), .registry = registry};
    struct npm_tree *t = npm_tree_new(&target, on_want, &r);
    struct err err = {0};
    ck_assert(add_spec(&r, t, "p0@1", &err));
    if (!build(&r, t, &err)) {
        ck_assert_int_eq(err.code, ERR_TOO_LARGE);
        ck_assert_msg(strstr(err.text, traps[_i].says), "%s", err.text);
    }
    ck_assert_uint_lt(npm_tree_graph(t)->nodes.n, 100000);
    npm_tree_free(t);
    for (size_t i = 0; i < r.packuments.n; i++)
        npm_packument_free(r.packuments.v[i].value);
    map_release(&r.packuments);
    arena_free(r.arena);
}
END_TEST

START_TEST(collates_as_npm_sorts)
{
    static const char *const sorted[] = {"_a",  "-a",  ".a",  "@a/b", "@a/c", "a",  "a_b",
                                         "a-b", "a.b", "a/b", "a1",   "aa",   "ab", "aB",
                                         "Ab",  "abc", "b",   "B",    "b1",   "z"};
    for (size_t i = 0; i < COUNT(sorted); i++)
        for (size_t k = 0; k < COUNT(sorted); k++) {
            int d = npm_collate(span_str(sorted[i]), span_str(sorted[k]));
            ck_assert_msg((d > 0) - (d < 0) == (i > k) - (i < k), "%s and %s: %d", sorted[i],
                          sorted[k], d);
        }
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("npm_tree");
    TCase *tc = tcase_create("tree");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, makes_the_trees_that_npm_made);
    tcase_add_loop_test(tc, gives_up_where_npm_would_not, 0, COUNT(traps));
    tcase_add_test(tc, collates_as_npm_sorts);
    suite_add_tcase(s, tc);
    return s;
}
