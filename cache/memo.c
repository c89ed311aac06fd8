/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/store_priv.h"

bool store_memo_get(struct store *s, const char *kind, const struct digest *key, struct buf *out,
                    int64_t *age_ms)
{
    struct sql_stmt *q = store_sql(s, SQL_MEMO_GET);
    sql_bind_str(q, 1, kind);
    sql_bind_blob(q, 2, digest_span(key));
    bool found = sql_next(q) && buf_append(out, sql_blob(q, 0));
    if (found && age_ms)
        *age_ms = io_now_ms() - sql_int(q, 1);
    return store_sql_end(s, q, NULL) && found;
}

void store_memo_put(struct store *s, const char *kind, const struct digest *key, struct span text)
{
    struct sql_stmt *q = store_sql(s, SQL_MEMO_PUT);
    sql_bind_str(q, 1, kind);
    sql_bind_blob(q, 2, digest_span(key));
    sql_bind_blob(q, 3, text.ptr ? text : SPAN(""));
    sql_bind_int(q, 4, io_now_ms());
    store_sql_run(s, q, NULL);
}

void store_memo_drop(struct store *s, const char *kind, const struct digest *key)
{
    struct sql_stmt *q = store_sql(s, SQL_MEMO_DROP);
    sql_bind_str(q, 1, kind);
    sql_bind_blob(q, 2, digest_span(key));
    store_sql_run(s, q, NULL);
}
