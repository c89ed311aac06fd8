/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/meta.h"

#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_MAX_BYTES (64u << 10)
#define FORMAT         1
#define NAME_SIZE      (5 + 3 + DIGEST_HEX_SIZE)

/* Clocks of machines that share a store differ a little. */
#define CLOCK_SLACK_MS 60000

static const char *name_of(struct span key, char out[NAME_SIZE])
{
    char hex[DIGEST_HEX_SIZE];
    struct digest d = digest_of(key);
    digest_hex(&d, hex);
    snprintf(out, NAME_SIZE, "meta/%.2s/%s", hex, hex);
    return out;
}

static bool kept_status(int64_t status)
{
    return status == 200 || status == 206 || status == 404 || status == 410 || status == 451;
}

bool meta_parse(struct span file, struct span key, struct meta *out)
{
    struct span head, body;
    *out = (struct meta){0};
    if (!span_cut_char(span_slice(file, 0, HEAD_MAX_BYTES), '\n', &head, &body))
        return false;
    body = span_skip(file, head.len + 1);
    AUTO_JSON json_t *json = json_parse(head, NULL);
    if (!json_is_object(json) || json_get_int(json, "v", 0) != FORMAT ||
        !span_eq(json_get_span(json, "key"), key) ||
        json_get_int(json, "length", -1) != (int64_t)body.len ||
        json_get_int(json, "crc32", -1) != libdeflate_crc32(0, body.ptr, body.len) ||
        !kept_status(json_get_int(json, "status", 0)) || !json_get_str(json, "url"))
        return false;
    *out = (struct meta){
        .body = body,
        .status = (int)json_get_int(json, "status", 0),
        .url = json_get_str(json, "url"),
        .asked = json_get_str(json, "asked"),
        .content_type = json_get_str(json, "content_type"),
        .etag = json_get_str(json, "etag"),
        .last_modified = json_get_str(json, "last_modified"),
        .content_range = json_get_str(json, "content_range"),
        .max_age_ms = json_get_int(json, "max_age_ms", -1),
    };
    out->head = json_incref(json);
    return true;
}

bool meta_print(struct span key, const struct meta *m, struct buf *head)
{
    AUTO_JSON json_t *json = json_object();
    json_put_int(json, "v", FORMAT);
    json_put_span(json, "key", key);
    json_put_str(json, "url", m->url);
    json_put_str(json, "asked", m->asked);
    json_put_int(json, "status", m->status);
    json_put_str(json, "content_type", m->content_type);
    json_put_str(json, "etag", m->etag);
    json_put_str(json, "last_modified", m->last_modified);
    json_put_str(json, "content_range", m->content_range);
    json_put_int(json, "max_age_ms", m->max_age_ms);
    json_put_int(json, "length", (int64_t)m->body.len);
    json_put_int(json, "crc32", libdeflate_crc32(0, m->body.ptr, m->body.len));
    return json_get_str(json, "url") && json_get_span(json, "key").ptr &&
           json_canonical(json, head, NULL) && buf_char(head, '\n') && head->len <= HEAD_MAX_BYTES;
}

bool meta_get(struct store *s, struct span key, struct meta *out)
{
    char name[NAME_SIZE];
    struct stat st;
    struct io_map map;
    AUTO_FD int fd =
        openat(store_dir_fd(s), name_of(key, name), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    *out = (struct meta){0};
    if (fd < 0 || fstat(fd, &st) < 0 || !io_map_fd(fd, &map, NULL))
        return false;
    if (!meta_parse(map.bytes, key, out)) {
        io_unmap(&map);
        return false;
    }
    out->map = map;
    out->checked_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    if (out->checked_ms > io_now_ms() + CLOCK_SLACK_MS)
        out->checked_ms = 0;
    return true;
}

static bool set_checked(int fd, int64_t checked_ms)
{
    struct timespec t = {checked_ms / 1000, checked_ms % 1000 * 1000000};
    return futimens(fd, (struct timespec[2]){t, t}) == 0;
}

static bool write_file(struct store *s, const char *name, const struct meta *m, struct span head,
                       struct err *err)
{
    char folder[9];
    snprintf(folder, sizeof(folder), "%.7s", name);
    if (!io_mkdirs(store_dir_fd(s), folder, geteuid() == 0 ? 0755 : 0700, err))
        return false;
    AUTO_FD int dir = openat(store_dir_fd(s), folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return err_sys(err, "%s", folder);
    struct staged *f = staged_new(dir, 0644, err);
    if (!f)
        return false;
    if (!staged_write(f, head, err) || !staged_write(f, m->body, err) ||
        (!set_checked(staged_fd(f), m->checked_ms) && !err_sys(err, "set time"))) {
        staged_free(f);
        return false;
    }
    return staged_publish(f, dir, name + 8, false, err);
}

bool meta_put(struct store *s, struct span key, const struct meta *m, struct err *err)
{
    char name[NAME_SIZE];
    AUTO_BUF struct buf head = BUF(2 * HEAD_MAX_BYTES);
    if (!meta_print(key, m, &head))
        return err_set(err, ERR_INVALID, "metadata whose headers cannot be kept");
    return write_file(s, name_of(key, name), m, buf_span(&head), err) ||
           err_wrap(err, "%s/meta", store_path(s));
}

bool meta_touch(struct store *s, struct span key, int64_t checked_ms, int64_t max_age_ms,
                struct err *err)
{
    char name[NAME_SIZE];
    struct meta m;
    if (!meta_get(s, key, &m))
        return err_set(err, ERR_NOT_FOUND, "metadata to confirm is gone");
    bool same_age = m.max_age_ms == max_age_ms;
    m.checked_ms = checked_ms;
    m.max_age_ms = max_age_ms;
    bool ok;
    if (same_age) {
        struct timespec t = {checked_ms / 1000, checked_ms % 1000 * 1000000};
        ok = utimensat(store_dir_fd(s), name_of(key, name), (struct timespec[2]){t, t},
                       AT_SYMLINK_NOFOLLOW) == 0;
        if (!ok)
            err_sys(err, "%s/%s", store_path(s), name);
    } else {
        ok = meta_put(s, key, &m, err);
    }
    meta_release(&m);
    return ok;
}

void meta_release(struct meta *m)
{
    io_unmap(&m->map);
    json_decref(m->head);
    *m = (struct meta){0};
}
