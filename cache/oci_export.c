/* SPDX-License-Identifier: Apache-2.0 */
/* oci_export.c - an artifact as an OCI image layout: a folder, or the same in a tar. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/artifact_priv.h"
#include "cache/export_priv.h"
#include "cache/tar_priv.h"

#define LAYOUT_FILE "{\"imageLayoutVersion\":\"1.0.0\"}"
#define REF_NAME    "org.opencontainers.image.ref.name"
#define TAG_MAX     128u

/* Where the files go. */
struct sink {
    int dir_fd; /* a folder; -1: a tar */
    int tar_fd;
    struct staged *file; /* the folder's file being written */
    char name[96];
    uint64_t left; /* of the size that was announced */
};

/* *skip: it is there already. */
static bool sink_begin(struct sink *s, const char *name, uint64_t size, bool *skip, struct err *err)
{
    struct stat st;
    snprintf(s->name, sizeof(s->name), "%s", name);
    s->left = size;
    *skip = false;
    if (s->dir_fd < 0) {
        AUTO_BUF struct buf header = BUF(64u << 10);
        struct segment_entry e = {.path = span_str(name), .type = ENTRY_FILE, .mode = 0644};
        e.size = size;
        tar_header(&header, &e);
        return io_write_all(s->tar_fd, buf_span(&header), err);
    }
    if (fstatat(s->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
        (uint64_t)st.st_size == size && strncmp(name, "blobs/", 6) == 0) {
        *skip = true;
        return true;
    }
    s->file = staged_new(s->dir_fd, 0644, err);
    return s->file != NULL;
}

static bool sink_write(struct sink *s, struct span bytes, struct err *err)
{
    if (bytes.len > s->left)
        return err_set(err, ERR_CORRUPT, "%s: more bytes than its manifest says", s->name);
    s->left -= bytes.len;
    return s->dir_fd < 0 ? io_write_all(s->tar_fd, bytes, err) : staged_write(s->file, bytes, err);
}

static bool sink_end(struct sink *s, uint64_t size, struct err *err)
{
    static const char zeros[TAR_BLOCK];
    if (s->left)
        return err_set(err, ERR_CORRUPT, "%s: fewer bytes than its manifest says", s->name);
    if (s->dir_fd < 0)
        return io_write_all(s->tar_fd, span_of(zeros, (size_t)(tar_padded(size) - size)), err);
    return staged_publish(TAKE(s->file), s->dir_fd, s->name, false, err);
}

static bool put_file(struct sink *s, const char *name, struct span bytes, struct err *err)
{
    bool skip;
    return sink_begin(s, name, bytes.len, &skip, err) &&
           (skip || (sink_write(s, bytes, err) && sink_end(s, bytes.len, err)));
}

static const char *blob_file(const struct digest *d, char out[96])
{
    char hex[DIGEST_HEX_SIZE];
    snprintf(out, 96, "blobs/sha256/%s", digest_hex(d, hex));
    return out;
}

static bool put_blob(struct sink *s, struct store *store, const struct digest *d, struct err *err)
{
    AUTO_MAPPED struct io_map map = {0};
    char name[96];
    return store_map_blob(store, d, &map, err) && put_file(s, blob_file(d, name), map.bytes, err);
}

static bool copy_layer(struct sink *s, struct layer_reader *r, struct err *err)
{
    struct span piece;
    do {
        if (!layer_reader_next(r, &piece, err) || !sink_write(s, piece, err))
            return false;
    } while (piece.len);
    return true;
}

static bool put_layer(struct sink *s, struct store *store, const struct layer *l, struct err *err)
{
    char name[96];
    bool skip;
    if (!sink_begin(s, blob_file(&l->blob, name), l->size, &skip, err) || skip)
        return skip;
    struct layer_reader *r = layer_reader_new(store, l, err);
    bool ok = r && copy_layer(s, r, err) && sink_end(s, l->size, err);
    layer_reader_free(r);
    return ok;
}

/* Two layers may be one blob (of equal content). */
static bool is_repeated(const struct artifact *a, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (digest_eq(&a->layers[k].blob, &a->layers[i].blob))
            return true;
    return false;
}

static bool put_blobs(struct sink *s, struct store *store, const struct artifact *a,
                      struct err *err)
{
    for (size_t i = 0; i < a->layer_count; i++)
        if (!is_repeated(a, i) && !put_layer(s, store, &a->layers[i], err))
            return false;
    return put_blob(s, store, &a->config_digest, err) && put_blob(s, store, &a->digest, err);
}

static bool check_tag(const char *tag, struct err *err)
{
    size_t n = tag ? strlen(tag) : 0;
    bool ok = !tag || (n > 0 && n <= TAG_MAX && tag[0] != '-' && tag[0] != '.');
    for (size_t i = 0; ok && i < n; i++)
        ok = (tag[i] >= '0' && tag[i] <= '9') || ((tag[i] | 32) >= 'a' && (tag[i] | 32) <= 'z') ||
             strchr("_.-", tag[i]);
    return ok || err_set(err, ERR_INVALID,
                         "tag: 1 to %u letters, digits, '_', '.' and '-', not beginning with '.' "
                         "or '-'",
                         TAG_MAX);
}

static json_t *index_entry(struct store *store, const struct artifact *a, const char *tag)
{
    uint64_t size = 0;
    store_has_blob(store, &a->digest, &size);
    json_t *entry = oci_descriptor(OCI_MANIFEST, &a->digest, size), *platform = json_object();
    json_put_str(platform, "architecture", json_get_str(a->config, "architecture"));
    json_put_str(platform, "os", json_get_str(a->config, "os"));
    json_object_set_new(entry, "platform", platform);
    if (tag)
        json_object_set_new(entry, "annotations", json_pack("{s:s}", REF_NAME, tag));
    return entry;
}

/* Does the new entry take the place of this one: the same tag, or the same image untagged? */
static bool is_replaced(const json_t *old, const json_t *entry)
{
    const char *a = json_get_str(json_object_get(old, "annotations"), REF_NAME);
    const char *b = json_get_str(json_object_get(entry, "annotations"), REF_NAME);
    if (a || b)
        return a && b && strcmp(a, b) == 0;
    return span_eq(json_get_span(old, "digest"), json_get_span(entry, "digest"));
}

/* index.json with the entry; old: what stands there, NULL when nothing does. */
static json_t *make_index(const json_t *old, json_t *entry)
{
    json_t *index = json_object(), *list = json_array();
    size_t i;
    json_t *each;
    json_array_foreach (json_object_get(old, "manifests"), i, each) {
        if (!is_replaced(each, entry))
            json_array_append(list, each);
    }
    json_array_append_new(list, entry);
    json_put_int(index, "schemaVersion", 2);
    json_put_str(index, "mediaType", OCI_INDEX);
    json_object_set_new(index, "manifests", list);
    return index;
}

static bool read_index(int dir_fd, json_t **old, struct err *err)
{
    AUTO_BUF struct buf text = BUF(OCI_JSON_MAX_BYTES);
    *old = NULL;
    if (faccessat(dir_fd, "index.json", F_OK, 0) < 0)
        return true;
    return io_read_file(dir_fd, "index.json", &text, err) &&
           ((*old = json_parse(buf_span(&text), err)) || err_wrap(err, "index.json"));
}

static bool export_folder(struct store *s, const struct artifact *a, int dir_fd, const char *tag,
                          struct err *err)
{
    struct sink sink = {.dir_fd = dir_fd, .tar_fd = -1};
    json_t *read = NULL;
    if (!io_mkdirs(dir_fd, "blobs/sha256", 0755, err) || !read_index(dir_fd, &read, err))
        return false;
    AUTO_JSON json_t *old = read, *index = make_index(old, index_entry(s, a, tag));
    AUTO_BUF struct buf text = BUF(OCI_JSON_MAX_BYTES);
    /* The index last: until then the folder is what it was. */
    bool ok = put_blobs(&sink, s, a, err) &&
              put_file(&sink, "oci-layout", SPAN(LAYOUT_FILE), err) &&
              json_canonical(index, &text, err) &&
              io_replace_file(dir_fd, "index.json", buf_span(&text), 0644, false, err);
    staged_free(sink.file);
    return ok;
}

bool artifact_export_oci(struct store *s, const struct artifact *a, const char *dir,
                         const char *tag, struct err *err)
{
    if (!check_tag(tag, err))
        return false;
    if (!io_mkdirs(AT_FDCWD, dir, 0755, err))
        return err_wrap(err, "export to %s", dir);
    AUTO_FD int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, "export to %s", dir);
    return export_folder(s, a, fd, tag, err) || err_wrap(err, "export to %s", dir);
}

static bool export_archive(struct store *s, const struct artifact *a, int fd, const char *tag,
                           struct err *err)
{
    static const char zeros[TAR_END_BYTES];
    struct sink sink = {.dir_fd = -1, .tar_fd = fd};
    AUTO_JSON json_t *index = make_index(NULL, index_entry(s, a, tag));
    AUTO_BUF struct buf text = BUF(OCI_JSON_MAX_BYTES);
    return put_file(&sink, "oci-layout", SPAN(LAYOUT_FILE), err) &&
           json_canonical(index, &text, err) &&
           put_file(&sink, "index.json", buf_span(&text), err) && put_blobs(&sink, s, a, err) &&
           io_write_all(fd, span_of(zeros, sizeof(zeros)), err);
}

bool artifact_export_oci_archive(struct store *s, const struct artifact *a, const char *file,
                                 const char *tag, struct err *err)
{
    struct export_file out;
    if (!check_tag(tag, err) || !export_file_open(&out, file, err))
        return false;
    bool ok = export_archive(s, a, out.fd, tag, err);
    return export_file_close(&out, ok, err) || err_wrap(err, "export to %s", file);
}
