/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"
#include "cache/artifact_priv.h"

static bool check_name(struct span name, const char *what, struct err *err)
{
    bool ok = name.len > 0 && name.len <= PIN_OWNER_MAX && span_is_utf8(name);
    for (size_t i = 0; ok && i < name.len; i++)
        ok = (unsigned char)name.ptr[i] >= 0x20 && name.ptr[i] != 0x7f;
    return ok || err_set(err, ERR_INVALID, "%s must have 1 to %u bytes of printable UTF-8", what,
                         PIN_OWNER_MAX);
}

static bool run_soon(struct store *s, struct sql_stmt *q, struct err *err)
{
    bool ok = sql_run(q, err);
    uv_mutex_unlock(&s->mutex);
    return ok || err_wrap(err, "index of %s", s->path);
}

/* Pins and tags differ only in their table. */
static bool put(struct store *s, enum cache_sql id, struct span name, const struct digest *artifact,
                bool (*run)(struct store *s, struct sql_stmt *q, struct err *err), struct err *err)
{
    char text[DIGEST_TEXT_SIZE];
    struct err why = {0};
    struct sql_stmt *q = store_sql(s, id);
    sql_bind_text(q, 1, name);
    sql_bind_blob(q, 2, digest_span(artifact));
    sql_bind_int(q, 3, io_now_ms());
    if (run(s, q, &why))
        return true;
    if (why.code == ERR_CONFLICT) /* the row refers to an artifact's */
        return err_set(err, ERR_NOT_FOUND, "there is no artifact %s here",
                       digest_text(artifact, text));
    return err_set(err, why.code, "%s", why.text);
}

static bool drop(struct store *s, enum cache_sql id, struct span name, const char *what,
                 struct err *err)
{
    struct sql_stmt *q = store_sql(s, id);
    sql_bind_text(q, 1, name);
    bool ok = sql_run(q, err), found = ok && sql_changes(s->db) > 0;
    uv_mutex_unlock(&s->mutex);
    return found ||
           (ok && err_set(err, ERR_NOT_FOUND, "there is no %s \"%.*s\"", what, SPAN_ARG(name)));
}

static bool get(struct store *s, enum cache_sql id, struct span name, struct digest *artifact)
{
    struct sql_stmt *q = store_sql(s, id);
    sql_bind_text(q, 1, name);
    bool found = sql_next(q) && store_sql_digest(q, 0, artifact);
    return store_sql_end(s, q, NULL) && found;
}

static bool list_rows(struct store *s, enum cache_sql id, const char *key, json_t **out,
                      struct err *err)
{
    struct sql_stmt *q = store_sql(s, id);
    json_t *list = json_array();
    struct digest d;
    while (sql_next(q)) {
        json_t *o = json_object();
        json_put_span(o, key, sql_text(q, 0));
        if (store_sql_digest(q, 1, &d))
            json_put_digest(o, "artifact", &d);
        json_put_int(o, "at_ms", sql_int(q, 2));
        json_array_append_new(list, o);
    }
    if (!store_sql_end(s, q, err)) {
        json_decref(list);
        return false;
    }
    *out = list;
    return true;
}

bool store_pin_put(struct store *s, struct span owner, const struct digest *artifact,
                   struct err *err)
{
    return check_name(owner, "a pin's owner", err) &&
           put(s, SQL_PIN_PUT, owner, artifact, store_sql_run_durably, err);
}

bool store_pin_put_soon(struct store *s, struct span owner, const struct digest *artifact,
                        struct err *err)
{
    return check_name(owner, "a pin's owner", err) &&
           put(s, SQL_PIN_PUT, owner, artifact, run_soon, err);
}

/* What waiting for the disk at a commit does, for all commits before: the log holds them. What was
 * merged from it into the file was on disk before. */
bool store_sync(struct store *s, struct err *err)
{
    AUTO_FD int fd = openat(s->dir_fd, "strata.db-wal", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? true : err_sys(err, "%s: strata.db-wal", s->path);
    return io_fsync(fd, err) || err_wrap(err, "%s", s->path);
}

bool store_pin_drop(struct store *s, struct span owner, struct err *err)
{
    return drop(s, SQL_PIN_DROP, owner, "pin of", err);
}

bool store_pin_get(struct store *s, struct span owner, struct digest *artifact)
{
    return get(s, SQL_PIN_GET, owner, artifact);
}

bool store_pin_list(struct store *s, json_t **out, struct err *err)
{
    return list_rows(s, SQL_PIN_LIST, "owner", out, err);
}

bool store_tag_put(struct store *s, struct span name, const struct digest *artifact,
                   struct err *err)
{
    return check_name(name, "a tag", err) &&
           put(s, SQL_TAG_PUT, name, artifact, store_sql_run_durably, err);
}

bool store_tag_drop(struct store *s, struct span name, struct err *err)
{
    return drop(s, SQL_TAG_DROP, name, "tag", err);
}

bool store_tag_get(struct store *s, struct span name, struct digest *artifact)
{
    return get(s, SQL_TAG_GET, name, artifact);
}

bool store_tag_list(struct store *s, json_t **out, struct err *err)
{
    return list_rows(s, SQL_TAG_LIST, "name", out, err);
}
