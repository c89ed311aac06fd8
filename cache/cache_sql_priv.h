/* SPDX-License-Identifier: Apache-2.0 */
/* cache_sql_priv.h - the numbers of the statements in cache_sql.c. */
#ifndef STRATA_CACHE_CACHE_SQL_PRIV_H
#define STRATA_CACHE_CACHE_SQL_PRIV_H

#include "base/sql.h"

enum cache_sql {
    SQL_MEMO_GET,
    SQL_MEMO_PUT,
    SQL_MEMO_DROP,
    SQL_MEMO_EXPIRE,
    SQL_HASH_GET,
    SQL_HASH_PUT,
    SQL_HASH_LIST,
    SQL_HASH_DROP,
    SQL_ARTIFACT_PUT,
    SQL_ARTIFACT_USE,
    SQL_ARTIFACT_LIST,
    SQL_ARTIFACT_FIND,
    SQL_ARTIFACT_COLLECT,
    SQL_ARTIFACT_DROP,
    SQL_KEY_GET,
    SQL_KEY_PUT,
    SQL_PIN_PUT,
    SQL_PIN_DROP,
    SQL_PIN_GET,
    SQL_PIN_LIST,
    SQL_TAG_PUT,
    SQL_TAG_DROP,
    SQL_TAG_GET,
    SQL_TAG_LIST,
    CACHE_SQL_COUNT
};

extern const struct sql_schema cache_schema;

/* Whether a commit waits for the disk (pins, artifacts) or may be lost to a power cut. */
bool cache_sql_wait_for_disk(struct sql *db, bool wait, struct err *err);

#endif
