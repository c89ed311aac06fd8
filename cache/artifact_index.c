/* SPDX-License-Identifier: Apache-2.0 */
/* artifact_index.c - the rows: artifacts, build keys. */
#include "cache/artifact_priv.h"

#define MIN_PREFIX 6u

bool store_sql_run_durably(struct store *s, struct sql_stmt *q, struct err *err)
{
    bool ok = cache_sql_wait_for_disk(s->db, true, err);
    ok = ok && sql_run(q, err);
    cache_sql_wait_for_disk(s->db, false, NULL);
    uv_mutex_unlock(&s->mutex);
    return ok || err_wrap(err, "index of %s", s->path);
}

static int64_t size_of(const struct artifact *a)
{
    uint64_t size = 0;
    for (size_t i = 0; i < a->layer_count; i++)
        size += a->layers[i].size;
    return (int64_t)size;
}

bool artifact_put_row(struct store *s, const struct artifact *a, const char *name, struct err *err)
{
    struct sql_stmt *q = store_sql(s, SQL_ARTIFACT_PUT);
    sql_bind_blob(q, 1, digest_span(&a->digest));
    sql_bind_str(q, 2, name ? name : "");
    sql_bind_int(q, 3, io_now_ms());
    sql_bind_int(q, 4, size_of(a));
    sql_bind_int(q, 5, (int64_t)a->layer_count);
    return store_sql_run_durably(s, q, err);
}

bool artifact_adopt(struct store *s, const struct digest *digest, const char *name, struct err *err)
{
    struct artifact *a;
    struct digest *blobs;
    if (!artifact_read(s, digest, &a, err))
        return false;
    size_t n = artifact_blobs(a, &blobs);
    bool ok = store_sync_blobs(s, blobs, n, err) && artifact_put_row(s, a, name, err);
    free(blobs);
    artifact_free(a);
    return ok;
}

void artifact_note_use(struct store *s, const struct digest *digest)
{
    struct sql_stmt *q = store_sql(s, SQL_ARTIFACT_USE);
    sql_bind_blob(q, 1, digest_span(digest));
    sql_bind_int(q, 2, io_now_ms());
    store_sql_run(s, q, NULL); /* lost: it looks unused a little earlier */
}

bool artifact_use(struct store *s, const struct digest *digest)
{
    struct sql_stmt *q = store_sql(s, SQL_ARTIFACT_USE);
    sql_bind_blob(q, 1, digest_span(digest));
    sql_bind_int(q, 2, io_now_ms());
    bool listed = sql_run(q, NULL) && sql_changes(s->db) > 0;
    uv_mutex_unlock(&s->mutex);
    return listed && store_has_blob(s, digest, NULL);
}

bool artifact_find_key(struct store *s, const struct digest *key, struct digest *artifact)
{
    struct sql_stmt *q = store_sql(s, SQL_KEY_GET);
    sql_bind_blob(q, 1, digest_span(key));
    bool found = sql_next(q) && store_sql_digest(q, 0, artifact);
    found = store_sql_end(s, q, NULL) && found;
    if (found)
        artifact_note_use(s, artifact);
    return found && store_has_blob(s, artifact, NULL);
}

bool artifact_put_key(struct store *s, const struct digest *key, const struct digest *artifact,
                      struct err *err)
{
    struct sql_stmt *q = store_sql(s, SQL_KEY_PUT);
    sql_bind_blob(q, 1, digest_span(key));
    sql_bind_blob(q, 2, digest_span(artifact));
    sql_bind_int(q, 3, io_now_ms());
    return store_sql_run(s, q, err) || err_wrap(err, "index of %s", s->path);
}

/* The digests that begin with these letters lie between *from and *to. */
static bool prefix_range(struct span prefix, struct digest *from, struct digest *to)
{
    char low[65], high[65];
    if (prefix.len > 64)
        return false;
    memset(low, '0', 64);
    memset(high, 'f', 64);
    memcpy(low, prefix.ptr, prefix.len);
    memcpy(high, prefix.ptr, prefix.len);
    return digest_parse_hex(span_of(low, 64), from) && digest_parse_hex(span_of(high, 64), to);
}

bool artifact_lookup(struct store *s, struct span reference, struct digest *out, struct err *err)
{
    struct digest from, to, found;
    int n = 0;
    struct span hex = span_starts(reference, SPAN("sha256:")) ? span_skip(reference, 7) : reference;
    if (hex.len < MIN_PREFIX || !prefix_range(hex, &from, &to))
        return err_set(err, ERR_INVALID,
                       "\"%.*s\" names no artifact: sha256: and 64 hexadecimal letters, or at "
                       "least %u of them",
                       (int)(reference.len < 100 ? reference.len : 100), reference.ptr, MIN_PREFIX);
    struct sql_stmt *q = store_sql(s, SQL_ARTIFACT_FIND);
    sql_bind_blob(q, 1, digest_span(&from));
    sql_bind_blob(q, 2, digest_span(&to));
    while (sql_next(q) && store_sql_digest(q, 0, &found))
        n++;
    if (!store_sql_end(s, q, err))
        return false;
    if (n == 0)
        return err_set(err, ERR_NOT_FOUND, "there is no artifact %.*s here; `list` shows them",
                       SPAN_ARG(reference));
    if (n > 1)
        return err_set(err, ERR_INVALID, "more than one artifact begins with %.*s",
                       SPAN_ARG(reference));
    *out = found;
    return true;
}

bool artifact_list(struct store *s, json_t **out, struct err *err)
{
    struct sql_stmt *q = store_sql(s, SQL_ARTIFACT_LIST);
    json_t *list = json_array();
    struct digest d;
    while (sql_next(q)) {
        json_t *o = json_object();
        if (store_sql_digest(q, 0, &d))
            json_put_digest(o, "digest", &d);
        json_put_span(o, "name", sql_text(q, 1));
        json_put_int(o, "created_ms", sql_int(q, 2));
        json_put_int(o, "used_ms", sql_int(q, 3));
        json_put_int(o, "size", sql_int(q, 4));
        json_put_int(o, "layers", sql_int(q, 5));
        json_array_append_new(list, o);
    }
    if (!store_sql_end(s, q, err)) {
        json_decref(list);
        return false;
    }
    *out = list;
    return true;
}
