/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/api/state.h"

#include "worker/api/state_priv.h"
#include "worker/rules/text.h"

bool state_open(struct state *s, const char *path, bool read_only,
                const struct queue_options *options, struct err *err)
{
    /* A client should hear of a database that another process holds while it still listens. */
    struct sql_options o = {.read_only = read_only, .busy_ms = 3000};
    *s = (struct state){.db = sql_open(path, &o, err)};
    if (!s->db)
        return false;
    s->set = sql_add(s->db, &state_schema, err);
    s->queue = s->set ? queue_sqlite_new(s->db, options, err) : NULL;
    if (s->queue)
        return true;
    state_close(s);
    return err_wrap(err, "%s", path);
}

void state_close(struct state *s)
{
    queue_close(s->queue);
    sql_close(s->db);
    *s = (struct state){0};
}

bool state_failed(struct problem *p)
{
    if (p->err.code == ERR_BUSY)
        p->retry_after_ms = 1000;
    return false;
}

void state_copy(char *out, size_t size, struct span text)
{
    size_t n = text.len < size ? text.len : size - 1;
    if (n)
        memcpy(out, text.ptr, n);
    out[n] = '\0';
}

char *state_text(const struct sql_stmt *q, int column)
{
    return sql_is_null(q, column) ? NULL : mem_dup(sql_text(q, column));
}

json_t *state_json(const struct sql_stmt *q, int column)
{
    struct err ignored;
    return sql_is_null(q, column) ? json_null() : json_parse(sql_text(q, column), &ignored);
}

json_t *state_page_json(json_t *data, char list, int64_t next_before)
{
    char cursor[TEXT_CURSOR_SIZE];
    json_t *page = json_object();
    json_object_set_new(page, "data", data);
    json_object_set_new(page, "next_page",
                        next_before ? json_string(text_cursor(list, next_before, cursor))
                                    : json_null());
    return page;
}

bool state_counts(struct state *s, int64_t out[3], struct err *err)
{
    struct sql_stmt *q = sql_use(s->set, SQL_COUNTS);
    if (sql_next(q))
        for (int i = 0; i < 3; i++)
            out[i] = sql_int(q, i);
    return sql_end(q, err);
}
