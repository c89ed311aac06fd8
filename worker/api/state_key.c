/* SPDX-License-Identifier: Apache-2.0 */
/* state_key.c - API keys: "sk-strata-" ID "-" SECRET, of which the row has a SHA-256.
 *
 * The id finds the row; the hash of the whole text is then compared in constant time. A
 * secret has 24 base-58 characters, 140 bits, so one fast hash is enough. */
#include <openssl/crypto.h>

#include "worker/api/state_priv.h"
#include "worker/rules/text.h"

#define KEY_PREFIX "sk-strata-"

bool workspace_name_ok(struct span name)
{
    if (name.len == 0 || name.len > 64 || name.ptr[0] == '-')
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
              (c && strchr("._-", c))))
            return false;
    }
    return true;
}

bool key_create(struct state *s, const char *workspace, const char *name, char text[KEY_TEXT_SIZE],
                char id[JOB_ID_SIZE], struct err *err)
{
    char secret[JOB_ID_SIZE];
    if (!workspace_name_ok(span_str(workspace)))
        return err_set(err, ERR_USAGE,
                       "a workspace is 1 to 64 letters, digits, '.', '_' and '-', and does not "
                       "start with '-'");
    queue_new_id("key_", id, JOB_ID_SIZE);
    queue_new_id("", secret, sizeof(secret));
    snprintf(text, KEY_TEXT_SIZE, KEY_PREFIX "%s-%s", id + 4, secret);
    struct digest hash = digest_of(span_str(text));
    struct sql_stmt *q = sql_use(s->set, SQL_KEY_ADD);
    sql_bind_str(q, 1, id);
    sql_bind_str(q, 2, workspace);
    sql_bind_str(q, 3, name ? name : "");
    sql_bind_blob(q, 4, span_of(hash.bytes, DIGEST_BYTES));
    sql_bind_int(q, 5, text_now_us());
    return sql_run(q, err);
}

bool key_revoke(struct state *s, const char *id, struct err *err)
{
    struct sql_stmt *q = sql_use(s->set, SQL_KEY_REVOKE);
    sql_bind_str(q, 1, id);
    sql_bind_int(q, 2, text_now_us());
    if (!sql_run(q, err))
        return false;
    return sql_changes(s->db) ? true
                              : err_set(err, ERR_NOT_FOUND,
                                        "no live key %s; `build-worker key list` shows them", id);
}

bool key_list(struct state *s, const char *workspace, json_t **out, struct err *err)
{
    struct sql_stmt *q = sql_use(s->set, SQL_KEY_LIST);
    sql_bind_str(q, 1, workspace);
    json_t *list = json_array();
    while (sql_next(q)) {
        json_t *k = json_object();
        json_put_span(k, "id", sql_text(q, 0));
        json_put_span(k, "workspace", sql_text(q, 1));
        json_put_span(k, "name", sql_text(q, 2));
        text_put_time_us(k, "created_at", sql_int(q, 3));
        text_put_time_us(k, "revoked_at", sql_int(q, 4));
        json_array_append_new(list, k);
    }
    *out = list;
    if (sql_end(q, err))
        return true;
    json_decref(list);
    *out = NULL;
    return false;
}

bool key_any(struct state *s, bool *any, struct err *err)
{
    struct sql_stmt *q = sql_use(s->set, SQL_KEY_ANY);
    *any = sql_next(q) && sql_int(q, 0);
    return sql_end(q, err);
}

/* The row's id out of a key's text; false when it does not look like a key. */
static bool key_id(struct span text, char id[JOB_ID_SIZE])
{
    struct span rest = span_skip(text, strlen(KEY_PREFIX)), name, secret;
    if (!span_starts(text, SPAN(KEY_PREFIX)) || !span_cut_char(rest, '-', &name, &secret) ||
        !text_is_id(name, "") || !text_is_id(secret, ""))
        return false;
    snprintf(id, JOB_ID_SIZE, "key_%.*s", SPAN_ARG(name));
    return true;
}

bool key_check(struct state *s, struct span text, char workspace[129], struct problem *p)
{
    char id[JOB_ID_SIZE] = "";
    struct digest hash = digest_of(text);
    bool match = false;
    if (key_id(text, id)) {
        struct sql_stmt *q = sql_use(s->set, SQL_KEY_GET);
        sql_bind_str(q, 1, id);
        if (sql_next(q)) {
            struct span stored = sql_blob(q, 1);
            state_copy(workspace, 129, sql_text(q, 0));
            match = stored.len == DIGEST_BYTES &&
                    CRYPTO_memcmp(stored.ptr, hash.bytes, DIGEST_BYTES) == 0 && !sql_int(q, 2);
        }
        if (!sql_end(q, &p->err))
            return state_failed(p);
    }
    return match ? true
                 : problem_set(p, ERR_REGISTRY_REFUSED, "invalid_api_key",
                               "the API key is not valid here; send one made by `build-worker key "
                               "create` as x-api-key or as authorization: Bearer");
}
