/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/map.h"
#include "cache/artifact.h"
#include "cache/pin.h"
#include "cache/tar_walk_priv.h"
#include "cache/unframe.h"
#include "tests/cache/pack.h"
#include "tests/test_main.h"

#define MIB (1u << 20)

static char *blob_path(struct store *s, const struct digest *d)
{
    char hex[DIGEST_HEX_SIZE];
    digest_hex(d, hex);
    return mem_printf("%s/blobs/sha256/%.2s/%s", store_path(s), hex, hex);
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

/* No name stands twice, and what is above a name stands before it. */
static void assert_names(struct span tar)
{
    AUTO_ARENA struct arena *arena = arena_new();
    AUTO_MAP struct map seen = {0};
    struct tar_walk w = {.read = read_span, .ctx = &tar};
    struct tar_record r;
    struct err err = {0};
    tar_walk_init(&w);
    for (bool more = true;;) {
        ck_assert_msg(tar_walk_next(&w, &r, &more, &err), "%s", err.text);
        if (!more)
            break;
        size_t at = span_find_last_char(r.path, '/');
        ck_assert(at == r.path.len || map_has(&seen, span_slice(r.path, 0, at)));
        ck_assert(map_put(&seen, arena_span(arena, r.path), arena));
    }
    tar_walk_release(&w);
}

/* Reads a layer as a puller would: digest, size and diff_id must be the manifest's. */
static void assert_layer(struct store *s, const struct layer *l)
{
    struct err err = {0};
    struct hasher blob, tar;
    struct span piece;
    uint64_t size = 0, tar_size = 0;
    struct layer_reader *r = layer_reader_new(s, l, &err);
    struct unframe *u = unframe_new(l->compression);
    AUTO_BUF struct buf whole = BUF(64 * MIB);
    ck_assert_msg(r != NULL, "%s", err.text);
    hasher_init(&blob, HASH_SHA256);
    hasher_init(&tar, HASH_SHA256);
    do {
        ck_assert_msg(layer_reader_next(r, &piece, &err), "%s", err.text);
        hasher_update(&blob, piece);
        size += piece.len;
        unframe_feed(u, piece);
        char room[65536];
        for (size_t n = 1; n; tar_size += n) {
            ck_assert_msg(unframe_read(u, room, sizeof(room), &n, &err), "%s", err.text);
            hasher_update(&tar, span_of(room, n));
            buf_append(&whole, span_of(room, n));
        }
    } while (piece.len);
    ck_assert(unframe_end(u, &err));
    struct digest got_blob = hasher_digest(&blob), got_tar = hasher_digest(&tar);
    ck_assert(digest_eq(&got_blob, &l->blob) && digest_eq(&got_tar, &l->tar));
    ck_assert_uint_eq(size, l->size);
    ck_assert_uint_eq(tar_size, l->tar_size);
    assert_names(buf_span(&whole));
    unframe_free(u);
    layer_reader_free(r);
}

/* Two managers, big ones and small ones. */
static size_t some_parts(struct store *s, struct artifact_part parts[24], enum compression c)
{
    size_t n = 0;
    static char names[20][8];
    for (int i = 0; i < 20; i++) {
        snprintf(names[i], sizeof(names[i]), "small%d", i);
        parts[n++] = pack_simple(s, "npm", names[i], 100 + (size_t)i, c);
    }
    parts[n++] = pack_simple(s, "npm", "big", 5 * MIB, c);
    parts[n++] = pack_simple(s, "pip", "big", 9 * MIB, c);
    parts[n++] = pack_simple(s, "pip", "one", 1000, c);
    struct segment_plan empty;
    segment_plan_init(&empty);
    parts[n++] = pack_part(s, "pip", "nothing", &empty, c);
    return n;
}

START_TEST(layers_read_back_with_the_manifests_digests)
{
    struct store *s = pack_store("store");
    struct artifact_part parts[24];
    struct err err = {0};
    size_t n = some_parts(s, parts, (enum compression)_i), segments = 0;
    struct artifact *a = pack_publish(s, parts, n, &err), *b;
    ck_assert_msg(a != NULL, "%s", err.text);
    ck_assert(a->layer_count > 4 && a->layer_count <= 2 + LAYER_BUCKETS + 1);
    for (size_t i = 0; i < a->layer_count; i++) {
        assert_layer(s, &a->layers[i]);
        segments += a->layers[i].segment_count;
        ck_assert(i == 0 || strcmp(a->layers[i - 1].manager, a->layers[i].manager) <= 0);
    }
    ck_assert_uint_eq(segments, n - 1);
    ck_assert_msg(artifact_verify(s, a, &err), "%s", err.text);
    ck_assert_msg(artifact_load(s, &a->digest, &b, &err), "%s", err.text);
    ck_assert_uint_eq(a->layer_count, b->layer_count);
    for (size_t i = 0; i < b->layer_count; i++) {
        ck_assert(digest_eq(&a->layers[i].blob, &b->layers[i].blob));
        ck_assert_uint_eq(a->layers[i].segment_count, b->layers[i].segment_count);
        assert_layer(s, &b->layers[i]);
    }
    ck_assert_int_eq(json_get_int(b->lock, "lock_version", 0), 1);
    ck_assert_uint_eq(json_array_size(b->path), 2);
    const json_t *env = json_object_get(json_object_get(b->config, "config"), "Env");
    ck_assert_str_eq(json_string_value(json_array_get(env, 1)), "A=1");
    ck_assert_ptr_nonnull(
        strstr(json_string_value(json_array_get(env, 0)), "PATH=/opt/a/bin:/opt/b/bin:/usr/local"));
    artifact_free(a);
    artifact_free(b);
    store_close(s);
}
END_TEST

START_TEST(the_order_of_parts_and_the_store_do_not_matter)
{
    struct store *s = pack_store("one"), *t = pack_store("two");
    struct artifact_part parts[24], turned[24];
    struct err err = {0};
    size_t n = some_parts(s, parts, COMPRESS_GZIP);
    struct artifact *a = pack_publish(s, parts, n, &err);
    some_parts(t, turned, COMPRESS_GZIP);
    for (size_t i = 0; i < n; i++)
        parts[i] = turned[n - 1 - i];
    struct artifact *b = pack_publish(t, parts, n, &err);
    ck_assert(a && b && digest_eq(&a->digest, &b->digest));
    artifact_free(a);
    artifact_free(b);
    store_close(s);
    store_close(t);
}
END_TEST

START_TEST(a_changed_package_changes_only_its_own_layer)
{
    struct store *s = pack_store("store");
    struct artifact_part parts[24];
    struct err err = {0};
    size_t n = some_parts(s, parts, COMPRESS_ZSTD), same = 0;
    struct artifact *a = pack_publish(s, parts, n, &err);
    parts[3] = pack_simple(s, "npm", parts[3].name, 5000, COMPRESS_ZSTD);
    struct artifact *b = pack_publish(s, parts, n, &err);
    ck_assert(a && b && a->layer_count == b->layer_count);
    for (size_t i = 0; i < a->layer_count; i++)
        same += digest_eq(&a->layers[i].blob, &b->layers[i].blob);
    ck_assert_uint_eq(same, a->layer_count - 1);
    artifact_free(a);
    artifact_free(b);
    store_close(s);
}
END_TEST

START_TEST(there_are_never_more_than_a_hundred_layers)
{
    struct store *s = pack_store("store");
    struct artifact_part parts[130];
    struct err err = {0};
    static char names[130][8];
    for (size_t i = 0; i < COUNT(parts); i++) {
        snprintf(names[i], sizeof(names[i]), "p%zu", i);
        parts[i] = pack_simple(s, "apt", names[i], 4 * MIB + 100 * i, COMPRESS_ZSTD);
    }
    for (size_t i = 0; i < 10; i++)
        parts[i] = pack_simple(s, "apt", names[i], 17 * MIB, COMPRESS_ZSTD);
    struct artifact *a = pack_publish(s, parts, COUNT(parts), &err);
    ck_assert_msg(a != NULL, "%s", err.text);
    ck_assert_uint_le(a->layer_count, ARTIFACT_MAX_LAYERS);
    ck_assert_uint_ge(a->layer_count, 10);
    artifact_free(a);
    store_close(s);
}
END_TEST

enum kind { FILE_A, FILE_B, FILE_MODE, LINK_A, LINK_B, FOLDER, INSIDE, NOTHING };

static struct artifact_part part_with(struct store *s, const char *name, enum kind kind)
{
    struct segment_plan plan;
    struct span path = SPAN("opt/x/shared");
    segment_plan_init(&plan);
    segment_add_file(&plan, span_str(arena_printf(plan.arena, "opt/%s", name)), 0644, SPAN("own"));
    switch (kind) {
    case FILE_A: segment_add_file(&plan, path, 0644, SPAN("content")); break;
    case FILE_B: segment_add_file(&plan, path, 0644, SPAN("CONTENT")); break;
    case FILE_MODE: segment_add_file(&plan, path, 0600, SPAN("content")); break;
    case LINK_A: segment_add_symlink(&plan, path, SPAN("a")); break;
    case LINK_B: segment_add_symlink(&plan, path, SPAN("b")); break;
    case FOLDER: segment_add_dir(&plan, path, 0700); break;
    case INSIDE: segment_add_file(&plan, SPAN("opt/x/shared/in"), 0644, SPAN("in")); break;
    case NOTHING: break;
    }
    return pack_part(s, "pip", name, &plan, COMPRESS_ZSTD);
}

static const struct {
    enum kind a, b;
    bool clash;
} clashes[] = {
    {FILE_A, FILE_A, false},  {FILE_A, FILE_B, true},  {FILE_A, FILE_MODE, true},
    {FILE_A, LINK_A, true},   {LINK_A, LINK_A, false}, {LINK_A, LINK_B, true},
    {FILE_A, FOLDER, true},   {FILE_A, INSIDE, true},  {LINK_A, INSIDE, true},
    {FOLDER, INSIDE, false},  {FOLDER, FOLDER, false}, {INSIDE, INSIDE, false},
    {NOTHING, FILE_A, false},
};

START_TEST(packages_may_share_only_what_is_equal)
{
    struct store *s = pack_store("store");
    struct err err = {0};
    struct artifact_part parts[3] = {part_with(s, "first", clashes[_i].a),
                                     part_with(s, "second", clashes[_i].b),
                                     part_with(s, "third", NOTHING)};
    struct artifact *a = pack_publish(s, parts, 3, &err);
    ck_assert_msg((a == NULL) == clashes[_i].clash, "%s", err.text);
    if (clashes[_i].clash) {
        ck_assert_int_eq(err.code, ERR_FILE_CLASH);
        ck_assert(strstr(err.text, "first") && strstr(err.text, "second") &&
                  strstr(err.text, "opt/x/shared"));
    }
    artifact_free(a);
    store_close(s);
}
END_TEST

START_TEST(a_file_is_never_twice_in_one_layer)
{
    struct store *s = pack_store("store");
    struct err err = {0};
    struct artifact_part parts[30];
    static char names[30][8];
    for (size_t i = 0; i < COUNT(parts); i++) {
        snprintf(names[i], sizeof(names[i]), "p%zu", i);
        parts[i] = part_with(s, names[i], i % 2 ? FILE_A : NOTHING);
    }
    struct artifact *a = pack_publish(s, parts, COUNT(parts), &err);
    ck_assert_msg(a != NULL, "%s", err.text);
    ck_assert_uint_ge(a->layer_count, 15);
    size_t segments = 0;
    for (size_t i = 0; i < a->layer_count; i++) {
        size_t sharing = 0;
        for (size_t k = 0; k < a->layers[i].segment_count; k++)
            for (size_t p = 1; p < COUNT(parts); p += 2)
                sharing += digest_eq(&parts[p].segment.blob, &a->layers[i].segments[k].blob);
        ck_assert_uint_le(sharing, 1);
        segments += a->layers[i].segment_count;
        assert_layer(s, &a->layers[i]);
    }
    ck_assert_uint_eq(segments, COUNT(parts));
    artifact_free(a);
    store_close(s);
}
END_TEST

START_TEST(an_artifact_is_found_by_key_and_prefix)
{
    struct store *s = pack_store("store");
    struct err err = {0};
    struct digest key = digest_of(SPAN("key")), found;
    char text[DIGEST_TEXT_SIZE];
    struct artifact_part part = pack_simple(s, "pip", "one", 10, COMPRESS_ZSTD);
    ck_assert(!artifact_find_key(s, &key, &found));
    struct artifact *a = pack_publish(s, &part, 1, &err);
    ck_assert_ptr_nonnull(a);
    ck_assert(artifact_put_key(s, &key, &a->digest, &err));
    ck_assert(artifact_find_key(s, &key, &found) && digest_eq(&found, &a->digest));
    digest_text(&a->digest, text);
    const struct span good[] = {span_of(text, 71), span_of(text, 7 + 6), span_of(text + 7, 12),
                                span_of(text + 7, 7)};
    for (size_t i = 0; i < COUNT(good); i++)
        ck_assert(artifact_lookup(s, good[i], &found, &err) && digest_eq(&found, &a->digest));
    static const char *const bad[] = {"", "abc", "sha256:", "sha256:12", "zzzzzzzz", "../../../x"};
    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert(!artifact_lookup(s, span_str(bad[i]), &found, &err) && err.code == ERR_INVALID);
    text[12] = text[12] == '0' ? '1' : '0';
    ck_assert(!artifact_lookup(s, span_of(text, 71), &found, &err) && err.code == ERR_NOT_FOUND);
    json_t *list;
    ck_assert(artifact_list(s, &list, &err));
    ck_assert_uint_eq(json_array_size(list), 1);
    ck_assert_str_eq(json_get_str(json_array_get(list, 0), "name"), "test");
    json_decref(list);
    artifact_free(a);
    store_close(s);
}
END_TEST

START_TEST(pins_and_tags_need_an_artifact)
{
    struct store *s = pack_store("store");
    struct err err = {0};
    struct digest none = digest_of(SPAN("none")), found;
    struct artifact_part part = pack_simple(s, "pip", "one", 10, COMPRESS_ZSTD);
    struct artifact *a = pack_publish(s, &part, 1, &err);
    json_t *list;
    ck_assert(!store_pin_put(s, SPAN("session"), &none, &err) && err.code == ERR_NOT_FOUND);
    ck_assert(!store_pin_put(s, SPAN(""), &a->digest, &err) && err.code == ERR_INVALID);
    ck_assert(!store_tag_put(s, SPAN("a\nb"), &a->digest, &err) && err.code == ERR_INVALID);
    ck_assert_msg(store_pin_put(s, SPAN("session"), &a->digest, &err), "%s", err.text);
    ck_assert_msg(store_tag_put(s, SPAN("latest"), &a->digest, &err), "%s", err.text);
    ck_assert(store_pin_get(s, SPAN("session"), &found) && digest_eq(&found, &a->digest));
    ck_assert(store_tag_get(s, SPAN("latest"), &found) &&
              !store_tag_get(s, SPAN("session"), &found));
    ck_assert(store_pin_list(s, &list, &err));
    ck_assert_uint_eq(json_array_size(list), 1);
    json_decref(list);
    ck_assert(store_pin_drop(s, SPAN("session"), &err));
    ck_assert(!store_pin_drop(s, SPAN("session"), &err) && err.code == ERR_NOT_FOUND);
    ck_assert(store_tag_drop(s, SPAN("latest"), &err));
    artifact_free(a);
    store_close(s);
}
END_TEST

/* Overwrites one byte of a blob, or cuts it. */
static void spoil(struct store *s, const struct digest *d, bool cut)
{
    AUTO_FREE char *path = blob_path(s, d);
    struct stat st;
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert_int_eq(stat(path, &st), 0);
    if (cut) {
        ck_assert_int_eq(truncate(path, st.st_size - 1), 0);
        return;
    }
    int fd = open(path, O_RDWR);
    char c;
    ck_assert_int_eq(pread(fd, &c, 1, st.st_size / 2), 1);
    c ^= 1;
    ck_assert_int_eq(pwrite(fd, &c, 1, st.st_size / 2), 1);
    close(fd);
}

START_TEST(verify_notices_whatever_is_damaged)
{
    struct store *s = pack_store("store");
    struct err err = {0};
    struct artifact_part parts[24];
    size_t n = some_parts(s, parts, (enum compression)(_i / 10));
    struct artifact *a = pack_publish(s, parts, n, &err);
    ck_assert_msg(artifact_verify(s, a, &err), "%s", err.text);
    const struct segment *seg = &a->layers[1].segments[0];
    const struct digest *targets[] = {&a->digest, &a->config_digest, &a->recipe_digest, &seg->blob,
                                      &seg->index};
    spoil(s, targets[_i % 10 / 2], _i % 2);
    ck_assert(!artifact_verify(s, a, &err));
    ck_assert_msg(err.code == ERR_CORRUPT, "%s", err.text);
    artifact_free(a);
    store_close(s);
}
END_TEST

START_TEST(a_cut_segment_is_noticed_when_its_layer_is_read)
{
    struct store *s = pack_store("store");
    struct err err = {0};
    struct artifact_part part = pack_simple(s, "pip", "one", 5000, COMPRESS_ZSTD);
    struct artifact *a = pack_publish(s, &part, 1, &err);
    struct span piece;
    spoil(s, &part.segment.blob, true);
    struct layer_reader *r = layer_reader_new(s, &a->layers[0], &err);
    ck_assert(!layer_reader_next(r, &piece, &err) && err.code == ERR_CORRUPT);
    layer_reader_free(r);
    artifact_free(a);
    store_close(s);
}
END_TEST

START_TEST(an_image_whose_layers_are_blobs_is_read_too)
{
    struct store *s = pack_store("one"), *t = pack_store("two");
    struct err err = {0};
    struct artifact_part parts[24];
    size_t n = some_parts(s, parts, COMPRESS_ZSTD);
    struct artifact *a = pack_publish(s, parts, n, &err), *b;
    struct digest d;
    for (size_t i = 0; i < a->layer_count; i++) { /* as a pull would */
        struct layer_reader *r = layer_reader_new(s, &a->layers[i], &err);
        struct blob_writer *w = blob_writer_new(t, &err);
        struct span piece;
        do {
            ck_assert(layer_reader_next(r, &piece, &err) && blob_writer_add(w, piece, &err));
        } while (piece.len);
        layer_reader_free(r);
        ck_assert(blob_writer_commit(w, NULL, &d, &err) && digest_eq(&d, &a->layers[i].blob));
    }
    const struct digest *json[] = {&a->config_digest, &a->digest};
    for (size_t i = 0; i < 2; i++) {
        AUTO_MAPPED struct io_map map = {0};
        ck_assert(store_map_blob(s, json[i], &map, &err) && store_put_blob(t, map.bytes, &d, &err));
    }
    ck_assert_msg(artifact_adopt(t, &a->digest, "pulled", &err), "%s", err.text);
    ck_assert_msg(artifact_load(t, &a->digest, &b, &err), "%s", err.text);
    ck_assert_uint_eq(b->layers[0].segment_count, 0);
    ck_assert_str_eq(b->layers[0].manager, "npm");
    ck_assert_msg(artifact_verify(t, b, &err), "%s", err.text);
    spoil(t, &b->layers[0].blob, false);
    ck_assert(!artifact_verify(t, b, &err) && err.code == ERR_CORRUPT);
    artifact_free(a);
    artifact_free(b);
    store_close(s);
    store_close(t);
}
END_TEST

START_TEST(publish_makes_the_artifact_or_nothing_whichever_step_fails)
{
    struct store *s = pack_store("store");
    for (int n = 1;; n++) {
        struct err err = {0};
        AUTO_FREE char *name = mem_printf("p%d", n); /* a new one each time */
        struct artifact_part parts[2] = {pack_simple(s, "pip", name, 500, COMPRESS_ZSTD),
                                         pack_simple(s, "npm", name, 500, COMPRESS_ZSTD)};
        json_t *before, *after;
        ck_assert(artifact_list(s, &before, &err));
        fault_arm(n, ENOSPC);
        struct artifact *a = pack_publish(s, parts, 2, &err);
        bool fired = fault_disarm();
        ck_assert(artifact_list(s, &after, &err));
        ck_assert_uint_eq(json_array_size(after), json_array_size(before) + (a != NULL));
        json_decref(before);
        json_decref(after);
        if (!fired) {
            ck_assert_msg(a != NULL, "%s", err.text);
            artifact_free(a);
            break;
        }
        ck_assert_msg(!a && (err.code == ERR_NO_SPACE || err.code == ERR_IO), "step %d: %s", n,
                      a ? "published" : err.text);
    }
    store_close(s);
}
END_TEST

Suite *test_suite(void)
{
    Suite *s = suite_create("artifact");
    TCase *tc = tcase_create("artifact");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, layers_read_back_with_the_manifests_digests, 0, 2);
    tcase_add_test(tc, the_order_of_parts_and_the_store_do_not_matter);
    tcase_add_test(tc, a_changed_package_changes_only_its_own_layer);
    tcase_add_test(tc, there_are_never_more_than_a_hundred_layers);
    tcase_add_loop_test(tc, packages_may_share_only_what_is_equal, 0, COUNT(clashes));
    tcase_add_test(tc, a_file_is_never_twice_in_one_layer);
    tcase_add_test(tc, an_artifact_is_found_by_key_and_prefix);
    tcase_add_test(tc, pins_and_tags_need_an_artifact);
    tcase_add_loop_test(tc, verify_notices_whatever_is_damaged, 0, 20);
    tcase_add_test(tc, a_cut_segment_is_noticed_when_its_layer_is_read);
    tcase_add_test(tc, an_image_whose_layers_are_blobs_is_read_too);
    tcase_add_test(tc, publish_makes_the_artifact_or_nothing_whichever_step_fails);
    suite_add_tcase(s, tc);
    return s;
}
