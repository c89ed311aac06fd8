/* SPDX-License-Identifier: Apache-2.0 */
/* state_priv.h - the statements of the worker's rows, by number, and what its files share. */
#ifndef STRATA_WORKER_API_STATE_PRIV_H
#define STRATA_WORKER_API_STATE_PRIV_H

#include "base/mem.h"
#include "worker/api/state.h"

enum state_sql {
    SQL_KEY_ADD,
    SQL_KEY_GET,
    SQL_KEY_REVOKE,
    SQL_KEY_LIST,
    SQL_KEY_ANY,
    SQL_ENV_ADD,
    SQL_ENV_GET,
    SQL_ENV_LIST,
    SQL_ENV_LIST_LIVE,
    SQL_ENV_SET,
    SQL_ENV_ARCHIVE,
    SQL_ENV_DELETE,
    SQL_ENV_PINS,
    SQL_VERSION_ADD,
    SQL_VERSION_GET,
    SQL_VERSION_LIST,
    SQL_VERSION_BUILD,
    SQL_VERSION_BUILT,
    SQL_VERSION_DELETE,
    SQL_LOCK_PUT,
    SQL_LOCK_GET,
    SQL_ARTIFACT_PUT,
    SQL_ARTIFACT_GET,
    SQL_ARTIFACT_SHOW,
    SQL_EVENT_ADD,
    SQL_EVENT_LAST,
    SQL_EVENT_LIST,
    SQL_EVENT_PRUNE,
    SQL_PIN_ADD,
    SQL_PIN_GET,
    SQL_PIN_DELETE,
    SQL_PIN_BUILT,
    SQL_PIN_FOLLOW,
    SQL_PIN_WAITING,
    SQL_PIN_EACH,
    SQL_COUNTS,
    STATE_SQL_COUNT
};

extern const struct sql_schema state_schema;

/* A database error as a problem; false. */
bool state_failed(struct problem *p);

/* Copies text of a column into an array, empty for NULL. */
void state_copy(char *out, size_t size, struct span text);
char *state_text(const struct sql_stmt *q, int column); /* NULL for NULL */
json_t *state_json(const struct sql_stmt *q, int column);

/* {"data":[...],"next_page":...}: takes `data`. */
json_t *state_page_json(json_t *data, char list, int64_t next_before);

#endif
